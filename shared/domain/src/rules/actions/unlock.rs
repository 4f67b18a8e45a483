//! Clearing the failed attempts of an account.

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{HelpDeskAct, MailText, mail};
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Staff, Target};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::Action;

/// Resets the counters of failed attempts, so that the user can try again at once.
pub fn unlock(
    staff: Staff<'_>,
    target: Target<'_>,
    counters: Vec<AttemptKey>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context { origin, rng, .. } = context;
    target.require_active()?;
    let account = target.account;
    let audit = staff.about(account, origin, Action::UnlockUser, rng);
    let text = MailText::HelpDeskActed {
        act: HelpDeskAct::Unlocked,
    };
    let decision = counters
        .into_iter()
        .map(Change::ForgetAttempts)
        .fold(Decision::recording(audit), Decision::change)
        .send([mail(account, origin.at, text, rng)]);
    Ok((account.clone(), decision))
}
