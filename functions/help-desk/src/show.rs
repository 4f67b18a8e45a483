//! `GET /{portal}/accounts/{account_portal}/{id}`: shows an account.

use axum::Json;
use axum::extract::State;
use vestibule_domain::Decision;
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::authority::Staff;
use vestibule_domain::state::audit::Action;
use vestibule_http::openapi::{AccountParams, EntitledProblems, NotFoundProblems};
use vestibule_http::{App, Entitled, Problem};

use crate::AccountResponse;
use crate::account_context::{AccountContext, AccountPath};

/// Show an account
///
/// Shows an account on a portal that the help desk supports. The access is recorded on the audit
/// trail.
#[utoipa::path(
    get, path = "/{portal}/accounts/{account_portal}/{id}", tag = "help desk",
    operation_id = "show_account",
    params(AccountParams),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = AccountResponse, description = "The account"),
        EntitledProblems, NotFoundProblems,
    )
)]
pub(crate) async fn show(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
) -> Result<Json<AccountResponse>, Problem> {
    let context = AccountContext::load(&app, &caller, Permission::FindAccounts, &path).await?;
    let staff = Staff {
        account: &caller.account.id,
        reason: None,
    };
    let mut rng = app.rng();
    let look = staff.about(
        &context.account,
        &context.origin,
        Action::ViewAccount,
        &mut rng,
    );
    // Recorded before anything is shown.
    app.commit(Decision::recording(look), &mut rng).await?;
    Ok(Json(context.response()))
}
