//! Notifies an invited user that their registration was approved (AG-08).

use jiff::civil::Date;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::mails::last_day;
use crate::words::page;

pub(super) fn content(
    organization: &str,
    services: &[String],
    end_date: Option<Date>,
    policy: &Policy,
) -> Content {
    let portal = &policy.title;
    let mut blocks = vec![Block::text(format!(
        "{organization} approved your registration. You now have access to {portal}."
    ))];
    if !services.is_empty() {
        blocks.extend([
            Block::text("You can use these services:"),
            Block::list(services),
        ]);
    }
    blocks.extend(end_date.map(last_day));
    blocks.extend([
        Block::link("Sign in", &page(policy, "/sign-in")),
        Block::text(format!(
            "If you need another service, contact an administrator of {organization}. Your profile lists the administrators."
        )),
    ]);
    Content::new(
        format!("You now have access to {portal}"),
        blocks,
        format!("you registered on {portal} for {organization}"),
    )
}
