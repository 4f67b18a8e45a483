//! Approving a user who registered (AG-08).

use std::collections::BTreeSet;

use jiff::civil::Date;

use crate::decision::Decision;
use crate::outbox::mail::{MailText, ManagedEvent, mail};
use crate::policy::{Permission, Policy};
use crate::rules::access_terms::{check_end, check_offered, ends_earlier};
use crate::rules::acting::{ActingAdministrator, authorize_removal};
use crate::rules::actions::Refusal;
use crate::rules::actions::administrators::with_principals;
use crate::rules::actions::authority::Target;
use crate::rules::context::Context;
use crate::rules::follow_up::notices_to_managers;
use crate::state::account::{Account, Status};
use crate::state::audit::Action;
use crate::state::membership::{Membership, PendingStep};

/// The access that an approval gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Approval {
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    /// `None` keeps the end date of the invitation, `Some(None)` removes it (UX-07).
    pub end_date: Option<Option<Date>>,
}

/// Approves a user who registered, with exactly these services and group codes (AG-08).
pub fn approve(
    acting: ActingAdministrator<'_>,
    target: Target<'_>,
    approval: Approval,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let user = target.account;
    let organization = target.organizations.first().ok_or(Refusal::Unknown)?;
    if acting.allowed(Permission::ApproveUsers, policy) != Some(&organization.id) {
        return Err(Refusal::NotAllowed);
    }
    let mut after = user.clone();
    let membership = after
        .membership_mut(Some(&organization.id))
        .filter(|_| user.status != Status::Deleted)
        .ok_or(Refusal::Unknown)?;
    // Those who manage an organization approve anyone who joined it with its plan record (SE-08).
    let joined_by_registration =
        membership.record.is_some() && membership.pending_step == PendingStep::Approval;
    if !joined_by_registration && !policy.grants(acting.membership.role, membership.role) {
        return Err(Refusal::NotAllowed);
    }
    if membership.pending_step != PendingStep::Approval {
        return Err(Refusal::ApprovalNotPending);
    }
    let by_another = policy.approval_by_another();
    if by_another && membership.granted_by.as_ref() == Some(&acting.account.id) {
        return Err(Refusal::AnotherMustApprove);
    }
    check_offered(
        &approval.services,
        &approval.group_codes,
        organization,
        policy,
    )?;
    if let Some(end_date) = approval.end_date {
        // An end date before that of the invitation is a removal (SE-07).
        if ends_earlier(membership.end_date, end_date) {
            if acting.allowed(Permission::DeleteUsers, policy).is_none() {
                return Err(Refusal::NotAllowed);
            }
            authorize_removal(acting, membership, policy)?;
        }
        membership.end_date = end_date;
    }
    check_end(membership.end_date, membership.role, policy, origin)?;
    membership.pending_step = PendingStep::Open;
    membership.granted_by = None;
    membership.services = approval.services;
    membership.group_codes = approval.group_codes;
    let titles = titles(membership, policy);
    let end_date = membership.end_date;
    let membership = membership.clone();
    let event = ManagedEvent::Approved {
        by: acting.account.name.full(),
    };
    let managers = if by_another { target.managers } else { &[] };
    let user_and_role = (user, &membership);
    let notices = notices_to_managers(
        managers,
        organization,
        user_and_role,
        event,
        context.reborrow(),
    );
    let notice = mail(
        user,
        origin.at,
        MailText::Approved {
            organization: organization.name.clone(),
            services: titles,
            end_date,
        },
        context.rng,
    );
    let principals = with_principals(organization, user, Some(membership.role))?;
    let recording = Decision::recording(
        acting
            .audit(origin, Action::ApproveUser, context.rng)
            .on(user.id.as_str()),
    );
    let decision = principals
        .into_iter()
        .fold(recording, Decision::change)
        .update(user, after.clone())
        .send([notice])
        .send(notices);
    Ok((after, decision))
}

fn titles(membership: &Membership, policy: &Policy) -> Vec<String> {
    policy
        .services
        .iter()
        .filter(|s| membership.services.contains(s.id.as_str()))
        .map(|s| s.title.to_string())
        .collect()
}
