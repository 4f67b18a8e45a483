//! Account recovery: forgotten passwords and usernames (ME-05, BL-14, BL-15, EX-07).

use std::collections::BTreeSet;

use jiff::SignedDuration;

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{Forgotten, MailText, Message, ResetInitiator, mail};
use crate::policy::{Policy, RecoveryMeans};
use crate::rules::context::Context;
use crate::state::account::{Account, PasswordHash, QuestionAnswer, ResetLink};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::session::{Token, TokenKind};
use crate::values::text::Sensitive;

/// What a person provides to recover an account.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The token of an emailed link.
    pub token: Option<Token>,
    /// Answers to security questions.
    pub answers: Vec<(String, Sensitive)>,
    /// The answer to the hint question.
    pub hint: Option<Sensitive>,
}

impl Evidence {
    /// Returns whether the evidence satisfies every means. All are compared, even after a mismatch,
    /// so that timing reveals nothing.
    ///
    /// `verify` compares an entered answer with a stored MAC of the account.
    fn satisfies(
        &self,
        means: &BTreeSet<RecoveryMeans>,
        account: &Account,
        verify: &impl Fn(&QuestionAnswer, &Sensitive) -> bool,
        origin: &Origin,
    ) -> bool {
        let satisfied = |means: &RecoveryMeans| match means {
            RecoveryMeans::Email => self.has_valid_link(account, origin),
            RecoveryMeans::SecurityAnswers => self.has_correct_answers(account, verify),
            RecoveryMeans::HintQuestion => match (&account.hint, &self.hint) {
                (Some(stored), Some(entered)) => verify(stored, entered),
                _ => false,
            },
        };
        means
            .iter()
            .fold(!means.is_empty(), |all_match, m| all_match & satisfied(m))
    }

    /// Returns whether the token is that of the account's latest link and hasn't expired.
    fn has_valid_link(&self, account: &Account, origin: &Origin) -> bool {
        let (Some(link), Some(token)) = (&account.reset, &self.token) else {
            return false;
        };
        link.token == token.digest() && origin.at < link.expires_at
    }

    /// Returns whether every security question of the account is answered correctly (ME-05).
    fn has_correct_answers(
        &self,
        account: &Account,
        verify: &impl Fn(&QuestionAnswer, &Sensitive) -> bool,
    ) -> bool {
        let is_correct = |stored: &QuestionAnswer| {
            self.answers
                .iter()
                .any(|(question, entered)| *question == stored.question && verify(stored, entered))
        };
        account
            .security_answers
            .iter()
            .fold(!account.security_answers.is_empty(), |all_match, stored| {
                all_match & is_correct(stored)
            })
    }
}

/// Returns whether an account can be recovered: it must be active, not ended, and have a password.
pub(crate) fn is_recoverable(account: &Account, policy: &Policy, origin: &Origin) -> bool {
    account.is_usable(policy.today(origin.at)) && account.password.is_some()
}

/// Sends a password reset link to the owner. Older links become invalid. Returns `None` if the
/// account can't be recovered.
pub fn send_link(account: &Account, mut context: Context<'_>) -> Option<Decision> {
    let origin = context.origin;
    let (after, link) = link(account, ResetInitiator::ByOwner, context.reborrow())?;
    let audit = AuditEvent::done(
        origin,
        Actor::Unknown,
        Action::RequestPasswordReset,
        context.rng,
    )
    .on(account.id.as_str());
    Some(
        Decision::recording(audit)
            .update(account, after)
            .send([link]),
    )
}

/// Returns everything that is required to set a new password: the portal's recovery means, or only
/// the link if the help desk sent it.
pub fn means_for(token: Option<&Token>, policy: &Policy) -> BTreeSet<RecoveryMeans> {
    match token.map(Token::kind) {
        Some(TokenKind::VouchedReset) => BTreeSet::from([RecoveryMeans::Email]),
        _ => policy.recovery.forgot_password.clone(),
    }
}

/// Parses the token of a reset link, whoever requested it.
pub fn parse_link(text: &str) -> Option<Token> {
    Token::parse(TokenKind::Reset, text).or_else(|| Token::parse(TokenKind::VouchedReset, text))
}

/// Creates a reset link, which replaces any older one, and the email to the owner's own address. A
/// link from the help desk requires nothing else, so it also works for users who have forgotten
/// their security answers (BL-14). One that the help desk or an administrator sends ends every other
/// way in (SE-01). Returns `None` if the account can't be recovered.
pub(crate) fn link(
    account: &Account,
    initiator: ResetInitiator,
    context: Context<'_>,
) -> Option<(Account, Message)> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    if !is_recoverable(account, policy, origin) {
        return None;
    }
    let minutes = policy.recovery.link_minutes.get();
    let kind = match initiator {
        ResetInitiator::ByHelpDesk => TokenKind::VouchedReset,
        ResetInitiator::ByOwner | ResetInitiator::ByAdministrator(_) => TokenKind::Reset,
    };
    let token = Token::random(kind, account.id.to_string(), rng);
    let mut after = account.clone();
    // Strangers can request a link as well, so a request that claims to be the owner's ends nothing.
    if initiator != ResetInitiator::ByOwner {
        after.end_other_access();
    }
    after.reset = Some(ResetLink {
        token: token.digest(),
        expires_at: origin.at + SignedDuration::from_mins(minutes.into()),
    });
    let text = MailText::PasswordReset {
        token: token.expose(),
        minutes,
        initiator,
    };
    Some((after, mail(account, origin.at, text, rng)))
}

/// Sends the username to the owner. Returns `None` if the account can't be recovered.
pub fn send_username(account: &Account, mut context: Context<'_>) -> Option<Decision> {
    let origin = context.origin;
    let audit = AuditEvent::done(origin, Actor::Unknown, Action::RecoverUsername, context.rng)
        .on(account.id.as_str());
    let reminder = reminder(account, true, context.reborrow())?;
    Some(Decision::recording(audit).send([reminder]))
}

/// Creates the email with the username to the owner's own address. Returns `None` if the account
/// can't be recovered.
pub(crate) fn reminder(
    account: &Account,
    is_asked_by_owner: bool,
    context: Context<'_>,
) -> Option<Message> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    is_recoverable(account, policy, origin).then(|| {
        let text = MailText::UsernameReminder {
            username: account.username.to_string(),
            is_asked_by_owner,
        };
        mail(account, origin.at, text, rng)
    })
}

/// Returns whether a request over the daily limit of its mailbox is answered by what was sent before: a reset
/// link that is still valid, or a username, which does not expire. Otherwise it is sent, so that no
/// number of requests by strangers leaves the owner without a link (SE-05).
pub fn is_answered(account: &Account, forgotten: &Forgotten, origin: &Origin) -> bool {
    match forgotten {
        Forgotten::Password { .. } => {
            let link = account.reset.as_ref();
            link.is_some_and(|link| origin.at < link.expires_at)
        }
        Forgotten::Username { .. } => true,
    }
}

/// Returns whether a reset link is valid, so that its page can continue.
pub fn link_works(account: &Account, token: &Token, policy: &Policy, origin: &Origin) -> bool {
    let evidence = Evidence {
        token: Some(token.clone()),
        ..Evidence::default()
    };
    is_recoverable(account, policy, origin) && evidence.has_valid_link(account, origin)
}

/// Returns whether the evidence satisfies all of the portal's requirements for a new password.
pub fn is_proved(
    account: &Account,
    evidence: &Evidence,
    verify: impl Fn(&QuestionAnswer, &Sensitive) -> bool,
    policy: &Policy,
    origin: &Origin,
) -> bool {
    let means = means_for(evidence.token.as_ref(), policy);
    is_recoverable(account, policy, origin) && evidence.satisfies(&means, account, &verify, origin)
}

/// Sets a new password for an owner who [proved](is_proved) their identity. The link is used up, every
/// other way in ends (SE-01) and the user is notified (UX-06).
pub fn reset_password(
    account: &Account,
    hash: PasswordHash,
    attempts: AttemptKey,
    context: Context<'_>,
) -> Decision {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let mut after = account.clone();
    after.set_password(hash, policy, origin.at);
    let audit = AuditEvent::by_owner(origin, &account.id, Action::ResetPassword, rng);
    Decision::recording(audit)
        .update(account, after)
        .change(Change::ForgetAttempts(attempts))
        .send([mail(account, origin.at, MailText::PasswordChanged, rng)])
}

/// Returns whether a person who verified against the plan's records and answered all security
/// questions can see the username (ME-05).
pub fn may_read_username(
    account: &Account,
    evidence: &Evidence,
    verify: impl Fn(&QuestionAnswer, &Sensitive) -> bool,
    policy: &Policy,
    origin: &Origin,
) -> bool {
    is_recoverable(account, policy, origin) && evidence.has_correct_answers(account, &verify)
}
