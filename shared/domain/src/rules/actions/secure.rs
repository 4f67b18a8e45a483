//! The help desk's response to an account that someone else may have used (SE-01).

use crate::decision::Decision;
use crate::outbox::mail::HelpDeskAct;
use crate::policy::ResetVerification;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Staff, Target};
use crate::rules::context::Context;
use crate::state::account::{Account, PasswordHash};
use crate::state::audit::Action;
use crate::state::second_factor::SecondFactors;

/// What is removed because someone else may have set it, or its owner lost it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// The security questions and the hint.
    pub answers: bool,
    /// The second factors and recovery codes (MF-06).
    pub factors: bool,
}

/// What the help desk secures an account with.
#[derive(Debug, Clone)]
pub struct Securing {
    /// The hash of a random password that nobody knows. It replaces the current one, which someone
    /// else may know.
    pub unknown_password: PasswordHash,
    /// What else to remove.
    pub clears: Cleared,
}

/// Ends every way into an account: the password no longer works, all sessions, reset links and
/// pending changes of the email address end and, if the help desk says so, the security answers and the
/// second factors: with the password gone too, the owner has to prove the address on record by email. A portal
/// that removes factors only after a PIN letter refuses that (MF-06).
/// The owner sets a new password with a link that the help desk sends separately, after it has
/// checked the address on record.
///
/// # Errors
/// [`Refusal`]. Nobody can use a disabled or deleted account.
pub fn secure(
    staff: Staff<'_>,
    target: Target<'_>,
    securing: Securing,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    target.require_active()?;
    let account = target.account;
    let mut after = account.clone();
    if account.password.is_some() {
        after.set_password(securing.unknown_password, context.policy, context.now());
    } else {
        after.end_other_access();
    }
    let has_answers = !account.security_answers.is_empty() || account.hint.is_some();
    let answers_cleared = securing.clears.answers && has_answers;
    if answers_cleared {
        after.security_answers.clear();
        after.hint = None;
    }
    let by_letter = context.policy.second_factor.as_ref();
    let by_letter = by_letter.map(|s| s.reset_verification) == Some(ResetVerification::PinLetter);
    if securing.clears.factors && by_letter {
        return Err(Refusal::PinLetterRequired);
    }
    let factors_cleared = securing.clears.factors && !account.second_factors.is_empty();
    if factors_cleared {
        after.second_factors = SecondFactors::default();
    }
    let act = HelpDeskAct::Secured {
        answers_cleared,
        factors_cleared,
    };
    Ok(staff.change(account, after, Action::SecureUser, act, context))
}
