//! The help desk's answer to an account that someone else may have used (SE-01).

use crate::decision::Decision;
use crate::outbox::mail::{HelpDeskAct, MailText, mail};
use crate::rules::context::Context;
use crate::rules::help_desk::{Refusal, Staff};
use crate::state::account::{Account, PasswordHash, Status};
use crate::state::audit::Action;

/// What the help desk secures an account with.
#[derive(Debug, Clone)]
pub struct Securing {
    /// The hash of a random password that nobody knows. It replaces the current one, which someone
    /// else may know.
    pub unknown_password: PasswordHash,
    /// Whether to remove the security questions and the hint, whose answers someone else may have
    /// set.
    pub clears_answers: bool,
}

/// Ends every way into an account: the password no longer works, all sessions, reset links and
/// pending changes of the email address end and, if the help desk says so, the security answers.
/// The owner sets a new password with a link that the help desk sends separately, after it has
/// checked the address on record.
///
/// # Errors
/// [`Refusal`]. Nobody can use a disabled or deleted account.
pub fn secure(
    staff: Staff<'_>,
    account: &Account,
    securing: Securing,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    match account.status {
        Status::Active => {}
        Status::Disabled => return Err(Refusal::Disabled),
        Status::Deleted => return Err(Refusal::Deleted),
    }
    let mut after = account.clone();
    if account.password.is_some() {
        after.set_password(securing.unknown_password, policy, origin.at);
    } else {
        after.end_other_access();
    }
    let has_answers = !account.security_answers.is_empty() || account.hint.is_some();
    let answers_cleared = securing.clears_answers && has_answers;
    if answers_cleared {
        after.security_answers.clear();
        after.hint = None;
    }
    let audit = staff.about(account, origin, Action::SecureUser, rng);
    let act = HelpDeskAct::Secured { answers_cleared };
    let notice = mail(account, origin.at, MailText::HelpDeskActed { act }, rng);
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send([notice]);
    Ok((after, decision))
}
