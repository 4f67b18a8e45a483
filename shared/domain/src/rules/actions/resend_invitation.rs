//! Sending a lost invitation again (AG-01).

use crate::decision::Decision;
use crate::policy::Permission;
use crate::rules::actions::authority::Authority;
use crate::rules::context::Context;
use crate::rules::invite::{self, Refusal};
use crate::state::audit::Action;
use crate::state::invitation::Invitation;
use crate::state::session::Token;

/// Resends an invitation with a new link and a new expiration date. The previous link becomes
/// invalid (AG-01).
pub fn resend_invitation(
    authority: Authority<'_>,
    invitation: &Invitation,
    token: &Token,
    mut context: Context<'_>,
) -> Result<(Invitation, Decision), Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let audit = match authority {
        Authority::Administrator(acting) => {
            if acting.allowed(Permission::AddUsers, policy) != Some(&invitation.organization) {
                return Err(Refusal::NotAllowed);
            }
            acting.audit(origin, Action::ResendInvitation, context.rng)
        }
        Authority::HelpDesk(staff) => staff
            .audit(origin, Action::ResendInvitation, context.rng)
            .for_organization(Some(&invitation.organization)),
    };
    invite::send_again(invitation, token, audit, context.reborrow())
}
