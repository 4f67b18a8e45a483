//! Sending a forgotten username to a user (BL-15).

use crate::decision::Decision;
use crate::policy::Permission;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::context::Context;
use crate::rules::recover;
use crate::state::account::Account;
use crate::state::audit::Action;

/// Sends a forgotten username to the user's own address (BL-15).
pub fn send_username(
    authority: Authority<'_>,
    target: Target<'_>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let account = target.account;
    authority.authorize(Permission::ReissueCodes, target, context.policy)?;
    let reminder =
        recover::reminder(account, false, context.reborrow()).ok_or(Refusal::NotRecoverable)?;
    let audit = authority.audit(account, None, Action::RecoverUsername, &mut context);
    Ok((account.clone(), Decision::recording(audit).send([reminder])))
}
