//! `POST /{portal}/users/{id}/second-factor-reset`: starts a reset of a user's lost second factors (MF-06).

use axum::extract::State;
use axum::http::StatusCode;
use vestibule_domain::policy::{Permission, ResetVerification};
use vestibule_domain::rules::actions::authority::Authority;
use vestibule_domain::rules::actions::reset_second_factors;
use vestibule_http::openapi::{NotFoundProblems, SignedInProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::second_factor::Confirmation;
use vestibule_http::{App, Entitled, Problem, credentials, transact};

use crate::{LoadedUser, problem};

/// Start a reset of a user's second factors
///
/// Sends the user an email with a link or, as the portal's policy says, a letter with a PIN. The second factors stay
/// until the user has proved the address with it, besides the password. The user can cancel the reset.
#[utoipa::path(
    post, path = "/{portal}/users/{id}/second-factor-reset", tag = "users",
    operation_id = "start_second_factor_reset",
    params(UserParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 202, description = "The email or letter is queued"),
        (status = 403, description = "`not-allowed`, `ask-help-desk`, `step-up-required` or `next-step-required`"),
        (status = 409, description = "`no-second-factor`, `not-recoverable`, `no-address`, `letter-not-printable`, `self-action-forbidden` or `conflict`"),
        SignedInProblems, NotFoundProblems,
    )
)]
pub(crate) async fn start_reset(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    let authority = Authority::Administrator(caller.acting()?);
    let policy = &*caller.policy;
    let section = policy.second_factor.as_ref();
    let by_letter = section.is_some_and(|s| s.reset_verification == ResetVerification::PinLetter);
    let digits = policy.pin.as_ref().map_or(0, |p| p.digits.get());
    transact(
        &app,
        |_| async {
            let loaded = LoadedUser::find(&app, &caller, Permission::ReissueCodes, &id).await?;
            let membership = loaded.user.membership(Some(&loaded.organization.id));
            let address = match membership.filter(|_| by_letter) {
                Some(membership) => app.letter_address(membership, policy).await?,
                None => None,
            };
            Ok((loaded, address))
        },
        |(loaded, address), rng| {
            caller.require_confirmation(Confirmation::FactorIfAny)?;
            let fresh = app.fresh_pin(digits, rng);
            let (target, context) = (loaded.target(), caller.context(rng));
            let address = |_: &_| address.clone();
            let started = reset_second_factors::start(authority, target, fresh, address, context);
            let (_, decision) = started.map_err(|refusal| problem(refusal, policy))?;
            Ok(((), credentials::printable_letters(decision, policy)?))
        },
    )
    .await?;
    Ok(StatusCode::ACCEPTED)
}
