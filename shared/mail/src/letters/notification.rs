//! To a provider outside the network whose first claim has come in: with what to register (EX-05,
//! EX-06).
//!
//! The letter holds one of the two numbers that registering takes. The other one, the tax id, its
//! owner knows; so a letter in the wrong hands registers nobody.

use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{help, page, portal};

pub(super) fn content(
    organization: &str,
    way: &str,
    provider_id: &str,
    policy: &Policy,
) -> Content {
    let plan = &policy.plan.name;
    Content::new(
        format!("Your provider ID with {plan}"),
        vec![
            Block::text(format!(
                "{plan} has received a first claim for services of {organization}, and has given it a provider ID. With it you can register on {}.",
                portal(policy)
            )),
            Block::facts([("Provider ID", provider_id), ("Register as", way)]),
            Block::link("Register here", &page(policy, "/register")),
            Block::text(
                "You will be asked for the provider ID above and for the nine-digit tax ID under which the claim was filed. The tax ID is not printed here, so that this letter alone registers nobody. Please keep the letter until you have registered.",
            ),
            Block::text(format!(
                "You need not register to be paid. If you do not know the tax ID, or if this letter is not for you, please call {}.",
                help(&policy.help_desk)
            )),
        ],
        format!("{plan} has received a first claim of {organization}"),
    )
}
