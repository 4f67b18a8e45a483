//! Getting back in: a forgotten password, a forgotten username (ME-05, BL-14, BL-15, EX-07).

use std::collections::BTreeSet;

use jiff::SignedDuration;
use rand::{CryptoRng, Rng};

use crate::decision::{AttemptKey, Change, Decision};
use crate::outbox::mail::{MailText, Message, ResetAsked, mail};
use crate::policy::{Policy, RecoveryMeans};
use crate::state::account::{Account, PasswordHash, QuestionAnswer, ResetLink};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::session::{Token, TokenKind};
use crate::values::text::Sensitive;

/// What somebody shows who can't sign in.
#[derive(Debug, Clone, Default)]
pub struct Evidence {
    /// The token of a link that was mailed.
    pub token: Option<Token>,
    /// Answers to security questions.
    pub answers: Vec<(String, Sensitive)>,
    /// The answer to the hint question.
    pub hint: Option<Sensitive>,
}

impl Evidence {
    /// Whether it holds every means that is asked for. All are compared, whatever the first says.
    ///
    /// `verify` compares an entered answer with a stored code of the account.
    fn proves(
        &self,
        means: &BTreeSet<RecoveryMeans>,
        account: &Account,
        verify: &impl Fn(&QuestionAnswer, &Sensitive) -> bool,
        origin: &Origin,
    ) -> bool {
        let verification = |means: &RecoveryMeans| match means {
            RecoveryMeans::Email => self.proves_link(account, origin),
            RecoveryMeans::SecurityAnswers => self.proves_answers(account, verify),
            RecoveryMeans::HintQuestion => match (&account.hint, &self.hint) {
                (Some(stored), Some(entered)) => verify(stored, entered),
                _ => false,
            },
        };
        means
            .iter()
            .fold(!means.is_empty(), |so_far, m| so_far & verification(m))
    }

    /// Whether the token is that of the account's latest link, and not too old.
    fn proves_link(&self, account: &Account, origin: &Origin) -> bool {
        let (Some(link), Some(token)) = (&account.reset, &self.token) else {
            return false;
        };
        link.token == token.digest() && origin.at < link.expires_at
    }

    /// Whether each of the account's questions is answered rightly (ME-05: all must be right).
    fn proves_answers(
        &self,
        account: &Account,
        verify: &impl Fn(&QuestionAnswer, &Sensitive) -> bool,
    ) -> bool {
        let answered = |stored: &QuestionAnswer| {
            self.answers
                .iter()
                .any(|(question, entered)| *question == stored.question && verify(stored, entered))
        };
        account
            .security_answers
            .iter()
            .fold(!account.security_answers.is_empty(), |so_far, stored| {
                so_far & answered(stored)
            })
    }
}

/// Whether an account can be recovered: locked out, disabled, ended and unfinished ones can't.
fn recoverable(account: &Account, policy: &Policy, origin: &Origin) -> bool {
    account.is_usable(policy.today(origin.at)) && account.password.is_some()
}

/// Sends the owner a link with which to set a new password; older links are dead. None where the
/// account can't be recovered.
pub fn send_link(
    account: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl CryptoRng,
) -> Option<Decision> {
    let (after, link) = link(account, ResetAsked::ByOwner, policy, origin, rng)?;
    let audit = AuditEvent::done(origin, Actor::Unknown, Action::AskPasswordReset, rng)
        .on(account.id.as_str());
    Some(
        Decision::recording(audit)
            .update(account, after)
            .send([link]),
    )
}

/// What has to be shown to set a new password, all of it: what the portal asks for, or the help
/// desk's link alone.
pub fn means_for(token: Option<&Token>, policy: &Policy) -> BTreeSet<RecoveryMeans> {
    match token.map(Token::kind) {
        Some(TokenKind::VouchedReset) => BTreeSet::from([RecoveryMeans::Email]),
        _ => policy.recovery.forgot_password.clone(),
    }
}

/// Reads the token of a reset link, whoever it was asked for by.
pub fn parse_link(text: &str) -> Option<Token> {
    Token::parse(TokenKind::Reset, text).or_else(|| Token::parse(TokenKind::VouchedReset, text))
}

/// A fresh link in place of any older one, on its way to the owner's own address, whoever asked for
/// it. The help desk's needs nothing besides, and works where the portal asks for security answers
/// that the owner has forgotten too (BL-14). None where the account can't be recovered.
pub(crate) fn link(
    account: &Account,
    asked: ResetAsked,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl CryptoRng,
) -> Option<(Account, Message)> {
    if !recoverable(account, policy, origin) {
        return None;
    }
    let minutes = policy.recovery.link_minutes.get();
    let kind = match asked {
        ResetAsked::ByHelpDesk => TokenKind::VouchedReset,
        ResetAsked::ByOwner | ResetAsked::ByAdministrator(_) => TokenKind::Reset,
    };
    let token = Token::random(kind, account.id.to_string(), rng);
    let mut after = account.clone();
    after.reset = Some(ResetLink {
        token: token.digest(),
        expires_at: origin.at + SignedDuration::from_mins(minutes.into()),
    });
    let says = MailText::PasswordReset {
        token: token.expose(),
        minutes,
        asked,
    };
    Some((after, mail(account, origin.at, says, rng)))
}

/// Sends the owner the username. None where the account can't be recovered.
pub fn send_username(
    account: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Decision> {
    let audit = AuditEvent::done(origin, Actor::Unknown, Action::RecoverUsername, rng)
        .on(account.id.as_str());
    let reminder = reminder(account, policy, origin, rng)?;
    Some(Decision::recording(audit).send([reminder]))
}

/// The username, on its way to the owner's own address. None where the account can't be recovered.
pub(crate) fn reminder(
    account: &Account,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Message> {
    recoverable(account, policy, origin).then(|| {
        let says = MailText::UsernameReminder {
            username: account.username.to_string(),
        };
        mail(account, origin.at, says, rng)
    })
}

/// Whether the link that a token comes from works, so that its page can go on.
pub fn link_works(account: &Account, token: &Token, policy: &Policy, origin: &Origin) -> bool {
    let evidence = Evidence {
        token: Some(token.clone()),
        ..Evidence::default()
    };
    recoverable(account, policy, origin) && evidence.proves_link(account, origin)
}

/// Sets a new password for who shows everything that the portal asks for. The link is used up, all
/// sessions end, and the owner is told (UX-06). None where it isn't shown, for whatever reason.
#[allow(clippy::too_many_arguments)]
pub fn reset_password(
    account: Option<&Account>,
    evidence: &Evidence,
    verify: impl Fn(&QuestionAnswer, &Sensitive) -> bool,
    hash: PasswordHash,
    attempts: AttemptKey,
    policy: &Policy,
    origin: &Origin,
    rng: &mut impl Rng,
) -> Option<Decision> {
    let means = means_for(evidence.token.as_ref(), policy);
    let account = account.filter(|a| {
        recoverable(a, policy, origin) && evidence.proves(&means, a, &verify, origin)
    })?;
    let mut after = account.clone();
    after.set_password(hash, policy, origin.at);
    let audit = AuditEvent::done(
        origin,
        Actor::Account(account.id.clone()),
        Action::ResetPassword,
        rng,
    )
    .on(account.id.as_str());
    Some(
        Decision::recording(audit)
            .update(account, after)
            .change(Change::ForgetAttempts(attempts))
            .send([mail(account, origin.at, MailText::PasswordChanged, rng)]),
    )
}

/// Whether somebody who proved who they are by the plan's records may read the username, having
/// answered all the security questions (ME-05).
pub fn may_read_username(
    account: &Account,
    evidence: &Evidence,
    verify: impl Fn(&QuestionAnswer, &Sensitive) -> bool,
    policy: &Policy,
    origin: &Origin,
) -> bool {
    recoverable(account, policy, origin) && evidence.proves_answers(account, &verify)
}
