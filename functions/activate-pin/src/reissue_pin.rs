//! `POST /{portal}/pin/letter`: issues a new PIN (ME-07).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::policy::{Policy, Reissuer};
use vestibule_domain::rules::activate::{self, Refusal};
use vestibule_domain::state::audit::Action;
use vestibule_domain::state::membership::PendingStep;
use vestibule_http::idempotency::{self, Created, Once, Repeat, once};
use vestibule_http::openapi::{IdempotencyParams, PortalParams, SignedInProblems};
use vestibule_http::rate_limit::Counter;
use vestibule_http::secret_check::Described;
use vestibule_http::{App, Caller, Problem, SignedIn, credentials, request_limit};
use vestibule_store::attempts::{AttemptKind, Limit, MINUTES_PER_DAY};

use crate::show_letter::{self, LetterResponse};

/// The number of letters that one user can request per day.
const LETTERS_A_DAY: Limit = Limit::daily(3);

/// Request a new PIN
///
/// Issues a new PIN and mails it in a new letter. The previous PIN can no longer be used.
#[utoipa::path(
    post, path = "/{portal}/pin/letter", tag = "activation",
    operation_id = "reissue_pin",
    params(PortalParams, IdempotencyParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = LetterResponse, description = "The new letter", headers(("location" = String, description = "The URL of the letter's status"))),
        (status = 403, description = "`ask-help-desk`: on this portal, only the help desk sends new PINs (BL-06)"),
        (status = 404, description = "`not-found`: no PIN is pending"),
        (status = 409, description = "`letter-not-printable` or `no-address`"),
        (status = 429, description = "`too-many-attempts`"),
        SignedInProblems,
    )
)]
pub(crate) async fn reissue_pin(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Repeat(key): Repeat,
) -> Result<Created, Problem> {
    let policy = &caller.policy;
    // A repetition is not another letter, so it is not counted.
    if let Some(earlier) =
        idempotency::earlier(&app, key.as_ref(), &caller.account, caller.origin.at).await?
    {
        return Ok(earlier);
    }
    let not_awaited = || Problem::not_found("pending PIN");
    let pin = policy.pin.as_ref().ok_or_else(not_awaited)?;
    if !pin.reissued_by.contains(&Reissuer::User) {
        return Err(problem(Refusal::NotReissuer, policy));
    }
    caller
        .membership()
        .filter(|m| matches!(m.pending_step, PendingStep::Pin { .. }))
        .ok_or_else(not_awaited)?;
    let counter = Counter {
        kind: AttemptKind::Reissue,
        subject: caller.account.id.to_string(),
        limit: LETTERS_A_DAY,
    };
    let described = Described::by(&caller, Action::ReissuePin);
    let scene = (&**policy, &caller.origin);
    if !request_limit::count(&app, &[counter], &described, scene).await? {
        let desk = &policy.help_desk;
        let is_awaited = !not_printed(&caller);
        let detail = if is_awaited {
            "Several letters are already on their way to you. Wait for the most recent one, or try again tomorrow.".to_owned()
        } else {
            format!(
                "We could not print your letter, so none is on its way. Call {} at {} ({}) to have your mailing address corrected.",
                desk.name, desk.phone, desk.hours
            )
        };
        return Err(Problem::too_many_attempts(detail, MINUTES_PER_DAY, policy));
    }
    let (app, caller) = (&app, &caller);
    let issue = Once {
        caller,
        key: key.as_ref(),
    };
    once(
        app,
        issue,
        |attempt| async move {
            let account = caller.latest(app, attempt).await?;
            let membership = account
                .membership(caller.session.organization.as_ref())
                .ok_or_else(not_awaited)?;
            let address = app.letter_address(membership, policy).await?;
            let organization = caller.organization(app).await?;
            Ok((account, address, organization))
        },
        |(account, address, organization), rng| {
            let fresh = app.fresh_pin(pin.digits.get(), rng);
            let named = organization.as_ref().map(|o| (&o.id, o.name.as_str()));
            let (by, context) = (Reissuer::User, caller.context(rng));
            let reissued =
                activate::reissue_pin(account, named, by, fresh, address.clone(), context);
            let (after, decision) = reissued.map_err(|refusal| problem(refusal, policy))?;
            Ok((after, credentials::printable_letters(decision, policy)?))
        },
        |_, account| {
            let mut caller = caller.clone();
            caller.account = account.clone();
            let location = format!("/{}/pin/letter", policy.portal);
            Created::at(location, &show_letter::of(&caller)?)
        },
    )
    .await
}

/// Returns whether the caller's letter could not be printed.
fn not_printed(caller: &Caller) -> bool {
    match caller.membership().map(|m| &m.pending_step) {
        Some(PendingStep::Pin { issue }) => issue.not_printed_at.is_some(),
        _ => false,
    }
}

fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    let desk = &policy.help_desk;
    match refusal {
        Refusal::NotReissuer => {
            let detail = format!(
                "You cannot request a new PIN online on this portal. Call {} at {} ({}) to request one.",
                desk.name, desk.phone, desk.hours
            );
            Problem::new(
                StatusCode::FORBIDDEN,
                "ask-help-desk",
                "Call the help desk",
                detail,
            )
            .with_help(policy)
        }
        Refusal::NoAddress => {
            let detail = format!(
                "We do not have a mailing address for you. Call {} at {} ({}) to add one.",
                desk.name, desk.phone, desk.hours
            );
            Problem::new(
                StatusCode::CONFLICT,
                "no-address",
                "No address on record",
                detail,
            )
            .with_help(policy)
        }
        Refusal::NothingPending | Refusal::Wrong | Refusal::WithoutStanding | Refusal::Expired => {
            Problem::not_found("pending PIN")
        }
    }
}
