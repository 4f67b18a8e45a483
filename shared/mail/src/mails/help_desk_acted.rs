//! To whose account the help desk has changed (UX-12): what it did, not what it noted of why.

use vestibule_domain::message::HelpDeskAct;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(act: &HelpDeskAct, policy: &Policy) -> Content {
    let portal = portal(policy);
    let desk = &policy.help_desk.name;
    let (subject, what, facts, link) = match act {
        HelpDeskAct::Unlocked => (
            "You can try to sign in again",
            format!(
                "{desk} has cleared the count of wrong passwords and answers for your account on {portal}. You can try again at once."
            ),
            None,
            true,
        ),
        HelpDeskAct::Reinstated => (
            "Your access is back",
            format!(
                "{desk} has reinstated your access to {portal}. Sign in with your username and password."
            ),
            None,
            true,
        ),
        HelpDeskAct::Renamed { username } => (
            "Your username has changed",
            format!(
                "{desk} has changed your username on {portal}. The one you had before no longer works; your password is still the same."
            ),
            Some(("New username", username.clone())),
            true,
        ),
        HelpDeskAct::SubscriptionsChanged { titles } => (
            "Your e-news have changed",
            format!("{desk} has changed your e-news subscriptions on {portal}."),
            Some((
                "Subscribed to",
                if titles.is_empty() {
                    "nothing".to_owned()
                } else {
                    titles.join(", ")
                },
            )),
            false,
        ),
        HelpDeskAct::AgreementRecorded { title, letter_by } => (
            "Your agreement is on file",
            format!("{desk} has recorded your signed {title} for {portal}."),
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
                "Your account is deleted, and you can no longer sign in there."
            } else {
                "What it opened to you is closed."
            };
            (
                "Your registration was undone",
                format!(
                    "{desk} has undone your registration{of} on {portal}, because it was matched with a record that is not yours. {now} You can register with your own data."
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
                    format!("{desk} has removed you from the users of {organization} on {portal}.")
                }
                None => format!("{desk} has deleted your account on {portal}."),
            };
            let now = match (organization, deleted) {
                (Some(organization), false) => {
                    format!("You can no longer work for {organization} there.")
                }
                _ => "You can no longer sign in there.".to_owned(),
            };
            (
                "Your access has ended",
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
        "If you did not expect this, please call {}.",
        help(&policy.help_desk)
    )));
    Content::new(
        format!("{subject} on {}", policy.title),
        blocks,
        format!("{desk} changed your account on {}", policy.title),
    )
}
