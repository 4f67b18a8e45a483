//! To who loses access because the plan's records no longer have them, or has it back (AG-16).

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(organization: Option<&str>, returned: bool, policy: &Policy) -> Content {
    let portal = portal(policy);
    let whose = organization.unwrap_or("you");
    let plan = &policy.plan.name;
    let help = help(&policy.help_desk);
    let (subject, blocks) = if returned {
        (
            "Your access is back",
            vec![
                Block::text(format!(
                    "The records of {plan} have {whose} again. Your access to {portal} is what it was before."
                )),
                Block::link("Sign in", &page(policy, "/sign-in")),
                Block::text(format!("If you did not expect this, please call {help}.")),
            ],
        )
    } else {
        let nobody = organization.map_or_else(
            || "You can no longer use it.".to_owned(),
            |name| format!("Nobody can use it for {name} any longer, administrators included."),
        );
        (
            "Your access has ended",
            vec![
                Block::text(format!(
                    "The records of {plan} no longer have {whose}. That has ended your access to {portal}. {nobody}"
                )),
                Block::text(format!(
                    "Your username is kept. If the record returns, so does your access. If you think that this is a mistake, please call {help}."
                )),
            ],
        )
    };
    Content::new(
        format!("{subject} on {}", policy.title),
        blocks,
        match organization {
            Some(name) => format!("you have a username on {} for {name}", policy.title),
            None => format!("you have a username on {}", policy.title),
        },
    )
}
