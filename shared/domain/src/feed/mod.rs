//! Parsing of plan record feeds.

pub mod rows;
pub mod sequence;

pub use rows::*;
