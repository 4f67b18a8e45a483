//! End to end, black box, over HTTP: one module per function, and `system` for what crosses them. A test of a line of
//! the requirements is named after its id.
#![allow(clippy::unwrap_used, reason = "tests")]

mod activate_pin {
    mod member;
    mod provider;
}
mod audit_trail;
mod deliver_mail;
mod help_desk;
mod import_records;
mod inactivity_sweep {
    pub mod campaigns;
    pub mod schedule;
}
mod invite {
    pub mod bulk;
    mod group;
    mod invitations;
    mod standing;
}
mod manage_users {
    mod access_end_dates;
    mod resend;
    mod reviews;
    mod taking_away;
    mod users;
}
mod my_profile;
mod print_letters;
mod register {
    mod agent;
    mod joining;
    pub mod member;
    mod organizations;
    mod practice;
    pub mod provider;
}
mod reset_password;
mod second_factor;
mod second_factor_reset;
mod sign_in;
mod single_sign_on;
mod system {
    mod account_takeover;
    mod bad_input;
    mod browsers;
    mod cost;
    mod eighth_portal;
    pub mod faults;
    mod imports;
    mod keys;
    mod least_privilege;
    mod openapi;
    mod operators;
    mod pending_steps;
    mod permissions;
    pub mod persistence;
    mod races;
    mod refusals;
    mod repeats;
    mod restore;
    mod secrecy;
    mod secret_checks;
    mod template;
}
