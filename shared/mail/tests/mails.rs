//! Every email of several portals, and hostile names in them.

#![allow(clippy::unwrap_used)]

mod common;

use common::policy;
use jiff::ToSpan;
use jiff::civil::Date;
use proptest::prelude::*;
use vestibule_domain::outbox::mail::{
    AccessChange, Call, FactorEvent, HelpDeskAct, IdleStep, Mail, MailText, MailedEvidence,
    ManagedEvent, NoticeLine, ResetInitiator,
};
use vestibule_domain::policy::{FactorMethod, Policy};
use vestibule_domain::state::follow_up::AccountOutcome;
use vestibule_domain::values::ids::MessageId;
use vestibule_domain::values::text::{Email, Sensitive};
use vestibule_mail::render;

const TOKEN: &str = "inv.0123456789abcdefghjkmnpqrs.pZ3kG0-7uW_x9QvTnB5cYd2LhRfE8aJm";
const LAST_DAY: Date = Date::constant(2026, 1, 6);

fn mail(policy: &Policy, greeting: &str, text: MailText) -> Mail {
    Mail {
        id: MessageId::from_bytes([7; 16]),
        portal: policy.portal.clone(),
        to: Email::parse("grace+work@example.com").unwrap(),
        greeting: greeting.into(),
        at: "2025-12-23T18:00:00Z".parse().unwrap(),
        text,
    }
}

/// Returns every kind of email, with the given names wherever a user or a plan record supplies one.
fn every_kind(
    policy: &Policy,
    organization: &str,
    person: &str,
    secret: &str,
    day: Date,
) -> Vec<(&'static str, MailText)> {
    let (organization, person) = (organization.to_owned(), person.to_owned());
    let username = "grace.hopper".to_owned();
    let registered = |pin_letter_by, agreement| MailText::Registered {
        username: username.clone(),
        pin_letter_by,
        agreement,
    };
    let factors = |event| MailText::SecondFactorChanged { event };
    let idle = |then, on| MailText::Idle {
        since: Date::constant(2025, 6, 9),
        signed_in: true,
        then,
        on,
    };
    // Both arguments are days after the day on which these emails are written.
    let again = |access: i64, cutoff: i64| {
        let today = Date::constant(2025, 12, 23);
        MailText::RegisterAgain {
            call: Call {
                access_expires_at: today.saturating_add(access.days()),
                cutoff: today.saturating_add(cutoff.days()),
            },
        }
    };
    let managed = |event| MailText::ManagedUserChanged {
        organization: organization.clone(),
        person: person.clone(),
        username: username.clone(),
        role: "Administrator".into(),
        event,
    };
    let mut kinds = vec![
        ("registered", registered(None, None)),
        (
            "backup_wanted",
            MailText::BackupWanted {
                organization: organization.clone(),
            },
        ),
        (
            "invitation",
            MailText::Invitation {
                organization: organization.clone(),
                inviter: person.clone(),
                role: "Administrator".into(),
                token: Sensitive::new(secret),
                expires_on: day,
            },
        ),
        (
            "invited_person_registered",
            MailText::InvitedPersonRegistered {
                inviter: None,
                organization: organization.clone(),
                person: person.clone(),
                username: username.clone(),
                awaits_approval: false,
            },
        ),
        (
            "invited_person_awaits_approval",
            MailText::InvitedPersonRegistered {
                inviter: Some("Ruth Okafor".into()),
                organization: organization.clone(),
                person: person.clone(),
                username: username.clone(),
                awaits_approval: true,
            },
        ),
        (
            "user_joined",
            managed(ManagedEvent::Joined {
                awaits_approval: false,
            }),
        ),
        (
            "user_joined_awaits_approval",
            managed(ManagedEvent::Joined {
                awaits_approval: true,
            }),
        ),
        (
            "user_approved_by_another",
            managed(ManagedEvent::Approved { by: person.clone() }),
        ),
        (
            "role_changed",
            managed(ManagedEvent::RoleChanged {
                by: person.clone(),
                awaits_approval: true,
            }),
        ),
        (
            "approved",
            MailText::Approved {
                organization: organization.clone(),
                services: policy
                    .services
                    .iter()
                    .map(|s| s.title.to_string())
                    .collect(),
                end_date: None,
            },
        ),
        (
            "approved_without_services",
            MailText::Approved {
                organization: organization.clone(),
                services: vec![],
                end_date: Some(day),
            },
        ),
        (
            "registration_code",
            MailText::RegistrationCode {
                organization: organization.clone(),
                username: username.clone(),
                code: Sensitive::new(secret),
                expires_on: day,
            },
        ),
        (
            "account_made",
            MailText::AccountMade {
                organization: organization.clone(),
                username: username.clone(),
            },
        ),
        (
            "access_assigned",
            MailText::AccessChanged {
                organization: "Blue Heron Manufacturing".into(),
                change: AccessChange::Assigned {
                    end_date: Some(day),
                },
            },
        ),
        (
            "access_review",
            MailText::AccessReview {
                organization: "Blue Heron Manufacturing".into(),
                due_date: day,
            },
        ),
        (
            "access_review_unanswered",
            MailText::AccessReviewOpen {
                organization: organization.clone(),
                due_date: day,
                overdue: false,
                unanswered: vec![person.clone(), "Grace Hopper".into()],
                others: 0,
            },
        ),
        (
            "access_review_overdue",
            MailText::AccessReviewOpen {
                organization: organization.clone(),
                due_date: day,
                overdue: true,
                unanswered: vec![person.clone()],
                others: 12,
            },
        ),
        ("register_again", again(100, 200)),
        ("register_again_to_get_in", again(-1, 100)),
        ("register_again_is_over", again(-100, -1)),
        ("registered_again", MailText::RegisteredAgain),
        (
            "username_released",
            MailText::UsernameReleased {
                username: username.clone(),
            },
        ),
        (
            "username_gone",
            MailText::UsernameGone {
                username: username.clone(),
                instead: "user-k7f3m9qa".into(),
            },
        ),
        (
            "username_chosen",
            MailText::UsernameChosen {
                username: username.clone(),
            },
        ),
        (
            "password_reset_by_administrator",
            MailText::PasswordReset {
                token: Sensitive::new(secret),
                minutes: 30,
                initiator: ResetInitiator::ByAdministrator("Blue Heron Manufacturing".into()),
            },
        ),
        (
            "access_removed",
            MailText::AccessChanged {
                organization: "Blue Heron Manufacturing".into(),
                change: AccessChange::Removed,
            },
        ),
        (
            "access_disabled",
            MailText::AccessChanged {
                organization: "Blue Heron Manufacturing".into(),
                change: AccessChange::Disabled,
            },
        ),
        (
            "access_reinstated",
            MailText::AccessChanged {
                organization: "Blue Heron Manufacturing".into(),
                change: AccessChange::Reinstated,
            },
        ),
        (
            "confirm_email",
            MailText::ConfirmEmail {
                token: Sensitive::new("ve.abc.def"),
                expires_on: day,
            },
        ),
        (
            "email_change_asked",
            MailText::EmailChangeRequested {
                cancellation: Sensitive::new("vc.abc.def"),
            },
        ),
        ("email_change_confirmed", MailText::EmailChanged),
        (
            "feedback",
            MailText::Feedback {
                username: "grace.hopper".into(),
                reply_to: "grace@example.com".into(),
                text: "The list is slow.\n\nOtherwise fine.".into(),
            },
        ),
        (
            "record_ended",
            MailText::RecordEnded {
                organization: None,
                returned: false,
            },
        ),
        (
            "record_returned",
            MailText::RecordEnded {
                organization: None,
                returned: true,
            },
        ),
        (
            "record_of_organization_ended",
            MailText::RecordEnded {
                organization: Some("Hopper & Sons".into()),
                returned: false,
            },
        ),
        ("password_changed", MailText::PasswordChanged),
        ("questions_changed", MailText::QuestionsChanged),
        (
            "passkey_added",
            factors(FactorEvent::Added {
                method: FactorMethod::Passkey,
                name: "Work laptop".into(),
            }),
        ),
        (
            "authenticator_app_removed",
            factors(FactorEvent::Removed {
                method: FactorMethod::AuthenticatorApp,
                name: "Phone".into(),
            }),
        ),
        (
            "recovery_codes_created",
            factors(FactorEvent::RecoveryCodesCreated),
        ),
        ("second_factors_reset", factors(FactorEvent::Reset)),
        (
            "second_factor_reset_by_administrator",
            MailText::SecondFactorReset {
                initiator: ResetInitiator::ByAdministrator("Blue Heron Manufacturing".into()),
                evidence: MailedEvidence::Link {
                    token: Sensitive::new("vf.abc.def"),
                    minutes: 30,
                },
                cancellation: Sensitive::new("vx.abc.def"),
            },
        ),
        (
            "second_factor_reset_by_letter",
            MailText::SecondFactorReset {
                initiator: ResetInitiator::ByHelpDesk,
                evidence: MailedEvidence::Letter { arrives_by: day },
                cancellation: Sensitive::new("vx.abc.def"),
            },
        ),
        (
            "recovery_code_used",
            factors(FactorEvent::RecoveryCodeUsed { left: 7 }),
        ),
        (
            "idle_will_be_disabled",
            idle(IdleStep::WillBeDisabled, Some(day)),
        ),
        ("idle_disabled", idle(IdleStep::Disabled, Some(day))),
        (
            "idle_disabled_for_good",
            MailText::Idle {
                since: Date::constant(2025, 6, 9),
                signed_in: false,
                then: IdleStep::Disabled,
                on: None,
            },
        ),
        (
            "idle_will_be_deleted",
            idle(IdleStep::WillBeDeleted, Some(day)),
        ),
        ("idle_deleted", idle(IdleStep::Deleted, Some(day))),
        (
            "access_ended",
            MailText::AccessEnded {
                last: day,
                whole: true,
            },
        ),
        (
            "access_ended_for_one",
            MailText::AccessEnded {
                last: day,
                whole: false,
            },
        ),
        (
            "password_expires",
            MailText::PasswordExpires {
                on: day,
                over: false,
            },
        ),
        (
            "password_expired",
            MailText::PasswordExpires {
                on: day,
                over: true,
            },
        ),
        (
            "users_changed",
            MailText::UsersChanged {
                organization: "Blue Heron Manufacturing".into(),
                users: [
                    AccountOutcome::Disabled,
                    AccountOutcome::Deleted,
                    AccountOutcome::Ended,
                    AccountOutcome::Disabled,
                ]
                .map(|outcome| NoticeLine {
                    person: person.clone(),
                    username: username.clone(),
                    outcome,
                    on: day,
                })
                .into(),
            },
        ),
        (
            "new_device",
            MailText::NewDevice {
                source: Some("192.0.2.1".into()),
                program: "Firefox on Linux".into(),
            },
        ),
        (
            "concurrent_use",
            MailText::ConcurrentUse {
                sources: vec!["192.0.2.1".into(), "198.51.100.7".into()],
            },
        ),
        (
            "password_reset",
            MailText::PasswordReset {
                token: Sensitive::new("vr.abc.def"),
                minutes: 30,
                initiator: ResetInitiator::ByOwner,
            },
        ),
        (
            "password_reset_by_help_desk",
            MailText::PasswordReset {
                token: Sensitive::new("vh.abc.def"),
                minutes: 30,
                initiator: ResetInitiator::ByHelpDesk,
            },
        ),
        (
            "username_reminder",
            MailText::UsernameReminder {
                is_asked_by_owner: true,
                username: "grace.hopper".into(),
            },
        ),
    ];
    let organization = || Some("Blue Heron Manufacturing".to_owned());
    kinds.extend(
        [
            ("help_desk_unlocked", HelpDeskAct::Unlocked),
            (
                "help_desk_address_corrected",
                HelpDeskAct::AddressCorrected {
                    letter_by: Some(day),
                },
            ),
            (
                "help_desk_secured",
                HelpDeskAct::Secured {
                    answers_cleared: true,
                    factors_cleared: true,
                },
            ),
            ("help_desk_reinstated", HelpDeskAct::Reinstated),
            (
                "help_desk_renamed",
                HelpDeskAct::Renamed {
                    username: "grace.murray".into(),
                },
            ),
            (
                "help_desk_subscribed",
                HelpDeskAct::SubscriptionsChanged {
                    titles: vec!["Provider News".into()],
                },
            ),
            (
                "help_desk_unsubscribed",
                HelpDeskAct::SubscriptionsChanged { titles: vec![] },
            ),
            (
                "help_desk_recorded_agreement",
                HelpDeskAct::AgreementRecorded {
                    title: "Signatory Agreement".into(),
                    letter_by: Some(day),
                },
            ),
            (
                "help_desk_removed",
                HelpDeskAct::Removed {
                    organization: organization(),
                    deleted: false,
                },
            ),
            (
                "help_desk_deleted",
                HelpDeskAct::Removed {
                    organization: None,
                    deleted: true,
                },
            ),
            (
                "help_desk_detached",
                HelpDeskAct::RecordDetached {
                    organization: organization(),
                    deleted: true,
                },
            ),
        ]
        .map(|(kind, act)| (kind, MailText::HelpDeskActed { act })),
    );
    let agreement = policy
        .agreements
        .first()
        .map(|a| (a.title.to_string(), a.form_url.to_string()));
    if agreement.is_some() {
        kinds.push(("registered_with_agreement", registered(None, agreement)));
    }
    if policy.pin.is_some() {
        kinds.push(("registered_with_pin_letter", registered(Some(day), None)));
        kinds.push(("letter_not_printed", MailText::LetterNotPrinted));
        kinds.push((
            "letter_overdue",
            MailText::LetterOverdue { arrives_by: day },
        ));
        kinds.push(("pin_reissued", MailText::PinReissued { arrives_by: day }));
    }
    kinds
}

#[test]
fn every_mail_of_every_portal() {
    for portal in ["agent", "provider", "member"] {
        let policy = policy(portal);
        for (kind, text) in every_kind(&policy, "Hopper & Sons", "Ada Byron", "RC402817", LAST_DAY)
        {
            let for_members = matches!(
                text,
                MailText::Registered { .. }
                    | MailText::PinReissued { .. }
                    | MailText::PasswordChanged
                    | MailText::QuestionsChanged
                    | MailText::RecordEnded {
                        organization: None,
                        ..
                    }
            );
            if portal == "member" && !for_members {
                continue;
            }
            let text = match text {
                MailText::Invitation {
                    organization,
                    inviter,
                    role,
                    expires_on,
                    ..
                } => MailText::Invitation {
                    organization,
                    inviter,
                    role,
                    expires_on,
                    token: Sensitive::new(TOKEN),
                },
                other => other,
            };
            let mail = mail(&policy, "Grace Hopper", text);
            let rendered = render(&mail, &policy);
            let name = format!("{portal}_{kind}");
            insta::assert_snapshot!(
                format!("{name}.txt"),
                format!("Subject: {}\n\n{}", rendered.subject, rendered.text)
            );
            // Two show the design; the others must show the same text.
            if ["agent_invitation", "provider_new_device"].contains(&name.as_str()) {
                insta::assert_snapshot!(format!("{name}.html"), rendered.html);
            }
            let shown = words(&without_tags(&rendered.html));
            let heading = format!("{} ", words(&rendered.subject));
            assert_eq!(
                shown.replacen(&heading, "", 1),
                words(&rendered.text),
                "{name}"
            );
            for link in rendered.html.split("href=\"").skip(1) {
                let link = link.split('"').next().unwrap_or_default();
                let link = link.strip_prefix("mailto:").unwrap_or(link);
                assert!(rendered.text.contains(link), "{name}: {link}");
            }
        }
    }
}

/// Returns the words of a text without rules and the colons of labels.
fn words(text: &str) -> String {
    let words = text.split_whitespace().map(|w| w.trim_end_matches(':'));
    let words: Vec<_> = words.filter(|w| !w.trim_matches('-').is_empty()).collect();
    words.join(" ")
}

/// Returns the text of an HTML document's body.
fn without_tags(html: &str) -> String {
    let (_, body) = html.split_once("</head>").unwrap();
    let mut text = String::new();
    for part in body.split('<').skip(1) {
        text.push(' ');
        text.push_str(part.split_once('>').unwrap().1);
    }
    // The template escapes with decimal references only.
    let mut plain = String::new();
    let mut parts = text.split("&#");
    plain.push_str(parts.next().unwrap_or_default());
    for part in parts {
        let (code, rest) = part.split_once(';').unwrap();
        plain.push(char::from_u32(code.parse().unwrap()).unwrap());
        plain.push_str(rest);
    }
    plain
}

#[test]
fn ag_18_every_mail_names_portal_plan_and_help_desk() {
    for portal in [
        "agent", "group", "member", "provider", "practice", "producer", "employer",
    ] {
        let policy = policy(portal);
        let desk = &policy.help_desk;
        for (kind, text) in every_kind(&policy, "Hopper & Sons", "Ada Byron", TOKEN, LAST_DAY) {
            let mail = render(&mail(&policy, "Grace Hopper", text), &policy);
            for part in [&mail.text, &mail.html] {
                for named in [
                    &policy.title,
                    &policy.plan.name,
                    &desk.name,
                    &desk.phone,
                    &desk.hours,
                ] {
                    assert!(
                        part.contains(named.as_str()),
                        "{portal} {kind}: {named}\n{part}"
                    );
                }
                assert!(
                    part.contains("You are receiving this email because "),
                    "{portal} {kind}"
                );
            }
            for line in mail.text.lines() {
                assert!(
                    line.chars().count() <= 72 || line.starts_with("https://"),
                    "{portal} {kind}: {line}"
                );
            }
        }
    }
}

#[test]
fn a_token_is_only_in_the_fragment_and_no_secret_in_the_subject() {
    let policy = policy("agent");
    let token = "a b/?&#\"<é";
    let encoded = "a%20b%2F%3F%26%23%22%3C%C3%A9";
    for (_, text) in every_kind(&policy, "Hopper & Sons", "Ada Byron", token, LAST_DAY) {
        let code = matches!(text, MailText::RegistrationCode { .. });
        let invitation = matches!(text, MailText::Invitation { .. });
        let rendered = render(&mail(&policy, "Grace Hopper", text), &policy);
        assert!(!rendered.subject.contains(token));
        assert_eq!(rendered.text.contains(token), code);
        assert_eq!(
            rendered.text.contains(&format!(
                "https://agents.harborlight.example/invitations/accept#token={encoded}\n"
            )),
            invitation
        );
        assert_eq!(format!("{rendered:?}"), "RenderedMail(***)");
    }
}

#[test]
fn hostile_names_stay_names() {
    let policy = policy("provider");
    let name =
        "Eve <script>alert('x')</script> & \"Co\"\r\nBcc: all@example.com\n\nPay here\u{202e}";
    for (kind, text) in every_kind(&policy, name, name, "RC402817", LAST_DAY) {
        let mail = render(&mail(&policy, name, text), &policy);
        assert!(!mail.html.contains("<script"), "{kind}: {}", mail.html);
        assert!(
            mail.html.contains("Eve &#60;script&#62;"),
            "{kind}: {}",
            mail.html
        );
        assert!(
            !mail.subject.chars().any(char::is_control),
            "{kind}: {}",
            mail.subject
        );
        for part in [&mail.text, &mail.html] {
            assert!(
                !part.lines().any(|l| l.trim_start().starts_with("Bcc:")),
                "{kind}: {part}"
            );
            assert!(
                !part.contains("\n\nPay here") && !part.contains('\u{202e}'),
                "{kind}: {part}"
            );
        }
    }
}

fn any_date() -> impl Strategy<Value = Date> {
    (-9999i16..=9999, 1i8..=12, 1i8..=28).prop_map(|(y, m, d)| Date::new(y, m, d).unwrap())
}

proptest! {
    #[test]
    fn any_mail_can_be_written(
        organization in "\\PC{0,130}|.{0,130}|[\\s\\S]{0,30}",
        person in "\\PC{0,130}|[\\s\\S]{0,30}",
        secret in "[\\s\\S]{0,40}",
        day in any_date(),
    ) {
        for portal in ["agent", "provider"] {
            let policy = policy(portal);
            for (_, text) in every_kind(&policy, &organization, &person, &secret, day) {
                let rendered = render(&mail(&policy, &person, text), &policy);
                prop_assert!(!rendered.subject.is_empty() && !rendered.subject.chars().any(char::is_control));
                prop_assert!(!rendered.text.chars().any(|c| c.is_control() && c != '\n'));
                prop_assert!(!rendered.html.chars().any(|c| c.is_control() && c != '\n'));
            }
        }
    }
}
