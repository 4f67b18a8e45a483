//! `PUT /{portal}/access-reviews/current/users/{id}`: confirms or removes an account in an access
//! review (EX-11).

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::manage::{self, Refusal};
use vestibule_domain::policy::Permission;
use vestibule_domain::review::{self, Removed, ReviewStatus, Reviewed};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, NotFoundProblems, UserParams};
use vestibule_http::request::Id;
use vestibule_http::{App, Body, Caller, Entitled, Problem};
use vestibule_store::CommitError;

use crate::review_show::ReviewItem;
use crate::{Target, problem};

/// The maximum number of attempts when other changes to the account conflict.
const MAX_ATTEMPTS: usize = 4;

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
        (status = 409, description = "`not-in-review`, `self-action-forbidden`, `last-principal` or `conflict`"),
        EntitledProblems, NotFoundProblems, FieldProblems,
    )
)]
pub(crate) async fn decide(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Id(id): Id,
    Body(request): Body<ReviewDecisionRequest>,
) -> Result<Json<ReviewItem>, Problem> {
    for _ in 0..MAX_ATTEMPTS {
        let target = Target::find(&app, &caller, Permission::ReviewAccess, &id).await?;
        let answered = match request.decision {
            ReviewDecision::Confirmed => confirm(&app, &caller, &target).await?,
            ReviewDecision::Removed => remove(&app, &caller, &target).await?,
        };
        if let Some(answered) = answered {
            return Ok(Json(answered));
        }
    }
    Err(Problem::conflict())
}

/// Returns `None` if the account changed at the same time.
async fn confirm(
    app: &App,
    caller: &Caller,
    Target { organization, user }: &Target,
) -> Result<Option<ReviewItem>, Problem> {
    let policy = &caller.policy;
    let mut rng = app.rng();
    let confirmed = review::confirm(
        caller.acting()?,
        organization,
        user,
        caller.context(&mut rng),
    )
    .map_err(|refusal| problem(refusal.into(), policy))?;
    let Some((user, decision)) = confirmed else {
        return ReviewItem::after(user, organization).map(Some);
    };
    match app.commit(decision, &mut rng).await {
        Ok(()) => ReviewItem::after(&user, organization).map(Some),
        Err(CommitError::Stale) => Ok(None),
        Err(other) => Err(other.into()),
    }
}

/// Removes the account under the same rules as any other removal. Returns `None` if the account
/// changed at the same time.
async fn remove(
    app: &App,
    caller: &Caller,
    Target { organization, user }: &Target,
) -> Result<Option<ReviewItem>, Problem> {
    let policy = &caller.policy;
    let mut rng = app.rng();
    let removed = async || -> Result<Option<Removed>, Problem> {
        let Some(review) = &organization.review else {
            return Ok(None);
        };
        let all = app
            .store
            .removed_in_review(&policy.portal, &organization.id, review.started_at)
            .await?;
        Ok(all.into_iter().find(|r| r.account == user.id))
    };
    let in_review = user.membership(Some(&organization.id)).is_none_or(|m| {
        review::status(organization, Reviewed::of(user, m)) != ReviewStatus::NotInReview
    });
    if !in_review {
        return Err(problem(Refusal::NotInReview, policy));
    }
    let decided = manage::remove(
        caller.acting()?,
        organization,
        user,
        caller.context(&mut rng),
    );
    match decided {
        Ok(decision) => match app.commit(decision, &mut rng).await {
            Ok(()) => {}
            Err(CommitError::Stale) => return Ok(None),
            Err(other) => return Err(other.into()),
        },
        // May already be removed by this same request, if its response was lost.
        Err(Refusal::Unknown) => {}
        Err(refusal) => return Err(problem(refusal, policy)),
    }
    match removed().await? {
        Some(removed) => Ok(Some(ReviewItem::from(&removed))),
        None => Err(problem(Refusal::Unknown, policy)),
    }
}
