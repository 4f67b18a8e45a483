//! The journeys of the demo, step by step.

use std::io::Write;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;

use super::steps::{Call, Demo};
use crate::client::Client;
use crate::first_staff::{self, FirstStaff};
use crate::personas::{
    self, CHANDRA, DANA, DANA_AS_PRODUCER, DIEGO, GRACE, HANNAH, HELEN, INITIAL_PASSWORD, IRIS,
    JOAN, LENA, LUIS, MARIA, NOA, OMAR, PASSWORD, PAT, RUTH, WEISS,
};
use crate::sample_records;
use crate::{StartError, audit as trail};

type StepResult = Result<(), StartError>;

fn get<'a>(client: &'a Client, portal: &'static str, path: &'a str) -> Call<'a> {
    Call {
        client,
        portal,
        method: Method::GET,
        path,
        body: None,
    }
}

fn put<'a>(client: &'a Client, portal: &'static str, path: &'a str, body: Value) -> Call<'a> {
    Call {
        method: Method::PUT,
        ..post(client, portal, path, body)
    }
}

fn post<'a>(client: &'a Client, portal: &'static str, path: &'a str, body: Value) -> Call<'a> {
    Call {
        client,
        portal,
        method: Method::POST,
        path,
        body: Some(body),
    }
}

pub(super) async fn group<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const GROUP: &str = "group";
    let visitor = demo.on(GROUP);
    let ruth = RUTH.registration();

    demo.step("Ruth enters a wrong tax ID. The portal refuses without naming the wrong field, and names the help desk")?;
    let mut wrong = ruth.clone();
    wrong["verification"]["tax_id_last4"] = "0000".into();
    let response = demo
        .call(post(&visitor, GROUP, "/registrations", wrong), 403)
        .await?;
    demo.contains(&response, "(312) 555-0120")?;

    demo.step(
        "With the correct tax ID, Ruth becomes the principal. The portal asks her to invite a backup",
    )?;
    let response = demo
        .call(post(&visitor, GROUP, "/registrations", ruth), 201)
        .await?;
    demo.expect(&response, "/notices/0", "invite_backup")?;

    demo.step("Ruth signs in and invites Sam as an administrator")?;
    let ruth = demo.sign_in(GROUP, "ruth.okafor", PASSWORD, "").await?;
    let invitation = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "role": "administrator" });
    let response = demo
        .call(post(&ruth, GROUP, "/invitations", invitation), 201)
        .await?;
    let lost = demo.token_for("sam@blueheron.example")?;

    demo.step("Sam loses the email, so Ruth sends the invitation again")?;
    let again = format!("/invitations/{}/resend", response.text_at("/id"));
    demo.call(post(&ruth, GROUP, &again, json!({})), 200)
        .await?;
    let token = demo.token_for("sam@blueheron.example")?;

    demo.step("The first link no longer works")?;
    let acceptance = |token: &str| {
        personas::acceptance(token, ("Sam", "Lind"), "sam@blueheron.example", "sam.lind")
    };
    demo.call(
        post(&visitor, GROUP, "/invitations/accept", acceptance(&lost)),
        404,
    )
    .await?;

    demo.step("Sam registers with the new link, and Ruth is notified by email")?;
    let response = demo
        .call(
            post(&visitor, GROUP, "/invitations/accept", acceptance(&token)),
            201,
        )
        .await?;
    demo.mail_to("ruth@blueheron.example")?;
    let id = response.text_at("/user_id").to_owned();

    demo.step("Until Ruth approves the registration, Sam can sign in but has no access")?;
    let sam = demo
        .sign_in(GROUP, "sam.lind", PASSWORD, "await_approval")
        .await?;
    demo.call(get(&sam, GROUP, "/entitlements"), 403).await?;

    demo.step("Ruth approves Sam and assigns services and group codes")?;
    let approval = json!({ "services": ["enrollment", "reports"], "group_codes": ["BH01"] });
    demo.call(
        post(&ruth, GROUP, &format!("/users/{id}/approval"), approval),
        200,
    )
    .await?;

    demo.step("Sam's open session now has exactly the assigned access")?;
    let response = demo.call(get(&sam, GROUP, "/entitlements"), 200).await?;
    demo.contains(&response, "BH01")?;

    demo.step("Sam's profile lists the administrators of the organization")?;
    let response = demo.call(get(&sam, GROUP, "/me"), 200).await?;
    demo.contains(&response, "ruth@blueheron.example")
}

pub(super) async fn member<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const MEMBER: &str = "member";
    let visitor = demo.on(MEMBER);

    demo.step("Maria registers with the enrollee ID, the subscriber's last name and her date of birth. The portal prints a PIN letter")?;
    demo.call(
        post(&visitor, MEMBER, "/registrations", MARIA.registration()),
        201,
    )
    .await?;
    let lost = demo.pin()?;

    demo.step(
        "Maria can sign in, but has no access to protected information until she enters the PIN",
    )?;
    let maria = demo
        .sign_in(MEMBER, "maria.alvarez", PASSWORD, "enter_pin")
        .await?;
    let response = demo.call(get(&maria, MEMBER, "/entitlements"), 403).await?;
    demo.expect(&response, "/next_step", "enter_pin")?;

    demo.step("Maria checks when the letter was sent and when it should arrive")?;
    let response = demo.call(get(&maria, MEMBER, "/pin/letter"), 200).await?;
    demo.expect(&response, "/status", "mailed")?;

    demo.step("Her son Diego, a dependent, registers with the same ID and his own date of birth")?;
    demo.call(
        post(&visitor, MEMBER, "/registrations", DIEGO.registration()),
        201,
    )
    .await?;

    demo.step(
        "Twelve days later, the letter is overdue, and the portal asks Maria to check her address",
    )?;
    demo.instance
        .app
        .clock
        .advance(SignedDuration::from_hours(12 * 24));
    let maria = demo
        .sign_in(MEMBER, "maria.alvarez", PASSWORD, "enter_pin")
        .await?;
    let response = demo.call(get(&maria, MEMBER, "/pin/letter"), 200).await?;
    demo.expect(&response, "/status", "overdue")?;

    demo.step("The letter is lost. Maria requests a new PIN, and the portal prints a new letter")?;
    let call = Call {
        client: &maria,
        portal: MEMBER,
        method: Method::POST,
        path: "/pin/letter",
        body: None,
    };
    demo.call(call, 201).await?;
    let pin = demo.pin()?;

    if lost != pin {
        demo.step("When the first letter arrives after all, its PIN no longer works")?;
        let response = demo
            .call(
                post(&maria, MEMBER, "/pin/activation", json!({ "pin": lost })),
                422,
            )
            .await?;
        demo.contains(&response, "pin-wrong")?;
    }

    demo.step("The new PIN activates the account immediately")?;
    demo.call(
        post(&maria, MEMBER, "/pin/activation", json!({ "pin": pin })),
        200,
    )
    .await?;
    let response = demo.call(get(&maria, MEMBER, "/entitlements"), 200).await?;
    demo.contains(&response, "claims")
}

pub(super) async fn provider<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const PROVIDER: &str = "provider";
    let visitor = demo.on(PROVIDER);

    demo.step("Helen registers Lakeside Family Medicine with an address for the PIN letter. The system generates her username")?;
    let helen = HELEN.registration();
    let response = demo
        .call(post(&visitor, PROVIDER, "/registrations", helen), 201)
        .await?;
    let username = response.text_at("/username").to_owned();
    let pin = demo.pin()?;

    demo.step("Helen signs in. Until she enters the PIN, protected information and the users are not available")?;
    let helen = demo
        .sign_in(PROVIDER, &username, PASSWORD, "enter_pin")
        .await?;
    demo.call(get(&helen, PROVIDER, "/users"), 403).await?;

    demo.step("On this portal, only the help desk can send a new letter")?;
    let call = Call {
        client: &helen,
        portal: PROVIDER,
        method: Method::POST,
        path: "/pin/letter",
        body: None,
    };
    let response = demo.call(call, 403).await?;
    demo.contains(&response, "ask-help-desk")?;

    demo.step("The four-digit PIN activates the account immediately and is never required again")?;
    demo.call(
        post(&helen, PROVIDER, "/pin/activation", json!({ "pin": pin })),
        200,
    )
    .await?;

    demo.step("Helen adds Ben, who receives a registration code by email")?;
    let ben = json!({ "first_name": "Ben", "last_name": "Lind", "email": "ben@lakeside.example", "services": ["claims"] });
    let response = demo
        .call(post(&helen, PROVIDER, "/users", ben), 201)
        .await?;
    demo.expect(&response, "/registration", "pending")?;
    let username = response.text_at("/username").to_owned();
    let code = demo.code_for("ben@lakeside.example")?;

    demo.step("A wrong code is rejected")?;
    let redemption = |code: &str| personas::redemption(&username, code);
    let other = if code == "RC000000" {
        "RC000001"
    } else {
        "RC000000"
    };
    demo.call(
        post(
            &visitor,
            PROVIDER,
            "/registration-codes/redemption",
            redemption(other),
        ),
        422,
    )
    .await?;

    demo.step("With the correct code and a password of his own, Ben is registered")?;
    let response = demo
        .call(
            post(
                &visitor,
                PROVIDER,
                "/registration-codes/redemption",
                redemption(&code),
            ),
            200,
        )
        .await?;
    demo.expect(&response, "/registration", "registered")?;

    demo.step("Ben signs in and has the services that Helen assigned")?;
    let ben = demo.sign_in(PROVIDER, &username, PASSWORD, "").await?;
    let response = demo.call(get(&ben, PROVIDER, "/entitlements"), 200).await?;
    demo.expect(&response, "/services/0", "claims")?;

    demo.step("Helen lists the users of the practice")?;
    let response = demo.call(get(&helen, PROVIDER, "/users"), 200).await?;
    demo.contains(&response, "ben@lakeside.example")
}

pub(super) async fn practice<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const PRACTICE: &str = "practice";
    let visitor = demo.on(PRACTICE);

    demo.step(
        "Summit Orthopedics doesn't participate in the network and is referred to Customer Care",
    )?;
    let iris = IRIS.registration();
    let response = demo
        .call(post(&visitor, PRACTICE, "/registrations", iris), 403)
        .await?;
    demo.contains(&response, "not-open")?;
    demo.contains(&response, "Customer Care")?;

    demo.step("Oakview Dental Studio doesn't participate either, but dental providers can register with the IDs from their letter")?;
    let noa = NOA.registration();
    demo.call(post(&visitor, PRACTICE, "/registrations", noa), 201)
        .await?;

    demo.step("Noa has full access immediately")?;
    let noa = demo.sign_in(PRACTICE, "noa.stern", PASSWORD, "").await?;
    let response = demo.call(get(&noa, PRACTICE, "/entitlements"), 200).await?;
    demo.contains(&response, "predeterminations")?;

    demo.step("Noa creates a staff account for Kim with a username and an initial password")?;
    let kim = json!({
        "first_name": "Kim", "last_name": "Lind", "email": "kim@oakview.example",
        "username": "kim.lind", "initial_password": INITIAL_PASSWORD, "services": ["eligibility"],
    });
    demo.call(post(&noa, PRACTICE, "/users", kim), 201).await?;

    demo.step("At the first sign-in, Kim must change the password first")?;
    let kim = demo
        .sign_in(PRACTICE, "kim.lind", INITIAL_PASSWORD, "change_password")
        .await?;
    demo.call(get(&kim, PRACTICE, "/entitlements"), 403).await?;
    let change = personas::password_change(INITIAL_PASSWORD);
    let call = Call {
        client: &kim,
        portal: PRACTICE,
        method: Method::PUT,
        path: "/sessions/current/password",
        body: Some(change),
    };
    demo.call(call, 200).await?;

    demo.step("The session continues with the assigned services")?;
    let response = demo.call(get(&kim, PRACTICE, "/entitlements"), 200).await?;
    demo.expect(&response, "/services/0", "eligibility")
}

/// Signs a new supervisor in, who must change the one-time password.
async fn supervisor<W: Write>(
    demo: &mut Demo<'_, W>,
    portal: &'static str,
    made: first_staff::Made,
) -> Result<Client, StartError> {
    let one_time = made.password.expose();
    let supervisor = demo
        .sign_in(portal, &made.username, one_time, "change_password")
        .await?;
    let call = Call {
        client: &supervisor,
        portal,
        method: Method::PUT,
        path: "/sessions/current/password",
        body: Some(personas::password_change(one_time)),
    };
    let changed = demo.call(call, 200).await?;
    demo.arrives(&supervisor, (portal, &made.username), changed, "")
        .await?;
    Ok(supervisor)
}

pub(super) async fn help_desk<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const PROVIDER: &str = "provider";
    const DESK: &str = "help-desk";
    let visitor = demo.on(PROVIDER);

    demo.step("Joan registers Mercy Street Hospital, but her letter never arrives. On this portal, the help desk sends a new one")?;
    let joan = JOAN.registration();
    let response = demo
        .call(post(&visitor, PROVIDER, "/registrations", joan), 201)
        .await?;
    let username = response.text_at("/username").to_owned();
    let joan = demo
        .sign_in(PROVIDER, &username, PASSWORD, "enter_pin")
        .await?;
    let response = demo
        .call(post(&joan, PROVIDER, "/pin/letter", json!({})), 403)
        .await?;
    demo.contains(&response, "(312) 555-0140")?;

    demo.step("`cargo portal first-staff` creates the help desk's first account. The supervisor changes the password and invites an agent")?;
    let first = FirstStaff {
        portal: None,
        name: "Olive Grant".to_owned(),
        email: "olive@harborlight.example".to_owned(),
        username: None,
    };
    let made = first_staff::make(&demo.instance.app, first).await?;
    let olive = supervisor(demo, DESK, made).await?;
    let invitation = json!({ "first_name": "Ada", "last_name": "Moss", "email": "ada@harborlight.example", "role": "help_desk_agent" });
    demo.call(post(&olive, DESK, "/invitations", invitation), 201)
        .await?;
    let token = demo.token_for("ada@harborlight.example")?;
    let acceptance = personas::acceptance(
        &token,
        ("Ada", "Moss"),
        "ada@harborlight.example",
        "ada.moss",
    );
    let staff = demo.on(DESK);
    let response = demo
        .call(post(&staff, DESK, "/invitations/accept", acceptance), 201)
        .await?;
    let approval = format!("/users/{}/approval", response.text_at("/user_id"));

    demo.step("Olive can't approve the agent whom she invited. Another supervisor, Oscar, does")?;
    let nothing = json!({ "services": [] });
    let response = demo
        .call(post(&olive, DESK, &approval, nothing.clone()), 403)
        .await?;
    demo.contains(&response, "another-must-approve")?;
    let second = FirstStaff {
        portal: None,
        name: "Oscar Green".to_owned(),
        email: "oscar@harborlight.example".to_owned(),
        username: None,
    };
    let made = first_staff::make_second(&demo.instance.app, second).await?;
    let oscar = supervisor(demo, DESK, made).await?;
    demo.call(post(&oscar, DESK, &approval, nothing), 200)
        .await?;

    demo.step("Joan calls. Ada finds her account and sends a new letter; the reason goes into the audit trail")?;
    let ada = demo.sign_in(DESK, "ada.moss", PASSWORD, "").await?;
    let search = json!({ "portal": PROVIDER, "email": JOAN.email });
    let response = demo
        .call(post(&ada, DESK, "/accounts/search", search), 200)
        .await?;
    let path = format!("/accounts/provider/{}/pin", response.text_at("/items/0/id"));
    let why = json!({ "reason": "Letter never arrived, case 4711" });
    let response = demo.call(post(&ada, DESK, &path, why), 200).await?;
    demo.expect(&response, "/memberships/0/letter/status", "mailed")?;

    demo.step("Joan is notified by email, without the reason")?;
    demo.mail_to(JOAN.email)?;
    Ok(())
}

pub(super) async fn agent<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const AGENT: &str = "agent";
    let visitor = demo.on(AGENT);

    demo.step("Dana's signed agreement is on file. She registers, signs in and has full access")?;
    demo.call(
        post(&visitor, AGENT, "/registrations", DANA.registration()),
        201,
    )
    .await?;
    let dana = demo.sign_in(AGENT, "dana.whitfield", PASSWORD, "").await?;
    demo.call(get(&dana, AGENT, "/entitlements"), 200).await?;

    demo.step("Luis has no agreement on file. He can still register and sign in")?;
    demo.call(
        post(&visitor, AGENT, "/registrations", LUIS.registration()),
        201,
    )
    .await?;
    let luis = demo
        .sign_in(AGENT, "luis.ortega", PASSWORD, "sign_agreement")
        .await?;

    demo.step(
        "Luis sees the agreement to sign and its form, but has no access to protected information",
    )?;
    let response = demo.call(get(&luis, AGENT, "/me"), 200).await?;
    demo.expect(&response, "/agreement/id", "producer_agreement")?;
    demo.call(get(&luis, AGENT, "/entitlements"), 403).await?;

    demo.step("Luis signs the agreement, the plan records it, and the nightly feed contains his updated row")?;
    let feed = sample_records::committed(RecordKind::Agent);
    let row = feed
        .lines()
        .find(|l| l.starts_with("AG10002,"))
        .unwrap_or_default();
    let row = row.replace(",AG10001,,", ",AG10001,producer_agreement=2026-01,");
    demo.note(&row)?;
    let header = feed.lines().next().unwrap_or_default();
    let summary = demo
        .instance
        .import(RecordKind::Agent, &format!("{header}\n{row}\n"))
        .await?;
    demo.note(&format!(
        "→ {} record saved, {} account changed",
        summary.saved, summary.accounts
    ))?;
    if (summary.saved, summary.accounts) != (1, 1) {
        return Err(demo.differs(
            "the import".into(),
            "1 record and 1 account".into(),
            format!("{summary:?}"),
        ));
    }

    demo.step("Luis has full access from the next request in his open session")?;
    demo.call(get(&luis, AGENT, "/entitlements"), 200).await?;
    Ok(())
}

pub(super) async fn organizations<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const PRACTICE: &str = "practice";
    const PROVIDER: &str = "provider";
    let visitor = demo.on(PRACTICE);

    demo.step("Pat manages the offices of several providers and registers once, with one provider's letter")?;
    let pat = PAT.registration();
    demo.call(post(&visitor, PRACTICE, "/registrations", pat), 201)
        .await?;
    let pat = demo.sign_in(PRACTICE, "pat.novak", PASSWORD, "").await?;

    demo.step("With another provider's letter, Pat adds that provider to the same account")?;
    let additional = json!({ "registration_type": "office_manager", "verification": WEISS.verification(), "accepted_agreements": personas::office_manager_terms() });
    demo.call(post(&pat, PRACTICE, "/me/organizations", additional), 201)
        .await?;
    let response = demo.call(get(&pat, PRACTICE, "/me"), 200).await?;
    let second = response.text_at("/organizations/1/id").to_owned();
    demo.contains(&response, "Lakeside Family Medicine")?;

    demo.step("From now on, Pat chooses an organization at sign-in and can switch without signing in again")?;
    let pat = demo
        .sign_in(PRACTICE, "pat.novak", PASSWORD, "choose_organization")
        .await?;
    demo.call(get(&pat, PRACTICE, "/users"), 403).await?;
    let first = response.text_at("/organizations/0/id").to_owned();
    for id in [first, second] {
        let choice = json!({ "organization_id": id });
        let path = "/sessions/current/organization";
        demo.call(put(&pat, PRACTICE, path, choice), 200).await?;
        demo.call(get(&pat, PRACTICE, "/users"), 200).await?;
    }

    demo.step("On the provider portal, each organization has its own PIN letter. Hannah registers her practice and enters its PIN")?;
    let visitor = demo.on(PROVIDER);
    let hannah = HANNAH.registration();
    let response = demo
        .call(post(&visitor, PROVIDER, "/registrations", hannah), 201)
        .await?;
    let username = response.text_at("/username").to_owned();
    let pin = demo.pin()?;
    let hannah = demo
        .sign_in(PROVIDER, &username, PASSWORD, "enter_pin")
        .await?;
    let entered = json!({ "pin": pin });
    demo.call(post(&hannah, PROVIDER, "/pin/activation", entered), 200)
        .await?;

    demo.step("Hannah adds Riverbend Dental to her account. While its letter is on the way, she keeps access to her own practice")?;
    let additional = json!({
        "registration_type": "practice", "verification": OMAR.facts.verification(),
        "attests_signing_authority": true, "postal_address": personas::postal_address("4 Elm Court"),
    });
    let response = demo
        .call(
            post(&hannah, PROVIDER, "/me/organizations", additional),
            201,
        )
        .await?;
    demo.expect(&response, "/next_step", "enter_pin")?;
    demo.call(get(&hannah, PROVIDER, "/entitlements"), 200)
        .await?;
    Ok(())
}

pub(super) async fn second_factor<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const PRODUCER: &str = "producer";
    const INES: &str = "ines@whitfield.example";
    let visitor = demo.on(PRODUCER);

    demo.step("Dana, a primary producer, invites Ines, who registers and is approved")?;
    let dana = DANA_AS_PRODUCER.registration();
    demo.call(post(&visitor, PRODUCER, "/registrations", dana), 201)
        .await?;
    let dana = demo
        .sign_in(PRODUCER, "dana.whitfield", PASSWORD, "")
        .await?;
    let ines = json!({ "first_name": "Ines", "last_name": "Lind", "email": INES, "role": "user" });
    demo.call(post(&dana, PRODUCER, "/invitations", ines), 201)
        .await?;
    let token = demo.token_for(INES)?;
    let acceptance = personas::acceptance(&token, ("Ines", "Lind"), INES, "ines.lind");
    let accept = post(&visitor, PRODUCER, "/invitations/accept", acceptance);
    let response = demo.call(accept, 201).await?;
    let user = format!("/users/{}", response.text_at("/user_id"));
    let approval = json!({ "services": ["enrollment"] });
    let approve = format!("{user}/approval");
    demo.call(post(&dana, PRODUCER, &approve, approval), 200)
        .await?;

    demo.step("Ines signs in and sets up an authenticator app; she is notified by email")?;
    let ines = demo.sign_in(PRODUCER, "ines.lind", PASSWORD, "").await?;
    let secret = demo.sets_up_app(&ines, PRODUCER).await?;
    demo.mail_to(INES)?;

    demo.step("From now on, the password alone opens nothing and shows nothing about her")?;
    let step = "enter_second_factor";
    let ines = demo.sign_in(PRODUCER, "ines.lind", PASSWORD, step).await?;
    demo.call(get(&ines, PRODUCER, "/me"), 403).await?;

    demo.step("A code works once. The one that set up the app is used up, and the next one opens the session")?;
    let path = "/sessions/current/second-factor";
    let code = |code: Option<String>| json!({ "factor": { "code": code } });
    let used = code(demo.app_code(&secret));
    demo.call(put(&ines, PRODUCER, path, used), 422).await?;
    let clock = &demo.instance.app.clock;
    clock.advance(SignedDuration::from_secs(30));
    let next = code(demo.app_code(&secret));
    demo.call(put(&ines, PRODUCER, path, next), 200).await?;
    demo.call(get(&ines, PRODUCER, "/me"), 200).await?;

    demo.step("Ines loses her phone. Dana starts a reset, but sees no link and removes nothing")?;
    let path = format!("{user}/second-factor-reset");
    let start = Call {
        body: None,
        ..post(&dana, PRODUCER, &path, Value::Null)
    };
    demo.call(start, 202).await?;
    let token = demo.token_for(INES)?;

    demo.step("With her password and the link of the email, Ines removes the lost app. Her other sessions end, and she sets up a new one")?;
    let owner = demo.sign_in(PRODUCER, "ines.lind", PASSWORD, step).await?;
    let path = "/sessions/current/second-factor-reset";
    let link = json!({ "token": token });
    let response = demo.call(post(&owner, PRODUCER, path, link), 200).await?;
    demo.expect(&response, "/next_step", "")?;
    demo.call(get(&ines, PRODUCER, "/me"), 401).await?;
    demo.sets_up_app(&owner, PRODUCER).await?;
    Ok(())
}

pub(super) async fn single_sign_on<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const MEMBER: &str = "member";
    const CALLBACK: &str = "https://claims.harborlight.example/callback";
    // The example of RFC 7636, appendix B. A client library makes new ones for each sign-in.
    const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
    let visitor = demo.on(MEMBER);

    demo.step("Grace registers, and enters the PIN of her letter")?;
    let grace = GRACE.registration();
    demo.call(post(&visitor, MEMBER, "/registrations", grace), 201)
        .await?;
    let pin = json!({ "pin": demo.pin()? });
    let grace = demo
        .sign_in(MEMBER, "grace.kim", PASSWORD, "enter_pin")
        .await?;
    demo.call(post(&grace, MEMBER, "/pin/activation", pin), 200)
        .await?;

    demo.step("The claims desk, an application of the plan, finds all it needs to know of the portal at one address")?;
    let path = "/.well-known/openid-configuration";
    demo.call(get(&visitor, MEMBER, path), 200).await?;

    demo.step("It leads Grace's browser to the portal. She is signed in there, so she comes back with a code without being asked")?;
    let query = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([
            ("response_type", "code"),
            ("client_id", "claims-desk"),
            ("redirect_uri", CALLBACK),
            ("scope", "openid profile"),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ])
        .finish();
    let request = json!({ "query": query });
    let opened = demo
        .call(post(&grace, MEMBER, "/authorizations", request), 200)
        .await?;
    let (_, answer) = opened
        .text_at("/redirect_to")
        .split_once('?')
        .unwrap_or_default();
    let mut answer = form_urlencoded::parse(answer.as_bytes());
    let code = answer.find(|(name, _)| name == "code");
    let code = code.map(|(_, code)| code.into_owned()).unwrap_or_default();

    demo.step(
        "It exchanges the code for tokens, with its secret and the verifier that only it has",
    )?;
    let exchange = [
        ("grant_type", "authorization_code"),
        ("code", &code),
        ("redirect_uri", CALLBACK),
        ("code_verifier", VERIFIER),
    ];
    let tokens = demo
        .form((MEMBER, "claims-desk", "/token"), &exchange, 200)
        .await?;

    demo.step("With the access token it learns who Grace is and which services she has")?;
    let token = tokens.text_at("/access_token").to_owned();
    let with_token = visitor.with_token(&token);
    let user = demo
        .call(get(&with_token, MEMBER, "/userinfo"), 200)
        .await?;
    demo.expect(&user, "/preferred_username", "grace.kim")?;
    demo.contains(&user, "claims")?;

    demo.step("The token is no session of the portal, and the code gives nothing twice: its second use revokes the token")?;
    demo.call(get(&with_token, MEMBER, "/me"), 401).await?;
    let reused = demo
        .form((MEMBER, "claims-desk", "/token"), &exchange, 400)
        .await?;
    demo.expect(&reused, "/error", "invalid_grant")?;
    demo.call(get(&with_token, MEMBER, "/userinfo"), 401)
        .await?;

    demo.step("Grace signs out on the portal. The claims desk gets no new code without her, and a signed notice is on its way to it")?;
    let sign_out = Call {
        method: Method::DELETE,
        body: None,
        ..get(&grace, MEMBER, "/sessions/current")
    };
    demo.call(sign_out, 204).await?;
    let silent = json!({ "query": format!("{query}&prompt=none") });
    let refused = demo
        .call(post(&grace, MEMBER, "/authorizations", silent), 200)
        .await?;
    demo.contains(&refused, "error=login_required")
}

pub(super) async fn bulk<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const EMPLOYER: &str = "employer";
    let visitor = demo.on(EMPLOYER);

    demo.step(
        "Lena, the delegated administrator of Blue Heron Manufacturing, has a list of people to invite",
    )?;
    let lena = LENA.registration();
    demo.call(post(&visitor, EMPLOYER, "/registrations", lena), 201)
        .await?;
    let lena = demo.sign_in(EMPLOYER, "lena.fischer", PASSWORD, "").await?;

    demo.step("Lena uploads a CSV file. Each row has its own result: valid rows are invited and invalid rows are rejected")?;
    let upload = (&lena, EMPLOYER, "/invitations.csv");
    let file = "email,first_name,last_name,role,end_date\n\
        mina@blueheron.example,Mina,Ortiz,alternative_administrator,\n\
        abel@blueheron.example,Abel,Stone,user,2099-12-31\n\
        not-an-address,Una,Reed,user,\n";
    let response = demo.file(upload, file).await?;
    demo.expect(&response, "/rows/0/status", "created")?;
    demo.expect(&response, "/rows/2/status", "rejected")?;

    demo.step("Lena corrects the row and uploads the whole file again. Nobody is invited twice")?;
    let corrected = file.replace("not-an-address", "una@blueheron.example");
    let response = demo.file(upload, &corrected).await?;
    demo.expect(&response, "/rows/0/status", "already_exists")?;
    demo.expect(&response, "/rows/2/status", "created")?;

    demo.step("Mina registers with the link in her email")?;
    let token = demo.token_for("mina@blueheron.example")?;
    let mina = personas::acceptance(
        &token,
        ("Mina", "Ortiz"),
        "mina@blueheron.example",
        "mina.ortiz",
    );
    demo.call(post(&visitor, EMPLOYER, "/invitations/accept", mina), 201)
        .await?;

    demo.step("Lena downloads the list of all users with their last sign-in")?;
    let response = demo.call(get(&lena, EMPLOYER, "/users.csv"), 200).await?;
    demo.contains(&response, "mina.ortiz,Mina,Ortiz,")
}

pub(super) async fn audit<W: Write>(demo: &mut Demo<'_, W>) -> StepResult {
    const GROUP: &str = "group";
    let visitor = demo.on(GROUP);

    demo.step("Chandra registers Cedar & Pine Bakery and lists its users")?;
    let chandra = CHANDRA.registration();
    demo.call(post(&visitor, GROUP, "/registrations", chandra), 201)
        .await?;
    let chandra = demo.sign_in(GROUP, "chandra.rao", PASSWORD, "").await?;
    demo.call(get(&chandra, GROUP, "/users"), 200).await?;

    demo.step("A stranger tries to sign in with her username and a wrong password")?;
    let guess = json!({ "username": "chandra.rao", "password": "Wrong-River-58!" });
    let stranger = visitor.from_source("203.0.113.5");
    demo.call(post(&stranger, GROUP, "/sessions", guess), 401)
        .await?;

    demo.step("The audit trail shows both: who did what, when, from where and with what outcome")?;
    let path = "/audit-events?outcome=refused";
    let response = demo.call(get(&chandra, GROUP, path), 200).await?;
    demo.expect(&response, "/items/0/source", "203.0.113.5")?;
    let path = "/audit-events?action=list_users";
    let response = demo.call(get(&chandra, GROUP, path), 200).await?;
    demo.expect(&response, "/items/0/actor_username", "chandra.rao")?;

    demo.step("The audit trail also records searches. It can be downloaded as CSV or JSON lines")?;
    let path = "/audit-events.csv?action=search_audit";
    let response = demo.call(get(&chandra, GROUP, path), 200).await?;
    demo.contains(&response, "search_audit,done")?;

    demo.step("Two hours later, these hours are sealed. `cargo portal audit verify` proves that no entry is altered, missing or added")?;
    let app = &demo.instance.app;
    app.clock.advance(SignedDuration::from_hours(2));
    demo.instance.seal_audit_trail().await?;
    let wanted = trail::Wanted {
        portal: Some(GROUP.to_owned()),
        ..trail::Wanted::default()
    };
    let mut verification = Vec::new();
    trail::verify(app, &wanted, &mut verification).await?;
    demo.lines(&String::from_utf8_lossy(&verification))?;
    Ok(())
}
