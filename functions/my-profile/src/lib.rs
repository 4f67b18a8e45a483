//! What users see and change of their own account: profile, email address, username, and
//! entitlements.

mod add_authenticator_app;
mod add_passkey;
mod cancel_email_change;
mod cancel_factor_reset;
mod change_email;
mod change_factors;
mod choose_username;
mod confirm_email;
mod edit_profile;
mod list_factors;
mod send_feedback;
mod show_entitlements;
mod show_profile;

use axum::http::StatusCode;
use vestibule_domain::Decision;
use vestibule_domain::rules::context::Context;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::session::Token;
use vestibule_domain::values::ids::AccountId;
use vestibule_http::rate_limit::Scene;
use vestibule_http::{App, Problem, transact};

vestibule_http::routes! {
    show_profile::show_profile,
    edit_profile::edit_profile,
    change_email::change_email,
    cancel_email_change::cancel,
    cancel_email_change::cancel_by_link,
    choose_username::choose_username,
    confirm_email::confirm_email,
    show_entitlements::show_entitlements,
    send_feedback::send_feedback,
    list_factors::list_second_factors,
    add_passkey::start_adding_passkey,
    add_passkey::add_passkey,
    add_authenticator_app::start_adding_authenticator_app,
    add_authenticator_app::add_authenticator_app,
    change_factors::rename_second_factor,
    change_factors::remove_second_factor,
    change_factors::create_recovery_codes,
    cancel_factor_reset::cancel,
    cancel_factor_reset::cancel_by_link,
}

/// Cancels by the link of an email what the owner of an account did not request. `rule` returns `None`, and `unusable`
/// the problem, if the link is not that of the latest request.
async fn disown(
    app: &App,
    (policy, origin): Scene<'_>,
    token: Option<Token>,
    unusable: impl Fn() -> Problem,
    rule: impl Fn(&Account, &Token, Context<'_>) -> Option<Decision>,
) -> Result<StatusCode, Problem> {
    let token = token.ok_or_else(&unusable)?;
    let id = AccountId::parse(token.locator()).map_err(|_| unusable())?;
    let (portal, id) = (&policy.portal, &id);
    transact(
        app,
        |_| async move { Ok(app.store.account(portal, id).await?) },
        |account, rng| {
            let context = Context::new(policy, origin, rng);
            let account = account.as_ref().ok_or_else(&unusable)?;
            let decision = rule(account, &token, context);
            Ok(((), decision.ok_or_else(&unusable)?))
        },
    )
    .await?;
    Ok(StatusCode::NO_CONTENT)
}
