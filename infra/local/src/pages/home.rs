//! The first page: the portals, the sample people and commands to try.

use std::collections::BTreeMap;

use askama::Template;
use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use jiff::Timestamp;
use serde_json::json;
use vestibule_domain::policy::{Onboarding, Policy, RegistrationType, StaffPolicy};

use super::commands::{BEARER, Example, data, security_answers, sign_in};
use super::site::{Site, page as respond};
use crate::people::{People, Person};
use crate::personas::DIEGO;
use crate::{Instance, applications, post};

#[derive(Template)]
#[template(path = "home.html")]
struct HomePage<'a> {
    here: &'static str,
    mails: usize,
    letters: usize,
    /// The system's time, if the clock was moved.
    moved_to: Option<String>,
    people: &'a People,
    now: Timestamp,
    examples: Vec<Example>,
    portals: Vec<PortalCard>,
    records: Vec<&'static FreeRecord>,
}

pub(super) async fn page(State(site): State<Site>) -> Response {
    let nobody = People::default();
    let people = site.people.get().unwrap_or(&nobody);
    let portals = &site.instance.app.portals;
    let policies = portals.all().unwrap_or_default().into_iter();
    let cards = policies
        .map(|policy| PortalCard::of(policy, &site.base))
        .collect();
    let page = HomePage {
        here: "/",
        mails: site.instance.inbox.len(),
        letters: site.instance.letters().len(),
        moved_to: moved_to(&site.instance),
        people,
        now: site.instance.app.clock.now(),
        examples: examples(&site.base, people, &site.instance),
        portals: cards,
        records: FREE_RECORDS
            .iter()
            .filter(|r| portals.names().any(|p| p.as_str() == r.portal))
            .collect(),
    };
    respond(StatusCode::OK, &page)
}

/// Returns what the authenticator apps of the sample people show now, by portal and username.
pub(super) async fn codes(State(site): State<Site>) -> Json<BTreeMap<String, String>> {
    let now = site.instance.app.clock.now();
    let people = site.people.get().into_iter().flat_map(|p| &p.people);
    let shown = people.filter_map(|p| Some((p.key(), p.code(now)?)));
    Json(shown.collect())
}

fn moved_to(instance: &Instance) -> Option<String> {
    let clock = &instance.app.clock;
    let moved = !clock.ahead().is_zero();
    moved.then(|| clock.now().strftime("%Y-%m-%d %H:%M UTC").to_string())
}

/// Splits a text at its backticks; the flag of each piece says whether it is code.
fn pieces(text: &str) -> Vec<(bool, &str)> {
    text.split('`')
        .enumerate()
        .map(|(i, piece)| (i % 2 == 1, piece))
        .collect()
}

/// A summary of a portal.
struct PortalCard {
    name: String,
    title: String,
    phone: String,
    registration_types: Vec<WayLine>,
    staff: Option<String>,
    /// The address of its sample application, if its policy has one.
    application: Option<String>,
}

/// Registration types that require the same.
struct WayLine {
    titles: Vec<String>,
    verification: String,
}

impl PortalCard {
    fn of(policy: &Policy, base: &str) -> Self {
        let mut registration_types: Vec<WayLine> = Vec::new();
        for registration_type in &policy.registration_types {
            let verification = verification(registration_type);
            match registration_types
                .iter_mut()
                .find(|line| line.verification == verification)
            {
                Some(line) => line.titles.push(registration_type.title.to_string()),
                None => registration_types.push(WayLine {
                    titles: vec![registration_type.title.to_string()],
                    verification,
                }),
            }
        }
        let has_application = !policy.applications.is_empty();
        let application =
            has_application.then(|| applications::address(base, policy.portal.as_str()));
        Self {
            application,
            name: policy.portal.to_string(),
            title: policy.title.to_string(),
            phone: policy.help_desk.phone.to_string(),
            registration_types,
            staff: policy.staff.as_ref().map(staff),
        }
    }
}

/// Describes what a registration type requires.
fn verification(registration_type: &RegistrationType) -> String {
    let facts = registration_type
        .verify
        .iter()
        .map(|fact| words(fact.into_str()));
    let asked: Vec<_> = std::iter::once(words(registration_type.record_type.number_field()))
        .chain(facts)
        .collect();
    let listed = match asked.as_slice() {
        [first @ .., last] if !first.is_empty() => format!("{} and {last}", first.join(", ")),
        all => all.join(", "),
    };
    let pin = if registration_type.pin {
        ", then the PIN from a letter"
    } else {
        ""
    };
    let mut text = format!("Requires {listed}{pin}.");
    if registration_type.requires_signing_authority {
        text.push_str(" The person attests to signing authority.");
    }
    text
}

fn words(field: &str) -> String {
    match field {
        "ssn_last4" => "last four digits of the SSN".to_owned(),
        "tax_id_last4" => "last four digits of the tax ID".to_owned(),
        other => other.replace('_', " ").replace(" id", " ID"),
    }
}

fn staff(policy: &StaffPolicy) -> String {
    let join = match policy.onboarding {
        Onboarding::Invitation => "An administrator invites staff by email",
        Onboarding::RegistrationCode => {
            "An administrator adds staff, who receive a registration code by email"
        }
        Onboarding::InitialPassword => "An administrator creates accounts with an initial password",
    };
    let approval = if policy.approval {
        " and approves them"
    } else {
        ""
    };
    format!("{join}{approval}.")
}

/// Returns commands that work unchanged with the existing portals and sample people.
fn examples(base: &str, people: &People, instance: &Instance) -> Vec<Example> {
    let mut examples = Vec::new();
    let mut add = |title, command| examples.push(Example { title, command });
    let sign_in = |person: &Person| {
        let password = person.password.as_deref().unwrap_or_default();
        sign_in(base, &person.portal, &person.username, password)
    };
    if let Some(portal) = instance.app.portals.names().next() {
        let portal = people
            .find("group", "Ruth Okafor")
            .map_or(portal.as_str(), |p| p.portal.as_str());
        add(
            "Show what a portal requires, as a frontend would",
            format!("curl -s {base}/{portal}"),
        );
    }
    if let Some(ruth) = people.find("group", "Ruth Okafor") {
        let title = "Sign in as the principal of an employer and list the users";
        add(
            title,
            format!("{}\ncurl -s {base}/group/users {BEARER}", sign_in(ruth)),
        );
        let ivy = json!({ "first_name": "Ivy", "last_name": "Chen", "email": "ivy@blueheron.example", "role": "administrator" });
        let title = "Invite a backup administrator, who receives the link in the inbox";
        add(
            title,
            format!(
                "{}\ncurl -s {base}/group/invitations {BEARER} {}",
                sign_in(ruth),
                data(&ivy)
            ),
        );
    }
    if let Some(maria) = people.find("member", "Maria Alvarez") {
        let letters = instance.letters();
        let letter = letters
            .iter()
            .find(|l| Some(&l.name) == maria.letter.as_ref());
        if let Some(pin) = letter.and_then(|l| post::pin(&l.text)) {
            let entered = data(&json!({ "pin": pin }));
            let title = "Sign in as a member, check the status of the letter and enter its PIN";
            let command = format!(
                "{}\ncurl -s {base}/member/pin/letter {BEARER}\ncurl -s {base}/member/pin/activation {BEARER} {entered}",
                sign_in(maria)
            );
            add(title, command);
        }
        let answers = instance.policy("member").map(security_answers);
        let mut diego = DIEGO.registration();
        diego["security_answers"] = json!(answers);
        let title = "Register a member’s dependent and print the PIN letter";
        add(
            title,
            format!("curl -s {base}/member/registrations {}", data(&diego)),
        );
    }
    examples
}

/// A sample record that no sample person uses.
struct FreeRecord {
    portal: &'static str,
    registration_type: &'static str,
    who: &'static str,
    verification: &'static [(&'static str, &'static str)],
    then: &'static str,
}

const FREE_RECORDS: [FreeRecord; 9] = [
    FreeRecord {
        portal: "member",
        registration_type: "member",
        who: "Annika Müller, subscriber in Berlin",
        verification: &[
            ("enrollee_id", "100200303"),
            ("subscriber_last_name", "Müller"),
            ("date_of_birth", "1990-07-21"),
        ],
        then: "The PIN letter goes abroad, so delivery takes longer.",
    },
    FreeRecord {
        portal: "member",
        registration_type: "member",
        who: "Ethan Kim, dependent",
        verification: &[
            ("enrollee_id", "100200304"),
            ("subscriber_last_name", "Kim"),
            ("date_of_birth", "2007-05-05"),
        ],
        then: "His twin Olivia has the same ID and date of birth; the first name distinguishes them.",
    },
    FreeRecord {
        portal: "group",
        registration_type: "group",
        who: "Cedar & Pine Bakery",
        verification: &[("group_number", "GR20002"), ("tax_id_last4", "5678")],
        then: "The portal asks the principal to invite a backup.",
    },
    FreeRecord {
        portal: "agent",
        registration_type: "agent",
        who: "Priya Nair",
        verification: &[("agent_id", "AG10003"), ("ssn_last4", "2954")],
        then: "Registers without access to protected information, because her signed agreement is outdated.",
    },
    FreeRecord {
        portal: "provider",
        registration_type: "billing_agency",
        who: "Clearwater Billing Services",
        verification: &[("provider_id", "PV30005"), ("tax_id", "007890123")],
        then: "The PIN letter is printed after the plan records the signed agreement.",
    },
    FreeRecord {
        portal: "practice",
        registration_type: "medical",
        who: "Summit Orthopedics, not participating",
        verification: &[("provider_id", "PV30004"), ("tax_id", "006789012")],
        then: "Registration is declined with a referral to Customer Care.",
    },
    FreeRecord {
        portal: "practice",
        registration_type: "dental",
        who: "Oakview Dental Studio, not participating",
        verification: &[("provider_id", "PV30003"), ("tax_id", "005678901")],
        then: "Registers, because dental providers don't have to participate.",
    },
    FreeRecord {
        portal: "producer",
        registration_type: "producer",
        who: "Luis Ortega",
        verification: &[("agent_id", "AG10002"), ("ssn_last4", "7310")],
        then: "Becomes a primary producer.",
    },
    FreeRecord {
        portal: "employer",
        registration_type: "employer",
        who: "Cedar & Pine Bakery",
        verification: &[("group_number", "GR20002"), ("tax_id_last4", "5678")],
        then: "Becomes a delegated administrator.",
    },
];
