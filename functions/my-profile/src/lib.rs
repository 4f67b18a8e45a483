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
