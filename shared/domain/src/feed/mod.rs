//! Reading feeds of plan records.

pub mod rows;
pub mod sequence;

pub use rows::*;
