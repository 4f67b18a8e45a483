//! To who has to register again in a campaign (AG-13).

use jiff::civil::Date;
use vestibule_domain::campaign::Call;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, page, portal};

pub(super) fn content(call: Call, today: Date, policy: &Policy) -> Content {
    let desk = help(&policy.help_desk);
    let asked = format!(
        "Everybody who has an account on {}, is asked to register again.",
        portal(policy)
    );
    let cutoff = day(call.cutoff);
    let (subject, said) = if call.is_over(today) {
        (
            format!("You have not registered again on {}", policy.title),
            vec![
                format!("The last day for it was {cutoff}. You no longer have access."),
                format!("If you still need it, please call {desk}."),
            ],
        )
    } else {
        let access = if call.leaves_access(today) {
            format!(
                "Until {} everything stays open to you. After that day you first have to register again.",
                day(call.access_until)
            )
        } else {
            "Before anything is open to you, you have to register again.".to_owned()
        };
        (
            format!("Please register again on {}", policy.title),
            vec![
                access,
                "Sign in with your username and password, and have at hand what you registered with. Your account stays as it is.".to_owned(),
            ],
        )
    };
    let mut blocks = vec![Block::text(asked)];
    blocks.extend(said.iter().map(Block::text));
    if !call.is_over(today) {
        blocks.push(Block::facts([("Last day to register again", &cutoff)]));
        blocks.push(Block::link("Sign in", &page(policy, "/sign-in")));
    }
    Content::new(
        subject,
        blocks,
        format!("you have an account on {}", policy.title),
    )
}

pub(super) fn done(today: Date, policy: &Policy) -> Content {
    Content::new(
        format!("You have registered again on {}", policy.title),
        vec![
            Block::text(format!(
                "On {} you registered again on {}. Your account stays as it is.",
                day(today),
                portal(policy)
            )),
            Block::text(format!(
                "If that was not you, please call {} at once.",
                help(&policy.help_desk)
            )),
        ],
        format!("you have an account on {}", policy.title),
    )
}
