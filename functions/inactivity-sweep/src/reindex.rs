//! Corrects the index of scheduled actions after a policy change.

use jiff::Timestamp;
use jiff::civil::Date;
use vestibule_domain::rules::{consequences, schedule};
use vestibule_domain::state::account::Account;
use vestibule_domain::state::organization::Organization;
use vestibule_http::App;
use vestibule_store::StoreError;

use crate::Summary;

/// Corrects the due day of every account after a policy change, and schedules access reviews for
/// organizations that had none. It reads all accounts; run it once after such a change.
pub async fn reindex(app: &App, until: Option<Timestamp>) -> Summary {
    let mut summary = Summary::default();
    let mut start = None;
    loop {
        if until.is_some_and(|end| app.clock.now() >= end) {
            summary.unfinished = true;
            break;
        }
        let page = match app.store.scheduled(start).await {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(%error, "failed to read accounts");
                summary.failed += 1;
                break;
            }
        };
        summary.accounts_read += page.accounts_read;
        for organization in page.organizations {
            match add_review(app, &organization).await {
                Ok(is_new) => summary.moved += u64::from(is_new),
                Err(error) => {
                    tracing::error!(organization = %organization.id, %error, "failed to schedule a follow-up");
                    summary.failed += 1;
                }
            }
        }
        for (account, indexed) in page.accounts {
            match correct_due_day(app, &account, indexed).await {
                Ok(moved) => summary.moved += u64::from(moved),
                Err(error) => {
                    tracing::error!(account = %account.id, %error, "failed to update the due day of an account");
                    summary.failed += 1;
                }
            }
        }
        match page.next {
            Some(next) => start = Some(next),
            None => break,
        }
    }
    let Summary {
        accounts_read,
        moved,
        failed,
        unfinished,
        ..
    } = summary;
    tracing::info!(accounts_read, moved, failed, unfinished, "reindexed");
    summary
}

/// Schedules the follow-up for an organization's access reviews, if it needs one and has none. Returns
/// whether it is new.
async fn add_review(app: &App, organization: &Organization) -> Result<bool, StoreError> {
    let Some(policy) = app.portals.get(organization.portal.as_str())? else {
        return Ok(false);
    };
    let today = policy.today(app.clock.now());
    match consequences::first_review(organization, policy, today) {
        Some(follow_up) => app.store.add_follow_up(&follow_up).await,
        None => Ok(false),
    }
}

/// Moves an account in the index if its policy requires another day now. Returns whether it differed.
async fn correct_due_day(
    app: &App,
    account: &Account,
    indexed: Option<Date>,
) -> Result<bool, StoreError> {
    let policy = app.portals.get(account.portal.as_str())?;
    let due = policy.and_then(|policy| schedule::next_due(account, policy));
    let on = due.map(|due| due.on);
    if on == indexed {
        return Ok(false);
    }
    app.store.reschedule(account, on).await?;
    Ok(true)
}
