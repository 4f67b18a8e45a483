//! What is freed when a membership ends, regardless of what ends it: an administrator, the help desk
//! or the scheduler.

use jiff::Timestamp;

use crate::decision::Change;
use crate::rules::access_review;
use crate::state::account::Account;
use crate::state::audit::Actor;
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::Organization;

/// Returns the changes that free what a membership held: the claim on its plan record, so that a
/// successor can register (EX-12), the accepted invitation, so that the person can be invited again
/// (AG-10, BA-06), and a PIN letter that has not been printed. If the user is part of an access
/// review, the removal is recorded in it (EX-11).
pub(crate) fn freed(
    account: &Account,
    (membership, organization): (&Membership, Option<&Organization>),
    by: &Actor,
    at: Timestamp,
) -> Vec<Change> {
    let former = membership
        .organization
        .clone()
        .map(|organization| Change::NoteFormerUser {
            portal: account.portal.clone(),
            organization,
            email: account.email.clone(),
        });
    let trace = organization.and_then(|o| access_review::trace(o, account, by, at));
    let whole = membership.organization.is_none();
    former
        .into_iter()
        .chain(trace)
        .chain(release(account, membership, whole))
        .chain(withdrawn_letter(membership))
        .collect()
}

/// Releases the claim on a plan record. Returns `None` if the membership isn't based on one.
pub(crate) fn release(account: &Account, membership: &Membership, whole: bool) -> Option<Change> {
    Some(Change::ReleaseRecord {
        record: membership.record.clone()?,
        portal: account.portal.clone(),
        registration_type: membership.registration_type.clone()?,
        account: account.id.clone(),
        whole,
    })
}

/// Withdraws the PIN letter that a membership is waiting for, if there is one.
pub(crate) fn withdrawn_letter(membership: &Membership) -> Option<Change> {
    match &membership.pending_step {
        PendingStep::Pin { issue } => Some(Change::WithdrawLetter(issue.carried_by.clone())),
        _ => None,
    }
}
