//! `POST /{portal}/pin/activation`: activates access with the PIN from the letter (ME-06, BL-04).

use axum::Json;
use axum::extract::State;
use futures::future;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::activate::{self, Refusal};
use vestibule_domain::rules::next_step::{NextStep, next_step};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::state::membership::{Issue, PendingStep};
use vestibule_domain::values::text::{self, Sensitive};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::rate_limit::{Counter, attempts_left};
use vestibule_http::responses::NextStepResponse;
use vestibule_http::secret_check::{self, Checked, Comparer, Described};
use vestibule_http::{App, Body, Caller, FieldErrors, Problem, SignedIn, transact};

use crate::{ask_for_new_pin, code_problem};

/// The PIN from the caller's letter.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EnterPinRequest {
    /// The digits of the PIN, as printed in the letter.
    pin: String,
}

/// Activate access with a PIN
///
/// Opens the caller's access with the PIN from the letter. After too many incorrect attempts the PIN is
/// locked, even if it is entered correctly afterward.
#[utoipa::path(
    post, path = "/{portal}/pin/activation", tag = "activation",
    operation_id = "enter_pin",
    params(PortalParams),
    request_body = EnterPinRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = NextStepResponse, description = "The next step or the entitlements"),
        (status = 410, description = "`pin-locked` or `pin-expired`: a new PIN is required"),
        (status = 422, description = "`pin-wrong`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn enter_pin(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<EnterPinRequest>,
) -> Result<Json<NextStepResponse>, Problem> {
    let policy = &caller.policy;
    let pin_policy = policy
        .pin
        .as_ref()
        .ok_or_else(|| Problem::not_found("PIN"))?;
    let mut fields = FieldErrors::default();
    let digits = pin_policy.digits.get() as usize;
    let pin = fields.take("pin", text::digits(&request.pin, digits, digits));
    let pin = fields.into_result(pin)?;

    // A repeated request after activation succeeds without comparing the PIN.
    if !matches!(caller.next_step, Some(NextStep::EnterPin)) {
        return Ok(Json(NextStepResponse::of(&caller.account, &caller)));
    }
    let Some(PendingStep::Pin { issue }) = caller.membership().map(|m| &m.pending_step) else {
        return Ok(Json(NextStepResponse::of(&caller.account, &caller)));
    };
    let counter = Counter::pin(issue, pin_policy);
    let max_attempts = counter.limit.max_attempts;
    let described = Described::by(&caller, Action::ActivatePin);
    let (described, scene) = (future::ready(Ok(described)), (&**policy, &caller.origin));
    let compare = async |comparer: Comparer<'_>| {
        let is_right = comparer.is_pin(issue, &pin);
        Ok(is_right.then_some(()).ok_or(Refusal::Wrong.into_str()))
    };
    let checked = secret_check::check(&app, &[counter], scene, described, compare).await?;
    match checked {
        Checked::Right((), _) => {}
        Checked::Wrong { used } => return Err(wrong(max_attempts.saturating_sub(used), policy)),
        Checked::Exhausted(_) => {
            let detail = format!(
                "This PIN was entered incorrectly too many times and can no longer be used. {}",
                ask_for_new_pin(policy)
            );
            return Err(code_problem("pin-locked", "PIN locked", detail, policy));
        }
    }
    let organization = caller.session.organization.as_ref();
    let (_, entered) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let pending = account.membership(organization).map(|m| &m.pending_step);
            // A duplicate request was committed first, or the PIN was reissued. What was entered is the PIN
            // that was pending only.
            if !matches!(pending, Some(PendingStep::Pin { issue: now }) if now.id == issue.id) {
                return Ok((Ok(account.clone()), None));
            }
            let entered = |now: &Issue| now.id == issue.id;
            Ok(
                match activate::enter_pin(account, organization, entered, caller.context(rng)) {
                    Ok((after, decision)) => (Ok(after), Some(decision)),
                    Err(refusal) => (Err(refusal), None),
                },
            )
        },
    )
    .await?;
    let account = match entered {
        Ok(account) => account,
        Err(refusal) => return Err(refused(&app, &caller, refusal, &mut app.rng()).await?),
    };
    let next_step = next_step(&account, &caller.session, policy, caller.origin.at);
    if next_step == Some(NextStep::EnterPin) {
        return Err(Problem::conflict());
    }
    Ok(Json(NextStepResponse::of(&account, &caller)))
}

/// Returns the problem for an incorrect PIN.
fn wrong(left: u32, policy: &Policy) -> Problem {
    let left = attempts_left(left).unwrap_or_else(|| {
        format!(
            "That was your last attempt, and this PIN can no longer be used. {}",
            ask_for_new_pin(policy)
        )
    });
    code_problem(
        "pin-wrong",
        "Incorrect PIN",
        format!("This is not the PIN from your most recent letter. {left}"),
        policy,
    )
    .with_field("pin", "is incorrect")
}

/// Records the refusal of a correct PIN on the audit trail and returns it as a problem.
async fn refused(
    app: &App,
    caller: &Caller,
    refusal: Refusal,
    rng: &mut rand::rngs::StdRng,
) -> Result<Problem, Problem> {
    let policy = &caller.policy;
    let audit = AuditEvent::refused(
        &caller.origin,
        Actor::Account(caller.account.id.clone()),
        Action::ActivatePin,
        refusal.into_str(),
        rng,
    )
    .on(caller.account.id.as_str())
    .for_organization(caller.session.organization.as_ref());
    app.commit(Decision::recording(audit), rng).await?;
    Ok(match refusal {
        Refusal::Expired => code_problem(
            "pin-expired",
            "PIN expired",
            format!("This PIN has expired. {}", ask_for_new_pin(policy)),
            policy,
        ),
        Refusal::Wrong
        | Refusal::WithoutStanding
        | Refusal::NothingPending
        | Refusal::NotReissuer
        | Refusal::NoAddress => Problem::conflict(),
    })
}

/// Normalizes an entered code for comparison: trimmed and in upper case.
pub(crate) fn upper(text: &str) -> Sensitive {
    Sensitive::new(text.trim().to_ascii_uppercase())
}
