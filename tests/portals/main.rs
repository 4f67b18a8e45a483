//! End to end, black box, over HTTP: one file a portal, one test a line of the requirements, named
//! after its id.
#![allow(clippy::unwrap_used, reason = "tests")]

mod access_end_dates;
mod agent;
mod audit;
mod bad_input;
mod bulk;
mod campaigns;
mod cost;
mod deliveries;
mod eighth_portal;
mod faults;
mod feeds;
mod group;
mod help_desk;
mod invitations;
mod letters;
mod managing;
mod member;
mod openapi;
mod organizations;
mod permissions;
mod persistence;
mod practice;
mod profile;
mod provider;
mod races;
mod recovery;
mod refusals;
mod resend;
mod reviews;
mod schedule;
mod secrecy;
mod sessions;
mod template;
