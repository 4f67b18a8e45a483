//! The whole system on one machine.

pub mod sample_records;
pub mod standins;
