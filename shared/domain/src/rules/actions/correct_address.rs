//! Correcting the postal address that a user designated for letters (BL-03).

use crate::decision::{Change, Decision};
use crate::outbox::mail::{HelpDeskAct, MailText, Message, mail};
use crate::policy::{LetterAddress, PinPolicy};
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Authority, Staff, Target};
use crate::rules::activate::{self, FreshCode};
use crate::rules::context::Context;
use crate::rules::register;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::membership::{LetterStatus, Membership, PendingStep};
use crate::values::text::PostalAddress;

/// Corrects the postal address that a user designated for letters (BL-03). The addressee stays the same.
/// If a PIN is pending, its letter is withdrawn or becomes useless, and a new one is mailed to the new
/// address (BL-06).
///
/// # Errors
/// [`Refusal`]. [`Refusal::UnsupportedOnPortal`] if the portal mails letters to the address in the plan's
/// records, and [`Refusal::NoAddress`] if the user designated none.
pub fn correct_address(
    staff: Staff<'_>,
    target: Target<'_>,
    address: PostalAddress,
    fresh: FreshCode,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    target.require_active()?;
    let (account, policy) = (target.account, context.policy);
    let designates = |p: &PinPolicy| p.address == LetterAddress::Designated;
    if !policy.pin.as_ref().is_some_and(designates) {
        return Err(Refusal::UnsupportedOnPortal);
    }
    let has_address = |m: &Membership| m.postal_address.is_some();
    let membership = target.membership(has_address, Refusal::NoAddress)?;
    let current = membership
        .postal_address
        .as_ref()
        .ok_or(Refusal::NoAddress)?;
    let address = PostalAddress {
        addressee: current.addressee.clone(),
        ..address
    };
    if address == *current {
        return Ok(staff.unchanged(account, Action::CorrectPostalAddress, context));
    }
    let (mut after, changes, letters) = match &membership.pending_step {
        PendingStep::Pin { .. } => {
            let (after, decision) = activate::reissue_pin(
                account,
                target.organization_name(membership),
                Authority::HelpDesk(staff).reissuer(),
                fresh,
                Some(address.clone()),
                context.reborrow(),
            )?;
            let Decision {
                changes, messages, ..
            } = decision;
            // The account is updated below, and one email reports both.
            let others = |change: &Change| !matches!(change, Change::UpdateAccount { .. });
            let letters = |message: &Message| matches!(message, Message::Letter(_));
            (
                after,
                changes.into_iter().filter(others).collect(),
                messages.into_iter().filter(letters).collect(),
            )
        }
        _ => (account.clone(), Vec::new(), Vec::<Message>::new()),
    };
    let mut letter_by = None;
    if let Some(corrected) = after.membership_mut(membership.organization.as_ref()) {
        corrected.postal_address = Some(address);
        letter_by = register::pin_issue(corrected)
            .and_then(|issue| LetterStatus::of(issue, policy, context.now()))
            .map(|status| status.arrives_by);
    }
    let audit = Authority::HelpDesk(staff).audit(
        account,
        Some(membership),
        Action::CorrectPostalAddress,
        &mut context,
    );
    let text = MailText::HelpDeskActed {
        act: HelpDeskAct::AddressCorrected { letter_by },
    };
    let decision = changes
        .into_iter()
        .fold(
            Decision::recording(audit).update(account, after.clone()),
            Decision::change,
        )
        .send(letters)
        .send([mail(account, context.now(), text, context.rng)]);
    Ok((after, decision))
}
