//! What users see and change of their own account: profile, email address, username, and
//! entitlements.

mod change_email;
mod choose_username;
mod confirm_email;
mod edit;
mod entitlements;
mod feedback;
mod me;

vestibule_http::routes! {
    me::me,
    edit::edit,
    change_email::change_email,
    choose_username::choose_username,
    confirm_email::confirm_email,
    entitlements::entitlements,
    feedback::feedback,
}
