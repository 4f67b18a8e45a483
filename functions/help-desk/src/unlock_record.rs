//! `POST /{portal}/plan-records/unlock`: clears the count of attempts at a plan record (SE-09).

use axum::extract::State;
use axum::http::StatusCode;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::authority::Staff;
use vestibule_domain::rules::actions::unlock;
use vestibule_domain::rules::context::Context;
use vestibule_domain::values::text::Reason;
use vestibule_http::openapi::{EntitledProblems, FieldProblems, HelpDeskParams, NotFoundProblems};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, rate_limit, transact};

use crate::account_context::require;
use crate::find_accounts::{keys_of, numbers};

/// A plan record whose count of attempts is cleared.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct UnlockRecordRequest {
    /// The portal on which the caller registers. The count of all portals is cleared.
    portal: String,
    /// The number of the plan record: an enrollee id, agent id, group number or provider id, depending on the
    /// portal.
    number: String,
    /// The reason for the action, 5 to 300 characters, for the audit trail.
    reason: String,
}

/// Unlock a plan record
///
/// Clears the count of attempts to register with a plan record, which otherwise lasts as long as the
/// record. First make sure that the caller made the attempts.
#[utoipa::path(
    post, path = "/{portal}/plan-records/unlock", tag = "help desk",
    operation_id = "unlock_plan_record",
    params(HelpDeskParams),
    request_body = UnlockRecordRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 204, description = "The count is cleared"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn unlock_record(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Body(request): Body<UnlockRecordRequest>,
) -> Result<StatusCode, Problem> {
    require(&caller, Permission::ActOnAccounts)?;
    let mut fields = FieldErrors::default();
    let policy = caller.served(&app, &request.portal)?;
    if policy.is_none() {
        fields.push("portal", "must be a portal that this help desk supports");
    }
    let reason = fields.take("reason", Reason::parse(&request.reason));
    let numbers = policy.map(|policy| numbers(&request.number, policy, &mut fields));
    let parsed = (|| Some((policy?, numbers?, reason?)))();
    let (policy, numbers, reason) = fields.into_result(parsed)?;

    let (app, origin) = (&app, &caller.origin_on(policy));
    let keys = &keys_of(&numbers, policy);
    let staff = Staff {
        account: &caller.account.id,
        reason: Some(&reason),
    };
    transact(
        app,
        |_| async move {
            let records = keys.iter().map(async |key| {
                let found = app.store.plan_records(key).await?;
                Ok::<_, Problem>((key.clone(), !found.is_empty()))
            });
            let records = futures::future::try_join_all(records).await?;
            let existing = records.into_iter().filter(|(_, exists)| *exists);
            let counted = existing.map(|(key, _)| {
                let counter = rate_limit::of_record(app, &key, origin.at);
                (key, counter)
            });
            Ok(counted.collect::<Vec<_>>())
        },
        |records, rng| {
            let context = Context::new(policy, origin, rng);
            unlock::unlock_records(staff, records, context)
                .map(|decision| ((), decision))
                .ok_or_else(|| Problem::not_found("plan record"))
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
