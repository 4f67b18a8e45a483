//! `GET /{portal}/access-reviews/current`: shows which accounts are confirmed, removed or still
//! unanswered (EX-11).

use axum::Json;
use axum::extract::State;
use futures::future;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::access_review::{self, ReviewStatus};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor};
use vestibule_domain::state::organization::{Organization, Removed, Review};
use vestibule_http::openapi::{EntitledProblems, PortalParams, QueryProblems};
use vestibule_http::request::{Query, cursor};
use vestibule_http::{App, Caller, Entitled, Problem, responses};
use vestibule_store::{Page, UserFilter, UserRow, UsersCursor};

/// How many accounts are read for a page.
pub(crate) const LOOKED_AT: usize = 100;

/// Filter and paging for the accounts of a review.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewQuery {
    /// Returns only accounts with this decision: `confirmed`, `removed` or `pending`.
    #[param(value_type = Option<String>)]
    decision: Option<Wanted>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// The decision to filter by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Wanted {
    Confirmed,
    Removed,
    Pending,
}

/// An access review.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewResponse {
    started_at: String,
    /// The id of the user who started the review. Absent if it started on schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    started_by: Option<String>,
    /// The last day to decide, as `YYYY-MM-DD`.
    due_date: String,
    /// Whether that day has passed.
    is_overdue: bool,
    /// The accounts in the review, removed ones first. A page may hold few accounts, or none, even
    /// if more follow.
    accounts: Vec<ReviewItem>,
    /// The cursor of the next page, to send as `cursor`. Absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    next_cursor: Option<String>,
}

/// An account in an access review.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReviewItem {
    id: String,
    username: String,
    first_name: String,
    last_name: String,
    role: String,
    /// The decision on the account: `confirmed`, `removed` or `pending`.
    decision: &'static str,
    /// The id of the user who decided. Absent if nobody has decided yet or the system removed the
    /// account.
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_by: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    decided_at: Option<String>,
}

impl ReviewItem {
    fn of(row: &UserRow, organization: &Organization) -> Option<Self> {
        let confirmed = match access_review::status(organization, row.reviewed()) {
            ReviewStatus::NotInReview => return None,
            ReviewStatus::Pending => None,
            ReviewStatus::Confirmed(confirmation) => Some(confirmation),
        };
        Some(Self {
            id: row.account.to_string(),
            username: row.username.clone(),
            first_name: row.name.first.to_string(),
            last_name: row.name.last.to_string(),
            role: row.role.into_str().to_owned(),
            decision: if confirmed.is_some() {
                "confirmed"
            } else {
                "pending"
            },
            decided_by: confirmed.map(|c| c.by.to_string()),
            decided_at: confirmed.map(|c| responses::moment(c.at)),
        })
    }

    /// Describes an account after a decision.
    pub(crate) fn after(user: &Account, organization: &Organization) -> Result<Self, Problem> {
        UserRow::of(user, &organization.id)
            .and_then(|row| Self::of(&row, organization))
            .ok_or_else(Problem::conflict)
    }
}

impl From<&Removed> for ReviewItem {
    fn from(removed: &Removed) -> Self {
        Self {
            id: removed.account.to_string(),
            username: removed.username.clone(),
            first_name: removed.name.first.to_string(),
            last_name: removed.name.last.to_string(),
            role: removed.role.into_str().to_owned(),
            decision: "removed",
            decided_by: account_of(&removed.by),
            decided_at: Some(responses::moment(removed.at)),
        }
    }
}

fn account_of(actor: &Actor) -> Option<String> {
    match actor {
        Actor::Account(id) => Some(id.to_string()),
        _ => None,
    }
}

impl ReviewResponse {
    /// Loads a page of the latest review.
    pub(crate) async fn page(
        app: &App,
        organization: &Organization,
        wanted: Option<Wanted>,
        after: Option<&UsersCursor>,
        caller: &Caller,
    ) -> Result<Self, Problem> {
        let (policy, review) = (&caller.policy, organization.review.as_ref());
        let review = review.ok_or_else(|| Problem::not_found("access review"))?;
        let mut accounts = Vec::new();
        if after.is_none() && matches!(wanted, None | Some(Wanted::Removed)) {
            let removed = app
                .store
                .removed_in_review(&policy.portal, &organization.id, review.started_at)
                .await?;
            accounts.extend(removed.iter().map(ReviewItem::from));
        }
        let mut next_cursor = None;
        if wanted != Some(Wanted::Removed) {
            let all = UserFilter::default();
            let page = app
                .store
                .users(&policy.portal, &organization.id, &all, after, LOOKED_AT)
                .await?;
            next_cursor = page.next;
            let fits = |account: &ReviewItem| match wanted {
                Some(Wanted::Confirmed) => account.decision == "confirmed",
                Some(Wanted::Pending) => account.decision == "pending",
                Some(Wanted::Removed) | None => true,
            };
            let rows = page.items.iter();
            accounts.extend(
                rows.filter_map(|row| ReviewItem::of(row, organization))
                    .filter(fits),
            );
        }
        Ok(Self::of(review, accounts, next_cursor, caller))
    }

    /// Describes a review that was just started, with the first page of users.
    pub(crate) fn started(
        organization: &Organization,
        users: &Page<UserRow>,
        caller: &Caller,
    ) -> Result<Self, Problem> {
        let review = organization.review.as_ref();
        let review = review.ok_or_else(|| Problem::internal("a review is missing"))?;
        let rows = users.items.iter();
        let accounts = rows.filter_map(|row| ReviewItem::of(row, organization));
        let next_cursor = users.next.clone();
        Ok(Self::of(review, accounts.collect(), next_cursor, caller))
    }

    fn of(
        review: &Review,
        accounts: Vec<ReviewItem>,
        next_cursor: Option<String>,
        caller: &Caller,
    ) -> Self {
        Self {
            started_at: responses::moment(review.started_at),
            started_by: account_of(&review.started_by),
            due_date: review.due_date.to_string(),
            is_overdue: caller.policy.today(caller.origin.at) > review.due_date,
            accounts,
            next_cursor,
        }
    }
}

/// Show the current access review
///
/// Shows the latest access review of the caller's organization, with the decision on each account.
#[utoipa::path(
    get, path = "/{portal}/access-reviews/current", tag = "users",
    operation_id = "show_access_review",
    params(PortalParams, ReviewQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = ReviewResponse, description = "The review and a page of its accounts"),
        (status = 404, description = "`not-found`: no review has been started"),
        EntitledProblems, QueryProblems,
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Entitled(caller): Entitled,
    Query(query): Query<ReviewQuery>,
) -> Result<Json<ReviewResponse>, Problem> {
    let policy = &caller.policy;
    let acting = caller.acting()?;
    let organization = acting
        .allowed(Permission::ReviewAccess, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    let after = cursor(query.cursor.as_deref(), UsersCursor::parse)?;
    let organization = app
        .store
        .organization(&policy.portal, organization)
        .await?
        .ok_or_else(|| Problem::internal("an organization is missing"))?;
    let page = ReviewResponse::page(&app, &organization, query.decision, after.as_ref(), &caller);
    let reading = caller.record_reading(&app, Action::ViewAccessReview, None);
    let (page, ()) = future::try_join(page, reading).await?;
    Ok(Json(page))
}
