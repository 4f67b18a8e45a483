//! `POST /{portal}/invitations.csv`: invites users from a CSV file (UX-08).

use axum::extract::{Request, State};
use futures::{StreamExt, stream};
use vestibule_domain::policy::{Onboarding, Permission};
use vestibule_domain::rules::invite::{Invitee, Refusal};
use vestibule_http::bulk::{self, BulkResponse, CONCURRENCY, Columns, Row, RowResponse};
use vestibule_http::openapi::{EntitledProblems, FileProblems, PortalParams};
use vestibule_http::{App, Caller, Entitled, Problem};

use crate::{invite, problem};

/// The columns of the file: the fields of a single invitation.
const COLUMNS: Columns = Columns {
    required: &["email", "first_name", "last_name"],
    optional: &["role", "end_date"],
};

/// The problem types of a person who is already invited or registered.
const ALREADY: [&str; 2] = ["already-invited", "invitation-used"];

/// Invite users from a CSV file
///
/// Accepts a file of at most 500 rows and 1 MiB with the columns `email`, `first_name`, `last_name`
/// and, optionally, `role` and `end_date`. Each row is processed separately and has its own result;
/// uploading the same file again invites nobody twice.
#[utoipa::path(
    post, path = "/{portal}/invitations.csv", tag = "invitations",
    operation_id = "invite_users",
    params(PortalParams),
    request_body(content = String, content_type = "text/csv", description = "The file, in UTF-8, with commas and a header"),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = BulkResponse, description = "The result of each row"),
        (status = 409, description = "`no-invitations`"),
        EntitledProblems, FileProblems,
    )
)]
pub(crate) async fn invite_many(
    State(app): State<App>,
    Entitled(caller): Entitled,
    request: Request,
) -> Result<BulkResponse, Problem> {
    let policy = &caller.policy;
    caller
        .acting()?
        .allowed(Permission::AddUsers, policy)
        .ok_or_else(|| Problem::not_allowed(policy))?;
    if policy.staff.as_ref().map(|s| s.onboarding) != Some(Onboarding::Invitation) {
        return Err(problem(Refusal::UnsupportedOnPortal, policy));
    }
    let (rows, doubles) = bulk::without_doubles(bulk::read(request, COLUMNS).await?);
    let answers = stream::iter(rows)
        .map(|row| one(&app, &caller, row))
        .buffer_unordered(CONCURRENCY)
        .collect::<Vec<_>>()
        .await;
    Ok(BulkResponse::of([answers, doubles].concat()))
}

async fn one(app: &App, caller: &Caller, row: Row) -> RowResponse {
    let invited = async {
        let person = row.person()?;
        let invitee = Invitee {
            name: person.name,
            email: person.email,
            role: person.role,
            end_date: person.end_date,
        };
        let invitation = invite::one(app, caller, &invitee).await?;
        Ok(invitation.id.to_string())
    };
    RowResponse::of(row.line, invited.await, &ALREADY)
}
