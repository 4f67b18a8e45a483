//! Adding a user to the organization (BL-07, BL-08, EX-09).

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{MailText, mail_as};
use crate::policy::{Onboarding, Permission, Role};
use crate::rules::access_terms::{check_end, check_offered};
use crate::rules::acting::ActingAdministrator;
use crate::rules::actions::Refusal;
use crate::rules::activate::{self, FreshCode};
use crate::rules::context::Context;
use crate::rules::register::{Applicant, Registered};
use crate::state::audit::Action;
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;
use crate::values::ids::MessageId;

/// A user to add.
#[derive(Debug)]
pub struct NewUser {
    /// The person. Without a password if a registration code is sent.
    pub applicant: Applicant,
    pub role: Role,
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    /// The last day of access, if it ends (UX-07).
    pub end_date: Option<Date>,
    /// A new registration code, on portals that send one.
    pub code: Option<FreshCode>,
}

/// Adds a user to the organization (BL-07, BL-08, EX-09).
pub fn add_user(
    acting: ActingAdministrator<'_>,
    organization: &Organization,
    new: NewUser,
    context: Context<'_>,
) -> Result<Registered, Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let NewUser {
        applicant,
        role,
        services,
        group_codes,
        end_date,
        code,
    } = new;
    let staff = policy.staff.as_ref().ok_or(Refusal::UnsupportedOnPortal)?;
    let allowed = acting.allowed(Permission::AddUsers, policy) == Some(&organization.id);
    if !allowed || !policy.grants(acting.membership.role, role) {
        return Err(Refusal::NotAllowed);
    }
    check_offered(&services, &group_codes, organization, policy)?;
    check_end(end_date, role, policy, origin)?;
    let now = origin.at;
    let name = organization.name.clone();
    let username = applicant.username.to_string();
    let message_id = MessageId::random(rng);
    let (pending_step, text) = match (staff.onboarding, code) {
        (Onboarding::RegistrationCode, Some(fresh)) => {
            let carried_by = message_id.clone();
            activate::issue_code(fresh, (name, username), carried_by, end_date, policy, now)
                .ok_or(Refusal::UnsupportedOnPortal)?
        }
        (Onboarding::InitialPassword, None) => {
            let pending_step = if staff.approval {
                PendingStep::Approval
            } else {
                PendingStep::Open
            };
            (
                pending_step,
                MailText::AccountMade {
                    organization: name,
                    username,
                },
            )
        }
        _ => return Err(Refusal::UnsupportedOnPortal),
    };
    let membership = Membership {
        services,
        group_codes,
        end_date,
        ..Membership::joined(organization.id.clone(), role, pending_step, now)
    };
    let account = applicant.into_account(membership, policy, now);
    let notice = mail_as(message_id, &account, now, text);
    let decision = Decision::recording(
        acting
            .audit(origin, Action::AddUser, rng)
            .on(account.id.as_str()),
    )
    .change(Change::CreateAccount(Box::new(account.clone())))
    .send([notice]);
    Ok(Registered { account, decision })
}
