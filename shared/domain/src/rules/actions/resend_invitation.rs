//! Sending a lost invitation again (AG-01).

use crate::decision::Decision;
use crate::rules::accept_invitation::Standing;
use crate::rules::actions::authority::Authority;
use crate::rules::context::Context;
use crate::rules::invite::{self, Refusal};
use crate::state::audit::Action;
use crate::state::invitation::Invitation;
use crate::state::session::Token;

/// Resends an invitation with a new link and a new expiration date. The previous link becomes
/// invalid (AG-01).
///
/// An administrator becomes the inviter. The help desk can't vouch for the person, so the inviter stays
/// the same and must still have standing (SE-02).
///
/// # Errors
/// [`Refusal`]
pub fn resend_invitation(
    authority: Authority<'_>,
    invitation: &Invitation,
    standing: &Standing,
    token: &Token,
    mut context: Context<'_>,
) -> Result<(Invitation, Decision), Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let (resent, audit) = match authority {
        Authority::Administrator(acting) => (
            invite::vouched_for(acting, invitation, standing.is_former_user, policy)?,
            acting.audit(origin, Action::ResendInvitation, context.rng),
        ),
        Authority::HelpDesk(staff) => (
            invitation.clone(),
            staff
                .audit(origin, Action::ResendInvitation, context.rng)
                .for_organization(Some(&invitation.organization)),
        ),
    };
    let sent = invite::send_again((invitation, resent), token, audit, context.reborrow())?;
    if matches!(authority, Authority::HelpDesk(_)) {
        standing.check(invitation, policy, origin.at)?;
    }
    Ok(sent)
}
