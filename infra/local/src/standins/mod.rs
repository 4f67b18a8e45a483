//! Local replacements for AWS services. They implement the wire protocols, so that the production clients run
//! unchanged, and reject operations that Vestibule doesn't use.

pub mod kms;
pub mod s3;
pub mod ses;
