//! Scheduled actions on accounts.

use vestibule_domain::policy::Policy;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::schedule::{self, Due, ScheduledAction};
use vestibule_domain::state::account::Account;
use vestibule_http::App;
use vestibule_store::{CommitError, StoreError};

use crate::{MAX_ROUNDS, Preview, Run, Swept};

/// Performs everything that is due for an account. A failure is counted and doesn't stop the
/// others.
pub(crate) async fn process_account(
    app: &App,
    run: &Run,
    policy: &Policy,
    account: Result<Account, StoreError>,
) -> Swept {
    let mut swept = Swept::default();
    swept.summary.accounts_read = 1;
    let done = match account {
        Ok(account) => apply_all_due(app, run, policy, account, &mut swept).await,
        Err(error) => Err(error),
    };
    if let Err(error) = done {
        tracing::error!(portal = %policy.portal, %error, "failed to process an account");
        swept.summary.failed = 1;
    }
    swept
}

async fn apply_all_due(
    app: &App,
    run: &Run,
    policy: &Policy,
    account: Account,
    swept: &mut Swept,
) -> Result<(), StoreError> {
    let mut rng = app.rng();
    let origin = run.origin(policy);
    let mut account = account;
    for round in 0..MAX_ROUNDS {
        let due = schedule::first_due(&account, policy, policy.today(origin.at));
        let organizations = if due.is_some_and(|due| due.action.removes_access()) {
            let theirs = account.memberships.iter();
            let theirs = theirs.filter_map(|m| m.organization.as_ref());
            app.store.organizations(&policy.portal, theirs).await?
        } else {
            Vec::new()
        };
        let context = Context::new(policy, &origin, &mut rng);
        let Some(act) = schedule::apply(&account, &organizations, context) else {
            if round == 0 && !run.dry_run {
                // The index entry was outdated: a policy change moved the due day.
                let due = schedule::next_due(&account, policy);
                app.store
                    .reschedule(&account, due.map(|due| due.on))
                    .await?;
                swept.summary.moved = 1;
            }
            return Ok(());
        };
        if run.dry_run {
            let whole = (!act.is_partial).then(|| preview(&account, policy, act.due));
            swept.previews.extend(whole);
        } else {
            for notices in act.notices {
                match app.commit(notices, &mut rng).await {
                    Ok(()) => {}
                    Err(CommitError::Store(error)) => return Err(error),
                    // Someone changed the follow-up of an organization: the next run queues them again.
                    Err(CommitError::Stale | CommitError::Taken(_)) => return Ok(()),
                }
            }
            match app.commit(act.decision, &mut rng).await {
                Ok(()) => {}
                Err(CommitError::Stale) => {
                    swept.summary.overtaken += 1;
                    swept.summary.accounts_read += 1;
                    match app.store.account(&policy.portal, &account.id).await? {
                        Some(now) => account = now,
                        None => return Ok(()),
                    }
                    continue;
                }
                Err(CommitError::Store(error)) => return Err(error),
                // None of these actions claims a unique value.
                Err(CommitError::Taken(_)) => return Ok(()),
            }
        }
        if !act.is_partial {
            *swept.summary.done.entry(act.due.action).or_default() += 1;
        }
        account = act.after;
    }
    Ok(())
}

fn preview(account: &Account, policy: &Policy, due: Due) -> Preview {
    let idle = || {
        let day = schedule::idle_since(account, policy);
        match account.last_sign_in_at {
            Some(_) => format!("no sign-in since {day}"),
            None => format!("no sign-in since the account was created on {day}"),
        }
    };
    let because = match due.action {
        ScheduledAction::Disable | ScheduledAction::WarnOfDisabling => idle(),
        ScheduledAction::Delete | ScheduledAction::WarnOfDeletion => {
            format!("disabled, and {}", idle())
        }
        ScheduledAction::EndAccess => format!("the last day of access was {}", due.about),
        ScheduledAction::PasswordNotice => format!("the password expires on {}", due.about),
        ScheduledAction::LetterNotice => format!("the letter should have arrived by {}", due.about),
        ScheduledAction::CampaignNotice => format!("must register again by {}", due.about),
        ScheduledAction::UsernameNotice => format!("the username is released on {}", due.about),
    };
    Preview {
        portal: policy.portal.to_string(),
        account: account.id.to_string(),
        username: account.username.to_string(),
        action: due.action,
        due_on: due.on,
        about: due.about,
        because,
    }
}
