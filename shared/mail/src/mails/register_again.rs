//! Notifies users that a campaign requires them to register again, and confirms when they have
//! (AG-13).

use jiff::civil::Date;
use vestibule_domain::outbox::mail::Call;
use vestibule_domain::policy::Policy;

use crate::content::{Block, Content};
use crate::words::{day, help, page};

pub(super) fn content(call: Call, today: Date, policy: &Policy) -> Content {
    let portal = &policy.title;
    let desk = help(&policy.help_desk);
    let cutoff = day(call.cutoff);
    let (subject, said) = if call.is_over(today) {
        (
            format!("You have not registered again on {portal}"),
            vec![
                format!("The deadline was {cutoff}, and you no longer have access."),
                format!("If you still need access, call {desk}."),
            ],
        )
    } else {
        let access = if call.leaves_access(today) {
            format!(
                "You have full access through {}. After that day, you must register again before you can use the portal.",
                day(call.access_expires_at)
            )
        } else {
            "You must register again before you can use the portal.".to_owned()
        };
        (
            format!("Register again on {portal}"),
            vec![
                access,
                "Sign in with your username and password, and have the information you registered with at hand. Your account will stay the same.".to_owned(),
            ],
        )
    };
    let mut blocks = vec![Block::text(format!(
        "Everyone with an account on {portal} must register again."
    ))];
    blocks.extend(said.iter().map(Block::text));
    if !call.is_over(today) {
        blocks.push(Block::facts([("Register again by", &cutoff)]));
        blocks.push(Block::link("Sign in", &page(policy, "/sign-in")));
    }
    Content::new(subject, blocks, format!("you have an account on {portal}"))
}

pub(super) fn done(today: Date, policy: &Policy) -> Content {
    let portal = &policy.title;
    Content::new(
        format!("You have registered again on {portal}"),
        vec![
            Block::text(format!(
                "You registered again on {portal} on {}. Your account is the same as before.",
                day(today)
            )),
            Block::text(format!(
                "If this was not you, call {} right away.",
                help(&policy.help_desk)
            )),
        ],
        format!("you have an account on {portal}"),
    )
}
