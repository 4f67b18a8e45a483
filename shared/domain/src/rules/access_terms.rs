//! The terms of a person's access: services, group codes and end date.

use std::collections::BTreeSet;

use jiff::civil::Date;
use strum::IntoStaticStr;

use crate::policy::{Policy, Role};
use crate::state::audit::Origin;
use crate::state::organization::Organization;

/// Why access can't be given on these terms.
#[derive(Debug, Clone, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum InvalidTerms {
    /// The portal has no such service.
    NoSuchService(String),
    /// The organization has no such group code.
    NoSuchGroupCode(String),
    /// The end date has passed (UX-07).
    EndsInPast,
    /// A principal's access can't have an end date, so that the organization always has a principal
    /// (UX-07).
    PrincipalsStay,
}

/// Checks that the portal has the services and the organization the group codes.
pub(crate) fn check_offered(
    services: &BTreeSet<String>,
    group_codes: &BTreeSet<String>,
    organization: &Organization,
    policy: &Policy,
) -> Result<(), InvalidTerms> {
    if let Some(s) = services
        .iter()
        .find(|s| !policy.services.iter().any(|o| o.id.as_str() == **s))
    {
        return Err(InvalidTerms::NoSuchService(s.clone()));
    }
    if let Some(c) = group_codes
        .iter()
        .find(|c| !organization.group_codes.contains(*c))
    {
        return Err(InvalidTerms::NoSuchGroupCode(c.clone()));
    }
    Ok(())
}

/// Checks that an end date hasn't passed and isn't set for a principal (UX-07).
pub(crate) fn check_end(
    end_date: Option<Date>,
    role: Role,
    policy: &Policy,
    origin: &Origin,
) -> Result<(), InvalidTerms> {
    match end_date {
        Some(day) if day < policy.today(origin.at) => Err(InvalidTerms::EndsInPast),
        Some(_) if role == Role::Principal => Err(InvalidTerms::PrincipalsStay),
        _ => Ok(()),
    }
}

/// Returns whether access ends earlier with a new end date.
pub(crate) fn ends_earlier(current: Option<Date>, new: Option<Date>) -> bool {
    new.is_some_and(|new| current.is_none_or(|current| new < current))
}
