//! `POST /{portal}/sessions/current/second-factor-reset`: removes the second factors of an owner whose session proves the
//! password and the address on record (MF-06).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use futures::future;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::second_factor::{self as rules, EnteredEvidence};
use vestibule_domain::state::audit::Action;
use vestibule_domain::state::session::{Token, TokenKind};
use vestibule_domain::values::text::{self, Sensitive};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::rate_limit::{self, Counter, attempts_left};
use vestibule_http::second_factor::reset_unusable;
use vestibule_http::secret_check::{self, Checked, Comparer, Described, Proven};
use vestibule_http::{App, Body, Caller, FieldErrors, Problem, SignedIn, transact};

use crate::SessionResponse;

/// What proves the address on record, exactly one.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecondFactorResetRequest {
    /// The token from the link in the email, after the `#`.
    #[schema(max_length = 256)]
    token: Option<String>,
    /// The digits of the PIN, as printed in the letter.
    #[schema(max_length = 12)]
    pin: Option<String>,
}

/// What was entered, not parsed.
enum Entered {
    Token(String),
    Pin(String),
}

/// Complete a reset of the second factors
///
/// Removes all second factors and recovery codes of the caller, who has given the password and now proves the address
/// on record. Does nothing if there are none. Ends all other sessions. An administrator or the help desk has to start the reset.
#[utoipa::path(
    post, path = "/{portal}/sessions/current/second-factor-reset", tag = "sessions",
    operation_id = "reset_second_factors",
    params(PortalParams),
    request_body = SecondFactorResetRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = SessionResponse, description = "The session"),
        (status = 410, description = "`second-factor-reset-unusable` or `pin-locked`"),
        (status = 422, description = "`pin-wrong` or `invalid-fields`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn reset_second_factors(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<SecondFactorResetRequest>,
) -> Result<Json<SessionResponse>, Problem> {
    let policy = &*caller.policy;
    let entered = match (request.token, request.pin) {
        (Some(token), None) => Entered::Token(token),
        (None, Some(pin)) => Entered::Pin(pin),
        _ => {
            let one = "give exactly one of token and pin";
            return Err(Problem::invalid_field("token", one));
        }
    };
    // A repeated request succeeds without comparing anything: there is nothing left to remove.
    if !caller.account.has_second_factor(policy) {
        let (session, account) = (&caller.session, &caller.account);
        let response = SessionResponse::of(session, account, policy, &caller.origin);
        return Ok(Json(response));
    }
    let (entered, proven) = match entered {
        Entered::Token(token) => {
            let token = Token::parse(TokenKind::FactorReset, &token);
            let token = token.ok_or_else(|| reset_unusable(policy))?;
            (EnteredEvidence::Token(token), None)
        }
        Entered::Pin(pin) => {
            let (entered, proven) = check_pin(&app, &caller, &pin).await?;
            (entered, Some(proven))
        }
    };
    let (_, (account, session)) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let now = caller.origin.at;
            let factor = rate_limit::of_second_factor(&app, &account.id, policy, now);
            let pin = proven.as_ref().map(Proven::attempts);
            let attempts = pin.into_iter().chain([factor]).collect();
            let context = caller.context(rng);
            rules::complete_reset(account, &caller.session, &entered, attempts, context)
                .map(|(account, session, decision)| ((account, session), decision))
                .map_err(|_| reset_unusable(policy))
        },
    )
    .await?;
    let origin = &caller.origin;
    Ok(Json(SessionResponse::of(
        &session, &account, policy, origin,
    )))
}

/// Compares the PIN of a letter, after counting the attempt.
async fn check_pin(
    app: &App,
    caller: &Caller,
    pin: &str,
) -> Result<(EnteredEvidence, Proven), Problem> {
    let (policy, now) = (&*caller.policy, caller.origin.at);
    let reset = caller.account.second_factors.pending_reset(now);
    let issue = reset.and_then(|reset| reset.pin());
    let (issue, rules) = issue
        .zip(policy.pin.as_ref())
        .ok_or_else(|| reset_unusable(policy))?;
    let mut fields = FieldErrors::default();
    let digits = rules.digits.get() as usize;
    let pin: Option<Sensitive> = fields.take("pin", text::digits(pin, digits, digits));
    let pin = fields.into_result(pin)?;
    let counter = Counter::pin(issue, rules);
    let max_attempts = counter.limit.max_attempts;
    let described = future::ready(Ok(Described::by(caller, Action::ResetSecondFactors)));
    let compare = async |comparer: Comparer<'_>| {
        let is_right = comparer.is_pin(issue, &pin);
        Ok(is_right.then_some(()).ok_or("wrong"))
    };
    let scene = (policy, &caller.origin);
    match secret_check::check(app, &[counter], scene, described, compare).await? {
        Checked::Right((), proven) => Ok((EnteredEvidence::Pin(issue.id.clone()), proven)),
        Checked::Wrong { used } => Err(wrong(max_attempts.saturating_sub(used), policy)),
        Checked::Exhausted(_) => Err(Problem::new(
            StatusCode::GONE,
            "pin-locked",
            "PIN locked",
            "This PIN was entered incorrectly too many times and can no longer be used. Ask for a new reset.",
        )
        .with_help(policy)),
    }
}

/// Returns the problem for an incorrect PIN.
fn wrong(left: u32, policy: &Policy) -> Problem {
    let left = attempts_left(left);
    let left =
        left.unwrap_or_else(|| "That was your last attempt. Ask for a new reset.".to_owned());
    Problem::new(
        StatusCode::UNPROCESSABLE_ENTITY,
        "pin-wrong",
        "Incorrect PIN",
        format!("This is not the PIN from your most recent letter. {left}"),
    )
    .with_field("pin", "is incorrect")
    .with_help(policy)
}
