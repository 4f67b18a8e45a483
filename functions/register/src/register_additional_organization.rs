//! `POST /{portal}/me/organizations`: registers an additional organization for an existing account
//! (BL-01, EX-13).

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Change;
use vestibule_domain::policy::RegistrationType;
use vestibule_domain::rules::next_step::step_after_sign_in;
use vestibule_domain::rules::register::{
    self as rules, AdditionalOrganization, Refusal, Registered,
};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor};
use vestibule_domain::state::membership::Membership;
use vestibule_domain::state::record::{PlanRecord, RecordKey, Verification};
use vestibule_domain::values::ids::OrganizationId;
use vestibule_domain::values::text::PostalAddress;
use vestibule_http::credentials::PostalAddressFields;
use vestibule_http::idempotency::{self, Created, RepeatableBody};
use vestibule_http::openapi::{FieldProblems, IdempotencyParams, PortalParams, SignedInProblems};
use vestibule_http::secret_check::{self, Described};
use vestibule_http::{
    App, Caller, FieldErrors, Problem, SignedIn, responses, transact, verification,
};

use crate::register::{
    Existing, STEP, fresh_pin, parse_registration_type, parse_terms, problem, refused,
};

/// The registration of an additional organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdditionalOrganizationRequest {
    /// A registration type for organizations, as listed by `GET /{portal}`.
    registration_type: String,
    /// The facts that verify the caller: the number that identifies the plan record and the values that
    /// must match it.
    verification: BTreeMap<String, String>,
    /// Whether the caller attests that they have authority to sign for the organization; required by
    /// some registration types (AG-03).
    #[serde(default)]
    attests_signing_authority: bool,
    /// The address to which the PIN letter is mailed, on portals where users choose it.
    postal_address: Option<PostalAddressFields>,
    /// The revisions of the agreements that the caller accepts, by agreement id.
    #[serde(default)]
    accepted_agreements: BTreeMap<String, String>,
}

/// A membership in an additional organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct AdditionalOrganizationResponse {
    /// The organization; switch to it with `PUT /{portal}/sessions/current/organization`.
    pub organization_id: String,
    /// The step that the user must complete before working for the organization.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<&'static str>,
    /// Why the step is `call_help_desk`: `record_ended` or `campaign_cutoff_passed`. Absent for other
    /// steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Actions that the portal recommends: `invite_backup` (AG-04).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<&'static str>,
}

/// A request whose fields are all valid.
struct Parsed<'a> {
    registration_type: &'a RegistrationType,
    record: RecordKey,
    verification: Verification,
    postal_address: Option<PostalAddress>,
    accepted_agreements: BTreeMap<String, String>,
}

/// Register an additional organization
///
/// Registers the caller for another organization in the plan's records; the session keeps its current
/// organization. The response is the same whether no record matches or the matching record is already
/// registered (UX-09). A repeated request returns the same response.
#[utoipa::path(
    post, path = "/{portal}/me/organizations", tag = "registration",
    operation_id = "register_additional_organization",
    params(PortalParams, IdempotencyParams),
    request_body = AdditionalOrganizationRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = AdditionalOrganizationResponse, description = "The new membership", headers(("location" = String, description = "The URL of the caller's profile"))),
        (status = 403, description = "`registration-refused` (AG-06), `not-open` (EX-04), or `next-step-required`: the password must be changed first"),
        (status = 409, description = "`too-many-organizations`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn register_additional_organization(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    RepeatableBody(request, key): RepeatableBody<AdditionalOrganizationRequest>,
) -> Result<Created, Problem> {
    let (policy, origin) = (&caller.policy, &caller.origin);
    let parsed = parse(&request, &caller)?;
    let (app, caller, parsed) = (&app, &caller, &parsed);
    // A repetition is not an attempt at the record.
    let key = key.as_ref();
    if let Some(earlier) = idempotency::earlier(app, key, &caller.account, origin.at).await? {
        return Ok(earlier);
    }
    let registration_type = parsed.registration_type;
    let described = Described::by(caller, Action::RegisterAdditionalOrganization);
    let entered = (&parsed.record, &parsed.verification);
    let checked =
        secret_check::verification(app, entered, STEP, described, (policy, origin)).await?;
    let (matched, proven) = checked.ok_or_else(|| problem(&Refusal::NotMatched, policy))?;
    let matched = &matched;
    let ((account, _, repeated, _), registered) = transact(
        app,
        |attempt| async move {
            let mut account = caller.latest(app, attempt).await?;
            let mut record = match attempt.is_first {
                true => Some(matched.clone()),
                false => secret_check::reload(app, matched).await?,
            };
            let theirs = record
                .as_ref()
                .and_then(|r| r.claimed_by(&account.portal, registration_type));
            let is_own = record
                .as_ref()
                .is_some_and(|r| own(&account, r, registration_type).is_some());
            if attempt.is_first && theirs == Some(&account.id) && !is_own {
                // A duplicate of this request was committed after the account was read.
                account = caller.reload(app).await?;
                record = secret_check::reload(app, matched).await?;
            }
            let repeated = record
                .as_ref()
                .and_then(|r| own(&account, r, registration_type));
            let organization = match repeated {
                Some(_) => None,
                None => Existing::of(app, record.as_ref(), policy, origin).await?,
            };
            let repeated = repeated.cloned();
            Ok((account, record, repeated, organization))
        },
        |(account, record, repeated, organization), rng| {
            if let Some(membership) = repeated {
                return Ok((Ok(new_membership(account, membership, caller)?), None));
            }
            let request = AdditionalOrganization {
                registration_type,
                accepted_agreements: parsed.accepted_agreements.clone(),
                designated_address: parsed.postal_address.clone(),
                pin: fresh_pin(app, registration_type, policy, rng),
                organization: OrganizationId::random(rng),
                existing_organization: organization.as_ref().map(Existing::as_rule),
            };
            let context = caller.context(rng);
            match rules::register_additional_organization(
                account,
                record.as_ref(),
                request,
                context,
            ) {
                Ok(Registered { account, decision }) => {
                    let membership = account.memberships.last().cloned();
                    let membership = membership.ok_or_else(Problem::conflict)?;
                    let response = new_membership(&account, &membership, caller)?;
                    let decision = decision.change(Change::ForgetAttempts(proven.attempts()));
                    let decision =
                        idempotency::keep(decision, key, &response, &account, origin.at)?;
                    Ok((Ok(response), Some(decision)))
                }
                Err(refusal) => Ok((Err(refusal), None)),
            }
        },
    )
    .await?;
    match registered {
        Ok(response) if repeated.is_some() => {
            secret_check::record_repeated(app, &account, None, origin).await?;
            // Perhaps a request with the same key was committed in the meantime.
            let earlier = idempotency::earlier(app, key, &account, origin.at).await?;
            Ok(earlier.unwrap_or(response))
        }
        Ok(response) => Ok(response),
        Err(refusal) => {
            let actor = Actor::Account(caller.account.id.clone());
            Err(refused(app, &refusal, actor, caller.context(&mut app.rng())).await?)
        }
    }
}

/// Returns the membership that the account already has for this record and registration type, so that
/// a repeated request gets the same response.
fn own<'a>(
    account: &'a Account,
    record: &PlanRecord,
    registration_type: &RegistrationType,
) -> Option<&'a Membership> {
    let owner = record.claimed_by(&account.portal, registration_type)?;
    account
        .memberships
        .iter()
        .find(|m| *owner == account.id && m.record.as_ref() == Some(&record.key))
}

/// Builds the response for a membership in an organization.
pub(crate) fn new_membership(
    account: &Account,
    membership: &Membership,
    caller: &Caller,
) -> Result<Created, Problem> {
    let policy = &caller.policy;
    let organization = membership.organization.as_ref();
    let organization =
        organization.ok_or_else(|| Problem::internal("a place in no organization"))?;
    let next_step = step_after_sign_in(account, Some(membership), policy, caller.origin.at);
    let asks = rules::requires_backup_administrator(membership.role, policy);
    let body = AdditionalOrganizationResponse {
        organization_id: organization.to_string(),
        next_step: responses::step(next_step),
        reason: responses::reason(next_step),
        notices: asks.then_some("invite_backup").into_iter().collect(),
    };
    Created::at(format!("/{}/me", policy.portal), &body)
}

fn parse<'a>(
    request: &AdditionalOrganizationRequest,
    caller: &'a Caller,
) -> Result<Parsed<'a>, Problem> {
    let policy = &caller.policy;
    let registration_types = policy
        .registration_types
        .iter()
        .filter(|w| w.organization.is_some());
    let registration_type =
        parse_registration_type(&request.registration_type, registration_types)?;
    let name = &caller.account.name;
    let mut fields = FieldErrors::default();
    let verification = verification::parse(
        &request.verification,
        registration_type,
        name.first.as_str(),
        policy,
        &mut fields,
    );
    let postal_address = parse_terms(
        registration_type,
        request.attests_signing_authority,
        (request.postal_address.as_ref(), &name.full()),
        &request.accepted_agreements,
        policy,
        &mut fields,
    );
    fields.into_result(verification.map(|(record, verification)| Parsed {
        registration_type,
        record,
        verification,
        postal_address,
        accepted_agreements: request.accepted_agreements.clone(),
    }))
}
