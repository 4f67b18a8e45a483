//! End to end, black box, over HTTP: one file a portal, one test a line of the requirements, named
//! after its id.
#![allow(clippy::unwrap_used, reason = "tests")]

mod agent;
mod audit;
mod bad_input;
mod bulk;
mod campaigns;
mod clockwork;
mod cost;
mod deliveries;
mod eighth_portal;
mod ends;
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
mod practice;
mod profile;
mod provider;
mod races;
mod recovery;
mod refusals;
mod reissue;
mod restart;
mod reviews;
mod secrecy;
mod sessions;
mod template;
