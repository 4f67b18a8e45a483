//! PINs and registration codes: issuing, entering and reissuing.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use jiff::civil::Date;
use rand::{CryptoRng, RngExt};
use strum::IntoStaticStr;

use crate::decision::{Change, Decision};
use crate::outbox::letter::{Letter, LetterText};
use crate::outbox::mail::{MailText, Message, mail, mail_as};
use crate::policy::{Agreement, Policy, RecordedBy, Reissuer};
use crate::rules::context::Context;
use crate::state::account::{Account, Password, PasswordHash, QuestionAnswer, Status};
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::membership::{Issue, LetterStatus, PendingStep};
use crate::state::record::{Mac, RecordKey};
use crate::state::second_factor::ResetEvidence;
use crate::values::ids::{AccountId, IssueId, MessageId, OrganizationId};
use crate::values::text::{PostalAddress, Sensitive};

/// New random digits and their MAC, bound to an issue.
#[derive(Debug, Clone)]
pub struct FreshCode {
    pub id: IssueId,
    /// What the user will enter.
    pub digits: Sensitive,
    /// The MAC to store.
    pub code: Mac,
}

impl FreshCode {
    /// Generates `count` random digits after a prefix. `seal` computes their MAC.
    pub fn random(
        prefix: &str,
        count: u32,
        rng: &mut (impl CryptoRng + ?Sized),
        seal: impl FnOnce(&IssueId, &Sensitive) -> Mac,
    ) -> Self {
        let id = IssueId::random(rng);
        let digits: String = (0..count)
            .map(|_| char::from(b'0' + rng.random_range(0..10u8)))
            .collect();
        let digits = Sensitive::new(format!("{prefix}{digits}"));
        let code = seal(&id, &digits);
        Self { id, digits, code }
    }
}

/// Returns whether a letter can be printed, which depends on the font and the envelope.
pub type IsPrintable = fn(&Message, &Policy) -> bool;

/// A new PIN for a registration.
#[derive(Debug, Clone)]
pub struct NewPin {
    pub fresh: FreshCode,
    /// Decides whether its letter can be printed, so that the user learns at once if it cannot (ME-08).
    pub is_printable: IsPrintable,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Refusal {
    /// The digits are wrong.
    Wrong,
    /// The PIN or code has expired.
    Expired,
    /// The administrator who sent the code could not add the user now (SE-02).
    WithoutStanding,
    /// No PIN or code is pending.
    NothingPending,
    /// The portal doesn't allow this actor to reissue it.
    NotReissuer,
    /// There is no address for the letter.
    NoAddress,
}

/// Creates the letter with a new PIN. Returns `None` on a portal without PIN letters.
pub(crate) fn pin_letter(
    fresh: FreshCode,
    to: PostalAddress,
    (account, greeting): (&AccountId, String),
    organization: Option<String>,
    context: Context<'_>,
) -> Option<(Issue, Message)> {
    let text = |pin, expires_on| LetterText::Pin {
        account: account.clone(),
        greeting,
        organization,
        pin,
        expires_on,
    };
    let valid_days = context.policy.pin.as_ref()?.valid_days.get();
    Some(letter_with_pin((fresh, valid_days), to, text, context))
}

/// Creates a letter with a new PIN that is valid for a number of days. `text` returns the content.
pub(crate) fn letter_with_pin(
    (fresh, valid_days): (FreshCode, u32),
    to: PostalAddress,
    text: impl FnOnce(Sensitive, Date) -> LetterText,
    context: Context<'_>,
) -> (Issue, Message) {
    let now = context.now();
    let Context { policy, rng, .. } = context;
    let (expires_on, expires_at) = policy.valid_until(now, valid_days);
    let letter = Letter {
        id: MessageId::random(rng),
        portal: policy.portal.clone(),
        dated: policy.today(now),
        text: text(fresh.digits, expires_on),
        to,
    };
    let issue = Issue {
        id: fresh.id,
        code: fresh.code,
        issued_at: now,
        expires_at,
        carried_by: letter.id.clone(),
        abroad: letter.to.country != policy.plan.home_country.0,
        vouched_by: None,
        not_printed_at: None,
    };
    (issue, Message::Letter(letter))
}

/// Activates the account with the PIN that was entered (BL-04, ME-06). `matches` returns whether
/// the digits are those of the issue. The attempt has already been counted.
pub fn enter_pin(
    account: &Account,
    organization: Option<&OrganizationId>,
    matches: impl FnOnce(&Issue) -> bool,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let update = |_: &mut Account| {};
    complete_step(
        account,
        organization,
        Action::ActivatePin,
        matches,
        update,
        context,
    )
}

/// Completes a registration with an emailed code, and sets the new user's password and questions
/// (BL-08).
pub fn redeem_code(
    account: &Account,
    organization: Option<&OrganizationId>,
    matches: impl FnOnce(&Issue) -> bool,
    password: PasswordHash,
    answers: (Vec<QuestionAnswer>, Option<QuestionAnswer>),
    context: Context<'_>,
) -> Result<Decision, Refusal> {
    let now = context.now();
    let set_credentials = |account: &mut Account| {
        account.password = Some(Password {
            hash: password,
            changed_at: now,
            must_change: false,
        });
        (account.security_answers, account.hint) = answers;
    };
    let (_, decision) = complete_step(
        account,
        organization,
        Action::RedeemRegistrationCode,
        matches,
        set_credentials,
        context,
    )?;
    Ok(decision)
}

fn complete_step(
    account: &Account,
    organization: Option<&OrganizationId>,
    action: Action,
    matches: impl FnOnce(&Issue) -> bool,
    update: impl FnOnce(&mut Account),
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context { origin, rng, .. } = context;
    let mut after = account.clone();
    let membership = after
        .membership_mut(organization)
        .ok_or(Refusal::NothingPending)?;
    let issue = match (&membership.pending_step, action) {
        (PendingStep::Pin { issue }, Action::ActivatePin)
        | (PendingStep::RegistrationCode { issue }, Action::RedeemRegistrationCode) => issue,
        _ => return Err(Refusal::NothingPending),
    };
    if !matches(issue) {
        return Err(Refusal::Wrong);
    }
    if origin.at >= issue.expires_at {
        return Err(Refusal::Expired);
    }
    membership.pending_step = PendingStep::Open;
    update(&mut after);
    let audit =
        AuditEvent::by_owner(origin, &account.id, action, rng).for_organization(organization);
    Ok((
        after.clone(),
        Decision::recording(audit).update(account, after),
    ))
}

/// Replaces a pending PIN with a new one. The old PIN becomes invalid (ME-07).
///
/// `address` is the address for the letter: from the plan record, or as designated at registration.
pub fn reissue_pin(
    account: &Account,
    organization: Option<(&OrganizationId, &str)>,
    by: Reissuer,
    fresh: FreshCode,
    address: Option<PostalAddress>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let (policy, origin) = (context.policy, context.origin);
    let mut after = account.clone();
    let membership = after
        .membership_mut(organization.map(|(id, _)| id))
        .ok_or(Refusal::NothingPending)?;
    let PendingStep::Pin { issue: old } = &membership.pending_step else {
        return Err(Refusal::NothingPending);
    };
    if !policy
        .pin
        .as_ref()
        .is_some_and(|p| p.reissued_by.contains(&by))
    {
        return Err(Refusal::NotReissuer);
    }
    let old_letter = old.carried_by.clone();
    let name = organization.map(|(_, name)| name.to_owned());
    let (issue, letter) = pin_letter(
        fresh,
        address.ok_or(Refusal::NoAddress)?,
        (&account.id, account.name.full()),
        name,
        context.reborrow(),
    )
    .ok_or(Refusal::NothingPending)?;
    let arrives_by = LetterStatus::of(&issue, policy, origin.at).map(|s| s.arrives_by);
    membership.pending_step = PendingStep::Pin { issue };
    let audit = AuditEvent::by_owner(origin, &account.id, Action::ReissuePin, context.rng)
        .for_organization(organization.map(|(id, _)| id));
    let notice = arrives_by.map(|arrives_by| {
        mail(
            account,
            origin.at,
            MailText::PinReissued { arrives_by },
            context.rng,
        )
    });
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .change(Change::WithdrawLetter(old_letter))
        .send([letter])
        .send(notice);
    Ok((after, decision))
}

/// Records that the letter with a pending PIN could not be printed, and notifies the user, who would
/// otherwise wait for it (ME-08, MF-06). Returns `None` if it is already recorded, or the PIN has been
/// replaced.
pub fn letter_not_printed(
    account: &Account,
    letter: &MessageId,
    context: Context<'_>,
) -> Option<Decision> {
    let Context { origin, rng, .. } = context;
    let mut after = account.clone();
    let of_memberships = after.memberships.iter_mut().filter_map(|m| {
        let organization = m.organization.clone();
        match &mut m.pending_step {
            PendingStep::Pin { issue } => Some((organization, issue)),
            _ => None,
        }
    });
    let of_reset = after.second_factors.reset.as_mut();
    let of_reset = of_reset.and_then(|reset| match &mut reset.evidence {
        ResetEvidence::Pin(issue) => Some((None, issue)),
        ResetEvidence::Link(_) => None,
    });
    let mut issues = of_memberships.chain(of_reset);
    let (organization, issue) = issues.find(|(_, issue)| issue.carried_by == *letter)?;
    if issue.not_printed_at.is_some() {
        return None;
    }
    issue.not_printed_at = Some(origin.at);
    let audit = AuditEvent::done(origin, Actor::System, Action::MarkLetterNotPrinted, rng)
        .on(account.id.as_str())
        .for_organization(organization.as_ref());
    let notice = mail(account, origin.at, MailText::LetterNotPrinted, rng);
    let is_notified = account.status == Status::Active;
    Some(
        Decision::recording(audit)
            .update(account, after)
            .send(is_notified.then_some(notice)),
    )
}

/// Returns a pending registration code, and the email that contains it (BL-08). Returns `None` on a
/// portal without registration codes.
pub(crate) fn issue_code(
    fresh: FreshCode,
    (organization, username): (String, String),
    (carried_by, vouched_by): (MessageId, Option<AccountId>),
    end_date: Option<Date>,
    policy: &Policy,
    now: Timestamp,
) -> Option<(PendingStep, MailText)> {
    let rules = policy.registration_code.as_ref()?;
    let (expires_on, expires_at) =
        policy.valid_until_at_most(now, rules.valid_days.get(), end_date);
    let issue = Issue {
        id: fresh.id,
        code: fresh.code,
        issued_at: now,
        expires_at,
        carried_by,
        abroad: false,
        vouched_by,
        not_printed_at: None,
    };
    let text = MailText::RegistrationCode {
        organization,
        username,
        code: fresh.digits,
        expires_on,
    };
    Some((PendingStep::RegistrationCode { issue }, text))
}

/// Replaces a pending registration code with a new one. The old code becomes invalid (BL-09).
/// `vouched_by` replaces the administrator whose standing the code has (SE-02).
///
/// # Errors
/// [`Refusal`]. [`Refusal::Expired`] if the access that the code would activate has ended.
pub fn reissue_code(
    account: &Account,
    organization: (&OrganizationId, &str),
    (by, vouched_by): (Reissuer, Option<AccountId>),
    fresh: FreshCode,
    audit: AuditEvent,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let Context { policy, rng, .. } = context;
    let (id, name) = organization;
    let now = audit.occurred_at;
    let rules = policy
        .registration_code
        .as_ref()
        .ok_or(Refusal::NothingPending)?;
    let mut after = account.clone();
    let membership = after
        .membership_mut(Some(id))
        .ok_or(Refusal::NothingPending)?;
    let PendingStep::RegistrationCode { issue: old } = &membership.pending_step else {
        return Err(Refusal::NothingPending);
    };
    let vouched_by = vouched_by.or_else(|| old.vouched_by.clone());
    if !rules.reissued_by.contains(&by) {
        return Err(Refusal::NotReissuer);
    }
    if membership.is_over(policy.today(now)) {
        return Err(Refusal::Expired);
    }
    let carried_by = MessageId::random(rng);
    let (pending_step, text) = issue_code(
        fresh,
        (name.to_owned(), account.username.to_string()),
        (carried_by.clone(), vouched_by),
        membership.end_date,
        policy,
        now,
    )
    .ok_or(Refusal::NothingPending)?;
    membership.pending_step = pending_step;
    let email = mail_as(carried_by, account, now, text);
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send([email]);
    Ok((after, decision))
}

/// Applies the agreements in the plan's records to the account (AG-11). Agreements that are no
/// longer there are required again. Returns `None` if nothing changes.
///
/// `letter` is used for a PIN letter that was waiting for an agreement.
pub fn agreements_recorded(
    account: &Account,
    on_file: &BTreeMap<String, String>,
    record: &RecordKey,
    letter: Option<WithheldLetter>,
    context: Context<'_>,
) -> Option<(Account, Decision)> {
    let (index, membership) = account
        .memberships
        .iter()
        .enumerate()
        .find(|(_, m)| m.record.as_ref() == Some(record))?;
    let (mut agreements, mut ahead) = (
        membership.agreements.clone(),
        membership.recorded_before_feed.clone(),
    );
    for agreement in context
        .policy
        .agreements
        .iter()
        .filter(|a| a.recorded_by == RecordedBy::Plan)
    {
        let id = agreement.id.as_str();
        let recorded = on_file.get(id);
        // An agreement that the help desk recorded stays until the feed contains it.
        if ahead.contains(id) && recorded.is_none_or(|r| Some(r) < agreements.get(id)) {
            continue;
        }
        ahead.remove(id);
        match recorded {
            Some(revision) => agreements.insert(id.to_owned(), revision.clone()),
            None => agreements.remove(id),
        };
    }
    set_agreements(
        account,
        index,
        (agreements, ahead),
        letter,
        Actor::System,
        context,
    )
}

/// The data for a PIN letter that was waiting for an agreement.
#[derive(Debug, Clone)]
pub struct WithheldLetter {
    /// A new PIN.
    pub fresh: FreshCode,
    pub address: Option<PostalAddress>,
    /// The organization's name.
    pub organization: Option<String>,
}

/// Records the signed revision of one agreement for a user, and mails the PIN letter that was
/// waiting for it (BL-10). Returns `None` if it is already recorded, or the account has no
/// membership there.
pub fn record_agreement(
    account: &Account,
    organization: Option<&OrganizationId>,
    (agreement, revision): (&Agreement, &str),
    letter: Option<WithheldLetter>,
    by: Actor,
    context: Context<'_>,
) -> Option<(Account, Decision)> {
    let (index, membership) = account
        .memberships
        .iter()
        .enumerate()
        .find(|(_, m)| m.organization.as_ref() == organization)?;
    let mut agreements = membership.agreements.clone();
    agreements.insert(agreement.id.to_string(), revision.to_owned());
    let mut ahead = membership.recorded_before_feed.clone();
    if agreement.recorded_by == RecordedBy::Plan {
        ahead.insert(agreement.id.to_string());
    }
    set_agreements(account, index, (agreements, ahead), letter, by, context)
}

/// Sets the agreements of the membership at index `at`, and mails the letter that was waiting for
/// them.
fn set_agreements(
    account: &Account,
    index: usize,
    (agreements, ahead): (BTreeMap<String, String>, BTreeSet<String>),
    letter: Option<WithheldLetter>,
    by: Actor,
    mut context: Context<'_>,
) -> Option<(Account, Decision)> {
    let (policy, origin) = (context.policy, context.origin);
    let mut after = account.clone();
    let membership = after.memberships.get_mut(index)?;
    membership.agreements = agreements;
    membership.recorded_before_feed = ahead;
    let registration_type = membership
        .registration_type
        .as_deref()
        .and_then(|w| policy.registration_type(w));
    let released = membership.pending_step == PendingStep::PinLetterWithheld
        && registration_type.is_some_and(|w| {
            !policy.withholds_letter(w, membership.category.as_deref(), &membership.agreements)
        });
    let mut sent_letter = None;
    if released
        && let Some(letter) = letter
        && let Some(address) = letter.address
    {
        let (issue, message) = pin_letter(
            letter.fresh,
            address,
            (&account.id, account.name.full()),
            letter.organization,
            context.reborrow(),
        )?;
        membership.pending_step = PendingStep::Pin { issue };
        sent_letter = Some(message);
    }
    let organization = membership.organization.clone();
    if after == *account {
        return None;
    }
    let audit = AuditEvent::done(origin, by, Action::RecordAgreement, context.rng)
        .on(account.id.as_str())
        .for_organization(organization.as_ref());
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send(sent_letter);
    Some((after, decision))
}
