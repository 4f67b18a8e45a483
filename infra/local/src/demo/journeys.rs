//! The journeys of the demo, step by step.

use std::io::Write;

use jiff::SignedDuration;
use reqwest::Method;
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;

use super::tell::{Call, Teller};
use crate::client::Client;
use crate::first_staff::{self, FirstStaff};
use crate::personas::{
    self, CHANDRA, DANA, DIEGO, HANNAH, HELEN, INITIAL_PASSWORD, IRIS, JOAN, LENA, LUIS, MARIA,
    NOA, OMAR, PASSWORD, PAT, RUTH, WEISS,
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

pub(super) async fn group<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const GROUP: &str = "group";
    let visitor = tell.on(GROUP);
    let ruth = RUTH.registration();

    tell.step("Ruth enters a wrong tax ID. The portal refuses without naming the wrong field, and names the help desk")?;
    let mut wrong = ruth.clone();
    wrong["verification"]["tax_id_last4"] = "0000".into();
    let answer = tell
        .call(post(&visitor, GROUP, "/registrations", wrong), 403)
        .await?;
    tell.says(&answer, "(312) 555-0120")?;

    tell.step(
        "With the correct tax ID, Ruth becomes the principal. The portal asks her to invite a backup",
    )?;
    let answer = tell
        .call(post(&visitor, GROUP, "/registrations", ruth), 201)
        .await?;
    tell.expect(&answer, "/notices/0", "invite_backup")?;

    tell.step("Ruth signs in and invites Sam as an administrator")?;
    let ruth = tell.sign_in(GROUP, "ruth.okafor", PASSWORD, "").await?;
    let invitation = json!({ "first_name": "Sam", "last_name": "Lind", "email": "sam@blueheron.example", "role": "administrator" });
    let answer = tell
        .call(post(&ruth, GROUP, "/invitations", invitation), 201)
        .await?;
    let lost = tell.token_for("sam@blueheron.example")?;

    tell.step("Sam loses the email, so Ruth sends the invitation again")?;
    let again = format!("/invitations/{}/resend", answer.text_at("/id"));
    tell.call(post(&ruth, GROUP, &again, json!({})), 200)
        .await?;
    let token = tell.token_for("sam@blueheron.example")?;

    tell.step("The first link no longer works")?;
    let acceptance = |token: &str| {
        personas::acceptance(token, ("Sam", "Lind"), "sam@blueheron.example", "sam.lind")
    };
    tell.call(
        post(&visitor, GROUP, "/invitations/accept", acceptance(&lost)),
        404,
    )
    .await?;

    tell.step("Sam registers with the new link, and Ruth is notified by email")?;
    let answer = tell
        .call(
            post(&visitor, GROUP, "/invitations/accept", acceptance(&token)),
            201,
        )
        .await?;
    tell.mail_to("ruth@blueheron.example")?;
    let id = answer.text_at("/user_id").to_owned();

    tell.step("Until Ruth approves the registration, Sam can sign in but has no access")?;
    let sam = tell
        .sign_in(GROUP, "sam.lind", PASSWORD, "await_approval")
        .await?;
    tell.call(get(&sam, GROUP, "/entitlements"), 403).await?;

    tell.step("Ruth approves Sam and assigns services and group codes")?;
    let approval = json!({ "services": ["enrollment", "reports"], "group_codes": ["BH01"] });
    tell.call(
        post(&ruth, GROUP, &format!("/users/{id}/approval"), approval),
        200,
    )
    .await?;

    tell.step("Sam's open session now has exactly the assigned access")?;
    let answer = tell.call(get(&sam, GROUP, "/entitlements"), 200).await?;
    tell.says(&answer, "BH01")?;

    tell.step("Sam's profile lists the administrators of the organization")?;
    let answer = tell.call(get(&sam, GROUP, "/me"), 200).await?;
    tell.says(&answer, "ruth@blueheron.example")
}

pub(super) async fn member<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const MEMBER: &str = "member";
    let visitor = tell.on(MEMBER);

    tell.step("Maria registers with the enrollee ID, the subscriber's last name and her date of birth. The portal prints a PIN letter")?;
    tell.call(
        post(&visitor, MEMBER, "/registrations", MARIA.registration()),
        201,
    )
    .await?;
    let lost = tell.pin()?;

    tell.step(
        "Maria can sign in, but has no access to protected information until she enters the PIN",
    )?;
    let maria = tell
        .sign_in(MEMBER, "maria.alvarez", PASSWORD, "enter_pin")
        .await?;
    let answer = tell.call(get(&maria, MEMBER, "/entitlements"), 403).await?;
    tell.expect(&answer, "/next_step", "enter_pin")?;

    tell.step("Maria checks when the letter was sent and when it should arrive")?;
    let answer = tell.call(get(&maria, MEMBER, "/pin/letter"), 200).await?;
    tell.expect(&answer, "/status", "posted")?;

    tell.step("Her son Diego, a dependent, registers with the same ID and his own date of birth")?;
    tell.call(
        post(&visitor, MEMBER, "/registrations", DIEGO.registration()),
        201,
    )
    .await?;

    tell.step(
        "Twelve days later, the letter is overdue, and the portal asks Maria to check her address",
    )?;
    tell.instance
        .app
        .clock
        .advance(SignedDuration::from_hours(12 * 24));
    let maria = tell
        .sign_in(MEMBER, "maria.alvarez", PASSWORD, "enter_pin")
        .await?;
    let answer = tell.call(get(&maria, MEMBER, "/pin/letter"), 200).await?;
    tell.expect(&answer, "/status", "overdue")?;

    tell.step("The letter is lost. Maria requests a new PIN, and the portal prints a new letter")?;
    let call = Call {
        client: &maria,
        portal: MEMBER,
        method: Method::POST,
        path: "/pin/letter",
        body: None,
    };
    tell.call(call, 201).await?;
    let pin = tell.pin()?;

    if lost != pin {
        tell.step("When the first letter arrives after all, its PIN no longer works")?;
        let answer = tell
            .call(
                post(&maria, MEMBER, "/pin/activation", json!({ "pin": lost })),
                422,
            )
            .await?;
        tell.says(&answer, "pin-wrong")?;
    }

    tell.step("The new PIN activates the account immediately")?;
    tell.call(
        post(&maria, MEMBER, "/pin/activation", json!({ "pin": pin })),
        200,
    )
    .await?;
    let answer = tell.call(get(&maria, MEMBER, "/entitlements"), 200).await?;
    tell.says(&answer, "claims")
}

pub(super) async fn provider<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const PROVIDER: &str = "provider";
    let visitor = tell.on(PROVIDER);

    tell.step("Helen registers Lakeside Family Medicine with an address for the PIN letter. The system generates her username")?;
    let helen = HELEN.registration();
    let answer = tell
        .call(post(&visitor, PROVIDER, "/registrations", helen), 201)
        .await?;
    let username = answer.text_at("/username").to_owned();
    let pin = tell.pin()?;

    tell.step("Helen signs in. Until she enters the PIN, protected information and the users are not available")?;
    let helen = tell
        .sign_in(PROVIDER, &username, PASSWORD, "enter_pin")
        .await?;
    tell.call(get(&helen, PROVIDER, "/users"), 403).await?;

    tell.step("On this portal, only the help desk can send a new letter")?;
    let call = Call {
        client: &helen,
        portal: PROVIDER,
        method: Method::POST,
        path: "/pin/letter",
        body: None,
    };
    let answer = tell.call(call, 403).await?;
    tell.says(&answer, "ask-help-desk")?;

    tell.step("The four-digit PIN activates the account immediately and is never required again")?;
    tell.call(
        post(&helen, PROVIDER, "/pin/activation", json!({ "pin": pin })),
        200,
    )
    .await?;

    tell.step("Helen adds Ben, who receives a registration code by email")?;
    let ben = json!({ "first_name": "Ben", "last_name": "Lind", "email": "ben@lakeside.example", "services": ["claims"] });
    let answer = tell
        .call(post(&helen, PROVIDER, "/users", ben), 201)
        .await?;
    tell.expect(&answer, "/registration", "pending")?;
    let username = answer.text_at("/username").to_owned();
    let code = tell.code_for("ben@lakeside.example")?;

    tell.step("A wrong code is rejected")?;
    let redemption = |code: &str| personas::redemption(&username, code);
    let other = if code == "RC000000" {
        "RC000001"
    } else {
        "RC000000"
    };
    tell.call(
        post(
            &visitor,
            PROVIDER,
            "/registration-codes/redemption",
            redemption(other),
        ),
        422,
    )
    .await?;

    tell.step("With the correct code and a password of his own, Ben is registered")?;
    let answer = tell
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
    tell.expect(&answer, "/registration", "registered")?;

    tell.step("Ben signs in and has the services that Helen assigned")?;
    let ben = tell.sign_in(PROVIDER, &username, PASSWORD, "").await?;
    let answer = tell.call(get(&ben, PROVIDER, "/entitlements"), 200).await?;
    tell.expect(&answer, "/services/0", "claims")?;

    tell.step("Helen lists the users of the practice")?;
    let answer = tell.call(get(&helen, PROVIDER, "/users"), 200).await?;
    tell.says(&answer, "ben@lakeside.example")
}

pub(super) async fn practice<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const PRACTICE: &str = "practice";
    let visitor = tell.on(PRACTICE);

    tell.step(
        "Summit Orthopedics doesn't participate in the network and is referred to Customer Care",
    )?;
    let iris = IRIS.registration();
    let answer = tell
        .call(post(&visitor, PRACTICE, "/registrations", iris), 403)
        .await?;
    tell.says(&answer, "not-open")?;
    tell.says(&answer, "Customer Care")?;

    tell.step("Oakview Dental Studio doesn't participate either, but dental providers can register with the IDs from their letter")?;
    let noa = NOA.registration();
    tell.call(post(&visitor, PRACTICE, "/registrations", noa), 201)
        .await?;

    tell.step("Noa has full access immediately")?;
    let noa = tell.sign_in(PRACTICE, "noa.stern", PASSWORD, "").await?;
    let answer = tell.call(get(&noa, PRACTICE, "/entitlements"), 200).await?;
    tell.says(&answer, "predeterminations")?;

    tell.step("Noa creates a staff account for Kim with a username and an initial password")?;
    let kim = json!({
        "first_name": "Kim", "last_name": "Lind", "email": "kim@oakview.example",
        "username": "kim.lind", "initial_password": INITIAL_PASSWORD, "services": ["eligibility"],
    });
    tell.call(post(&noa, PRACTICE, "/users", kim), 201).await?;

    tell.step("At the first sign-in, Kim must change the password first")?;
    let kim = tell
        .sign_in(PRACTICE, "kim.lind", INITIAL_PASSWORD, "change_password")
        .await?;
    tell.call(get(&kim, PRACTICE, "/entitlements"), 403).await?;
    let change = personas::password_change(INITIAL_PASSWORD);
    let call = Call {
        client: &kim,
        portal: PRACTICE,
        method: Method::PUT,
        path: "/sessions/current/password",
        body: Some(change),
    };
    tell.call(call, 200).await?;

    tell.step("The session continues with the assigned services")?;
    let answer = tell.call(get(&kim, PRACTICE, "/entitlements"), 200).await?;
    tell.expect(&answer, "/services/0", "eligibility")
}

/// Signs a new supervisor in, who must change the one-time password.
async fn supervisor<W: Write>(
    tell: &mut Teller<'_, W>,
    portal: &'static str,
    made: first_staff::Made,
) -> Result<Client, StartError> {
    let one_time = made.password.expose();
    let supervisor = tell
        .sign_in(portal, &made.username, one_time, "change_password")
        .await?;
    let call = Call {
        client: &supervisor,
        portal,
        method: Method::PUT,
        path: "/sessions/current/password",
        body: Some(personas::password_change(one_time)),
    };
    tell.call(call, 200).await?;
    Ok(supervisor)
}

pub(super) async fn help_desk<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const PROVIDER: &str = "provider";
    const DESK: &str = "help-desk";
    let visitor = tell.on(PROVIDER);

    tell.step("Joan registers Mercy Street Hospital, but her letter never arrives. On this portal, the help desk sends a new one")?;
    let joan = JOAN.registration();
    let answer = tell
        .call(post(&visitor, PROVIDER, "/registrations", joan), 201)
        .await?;
    let username = answer.text_at("/username").to_owned();
    let joan = tell
        .sign_in(PROVIDER, &username, PASSWORD, "enter_pin")
        .await?;
    let answer = tell
        .call(post(&joan, PROVIDER, "/pin/letter", json!({})), 403)
        .await?;
    tell.says(&answer, "(312) 555-0140")?;

    tell.step("`cargo portal first-staff` creates the help desk's first account. The supervisor changes the password and invites an agent")?;
    let first = FirstStaff {
        portal: None,
        name: "Olive Grant".to_owned(),
        email: "olive@harborlight.example".to_owned(),
        username: None,
    };
    let made = first_staff::make(&tell.instance.app, first).await?;
    let olive = supervisor(tell, DESK, made).await?;
    let invitation = json!({ "first_name": "Ada", "last_name": "Moss", "email": "ada@harborlight.example", "role": "help_desk_agent" });
    tell.call(post(&olive, DESK, "/invitations", invitation), 201)
        .await?;
    let token = tell.token_for("ada@harborlight.example")?;
    let acceptance = personas::acceptance(
        &token,
        ("Ada", "Moss"),
        "ada@harborlight.example",
        "ada.moss",
    );
    let staff = tell.on(DESK);
    let answer = tell
        .call(post(&staff, DESK, "/invitations/accept", acceptance), 201)
        .await?;
    let approval = format!("/users/{}/approval", answer.text_at("/user_id"));

    tell.step("Olive can't approve the agent whom she invited. Another supervisor, Oscar, does")?;
    let nothing = json!({ "services": [] });
    let answer = tell
        .call(post(&olive, DESK, &approval, nothing.clone()), 403)
        .await?;
    tell.says(&answer, "another-must-approve")?;
    let second = FirstStaff {
        portal: None,
        name: "Oscar Green".to_owned(),
        email: "oscar@harborlight.example".to_owned(),
        username: None,
    };
    let made = first_staff::make_second(&tell.instance.app, second).await?;
    let oscar = supervisor(tell, DESK, made).await?;
    tell.call(post(&oscar, DESK, &approval, nothing), 200)
        .await?;

    tell.step("Joan calls. Ada finds her account and sends a new letter; the reason goes into the audit trail")?;
    let ada = tell.sign_in(DESK, "ada.moss", PASSWORD, "").await?;
    let search = json!({ "portal": PROVIDER, "email": JOAN.email });
    let answer = tell
        .call(post(&ada, DESK, "/accounts/search", search), 200)
        .await?;
    let path = format!("/accounts/provider/{}/pin", answer.text_at("/items/0/id"));
    let why = json!({ "reason": "Letter never arrived, case 4711" });
    let answer = tell.call(post(&ada, DESK, &path, why), 200).await?;
    tell.expect(&answer, "/memberships/0/letter/status", "posted")?;

    tell.step("Joan is notified by email, without the reason")?;
    tell.mail_to(JOAN.email)?;
    Ok(())
}

pub(super) async fn agent<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const AGENT: &str = "agent";
    let visitor = tell.on(AGENT);

    tell.step("Dana's signed agreement is on file. She registers, signs in and has full access")?;
    tell.call(
        post(&visitor, AGENT, "/registrations", DANA.registration()),
        201,
    )
    .await?;
    let dana = tell.sign_in(AGENT, "dana.whitfield", PASSWORD, "").await?;
    tell.call(get(&dana, AGENT, "/entitlements"), 200).await?;

    tell.step("Luis has no agreement on file. He can still register and sign in")?;
    tell.call(
        post(&visitor, AGENT, "/registrations", LUIS.registration()),
        201,
    )
    .await?;
    let luis = tell
        .sign_in(AGENT, "luis.ortega", PASSWORD, "sign_agreement")
        .await?;

    tell.step(
        "Luis sees the agreement to sign and its form, but has no access to protected information",
    )?;
    let answer = tell.call(get(&luis, AGENT, "/me"), 200).await?;
    tell.expect(&answer, "/agreement/id", "producer_agreement")?;
    tell.call(get(&luis, AGENT, "/entitlements"), 403).await?;

    tell.step("Luis signs the agreement, the plan records it, and the nightly feed contains his updated row")?;
    let feed = sample_records::committed(RecordKind::Agent);
    let row = feed
        .lines()
        .find(|l| l.starts_with("AG10002,"))
        .unwrap_or_default();
    let row = row.replace(",AG10001,,", ",AG10001,producer_agreement=2026-01,");
    tell.note(&row)?;
    let header = feed.lines().next().unwrap_or_default();
    let summary = tell
        .instance
        .import(RecordKind::Agent, &format!("{header}\n{row}\n"))
        .await?;
    tell.note(&format!(
        "→ {} record saved, {} account changed",
        summary.saved, summary.accounts
    ))?;
    if (summary.saved, summary.accounts) != (1, 1) {
        return Err(tell.differs(
            "the import".into(),
            "1 record and 1 account".into(),
            format!("{summary:?}"),
        ));
    }

    tell.step("Luis has full access from the next request in his open session")?;
    tell.call(get(&luis, AGENT, "/entitlements"), 200).await?;
    Ok(())
}

pub(super) async fn organizations<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const PRACTICE: &str = "practice";
    const PROVIDER: &str = "provider";
    let visitor = tell.on(PRACTICE);

    tell.step("Pat manages the offices of several providers and registers once, with one provider's letter")?;
    let pat = PAT.registration();
    tell.call(post(&visitor, PRACTICE, "/registrations", pat), 201)
        .await?;
    let pat = tell.sign_in(PRACTICE, "pat.novak", PASSWORD, "").await?;

    tell.step("With another provider's letter, Pat adds that provider to the same account")?;
    let further = json!({ "registration_type": "office_manager", "verification": WEISS.verification(), "accepted_agreements": personas::office_manager_terms() });
    tell.call(post(&pat, PRACTICE, "/me/organizations", further), 201)
        .await?;
    let answer = tell.call(get(&pat, PRACTICE, "/me"), 200).await?;
    let second = answer.text_at("/organizations/1/id").to_owned();
    tell.says(&answer, "Lakeside Family Medicine")?;

    tell.step("From now on, Pat chooses an organization at sign-in and can switch without signing in again")?;
    let pat = tell
        .sign_in(PRACTICE, "pat.novak", PASSWORD, "choose_organization")
        .await?;
    tell.call(get(&pat, PRACTICE, "/users"), 403).await?;
    let first = answer.text_at("/organizations/0/id").to_owned();
    for id in [first, second] {
        let choice = json!({ "organization_id": id });
        let path = "/sessions/current/organization";
        tell.call(put(&pat, PRACTICE, path, choice), 200).await?;
        tell.call(get(&pat, PRACTICE, "/users"), 200).await?;
    }

    tell.step("On the provider portal, each organization has its own PIN letter. Hannah registers her practice and enters its PIN")?;
    let visitor = tell.on(PROVIDER);
    let hannah = HANNAH.registration();
    let answer = tell
        .call(post(&visitor, PROVIDER, "/registrations", hannah), 201)
        .await?;
    let username = answer.text_at("/username").to_owned();
    let pin = tell.pin()?;
    let hannah = tell
        .sign_in(PROVIDER, &username, PASSWORD, "enter_pin")
        .await?;
    let entered = json!({ "pin": pin });
    tell.call(post(&hannah, PROVIDER, "/pin/activation", entered), 200)
        .await?;

    tell.step("Hannah adds Riverbend Dental to her account. While its letter is on the way, she keeps access to her own practice")?;
    let further = json!({
        "registration_type": "practice", "verification": OMAR.facts.verification(),
        "attests_signing_authority": true, "postal_address": personas::postal_address("4 Elm Court"),
    });
    let answer = tell
        .call(post(&hannah, PROVIDER, "/me/organizations", further), 201)
        .await?;
    tell.expect(&answer, "/next_step", "enter_pin")?;
    tell.call(get(&hannah, PROVIDER, "/entitlements"), 200)
        .await?;
    Ok(())
}

pub(super) async fn bulk<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const EMPLOYER: &str = "employer";
    let visitor = tell.on(EMPLOYER);

    tell.step(
        "Lena, the delegated administrator of Blue Heron Manufacturing, has a list of people to invite",
    )?;
    let lena = LENA.registration();
    tell.call(post(&visitor, EMPLOYER, "/registrations", lena), 201)
        .await?;
    let lena = tell.sign_in(EMPLOYER, "lena.fischer", PASSWORD, "").await?;

    tell.step("Lena uploads a CSV file. Each row has its own result: valid rows are invited and invalid rows are rejected")?;
    let upload = (&lena, EMPLOYER, "/invitations.csv");
    let file = "email,first_name,last_name,role,end_date\n\
        mina@blueheron.example,Mina,Ortiz,alternative_administrator,\n\
        abel@blueheron.example,Abel,Stone,user,2099-12-31\n\
        not-an-address,Una,Reed,user,\n";
    let answer = tell.file(upload, file).await?;
    tell.expect(&answer, "/rows/0/status", "created")?;
    tell.expect(&answer, "/rows/2/status", "rejected")?;

    tell.step("Lena corrects the row and uploads the whole file again. Nobody is invited twice")?;
    let corrected = file.replace("not-an-address", "una@blueheron.example");
    let answer = tell.file(upload, &corrected).await?;
    tell.expect(&answer, "/rows/0/status", "already_exists")?;
    tell.expect(&answer, "/rows/2/status", "created")?;

    tell.step("Mina registers with the link in her email")?;
    let token = tell.token_for("mina@blueheron.example")?;
    let mina = personas::acceptance(
        &token,
        ("Mina", "Ortiz"),
        "mina@blueheron.example",
        "mina.ortiz",
    );
    tell.call(post(&visitor, EMPLOYER, "/invitations/accept", mina), 201)
        .await?;

    tell.step("Lena downloads the list of all users with their last sign-in")?;
    let answer = tell.call(get(&lena, EMPLOYER, "/users.csv"), 200).await?;
    tell.says(&answer, "mina.ortiz,Mina,Ortiz,")
}

pub(super) async fn audit<W: Write>(tell: &mut Teller<'_, W>) -> StepResult {
    const GROUP: &str = "group";
    let visitor = tell.on(GROUP);

    tell.step("Chandra registers Cedar & Pine Bakery and lists its users")?;
    let chandra = CHANDRA.registration();
    tell.call(post(&visitor, GROUP, "/registrations", chandra), 201)
        .await?;
    let chandra = tell.sign_in(GROUP, "chandra.rao", PASSWORD, "").await?;
    tell.call(get(&chandra, GROUP, "/users"), 200).await?;

    tell.step("A stranger tries to sign in with her username and a wrong password")?;
    let guess = json!({ "username": "chandra.rao", "password": "Wrong-River-58!" });
    let stranger = visitor.from_source("203.0.113.5");
    tell.call(post(&stranger, GROUP, "/sessions", guess), 401)
        .await?;

    tell.step("The audit trail shows both: who did what, when, from where and with what outcome")?;
    let path = "/audit-events?outcome=refused";
    let answer = tell.call(get(&chandra, GROUP, path), 200).await?;
    tell.expect(&answer, "/items/0/source", "203.0.113.5")?;
    let path = "/audit-events?action=list_users";
    let answer = tell.call(get(&chandra, GROUP, path), 200).await?;
    tell.expect(&answer, "/items/0/actor_username", "chandra.rao")?;

    tell.step("The audit trail also records searches. It can be downloaded as CSV or JSON lines")?;
    let path = "/audit-events.csv?action=search_audit";
    let answer = tell.call(get(&chandra, GROUP, path), 200).await?;
    tell.says(&answer, "search_audit,done")?;

    tell.step("Two hours later, these hours are sealed. `cargo portal audit verify` proves that no entry is altered, missing or added")?;
    let app = &tell.instance.app;
    app.clock.advance(SignedDuration::from_hours(2));
    tell.instance.seal_audit_trail().await?;
    let wanted = trail::Wanted {
        portal: Some(GROUP.to_owned()),
        ..trail::Wanted::default()
    };
    let mut verification = Vec::new();
    trail::verify(app, &wanted, &mut verification).await?;
    tell.lines(&String::from_utf8_lossy(&verification))?;
    Ok(())
}
