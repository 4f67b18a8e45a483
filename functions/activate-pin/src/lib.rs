//! PINs and registration codes: activate, reissue and show the status of the letter.

mod enter_pin;
mod redeem_code;
mod reissue_pin;
mod show_letter;

use axum::http::StatusCode;
use axum::middleware;
use vestibule_domain::policy::{Policy, Reissuer};
use vestibule_http::Problem;
use vestibule_http::router::refusals_in_least_time;

vestibule_http::routes! {
    enter_pin::enter_pin,
    show_letter::show_letter,
    reissue_pin::reissue_pin,
    redeem_code::redeem_code,
    ; layer: middleware::from_fn(refusals_in_least_time)
}

/// Returns a sentence that says how to get a new PIN.
fn ask_for_new_pin(policy: &Policy) -> String {
    let by_user = policy
        .pin
        .as_ref()
        .is_some_and(|p| p.reissued_by.contains(&Reissuer::User));
    if by_user {
        "Request a new PIN; we will mail it to you.".into()
    } else {
        format!(
            "Call {} at {} to request a new PIN; we will mail it to you.",
            policy.help_desk.name, policy.help_desk.phone
        )
    }
}

/// Returns a sentence that says how to get a new registration code.
fn ask_for_new_code(policy: &Policy) -> String {
    format!(
        "To get a new code, ask an administrator of your organization or call {} at {}.",
        policy.help_desk.name, policy.help_desk.phone
    )
}

/// Builds the problem for an incorrect, locked or expired code.
fn code_problem(kind: &str, title: &str, detail: String, policy: &Policy) -> Problem {
    let status = if kind.ends_with("-wrong") {
        StatusCode::UNPROCESSABLE_ENTITY
    } else {
        StatusCode::GONE
    };
    Problem::new(status, kind, title, detail).with_help(policy)
}
