//! End to end, black box, over HTTP: one file a portal, one test a line of the requirements, named
//! after its id.
#![allow(clippy::unwrap_used, reason = "tests")]

mod cost;
mod faults;
mod group;
mod races;
mod secrecy;
