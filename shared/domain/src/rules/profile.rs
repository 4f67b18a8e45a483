//! Changes that users make to their own profile (BL-11 to BL-13), and feedback (AG-17).

use std::collections::BTreeSet;

use rand::Rng;

use crate::decision::Decision;
use crate::outbox::mail::{Mail, MailText, Message, mail};
use crate::rules::context::Context;
use crate::state::account::{
    Account, Bookmark, PendingEmail, QuestionAnswer, Status, Undeliverable, UndeliverableKind,
};
use crate::state::audit::{Action, Actor, AuditEvent, Origin};
use crate::state::session::{Token, TokenKind};
use crate::values::ids::{MessageId, OrganizationId};
use crate::values::text::{Email, PersonName};

/// The maximum number of links in a profile (BL-11).
pub const MAX_LINKS: usize = 20;

/// The maximum length of a feedback message, in characters (AG-17).
pub const MAX_FEEDBACK_LENGTH: usize = 4000;

/// How long a new email address can be confirmed.
const CONFIRMABLE_DAYS: u32 = 3;

/// The changes to make. A field that is `None` stays as it is.
#[derive(Debug, Clone, Default)]
pub struct Changes {
    pub name: Option<PersonName>,
    /// The hint question with the MAC of its answer.
    pub hint: Option<QuestionAnswer>,
    /// The security questions with the MACs of their answers.
    pub security_answers: Option<Vec<QuestionAnswer>>,
    pub bookmarks: Option<Vec<Bookmark>>,
    pub subscriptions: Option<BTreeSet<String>>,
}

/// Edits the profile. Returns `None` if nothing changes. The user is notified if a recovery
/// question changed (UX-06).
pub fn edit(
    account: &Account,
    organization: Option<&OrganizationId>,
    changes: Changes,
    context: Context<'_>,
) -> Option<(Account, Decision)> {
    let Context { origin, rng, .. } = context;
    let mut after = account.clone();
    if let Some(name) = changes.name {
        after.name = name;
    }
    if let Some(hint) = changes.hint {
        after.hint = Some(hint);
    }
    if let Some(answers) = changes.security_answers {
        after.security_answers = answers;
    }
    if let Some(bookmarks) = changes.bookmarks {
        after.bookmarks = bookmarks;
    }
    if let Some(subscriptions) = changes.subscriptions {
        after.subscriptions = subscriptions;
    }
    if after == *account {
        return None;
    }
    let audit = AuditEvent::by_owner(origin, &account.id, Action::EditProfile, rng)
        .for_organization(organization);
    let recovery_changed =
        after.hint != account.hint || after.security_answers != account.security_answers;
    let notice =
        recovery_changed.then(|| mail(account, origin.at, MailText::QuestionsChanged, rng));
    Some((
        after.clone(),
        Decision::recording(audit)
            .update(account, after)
            .send(notice),
    ))
}

/// Stores a new email address, sends a confirmation link to it and notifies the old address. A
/// newer request replaces an older one. Confirming the current address again is allowed; it
/// re-enables email to an address that was undeliverable.
pub fn request_email_change(
    account: &Account,
    organization: Option<&OrganizationId>,
    email: Email,
    context: Context<'_>,
) -> Decision {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let token = Token::random(TokenKind::Email, account.id.to_string(), rng);
    let cancellation = Token::random(TokenKind::EmailCancellation, account.id.to_string(), rng);
    let (expires_on, expires_at) = policy.valid_until(origin.at, CONFIRMABLE_DAYS);
    let mut after = account.clone();
    after.pending_email = Some(PendingEmail {
        email: email.clone(),
        token: token.digest(),
        cancellation: cancellation.digest(),
        expires_at,
    });
    let confirm = Message::Mail(Mail {
        id: MessageId::random(rng),
        portal: account.portal.clone(),
        to: email,
        greeting: account.name.full(),
        at: origin.at,
        text: MailText::ConfirmEmail {
            token: token.expose(),
            expires_on,
        },
    });
    let notice = (after.pending_email.as_ref().map(|p| p.email.key()) != Some(account.email.key()))
        .then(|| {
            mail(
                account,
                origin.at,
                MailText::EmailChangeRequested {
                    cancellation: cancellation.expose(),
                },
                rng,
            )
        });
    Decision::recording(
        AuditEvent::by_owner(origin, &account.id, Action::RequestEmailChange, rng)
            .for_organization(organization),
    )
    .update(account, after)
    .send([Some(confirm), notice].into_iter().flatten())
}

/// Replaces the email address with the confirmed one and notifies the old address. Returns `None`
/// if the token isn't that of the latest request or has expired.
pub fn confirm_email(account: &Account, token: &Token, context: Context<'_>) -> Option<Decision> {
    let Context { origin, rng, .. } = context;
    let pending = account.pending_email.as_ref()?;
    if account.status != Status::Active
        || pending.token != token.digest()
        || origin.at >= pending.expires_at
    {
        return None;
    }
    let mut after = account.clone();
    after.email = pending.email.clone();
    after.email_undeliverable = None;
    after.pending_email = None;
    // Invalidate a reset link that was sent to the old address.
    after.reset = None;
    let audit = AuditEvent::by_owner(origin, &account.id, Action::ChangeEmail, rng);
    let notice = (after.email.key() != account.email.key())
        .then(|| mail(account, origin.at, MailText::EmailChanged, rng));
    Some(
        Decision::recording(audit)
            .update(account, after)
            .send(notice),
    )
}

/// Cancels a change of email address for the signed-in owner (SE-01). Returns `None` if none is
/// pending.
pub fn cancel_email_change(
    account: &Account,
    organization: Option<&OrganizationId>,
    context: Context<'_>,
) -> Option<(Account, Decision)> {
    let Context { origin, rng, .. } = context;
    account.pending_email.as_ref()?;
    let mut after = account.clone();
    after.pending_email = None;
    let audit = AuditEvent::by_owner(origin, &account.id, Action::CancelEmailChange, rng)
        .for_organization(organization);
    let decision = Decision::recording(audit).update(account, after.clone());
    Some((after, decision))
}

/// Cancels a change of email address for the owner of the old address, who was notified of it. The
/// owner did not request it, so every other way in ends, too (SE-01). Returns `None` if the token
/// isn't that of the latest request or the request has expired.
pub fn disown_email_change(
    account: &Account,
    token: &Token,
    context: Context<'_>,
) -> Option<Decision> {
    let Context { origin, rng, .. } = context;
    let pending = account.pending_email.as_ref()?;
    if account.status != Status::Active
        || pending.cancellation != token.digest()
        || origin.at >= pending.expires_at
    {
        return None;
    }
    let mut after = account.clone();
    after.end_other_access();
    let audit = AuditEvent::by_owner(origin, &account.id, Action::CancelEmailChange, rng);
    Some(Decision::recording(audit).update(account, after))
}

/// Records that emails don't reach the account's address. Returns `None` if this or a more severe
/// problem is already recorded.
pub fn mark_undeliverable(
    account: &Account,
    kind: UndeliverableKind,
    origin: &Origin,
    rng: &mut (impl Rng + ?Sized),
) -> Option<Decision> {
    let already_known = account.email_undeliverable.is_some_and(|u| u.kind >= kind);
    if already_known || account.status == Status::Deleted {
        return None;
    }
    let mut after = account.clone();
    after.email_undeliverable = Some(Undeliverable {
        detected_at: origin.at,
        kind,
    });
    let audit = AuditEvent::done(origin, Actor::System, Action::MarkUndeliverable, rng)
        .on(account.id.as_str());
    Some(Decision::recording(audit).update(account, after))
}

/// Sends feedback to the help desk. Returns `None` if the portal has no email address for it.
pub fn send_feedback(
    account: &Account,
    organization: Option<&OrganizationId>,
    text: String,
    context: Context<'_>,
) -> Option<Decision> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let desk = policy.help_desk.email.as_ref()?;
    let feedback = Message::Mail(Mail {
        id: MessageId::random(rng),
        portal: account.portal.clone(),
        to: desk.0.clone(),
        greeting: policy.help_desk.name.to_string(),
        at: origin.at,
        text: MailText::Feedback {
            username: account.username.to_string(),
            reply_to: account.email.to_string(),
            text,
        },
    });
    Some(
        Decision::recording(
            AuditEvent::by_owner(origin, &account.id, Action::SendFeedback, rng)
                .for_organization(organization),
        )
        .send([feedback]),
    )
}
