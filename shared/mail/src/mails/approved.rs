//! To who has been approved (AG-08).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::mails::last_day;
use crate::words::{page, portal};

pub(super) fn content(
    organization: &str,
    services: &[String],
    ends_on: Option<Date>,
    policy: &Policy,
) -> Content {
    let mut blocks = vec![Block::text(format!(
        "{organization} has approved you. You now have access to {}.",
        portal(policy)
    ))];
    if !services.is_empty() {
        blocks.extend([
            Block::text("You can use these services:"),
            Block::list(services),
        ]);
    }
    blocks.extend(ends_on.map(last_day));
    blocks.extend([
        Block::link("Sign in", &page(policy, "/sign-in")),
        Block::text(format!(
            "If you miss a service, ask an administrator of {organization}. Your profile lists them."
        )),
    ]);
    Content::new(
        format!("You now have access to {}", policy.title),
        blocks,
        format!("you registered on {} for {organization}", policy.title),
    )
}
