//! `GET /{portal}/me/agreements` and `POST /{portal}/me/agreements/{id}/acceptance`: lists the required
//! agreements and accepts those that can be accepted online (AG-11, BL-10, UX-13).

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::policy::{Agreement, Blocks, Policy, RecordedBy};
use vestibule_domain::rules::activate;
use vestibule_domain::rules::next_step::NextStep;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Actor;
use vestibule_domain::state::membership::Membership;
use vestibule_http::openapi::{AgreementParams, FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::request::Id;
use vestibule_http::responses::{NextStepResponse, Page};
use vestibule_http::{App, Body, Caller, Problem, SignedIn, transact};

/// An agreement and its status for the current organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AgreementStatusResponse {
    id: String,
    title: String,
    /// The current revision.
    revision: String,
    /// The address at which the form can be downloaded.
    form_url: String,
    /// Who records the agreement: `plan`, after it receives the signed form, or `user`, by accepting it
    /// online.
    recorded_by: &'static str,
    /// What the missing agreement blocks: `protected_information` or `pin_letter`.
    blocks: &'static str,
    /// The revision on file; absent if none is.
    #[serde(skip_serializing_if = "Option::is_none")]
    revision_on_file: Option<String>,
    /// Whether the revision on file is the current one, so that nothing is blocked.
    is_current: bool,
}

/// The acceptance of an agreement.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptAgreementRequest {
    /// The revision that the user read; it must be the current one.
    revision: String,
}

/// List the caller's agreements
///
/// Returns the agreements that the current organization requires of the caller.
#[utoipa::path(
    get, path = "/{portal}/me/agreements", tag = "profile",
    operation_id = "list_agreements",
    params(PortalParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<AgreementStatusResponse>, description = "The agreements"),
        (status = 403, description = "`next-step-required`: an organization must be chosen first"),
        SignedInProblems,
    )
)]
pub(crate) async fn list(
    SignedIn(caller): SignedIn,
) -> Result<Json<Page<AgreementStatusResponse>>, Problem> {
    let membership = chosen(&caller, &caller.account)?;
    let required = required_of(membership, &caller.policy);
    let items = required.map(|a| shown(a, membership)).collect();
    Ok(Json(Page {
        items,
        next_cursor: None,
    }))
}

/// Accept an agreement
///
/// Accepts the current revision of an agreement for the caller's current organization. Agreements
/// that the plan records can't be accepted online.
#[utoipa::path(
    post, path = "/{portal}/me/agreements/{id}/acceptance", tag = "profile",
    operation_id = "accept_agreement",
    params(AgreementParams),
    request_body = AcceptAgreementRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = NextStepResponse, description = "The next step or the entitlements"),
        (status = 403, description = "`next-step-required`: another step must be completed first"),
        (status = 404, description = "`not-found`: no such agreement is required of the caller"),
        (status = 409, description = "`paper-signature-required`"),
        (status = 422, description = "`invalid-fields`: the revision is not the current one"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn accept(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Id(id): Id,
    Body(request): Body<AcceptAgreementRequest>,
) -> Result<Json<NextStepResponse>, Problem> {
    let policy = &caller.policy;
    let organization = caller.session.organization.as_ref();
    let (_, account) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let agreement = required_of(chosen(&caller, account)?, policy)
                .find(|a| a.id.as_str() == id)
                .ok_or_else(|| Problem::not_found("agreement"))?;
            if agreement.recorded_by == RecordedBy::Plan {
                return Err(on_paper(agreement, policy));
            }
            let revision = agreement.revision.as_str();
            if request.revision != revision {
                let wanted = format!(
                    "must be the current revision, {revision}; read it before you accept it"
                );
                return Err(Problem::invalid_field("revision", &wanted));
            }
            let accepted = activate::record_agreement(
                account,
                organization,
                (agreement, revision),
                None,
                Actor::Account(account.id.clone()),
                caller.context(rng),
            );
            Ok(match accepted {
                Some((after, decision)) => (after, Some(decision)),
                None => (account.clone(), None),
            })
        },
    )
    .await?;
    Ok(Json(NextStepResponse::of(&account, &caller)))
}

/// Returns the account's membership in the current organization.
///
/// # Errors
/// A problem that asks the caller to choose an organization.
fn chosen<'a>(caller: &Caller, account: &'a Account) -> Result<&'a Membership, Problem> {
    account
        .membership(caller.session.organization.as_ref())
        .ok_or_else(|| Problem::next_step(NextStep::ChooseOrganization, &caller.policy))
}

fn required_of<'p>(
    membership: &Membership,
    policy: &'p Policy,
) -> impl Iterator<Item = &'p Agreement> {
    policy
        .agreements
        .iter()
        .filter(move |a| membership.needs(a))
}

fn shown(agreement: &Agreement, membership: &Membership) -> AgreementStatusResponse {
    AgreementStatusResponse {
        id: agreement.id.to_string(),
        title: agreement.title.to_string(),
        revision: agreement.revision.to_string(),
        form_url: agreement.form_url.to_string(),
        recorded_by: match agreement.recorded_by {
            RecordedBy::Plan => "plan",
            RecordedBy::User => "user",
        },
        blocks: match agreement.blocks {
            Blocks::ProtectedInformation => "protected_information",
            Blocks::PinLetter => "pin_letter",
        },
        revision_on_file: membership.agreements.get(agreement.id.as_str()).cloned(),
        is_current: agreement.is_current(&membership.agreements),
    }
}

fn on_paper(agreement: &Agreement, policy: &Policy) -> Problem {
    let detail = format!(
        "The {} must be signed on paper. Download the form from {}, sign it, and return it to {}.",
        agreement.title, agreement.form_url, policy.plan.name
    );
    Problem::new(
        StatusCode::CONFLICT,
        "paper-signature-required",
        "Paper signature required",
        detail,
    )
    .with_help(policy)
}
