//! Clearing the failed attempts of an account or at a plan record.

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{HelpDeskAct, MailText, mail};
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Staff, Target};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::record::RecordKey;

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

/// Clears the counters of all attempts at plan records with one number, which otherwise last as long as the
/// records (SE-09). Returns `None` if there are no such records.
pub fn unlock_records(
    staff: Staff<'_>,
    records: &[(RecordKey, AttemptKey)],
    context: Context<'_>,
) -> Option<Decision> {
    let Context { origin, rng, .. } = context;
    let (first, _) = records.first()?;
    let audit = staff
        .audit(origin, Action::UnlockRecord, rng)
        .on(first.number.as_str());
    let counters = records.iter().map(|(_, counter)| counter.clone());
    Some(
        counters
            .map(Change::ForgetAttempts)
            .fold(Decision::recording(audit), Decision::change),
    )
}
