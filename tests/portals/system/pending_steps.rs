//! A session with a pending step reaches only the operations that the step lists (SE-03): every operation that
//! requires a session, at every step.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::json;
use vestibule_domain::state::membership::PendingStep;
use vestibule_tests::client::Person;
use vestibule_tests::people::{PASSWORD, agent, dental, member, provider, with};
use vestibule_tests::{World, options, pin_in, portals_with};

use super::openapi::{is_for_applications, operations};

/// What a session reaches at every step.
const EVERY_STEP: &[&str] = &[
    "GET /sessions/current",
    "DELETE /sessions/current",
    "GET /me",
];

/// What it also reaches once the login itself needs nothing.
const AFTER_LOGIN: &[&str] = &[
    "GET /me/activity",
    "PUT /me/email",
    "DELETE /me/email",
    "GET /sessions",
    "DELETE /sessions/{id}",
    "PUT /sessions/current/password",
    "PUT /sessions/current/organization",
    "POST /me/organizations",
    "POST /me/invitations",
    "PUT /me/username",
];

const REGISTER_AGAIN: &[&str] = &["PUT /me/registration"];

const PIN_AND_AGREEMENT: &[&str] = &[
    "GET /pin/letter",
    "POST /pin/letter",
    "POST /pin/activation",
    "GET /me/agreements",
    "POST /me/agreements/{id}/acceptance",
];

/// A session at a step, with everything that it reaches.
struct AtStep {
    step: &'static str,
    reaches: Vec<&'static [&'static str]>,
    person: Person,
    /// Kept because the person's server ends with it.
    _world: World,
}

impl AtStep {
    /// The session of a user at this step.
    async fn new(world: World, person: Person, step: &'static str) -> Self {
        let session = person.get("/sessions/current").await.expect(200);
        let session = session.has("/next_step", step);
        let more: &[&[&str]] = match step {
            "call_help_desk" if session.text_at("/reason") == "campaign_cutoff_passed" => {
                &[AFTER_LOGIN, REGISTER_AGAIN]
            }
            "change_password" => &[&["PUT /sessions/current/password"]],
            "choose_username" => &[&["PUT /me/username"]],
            "choose_organization" | "call_help_desk" => &[AFTER_LOGIN],
            "register_again" | "enter_registration_code" | "await_approval" => {
                &[AFTER_LOGIN, REGISTER_AGAIN]
            }
            "enter_pin" | "sign_agreement" => &[AFTER_LOGIN, REGISTER_AGAIN, PIN_AND_AGREEMENT],
            other => panic!("what does a session reach at {other}?"),
        };
        Self {
            step,
            reaches: [&[EVERY_STEP], more].concat(),
            person,
            _world: world,
        }
    }
}

async fn with_an_initial_password() -> AtStep {
    let world = World::new().await;
    world.register("practice", dental()).await;
    let omar = world
        .sign_in("practice", dental()["username"].as_str().unwrap())
        .await;
    let sam = json!({
        "first_name": "Sam", "last_name": "Lind", "email": "sam@riverbend.example",
        "username": "sam.lind", "initial_password": PASSWORD,
    });
    omar.post("/users", sam).await.expect(201);
    let sam = world.sign_in("practice", "sam.lind").await;
    AtStep::new(world, sam, "change_password").await
}

async fn with_an_expired_password() -> AtStep {
    let world = World::new().await;
    world.group_principal().await;
    world.pass_days(90);
    let ruth = world.sign_in("group", "ruth.okafor").await;
    AtStep::new(world, ruth, "change_password").await
}

async fn with_a_released_username() -> AtStep {
    let dates = [
        ("on = 2028-01-03", "on = 2026-12-15"),
        ("created_before = 2027-07-01", "created_before = 2026-12-01"),
    ];
    let folder = portals_with("member", &dates, "");
    let world = World::with(vestibule_local::Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    world.register("member", member()).await;
    world.wait_until("2026-12-15T06:00:00Z");
    let maria = world.sign_in("member", "maria.alvarez").await;
    AtStep::new(world, maria, "choose_username").await
}

/// Dana during a campaign, on a day when the transition, or also the cutoff, has passed.
async fn in_a_campaign(day: &str, step: &'static str) -> AtStep {
    let lasting = [(
        "max_age_days = 90 # AG-02\nwarning_days = [14, 7, 3, 1] # UX-02\n",
        "",
    )];
    let campaign = "\n[[campaign]]\nkind = \"re_registration\"\nstart = 2026-12-01\ncutoff = 2027-05-31\ntransition_days = 90\n";
    let folder = portals_with("agent", &lasting, campaign);
    let world = World::with(vestibule_local::Options {
        portals: folder.path().to_owned(),
        ..options()
    })
    .await;
    world.register("agent", agent()).await;
    world.wait_until(day);
    let dana = world.sign_in("agent", "dana.whitfield").await;
    AtStep::new(world, dana, step).await
}

async fn of_two_organizations() -> AtStep {
    let world = World::new().await;
    let (helen, username) = world.provider().await;
    let riverbend = json!({
        "registration_type": "practice", "verification": { "provider_id": "PV30002", "tax_id": "004567890" },
        "attests_signing_authority": true, "postal_address": provider()["postal_address"],
    });
    helen.post("/me/organizations", riverbend).await.expect(201);
    let helen = world.sign_in("provider", &username).await;
    AtStep::new(world, helen, "choose_organization").await
}

async fn without_a_pin() -> AtStep {
    let world = World::new().await;
    let maria = world.member().await;
    AtStep::new(world, maria, "enter_pin").await
}

async fn without_approval() -> AtStep {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    world.invited(&ruth, "Sam", "user").await;
    let sam = world.sign_in("group", "sam.lind").await;
    AtStep::new(world, sam, "await_approval").await
}

async fn without_an_agreement() -> AtStep {
    let world = World::new().await;
    let verification = json!({ "agent_id": "AG10002", "ssn_last4": "7310" });
    let luis = with(agent(), "/verification", verification);
    world
        .register("agent", with(luis, "/first_name", "Luis"))
        .await;
    let luis = world.sign_in("agent", "dana.whitfield").await;
    AtStep::new(world, luis, "sign_agreement").await
}

async fn whose_letter_is_withheld() -> AtStep {
    let world = World::new().await;
    let verification = json!({ "provider_id": "PV30005", "tax_id": "007890123" });
    let agency = with(provider(), "/verification", verification);
    let agency = with(agency, "/registration_type", "billing_agency");
    let registered = world.register("provider", agency).await;
    let person = world
        .sign_in("provider", registered.text_at("/username"))
        .await;
    AtStep::new(world, person, "sign_agreement").await
}

/// A user whose membership is changed to one that waits for something.
async fn waiting(step: &'static str, wait: impl FnOnce(PendingStep) -> PendingStep) -> AtStep {
    let world = World::new().await;
    let maria = world.member().await;
    let id = maria.id().await;
    world
        .alter("member", &id, |account| {
            let membership = &mut account.memberships[0];
            membership.pending_step = wait(membership.pending_step.clone());
        })
        .await;
    AtStep::new(world, maria, step).await
}

async fn without_a_registration_code() -> AtStep {
    // The code and the PIN are issued in the same form.
    let wait = |step| match step {
        PendingStep::Pin { issue } => PendingStep::RegistrationCode { issue },
        other => panic!("{other:?}"),
    };
    waiting("enter_registration_code", wait).await
}

async fn whose_record_ended() -> AtStep {
    let wait = |step| PendingStep::RecordEnded {
        before: Box::new(step),
    };
    waiting("call_help_desk", wait).await
}

/// Every operation that requires a session, the one that ends it last.
fn operations_with_a_session() -> Vec<(String, String)> {
    let mut all: Vec<_> = operations()
        .into_iter()
        .filter(|(_, _, operation)| !is_for_applications(operation))
        .filter(|(_, _, operation)| {
            operation["security"]
                .as_array()
                .is_some_and(|s| !s.is_empty())
        })
        .map(|(method, path, _)| (method, path))
        .collect();
    all.sort_by_key(|(method, path)| method == "DELETE" && path.ends_with("/sessions/current"));
    all
}

#[tokio::test]
async fn se_03_a_pending_step_confines_the_session_to_the_operations_that_it_lists() {
    let sessions = [
        with_an_initial_password().await,
        with_an_expired_password().await,
        with_a_released_username().await,
        of_two_organizations().await,
        in_a_campaign("2027-03-02T06:00:00Z", "register_again").await,
        in_a_campaign("2027-06-01T06:00:00Z", "call_help_desk").await,
        without_a_pin().await,
        without_a_registration_code().await,
        without_approval().await,
        without_an_agreement().await,
        whose_letter_is_withheld().await,
        whose_record_ended().await,
    ];
    let all = operations_with_a_session();
    for session in sessions {
        let mut reached = BTreeSet::new();
        for (method, path) in &all {
            let below = path.strip_prefix("/{portal}").unwrap();
            let called = below
                .replace("{id}", "00000000000000000000000000")
                .replace("{account_portal}", "group");
            // Without a body, nothing is changed; the refusal comes before the body is read.
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            let response = session.person.send(method.clone(), &called, None).await;
            let what = format!("{method} {below}");
            if response.problem() == "next-step-required" {
                assert_eq!(
                    (response.status, response.text_at("/next_step")),
                    (403, session.step),
                    "{what}: {}",
                    response.text
                );
            } else {
                assert_ne!(response.status, 401, "{what}: {}", response.text);
                reached.insert(what);
            }
        }
        let listed: BTreeSet<_> = session
            .reaches
            .concat()
            .into_iter()
            .map(str::to_owned)
            .collect();
        assert_eq!(reached, listed, "at {}", session.step);
    }
}

/// EX-09: the administrator who set the initial password knows it, but it opens only the change of the password.
#[tokio::test]
async fn se_03_an_initial_password_allows_no_change_except_of_itself() {
    let at = with_an_initial_password().await;
    let takeover = [
        (
            Method::PATCH,
            "/me",
            json!({ "first_name": "Not", "last_name": "Sam" }),
        ),
        (
            Method::PUT,
            "/me/email",
            json!({ "email": "not.sam@riverbend.example", "password": PASSWORD }),
        ),
        (
            Method::POST,
            "/feedback",
            json!({ "message": "Is anyone there?" }),
        ),
    ];
    for (method, path, body) in takeover {
        at.person
            .send(method, path, Some(&body))
            .await
            .refused(403, "next-step-required");
    }
    assert!(
        at._world
            .mails_to("not.sam@riverbend.example")
            .await
            .is_empty()
    );
    at.person
        .changes_password(PASSWORD, "Amber-Kettle-73!")
        .await
        .expect(200);
    let me = at.person.get("/me").await.expect(200);
    me.has("/first_name", "Sam")
        .has("/email", "sam@riverbend.example");
}

/// The step that was completed in the meantime by another request is the one that counts.
#[tokio::test]
async fn se_03_a_completed_step_opens_the_session_at_its_next_request() {
    let at = without_a_pin().await;
    at.person
        .patch(
            "/me",
            json!({ "first_name": "Mary", "last_name": "Alvarez" }),
        )
        .await
        .refused(403, "next-step-required");
    let pin = pin_in(&at._world.last_letter().await, 6);
    at.person.enters_pin(&pin).await.expect(200);
    at.person
        .patch(
            "/me",
            json!({ "first_name": "Mary", "last_name": "Alvarez" }),
        )
        .await
        .expect(200);
}
