//! PINs and registration codes: activate, reissue, status of the letter.

mod enter_pin;
mod letter_status;
mod redeem_code;
mod reissue_pin;

use axum::http::StatusCode;
use axum::middleware;
use vestibule_domain::policy::{Policy, Reissuer};
use vestibule_http::Problem;
use vestibule_http::router::refusals_in_least_time;

vestibule_http::routes! {
    enter_pin::enter_pin,
    letter_status::letter_status,
    reissue_pin::reissue_pin,
    redeem_code::redeem_code,
    ; layer: middleware::from_fn(refusals_in_least_time)
}

/// What to do about a PIN that can't be used any more.
fn ask_for_new_pin(policy: &Policy) -> String {
    let by_user = policy
        .pin
        .as_ref()
        .is_some_and(|p| p.reissued_by.contains(&Reissuer::User));
    if by_user {
        "Please have a new PIN issued; it will come by letter.".into()
    } else {
        format!(
            "Please ask {} ({}) for a new PIN; it will come by letter.",
            policy.help_desk.name, policy.help_desk.phone
        )
    }
}

/// What to do about a registration code that can't be used any more.
fn ask_for_new_code(policy: &Policy) -> String {
    format!(
        "Please ask an administrator of your organization, or {} ({}), to send you a new one.",
        policy.help_desk.name, policy.help_desk.phone
    )
}

/// A code that is wrong, dead or too old, in words.
fn code_problem(kind: &str, title: &str, detail: String, policy: &Policy) -> Problem {
    let status = if kind.ends_with("-wrong") {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::GONE
    };
    Problem::new(status, kind, title, detail).with_help(policy)
}
