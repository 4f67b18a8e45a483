//! `GET /{portal}/accounts/{account_portal}/{id}`: shows an account.

use axum::Json;
use axum::extract::State;
use vestibule_domain::Decision;
use vestibule_domain::audit::Action;
use vestibule_domain::help_desk::Staff;
use vestibule_domain::policy::Permission;
use vestibule_http::{App, Entitled, Problem, ProblemBody};

use crate::AccountResponse;
use crate::case::{AccountPath, Case};

/// Show an account
///
/// Shows an account on a portal that the help desk supports. The access is recorded on the audit
/// trail.
#[utoipa::path(
    get, path = "/{portal}/accounts/{account_portal}/{id}", tag = "help desk",
    operation_id = "show_account",
    params(("portal" = String, Path, description = "The help desk's portal"), ("account_portal" = String, Path, description = "The account's portal"), ("id" = String, Path, description = "The account")),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account"),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`not-allowed` or `next-step-required`", content_type = "application/problem+json"),
        (status = 404, body = ProblemBody, description = "`not-found`", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
) -> Result<Json<AccountResponse>, Problem> {
    let case = Case::open(&app, &caller, Permission::FindAccounts, &path).await?;
    let staff = Staff {
        account: &caller.account.id,
        reason: None,
    };
    let mut rng = app.rng();
    let look = staff.about(&case.account, &case.origin, Action::LookAtAccount, &mut rng);
    // Recorded before anything is shown.
    app.commit(Decision::recording(look), &mut rng).await?;
    Ok(Json(case.answer()))
}
