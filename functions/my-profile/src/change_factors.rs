//! Renaming and removing second factors, and new recovery codes (MF-01).

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::{FactorMethod, Policy};
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::second_factor::{self as rules, NewFactor, Refusal};
use vestibule_domain::state::account::Account;
use vestibule_domain::values::ids::FactorId;
use vestibule_domain::values::text::FactorName;
use vestibule_http::enrollment;
use vestibule_http::idempotency::{Created, Once, Repeat, Repeatable, once};
use vestibule_http::openapi::{
    FactorParams, FieldProblems, IdempotencyParams, NotFoundProblems, PortalParams,
    SignedInProblems,
};
use vestibule_http::request::Id;
use vestibule_http::second_factor::Confirmation;
use vestibule_http::{App, Body, Caller, Problem, SignedIn, transact};

/// A factor that was added.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AddedFactorResponse {
    /// The id, used to rename or remove it.
    id: String,
}

/// Adds a factor to the caller's account, once for an idempotency key.
pub(crate) async fn add(
    (app, caller): (&App, &Caller),
    key: Option<&Repeatable>,
    name: FactorName,
    factor: NewFactor,
) -> Result<Created, Problem> {
    change_once(
        (app, caller),
        key,
        |account, context| {
            rules::add(
                account,
                &caller.session,
                name.clone(),
                factor.clone(),
                context,
            )
        },
        |id| AddedFactorResponse { id: id.to_string() },
    )
    .await
}

/// Changes the second factors of the caller's account, once for an idempotency key, and responds with what was
/// created.
async fn change_once<T, R: Serialize>(
    (app, caller): (&App, &Caller),
    key: Option<&Repeatable>,
    mut decide: impl FnMut(&Account, Context<'_>) -> Result<(T, Decision), Refusal>,
    respond: impl Fn(&T) -> R,
) -> Result<Created, Problem> {
    let location = format!("/{}/me/second-factors", caller.policy.portal);
    once(
        app,
        Once { caller, key },
        |attempt| caller.latest(app, attempt),
        |account, rng| {
            decide(account, caller.context(rng)).map_err(|refusal| refused(refusal, &caller.policy))
        },
        |_, created| Created::at(location.clone(), &respond(created)),
    )
    .await
}

/// Changes the second factors of the caller's account.
async fn change(
    (app, caller): (&App, &Caller),
    mut decide: impl FnMut(&Account, Context<'_>) -> Result<Decision, Refusal>,
) -> Result<StatusCode, Problem> {
    transact(
        app,
        |attempt| caller.latest(app, attempt),
        |account, rng| match decide(account, caller.context(rng)) {
            Ok(decision) => Ok(((), decision)),
            Err(refusal) => Err(refused(refusal, &caller.policy)),
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Parses the name of a factor.
pub(crate) fn factor_name(text: &str) -> Result<FactorName, Problem> {
    FactorName::parse(text).map_err(|fault| Problem::invalid_field("name", &fault.to_string()))
}

/// Requires that the portal offers a kind of factor.
pub(crate) fn require_method(method: FactorMethod, caller: &Caller) -> Result<(), Problem> {
    if caller.policy.has_method(method) {
        return Ok(());
    }
    Err(refused(Refusal::UnsupportedOnPortal, &caller.policy))
}

/// Converts a refusal to a problem.
pub(crate) fn refused(refusal: Refusal, policy: &Policy) -> Problem {
    let conflict = |kind, title, detail: &str| {
        Problem::new(StatusCode::CONFLICT, kind, title, detail).with_help(policy)
    };
    match refusal {
        Refusal::UnsupportedOnPortal => {
            let detail = "This portal does not use this kind of second factor.";
            Problem::unsupported_on_portal(policy, detail)
        }
        Refusal::AlreadyAdded | Refusal::AlreadyUsed => conflict(
            "already-added",
            "Already added",
            "Your account has this passkey or app already.",
        ),
        Refusal::TooMany => conflict(
            "too-many-factors",
            "Too many second factors",
            "Remove a passkey or app that you no longer use, then add this one.",
        ),
        Refusal::Unknown => Problem::not_found("second factor"),
        Refusal::LastRequired => conflict(
            "last-factor",
            "Your role requires a second factor",
            "This is your only second factor. Add another one before you remove it.",
        ),
        Refusal::NoFactor => conflict(
            "no-factor",
            "No second factor",
            "Recovery codes replace a passkey or an app. Add one of them first.",
        ),
    }
}

/// The new name of a factor.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RenameFactorRequest {
    /// A name by which the caller recognizes it.
    name: String,
}

/// Rename a second factor
///
/// Changes the name of one of the caller's passkeys or authenticator apps.
#[utoipa::path(
    patch, path = "/{portal}/me/second-factors/{id}", tag = "profile",
    operation_id = "rename_second_factor",
    params(FactorParams),
    request_body = RenameFactorRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "The name is changed"),
        (status = 403, description = "`step-up-required` or `next-step-required`"),
        (status = 422, description = "`invalid-fields`"),
        SignedInProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn rename_second_factor(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Id(id): Id,
    Body(request): Body<RenameFactorRequest>,
) -> Result<StatusCode, Problem> {
    caller.require_confirmation(Confirmation::FactorOrPassword)?;
    let name = factor_name(&request.name)?;
    let id = factor_id(&id)?;
    change((&app, &caller), |account, context| {
        rules::rename(account, &caller.session, (&id, name.clone()), context)
    })
    .await
}

/// Remove a second factor or a trusted device
///
/// Removes one of the caller's passkeys or authenticator apps and notifies the user. With the last one, the
/// recovery codes are removed too. The id of a trusted device ends the trust in it: its next sign-in requires the
/// second factor.
#[utoipa::path(
    delete, path = "/{portal}/me/second-factors/{id}", tag = "profile",
    operation_id = "remove_second_factor",
    params(FactorParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "The factor or the trust is removed"),
        (status = 403, description = "`step-up-required` or `next-step-required`"),
        (status = 409, description = "`last-factor`: the caller's role requires one (MF-02)"),
        SignedInProblems, NotFoundProblems,
    )
)]
pub(crate) async fn remove_second_factor(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Id(id): Id,
) -> Result<StatusCode, Problem> {
    caller.require_confirmation(Confirmation::FactorOrPassword)?;
    let id = factor_id(&id)?;
    change((&app, &caller), |account, context| {
        rules::remove(account, &caller.session, &id, context)
    })
    .await
}

fn factor_id(id: &str) -> Result<FactorId, Problem> {
    FactorId::parse(id).map_err(|_| Problem::not_found("second factor"))
}

/// New recovery codes. They are displayed once.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecoveryCodesResponse {
    /// The codes. Each replaces the second factor once.
    codes: Vec<String>,
}

/// Create recovery codes
///
/// Returns new recovery codes and notifies the user. Older codes no longer work.
#[utoipa::path(
    post, path = "/{portal}/me/recovery-codes", tag = "profile",
    operation_id = "create_recovery_codes",
    params(PortalParams, IdempotencyParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = RecoveryCodesResponse, description = "The codes", headers(("location" = String, description = "The path of the second factors"))),
        (status = 403, description = "`step-up-required` or `next-step-required`"),
        (status = 409, description = "`no-factor` or `unsupported-on-portal`"),
        SignedInProblems,
    )
)]
pub(crate) async fn create_recovery_codes(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Repeat(key): Repeat,
) -> Result<Created, Problem> {
    caller.require_confirmation(Confirmation::FactorOrPassword)?;
    let section = caller.policy.second_factor.as_ref();
    let section = section.ok_or_else(|| refused(Refusal::UnsupportedOnPortal, &caller.policy))?;
    let mut rng = app.rng();
    let number = section.recovery_codes.get();
    let (codes, macs) = enrollment::recovery_codes(&app, &caller.account, number, &mut rng);
    change_once(
        (&app, &caller),
        key.as_ref(),
        |account, context| {
            let (session, codes) = (&caller.session, macs.clone());
            let replaced = rules::replace_recovery_codes(account, session, codes, context);
            replaced.map(|decision| ((), decision))
        },
        |()| RecoveryCodesResponse {
            codes: codes.iter().map(|c| c.expose().to_owned()).collect(),
        },
    )
    .await
}
