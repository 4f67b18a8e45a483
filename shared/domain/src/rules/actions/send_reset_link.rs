//! Sending a password reset link to a user (BL-14).

use crate::decision::Decision;
use crate::outbox::mail::ResetInitiator;
use crate::policy::{Permission, RecoveryMeans};
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::context::Context;
use crate::rules::recover;
use crate::state::account::Account;
use crate::state::audit::Action;

/// Sends a password reset link to the user's own address only (BL-14).
///
/// If an administrator requested it, the portal's other recovery requirements still apply. A link
/// from the help desk requires nothing else.
///
/// # Errors
/// [`Refusal`]. [`Refusal::AskHelpDesk`] if the portal doesn't recover accounts by email.
pub fn send_reset_link(
    authority: Authority<'_>,
    target: Target<'_>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let account = target.account;
    authority.authorize(Permission::ReissueCodes, target, context.policy)?;
    let requested_by = match authority {
        Authority::HelpDesk(_) => ResetInitiator::ByHelpDesk,
        Authority::Administrator(_) => {
            let means = &context.policy.recovery.forgot_password;
            if !means.contains(&RecoveryMeans::Email) {
                return Err(Refusal::AskHelpDesk);
            }
            let membership = target.membership(|_| true, Refusal::Unknown)?;
            let organization = target.organization_name(membership);
            let (_, name) = organization.ok_or(Refusal::Unknown)?;
            ResetInitiator::ByAdministrator(name.to_owned())
        }
    };
    let (after, link) =
        recover::link(account, requested_by, context.reborrow()).ok_or(Refusal::NotRecoverable)?;
    let audit = authority.audit(account, None, Action::RequestPasswordReset, &mut context);
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send([link]);
    Ok((after, decision))
}
