//! Starting a reset of a person's lost second factors (MF-06).

use jiff::SignedDuration;

use crate::decision::Decision;
use crate::outbox::letter::LetterText;
use crate::outbox::mail::{MailText, MailedEvidence, Message, ResetInitiator, mail};
use crate::policy::{FactorResetter, Permission, ResetVerification};
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Target};
use crate::rules::activate::{self, FreshCode};
use crate::rules::context::Context;
use crate::rules::recover;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::membership::{LetterStatus, Membership};
use crate::state::second_factor::{FactorReset, ResetEvidence};
use crate::state::session::{Token, TokenKind};
use crate::values::text::PostalAddress;

/// For how many days the PIN of a letter can be entered at most, at home and abroad (NIST SP 800-63B-4, 4.2.1.2).
const MAX_DAYS: u32 = 21;
const MAX_DAYS_ABROAD: u32 = 30;

/// Starts a reset of the user's second factors, which replaces an earlier one. The factors stay until the user
/// has proved the address on record with the link of the email or the PIN of the letter, besides the password.
/// The user is notified at once and can cancel the reset (MF-06).
///
/// `fresh` is the PIN of a letter, and `address` returns the address for a membership's letter.
///
/// # Errors
/// [`Refusal`]. [`Refusal::AskHelpDesk`] and [`Refusal::UnsupportedOnPortal`] if the policy names others.
pub fn start(
    authority: Authority<'_>,
    target: Target<'_>,
    fresh: FreshCode,
    address: impl Fn(&Membership) -> Option<PostalAddress>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let (account, policy, now) = (target.account, context.policy, context.now());
    authority.authorize(Permission::ReissueCodes, target, policy)?;
    let section = policy.second_factor.as_ref();
    let section = section.filter(|_| account.has_second_factor(policy));
    let section = section.ok_or(Refusal::NoSecondFactor)?;
    let initiator = match authority {
        Authority::HelpDesk(_) if !section.reset_by.contains(&FactorResetter::HelpDesk) => {
            return Err(Refusal::UnsupportedOnPortal);
        }
        Authority::HelpDesk(_) => ResetInitiator::ByHelpDesk,
        Authority::Administrator(_)
            if !section.reset_by.contains(&FactorResetter::Administrator) =>
        {
            return Err(Refusal::AskHelpDesk);
        }
        Authority::Administrator(_) => {
            let membership = target.membership(|_| true, Refusal::Unknown)?;
            let organization = target.organization_name(membership);
            let (_, name) = organization.ok_or(Refusal::Unknown)?;
            ResetInitiator::ByAdministrator(name.to_owned())
        }
    };
    if !recover::is_recoverable(account, policy, context.origin) {
        return Err(Refusal::NotRecoverable);
    }
    let (evidence, mailed, expires_at, letter) = match section.reset_verification {
        ResetVerification::Email => {
            let minutes = policy.recovery.link_minutes.get();
            let expires_at = now + SignedDuration::from_mins(minutes.into());
            let kind = TokenKind::FactorReset;
            let token = Token::random(kind, account.id.to_string(), context.rng);
            let mailed = MailedEvidence::Link {
                token: token.expose(),
                minutes,
            };
            (
                ResetEvidence::Link(token.digest()),
                mailed,
                expires_at,
                None::<Message>,
            )
        }
        ResetVerification::PinLetter => {
            let membership = target.membership(|m| address(m).is_some(), Refusal::NoAddress)?;
            let to = address(membership).ok_or(Refusal::NoAddress)?;
            let text = |pin, expires_on| LetterText::FactorReset {
                account: account.id.clone(),
                greeting: account.name.full(),
                pin,
                expires_on,
            };
            let pin = policy.pin.as_ref().ok_or(Refusal::UnsupportedOnPortal)?;
            let longest = match to.country == policy.plan.home_country.0 {
                true => MAX_DAYS,
                false => MAX_DAYS_ABROAD,
            };
            let fresh = (fresh, pin.valid_days.get().min(longest));
            let (issue, letter) = activate::letter_with_pin(fresh, to, text, context.reborrow());
            let status = LetterStatus::of(&issue, policy, now);
            let arrives_by = status.ok_or(Refusal::UnsupportedOnPortal)?.arrives_by;
            let expires_at = issue.expires_at;
            (
                ResetEvidence::Pin(issue),
                MailedEvidence::Letter { arrives_by },
                expires_at,
                Some(letter),
            )
        }
    };
    let kind = TokenKind::FactorResetCancellation;
    let cancellation = Token::random(kind, account.id.to_string(), context.rng);
    let mut after = account.clone();
    after.second_factors.reset = Some(FactorReset {
        evidence,
        cancellation: cancellation.digest(),
        expires_at,
    });
    let text = MailText::SecondFactorReset {
        initiator,
        evidence: mailed,
        cancellation: cancellation.expose(),
    };
    let action = Action::StartSecondFactorReset;
    let audit = authority.audit(account, None, action, &mut context);
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send(letter)
        .send([mail(account, now, text, context.rng)]);
    Ok((after, decision))
}
