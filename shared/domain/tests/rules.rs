//! Tests of the rules as pure functions, with tables and properties, under the shipped policies.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::test_runner::RngSeed;
use rand::SeedableRng;
use rand::rngs::StdRng;
use vestibule_domain::outbox::mail::{Call, EndingSession};
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::policy::{Policy, Role};
use vestibule_domain::rules::accept_invitation::Standing;
use vestibule_domain::rules::activate::FreshCode;
use vestibule_domain::rules::authorization_request::{
    AAL1, AAL2, AuthorizationRequest, ErrorCode, Parameters, return_address,
};
use vestibule_domain::rules::campaign::{self};
use vestibule_domain::rules::consequences::ScheduledDecision;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::invite::{Refusal, usable as check_usable};
use vestibule_domain::rules::next_step::{NextStep, step_after_sign_in};
use vestibule_domain::rules::password::{self, MAX_LENGTH};
use vestibule_domain::rules::schedule::{self, ScheduledAction};
use vestibule_domain::rules::single_sign_on::{
    self, FirstStep, NotRedeemed, Redeemed, Redemption, User,
};
use vestibule_domain::state::account::{
    Account, Password, PasswordHash, PendingEmail, ResetLink, Status,
};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::state::follow_up::{AccountOutcome, AdminNotice, FollowUp, FollowUpKind};
use vestibule_domain::state::invitation::{Invitation, InvitationStatus, State};
use vestibule_domain::state::membership::{
    Issue, LetterStatus, Membership, PendingStep, Registration,
};
use vestibule_domain::state::organization::Organization;
use vestibule_domain::state::record::{Mac, PlanRecord, RecordData, RecordKey, Verification, find};
use vestibule_domain::state::second_factor::Proof;
use vestibule_domain::state::session::{Session, Token, TokenKind};
use vestibule_domain::state::single_sign_on::{AuthorizationCode, OrganizationClaim, Scope};
use vestibule_domain::values::ids::{
    AccountId, InvitationId, IssueId, MessageId, OrganizationId, PortalId,
};
use vestibule_domain::values::record_kind::{Fact, RecordKind};
use vestibule_domain::values::text::{Email, NamePart, PersonName, Sensitive, Username};
use vestibule_domain::{Change, Decision};

fn policy(portal: &str) -> Policy {
    edited(portal, "", "")
}

/// Returns a shipped policy with one text replaced.
fn edited(portal: &str, from: &str, to: &str) -> Policy {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join(format!("../../infra/portals/{portal}.toml"));
    let text = std::fs::read_to_string(path).unwrap();
    assert!(text.contains(from), "{portal}.toml contains {from}");
    let text = if from.is_empty() {
        text
    } else {
        text.replacen(from, to, 1)
    };
    Policy::parse(PortalId::parse(portal).unwrap(), portal, &text).unwrap()
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn rng() -> StdRng {
    StdRng::seed_from_u64(20_261_123)
}

fn minutes(n: i64) -> SignedDuration {
    SignedDuration::from_mins(n)
}

const SECOND: SignedDuration = SignedDuration::from_secs(1);

/// Runs the same cases every time.
fn fixed() -> ProptestConfig {
    ProptestConfig {
        rng_seed: RngSeed::Fixed(7),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

// Passwords (ME-03)

#[test]
fn passwords_follow_the_rules_of_their_portal() {
    let member = policy("member").password;
    let strict = edited(
        "agent",
        "required_characters = [\"letter\", \"digit\"]",
        "required_characters = [\"uppercase\", \"lowercase\", \"digit\", \"symbol\"]",
    )
    .password;
    let agent = policy("agent").password;
    let accepted = "";
    let long = "a1".repeat(64);
    let too_long = format!("{long}x");
    for (policy, text, expected) in [
        (&member, "abcde1", accepted),
        (&member, "abcd1", "must have at least 6 characters"),
        (&member, "abcdef", "must contain a digit"),
        (&member, "123456", "must contain a letter"),
        (
            &member,
            "12345",
            "must have at least 6 characters, contain a letter",
        ),
        (&member, "", "must not be empty"),
        (&member, "      ", "must contain a letter, contain a digit"),
        (&member, "maria.alvarez1", "must not be the username"),
        (&member, "MARIA.Alvarez1", "must not be the username"),
        (&member, "maria.alvarez12", accepted),
        (&member, "päss1ö", accepted),
        (&member, "пароль1", accepted),
        (&member, "correct horse battery 7", accepted),
        (&member, "\u{1f512}\u{1f512}\u{1f512}\u{1f512}a1", accepted),
        (&member, "abc\tde1", "must not contain control characters"),
        (&member, "abc\0de1", "must not contain control characters"),
        (&member, long.as_str(), accepted),
        (
            &member,
            too_long.as_str(),
            "must be at most 128 characters long",
        ),
        // ME-03: no obscene words, however they are spelled.
        (&member, "fuckyou1", "must not contain an obscene word"),
        (
            &member,
            "Shit-happens-1",
            "must not contain an obscene word",
        ),
        (&member, "my b1tch 77", "must not contain an obscene word"),
        (&member, "@sshole-99", "must not contain an obscene word"),
        // Words that only contain an obscene one, or contain it only across a separator, are
        // allowed.
        (&member, "Scunthorpe-1999", accepted),
        (&member, "Dickens-1812", accepted),
        (&member, "Classic-Assassin-1", accepted),
        (&member, "First-Watch-01!", accepted),
        (&member, "grapefruits-12", accepted),
        (&member, "anna1984-essex", accepted),
        // Some words are obscene only on their own, not as part of another word.
        (&member, "my-ass-2026", "must not contain an obscene word"),
        (&member, "compass-2026", accepted),
        // The agent portal doesn't reject obscene words.
        (&agent, "fuckyou1", accepted),
        (&agent, "short-1", "must have at least 8 characters"),
        (&strict, "lower-case-1", "must contain an uppercase letter"),
        (&strict, "UPPER-CASE-1", "must contain a lowercase letter"),
        (&strict, "NoDigit-here", "must contain a digit"),
        (&strict, "NoSymbol123", "must contain a symbol"),
        (&strict, "All-four-1", accepted),
        (
            &strict,
            "    ",
            "must have at least 8 characters, contain an uppercase letter, contain a lowercase letter, contain a digit",
        ),
    ] {
        let actual = password::check(text, Some("maria.alvarez1"), policy)
            .map_or_else(|e| e.to_string(), |_| String::new());
        assert_eq!(actual, expected, "{text:?}");
    }
}

#[test]
fn random_passwords_are_rarely_rejected_as_obscene() {
    const ALPHABET: &[u8] =
        b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#%&*-_=+";
    let policy = policy("member").password;
    let mut rng = rng();
    let refused = (0..1_000)
        .filter(|_| {
            use rand::RngExt;
            let text: String = (0..16)
                .map(|_| char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]))
                .collect();
            password::check(&text, None, &policy).is_err_and(|e| e.to_string().contains("obscene"))
        })
        .count();
    assert!(refused <= 5, "{refused} of a thousand");
}

#[test]
fn a_password_is_the_same_from_every_keyboard() {
    let composed = password::normalize("Ame\u{301}lie-1").unwrap();
    assert_eq!(composed, password::normalize("Am\u{e9}lie-1").unwrap());
    assert_eq!(
        password::normalize("\u{ff21}bc-1").unwrap().expose(),
        "Abc-1"
    );
    assert_ne!(password::normalize("Amelie-1").unwrap(), composed);
    assert_ne!(
        password::normalize(" a1").unwrap(),
        password::normalize("a1").unwrap(),
        "spaces count"
    );
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn accepted_passwords_are_normalized_and_follow_every_rule(text in "\\PC{0,140}|[a-zA-Z0-9!]{4,20}") {
        let policy = policy_of_members();
        if let Ok(accepted) = password::check(&text, None, policy) {
            let accepted = accepted.expose();
            prop_assert!(accepted.chars().count() >= 6);
            prop_assert!(text.chars().count() <= MAX_LENGTH);
            prop_assert!(accepted.chars().any(char::is_alphabetic) && accepted.chars().any(|c| c.is_ascii_digit()));
            // The result is already normalized: what is stored is what is compared.
            prop_assert_eq!(password::normalize(accepted).map(|p| p.expose().to_owned()), Ok(accepted.to_owned()));
            prop_assert!(password::check(&text, Some(accepted), policy).is_err(), "never the username");
        }
    }
}

fn policy_of_members() -> &'static vestibule_domain::policy::PasswordPolicy {
    static POLICY: std::sync::OnceLock<vestibule_domain::policy::PasswordPolicy> =
        std::sync::OnceLock::new();
    POLICY.get_or_init(|| policy("member").password)
}

// Plan records (AG-06, ME-01, ME-11)

/// A readable MAC, so that the tests' `verify` can compare context and text.
fn code(context: &str, text: &str) -> Mac {
    Mac {
        key: 1,
        code: format!("{context}={text}").into_bytes(),
    }
}

fn person(number: u8, first_name: &str, born: &str) -> PlanRecord {
    let key = RecordKey {
        plan: "harbor".into(),
        kind: RecordKind::Member,
        number: "100200304".into(),
        person: number,
    };
    let fact = |fact: Fact, text: &str| (fact, code(&key.context(fact), text));
    PlanRecord {
        facts: BTreeMap::from([
            fact(Fact::SubscriberLastName, "kim"),
            fact(Fact::FirstName, first_name),
            fact(Fact::DateOfBirth, born),
        ]),
        data: RecordData {
            name: first_name.into(),
            category: None,
            participating: None,
            manager: None,
            agreements: BTreeMap::new(),
            group_codes: BTreeSet::new(),
            address: None,
        },
        claims: BTreeMap::new(),
        key,
        ended: false,
        to_notify: false,
        version: 1,
    }
}

fn verification(last: &str, born: &str, first: &str) -> Verification {
    Verification {
        facts: BTreeMap::from([
            (Fact::SubscriberLastName, Sensitive::new(last)),
            (Fact::DateOfBirth, Sensitive::new(born)),
        ]),
        first_name: Sensitive::new(first),
    }
}

/// Returns the person found, and the context of each comparison.
fn found(records: &[PlanRecord], verification: &Verification) -> (Option<u8>, Vec<String>) {
    let compared = RefCell::new(Vec::new());
    let one = find(records, verification, |mac, context, entered| {
        compared.borrow_mut().push(context.to_owned());
        *mac == code(context, entered.expose())
    });
    (one.map(|r| r.key.person), compared.into_inner())
}

#[test]
fn facts_find_a_person_and_the_first_name_distinguishes_twins() {
    let family = [
        person(0, "grace", "1988-01-15"),
        person(1, "ethan", "2007-05-05"),
        person(2, "olivia", "2007-05-05"),
    ];
    for (verification, expected) in [
        (verification("kim", "1988-01-15", "grace"), Some(0)),
        // The first name distinguishes twins and is otherwise ignored.
        (verification("kim", "1988-01-15", "grazia"), Some(0)),
        (verification("kim", "2007-05-05", "ethan"), Some(1)),
        (verification("kim", "2007-05-05", "olivia"), Some(2)),
        (verification("kim", "2007-05-05", "grace"), None),
        (verification("kim", "2007-05-05", ""), None),
        (verification("kim", "1988-01-16", "grace"), None),
        (verification("lee", "1988-01-15", "grace"), None),
        (verification("", "", ""), None),
    ] {
        assert_eq!(
            found(&family, &verification).0,
            expected,
            "{:?}",
            verification.facts.keys()
        );
    }
    assert_eq!(
        found(&[], &verification("kim", "1988-01-15", "grace")).0,
        None
    );
    // Without facts nobody is found, even if there is only one record.
    let nothing = Verification {
        facts: BTreeMap::new(),
        first_name: Sensitive::new("grace"),
    };
    assert_eq!(found(&family[..1], &nothing).0, None);
    // A record without the fact doesn't match.
    let mut without = family[0].clone();
    without.facts.remove(&Fact::DateOfBirth);
    assert_eq!(
        found(&[without], &verification("kim", "1988-01-15", "grace")).0,
        None
    );
}

#[test]
fn every_fact_of_every_record_is_compared_even_after_a_mismatch() {
    let family = [
        person(0, "grace", "1988-01-15"),
        person(1, "ethan", "2007-05-05"),
    ];
    for verification in [
        verification("kim", "1988-01-15", "grace"),
        verification("lee", "1988-01-15", "grace"),
        verification("kim", "1900-01-01", "grace"),
        verification("lee", "1900-01-01", "nobody"),
    ] {
        let (_, compared) = found(&family, &verification);
        let facts: Vec<_> = compared
            .iter()
            .filter(|c| !c.ends_with("/first_name"))
            .collect();
        assert_eq!(facts.len(), 4, "two facts of two records: {compared:?}");
        assert_eq!(
            facts.iter().collect::<BTreeSet<_>>().len(),
            4,
            "each in its own context"
        );
    }
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn only_all_facts_together_find_a_person(which in 0u8..3, change in 0usize..3, other in "[a-z]{1,8}") {
        let family = [person(0, "grace", "1988-01-15"), person(1, "ethan", "2007-05-05"), person(2, "olivia", "2007-05-05")];
        let born = ["1988-01-15", "2007-05-05", "2007-05-05"][usize::from(which)];
        let first = ["grace", "ethan", "olivia"][usize::from(which)];
        let last = if change == 1 { other.as_str() } else { "kim" };
        let day = if change == 2 { other.as_str() } else { born };
        let expected = (change == 0 || last == "kim" && day == born).then_some(which);
        prop_assert_eq!(found(&family, &verification(last, day, first)).0, expected);
    }
}

#[test]
fn facts_are_compared_in_normalized_form() {
    for (fact, text, form) in [
        (Fact::SubscriberLastName, " O\u{2019}Brien ", Some("obrien")),
        (
            Fact::LastName,
            "N\u{fa}\u{f1}ez-D\u{ed}az",
            Some("nunezdiaz"),
        ),
        (Fact::FirstName, "---", None),
        (Fact::DateOfBirth, "1979-04-12", Some("1979-04-12")),
        (Fact::DateOfBirth, "1979-4-12", None),
        (Fact::DateOfBirth, "1979-02-30", None),
        (Fact::DateOfBirth, "1879-12-31", None),
        (Fact::DateOfBirth, "04/12/1979", None),
        (Fact::SsnLast4, "4821", Some("4821")),
        (Fact::SsnLast4, "482", None),
        (Fact::SsnLast4, "48211", None),
        (Fact::SsnLast4, "\u{664}821", None),
        (Fact::TaxId, "00-1234567", Some("001234567")),
        (Fact::TaxId, "001234567", Some("001234567")),
        (Fact::TaxId, "0-0-1234567", None),
    ] {
        let read = fact.parse(text).ok();
        assert_eq!(
            read.as_ref().map(Sensitive::expose),
            form,
            "{fact:?} {text}"
        );
    }
}

// Accounts: the steps before access

const NOW: &str = "2026-11-23T15:00:00Z";

fn issue() -> Issue {
    Issue {
        id: IssueId::from_bytes([1; 16]),
        code: code("", ""),
        issued_at: at(NOW),
        expires_at: at("2027-01-23T06:00:00Z"),
        carried_by: MessageId::from_bytes([2; 16]),
        abroad: false,
        vouched_by: None,
        not_printed_at: None,
    }
}

fn membership(pending_step: PendingStep, registration_type: Option<&str>) -> Membership {
    Membership {
        organization: Some(OrganizationId::from_bytes([3; 16])),
        role: Role::Principal,
        pending_step,
        services: BTreeSet::new(),
        group_codes: BTreeSet::new(),
        joined_at: at(NOW),
        end_date: None,
        granted_by: None,
        confirmed: None,
        registered_again_at: None,
        registration_type: registration_type.map(str::to_owned),
        record: None,
        category: None,
        agreements: BTreeMap::new(),
        recorded_before_feed: Default::default(),
        postal_address: None,
    }
}

fn account(portal: &str, memberships: Vec<Membership>) -> Account {
    Account {
        id: AccountId::from_bytes([4; 16]),
        portal: PortalId::parse(portal).unwrap(),
        version: 0,
        username: Username::parse("dana.whitfield", 7).unwrap(),
        username_since: None,
        must_choose_username: false,
        name: PersonName {
            first: NamePart::parse("Dana").unwrap(),
            last: NamePart::parse("Whitfield").unwrap(),
        },
        email: Email::parse("dana@whitfield.example").unwrap(),
        email_undeliverable: None,
        pending_email: None,
        email_realm: None,
        status: Status::Active,
        password: Some(Password {
            hash: PasswordHash::new("$x".into()),
            changed_at: at(NOW),
            must_change: false,
        }),
        former_passwords: Vec::new(),
        reset: None,
        security_answers: Vec::new(),
        hint: None,
        second_factors: vestibule_domain::state::second_factor::SecondFactors::default(),
        bookmarks: Vec::new(),
        subscriptions: Default::default(),
        memberships,
        session_epoch: 0,
        uses_applications: false,
        created_at: at(NOW),
        last_sign_in_at: None,
        last_sign_in_from: None,
        devices: BTreeMap::new(),
        concurrent_use_detected_at: None,
        status_since: None,
        notices: Default::default(),
    }
}

#[test]
fn next_steps_come_in_order() {
    // The agent portal has password expiration and an agreement, so that every step is possible.
    let policy = policy("agent");
    let fresh = at(NOW) + minutes(1);
    let old = at(NOW) + SignedDuration::from_hours(24 * 90);
    let pending_steps = [
        (
            PendingStep::Approval,
            Some(NextStep::AwaitApproval),
            Registration::AwaitingApproval,
        ),
        (
            PendingStep::Pin { issue: issue() },
            Some(NextStep::EnterPin),
            Registration::Pending,
        ),
        (
            PendingStep::RegistrationCode { issue: issue() },
            Some(NextStep::EnterRegistrationCode),
            Registration::Pending,
        ),
        (
            PendingStep::PinLetterWithheld,
            Some(NextStep::SignAgreement),
            Registration::Pending,
        ),
        (
            PendingStep::Open,
            Some(NextStep::SignAgreement),
            Registration::Registered,
        ),
    ];
    for (pending_step, step, registration) in pending_steps {
        let mut account = account(
            "agent",
            vec![membership(pending_step.clone(), Some("agent"))],
        );
        let mut membership = account.memberships[0].clone();
        assert_eq!(membership.registration(), registration);
        // The pending step comes before the agreement.
        assert_eq!(
            step_after_sign_in(&account, Some(&membership), &policy, fresh),
            step,
            "{pending_step:?}"
        );
        // Choosing an organization comes before the pending step.
        assert_eq!(
            step_after_sign_in(&account, None, &policy, fresh),
            Some(NextStep::ChooseOrganization)
        );
        // With the agreement signed, only the pending step is left.
        membership
            .agreements
            .insert("producer_agreement".into(), "2026-01".into());
        let left = step.filter(|_| pending_step != PendingStep::Open);
        assert_eq!(
            step_after_sign_in(&account, Some(&membership), &policy, fresh),
            left,
            "{pending_step:?}"
        );
        // An expired password comes first.
        assert_eq!(
            step_after_sign_in(&account, Some(&membership), &policy, old),
            Some(NextStep::ChangePassword)
        );
        assert_eq!(
            step_after_sign_in(&account, None, &policy, old),
            Some(NextStep::ChangePassword)
        );
        account.password.as_mut().unwrap().must_change = true;
        assert_eq!(
            step_after_sign_in(&account, Some(&membership), &policy, fresh),
            Some(NextStep::ChangePassword)
        );
        // Without a password, there is none to change.
        account.password = None;
        assert_eq!(
            step_after_sign_in(&account, Some(&membership), &policy, old),
            left
        );
    }
    // On a portal without password expiration, 90 days make no difference.
    let member = account(
        "member",
        vec![Membership {
            organization: None,
            ..membership(PendingStep::Open, Some("member"))
        }],
    );
    assert_eq!(
        step_after_sign_in(
            &member,
            member.membership(None),
            &self::policy("member"),
            old
        ),
        None
    );
}

#[test]
fn an_agreement_is_valid_in_its_current_or_a_later_revision() {
    let policy = policy("agent");
    for (on_file, missing) in [
        (None, true),
        (Some(""), true),
        (Some("2024-01"), true),
        (Some("2025-12"), true),
        (Some("2026-01"), false),
        (Some("2026-01-b"), false),
        (Some("2027-01"), false),
    ] {
        let mut agent = membership(PendingStep::Open, Some("agent"));
        agent
            .agreements
            .extend(on_file.map(|r| ("producer_agreement".to_owned(), r.to_owned())));
        agent
            .agreements
            .insert("another_agreement".into(), "2099-01".into());
        let found = agent.missing_agreement(&policy).map(|a| a.id.to_string());
        assert_eq!(
            found,
            missing.then(|| "producer_agreement".to_owned()),
            "{on_file:?}"
        );
        // Only users with this registration type need it, not staff.
        let staff = membership(PendingStep::Open, None);
        assert_eq!(staff.missing_agreement(&policy), None);
    }
    // Without registration types it applies to everyone; categories narrow it down.
    let for_everyone = edited("agent", "registration_types = [\"agent\"]", "");
    let anyone = membership(PendingStep::Open, None);
    assert!(anyone.missing_agreement(&for_everyone).is_some());
    let managing = edited(
        "agent",
        "registration_types = [\"agent\"]",
        "categories = [\"managing_agent\"]",
    );
    for (category, missing) in [
        (None, false),
        (Some("agent"), false),
        (Some("managing_agent"), true),
    ] {
        let of = Membership {
            category: category.map(str::to_owned),
            ..membership(PendingStep::Open, Some("agent"))
        };
        assert_eq!(
            of.missing_agreement(&managing).is_some(),
            missing,
            "{category:?}"
        );
    }
}

#[test]
fn a_letter_is_withheld_until_its_agreement_is_signed() {
    let policy = policy("provider");
    let agency = policy.registration_type("billing_agency").unwrap();
    let signed =
        |revision: &str| BTreeMap::from([("signatory_agreement".to_owned(), revision.to_owned())]);
    assert!(policy.withholds_letter(agency, None, &BTreeMap::new()));
    assert!(policy.withholds_letter(agency, None, &signed("2025-01")));
    assert!(!policy.withholds_letter(agency, None, &signed("2026-01")));
    assert!(!policy.withholds_letter(
        policy.registration_type("practice").unwrap(),
        None,
        &BTreeMap::new()
    ));
}

#[test]
fn a_letter_is_overdue_the_day_after_it_should_arrive() {
    let policy = policy("member");
    // Issued on the Monday before Thanksgiving, when no mail is delivered.
    let home = issue();
    let status = LetterStatus::of(&home, &policy, at(NOW)).unwrap();
    let days = (
        status.issued_on.to_string(),
        status.arrives_from.to_string(),
        status.arrives_by.to_string(),
    );
    assert_eq!(
        days,
        (
            "2026-11-23".into(),
            "2026-11-27".into(),
            "2026-12-01".into()
        )
    );
    for (now, overdue) in [
        (NOW, false),
        ("2026-12-01T15:00:00Z", false),
        ("2026-12-02T05:59:59Z", false), // still the first of December in Chicago
        ("2026-12-02T06:00:00Z", true),
        ("2027-06-01T00:00:00Z", true),
    ] {
        assert_eq!(
            LetterStatus::of(&home, &policy, at(now)).unwrap().overdue,
            overdue,
            "{now}"
        );
    }
    let abroad = Issue {
        abroad: true,
        ..issue()
    };
    let status = LetterStatus::of(&abroad, &policy, at("2026-12-15T18:00:00Z")).unwrap();
    assert_eq!(
        (
            status.arrives_from.to_string(),
            status.arrives_by.to_string()
        ),
        ("2026-12-03".into(), "2026-12-15".into())
    );
    assert!(!status.overdue);
    assert_eq!(
        LetterStatus::of(&home, &self::policy("agent"), at(NOW)),
        None,
        "a portal without letters"
    );
    // The issue date is in the portal's time zone: 5:30 in London is the evening before in Chicago.
    let late = Issue {
        issued_at: at("2026-11-24T05:30:00Z"),
        ..issue()
    };
    assert_eq!(
        LetterStatus::of(&late, &policy, at(NOW))
            .unwrap()
            .issued_on
            .to_string(),
        "2026-11-23"
    );
}

// Sessions (AG-14, UX-04)

fn session(policy: &Policy) -> Session {
    Session {
        id: "digest".into(),
        portal: policy.portal.clone(),
        account: AccountId::from_bytes([4; 16]),
        organization: None,
        epoch: 0,
        started_at: at(NOW),
        last_seen_at: at(NOW),
        expires_at: policy.session_expires_at(at(NOW)),
        proofs: std::collections::BTreeMap::new(),
        applications: std::collections::BTreeMap::new(),
        device: None,
        source: None,
    }
}

#[test]
fn a_session_is_valid_until_its_limits() {
    let policy = policy("member");
    let account = account("member", Vec::new());
    let session = session(&policy);
    // Thirty minutes idle are allowed, one second more is not.
    assert!(session.is_open(&account, &policy, at(NOW)));
    assert!(session.is_open(&account, &policy, at(NOW) + minutes(30)));
    assert!(!session.is_open(&account, &policy, at(NOW) + minutes(30) + SECOND));
    // Eight hours are the absolute limit, regardless of use.
    let end = at(NOW) + minutes(8 * 60);
    let used = |last_seen_at| Session {
        last_seen_at,
        ..session.clone()
    };
    assert!(used(end - SECOND).is_open(&account, &policy, end - SECOND));
    assert!(!used(end - SECOND).is_open(&account, &policy, end));
    // Without an idle limit, only the absolute limit applies.
    let endless = edited("member", "idle_minutes = 30", "");
    assert!(session.is_open(&account, &endless, end - SECOND));
    assert!(!session.is_open(&account, &endless, end));
    assert!(!session.wants_touch(&endless, end - SECOND));
    // A shorter limit also applies to open sessions.
    let shorter = edited("member", "idle_minutes = 30", "idle_minutes = 5");
    assert!(!session.is_open(&account, &shorter, at(NOW) + minutes(6)));
    // Changes of the account apply at once.
    for status in [Status::Disabled, Status::Deleted] {
        assert!(!session.is_open(
            &Account {
                status,
                ..account.clone()
            },
            &policy,
            at(NOW)
        ));
    }
    let mut ended = account.clone();
    ended.end_sessions();
    assert!(!session.is_open(&ended, &policy, at(NOW)));
    assert!(
        Session {
            epoch: 1,
            ..session.clone()
        }
        .is_open(&ended, &policy, at(NOW))
    );
    assert!(
        !Session {
            epoch: 2,
            ..session.clone()
        }
        .is_open(&ended, &policy, at(NOW))
    );
}

#[test]
fn use_is_recorded_once_per_thirtieth_of_the_idle_limit() {
    let policy = policy("member");
    let session = session(&policy);
    assert!(!session.wants_touch(&policy, at(NOW)));
    assert!(!session.wants_touch(&policy, at(NOW) + minutes(1) - SECOND));
    assert!(session.wants_touch(&policy, at(NOW) + minutes(1)));
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn a_session_in_use_lasts_until_its_absolute_limit(gaps in proptest::collection::vec(1i64..29, 1..40)) {
        let policy = policy("member");
        let account = account("member", Vec::new());
        let mut session = session(&policy);
        let mut now = at(NOW);
        for gap in gaps {
            now += minutes(gap);
            prop_assert_eq!(session.is_open(&account, &policy, now), now < session.expires_at);
            if session.wants_touch(&policy, now) {
                session.last_seen_at = now;
            }
        }
    }
}

// Invitations (AG-01, UX-01)

fn invitation(token: &Token, state: State) -> Invitation {
    let organization = OrganizationId::from_bytes([3; 16]);
    let email = Email::parse("sam@blueheron.example").unwrap();
    let name = PersonName {
        first: NamePart::parse("Sam").unwrap(),
        last: NamePart::parse("Lind").unwrap(),
    };
    Invitation {
        id: InvitationId::from_bytes([5; 16]),
        version: 0,
        portal: PortalId::parse("group").unwrap(),
        organization,
        organization_name: "Blue Heron Manufacturing".into(),
        name,
        email,
        role: Role::User,
        end_date: None,
        invited_by: AccountId::from_bytes([4; 16]),
        first_invited_by: None,
        inviter: "Ruth Okafor".into(),
        token: token.digest(),
        sent_at: at(NOW),
        sent: 1,
        expires_at: at("2026-12-08T06:00:00Z"),
        state,
    }
}

#[test]
fn invitation_statuses_and_refusals() {
    let mut rng = rng();
    let right = Token::random(TokenKind::Invitation, "where".into(), &mut rng);
    let older = Token::random(TokenKind::Invitation, "where".into(), &mut rng);
    let end = at("2026-12-08T06:00:00Z");
    let accepted = State::Accepted {
        account: AccountId::from_bytes([4; 16]),
    };
    for (state, now, status, usable) in [
        (State::Pending, at(NOW), InvitationStatus::Pending, Ok(())),
        (
            State::Pending,
            end - SECOND,
            InvitationStatus::Pending,
            Ok(()),
        ),
        (
            State::Pending,
            end,
            InvitationStatus::Expired,
            Err(Refusal::Expired),
        ),
        (
            accepted.clone(),
            at(NOW),
            InvitationStatus::Accepted,
            Err(Refusal::AlreadyAccepted),
        ),
        (
            accepted,
            end,
            InvitationStatus::Accepted,
            Err(Refusal::AlreadyAccepted),
        ),
        (
            State::Revoked,
            at(NOW),
            InvitationStatus::Revoked,
            Err(Refusal::Revoked),
        ),
        (
            State::Revoked,
            end,
            InvitationStatus::Revoked,
            Err(Refusal::Revoked),
        ),
    ] {
        let invitation = invitation(&right, state);
        assert_eq!(
            (
                invitation.status(now),
                check_usable(&invitation, &right, now)
            ),
            (status, usable)
        );
        // With another token, the invitation is unknown, whatever its state.
        assert_eq!(
            check_usable(&invitation, &older, now),
            Err(Refusal::Unknown)
        );
    }
}

/// One change to an inviter who could otherwise send the invitation.
type Fall = fn(&mut Account);

#[test]
fn se_02_an_invitation_is_worth_what_its_inviter_and_organization_are_worth_now() {
    let policy = policy("group");
    let token = Token::random(TokenKind::Invitation, "where".into(), &mut rng());
    let pending = invitation(&token, State::Pending);
    let standing = |fall: Fall| {
        let mut inviter = account("group", vec![membership(PendingStep::Open, None)]);
        inviter.memberships[0].role = Role::Administrator;
        fall(&mut inviter);
        Standing {
            organization: Some(organization("group")),
            inviter: Some(inviter),
            ..Standing::default()
        }
    };
    let check = |standing: &Standing, invitation: &Invitation| {
        standing.check(invitation, &policy, at(NOW)).is_ok()
    };
    let whole = standing(|_| {});
    assert!(check(&whole, &pending));
    let falls: [(&str, Fall); 9] = [
        ("disabled", |a| a.disable(at(NOW))),
        ("deleted", Account::delete),
        ("removed", |a| a.memberships.clear()),
        ("of another organization", |a| {
            a.memberships[0].organization = Some(OrganizationId::from_bytes([9; 16]));
        }),
        ("demoted", |a| a.memberships[0].role = Role::User),
        ("not approved", |a| {
            a.memberships[0].pending_step = PendingStep::Approval;
        }),
        ("whose record has ended", |a| {
            a.memberships[0].pending_step = PendingStep::RecordEnded {
                before: Box::new(PendingStep::Open),
            };
        }),
        ("whose PIN has not been entered", |a| {
            a.memberships[0].pending_step = PendingStep::Pin { issue: issue() };
        }),
        ("whose access has ended", |a| {
            a.memberships[0].end_date = Some(Date::constant(2026, 11, 22));
        }),
    ];
    for (what, fall) in falls {
        assert!(!check(&standing(fall), &pending), "an inviter {what}");
    }
    assert!(
        check(&standing(|a| a.end_sessions()), &pending),
        "a session isn't standing"
    );
    // Nobody gives a role that they can't grant, or brings back a removed person without the right.
    let principal = Invitation {
        role: Role::Principal,
        ..pending.clone()
    };
    assert!(!check(&whole, &principal));
    let former = Standing {
        is_former_user: true,
        ..whole.clone()
    };
    assert!(!check(&former, &pending));
    let by_principal = Standing {
        is_former_user: true,
        ..standing(|a| a.memberships[0].role = Role::Principal)
    };
    assert!(check(&by_principal, &pending));
    let ended = Standing {
        organization: Some(Organization {
            ended_at: Some(at(NOW)),
            ..organization("group")
        }),
        ..whole.clone()
    };
    for (what, lacking) in [
        ("an ended organization", ended),
        (
            "no organization",
            Standing {
                organization: None,
                ..whole.clone()
            },
        ),
        (
            "no inviter",
            Standing {
                inviter: None,
                ..whole
            },
        ),
    ] {
        assert!(!check(&lacking, &pending), "{what}");
    }
}

#[test]
fn se_01_whatever_recovers_an_account_ends_every_other_way_in() {
    let policy = policy("group");
    let hash = || PasswordHash::new("$y".into());
    type Recovery<'a> = (&'a str, &'a dyn Fn(&mut Account));
    let recoveries: [Recovery<'_>; 4] = [
        ("a new password", &|a| {
            a.set_password(hash(), &policy, at(NOW));
        }),
        ("disabling", &|a| a.disable(at(NOW))),
        ("deleting", &Account::delete),
        ("ending all access", &Account::end_other_access),
    ];
    for (what, recover) in recoveries {
        let mut account = account("group", vec![membership(PendingStep::Open, None)]);
        account.reset = Some(ResetLink {
            token: "link".into(),
            expires_at: at(NOW) + minutes(30),
        });
        account.pending_email = Some(PendingEmail {
            email: Email::parse("intruder@elsewhere.example").unwrap(),
            token: "confirmation".into(),
            cancellation: "cancellation".into(),
            expires_at: at(NOW) + minutes(30),
        });
        let session = session(&policy);
        assert!(session.is_open(&account, &policy, at(NOW)));
        recover(&mut account);
        assert_eq!(
            (&account.reset, &account.pending_email),
            (&None, &None),
            "{what}"
        );
        // Also if the account is reinstated.
        account.status = Status::Active;
        assert!(!session.is_open(&account, &policy, at(NOW)), "{what}");
    }
}

// Generated usernames, codes and ids

#[test]
fn usernames_are_generated_only_where_the_policy_says_so() {
    let mut rng = rng();
    let provider = policy("provider");
    let mut generated = BTreeSet::new();
    for _ in 0..2_000 {
        let name = provider.make_username(&mut rng).unwrap();
        let tail = name.as_str().strip_prefix("prv").unwrap();
        assert_eq!(tail.len(), 8);
        assert!(
            tail.chars()
                .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit()),
            "{tail}"
        );
        assert!(
            !tail.contains(['i', 'l', 'o', '0', '1']),
            "no character that is easily misread: {tail}"
        );
        assert_eq!(Username::parse(name.as_str(), 7).unwrap().key(), name.key());
        generated.insert(name.key());
    }
    assert_eq!(generated.len(), 2_000, "all are different");
    for portal in [
        "agent", "group", "member", "practice", "producer", "employer",
    ] {
        assert_eq!(policy(portal).make_username(&mut rng), None, "{portal}");
    }
}

#[test]
fn codes_are_well_formed_and_uniformly_distributed() {
    let mut rng = rng();
    let mut counts = [[0u32; 10]; 6];
    let mut ids = BTreeSet::new();
    const SAMPLES: u32 = 6_000;
    for _ in 0..SAMPLES {
        let fresh = FreshCode::random("RC", 6, &mut rng, |id, digits| {
            code(id.as_str(), digits.expose())
        });
        let digits = fresh.digits.expose().strip_prefix("RC").unwrap().to_owned();
        assert!(
            digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_digit()),
            "{digits}"
        );
        assert_eq!(
            fresh.code,
            code(fresh.id.as_str(), &format!("RC{digits}")),
            "the MAC is of what the user enters"
        );
        for (place, digit) in digits.bytes().enumerate() {
            counts[place][usize::from(digit - b'0')] += 1;
        }
        ids.insert(fresh.id);
    }
    assert_eq!(ids.len() as u32, SAMPLES, "every issue has its own id");
    // Chi-square with nine degrees of freedom: uniform digits exceed 27.9 once in a thousand.
    for place in counts {
        let expected = f64::from(SAMPLES) / 10.0;
        let chi: f64 = place
            .iter()
            .map(|n| (f64::from(*n) - expected).powi(2) / expected)
            .sum();
        assert!(chi < 27.9, "{place:?}");
    }
    let pin = FreshCode::random("", 4, &mut rng, |_, _| code("", ""));
    assert!(
        pin.digits.expose().len() == 4 && pin.digits.expose().bytes().all(|b| b.is_ascii_digit())
    );
    assert!(
        !format!("{pin:?}").contains(pin.digits.expose()),
        "the digits are not printed"
    );
}

/// The producer portal with password expiration.
fn timed() -> Policy {
    edited(
        "producer",
        "reject_obscene_words = false",
        "reject_obscene_words = false\nmax_age_days = 90\nwarning_days = [14, 7, 3, 1]",
    )
}

/// The same with campaigns, so that every scheduled action can occur.
fn busy() -> Policy {
    let campaigns = format!(
        "max_age_days = 90\nwarning_days = [14, 7, 3, 1]\n{}\n{}\n[session]",
        re_registration("2027-03-01", "2027-08-31"),
        "[[campaign]]\nkind = \"release_usernames\"\non = 2028-01-03\ncreated_before = 2027-07-01",
    );
    edited("producer", "[session]", &campaigns)
}

fn re_registration(start: &str, cutoff: &str) -> String {
    format!(
        "[[campaign]]\nkind = \"re_registration\"\nstart = {start}\ncutoff = {cutoff}\ntransition_days = 90\nwarning_days = [14, 1]"
    )
}

/// A transaction writes at most a hundred items. The administrators of all organizations are notified nevertheless.
#[test]
fn ba_02_the_administrators_of_fifty_organizations_are_notified_in_small_transactions() {
    let policy = policy("producer");
    let of = |n: u8| Membership {
        organization: Some(OrganizationId::from_bytes([n; 16])),
        role: Role::User,
        ..membership(PendingStep::Open, None)
    };
    let mut account = account("producer", (0..50).map(of).collect());
    let mut notified = BTreeMap::<_, BTreeSet<_>>::new();
    for days in [181, 182, 401] {
        let origin = Origin {
            portal: account.portal.clone(),
            at: at(NOW) + SignedDuration::from_hours(24 * days),
            source: None,
        };
        let mut rounds = 0;
        while let Some(act) =
            schedule::apply(&account, &[], Context::new(&policy, &origin, &mut rng()))
        {
            for decision in act.notices.iter().chain([&act.decision]) {
                let mut notices = 0;
                for change in &decision.changes {
                    if let Change::QueueAdminNotice(notice) = change {
                        let of_outcome = notified.entry(format!("{:?}", notice.outcome));
                        assert!(of_outcome.or_default().insert(notice.organization.clone()));
                        notices += 1;
                    }
                }
                assert!(notices <= 40 && decision.changes.len() <= 50);
            }
            account = act.after;
            rounds += 1;
            assert!(rounds < 12, "the sweep repeats an action at most so often");
        }
    }
    assert_eq!(account.status, Status::Deleted);
    let counts: Vec<_> = notified.values().map(BTreeSet::len).collect();
    assert_eq!(counts, [50, 50], "{:?}", notified.keys());
}

/// A campaign's requirements (end of access, cutoff), by registration date and current date.
#[test]
fn ag_13_a_campaigns_requirements_follow_from_the_dates() {
    let day = |text: &str| text.parse::<Date>().unwrap();
    let with = |campaigns: &[(&str, &str)]| {
        let text: String = campaigns
            .iter()
            .map(|(start, cutoff)| re_registration(start, cutoff) + "\n")
            .collect();
        edited("agent", "[roles.user]", &format!("{text}[roles.user]"))
    };
    let one = [("2027-03-01", "2027-08-31")];
    let short = [("2027-03-01", "2027-03-31")];
    // One campaign was missed; then the next starts.
    let two = [("2027-03-01", "2027-08-31"), ("2028-03-01", "2028-08-31")];
    for (campaigns, registered, today, required) in [
        (&one[..], "2027-02-28", "2027-02-28", None),
        (
            &one,
            "2027-02-28",
            "2027-03-01",
            Some(("2027-05-30", "2027-08-31")),
        ),
        (
            &one,
            "2027-02-28",
            "2029-03-01",
            Some(("2027-05-30", "2027-08-31")),
        ),
        (&one, "2027-03-01", "2027-03-01", None),
        (&one, "2027-09-01", "2027-09-01", None),
        // A cutoff before the end of the transition period also ends access.
        (
            &short,
            "2027-02-28",
            "2027-03-01",
            Some(("2027-03-31", "2027-03-31")),
        ),
        (
            &two,
            "2027-02-28",
            "2028-02-29",
            Some(("2027-05-30", "2027-08-31")),
        ),
        (
            &two,
            "2027-02-28",
            "2028-03-01",
            Some(("2027-05-30", "2028-08-31")),
        ),
        (
            &two,
            "2027-04-01",
            "2028-03-01",
            Some(("2028-05-30", "2028-08-31")),
        ),
    ] {
        let policy = with(campaigns);
        let noon = policy.noon_of(day(registered)).unwrap();
        for again in [false, true] {
            let mut m = membership(PendingStep::Open, None);
            m.joined_at = noon;
            if again {
                // Registering again counts like registering.
                m.joined_at = at("2020-01-01T00:00:00Z");
                m.registered_again_at = Some(noon);
            }
            let call = campaign::call(&m, &policy, day(today));
            let expected = required.map(|(access, cutoff)| Call {
                access_expires_at: day(access),
                cutoff: day(cutoff),
            });
            assert_eq!(call, expected, "{campaigns:?} {registered} {today}");
        }
    }
}

#[test]
fn ag_13_the_steps_of_a_campaign_come_in_order() {
    let policy = edited(
        "agent",
        "[roles.user]",
        &(re_registration("2027-03-01", "2027-08-31") + "\n[roles.user]"),
    );
    let mut dana = account("agent", vec![membership(PendingStep::Open, None)]);
    let step = |account: &Account, day: &str| {
        let noon = policy.noon_of(day.parse().unwrap()).unwrap();
        let mut account = account.clone();
        account.password.as_mut().unwrap().changed_at = noon;
        step_after_sign_in(&account, account.memberships.first(), &policy, noon)
    };
    for (day, expected) in [
        ("2027-02-28", None),
        ("2027-03-01", None),
        ("2027-05-30", None),
        ("2027-05-31", Some(NextStep::RegisterAgain)),
        ("2027-08-31", Some(NextStep::RegisterAgain)),
        ("2027-09-01", Some(NextStep::CampaignOver)),
    ] {
        assert_eq!(step(&dana, day), expected, "{day}");
    }
    // Other pending steps come after registering again.
    dana.memberships[0].pending_step = PendingStep::Approval;
    assert_eq!(step(&dana, "2027-05-30"), Some(NextStep::AwaitApproval));
    assert_eq!(step(&dana, "2027-05-31"), Some(NextStep::RegisterAgain));
    dana.memberships[0].registered_again_at = Some(at("2027-06-01T12:00:00Z"));
    assert_eq!(step(&dana, "2027-09-01"), Some(NextStep::AwaitApproval));
}

/// A user created `made` days ago, with later events, each a number of days ago.
fn aged(
    today: Timestamp,
    (made, signed_in, changed): (i64, Option<i64>, Option<i64>),
    disabled: bool,
    notified: Option<i64>,
    ends: Option<i64>,
) -> Account {
    let ago = |days: i64| today - SignedDuration::from_hours(24 * days);
    let mut user = membership(PendingStep::Open, None);
    user.role = Role::User;
    let policy = timed();
    user.end_date = ends.map(|days| policy.date_of(ago(days)));
    let mut account = account("producer", vec![user]);
    account.created_at = ago(made);
    account.last_sign_in_at = signed_in.map(|d| ago(d.min(made)));
    account.status_since = changed.map(|d| ago(d.min(made)));
    if disabled {
        account.status = Status::Disabled;
    }
    if let Some(password) = &mut account.password {
        password.changed_at = ago(made.min(100));
    }
    account.notices.idle = notified.map(|d| policy.date_of(ago(d.min(made))));
    account
}

fn days_between(a: Date, b: Date) -> i64 {
    i64::from(a.until(b).unwrap().get_days())
}

proptest! {
    #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(7), ..ProptestConfig::default() })]

    /// No action is performed before it is due or repeated once done, and the day of the next one
    /// only moves forward.
    #[test]
    fn ba_10_the_scheduler_performs_each_due_action_once(
        offset in 0i64..2000,
        (made, signed_in) in (0i64..900, proptest::option::of(0i64..900)),
        changed in proptest::option::of(0i64..500),
        disabled: bool,
        notified in proptest::option::of(0i64..900),
        ends in proptest::option::of(-30i64..60),
    ) {
        let policy = busy();
        let now = at(NOW) + SignedDuration::from_hours(24 * offset);
        let today = policy.today(now);
        let origin = Origin { portal: policy.portal.clone(), at: now, source: None };
        let mut account = aged(now, (made, signed_in, changed), disabled, notified, ends);
        let idle = days_between(schedule::idle_since(&account, &policy), today);
        let mut done = Vec::new();
        while let Some(act) = schedule::apply(&account, &[], Context::new(&policy, &origin, &mut rng())) {
            prop_assert!(act.due.on <= today);
            prop_assert_eq!(act.decision.messages.len(), 1, "each sends one notice");
            prop_assert_eq!(act.after.version, account.version + 1);
            match act.due.action {
                ScheduledAction::Disable => prop_assert!(account.status == Status::Active && idle > 180),
                ScheduledAction::Delete => {
                    prop_assert!(account.status == Status::Disabled && idle > 400);
                    prop_assert!(!done.contains(&ScheduledAction::Disable), "not on the same day");
                }
                ScheduledAction::WarnOfDisabling => prop_assert!(idle > 180 - 15 && act.due.about > today),
                ScheduledAction::WarnOfDeletion => prop_assert!(act.due.about > today),
                ScheduledAction::EndAccess => prop_assert!(ends > Some(0)),
                ScheduledAction::CampaignNotice => prop_assert!(act.due.about > policy.date_of(at(NOW))),
                ScheduledAction::PasswordNotice | ScheduledAction::LetterNotice | ScheduledAction::UsernameNotice => {}
            }
            prop_assert!(!done.contains(&act.due.action), "{:?} twice", act.due.action);
            done.push(act.due.action);
            account = act.after;
        }
        if let Some(next) = schedule::next_due(&account, &policy) {
            prop_assert!(next.on > today);
        }
        if account.status == Status::Deleted {
            prop_assert_eq!(schedule::next_due(&account, &policy), None);
        }
    }

    /// A sign-in postpones everything that depends on idleness.
    #[test]
    fn ba_01_a_sign_in_postpones_the_warning_by_166_days(made in 0i64..900, notified in proptest::option::of(0i64..900)) {
        let policy = timed();
        let mut account = aged(at(NOW), (made, Some(0), None), false, notified, None);
        account.password = None;
        let next = schedule::next_due(&account, &policy).unwrap();
        prop_assert_eq!(next.action, ScheduledAction::WarnOfDisabling);
        prop_assert_eq!(days_between(policy.date_of(at(NOW)), next.on), 181 - 14);
    }
}

#[test]
fn ba_03_a_principal_is_never_deleted_even_where_the_policy_would_disable_one() {
    let strict = edited(
        "producer",
        "exempt_roles = [\"principal\", \"administrator\"]",
        "exempt_roles = [\"administrator\"]",
    );
    let now = at(NOW) + SignedDuration::from_hours(24 * 500);
    let mut principal = account("producer", vec![membership(PendingStep::Open, None)]);
    let due = schedule::first_due(&principal, &strict, strict.today(now)).unwrap();
    assert_eq!(due.action, ScheduledAction::Disable);
    principal.disable(now);
    assert_eq!(schedule::next_due(&principal, &strict), None);
    assert_eq!(schedule::next_due(&principal, &policy("producer")), None);
}

// What follows from a decision on the schedule

fn portals() -> Portals {
    Portals::new(["group", "practice", "producer"].map(|portal| {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR"))
            .join(format!("../../infra/portals/{portal}.toml"));
        let text = std::fs::read_to_string(path).unwrap();
        (PortalId::parse(portal).unwrap(), portal.to_owned(), text)
    }))
}

fn organization(portal: &str) -> Organization {
    Organization {
        id: OrganizationId::from_bytes([3; 16]),
        portal: PortalId::parse(portal).unwrap(),
        kind: "practice".into(),
        name: "Whitfield".into(),
        record: None,
        registered_by: AccountId::from_bytes([4; 16]),
        registered_at: at(NOW),
        registered_again_at: None,
        version: 0,
        ended_at: None,
        principals: BTreeSet::new(),
        group_codes: BTreeSet::new(),
        review: None,
        next_review_due_on: Some(Date::constant(2027, 5, 22)),
    }
}

/// The due days and follow-ups of a decision made at [`NOW`] on a portal.
fn consequences(
    portal: &str,
    changes: Vec<Change>,
) -> (Vec<Option<Date>>, Vec<(FollowUpKind, Date)>) {
    let origin = Origin {
        portal: PortalId::parse(portal).unwrap(),
        at: at(NOW),
        source: None,
    };
    let audit = AuditEvent::done(&origin, Actor::System, Action::Register, &mut rng());
    let decision = changes
        .into_iter()
        .fold(Decision::recording(audit), Decision::change);
    let scheduled = ScheduledDecision::new(decision, &portals()).unwrap();
    let follow_ups = scheduled.follow_ups.iter().map(|f| (f.kind, f.on));
    (scheduled.due_days.clone(), follow_ups.collect())
}

fn update(before: &Account, after: Account) -> Change {
    Change::UpdateAccount {
        before: Box::new(before.clone()),
        after: Box::new(after),
    }
}

#[test]
fn ag_04_ex_11_a_new_organization_is_checked_for_a_backup_and_reviewed_where_the_policy_says_so() {
    let new = |portal| vec![Change::CreateOrganization(organization(portal))];
    let backup = (FollowUpKind::Backup, Date::constant(2026, 11, 30));
    assert_eq!(
        consequences("group", new("group")),
        (vec![None], vec![backup])
    );
    let review = (FollowUpKind::Review, Date::constant(2027, 5, 22));
    assert_eq!(consequences("practice", new("practice")).1, [review]);
    assert_eq!(consequences("producer", new("producer")).1, []);
    assert_eq!(
        consequences("nowhere", new("nowhere")),
        (vec![None], vec![])
    );
}

#[test]
fn ag_04_a_check_for_a_backup_follows_when_an_administrator_can_no_longer_act() {
    let before = account("group", vec![membership(PendingStep::Open, None)]);
    let today = vec![(FollowUpKind::Backup, Date::constant(2026, 11, 23))];
    let changed = |change: fn(&mut Account)| {
        let mut after = before.clone();
        change(&mut after);
        consequences("group", vec![update(&before, after)]).1
    };
    assert_eq!(changed(|a| a.version += 1), []);
    assert_eq!(changed(|a| a.memberships[0].role = Role::Administrator), []);
    assert_eq!(changed(|a| a.memberships[0].role = Role::User), today);
    assert_eq!(changed(|a| a.memberships.clear()), today);
    assert_eq!(changed(|a| a.disable(at(NOW))), today);
    assert_eq!(
        changed(|a| a.memberships[0].pending_step = PendingStep::Approval),
        today
    );
    let mut user = before.clone();
    user.memberships[0].role = Role::User;
    let mut disabled = user.clone();
    disabled.disable(at(NOW));
    assert_eq!(consequences("group", vec![update(&user, disabled)]).1, []);
}

#[test]
fn a_follow_up_is_set_once_and_not_by_the_decision_that_resolves_it() {
    let Organization { id, portal, .. } = organization("group");
    let notice = |person: &str| {
        Change::QueueAdminNotice(AdminNotice {
            portal: portal.clone(),
            organization: id.clone(),
            account: AccountId::from_bytes([4; 16]),
            person: person.into(),
            username: person.into(),
            outcome: AccountOutcome::Ended,
            on: Date::constant(2026, 11, 23),
        })
    };
    let twice = vec![notice("dana"), notice("ruth")];
    let set = (FollowUpKind::AdminNotice, Date::constant(2026, 11, 23));
    assert_eq!(
        consequences("group", twice.clone()),
        (vec![None; 2], vec![set])
    );
    let resolved = Change::ResolveFollowUp {
        follow_up: FollowUp {
            portal: portal.clone(),
            organization: id.clone(),
            kind: FollowUpKind::AdminNotice,
            on: Date::constant(2026, 11, 23),
            version: 1,
        },
        again: None,
    };
    let with_resolution = [twice, vec![resolved]].concat();
    assert_eq!(consequences("group", with_resolution).1, []);
}

#[test]
fn ba_01_the_due_day_of_an_account_is_that_after_the_change() {
    let before = account("producer", vec![]);
    let next = |account: &Account| {
        let policy = policy("producer");
        schedule::next_due(account, &policy).map(|due| due.on)
    };
    let created = consequences(
        "producer",
        vec![Change::CreateAccount(Box::new(before.clone()))],
    );
    assert_eq!(created.0, [next(&before)]);
    let signed_in = Change::NoteSignIn {
        account: Box::new(before.clone()),
        at: at(NOW) + SignedDuration::from_hours(24 * 30),
        rehashed: None,
        from: None,
        device: String::new(),
        forgotten_devices: Vec::new(),
    };
    let later = Account {
        last_sign_in_at: Some(at(NOW) + SignedDuration::from_hours(24 * 30)),
        ..before.clone()
    };
    assert!(next(&later) > next(&before));
    assert_eq!(consequences("producer", vec![signed_in]).0, [next(&later)]);
    let mut deleted = before.clone();
    deleted.delete();
    assert_eq!(
        consequences("producer", vec![update(&before, deleted)]).0,
        [None]
    );
}

// Single sign-on (SO-01 to SO-05)

const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
const CALLBACK: &str = "https://enrollment.harborlight.example/callback";

type Pairs = Vec<(String, String)>;

/// Returns a valid request with some parameters replaced; those with an empty value are left out.
fn request(changed: &[(&str, &str)]) -> Pairs {
    let mut pairs: BTreeMap<&str, &str> = BTreeMap::from([
        ("response_type", "code"),
        ("client_id", "enrollment-desk"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]);
    pairs.extend(changed.iter().copied());
    let given = pairs.into_iter().filter(|(_, value)| !value.is_empty());
    given
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect()
}

fn parsed(policy: &Policy, changed: &[(&str, &str)]) -> AuthorizationRequest {
    let pairs = request(changed);
    AuthorizationRequest::parse(Parameters::new(&pairs), &policy.applications[0]).unwrap()
}

/// A user with the service of the enrollment desk, and an open session.
fn desk_user(policy: &Policy) -> (Account, Session) {
    let mut membership = membership(PendingStep::Open, Some("employer"));
    membership.services = ["billing", "enrollment"].map(str::to_owned).into();
    membership.group_codes = ["BH01".to_owned()].into();
    let session = Session {
        organization: membership.organization.clone(),
        proofs: BTreeMap::from([(Proof::Password, at(NOW))]),
        ..session(policy)
    };
    (account("group", vec![membership]), session)
}

/// Opens the enrollment desk. Returns the code that is stored, and the session with the application.
fn opened(policy: &Policy, account: &Account, session: &Session) -> (AuthorizationCode, Session) {
    let application = &policy.applications[0];
    let pairs = request(&[]);
    let (_, address) = return_address(Parameters::new(&pairs), policy).unwrap();
    let (origin, mut rng) = (origin("group", at(NOW)), rng());
    let context = Context::new(policy, &origin, &mut rng);
    let user = User { account, session };
    let opened = single_sign_on::open(
        &parsed(policy, &[("scope", "openid profile email")]),
        &address,
        application,
        user,
        None,
        context,
    );
    let (_, decision) = opened.unwrap();
    let mut session = session.clone();
    let mut issued = None;
    for change in decision.changes {
        match change {
            Change::IssueCode(code) => issued = Some(code),
            Change::OpenApplication {
                application,
                opened,
                ..
            } => drop(session.applications.insert(application, opened)),
            _ => {}
        }
    }
    let mut code = issued.unwrap();
    code.grant.organization = session.organization.clone().map(|id| OrganizationClaim {
        id,
        name: "Blue Heron Manufacturing".into(),
        number: Some("GR20001".into()),
    });
    (code, session)
}

fn origin(portal: &str, at: Timestamp) -> Origin {
    Origin {
        portal: PortalId::parse(portal).unwrap(),
        at,
        source: None,
    }
}

/// Exchanges a code at a time; returns the reason if it gives nothing.
fn redeemed(
    (policy, now): (&Policy, Timestamp),
    code: &AuthorizationCode,
    (redirect_uri, verifier): (&str, &str),
    user: Option<User<'_>>,
) -> Result<Redeemed, &'static str> {
    let redemption = Redemption {
        application: &policy.applications[0],
        redirect_uri,
        verifier,
    };
    let (origin, mut rng) = (origin("group", now), rng());
    let context = Context::new(policy, &origin, &mut rng);
    single_sign_on::redeem(code, redemption, user, context).map_err(|cause| match cause {
        NotRedeemed::Invalid(reason) => reason,
        NotRedeemed::Reused(_) => "reused",
    })
}

proptest! {
    #![proptest_config(fixed())]

    #[test]
    fn so_05_no_address_but_the_registered_one_is_a_redirect_address(
        place in 0..CALLBACK.len(), inserted in "[ -~]{0,3}", removed in 0usize..3,
    ) {
        let policy = policy("group");
        let end = (place + removed).min(CALLBACK.len());
        let address = format!("{}{inserted}{}", &CALLBACK[..place], &CALLBACK[end..]);
        let pairs = request(&[("redirect_uri", &address)]);
        let found = return_address(Parameters::new(&pairs), &policy);
        prop_assert_eq!(found.is_ok(), address == CALLBACK, "{}", address);
    }

    #[test]
    fn so_05_a_code_is_exchanged_only_with_its_verifier(
        place in 0..VERIFIER.len(), other in "[A-Za-z0-9._~-]", length in 0usize..140,
    ) {
        let policy = policy("group");
        let (account, session) = desk_user(&policy);
        let (code, session) = opened(&policy, &account, &session);
        let user = Some(User { account: &account, session: &session });
        let swapped = format!("{}{other}{}", &VERIFIER[..place], &VERIFIER[place + 1..]);
        for verifier in [swapped, VERIFIER.repeat(4)[..length].to_owned()] {
            let redeemed = redeemed((&policy, at(NOW)), &code, (CALLBACK, &verifier), user);
            prop_assert_eq!(redeemed.is_ok(), verifier == VERIFIER, "{}", verifier);
        }
    }

    #[test]
    fn so_01_unknown_scopes_prompts_and_parameters_are_ignored_and_texts_are_bounded(
        scopes in proptest::collection::vec("[a-z_:/]{1,12}", 0..6), name in "[a-z_]{1,10}x", length in 2040usize..2056,
    ) {
        let policy = policy("group");
        let with_openid = format!("{} openid", scopes.join(" "));
        let known: BTreeSet<_> = scopes.iter().filter_map(|s| Scope::parse(s)).chain([Scope::OpenId]).collect();
        prop_assert_eq!(parsed(&policy, &[("scope", &with_openid), (&name, "1")]).scopes, known);
        let text = "n".repeat(length);
        let pairs = request(&[("nonce", &text)]);
        let read = AuthorizationRequest::parse(Parameters::new(&pairs), &policy.applications[0]);
        prop_assert_eq!(read.is_ok(), length <= 2048);
    }

    #[test]
    fn so_04_a_sign_in_is_recent_enough_exactly_until_max_age(max_age in 0u32..10_000, passed in 0i64..20_000) {
        let policy = edited("group", "idle_minutes = 30", "");
        let (account, session) = desk_user(&policy);
        let user = Some(User { account: &account, session: &session });
        let now = at(NOW) + SignedDuration::from_secs(passed);
        let request = parsed(&policy, &[("max_age", &max_age.to_string())]);
        let step = single_sign_on::first_step(&request, user, None, (&policy, now)).unwrap();
        prop_assert_eq!(step.is_none(), passed <= i64::from(max_age), "{:?}", step);
    }
}

#[test]
fn so_04_prompt_and_the_time_of_the_request_decide_who_signs_in_again() {
    let policy = policy("group");
    let (account, session) = desk_user(&policy);
    let user = Some(User {
        account: &account,
        session: &session,
    });
    let (before, after) = (at(NOW) - SECOND, at(NOW) + SECOND);
    let now = at(NOW) + minutes(5);
    let sign_in = Ok(Some(FirstStep::SignIn));
    for (prompt, user, started_at, expected) in [
        ("", user, None, Ok(None)),
        ("", None, None, sign_in),
        ("consent", user, None, Ok(None)),
        ("login", user, None, sign_in),
        ("select_account", user, None, sign_in),
        ("login consent", user, None, sign_in),
        // Only a sign-in after the request began is the one that it demands.
        ("login", user, Some(before), Ok(None)),
        ("login", user, Some(at(NOW)), Ok(None)),
        ("login", user, Some(after), sign_in),
        ("none", user, None, Ok(None)),
        ("none", None, None, Err(ErrorCode::LoginRequired)),
    ] {
        let request = parsed(&policy, &[("prompt", prompt)]);
        let step = single_sign_on::first_step(&request, user, started_at, (&policy, now));
        let step = step.map_err(|error| error.code);
        assert_eq!(step, expected, "{prompt} {started_at:?}");
    }
}

#[test]
fn so_02_claims_are_those_of_the_membership_and_the_scopes() {
    let policy = policy("group");
    let (account, session) = desk_user(&policy);
    let (code, session) = opened(&policy, &account, &session);
    let user = User {
        account: &account,
        session: &session,
    };
    let mut grant = code.grant.clone();
    let claims = single_sign_on::claims(&grant, user, (&policy, at(NOW))).unwrap();
    assert_eq!(claims.roles, ["principal"]);
    assert_eq!(
        Vec::from_iter(&claims.entitlements),
        ["billing", "enrollment"]
    );
    assert_eq!(Vec::from_iter(&claims.groups), ["BH01"]);
    assert_eq!(claims.name.as_deref(), Some("Dana Whitfield"));
    assert_eq!(claims.email.as_deref(), Some("dana@whitfield.example"));
    for (scopes, has_name, has_email) in [
        (&[Scope::OpenId][..], false, false),
        (&[Scope::OpenId, Scope::Profile], true, false),
        (&[Scope::OpenId, Scope::Email], false, true),
    ] {
        grant.scopes = scopes.iter().copied().collect();
        let claims = single_sign_on::claims(&grant, user, (&policy, at(NOW))).unwrap();
        let profile = [
            &claims.name,
            &claims.given_name,
            &claims.family_name,
            &claims.preferred_username,
        ];
        assert!(profile.iter().all(|claim| claim.is_some() == has_name));
        assert_eq!(claims.email.is_some(), has_email);
    }
    // What the methods of a session are called, and the level they reach (RFC 8176, NIST SP 800-63B-4).
    for (proofs, amr, second) in [
        (&[Proof::Password][..], &["pwd"][..], false),
        (&[Proof::Password, Proof::TrustedDevice], &["pwd"], false),
        (
            &[Proof::Password, Proof::AuthenticatorApp],
            &["mfa", "otp", "pwd"],
            true,
        ),
        (&[Proof::Passkey], &["mfa", "pop", "user"], true),
    ] {
        let session = Session {
            proofs: proofs.iter().map(|proof| (*proof, at(NOW))).collect(),
            ..session.clone()
        };
        let user = User {
            account: &account,
            session: &session,
        };
        let claims = single_sign_on::claims(&grant, user, (&policy, at(NOW))).unwrap();
        assert_eq!(Vec::from_iter(claims.amr), amr);
        assert_eq!(claims.acr, if second { AAL2 } else { AAL1 });
    }
}

/// A name, and a change of what gives access.
type Ending = (&'static str, fn(&mut Account, &mut Session));

#[test]
fn so_03_access_ends_with_the_session_the_account_the_service_and_the_notice() {
    let policy = policy("group");
    let (account, session) = desk_user(&policy);
    let (code, session) = opened(&policy, &account, &session);
    let endings: [Ending; 9] = [
        ("disabled", |account, _| account.status = Status::Disabled),
        ("deleted", |account, _| account.delete()),
        ("sessions ended", |account, _| account.end_sessions()),
        ("service", |account, _| {
            account.memberships[0].services = ["billing".to_owned()].into();
        }),
        ("end date", |account, _| {
            account.memberships[0].end_date = Some("2026-11-22".parse().unwrap());
        }),
        ("membership", |account, _| account.memberships.clear()),
        ("lifetime", |_, session| session.expires_at = at(NOW)),
        ("idle", |_, session| session.last_seen_at -= minutes(31)),
        ("notified", |_, session| session.applications.clear()),
    ];
    for (why, end) in endings {
        let (mut account, mut session) = (account.clone(), session.clone());
        end(&mut account, &mut session);
        let user = User {
            account: &account,
            session: &session,
        };
        let claims = single_sign_on::claims(&code.grant, user, (&policy, at(NOW)));
        assert_eq!(claims, None, "{why}");
        let redeemed = redeemed((&policy, at(NOW)), &code, (CALLBACK, VERIFIER), Some(user));
        assert_eq!(
            redeemed.err(),
            Some("the user's session or access has ended"),
            "{why}"
        );
        let (origin, mut rng) = (origin("group", at(NOW)), rng());
        let context = Context::new(&policy, &origin, &mut rng);
        let sessions = std::slice::from_ref(&session);
        let decision = single_sign_on::end_access(Some(&account), sessions, context);
        let notices = decision.map_or(0, |decision| decision.messages.len());
        assert_eq!(notices, usize::from(why != "notified"), "{why}");
    }
}

#[test]
fn so_03_the_end_of_a_session_that_nobody_uses_is_known_when_an_application_opens() {
    let policy = policy("group");
    let (account, unused) = desk_user(&policy);
    let (_, session) = opened(&policy, &account, &unused);
    let end = at(NOW) + minutes(30) + SECOND;
    assert_eq!(session.ends_at(&policy), end);
    assert!(session.is_open(&account, &policy, end - SECOND));
    assert!(!session.is_open(&account, &policy, end));
    let ending = EndingSession {
        session: session.id.clone(),
        check_at: end,
    };
    let next = |session: &Session, now| {
        let sessions = std::slice::from_ref(session);
        single_sign_on::next_check(sessions, &ending, (&policy, now))
    };
    assert_eq!(next(&session, end), None);
    let mut used = session.clone();
    used.last_seen_at += minutes(10);
    assert_eq!(next(&used, end), Some(end + minutes(10)));
    // Never after its lifetime, and not for a session that is gone.
    used.last_seen_at = used.expires_at - SECOND;
    assert_eq!(next(&used, end), Some(used.expires_at));
    assert_eq!(next(&used, used.expires_at), None);
    used.id = "another".into();
    assert_eq!(next(&used, end), None);
}
