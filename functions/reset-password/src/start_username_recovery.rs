//! `POST /{portal}/username-recoveries`: verifies a person who forgot their username against the plan's
//! records and returns their security questions (ME-05).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use futures::future;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::{Policy, RecoveryMeans, RegistrationType};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::state::record::{RecordKey, Verification};
use vestibule_domain::values::text::NamePart;
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::rate_limit::{Counter, Scene};
use vestibule_http::request::RequestOrigin;
use vestibule_http::secret_check::{self, Comparer, Described};
use vestibule_http::{App, Body, FieldErrors, Portal, Problem, verification};

use crate::{questions, unsupported};

/// The facts that identify a person who forgot their username.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct StartUsernameRecoveryRequest {
    /// The registration type with which the person registered.
    registration_type: String,
    /// The facts that verify the person, as `GET /{portal}` lists them for the registration type.
    verification: BTreeMap<String, String>,
    /// The person's given name.
    first_name: String,
}

/// The security questions to answer.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StartUsernameRecoveryResponse {
    /// The security questions; returned whether or not the verification is correct.
    questions: Vec<String>,
}

/// Start a username recovery
///
/// Returns the security questions that a person who forgot their username must answer. The response
/// does not reveal whether the verification is correct.
#[utoipa::path(
    post, path = "/{portal}/username-recoveries", tag = "recovery",
    operation_id = "start_username_recovery",
    params(PortalParams),
    request_body = StartUsernameRecoveryRequest,
    responses(
        (status = 200, body = StartUsernameRecoveryResponse, description = "The security questions"),
        (status = 409, description = "`unsupported-on-portal`"),
        FieldProblems,
    )
)]
pub(crate) async fn start_username_recovery(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<StartUsernameRecoveryRequest>,
) -> Result<Json<StartUsernameRecoveryResponse>, Problem> {
    let given = (
        request.registration_type.as_str(),
        &request.verification,
        request.first_name.as_str(),
    );
    let (app, policy, origin) = (&app, &*policy, &origin);
    let claim = parse(policy, given)?;
    let counters = counters(&claim, (policy, origin));
    let described = future::ready(Ok(Described::anonymous(Action::RecoverUsername)));
    let compare = async |comparer: Comparer<'_>| {
        let account = claimant(app, &comparer, &claim, policy).await?;
        Ok(account.ok_or("not_proved"))
    };
    let checked = secret_check::check(app, &counters, (policy, origin), described, compare).await?;
    let account = match checked.within(&policy.rate_limits.registration, policy)? {
        Some((account, _)) => {
            let mut rng = app.rng();
            let actor = Actor::Account(account.id.clone());
            let audit = AuditEvent::done(origin, actor, Action::RecoverUsername, &mut rng)
                .on(account.id.as_str());
            app.commit(Decision::recording(audit), &mut rng).await?;
            Some(account)
        }
        None => None,
    };
    Ok(Json(StartUsernameRecoveryResponse {
        questions: questions(app, policy, &claim.subject(), account.as_ref()),
    }))
}

/// What a person who forgot their username claims to be.
pub(crate) struct ClaimedIdentity<'p> {
    registration_type: &'p RegistrationType,
    record: RecordKey,
    verification: Verification,
}

impl ClaimedIdentity<'_> {
    /// Returns a text that is the same for each claim of this record.
    fn subject(&self) -> String {
        format!("{}/{}", self.record.kind.into_str(), self.record.number)
    }
}

/// Parses what a person claims.
///
/// # Errors
/// A problem when the portal does not offer this recovery method or a field is invalid.
pub(crate) fn parse<'p>(
    policy: &'p Policy,
    (registration_type, given, first_name): (&str, &BTreeMap<String, String>, &str),
) -> Result<ClaimedIdentity<'p>, Problem> {
    if !policy
        .recovery
        .forgot_username
        .contains(&RecoveryMeans::SecurityAnswers)
    {
        return Err(unsupported(policy));
    }
    let Some(registration_type) = policy.registration_type(registration_type) else {
        return Err(Problem::invalid_field(
            "registration_type",
            "must be one of the registration types of this portal",
        ));
    };
    let mut fields = FieldErrors::default();
    let named = fields.take("first_name", NamePart::parse(first_name));
    let parsed = verification::parse(given, registration_type, first_name, policy, &mut fields);
    let (record, verification) = fields.into_result(parsed.filter(|_| named.is_some()))?;
    Ok(ClaimedIdentity {
        registration_type,
        record,
        verification,
    })
}

/// Returns the counters of attempts to recover a username, for the record and for the source.
pub(crate) fn counters(claim: &ClaimedIdentity<'_>, scene: Scene<'_>) -> [Counter; 3] {
    secret_check::verification_counters(&claim.record, "remember", scene)
}

/// Loads the account whose record matches what the person claims. An incorrect claim costs the same reads
/// (UX-09).
///
/// # Errors
/// A problem when the store doesn't respond.
pub(crate) async fn claimant(
    app: &App,
    comparer: &Comparer<'_>,
    claim: &ClaimedIdentity<'_>,
    policy: &Policy,
) -> Result<Option<Account>, Problem> {
    let records = app.store.plan_records(&claim.record).await?;
    let owner = comparer
        .find_record(&records, &claim.verification)
        .and_then(|r| r.claimed_by(&policy.portal, claim.registration_type));
    let nobody = app.store.account_id(&policy.portal, &claim.subject());
    let account = app
        .store
        .account(&policy.portal, owner.unwrap_or(&nobody))
        .await?;
    Ok(account.filter(|_| owner.is_some()))
}
