//! Notifies users that their access ended because the plan's records no longer list them, or that it
//! was restored because the record returned (AG-16).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page};

pub(super) fn content(organization: Option<&str>, returned: bool, policy: &Policy) -> Content {
    let portal = &policy.title;
    let whose = organization.unwrap_or("you");
    let plan = &policy.plan.name;
    let help = help(&policy.help_desk);
    let (subject, blocks) = if returned {
        (
            "has been restored",
            vec![
                Block::text(format!(
                    "{plan} lists {whose} in its records again, so your access to {portal} has been restored. It is the same as before."
                )),
                Block::link("Sign in", &page(policy, "/sign-in")),
                Block::text(format!("If you did not expect this, call {help}.")),
            ],
        )
    } else {
        let nobody = organization.map_or_else(
            || "You can no longer use the portal.".to_owned(),
            |name| {
                format!(
                    "No one, including administrators, can use the portal for {name} any longer."
                )
            },
        );
        (
            "has ended",
            vec![
                Block::text(format!(
                    "{plan} no longer lists {whose} in its records, so your access to {portal} has ended. {nobody}"
                )),
                Block::text(format!(
                    "We are keeping your username, and your access will be restored if the record returns. If you think this is a mistake, call {help}."
                )),
            ],
        )
    };
    Content::new(
        format!("Your access to {portal} {subject}"),
        blocks,
        match organization {
            Some(name) => format!("you have a username on {portal} for {name}"),
            None => format!("you have a username on {portal}"),
        },
    )
}
