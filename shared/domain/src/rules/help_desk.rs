//! The help desk's own organization and its first account (UX-12).

use std::collections::BTreeSet;

use crate::decision::{Change, Decision};
use crate::outbox::mail::{MailText, mail};
use crate::policy::Role;
use crate::rules::context::Context;
use crate::rules::register::{Applicant, Registered};
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::membership::{Membership, PendingStep};
use crate::state::organization::{Organization, next_due_on};
use crate::values::ids::OrganizationId;

/// Creates the first help desk account, a supervisor, and its organization. Returns `None` on a
/// portal that isn't a help desk. `id` is the keyed id of the organization: a help desk has exactly one, so that
/// the store finds out whether it exists.
pub fn first_staff(
    applicant: Applicant,
    id: OrganizationId,
    context: Context<'_>,
) -> Option<Registered> {
    let (policy, origin) = (context.policy, context.origin);
    policy.help_desk_for.as_ref()?;
    let organization = Organization {
        id,
        portal: policy.portal.clone(),
        kind: "help desk".to_owned(),
        name: policy.title.to_string(),
        record: None,
        registered_by: applicant.id.clone(),
        registered_at: origin.at,
        registered_again_at: None,
        version: 0,
        ended_at: None,
        principals: BTreeSet::from([applicant.id.clone()]),
        group_codes: BTreeSet::new(),
        next_review_due_on: next_due_on(policy, origin.at),
        review: None,
    };
    let Registered { account, decision } = supervisor(applicant, &organization, context);
    let decision = decision.change(Change::CreateOrganization(organization));
    Some(Registered { account, decision })
}

/// Creates the second supervisor, who approves what the first one decides (UX-12). An operator creates
/// both, so that they are two persons. Returns `None` if there are two already.
pub fn second_supervisor(
    applicant: Applicant,
    organization: &Organization,
    context: Context<'_>,
) -> Option<Registered> {
    if organization.principals.len() != 1 {
        return None;
    }
    let mut after = organization.clone();
    after.principals.insert(applicant.id.clone());
    let Registered { account, decision } = supervisor(applicant, organization, context);
    let decision = decision.change(Change::UpdateOrganization {
        before: Box::new(organization.clone()),
        after: Box::new(after),
    });
    Some(Registered { account, decision })
}

/// Creates the account of a supervisor.
fn supervisor(
    applicant: Applicant,
    organization: &Organization,
    context: Context<'_>,
) -> Registered {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let membership = Membership::joined(
        organization.id.clone(),
        Role::Principal,
        PendingStep::Open,
        origin.at,
    );
    let account = applicant.into_account(membership, policy, origin.at);
    let welcome = MailText::AccountMade {
        organization: organization.name.clone(),
        username: account.username.to_string(),
    };
    let notice = mail(&account, origin.at, welcome, rng);
    let audit = AuditEvent::done(origin, Actor::System, Action::AddUser, rng)
        .on(account.id.as_str())
        .for_organization(Some(&organization.id));
    let decision = Decision::recording(audit)
        .change(Change::CreateAccount(Box::new(account.clone())))
        .send([notice]);
    Registered { account, decision }
}
