//! Notifies users of what the help desk changed on their account, without its internal reason (UX-12).

use vestibule_domain::outbox::mail::HelpDeskAct;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, page};

pub(super) fn content(act: &HelpDeskAct, policy: &Policy) -> Content {
    let portal = &policy.title;
    let desk = &policy.help_desk.name;
    let (subject, what, facts, link) = match act {
        HelpDeskAct::Unlocked => (
            format!("Your account on {portal} was unlocked"),
            format!(
                "{desk} cleared the count of incorrect passwords and answers for your account on {portal}. You can try again now."
            ),
            None,
            true,
        ),
        HelpDeskAct::Secured {
            answers_cleared,
            factors_cleared,
        } => {
            let answers = if *answers_cleared {
                " Your security questions were removed, so choose new ones in your profile afterward."
            } else {
                ""
            };
            let factors = if *factors_cleared {
                " Your second factors and recovery codes were removed, so set up new ones in your profile."
            } else {
                ""
            };
            (
                format!("Your account on {portal} was secured"),
                format!(
                    "{desk} secured your account on {portal}: all sessions ended, and your old password no longer works. To choose a new password, use the link that {desk} sends you.{answers}{factors}"
                ),
                None,
                false,
            )
        }
        HelpDeskAct::Reinstated => (
            format!("Your access to {portal} has been restored"),
            format!(
                "{desk} restored your access to {portal}. Sign in with your username and password."
            ),
            None,
            true,
        ),
        HelpDeskAct::Renamed { username } => (
            format!("Your username on {portal} has changed"),
            format!(
                "{desk} changed your username on {portal}. Your old username no longer works, but your password is the same."
            ),
            Some(("New username", username.clone())),
            true,
        ),
        HelpDeskAct::SubscriptionsChanged { titles } => (
            format!("Your e-news subscriptions on {portal} have changed"),
            format!("{desk} changed your e-news subscriptions on {portal}."),
            Some((
                "Subscriptions",
                if titles.is_empty() {
                    "None".to_owned()
                } else {
                    titles.join(", ")
                },
            )),
            false,
        ),
        HelpDeskAct::AddressCorrected { letter_by } => {
            let letter = if letter_by.is_some() {
                " A letter with a new PIN is on its way, and your old PIN no longer works."
            } else {
                ""
            };
            (
                format!("Your mailing address on {portal} has changed"),
                format!("{desk} corrected the address for letters from {portal}.{letter}"),
                letter_by.map(|by| ("Your PIN letter should arrive by", day(by))),
                false,
            )
        }
        HelpDeskAct::AgreementRecorded { title, letter_by } => (
            format!("Your signed agreement for {portal} is on file"),
            format!("{desk} recorded your signed {title} for {portal}."),
            letter_by.map(|by| ("Your PIN letter should arrive by", day(by))),
            true,
        ),
        HelpDeskAct::RecordDetached {
            organization,
            deleted,
        } => {
            let of = organization
                .as_ref()
                .map_or_else(String::new, |o| format!(" for {o}"));
            let now = if *deleted {
                "Your account has been deleted, and you can no longer sign in."
            } else {
                "You no longer have the access that it gave you."
            };
            (
                format!("Your registration on {portal} was canceled"),
                format!(
                    "{desk} canceled your registration{of} on {portal} because it was matched to a record that is not yours. {now} You can register again with your own information."
                ),
                None,
                false,
            )
        }
        HelpDeskAct::Removed {
            organization,
            deleted,
        } => {
            let from = match organization {
                Some(organization) => {
                    format!("{desk} removed you from the users of {organization} on {portal}.")
                }
                None => format!("{desk} deleted your account on {portal}."),
            };
            let now = match (organization, deleted) {
                (Some(organization), false) => {
                    format!("You can no longer use the portal for {organization}.")
                }
                _ => "You can no longer sign in.".to_owned(),
            };
            (
                format!("Your access to {portal} has ended"),
                format!("{from} {now}"),
                None,
                false,
            )
        }
    };
    let mut blocks = vec![Block::text(what)];
    if let Some((name, value)) = &facts {
        blocks.push(Block::facts([(*name, value.as_str())]));
    }
    if link {
        blocks.push(Block::link("Sign in", &page(policy, "/sign-in")));
    }
    blocks.push(Block::text(format!(
        "If you did not expect this, call {}.",
        help(&policy.help_desk)
    )));
    Content::new(
        subject,
        blocks,
        format!("{desk} changed your account on {portal}"),
    )
}
