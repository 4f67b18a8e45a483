//! Reversing a registration that was matched with another person's plan record.

use crate::decision::{Change, Decision};
use crate::outbox::mail::{HelpDeskAct, MailText, mail};
use crate::rules::actions::Refusal;
use crate::rules::actions::administrators::with_principals;
use crate::rules::actions::authority::{Authority, Staff, Target};
use crate::rules::actions::remove::without_membership;
use crate::rules::context::Context;
use crate::rules::departure::{release, withdrawn_letter};
use crate::state::account::{Account, Status};
use crate::state::audit::Action;
use crate::state::membership::Membership;
use crate::values::ids::OrganizationId;

/// Reverses a registration that was matched with another person's plan record. The account loses
/// the membership, and is deleted if it has no other; the record can be registered again. An
/// organization without other users ends. `is_only_user` returns whether the account is the only
/// user of an organization.
///
/// # Errors
/// [`Refusal`]. [`Refusal::OrganizationNotEmpty`] if the organization would have no principal but still has
/// other users. They joined because of the mistake and have to be removed first.
pub fn detach_record(
    staff: Staff<'_>,
    target: Target<'_>,
    is_only_user: impl FnOnce(&OrganizationId) -> bool,
    mut context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    let account = target.account;
    if account.status == Status::Deleted {
        return Err(Refusal::Deleted);
    }
    let has_record = |m: &Membership| m.record.is_some() && m.registration_type.is_some();
    let membership = target.membership(has_record, Refusal::NoRecord)?;
    let organization = target.organization_of(membership);
    let ends = organization.is_none_or(|o| is_only_user(&o.id));
    let principals = match organization {
        None => None,
        Some(before) if ends => {
            let mut after = before.clone();
            after.principals.clear();
            after.ended_at = Some(context.now());
            Some(Change::UpdateOrganization {
                before: Box::new(before.clone()),
                after: Box::new(after),
            })
        }
        Some(organization) => with_principals(organization, account, None)
            .map_err(|_| Refusal::OrganizationNotEmpty)?,
    };
    let release = release(account, membership, ends).ok_or(Refusal::NoRecord)?;
    let (after, deleted) = without_membership(account, membership);
    let act = HelpDeskAct::RecordDetached {
        organization: organization.map(|o| o.name.clone()),
        deleted,
    };
    let audit = Authority::HelpDesk(staff).audit(
        account,
        Some(membership),
        Action::DetachRecord,
        &mut context,
    );
    let text = MailText::HelpDeskActed { act };
    let decision = principals
        .into_iter()
        .chain([release])
        .chain(withdrawn_letter(membership))
        .fold(
            Decision::recording(audit).update(account, after.clone()),
            Decision::change,
        )
        .send([mail(account, context.now(), text, context.rng)]);
    Ok((after, decision))
}
