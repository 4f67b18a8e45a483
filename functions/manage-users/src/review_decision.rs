//! `PUT /{portal}/access-reviews/current/users/{id}`: confirms or removes an account in an access
//! review (EX-11).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::access_review::{self, ReviewStatus, Reviewed};
use vestibule_domain::rules::actions::{Refusal, remove as removal};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, NotFoundProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Body, Caller, Entitled, Problem};

use crate::review_show::ReviewItem;
use crate::{LoadedUser, act, problem};

/// The decision on an account.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewDecisionRequest {
    /// The decision. `removed` takes effect immediately and is permanent.
    decision: ReviewDecision,
}

/// A decision on an account in an access review.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReviewDecision {
    /// The person still needs access.
    Confirmed,
    /// The person no longer needs access; it is removed.
    Removed,
}

/// Review a user's access
///
/// Confirms or removes a user in the current access review. Repeating the same decision changes
/// nothing.
#[utoipa::path(
    put, path = "/{portal}/access-reviews/current/users/{id}", tag = "users",
    operation_id = "decide_access_review",
    params(UserParams),
    request_body = ReviewDecisionRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = ReviewItem, description = "The account in the review, after the decision"),
        (status = 409, description = "`not-in-review`, `self-action-forbidden`, `last-principal`, `last-administrator` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn decide(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
    Body(request): Body<ReviewDecisionRequest>,
) -> Result<Json<ReviewItem>, Problem> {
    match request.decision {
        ReviewDecision::Confirmed => confirm(&app, &caller, &id).await.map(Json),
        ReviewDecision::Removed => remove(&app, &caller, &id).await.map(Json),
    }
}

/// Confirms that the person still needs access.
async fn confirm(app: &App, caller: &Caller, id: &str) -> Result<ReviewItem, Problem> {
    let acting = caller.acting()?;
    let (loaded, user) = act(
        app,
        caller,
        Permission::ReviewAccess,
        id,
        |_, loaded, context| {
            let LoadedUser {
                organization, user, ..
            } = loaded;
            let confirmed = access_review::confirm(acting, organization, user, context)?;
            Ok(match confirmed {
                Some((after, decision)) => (after, Some(decision)),
                None => (user.clone(), None),
            })
        },
    )
    .await?;
    ReviewItem::after(&user, &loaded.organization)
}

/// Removes the person from the organization.
async fn remove(app: &App, caller: &Caller, id: &str) -> Result<ReviewItem, Problem> {
    let (
        LoadedUser {
            organization, user, ..
        },
        (),
    ) = act(
        app,
        caller,
        Permission::ReviewAccess,
        id,
        |authority, loaded, context| {
            let LoadedUser {
                organization, user, ..
            } = loaded;
            let in_review = user.membership(Some(&organization.id)).is_none_or(|m| {
                access_review::status(organization, Reviewed::of(user, m))
                    != ReviewStatus::NotInReview
            });
            if !in_review {
                return Err(Refusal::NotInReview);
            }
            match removal::remove(authority, loaded.target(), context) {
                Ok((_, decision)) => Ok(((), Some(decision))),
                // May already be removed by this same request, if its response was lost.
                Err(Refusal::Unknown) => Ok(((), None)),
                Err(refusal) => Err(refusal),
            }
        },
    )
    .await?;
    let unknown = || problem(Refusal::Unknown, &caller.policy);
    let review = organization.review.as_ref().ok_or_else(unknown)?;
    let removed = app
        .store
        .removed_in_review(&caller.policy.portal, &organization.id, review.started_at)
        .await?;
    let removed = removed.iter().find(|r| r.account == user.id);
    removed.map(ReviewItem::from).ok_or_else(unknown)
}
