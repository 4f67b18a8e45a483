//! Sends an out-of-network provider its provider ID after its first claim, so that it can register
//! (EX-05, EX-06).
//!
//! Registration takes two numbers, and the letter contains only one. The provider knows the other,
//! its tax ID, so no one can register with the letter alone.

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(
    organization: &str,
    registration_type: &str,
    provider_id: &str,
    policy: &Policy,
) -> Content {
    let plan = &policy.plan.name;
    Content::new(
        format!("Your provider ID with {plan}"),
        vec![
            Block::text(format!(
                "{plan} received a first claim for services of {organization} and assigned it a provider ID. You can use this ID to register on {}.",
                portal(policy)
            )),
            Block::facts([
                ("Provider ID", provider_id),
                ("Register as", registration_type),
            ]),
            Block::link("Register here", &page(policy, "/register")),
            Block::text(
                "To register, you need the provider ID above and the nine-digit tax ID under which the claim was filed. The tax ID is not printed here, so that no one can register with this letter alone. Keep this letter until you have registered.",
            ),
            Block::text(format!(
                "You do not need to register to be paid. If you do not know the tax ID, or if this letter is not for you, call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("{plan} received a first claim from {organization}"),
    )
}
