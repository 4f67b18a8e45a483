//! A run over everything that is due on all portals.

use futures::StreamExt;
use futures::future::join_all;
use futures::stream;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::schedule::ScheduledAction;
use vestibule_http::App;
use vestibule_store::due::{Entry, Queue, SHARDS};

use crate::accounts::process_account;
use crate::follow_ups::process_follow_up;
use crate::{Run, Summary, Swept};

/// How many accounts or follow-ups of a shard are processed at the same time.
const AT_A_TIME: usize = 8;

/// Performs everything that is due on all portals and logs the counts.
pub async fn sweep(app: &App, run: &Run) -> Swept {
    let mut swept = Swept::default();
    for (portal, policy) in app.portals.each() {
        let policy = match policy {
            Ok(policy) => policy,
            Err(error) => {
                tracing::error!(%portal, %error, "skipped a portal");
                swept.summary.failed += 1;
                continue;
            }
        };
        for queue in Queue::ALL {
            let shards = (0..SHARDS).map(|shard| shard_of(app, run, policy, queue, shard));
            for part in join_all(shards).await {
                swept.add(part);
            }
        }
    }
    log(&swept.summary, run.dry_run);
    swept
}

/// Logs the line that the alarms and the dashboard evaluate.
fn log(s: &Summary, dry_run: bool) {
    tracing::info!(
        dry_run,
        disabled = s.count(ScheduledAction::Disable),
        deleted = s.count(ScheduledAction::Delete),
        ended = s.count(ScheduledAction::EndAccess),
        warned =
            s.count(ScheduledAction::WarnOfDisabling) + s.count(ScheduledAction::WarnOfDeletion),
        passwords = s.count(ScheduledAction::PasswordNotice),
        letters = s.count(ScheduledAction::LetterNotice),
        campaigns =
            s.count(ScheduledAction::CampaignNotice) + s.count(ScheduledAction::UsernameNotice),
        notices_sent = s.notices_sent,
        backups_wanted = s.backups_wanted,
        reviews_started = s.reviews_started,
        reviews_chased = s.reviews_chased,
        accounts_read = s.accounts_read,
        follow_ups_read = s.follow_ups_read,
        overtaken = s.overtaken,
        moved = s.moved,
        failed = s.failed,
        unfinished = s.unfinished,
        "swept"
    );
}

async fn shard_of(app: &App, run: &Run, policy: &Policy, queue: Queue, shard: u8) -> Swept {
    let mut swept = Swept::default();
    let today = policy.today(run.moment(policy));
    let mut start = None;
    loop {
        if run.until.is_some_and(|end| app.clock.now() >= end) {
            swept.summary.unfinished = true;
            return swept;
        }
        let page = app
            .store
            .due((&policy.portal, queue, shard), today, start)
            .await;
        let page = match page {
            Ok(page) => page,
            Err(error) => {
                tracing::error!(portal = %policy.portal, %error, "failed to read what is due");
                swept.summary.failed += 1;
                return swept;
            }
        };
        swept.add(page_of(app, run, policy, page.entries).await);
        match page.next {
            Some(next) => start = Some(next),
            None => return swept,
        }
    }
}

async fn page_of(app: &App, run: &Run, policy: &Policy, entries: Vec<Option<Entry>>) -> Swept {
    let mut swept = Swept::default();
    let (mut ids, mut follow_ups) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Some(Entry::Account(id)) => ids.push(id),
            Some(Entry::FollowUp(organization, kind)) => follow_ups.push((organization, kind)),
            None => swept.summary.failed += 1,
        }
    }
    let accounts = match app.store.accounts(&policy.portal, &ids).await {
        Ok(accounts) => accounts,
        Err(error) => {
            tracing::error!(portal = %policy.portal, %error, "failed to read accounts");
            swept.summary.failed += ids.len() as u64;
            return swept;
        }
    };
    let of_accounts = stream::iter(accounts)
        .map(|account| process_account(app, run, policy, account))
        .buffer_unordered(AT_A_TIME);
    let parts: Vec<_> = of_accounts.collect().await;
    parts.into_iter().for_each(|part| swept.add(part));
    if !run.dry_run {
        let of_follow_ups = stream::iter(follow_ups)
            .map(|(organization, kind)| process_follow_up(app, run, policy, organization, kind))
            .buffer_unordered(AT_A_TIME);
        let parts: Vec<_> = of_follow_ups.collect().await;
        parts.into_iter().for_each(|part| swept.summary.add(part));
    }
    swept
}
