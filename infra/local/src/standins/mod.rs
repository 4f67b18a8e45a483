//! Small services that stand for AWS's on one machine. They speak the real wire protocols, so that the
//! production clients run unchanged; they know what Vestibule uses and refuse the rest.

pub mod kms;
pub mod s3;
pub mod ses;
