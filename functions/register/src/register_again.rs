//! `PUT /{portal}/me/registration`: repeats a registration during a registration campaign (AG-13).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use tokio::sync::OnceCell;
use utoipa::ToSchema;
use vestibule_domain::policy::RegistrationType;
use vestibule_domain::rules::campaign::{self, Refusal};
use vestibule_domain::rules::next_step::NextStep;
use vestibule_domain::rules::register;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::state::membership::Membership;
use vestibule_domain::state::record::PlanRecord;
use vestibule_domain::{Change, Decision};
use vestibule_http::openapi::{FieldProblems, PortalParams, SignedInProblems};
use vestibule_http::responses::NextStepResponse;
use vestibule_http::secret_check::{self, Described, Proven};
use vestibule_http::{App, Body, Caller, FieldErrors, Problem, SignedIn, transact, verification};

use crate::register::{STEP, problem as register_problem, refused_as};

/// A repeated registration. The caller is signed in, so it has no name and no password.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReregistrationRequest {
    /// The same facts that verified the caller at the first registration; empty for users who were
    /// added by an organization.
    #[serde(default)]
    verification: BTreeMap<String, String>,
    /// Whether the caller attests that they have authority to sign for the organization; required by
    /// some registration types (AG-03).
    #[serde(default)]
    attests_signing_authority: bool,
}

/// Register again during a campaign
///
/// Repeats the caller's registration for the current organization and keeps the account and its data.
/// A repeated request returns the same response and changes nothing.
#[utoipa::path(
    put, path = "/{portal}/me/registration", tag = "registration",
    operation_id = "register_again",
    params(PortalParams),
    request_body = ReregistrationRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = NextStepResponse, description = "The next step or the entitlements"),
        (status = 403, description = "`registration-refused` (AG-06), `not-open` (EX-04), `campaign-over` or `next-step-required`"),
        (status = 409, description = "`no-reregistration-required` or `organization-must-register-first`"),
        SignedInProblems, FieldProblems,
    )
)]
pub(crate) async fn register_again(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<ReregistrationRequest>,
) -> Result<Json<NextStepResponse>, Problem> {
    let (policy, origin) = (&caller.policy, &caller.origin);
    let working_for = caller.session.organization.as_ref();
    let (app, caller, request) = (&app, &caller, &request);
    let parsed = &OnceCell::new();
    let (_, decided) = transact(
        app,
        |attempt| async move {
            let account = caller.latest(app, attempt).await?;
            let membership = account
                .membership(working_for)
                .ok_or_else(|| Problem::next_step(NextStep::ChooseOrganization, policy))?;
            let is_required = campaign::call(membership, policy, policy.today(origin.at)).is_some();
            if !is_required && membership.registered_again_at.is_some() {
                return Ok((account, None));
            }
            // Parsed and counted as an attempt only once.
            let verified = parsed
                .get_or_try_init(|| async {
                    match is_required {
                        true => verify(app, request, membership, caller).await,
                        false => Ok(None),
                    }
                })
                .await?
                .as_ref();
            let matched = match verified {
                Some((record, _)) if attempt.is_first => Some(record.clone()),
                Some((record, _)) => secret_check::reload(app, record).await?,
                None => None,
            };
            let organization = match &membership.organization {
                Some(id) => app.store.organization(&policy.portal, id).await?,
                None => None,
            };
            let membership = membership.clone();
            Ok((account, Some((membership, organization, matched))))
        },
        |(account, to_register), rng| {
            let Some((membership, organization, matched)) = to_register else {
                return Ok((Ok(account.clone()), None));
            };
            let decided = campaign::register_again(
                account,
                membership,
                organization.as_ref(),
                matched.as_ref(),
                caller.context(rng),
            );
            Ok(match decided {
                Ok((after, decision)) => {
                    let decision = match parsed.get().and_then(Option::as_ref) {
                        Some((_, proven)) => {
                            decision.change(Change::ForgetAttempts(proven.attempts()))
                        }
                        None => decision,
                    };
                    (Ok(after), Some(decision))
                }
                Err(refusal) => (Err(refusal), None),
            })
        },
    )
    .await?;
    match decided {
        Ok(account) => Ok(Json(NextStepResponse::of(&account, caller))),
        Err(refusal) => Err(problem(app, refusal, caller, &mut app.rng()).await?),
    }
}

/// Parses and checks the verification. Returns the record that matches; `None` for users who were added by
/// an organization, and when the deadline has passed.
async fn verify(
    app: &App,
    request: &ReregistrationRequest,
    membership: &Membership,
    caller: &Caller,
) -> Result<Option<(PlanRecord, Proven)>, Problem> {
    let (policy, origin) = (&caller.policy, &caller.origin);
    let mut fields = FieldErrors::default();
    let registration_type: Option<&RegistrationType> = membership
        .record
        .as_ref()
        .and_then(|_| policy.registration_type(membership.registration_type.as_deref()?));
    let Some(registration_type) = registration_type else {
        let why = "is not used: your organization manages your access";
        fields.reject_if_present("verification", !request.verification.is_empty(), why);
        fields.into_result(Some(()))?;
        return Ok(None);
    };
    if registration_type.requires_signing_authority && !request.attests_signing_authority {
        fields.push(
            "attests_signing_authority",
            "must be confirmed: only a person authorized to sign for the organization can register it",
        );
    }
    let first_name = caller.account.name.first.as_str();
    let verification = verification::parse(
        &request.verification,
        registration_type,
        first_name,
        policy,
        &mut fields,
    );
    let (key, verification) = fields.into_result(verification)?;
    let today = policy.today(origin.at);
    if campaign::call(membership, policy, today).is_some_and(|call| call.is_over(today)) {
        return Ok(None);
    }
    let described = Described::by(caller, Action::RegisterAgain);
    let entered = (&key, &verification);
    let checked =
        secret_check::verification(app, entered, STEP, described, (policy, origin)).await?;
    let refused = || register_problem(&register::Refusal::NotMatched, policy);
    checked.map(Some).ok_or_else(refused)
}

/// Records the refusal on the audit trail and returns it as a problem.
async fn problem(
    app: &App,
    refusal: Refusal,
    caller: &Caller,
    rng: &mut rand::rngs::StdRng,
) -> Result<Problem, Problem> {
    let policy = &caller.policy;
    let same = match &refusal {
        Refusal::NotMatched => Some(register::Refusal::NotMatched),
        Refusal::NotOpen(ineligible_message) => {
            Some(register::Refusal::NotOpen(ineligible_message.clone()))
        }
        _ => None,
    };
    let actor = Actor::Account(caller.account.id.clone());
    if let Some(refusal) = same {
        let action = Action::RegisterAgain;
        return refused_as(app, &refusal, action, actor, caller.context(rng)).await;
    }
    let audit = AuditEvent::refused(
        &caller.origin,
        actor,
        Action::RegisterAgain,
        refusal.into_str(),
        rng,
    );
    let audit = audit.for_organization(caller.session.organization.as_ref());
    app.commit(Decision::recording(audit), rng).await?;
    let desk = &policy.help_desk;
    Ok(match refusal {
        Refusal::Over(cutoff) => Problem::new(
            StatusCode::FORBIDDEN,
            "campaign-over",
            "Registration deadline passed",
            format!(
                "The last day to register again was {cutoff}. For help, call {} at {} ({}).",
                desk.name, desk.phone, desk.hours
            ),
        ),
        Refusal::OrganizationFirst => Problem::new(
            StatusCode::CONFLICT,
            "organization-must-register-first",
            "Your organization must register first",
            "Your organization must register again before its users can. Ask an administrator of your organization to register it.",
        ),
        Refusal::NotAsked | Refusal::NotMatched | Refusal::NotOpen(_) => Problem::new(
            StatusCode::CONFLICT,
            "no-reregistration-required",
            "Already registered",
            "You do not need to register again.",
        ),
    }
    .with_help(policy))
}
