//! `POST /{portal}/access-reviews`: starts an access review (EX-11).

use axum::extract::State;
use axum::http::StatusCode;
use futures::future;
use vestibule_domain::policy::{Permission, Policy};
use vestibule_domain::rules::access_review::{self, Refusal};
use vestibule_domain::state::audit::Actor;
use vestibule_http::idempotency::{Created, Once, Repeat, once};
use vestibule_http::openapi::{EntitledProblems, IdempotencyParams, PortalParams};
use vestibule_http::{App, Entitled, Problem};
use vestibule_store::UserFilter;

use crate::review_show::{LOOKED_AT, ReviewResponse};

/// Start an access review
///
/// Starts a review of who has access to the caller's organization. Every manager is notified by
/// email.
#[utoipa::path(
    post, path = "/{portal}/access-reviews", tag = "users",
    operation_id = "start_access_review",
    params(PortalParams, IdempotencyParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = ReviewResponse, description = "The review", headers(("location" = String, description = "The URL of the review"))),
        (status = 409, description = "`review-running`, `unsupported-on-portal` or `conflict`"),
        EntitledProblems,
    )
)]
pub(crate) async fn start(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Repeat(key): Repeat,
) -> Result<Created, Problem> {
    let (app, policy, caller) = (&app, &caller.policy, &caller);
    let acting = caller.acting()?;
    let own = acting
        .allowed(Permission::ReviewAccess, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let today = policy.today(caller.origin.at);
    let by = Actor::Account(caller.account.id.clone());
    let start = Once {
        caller,
        key: key.as_ref(),
    };
    once(
        app,
        start,
        |_| async move {
            let all = UserFilter::default();
            let (found, users) = future::try_join(
                app.store
                    .organization_with_managers(&policy.portal, own, today),
                app.store.users(&policy.portal, own, &all, None, LOOKED_AT),
            )
            .await?;
            let (found, managers) = found;
            let organization =
                found.ok_or_else(|| Problem::internal("an organization is missing"))?;
            let managers: Vec<_> = managers
                .into_iter()
                .filter(|m| policy.allows(m.role, Permission::ReviewAccess))
                .collect();
            Ok((organization, managers, users))
        },
        |(organization, managers, _), rng| {
            access_review::start(by.clone(), organization, managers, caller.context(rng))
                .map_err(|refusal| problem(refusal, policy))
        },
        |(_, _, users), organization| {
            let location = format!("/{}/access-reviews/current", policy.portal);
            Created::at(
                location,
                &ReviewResponse::started(organization, users, caller)?,
            )
        },
    )
    .await
}

fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    match refusal {
        Refusal::UnsupportedOnPortal => Problem::unsupported_on_portal(
            policy,
            "Access reviews aren't available on this portal.",
        ),
        Refusal::Running(until) => Problem::new(
            StatusCode::CONFLICT,
            "review-running",
            "Review in progress",
            format!(
                "An access review is already in progress. You can start another one after {}.",
                until.strftime("%A, %B %-d, %Y")
            ),
        ),
    }
}
