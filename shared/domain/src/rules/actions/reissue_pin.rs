//! Replacing a lost PIN letter (BL-06, ME-07).

use crate::decision::Decision;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Staff, Target};
use crate::rules::activate::{self, FreshCode};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::membership::{Membership, PendingStep};
use crate::values::text::PostalAddress;

/// Mails a new PIN letter. The old PIN becomes invalid (BL-06, ME-07).
///
/// `address` returns the address for a membership's letter.
pub fn reissue_pin(
    staff: Staff<'_>,
    target: Target<'_>,
    fresh: FreshCode,
    address: impl FnOnce(&Membership) -> Option<PostalAddress>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    target.require_active()?;
    let has_pending_pin = |m: &Membership| matches!(m.pending_step, PendingStep::Pin { .. });
    let membership = target.membership(has_pending_pin, Refusal::NothingPending)?;
    let (after, decision) = activate::reissue_pin(
        target.account,
        target.organization_name(membership),
        Authority::HelpDesk(staff).reissuer(),
        fresh,
        address(membership),
        context,
    )?;
    Ok((after, staff.sign(decision)))
}
