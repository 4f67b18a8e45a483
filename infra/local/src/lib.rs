//! The whole system on one machine: every function behind one server on loopback, an embedded
//! DynamoDB, an inbox and a folder of printed letters. `cargo portal` runs it; each test starts its own.

pub mod applications;
pub mod audit;
pub mod aws;
pub mod client;
pub mod control;
pub mod demo;
pub mod first_staff;
pub mod folder;
pub mod import;
pub mod instance;
pub mod links;
pub mod openapi;
pub mod pages;
pub mod people;
pub mod personas;
pub mod post;
pub mod restore;
pub mod rotate_key;
pub mod routes;
pub mod sample_records;
pub mod serve;
pub mod standins;
pub mod streams;
pub mod time_travel;

pub use instance::{Instance, Options};

/// A failure as a sentence for the person who ran the command.
pub type StartError = Box<dyn std::error::Error + Send + Sync>;
