//! The shipped policies, the faults that a policy can have, and the document that explains them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use jiff::civil::{Date, Weekday, date};
use jiff::{SignedDuration, Timestamp};
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::RngSeed;
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::policy::{
    Blocks, ChosenBy, LetterAddress, Onboarding, Permission, Policy, PolicyError, PolicyFault,
    Reissuer, Role,
};
use vestibule_domain::state::record::RecordData;
use vestibule_domain::values::ids::PortalId;
use vestibule_domain::values::record_kind::{Fact, RecordKind};

const SEVEN: [&str; 7] = [
    "agent", "group", "member", "provider", "practice", "producer", "employer",
];

/// The eighth serves the people of the seven.
const HELP_DESK: &str = "help-desk";

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn shipped(portal: &str) -> String {
    read(&format!("infra/portals/{portal}.toml"))
}

fn parse(portal: &str, text: &str) -> Result<Policy, PolicyError> {
    let id = PortalId::parse(portal).expect("a portal's name");
    Policy::parse(id, &format!("{portal}.toml"), text)
}

fn policy(portal: &str) -> Policy {
    parse(portal, &shipped(portal)).unwrap_or_else(|e| panic!("{e}"))
}

// The shipped policies

#[test]
fn every_shipped_policy_can_be_read() {
    let mut found = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("infra/portals")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let portal = name
            .strip_suffix(".toml")
            .expect("only policies")
            .to_owned();
        assert_eq!(policy(&portal).portal.as_str(), portal);
        found.insert(portal);
    }
    let shipped = SEVEN.into_iter().chain([HELP_DESK]).map(String::from);
    assert_eq!(found, shipped.collect());
}

#[test]
fn the_seven_belong_to_one_insurer_and_each_has_its_own_help_desk() {
    let policies = SEVEN.map(policy);
    let each =
        |of: fn(&Policy) -> String| policies.iter().map(of).collect::<BTreeSet<String>>().len();
    assert_eq!(each(|p| format!("{} {}", p.plan.id, p.plan.name)), 1);
    assert_eq!(each(|p| p.help_desk.phone.to_string()), 7);
    assert_eq!(each(|p| p.site.to_string()), 7);
    for p in &policies {
        let own = format!("{:?}", p.origins);
        assert!(
            own.contains(p.site.as_str()) && !own.contains("http://"),
            "only pages over HTTPS may call a shipped portal: {own}"
        );
        let number = p
            .help_desk
            .phone
            .as_str()
            .rsplit(' ')
            .next()
            .unwrap_or_default();
        assert!(
            number.starts_with("555-01") && number.len() == 8,
            "a fictitious number: {number}"
        );
        for registration_type in &p.registration_types {
            let referred = registration_type
                .ineligible_message
                .as_ref()
                .map(ToString::to_string);
            let number_in_it = referred.iter().any(|t| t.contains("555-"));
            assert!(
                !number_in_it
                    || referred
                        .iter()
                        .all(|t| t.contains(p.help_desk.phone.as_str()))
            );
        }
    }
}

#[test]
fn each_registration_type_looks_up_and_verifies_as_promised() {
    // AG-03, AG-07, ME-01, BL-03, EX-05, EX-06
    let mut registration_types = Vec::new();
    for portal in SEVEN {
        for w in policy(portal).registration_types {
            let facts: Vec<_> = w.verify.iter().map(|f| f.into_str()).collect();
            let (id, records, role) = (&w.id, w.record_type.into_str(), w.role.into_str());
            let mut line = format!("{portal}/{id}: {records} + {} -> {role}", facts.join(" + "));
            line += if w.requires_signing_authority {
                ", signs"
            } else {
                ""
            };
            line += if w.pin { ", PIN" } else { "" };
            line += if w.notification_letter {
                ", notified"
            } else {
                ""
            };
            registration_types.push(line);
        }
    }
    let promised = [
        "agent/agent: agent + ssn_last4 -> principal, signs",
        "group/group: group + tax_id_last4 -> principal, signs",
        "member/member: member + subscriber_last_name + date_of_birth -> member, PIN",
        "provider/practice: provider + tax_id -> principal, PIN",
        "provider/facility: provider + tax_id -> principal, PIN",
        "provider/billing_agency: provider + tax_id -> principal, PIN",
        "practice/medical: provider + tax_id -> principal",
        "practice/dental: provider + tax_id -> principal, notified",
        "practice/office_manager: provider + tax_id -> administrator",
        "practice/dental_office_manager: provider + tax_id -> administrator",
        "producer/producer: agent + ssn_last4 -> principal, signs",
        "employer/employer: group + tax_id_last4 -> administrator",
    ];
    assert_eq!(registration_types, promised);
}

#[test]
fn each_registration_type_is_open_to_its_records() {
    // BL-10, EX-04, EX-05: category, participating, and the ways open on provider and practice
    for (category, participating, open) in [
        ("medical_group", true, "practice | medical office_manager"),
        ("medical_group", false, "practice |"),
        ("individual", true, "practice | medical office_manager"),
        ("facility", true, "facility | medical office_manager"),
        ("facility", false, "facility |"),
        (
            "dental",
            true,
            "practice | dental office_manager dental_office_manager",
        ),
        ("dental", false, "practice | dental dental_office_manager"),
        ("billing_agency", false, "billing_agency |"),
    ] {
        let record = RecordData {
            name: "Anyone".into(),
            category: Some(category.into()),
            participating: Some(participating),
            manager: None,
            agreements: BTreeMap::new(),
            group_codes: BTreeSet::new(),
            address: None,
        };
        let registration_types = |portal| {
            let registration_types = policy(portal).registration_types;
            let open = registration_types
                .iter()
                .filter(|w| w.eligible.holds_for(&record));
            open.map(|w| w.id.to_string()).collect::<Vec<_>>().join(" ")
        };
        let found = format!(
            "{} | {}",
            registration_types("provider"),
            registration_types("practice")
        );
        assert_eq!(
            found.trim_end(),
            open,
            "{category}, participating: {participating}"
        );
    }
}

#[test]
fn letters_codes_and_staff_are_as_promised() {
    for portal in ["agent", "group", "producer", "employer"] {
        let staff = policy(portal).staff.expect("staff");
        assert_eq!(
            (staff.onboarding, staff.approval),
            (Onboarding::Invitation, true),
            "AG-08: {portal}"
        );
        assert_eq!(staff.invitation_valid_days.map(|d| d.get()), Some(14));
        assert_eq!(
            staff.requires_backup_administrator,
            ["agent", "group"].contains(&portal),
            "AG-04: {portal}"
        );
    }
    let member = policy("member");
    assert!(member.staff.is_none());
    let pin = member.pin.expect("ME-06");
    assert_eq!(
        (pin.digits.get(), pin.address),
        (6, LetterAddress::PlanRecords)
    );
    assert!(pin.reissued_by.contains(&Reissuer::User), "ME-07");
    assert_eq!(
        (pin.delivery_days.from, pin.delivery_days.to),
        (3, 5),
        "ME-08"
    );

    let provider = policy("provider");
    let pin = provider.pin.expect("BL-03");
    assert_eq!(
        (pin.digits.get(), pin.address),
        (4, LetterAddress::Designated)
    );
    assert_eq!(pin.reissued_by, [Reissuer::HelpDesk].into(), "BL-06");
    let code = provider.registration_code.expect("BL-08");
    assert_eq!((code.prefix.as_str(), code.digits.get()), ("RC", 6));
    assert_eq!(provider.username.chosen_by, ChosenBy::System, "BL-16");
    assert!(!provider.publications.is_empty(), "BL-13");
    let [agreement] = provider.agreements.as_slice() else {
        panic!("BL-10")
    };
    assert_eq!(agreement.blocks, Blocks::PinLetter, "BL-10");

    let practice = policy("practice");
    assert_eq!(
        practice.staff.map(|s| s.onboarding),
        Some(Onboarding::InitialPassword),
        "EX-09"
    );
    assert!(practice.email.unique_in.is_some(), "EX-08");
}

#[test]
fn passwords_and_idle_accounts_are_as_promised() {
    for portal in SEVEN {
        let p = policy(portal);
        let expires = p.password.max_age_days.map(|d| d.get());
        assert_eq!(
            expires,
            ["agent", "group"].contains(&portal).then_some(90),
            "AG-02: {portal}"
        );
        let inactivity = p
            .inactivity
            .as_ref()
            .map(|i| (i.disable_after_days.get(), i.delete_after_days.get()));
        assert_eq!(
            inactivity,
            ["producer", "employer"]
                .contains(&portal)
                .then_some((180, 400)),
            "BA-01: {portal}"
        );
        let warned = |days: &[vestibule_domain::policy::Days]| {
            days.iter().map(|d| d.get()).collect::<Vec<_>>()
        };
        if let Some(i) = &p.inactivity {
            assert_eq!(warned(&i.warning_days), [14, 7, 3, 1], "UX-02: {portal}");
            assert_eq!(i.grace_days.get(), 7, "UX-02: {portal}");
            assert!(i.exempt_roles.contains(&Role::Administrator), "BA-03");
        }
        if expires.is_some() {
            assert_eq!(
                warned(&p.password.warning_days),
                [14, 7, 3, 1],
                "UX-02: {portal}"
            );
        }
        assert!(
            p.messages
                .login_failed
                .as_str()
                .starts_with("Login failed due to either"),
            "BA-05"
        );
        assert!(
            p.messages
                .account_disabled
                .as_str()
                .starts_with("This user ID no longer"),
            "BA-04"
        );
        assert_eq!(p.session.max_hours.get(), 8, "AG-14: {portal}");
    }
    let member = policy("member").password;
    assert_eq!(
        (member.min_length.get(), member.reject_obscene_words),
        (6, true)
    );
    assert!(policy("member").security_questions.is_some(), "ME-04");
}

#[test]
fn roles_have_the_promised_permissions() {
    use Permission::{
        ApproveUsers, DeleteAdministrators, DeleteUsers, DisableUsers, DownloadUsers,
        InviteDeleted, LookUpAgents, SeeLastSignIn,
    };
    use Role::{Administrator, AlternativeAdministrator, Principal, User};
    for (portal, role, permission, may, why) in [
        ("agent", Principal, LookUpAgents, true, "AG-12"),
        ("group", Principal, LookUpAgents, false, "AG-12"),
        ("agent", Principal, InviteDeleted, true, "AG-10"),
        ("agent", Administrator, InviteDeleted, false, "AG-10"),
        ("group", Administrator, InviteDeleted, false, "AG-10"),
        ("agent", Administrator, DeleteUsers, true, "AG-09"),
        ("agent", Administrator, DeleteAdministrators, false, "AG-09"),
        ("agent", Principal, DeleteAdministrators, true, "AG-09"),
        (
            "provider",
            Administrator,
            DeleteAdministrators,
            true,
            "BL-07",
        ),
        ("practice", Principal, DeleteAdministrators, false, "EX-12"),
        (
            "practice",
            Administrator,
            DeleteAdministrators,
            false,
            "EX-12",
        ),
        ("producer", Principal, SeeLastSignIn, true, "BA-07"),
        ("producer", Administrator, DisableUsers, true, "BA-06"),
        ("employer", Administrator, DownloadUsers, true, "BA-09"),
        (
            "employer",
            AlternativeAdministrator,
            SeeLastSignIn,
            true,
            "BA-08",
        ),
        (
            "employer",
            AlternativeAdministrator,
            DownloadUsers,
            true,
            "BA-09",
        ),
        (
            "employer",
            AlternativeAdministrator,
            DisableUsers,
            false,
            "BA-06",
        ),
        ("provider", Principal, ApproveUsers, false, "BL-08"),
    ] {
        assert_eq!(
            policy(portal).allows(role, permission),
            may,
            "{why}: {portal} {role:?} {permission:?}"
        );
    }
    for (portal, giver, given, may) in [
        ("agent", Principal, Administrator, true),
        ("agent", Administrator, Administrator, true),
        ("agent", Administrator, Principal, false),
        ("agent", User, User, false),
        ("practice", Principal, Administrator, true),
        ("practice", Administrator, Administrator, false),
        ("employer", Administrator, AlternativeAdministrator, true),
    ] {
        assert_eq!(
            policy(portal).grants(giver, given),
            may,
            "{portal} {giver:?} {given:?}"
        );
    }
    for portal in SEVEN {
        for role in [User, Role::Member] {
            assert!(
                policy(portal)
                    .roles
                    .get(&role)
                    .is_none_or(|r| r.permissions.is_empty() && r.can_grant.is_empty())
            );
        }
    }
}

#[test]
fn an_eighth_portal_is_one_more_file() {
    let text = shipped("practice").replace("Harborlight Practice Desk", "Harborlight Vision Desk");
    let eighth = parse("vision", &text).unwrap();
    assert_eq!(eighth.portal.as_str(), "vision");
    assert_eq!(eighth.title.as_str(), "Harborlight Vision Desk");
}

#[test]
fn line_ends_of_either_kind_are_the_same() {
    for portal in SEVEN {
        let text = shipped(portal).replace('\n', "\r\n");
        assert_eq!(parse(portal, &text), Ok(policy(portal)));
    }
    let (text, start) = replaced("agent", &["max_hours = 8"], &["max_hours = 25"]);
    let error = parse("agent", &text.replace('\n', "\r\n")).unwrap_err();
    let lines: Vec<_> = error.faults.iter().map(|f| f.line).collect();
    assert_eq!(lines, [start + 1]);
}

// Faults

/// Faults that a policy can have, one a paragraph: the shipped policy, the lines replaced (`-`, by
/// their beginnings; `…` is all in between), the lines put there (`+`), and the field and reason of
/// each fault reported (`!`). The line reported is the one put there with `*`, or else the one that `@` names.
const FAULTS: &str = r#"
# No TOML

agent
-max_hours = 8
*max_hours = = 8
!(file): extra `=`, expected nothing

agent
-max_hours = 8
+max_hours = 8
*max_hours = 9
!(file): duplicate key

agent
-[roles.user]
*[session]
!(file): duplicate key

member
-on = 2028-01-03
*on = 2028-13-03
!(file): invalid date, expected month between 01 and 12

# Unknown and missing fields

agent
-idle_minutes = 30
*idel_minutes = 30
!session.idel_minutes: unknown field `idel_minutes`, expected `max_hours` or `idle_minutes`

agent
-id = "quotes"
+id = "quotes"
*price = 1
!service[0].price: unknown field `price`, expected `id` or `title`

practice
-eligible.categories = ["medical_group"
*eligible.category = "medical_group"
!registration_type[0].eligible.category: unknown field `category`, expected `categories` or `participating`

member
-on = 2028-01-03
*off = 2028-01-03
!campaign[0].off: unknown field `off`, expected one of `kind`, `start`, `cutoff`, `transition_days`, `warning_days`, `corrected_on`, `on`, `created_before`

agent
-title = "Harborlight for Agents"
@1
!(file): missing field `title`

agent
-[session]
-max_hours = 8
-idle_minutes = 30
@1
!(file): missing field `session`

agent
-max_hours = 8
@[session]
!session: missing field `max_hours`

agent
-record_type = "agent"
@[[registration_type]]
!registration_type[0]: missing field `record_type`

member
-delivery_days = [3, 5]
@[pin]
!pin: missing field `delivery_days`

agent
-title = "Staff"
@[roles.user]
!roles.user: missing field `title`

# Wrong types

agent
-max_hours = 8
*max_hours = "8"
!session.max_hours: invalid type: string "8", expected a whole number from 1 to 24

agent
-max_hours = 8
*max_hours = 8.5
!session.max_hours: invalid type: floating point `8.5`, expected a whole number from 1 to 24

agent
-requires_backup_administrator = true
*requires_backup_administrator = 1
!staff.requires_backup_administrator: invalid type: integer `1`, expected a boolean

agent
-verify = ["ssn_last4"]
*verify = "ssn_last4"
!registration_type[0].verify: invalid type: string "ssn_last4", expected a sequence

agent
-title = "Staff"
*title = 1
!roles.user.title: invalid type: integer `1`, expected a string

agent
-[[registration_type]]
*[registration_type]
!registration_type: invalid type: map, expected a sequence

agent
-[[agreement]]
*[agreement]
!agreement: invalid type: map, expected a sequence

# Out of bounds

agent
-max_hours = 8
*max_hours = 25
!session.max_hours: must be a whole number from 1 to 24, not 25

agent
-max_hours = 8
*max_hours = -1
!session.max_hours: must be a whole number from 1 to 24, not -1

agent
-max_hours = 8
*max_hours = 4294967304
!session.max_hours: must be a whole number from 1 to 24, not 4294967304

member
-min_length = 6
*min_length = 5
!password.min_length: must be a whole number from 6 to 64, not 5

provider
-digits = 4
*digits = 3
!pin.digits: must be a whole number from 4 to 12, not 3

agent
-warning_days = [14, 7, 3, 1]
+warning_days = [
+    14,
*    0,
+]
!password.warning_days[1]: must be a whole number from 1 to 3650, not 0

member
-delivery_days = [3, 5]
*delivery_days = [5, 3]
!pin.delivery_days: must be two numbers of business days, 1 to 60, the earlier first

member
-delivery_days = [3, 5]
*delivery_days = [3, 5, 7]
!pin.delivery_days: must be two numbers of business days, 1 to 60, the earlier first

member
-international_delivery_days = [7, 15]
*international_delivery_days = [7, 500]
!pin.international_delivery_days: must be two numbers of business days, 1 to 60, the earlier first

# In no possible form

agent
-title = "Harborlight for Agents"
*title = " "
!title: must be a text of one line, 1 to 500 characters

agent
-return_address
*return_address = ["Harborlight Health", "400\nQuayside"]
!plan.return_address[1]: must be a text of one line, 1 to 500 characters

agent
-id = "quotes"
*id = "Quotes"
!service[0].id: must be 1 to 40 of a-z, 0-9, _ and -

agent
-site = "https
*site = "agents.harborlight.example"
!site: must be an address such as https://agents.example.com, without a slash, query or fragment at its end

agent
-time_zone
*time_zone = "Chicago"
!time_zone: must be the IANA name of a time zone such as America/Chicago, not "Chicago"

agent
-from = "agents@harborlight.example"
*from = "agents"
!email.from: must be an email address such as name@example.com, in plain ASCII letters

member
-home_country = "US"
*home_country = "USA"
!plan.home_country: must be a two-letter country code such as US

member
-2026-02-16,
*16,
!pin.holidays[2]: must be a date such as 2027-01-31, not "16"

member
-on = 2028-01-03
*on = "3 January"
!campaign[0].on: must be a date such as 2027-01-31, not "3 January"

member
-on = 2028-01-03
*on = 2028-01-03T09:00:00
!campaign[0].on: must be a date such as 2027-01-31, not "2028-01-03T09:00:00"

agent
-chosen_by = "user"
*chosen_by = "anybody"
!username.chosen_by: unknown variant `anybody`, expected `user` or `system`

agent
-verify = ["ssn_last4"]
+verify = [
+    "last_name",
*    "ssn",
+]
!registration_type[0].verify[1]: unknown variant `ssn`, expected one of `subscriber_last_name`, `first_name`, `last_name`, `date_of_birth`, `ssn_last4`, `tax_id_last4`, `tax_id`

agent
-[roles.user]
*[roles.usr]
!roles.usr: unknown variant `usr`, expected one of `principal`, `administrator`, `alternative_administrator`, `user`, `member`, `help_desk_reader`, `help_desk_agent`

member
-kind = "release_usernames"
*kind = "amnesty"
!campaign[0].kind: unknown variant `amnesty`, expected `re_registration` or `release_usernames`

# What does not fit together

provider
-prefix = "prv"
@[username]
!username: needs a prefix when the system makes the usernames

member
-required = 3
-questions = [
-…
-]
+required = 3
*questions = ["One?", "Two?"]
!security_questions.questions: has fewer questions than are asked

agent
-origins
+origins = [
+    "https://agents.harborlight.example",
*    "http://localhost:8600/app",
+]
!origins[1]: must be an origin such as https://agents.example.com, without a path

agent
-max_age_days = 90
@warning_days
!password.warning_days: needs max_age_days

agent
-warning_days
*warning_days = [7, 14]
!password.warning_days: must be given most first, each less than 90

producer
-warning_days
*warning_days = [180]
!inactivity.warning_days: must be given most first, each less than 180

producer
-delete_after_days = 400
*delete_after_days = 180
!inactivity.delete_after_days: must be more than disable_after_days

agent
-from_records = true
*offered = ["A1", "b2"]
!group_codes.offered: "b2" is no group code: 1 to 20 capital letters, digits and -

# Ways

group
-[[registration_type]]
-…
-joining_requires_approval = true # SE-08
@1
!registration_type: must be given at least once: [[registration_type]]

agent
-verify
*verify = []
!registration_type[0].verify: must name at least one fact

agent
-verify
*verify = ["date_of_birth"]
!registration_type[0].verify: records of this kind hold no date_of_birth

agent
-organization
@[[registration_type]]
!registration_type[0].organization: must be given for every role but member

member
-pin = true
+pin = true
*organization = "family"
!registration_type[0].organization: must be given for every role but member

agent
-requires_signing_authority
-joining_requires_approval
*pin = true
!registration_type[0].pin: needs a [pin] section

agent
-requires_signing_authority
+eligible.participating = true
@[[registration_type]]
!registration_type[0].ineligible_message: must be given exactly where eligible is

agent
-requires_signing_authority
*ineligible_message = "Call us."
!registration_type[0].ineligible_message: must be given exactly where eligible is

agent
-role = "principal"
*role = "alternative_administrator"
!registration_type[0].role: has no [roles.alternative_administrator] section

provider
-services
*services = ["claims", "x-rays"]
!registration_type[2].services: x-rays is no [[service]]

# Roles and staff

practice
-can_grant = ["user"]
*can_grant = ["alternative_administrator"]
!roles.administrator.can_grant: alternative_administrator has no section of its own

agent
-invitation_valid_days
@onboarding
!staff.onboarding: invitations need invitation_valid_days

practice
-onboarding
+onboarding = "initial_password"
*invitation_valid_days = 14
!staff.invitation_valid_days: goes with invitations only

practice
-onboarding
*onboarding = "registration_code"
!staff.onboarding: needs a [registration_code] section
!staff.onboarding: registration codes go with usernames made by the system

provider
-onboarding
+onboarding = "registration_code"
*approval = true
!staff.approval: goes with invitations and initial passwords: a registration code is the approval

provider
-chosen_by = "system"
+chosen_by = "user"
@onboarding
!staff.onboarding: registration codes go with usernames made by the system

practice
-[roles.principal]
-…
-title = "Staff"
+[roles.principal]
+title = "Provider"
+[roles.administrator]
+title = "Office manager"
@[staff]
!staff: needs a [roles.user] section

# Agreements, recovery, campaigns

agent
-registration_types = ["agent"]
*registration_types = ["agents"]
!agreement[0].registration_types: agents is no [[registration_type]]

agent
-blocks
+blocks = "pin_letter"
@registration_types
!agreement[0].registration_types: agent has no PIN letter to withhold

provider
-recorded_by
*recorded_by = "user"
!agreement[0].recorded_by: must be "plan" where the PIN letter waits for it

agent
-forgot_password
*forgot_password = []
!recovery.forgot_password: must name at least one means: nobody gets in without proof

agent
-forgot_username
*forgot_username = []
!recovery.forgot_username: must name at least one means: nobody gets in without proof

agent
-trusted_device_days
*reset_verification = "pin_letter"
!second_factor.reset_verification: pin_letter needs a [pin] section

agent
-forgot_username
*forgot_username = ["security_answers"]
!recovery.forgot_username: needs a [security_questions] section

provider
-hint_question = true
@forgot_password
!recovery.forgot_password: needs hint_question = true

member
-kind = "release_usernames"
-on = 2028-01-03
-created_before
+kind = "re_registration"
+start = 2027-03-01
*cutoff = 2027-02-28
+transition_days = 90
!campaign[0].cutoff: must not be before the start

member
-kind = "release_usernames"
-on = 2028-01-03
-created_before
+kind = "re_registration"
+start = 2027-03-01
+transition_days = 90
+corrected_on = 2027-04-01
*cutoff = 2027-04-14
!campaign[0].cutoff: must be at least 14 days after corrected_on, so that users have time to register again

member
-kind = "release_usernames"
-on = 2028-01-03
-created_before
+kind = "re_registration"
+start = 2027-03-01
+transition_days = 90
+cutoff = 2027-08-31
*corrected_on = 2027-02-28
!campaign[0].corrected_on: must not be before the start: until then, nobody has been notified of a cutoff

member
-created_before
*created_before = 2028-01-04
!campaign[0].created_before: must not be after the day of the release

member
-on = 2028-01-03
@[[campaign]]
!campaign[0]: release_usernames takes exactly on and created_before

member
-kind = "release_usernames"
+kind = "re_registration"
@[[campaign]]
!campaign[0]: re_registration takes exactly start, cutoff and transition_days, and perhaps warning_days and corrected_on

member
-created_before
+created_before = 2027-07-01
+warning_days = [14]
@[[campaign]]
!campaign[0]: release_usernames takes exactly on and created_before

member
-kind = "release_usernames"
-on = 2028-01-03
-created_before
+kind = "re_registration"
+start = 2027-03-01
+cutoff = 2027-08-31
+transition_days = 90
*warning_days = [90, 1]
!campaign[0].warning_days: must be given most first, each less than 90

provider
-[roles.user]
*[[campaign]]
+kind = "release_usernames"
+on = 2028-01-03
+created_before = 2027-07-01
+[roles.user]
!campaign[0]: goes with usernames that people choose: those made by the system stay

help-desk
-[roles.principal]
*[[campaign]]
+kind = "re_registration"
+start = 2027-03-01
+cutoff = 2027-08-31
+transition_days = 90
+[roles.principal]
!campaign[0]: goes without [help_desk_for]: a help desk's staff are in no plan records

practice
-due_within_days = 30
*due_within_days = 180
!access_review.due_within_days: must be less than interval_days

practice
-reminder_days
*reminder_days = [30, 3]
!access_review.reminder_days: must be given most first, each less than 30

# Ids given twice

agent
-id = "commissions"
*id = 'quotes'
!service[2].id: quotes is given twice

provider
-id = "billing_tips"
*id = 'provider_news'
!publication[2].id: provider_news is given twice

provider
-id = "facility"
*id = 'practice'
!registration_type[1].id: practice is given twice

agent
-registration_types = ["agent"]
+[[agreement]]
*id = 'producer_agreement'
+title = "Another"
+revision = "2026-02"
+form_url = "https://agents.harborlight.example/forms/another.pdf"
+recorded_by = "plan"
+blocks = "protected_information"
!agreement[1].id: producer_agreement is given twice
"#;

/// The text of a shipped policy with consecutive lines replaced, and where the new ones begin.
fn replaced(portal: &str, old: &[&str], new: &[&str]) -> (String, usize) {
    let text = shipped(portal);
    let mut lines: Vec<_> = text.lines().collect();
    let is = |line: &str, old: &str| line.trim_start().starts_with(old);
    let starts: Vec<_> = (0..lines.len()).filter(|i| is(lines[*i], old[0])).collect();
    assert_eq!(
        starts.len(),
        1,
        "{portal}: one line begins with {:?}",
        old[0]
    );
    let mut end = starts[0];
    for pair in old.windows(2) {
        end += 1;
        match pair {
            [_, "…"] => {}
            ["…", next] => {
                end = (end..lines.len())
                    .find(|i| is(lines[*i], next))
                    .expect(next);
            }
            [_, next] => assert!(is(lines[end], next), "{portal}: {next:?} follows"),
            _ => unreachable!("pairs"),
        }
    }
    lines.splice(starts[0]..=end, new.iter().copied());
    (lines.join("\n") + "\n", starts[0])
}

#[test]
fn each_fault_is_reported_with_its_file_line_field_and_reason() {
    let mut faults = 0;
    for paragraph in FAULTS.split("\n\n").map(str::trim) {
        let lines: Vec<_> = paragraph.lines().collect();
        if paragraph.is_empty() || paragraph.starts_with('#') {
            continue;
        }
        let portal = lines[0];
        let with = |signs: &str| {
            let chosen = lines[1..]
                .iter()
                .filter(|l| l.starts_with(|c| signs.contains(c)));
            chosen.map(|l| l.split_at(1).1).collect::<Vec<_>>()
        };
        let put: Vec<_> = lines[1..]
            .iter()
            .filter(|l| l.starts_with(['+', '*']))
            .collect();
        let (text, start) = replaced(portal, &with("-"), &with("+*"));
        let line = match (
            with("@").as_slice(),
            put.iter().position(|l| l.starts_with('*')),
        ) {
            (["1"], None) => 1,
            ([named], None) => {
                // the nearest one: above where it was changed, or else below
                let at: Vec<_> = (0..)
                    .zip(text.lines())
                    .filter(|(_, l)| l.starts_with(named))
                    .map(|(i, _)| i)
                    .collect();
                let above = at.iter().rev().find(|i| **i < start);
                1 + *above.or(at.first()).expect(named)
            }
            ([], Some(nth)) => 1 + start + nth,
            _ => panic!("one line is marked: {paragraph}"),
        };
        let reported = with("!");
        assert!(!reported.is_empty(), "a fault: {paragraph}");
        let reported = reported.into_iter().map(|reported| {
            let (field, reason) = reported.split_once(": ").expect("field and reason");
            PolicyFault {
                file: format!("{portal}.toml"),
                line,
                field: field.to_owned(),
                reason: reason.to_owned(),
            }
        });
        let expected = PolicyError {
            faults: reported.collect(),
        };
        match parse(portal, &text) {
            Ok(_) => panic!("no fault:\n{paragraph}"),
            Err(error) => assert_eq!(error, expected, "{paragraph}"),
        }
        faults += 1;
    }
    assert!(faults > 80, "{faults} faults tried");
}

/// Parses a shipped policy with texts replaced, and returns each line of the report.
fn reported(portal: &str, changes: &[(&str, &str)]) -> Vec<String> {
    let text = changes.iter().fold(shipped(portal), |text, (from, to)| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    });
    let error = parse(portal, &text).expect_err("a fault");
    error.to_string().lines().map(String::from).collect()
}

#[test]
fn all_faults_of_a_file_are_reported_at_once_in_the_order_of_its_lines() {
    let faults = reported(
        "agent",
        &[
            // An unknown field and a bad value, side by side.
            ("min_length = 7", "min_lenght = 7\nmin_length = \"8\""),
            // A missing field and a bad value.
            ("max_hours = 8\nidle_minutes = 30", "idle_minutes = 0"),
            // What does not fit other sections.
            ("role = \"principal\"", "role = \"member\"\npin = true"),
            (
                "registration_types = [\"agent\"]",
                "registration_types = [\"agents\", \"agent\"]",
            ),
            ("forgot_username = [\"email\"]", "forgot_username = []"),
            // A bad item of one list does not hide what is wrong with another item.
            ("id = \"enrollment\"", "id = \"Enrollment\""),
            ("id = \"commissions\"", "id = \"quotes\""),
            (
                "[roles.user]\ntitle = \"Staff\"",
                "[roles.user]\ncalled = \"Staff\"",
            ),
        ],
    );
    let expected = [
        "agent.toml:23: username.min_lenght: unknown field `min_lenght`, expected one of `chosen_by`, `min_length`, `prefix`",
        "agent.toml:24: username.min_length: invalid type: string \"8\", expected a whole number from 3 to 30",
        "agent.toml:37: session: missing field `max_hours`",
        "agent.toml:38: session.idle_minutes: must be a whole number from 1 to 480, not 0",
        "agent.toml:56: registration_type[0].role: has no [roles.member] section",
        "agent.toml:57: registration_type[0].pin: needs a [pin] section",
        "agent.toml:58: registration_type[0].organization: must be given for every role but member",
        "agent.toml:60: registration_type[0].joining_requires_approval: goes without pin: a step is pending until the PIN is entered",
        "agent.toml:70: agreement[0].registration_types: agents is no [[registration_type]]",
        "agent.toml:80: recovery.forgot_username: must name at least one means: nobody gets in without proof",
        "agent.toml:91: service[1].id: must be 1 to 40 of a-z, 0-9, _ and -",
        "agent.toml:95: service[2].id: quotes is given twice",
        "agent.toml:142: roles.user: missing field `title`",
        "agent.toml:143: roles.user.called: unknown field `called`, expected one of `title`, `permissions`, `can_grant`",
    ];
    assert_eq!(faults, expected);
}

#[test]
fn a_fault_is_not_reported_again_where_another_section_depends_on_it() {
    // The registration type can't be read, so nothing is said about the agreement that needs it; the role's name is
    // wrong, so nothing is said about those who grant it; and of a line that is no TOML only that.
    for (from, to, only) in [
        (
            "record_type = \"agent\"",
            "record_type = \"agents\"",
            "agent.toml:54: registration_type[0].record_type: unknown variant `agents`, expected one of `member`, `agent`, `group`, `provider`",
        ),
        (
            "[roles.user]",
            "[roles.users]",
            "agent.toml:141: roles.users: unknown variant `users`, expected one of `principal`, `administrator`, `alternative_administrator`, `user`, `member`, `help_desk_reader`, `help_desk_agent`",
        ),
        (
            "max_hours = 8",
            "max_hours = 8 hours",
            "agent.toml:37: (file): string values must be quoted, expected literal string",
        ),
    ] {
        assert_eq!(reported("agent", &[(from, to)]), [only]);
    }
}

#[test]
fn ux_12_no_policy_lets_a_tier_of_the_help_desk_raise_anybody() {
    let text = shipped(HELP_DESK);
    let fault = |old: &str, new: &str| {
        assert!(text.contains(old), "{old}");
        let error = parse(HELP_DESK, &text.replace(old, new)).expect_err(new);
        let faults = error.faults.iter();
        faults
            .map(|f| format!("{}: {}", f.field, f.reason))
            .collect::<Vec<_>>()
            .join("\n")
    };
    let reader = "permissions = [\"find_accounts\", \"search_audit\"]";
    for (old, new, expected) in [
        (
            reader,
            "permissions = [\"find_accounts\", \"grant_roles\"]",
            "roles.help_desk_reader.permissions: of the help desk's tiers nobody manages users, so that none can raise their own rights",
        ),
        (
            reader,
            "permissions = [\"find_accounts\"]\ncan_grant = [\"help_desk_agent\"]",
            "roles.help_desk_reader.can_grant: must be absent, so that none can raise their own rights",
        ),
        (
            reader,
            "permissions = [\"find_accounts\", \"act_on_accounts\"]",
            "roles.help_desk_reader.permissions: act_on_accounts is for help_desk_agent, with find_accounts",
        ),
        (
            "    \"see_audit\",\n",
            "    \"see_audit\",\n    \"act_on_accounts\",\n",
            "roles.principal.permissions: find_accounts, act_on_accounts and search_audit are for help_desk_reader and help_desk_agent",
        ),
        (
            "[help_desk_for]\n",
            "",
            "registration_type: must be given at least once: [[registration_type]]\n\
             staff: needs a [roles.user] section\n\
             roles.help_desk_reader: goes with a [help_desk_for] section\n\
             roles.help_desk_agent: goes with a [help_desk_for] section",
        ),
    ] {
        assert_eq!(fault(old, new), expected);
    }
    // Nor is a tier to be had by registering, or on a portal that serves nobody.
    let group = shipped("group");
    let registration_type = group.replacen("role = \"principal\"", "role = \"help_desk_agent\"", 1);
    let error = parse("group", &registration_type).expect_err("an invalid registration type");
    assert_eq!(error.faults[0].field, "registration_type[0].role");
    assert_eq!(error.faults.len(), 1);
    let role = format!("{group}\n[roles.help_desk_agent]\ntitle = \"Agent\"\n");
    let error = parse("group", &role).expect_err("a role");
    assert_eq!(
        error.faults[0].reason,
        "goes with a [help_desk_for] section"
    );
    assert_eq!(error.faults.len(), 1);
}

#[test]
fn ux_12_a_help_desk_serves_portals_of_its_plan_and_no_help_desk() {
    let desk = policy(HELP_DESK);
    for portal in SEVEN {
        assert!(desk.serves(&policy(portal)), "{portal}");
        assert!(!policy(portal).serves(&desk), "{portal}");
    }
    assert!(!desk.serves(&desk));
    let other = shipped("group").replacen("id = \"harbor\"", "id = \"other\"", 1);
    assert!(!desk.serves(&parse("group", &other).expect("a policy")));
    let some =
        shipped(HELP_DESK).replace("[help_desk_for]", "[help_desk_for]\nportals = [\"member\"]");
    let some = parse(HELP_DESK, &some).expect("a policy");
    assert!(some.serves(&policy("member")) && !some.serves(&policy("agent")));
}

/// Portals whose policies are the shipped ones, with a text in the place of another in that of one.
fn portals(changed: &str, from: &str, to: &str) -> Portals {
    let file = |portal: &str| {
        let text = shipped(portal);
        assert!(portal != changed || text.contains(from), "{from}");
        let text = if portal == changed {
            text.replacen(from, to, 1)
        } else {
            text
        };
        (
            PortalId::parse(portal).expect("a name"),
            format!("{portal}.toml"),
            text,
        )
    };
    Portals::new(SEVEN.into_iter().chain([HELP_DESK]).map(file))
}

#[test]
fn the_faults_of_all_files_are_reported_at_once() {
    let files = [
        ("agent", "max_hours = 8", "max_hours = 25"),
        ("group", "max_hours = 8", "max_hours = 26\nminutes = 1"),
        (
            HELP_DESK,
            "[help_desk_for]",
            "[help_desk_for]\nportals = [\"agent\", \"nobody\"]",
        ),
    ];
    let portals = Portals::new(files.map(|(portal, from, to)| {
        let text = shipped(portal);
        assert!(text.contains(from), "{portal}: {from}");
        let id = PortalId::parse(portal).expect("a name");
        (id, format!("{portal}.toml"), text.replacen(from, to, 1))
    }));
    let report = |error: PolicyError| error.to_string().lines().map(String::from).collect();
    let all: Vec<String> = report(portals.all().unwrap_err());
    let checked: Vec<String> = report(portals.check().unwrap_err());
    let expected = [
        "agent.toml:37: session.max_hours: must be a whole number from 1 to 24, not 25",
        "group.toml:37: session.max_hours: must be a whole number from 1 to 24, not 26",
        "group.toml:38: session.minutes: unknown field `minutes`, expected `max_hours` or `idle_minutes`",
        "help-desk.toml:17: help_desk_for.portals: nobody is no portal of the plan harbor that a help desk can serve",
    ];
    assert_eq!(checked, expected);
    assert_eq!(all, checked[..3]);
}

#[test]
fn an_invalid_policy_is_reported_on_every_request_and_affects_no_other_portal() {
    let portals = portals("agent", "America/Chicago", "Chicago");
    let reported = "agent.toml:7: time_zone: must be the IANA name of a time zone such as America/Chicago, not \"Chicago\"";
    let group = portals.get("group").unwrap().expect("a portal");
    assert_eq!(**group, policy("group"));
    assert_eq!(portals.get("nobody"), Ok(None));
    for _ in 0..2 {
        assert_eq!(portals.get("agent").unwrap_err().to_string(), reported);
        assert_eq!(portals.all().unwrap_err().to_string(), reported);
        assert_eq!(portals.check().unwrap_err().to_string(), reported);
    }
    let names: Vec<_> = portals.names().map(PortalId::as_str).collect();
    assert_eq!((names.len(), names[0]), (8, "agent"));
}

#[test]
fn ux_12_a_help_desk_that_names_a_portal_it_cannot_serve_is_reported_with_its_line() {
    let line = shipped(HELP_DESK)
        .lines()
        .position(|line| line == "[help_desk_for]")
        .unwrap()
        + 2;
    for named in ["nobody", HELP_DESK] {
        let serves = format!("[help_desk_for]\nportals = [\"member\", \"{named}\"]");
        let reported = portals(HELP_DESK, "[help_desk_for]", &serves).check();
        assert_eq!(
            reported.unwrap_err().to_string(),
            format!(
                "help-desk.toml:{line}: help_desk_for.portals: {named} is no portal of the plan harbor that a help desk can serve"
            )
        );
    }
    assert_eq!(
        portals(HELP_DESK, "[help_desk_for]", "[help_desk_for]").check(),
        Ok(())
    );
}

#[test]
fn a_re_registration_can_be_declared_with_dates_in_quotes_or_without() {
    let campaign = |q: &str| {
        format!(
            "[[campaign]]\nkind = \"re_registration\"\nstart = {q}2027-03-01{q}\ncutoff = {q}2027-03-01{q}\ntransition_days = 90\n[roles.user]"
        )
    };
    let with = |q: &str| {
        parse(
            "agent",
            &shipped("agent").replace("[roles.user]", &campaign(q)),
        )
    };
    assert_eq!(with("\""), with(""));
    assert_eq!(with("").unwrap().campaigns.len(), 1);
}

/// What every fault says, whatever it is; of several, each on a line of its own, in order.
fn is_well_reported(error: &PolicyError, text: &str) -> bool {
    let last = text.matches('\n').count() + 1;
    let each: Vec<_> = error
        .faults
        .iter()
        .map(|fault| {
            let PolicyFault {
                file,
                line,
                field,
                reason,
            } = fault;
            let well = file == "agent.toml"
                && (1..=last).contains(line)
                && !field.is_empty()
                && !reason.is_empty();
            well.then(|| format!("agent.toml:{line}: {field}: {reason}"))
        })
        .collect();
    let each: Option<Vec<_>> = each.into_iter().collect();
    !error.faults.is_empty()
        && error.faults.is_sorted_by_key(|f| f.line)
        && each.is_some_and(|each| error.to_string() == each.join("\n"))
}

#[test]
fn a_policy_without_any_one_of_its_lines_is_parsed_or_refused_with_a_reason() {
    for portal in SEVEN {
        let text = shipped(portal);
        let lines: Vec<_> = text.lines().collect();
        for left_out in 0..lines.len() {
            let rest = [&lines[..left_out], &lines[left_out + 1..]]
                .concat()
                .join("\n");
            if let Err(error) = parse("agent", &rest) {
                assert!(
                    is_well_reported(&error, &rest),
                    "{portal} without {:?}: {error}",
                    lines[left_out]
                );
            }
        }
    }
}

/// One change to a text, anywhere in it.
#[derive(Debug, Clone)]
enum Mutation {
    Insert(Index, String),
    Remove(Index, usize),
    CutOff(Index),
    SwapLines(Index, Index),
    DoubleLine(Index),
}

impl Mutation {
    fn any() -> impl Strategy<Value = Self> {
        const BITS: &[&str] = &[
            "[",
            "]",
            "[[registration_type]]\n",
            "=",
            "\"",
            "'''",
            "#",
            "\n",
            "\r\n",
            "{",
            "}",
            ".",
            ",",
            "é",
            "\u{0}",
            "\u{202e}",
            "🦀",
            "-1",
            "99999999999999999999",
            "1e9",
            "nan",
            "2026-02-30",
            "25:61",
            "roles.user = 3\n",
            "a.b.c = 1\n",
            "\"\" = 1\n",
            "true",
            "[]",
            "\\u0000",
        ];
        prop_oneof![
            (
                any::<Index>(),
                prop_oneof![select(BITS).prop_map(String::from), ".{0,8}"]
            )
                .prop_map(|(at, what)| Self::Insert(at, what)),
            (any::<Index>(), 1..40_usize).prop_map(|(at, n)| Self::Remove(at, n)),
            any::<Index>().prop_map(Self::CutOff),
            (any::<Index>(), any::<Index>()).prop_map(|(a, b)| Self::SwapLines(a, b)),
            any::<Index>().prop_map(Self::DoubleLine),
        ]
    }

    fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        let mut lines: Vec<&str> = text.lines().collect();
        if chars.is_empty() || lines.is_empty() {
            return text.to_owned();
        }
        match self {
            Self::Insert(at, what) => {
                let at = at.index(chars.len());
                chars.splice(at..at, what.chars());
                chars.into_iter().collect()
            }
            Self::Remove(at, n) => {
                let at = at.index(chars.len());
                let end = (at + n).min(chars.len());
                chars.drain(at..end);
                chars.into_iter().collect()
            }
            Self::CutOff(at) => chars[..at.index(chars.len())].iter().collect(),
            Self::SwapLines(a, b) => {
                let (a, b) = (a.index(lines.len()), b.index(lines.len()));
                lines.swap(a, b);
                lines.join("\n")
            }
            Self::DoubleLine(at) => {
                let at = at.index(lines.len());
                lines.insert(at, lines[at]);
                lines.join("\n")
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 1000,
        rng_seed: RngSeed::Fixed(20_260_101),
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_damaged_policy_is_parsed_or_refused_with_a_reason(
        portal in select(&SEVEN[..]),
        mutations in prop::collection::vec(Mutation::any(), 1..6),
    ) {
        let text = mutations.iter().fold(shipped(portal), |text, m| m.apply(&text));
        if let Err(error) = parse("agent", &text) {
            prop_assert!(is_well_reported(&error, &text), "{error}");
        }
    }

    #[test]
    fn any_text_is_parsed_or_refused_with_a_reason(text in "(?s).{0,200}") {
        if let Err(error) = parse("agent", &text) {
            prop_assert!(is_well_reported(&error, &text), "{error}");
        }
    }
}

// Time

fn at(text: &str) -> Timestamp {
    text.parse().expect("a timestamp")
}

#[test]
fn business_days_pass_over_weekends_holidays_and_the_end_of_the_year() {
    // ME-08
    let member = policy("member");
    for (from, count, to, why) in [
        (date(2026, 3, 2), 1, date(2026, 3, 3), "Monday to Tuesday"),
        (date(2026, 3, 2), 5, date(2026, 3, 9), "a whole week"),
        (date(2026, 3, 6), 1, date(2026, 3, 9), "Friday to Monday"),
        (date(2026, 3, 7), 1, date(2026, 3, 9), "from a Saturday"),
        (date(2026, 3, 8), 3, date(2026, 3, 11), "from a Sunday"),
        (date(2026, 3, 6), 15, date(2026, 3, 27), "abroad"),
        (date(2026, 3, 7), 0, date(2026, 3, 7), "no days are no days"),
        (date(2026, 5, 22), 1, date(2026, 5, 26), "over Memorial Day"),
        (date(2026, 5, 25), 1, date(2026, 5, 26), "from a holiday"),
        (date(2026, 7, 2), 2, date(2026, 7, 6), "a Saturday holiday"),
        (
            date(2027, 7, 2),
            1,
            date(2027, 7, 6),
            "Sunday's, on a Monday",
        ),
        (
            date(2026, 11, 24),
            3,
            date(2026, 11, 30),
            "over Thanksgiving",
        ),
        (date(2026, 12, 24), 1, date(2026, 12, 28), "over Christmas"),
        (date(2026, 12, 31), 1, date(2027, 1, 4), "over New Year"),
        (date(2026, 12, 23), 5, date(2026, 12, 31), "to the year end"),
        (date(2026, 12, 23), 6, date(2027, 1, 4), "beyond it"),
        (
            date(2028, 2, 28),
            2,
            date(2028, 3, 1),
            "over a leap day, a Tuesday",
        ),
    ] {
        assert_eq!(
            member.business_day_after(from, count),
            to,
            "{why}: {from} + {count}"
        );
    }
    let agent = policy("agent");
    assert_eq!(
        agent.business_day_after(date(2026, 12, 24), 1),
        date(2026, 12, 25),
        "no holidays here"
    );
}

#[test]
fn the_holidays_of_two_years_are_listed_on_both_portals_with_letters() {
    let holidays = |portal| policy(portal).pin.expect("letters").holidays;
    assert_eq!(holidays("member"), holidays("provider"));
    for year in [2026, 2027] {
        let days: Vec<Date> = holidays("member")
            .into_iter()
            .filter(|d| d.year() == year)
            .collect();
        assert_eq!(days.len(), 11, "{year}");
        assert!(days.iter().all(|d| d.weekday() != Weekday::Sunday));
    }
}

#[test]
fn a_day_begins_at_midnight_where_the_portal_is() {
    let policy = policy("agent");
    for (moment, day) in [
        ("2026-01-15T05:59:59Z", date(2026, 1, 14)),
        ("2026-01-15T06:00:00Z", date(2026, 1, 15)),
        ("2026-07-01T04:59:59Z", date(2026, 6, 30)),
        ("2026-07-01T05:00:00Z", date(2026, 7, 1)),
    ] {
        assert_eq!(policy.today(at(moment)), day, "{moment}");
        assert_eq!(policy.date_of(at(moment)), day, "{moment}");
    }
}

#[test]
fn a_password_expires_after_ninety_days_to_the_second() {
    // AG-02: days of 24 hours, also where summer time begins among them
    let changed = at("2026-01-01T12:00:00Z");
    let end = policy("agent").password_expires_at(changed);
    assert_eq!(end, Some(at("2026-04-01T12:00:00Z")));
    assert_eq!(
        end.map(|e| e.duration_since(changed)),
        Some(SignedDuration::from_hours(90 * 24))
    );
    let (text, _) = replaced(
        "group",
        &["max_age_days", "warning_days"],
        &["max_age_days = 1"],
    );
    let shortest = parse("group", &text).unwrap();
    assert_eq!(
        shortest.password_expires_at(changed),
        Some(at("2026-01-02T12:00:00Z"))
    );
    assert_eq!(policy("member").password_expires_at(changed), None);
}

#[test]
fn a_session_ends_after_its_hours_to_the_second() {
    // AG-14; the night of 8 March 2026 has an hour less in Chicago, the session not
    for begun in [
        "2026-01-15T23:59:59Z",
        "2026-03-08T07:30:00Z",
        "2026-12-31T20:00:00Z",
    ] {
        let end = policy("agent").session_expires_at(at(begun));
        assert_eq!(
            end.duration_since(at(begun)),
            SignedDuration::from_hours(8),
            "{begun}"
        );
    }
    for hours in [1, 24] {
        let (text, _) = replaced(
            "agent",
            &["max_hours = 8"],
            &[&format!("max_hours = {hours}")],
        );
        let end = parse("agent", &text)
            .unwrap()
            .session_expires_at(at("2026-01-01T00:00:00Z"));
        assert_eq!(
            end,
            at("2026-01-01T00:00:00Z") + SignedDuration::from_hours(hours)
        );
    }
}

// The document

/// The schema: each section's heading in docs/portals.md, its type, and its fields as they stand in
/// a policy. A new field has to be entered here and explained there.
const SCHEMA: &[(&str, &str, &str)] = &[
    (
        "Top level",
        "Policy",
        "title site origins time_zone brand plan help_desk help_desk_for username email password \
         security_questions hint_question second_factor session concurrent_use rate_limits registration_type pin \
         registration_code staff agreement recovery inactivity access_review campaign \
         records messages service group_codes publication roles single_sign_on application",
    ),
    ("`[brand]`", "BrandPolicy", "color logo"),
    ("`[plan]`", "Plan", "id name return_address home_country"),
    ("`[help_desk]`", "HelpDesk", "name phone hours email"),
    ("`[help_desk_for]`", "HelpDeskFor", "portals"),
    (
        "`[username]`",
        "UsernamePolicy",
        "chosen_by min_length prefix",
    ),
    ("`[email]`", "EmailPolicy", "unique_in from"),
    (
        "`[password]`",
        "PasswordPolicy",
        "min_length required_characters reject_obscene_words max_age_days warning_days history",
    ),
    (
        "`[security_questions]`",
        "SecurityQuestionPolicy",
        "required questions",
    ),
    (
        "`[second_factor]`",
        "SecondFactorPolicy",
        "required_for methods recovery_codes trusted_device_days step_up_minutes reset_by reset_verification relying_party_id",
    ),
    ("`[session]`", "SessionPolicy", "max_hours idle_minutes"),
    (
        "`[rate_limits]`",
        "RateLimits",
        "sign_in registration email",
    ),
    (
        "`[rate_limits.email]`",
        "EmailLimits",
        "max_requested_per_recipient max_notices_per_recipient max_per_sender max_confirmations_per_sender",
    ),
    (
        "`[rate_limits.sign_in]` and `[rate_limits.registration]`",
        "RateLimit",
        "max_attempts max_attempts_per_source window_minutes",
    ),
    (
        "`[[registration_type]]`",
        "RegistrationType",
        "id title record_type verify role organization requires_signing_authority eligible ineligible_message \
         pin services joining_requires_approval notification_letter",
    ),
    (
        "`[[registration_type]]`",
        "RecordCondition",
        "categories participating",
    ),
    (
        "`[records]`",
        "RecordsPolicy",
        "on_termination max_terminated_percent",
    ),
    (
        "`[pin]`",
        "PinPolicy",
        "digits max_attempts valid_days address reissued_by delivery_days international_delivery_days \
         holidays",
    ),
    (
        "`[registration_code]`",
        "RegistrationCodePolicy",
        "prefix digits max_attempts valid_days reissued_by",
    ),
    (
        "`[staff]`",
        "StaffPolicy",
        "onboarding approval approval_by_another invitation_valid_days requires_backup_administrator",
    ),
    (
        "`[[agreement]]`",
        "Agreement",
        "id title revision form_url recorded_by blocks registration_types categories",
    ),
    (
        "`[recovery]`",
        "RecoveryPolicy",
        "forgot_password forgot_username link_minutes",
    ),
    (
        "`[inactivity]`",
        "InactivityPolicy",
        "disable_after_days delete_after_days exempt_roles warning_days grace_days",
    ),
    (
        "`[concurrent_use]`",
        "ConcurrentUsePolicy",
        "within_minutes",
    ),
    (
        "`[access_review]`",
        "AccessReviewPolicy",
        "interval_days due_within_days reminder_days",
    ),
    (
        "`[[campaign]]`",
        "WrittenCampaign",
        "kind start cutoff transition_days warning_days corrected_on on created_before",
    ),
    (
        "`[messages]`",
        "Messages",
        "login_failed account_disabled registration_refused",
    ),
    ("`[[service]]` and `[[publication]]`", "Offered", "id title"),
    ("`[group_codes]`", "GroupCodePolicy", "from_records offered"),
    (
        "`[roles.ROLE]`",
        "RolePolicy",
        "title permissions can_grant",
    ),
    ("`[single_sign_on]`", "SingleSignOnPolicy", "issuer"),
    (
        "`[[application]]`",
        "Application",
        "id title service redirect_uris post_logout_redirect_uris backchannel_logout_uri authentication jwks \
         secret_version second_factor access_token_minutes access_token_format",
    ),
    (
        "`[[application.jwks]]`",
        "ApplicationKey",
        "kid kty n e crv x y",
    ),
];

/// A field as the sources have it.
struct SourceField {
    name: String,
    of_type: String,
    required: bool,
}

/// The sources that policies are read by.
fn sources() -> String {
    let folder = "shared/domain/src/policy";
    let mut files: Vec<_> = std::fs::read_dir(root().join(folder))
        .expect(folder)
        .map(|entry| entry.expect(folder).file_name())
        .map(|name| name.into_string().expect("a file's name"))
        .filter(|name| name != "read.rs")
        .collect();
    files.sort();
    let texts = files.iter().map(|name| read(&format!("{folder}/{name}")));
    texts.collect()
}

/// The types that a policy is read into, with their fields: each `section!`, and the whole file, which
/// `Policy::read` takes apart.
fn source() -> BTreeMap<String, Vec<SourceField>> {
    let text = sources();
    let mut types = BTreeMap::new();
    for section in text.split("section! {\n").skip(1) {
        let section = section.split_once("\n}\n").expect("its end").0;
        let (_, rest) = section.split_once("struct ").expect("a struct");
        let (name, fields) = rest.split_once(" {\n").expect("its fields");
        let fields = fields.lines().filter_map(|line| {
            let line = line.trim().trim_end_matches(',');
            let (name, rest) = line.split_once(": ").filter(|_| !line.starts_with("//"))?;
            let (of_type, absent) = match rest.split_once(" = ") {
                Some((of_type, absent)) => (of_type, Some(absent)),
                None => (rest, None),
            };
            Some(SourceField {
                name: name.trim_start_matches("pub ").to_owned(),
                of_type: of_type.to_owned(),
                required: absent.is_none(),
            })
        });
        types.insert(name.to_owned(), fields.collect());
    }
    let (_, policy) = text.split_once("pub struct Policy {\n").expect("Policy");
    let of_type = |field: &str| {
        let line = policy.lines().map(str::trim);
        let mut line = line.filter_map(|l| l.strip_prefix(&format!("pub {field}: ")));
        let of_type = line.next().expect(field);
        of_type.trim_end_matches(',').to_owned()
    };
    let (_, read) = policy.split_once("let mut fields").expect("its reading");
    let read = read
        .split_once("fields.reject_unknown()")
        .expect("its end")
        .0;
    let fields = read.split("let ").skip(1).filter_map(|statement| {
        let (field, rest) = statement.split_once([':', ' '])?;
        let (_, call) = rest.split_once("fields.")?;
        let (how, rest) = call.split_once("(\"")?;
        let (name, _) = rest.split_once('"')?;
        Some(SourceField {
            name: name.to_owned(),
            of_type: of_type(field),
            required: how == "required",
        })
    });
    types.insert("Policy".to_owned(), fields.collect());
    types
}

/// The tables of a document: under which heading, and the cells of each row.
fn rows(document: &str) -> Vec<(String, Vec<String>)> {
    let mut heading = String::new();
    let mut rows = Vec::new();
    for line in document.lines() {
        if let Some(next) = line.strip_prefix("### ") {
            heading = next.to_owned();
        } else if line.starts_with("## ") {
            heading.clear();
        } else if let Some(cells) = line.strip_prefix("| `").and_then(|l| l.strip_suffix(" |")) {
            let cells = format!("`{cells}");
            rows.push((
                heading.clone(),
                cells.split(" | ").map(String::from).collect(),
            ));
        }
    }
    rows
}

#[test]
fn the_list_of_fields_is_that_of_the_source() {
    let source = source();
    let listed: BTreeMap<_, Vec<_>> = SCHEMA
        .iter()
        .map(|(_, of, fields)| (of.to_string(), fields.split(' ').collect()))
        .collect();
    let found: BTreeMap<_, Vec<_>> = source
        .iter()
        .map(|(of, fields)| (of.clone(), fields.iter().map(|f| f.name.as_str()).collect()))
        .collect();
    assert_eq!(found, listed);
}

#[test]
fn the_document_explains_every_field_with_its_bounds() {
    let document = read("docs/portals.md");
    let rows = rows(&document);
    let source = source();
    let mut explained = BTreeSet::new();
    for (heading, of, _) in SCHEMA {
        for field in &source[*of] {
            let name = match *of {
                "RecordCondition" => format!("eligible.{}", field.name),
                _ => field.name.clone(),
            };
            if name == "eligible" {
                continue; // explained by its two fields
            }
            let row = rows
                .iter()
                .find(|(h, cells)| h == heading && cells[0] == format!("`{name}`"))
                .unwrap_or_else(|| panic!("docs/portals.md, {heading}: no row for `{name}`"));
            let [_, value, absent, meaning] = row.1.as_slice() else {
                panic!("{heading}: `{name}` has not four cells")
            };
            assert!(!meaning.is_empty(), "{heading}: {name}");
            let of_type = field
                .of_type
                .trim_start_matches("Option<")
                .trim_end_matches('>');
            let bounds = match of_type {
                "Days" => Some("days".to_owned()),
                "AttemptLimit" => Some("number 1–1000".to_owned()),
                t => t.strip_prefix("Bounded<").map(|b| {
                    format!(
                        "number {}",
                        b.trim_end_matches('>').replace(", ", "–").replace('_', "")
                    )
                }),
            };
            assert!(
                bounds.as_ref().is_none_or(|b| value.starts_with(b)),
                "{heading}: {name} is {bounds:?}, not {value}"
            );
            assert_eq!(
                absent == "**required**",
                field.required,
                "{heading}: {name}"
            );
            explained.insert((heading.to_string(), name));
        }
    }
    for (heading, cells) in rows.iter().filter(|(h, c)| !h.is_empty() && c.len() == 4) {
        let name = cells[0].trim_matches('`').to_owned();
        assert!(
            explained.contains(&(heading.clone(), name)),
            "{heading}: {} is no field",
            cells[0]
        );
    }
}

#[test]
fn the_document_explains_every_value_that_can_be_chosen() {
    let document = read("docs/portals.md");
    let text = sources();
    let mut names = 0;
    for part in text.split("rename_all = \"snake_case\")]\n").skip(1) {
        let body = part
            .split_once("{\n")
            .and_then(|(_, rest)| rest.split_once("\n}"))
            .expect("an enum")
            .0;
        for variant in body.lines().filter_map(|l| l.trim().strip_suffix(',')) {
            let mut name = String::new();
            for c in variant.chars() {
                if c.is_ascii_uppercase() && !name.is_empty() {
                    name.push('_');
                }
                name.push(c.to_ascii_lowercase());
            }
            assert!(document.contains(&format!("`{name}`")), "{name}");
            names += 1;
        }
    }
    assert!(names > 40, "{names} values found");
    for &kind in RecordKind::ALL {
        let facts: Vec<_> = [
            Fact::SubscriberLastName,
            Fact::FirstName,
            Fact::LastName,
            Fact::DateOfBirth,
            Fact::SsnLast4,
            Fact::TaxIdLast4,
            Fact::TaxId,
        ]
        .into_iter()
        .filter(|f| kind.has(*f))
        .map(|f| format!("`{}`", f.into_str()))
        .collect();
        let row = format!(
            "| `{}` | `{}` | {} |",
            kind.into_str(),
            kind.number_field(),
            facts.join(", ")
        );
        assert!(document.contains(&row), "{row}");
    }
}

#[test]
fn the_document_shows_where_the_seven_policies_differ() {
    let document = read("docs/portals.md");
    let roles = |roles: &mut dyn Iterator<Item = Role>| {
        roles
            .map(|r| r.into_str().replace('_', " "))
            .collect::<Vec<_>>()
            .join(", ")
    };
    let who = |p: &Policy, permission| {
        let mut able = p
            .roles
            .iter()
            .filter(|(_, r)| r.permissions.contains(&permission));
        roles(&mut able.by_ref().map(|(role, _)| *role))
    };
    type Cell<'a> = &'a dyn Fn(&Policy) -> String;
    let reported: &[(&str, Cell)] = &[
        ("Registration types", &|p| {
            let ids = p.registration_types.iter().map(|w| format!("`{}`", w.id));
            ids.collect::<Vec<_>>().join(", ")
        }),
        ("Idle session ends after", &|p| {
            let idle = p.session.idle_minutes;
            idle.map_or_else(String::new, |m| format!("{} minutes", m.get()))
        }),
        ("Password lasts", &|p| {
            let days = p.password.max_age_days;
            days.map_or("no limit".into(), |d| format!("{} days", d.get()))
        }),
        ("Idle accounts", &|p| {
            let days = p.inactivity.as_ref();
            let days = days.map(|i| (i.disable_after_days.get(), i.delete_after_days.get()));
            days.map_or_else(String::new, |(a, b)| format!("{a} / {b} days"))
        }),
        ("Exempt roles", &|p| {
            let exempt = p.inactivity.iter().flat_map(|i| &i.exempt_roles);
            roles(&mut exempt.copied())
        }),
        ("Administrators deleted by", &|p| match (
            &p.staff,
            who(p, Permission::DeleteAdministrators),
        ) {
            (Some(_), who) if who.is_empty() => "help desk".into(),
            (_, who) => who,
        }),
        ("Deleted users invited again by", &|p| {
            who(p, Permission::InviteDeleted)
        }),
        ("Last sign-in seen by", &|p| {
            who(p, Permission::SeeLastSignIn)
        }),
        ("Looks up agents", &|p| who(p, Permission::LookUpAgents)),
        ("Group codes", &|p| {
            let codes = if p.group_codes.from_records {
                "plan records"
            } else {
                ""
            };
            codes.into()
        }),
        ("E-news", &|p| {
            if p.publications.is_empty() { "" } else { "yes" }.into()
        }),
    ];
    for (what, cell) in reported {
        let mut row = format!("| {what} |");
        for portal in SEVEN {
            let cell = cell(&policy(portal));
            row += &format!(" {} |", if cell.is_empty() { "–" } else { &cell });
        }
        assert!(
            document.contains(&(row.clone() + "\n")),
            "docs/portals.md has no row {row}"
        );
    }
}

#[test]
fn the_document_shows_faults_as_they_are_reported() {
    let document = read("docs/portals.md");
    for (old, new) in [
        ("max_hours = 8", "max_hours = 25"),
        ("verify", "verify = [\"date_of_birth\"]"),
    ] {
        let error = parse("agent", &replaced("agent", &[old], &[new]).0).unwrap_err();
        assert!(document.contains(&format!("      {error}\n")), "{error}");
    }
}
