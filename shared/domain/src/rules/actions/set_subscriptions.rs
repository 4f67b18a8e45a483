//! Changing e-news subscriptions before activation (BL-13).

use std::collections::BTreeSet;

use crate::decision::Decision;
use crate::outbox::mail::HelpDeskAct;
use crate::rules::actions::Refusal;
use crate::rules::actions::authority::{Staff, Target};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::Action;
use crate::state::membership::{Membership, Registration};

/// Sets the e-news subscriptions of a user who can't yet, because a PIN or registration code is
/// pending (BL-13).
pub fn set_subscriptions(
    staff: Staff<'_>,
    target: Target<'_>,
    subscriptions: BTreeSet<String>,
    context: Context<'_>,
) -> Result<(Account, Decision), Refusal> {
    target.require_active()?;
    let (account, publications) = (target.account, &context.policy.publications);
    if publications.is_empty() {
        return Err(Refusal::UnsupportedOnPortal);
    }
    let pending = |m: &Membership| m.registration() == Registration::Pending;
    if !account.memberships.iter().any(pending) {
        return Err(Refusal::AlreadyActivated);
    }
    let offered = |id: &String| publications.iter().any(|p| p.id.as_str() == id);
    if !subscriptions.iter().all(offered) {
        return Err(Refusal::NoSuchPublication);
    }
    if account.subscriptions == subscriptions {
        return Ok(staff.unchanged(account, Action::EditSubscriptions, context));
    }
    let titles = publications
        .iter()
        .filter(|p| subscriptions.contains(p.id.as_str()))
        .map(|p| p.title.to_string())
        .collect();
    let mut after = account.clone();
    after.subscriptions = subscriptions;
    let act = HelpDeskAct::SubscriptionsChanged { titles };
    Ok(staff.change(account, after, Action::EditSubscriptions, act, context))
}
