//! Getting back in: a forgotten password, a forgotten username.
//!
//! Nothing here tells whether an account exists. What a link needs is only noted and looked into
//! after the answer has gone; questions are shown for every name, every refusal is the same, and every
//! answer takes a quarter of a second.

mod answer_for_username;
mod ask_questions;
mod ask_reset;
mod look_up_reset;
mod remind_username;
mod reset;

use axum::http::StatusCode;
use axum::middleware;
use data_encoding::BASE64URL_NOPAD;
use vestibule_domain::account::Account;
use vestibule_domain::audit::Origin;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::{Policy, RecoveryMeans};
use vestibule_domain::text::Sensitive;
use vestibule_http::router::in_least_time;
use vestibule_http::{App, Problem, guesses};
use vestibule_secrets::Purpose;
use vestibule_store::attempts::Guess;

vestibule_http::routes! {
    ask_reset::ask_reset,
    look_up_reset::look_up_reset,
    reset::reset,
    remind_username::remind_username,
    ask_questions::ask_questions,
    answer_for_username::answer_for_username,
    ; layer: middleware::from_fn(in_least_time)
}

/// Counts an attempt, for its subject and for the source, before anything is looked at.
async fn count(
    app: &App,
    step: &str,
    subject: &str,
    origin: &Origin,
    policy: &Policy,
) -> Result<AttemptKey, Problem> {
    guesses::count(
        app,
        (Guess::Recovery, step, subject),
        &policy.sign_in,
        origin,
        policy,
    )
    .await
}

/// The questions of an account; for a name without one, questions that stay the same for it.
fn questions(app: &App, policy: &Policy, subject: &str, account: Option<&Account>) -> Vec<String> {
    let Some(asked) = &policy.security_questions else {
        return Vec::new();
    };
    if let Some(account) = account.filter(|a| !a.security_answers.is_empty()) {
        return account
            .security_answers
            .iter()
            .map(|a| a.question.clone())
            .collect();
    }
    let mut all: Vec<_> = asked
        .questions
        .iter()
        .map(|q| {
            let rank = app.keyring().mac(
                Purpose::SecurityAnswer,
                &format!("nobody/{}/{subject}", policy.portal),
                &Sensitive::new(q.as_str()),
            );
            (BASE64URL_NOPAD.encode(&rank.code), q.to_string())
        })
        .collect();
    all.sort();
    all.into_iter()
        .take(asked.asked.get() as usize)
        .map(|(_, q)| q)
        .collect()
}

/// That what was shown doesn't prove anything: the one refusal of every pathway.
fn refused(policy: &Policy) -> Problem {
    let desk = &policy.help_desk;
    let detail = format!(
        "This could not be confirmed. Please check what you entered, or ask for a new link. {} can help: {} ({}).",
        desk.name, desk.phone, desk.hours
    );
    Problem::new(
        StatusCode::FORBIDDEN,
        "recovery-refused",
        "Not confirmed",
        detail,
    )
    .with_help(policy)
}

/// That the portal doesn't recover this way.
fn not_here(policy: &Policy) -> Problem {
    Problem::new(
        StatusCode::NOT_FOUND,
        "not-this-portal",
        "Not on this portal",
        "This portal brings people back in another way; GET /{portal} tells which.",
    )
    .with_help(policy)
}

/// The names of means, as they stand in the API.
fn names(means: &std::collections::BTreeSet<RecoveryMeans>) -> Vec<&'static str> {
    means.iter().map(|m| m.as_str()).collect()
}
