//! The whole system on one machine: every function behind one server on loopback, on an embedded
//! DynamoDB, with an inbox and a folder of letters. `cargo portal` runs it; the tests start one each.

pub mod audit;
pub mod aws;
pub mod client;
pub mod demo;
pub mod first_staff;
pub mod folder;
pub mod import;
pub mod instance;
pub mod openapi;
pub mod pages;
pub mod people;
pub mod post;
pub mod routes;
pub mod sample_records;
pub mod serve;
pub mod standins;
pub mod streams;
pub mod time_travel;

pub use instance::{Instance, Options, StartError};
