//! End to end, black box, over HTTP: one file a portal, one test a line of the requirements, named
//! after its id.
#![allow(clippy::unwrap_used, reason = "tests")]

mod agent;
mod bad_input;
mod cost;
mod eighth_portal;
mod ends;
mod faults;
mod feeds;
mod group;
mod invitations;
mod letters;
mod managing;
mod member;
mod openapi;
mod organisations;
mod permissions;
mod practice;
mod profile;
mod provider;
mod races;
mod recovery;
mod refusals;
mod restart;
mod secrecy;
mod sessions;
mod template;
