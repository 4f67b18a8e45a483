//! Recovery of forgotten passwords and usernames.
//!
//! No response reveals whether an account exists. Requests for an email are queued and processed after
//! the response, security questions are shown for every username, all refusals are the same, and every
//! response takes at least a quarter of a second.

mod complete_reset;
mod look_up_reset;
mod recover_username;
mod send_username_reminder;
mod start_reset;
mod start_username_recovery;

use axum::http::StatusCode;
use axum::middleware;
use vestibule_domain::policy::{Policy, RecoveryMeans};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Action;
use vestibule_http::rate_limit::Scene;
use vestibule_http::router::in_least_time;
use vestibule_http::secret_check::Described;
use vestibule_http::{App, Problem, request_limit};

vestibule_http::routes! {
    start_reset::start_reset,
    look_up_reset::look_up_reset,
    complete_reset::complete_reset,
    send_username_reminder::send_username_reminder,
    start_username_recovery::start_username_recovery,
    recover_username::recover_username,
    ; layer: middleware::from_fn(in_least_time)
}

/// Counts a recovery request for its source. The emails that it causes are limited when they are sent, so that
/// strangers can't use up the requests of an owner (SE-05).
async fn count(app: &App, step: &str, action: Action, scene: Scene<'_>) -> Result<(), Problem> {
    let (policy, _) = scene;
    let described = Described::anonymous(action);
    let limit = &policy.rate_limits.sign_in;
    request_limit::count_source(app, step, limit, &described, scene).await
}

/// Returns the account's security questions. A name without an account gets questions chosen by a keyed
/// hash, so that they stay the same for that name. Both are in the order of the policy, so that the order
/// does not reveal whether there is an account (UX-09).
fn questions(app: &App, policy: &Policy, subject: &str, account: Option<&Account>) -> Vec<String> {
    let Some(asked) = &policy.security_questions else {
        return Vec::new();
    };
    let offered = asked.questions.iter().map(|q| q.as_str());
    let mut ranked: Vec<_> = offered
        .clone()
        .map(|question| {
            let context = format!("nobody/{}/{subject}", policy.portal);
            (app.keyed_digest(&context, question), question)
        })
        .collect();
    ranked.sort_by(|a, b| a.0.cmp(&b.0));
    ranked.truncate(asked.required.get() as usize);
    let decoys: Vec<_> = ranked.iter().map(|(_, question)| *question).collect();
    let own = account.map(|a| a.security_answers.iter().map(|a| a.question.as_str()));
    let shown: Vec<_> = own
        .map(Iterator::collect)
        .filter(|own: &Vec<_>| !own.is_empty())
        .unwrap_or(decoys);
    // A question that the policy no longer offers comes last.
    let left = shown
        .iter()
        .copied()
        .filter(|q| !offered.clone().any(|o| o == *q));
    offered
        .clone()
        .filter(|q| shown.contains(q))
        .chain(left)
        .map(str::to_owned)
        .collect()
}

/// Returns the refusal that every recovery method shares.
fn refused(policy: &Policy) -> Problem {
    let desk = &policy.help_desk;
    let detail = format!(
        "We could not confirm your identity. Check what you entered or request a new link; for help, call {} at {} ({}).",
        desk.name, desk.phone, desk.hours
    );
    Problem::new(
        StatusCode::FORBIDDEN,
        "recovery-refused",
        "Identity not confirmed",
        detail,
    )
    .with_help(policy)
}

/// Returns the problem for a recovery method that the portal does not offer.
fn unsupported(policy: &Policy) -> Problem {
    Problem::unsupported_on_portal(
        policy,
        "This recovery method isn't available on this portal.",
    )
}

/// Returns the API names of recovery methods.
fn names(means: &std::collections::BTreeSet<RecoveryMeans>) -> Vec<&'static str> {
    means.iter().map(|m| m.into_str()).collect()
}
