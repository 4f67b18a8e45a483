//! Recording a signed agreement before the plan's feed contains it (AG-11, BL-10).

use crate::decision::Decision;
use crate::outbox::mail::{HelpDeskAct, MailText, mail};
use crate::policy::RecordedBy;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Staff, Target};
use crate::rules::activate::{self, FreshCode, WithheldLetter};
use crate::rules::context::Context;
use crate::rules::register;
use crate::state::account::Account;
use crate::state::audit::Actor;
use crate::state::membership::{LetterStatus, Membership, PendingStep};
use crate::values::text::PostalAddress;

/// Records a signed agreement before the plan's feed contains it, and mails the PIN letter that was
/// waiting for it (AG-11, BL-10).
pub fn record_agreement(
    staff: Staff<'_>,
    target: Target<'_>,
    (id, revision): (&str, &str),
    fresh: FreshCode,
    address: impl FnOnce(&Membership) -> Option<PostalAddress>,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    target.require_active()?;
    let (account, policy) = (target.account, context.policy);
    let agreement = policy
        .agreements
        .iter()
        .find(|a| a.id.as_str() == id && a.recorded_by == RecordedBy::Plan)
        .ok_or(Refusal::NoSuchAgreement)?;
    if agreement.revision.as_str() != revision {
        return Err(Refusal::OtherRevision);
    }
    let needs_agreement = |m: &Membership| m.needs(agreement);
    let membership = target.membership(needs_agreement, Refusal::NothingPending)?;
    if agreement.is_current(&membership.agreements) {
        return Err(Refusal::NothingPending);
    }
    let address = address(membership);
    if membership.pending_step == PendingStep::PinLetterWithheld && address.is_none() {
        return Err(Refusal::NoAddress);
    }
    let letter = WithheldLetter {
        fresh,
        address,
        organization: target.organization_of(membership).map(|o| o.name.clone()),
    };
    let organization = membership.organization.as_ref();
    let (after, decision) = activate::record_agreement(
        account,
        organization,
        (agreement, revision),
        Some(letter),
        Actor::HelpDesk(staff.account.clone()),
        context.reborrow(),
    )
    .ok_or(Refusal::NothingPending)?;
    let letter_by = after
        .membership(organization)
        .filter(|m| m.pending_step != membership.pending_step)
        .and_then(register::pin_issue)
        .and_then(|issue| LetterStatus::of(issue, policy, context.now()))
        .map(|s| s.arrives_by);
    let act = HelpDeskAct::AgreementRecorded {
        title: agreement.title.to_string(),
        letter_by,
    };
    let text = MailText::HelpDeskActed { act };
    let notice = mail(account, context.now(), text, context.rng);
    Ok((after, staff.sign(decision).send([notice])))
}
