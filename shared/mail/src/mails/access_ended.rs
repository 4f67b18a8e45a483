//! To whose access had an end date, which is over (UX-07).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, portal};

pub(super) fn content(last: Date, whole: bool, policy: &Policy) -> Content {
    let (what, then) = if whole {
        (
            format!("Your access to {}, has ended.", portal(policy)),
            "You can no longer sign in, and your account was deleted.",
        )
    } else {
        (
            format!(
                "Your access to {}, has ended for one of the organizations that you work for.",
                portal(policy)
            ),
            "Your username and password work as before for the others.",
        )
    };
    Content::new(
        format!("Your access to {} has ended", policy.title),
        vec![
            Block::text(what),
            Block::text(format!("{} was its last day. {then}", day(last))),
            Block::text(format!(
                "If you need it again, please ask an administrator of the organization, or call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("you had access to {} until {}", policy.title, day(last)),
    )
}
