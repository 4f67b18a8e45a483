//! Changing a username (ME-09).

use crate::decision::Decision;
use crate::outbox::mail::HelpDeskAct;
use crate::policy::ChosenBy;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Staff, Target};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::values::text::Username;

/// Changes the username on a portal where users choose theirs (ME-09).
///
/// # Errors
/// [`Refusal`]. The store checks whether the username is taken.
pub fn rename(
    staff: Staff<'_>,
    target: Target<'_>,
    username: Username,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    target.require_active()?;
    let account = target.account;
    if context.policy.username.chosen_by == ChosenBy::System {
        return Err(Refusal::UsernameImmutable);
    }
    if account.username == username {
        return Ok(staff.unchanged(account, Action::RenameUser, context));
    }
    let mut after = account.clone();
    after.set_username(username, context.now());
    let act = HelpDeskAct::Renamed {
        username: after.username.to_string(),
    };
    Ok(staff.change(account, after, Action::RenameUser, act, context))
}
