//! Replacing a lost registration code (BL-09).

use crate::decision::Decision;
use crate::policy::Permission;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::activate::{self, FreshCode};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::membership::{Membership, PendingStep};

/// Sends a new registration code. The old code becomes invalid (BL-09). `fresh` is `None` on a portal
/// without registration codes.
pub fn reissue_code(
    authority: Authority<'_>,
    target: Target<'_>,
    fresh: Option<FreshCode>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    authority.authorize(Permission::ReissueCodes, target, context.policy)?;
    let has_pending_code =
        |m: &Membership| matches!(m.pending_step, PendingStep::RegistrationCode { .. });
    let membership = target.membership(has_pending_code, Refusal::NothingPending)?;
    let organization = target
        .organization_name(membership)
        .ok_or(Refusal::NotInOrganization)?;
    let audit = authority.audit(
        target.account,
        Some(membership),
        Action::ReissueRegistrationCode,
        &mut context,
    );
    Ok(activate::reissue_code(
        target.account,
        organization,
        authority.reissuer(),
        fresh.ok_or(Refusal::NothingPending)?,
        audit,
        context,
    )?)
}
