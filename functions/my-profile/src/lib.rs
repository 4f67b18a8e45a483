//! What users see of themselves and change: who they are, what they may use, who administers them.

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
