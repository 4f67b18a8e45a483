//! Imports feeds from S3: in order, each checked before anything is written, and each to its end.

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_s3::primitives::ByteStream;
use jiff::Timestamp;
use serde_json::json;
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use tokio::sync::mpsc;
use vestibule_domain::feed::Reject;
use vestibule_domain::feed::sequence::{
    CurrentFeed, DoneFeed, Extent, FeedName, FeedState, LEASE, NotNow, is_suspicious,
};
use vestibule_domain::state::record::RecordKey;
use vestibule_http::App;
use vestibule_store::records::ListCursor;

use crate::apply::{AT_A_TIME, Applying};
use crate::event::S3Event;
use crate::reading::{self, Row};
use crate::{ImportError, Summary};

/// How many rows are processed between two saves of the progress.
const NOTED_EVERY: u64 = 2_000;

/// The maximum number of attempts to save the progress when another run conflicts.
const TRIES: usize = 5;

/// The object metadata with which an operator accepts that a full feed ends this many records.
pub const ACCEPT: &str = "accept-ended";

/// Imports feeds from S3.
#[derive(Debug, Clone)]
pub struct Importer {
    pub app: App,
    pub s3: Client,
    /// The name of the bucket with the feeds.
    pub bucket: String,
}

/// The outcome of a feed.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// The feed was imported.
    Imported(Summary),
    /// The feed had already been imported; nothing was done.
    Before,
    /// The feed was rejected and would be rejected again; with the reason.
    Refused(String),
}

/// An import in progress.
struct Run<'a> {
    importer: &'a Importer,
    name: FeedName,
    key: &'a str,
    content: String,
    state: FeedState,
    deadline: Option<Timestamp>,
}

/// The result of checking a feed.
struct LookedThrough {
    summary: Summary,
    /// The hashes of the records in the feed, sorted; 8 bytes per row.
    seen: Vec<u64>,
}

impl LookedThrough {
    fn has(&self, key: &RecordKey) -> bool {
        self.seen.binary_search(&hash(key)).is_ok()
    }
}

fn hash(key: &RecordKey) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one((&key.number, key.person))
}

impl Importer {
    /// Imports the feeds that an event names. A rejected feed isn't an error, so that Lambda
    /// doesn't retry it; it is logged as `feed_refused` to raise an alarm.
    ///
    /// # Errors
    /// The first [`ImportError`], after all feeds have been tried; the event should be retried.
    pub async fn handle(
        &self,
        event: &S3Event,
        deadline: Option<Timestamp>,
    ) -> Result<(), ImportError> {
        let mut first = Ok(());
        for record in &event.records {
            let key = record.s3.object.decoded();
            let done = if record.s3.bucket.name != self.bucket {
                Err(ImportError::S3(format!(
                    "received an event for bucket {} instead of {}",
                    record.s3.bucket.name, self.bucket
                )))
            } else if is_own(&key) {
                continue;
            } else {
                self.import(&key, deadline, |_| {}).await.map(drop)
            };
            if let Err(error) = done {
                tracing::error!(%error, "feed_failed");
                first = first.and(Err(error));
            }
        }
        first
    }

    /// Imports the feed with this key; `progress` is called after each batch.
    ///
    /// # Errors
    /// [`ImportError`]; a retry continues where this run ended.
    pub async fn import(
        &self,
        key: &str,
        deadline: Option<Timestamp>,
        progress: impl FnMut(&Summary),
    ) -> Result<Outcome, ImportError> {
        let name = FeedName::parse(key)?;
        let plan = name.plan.clone();
        if !self.app.portals.valid().any(|p| p.plan.id == plan) {
            // It may be the plan of a portal whose policy is invalid.
            self.app.portals.all()?;
            return Err(ImportError::UnknownPlan(plan));
        }
        let object = self
            .s3
            .head_object()
            .bucket(&self.bucket)
            .key(key)
            .send()
            .await
            .map_err(refused)?;
        let content = object.e_tag.unwrap_or_default();
        let accepted = object
            .metadata
            .as_ref()
            .and_then(|m| m.get(ACCEPT)?.parse().ok());
        let state = self.app.store.feed_state(plan.as_str(), name.kind).await?;
        let kind = name.kind;
        let mut run = Run {
            importer: self,
            name,
            key,
            content: content.clone(),
            state,
            deadline,
        };
        match run.begin().await {
            Ok(()) => {}
            Err(ImportError::NotNow(NotNow::Done)) => return Ok(Outcome::Before),
            Err(ImportError::NotNow(late @ NotNow::Late(_))) => {
                return run.refuse(late.to_string()).await;
            }
            Err(other) => return Err(other),
        }
        match run.go_on(accepted, progress).await {
            // Another run of the same feed may have finished first.
            Err(ImportError::TakenOver) => {
                let state = self.app.store.feed_state(plan.as_str(), kind).await?;
                let ours = |d: &DoneFeed| d.name == key && d.content == content;
                if state.done.as_ref().is_some_and(ours) {
                    return Ok(Outcome::Before);
                }
                Err(ImportError::TakenOver)
            }
            other => other,
        }
    }
}

impl Run<'_> {
    /// Acquires the lease for this feed.
    async fn begin(&mut self) -> Result<(), ImportError> {
        for _ in 0..TRIES {
            let now = self.importer.app.clock.now();
            let begun = self.state.begin(&self.name, &self.content, now)?;
            self.state.current = Some(begun);
            if self.save().await? {
                return Ok(());
            }
            self.reload().await?;
        }
        Err(ImportError::TakenOver)
    }

    async fn save(&mut self) -> Result<bool, ImportError> {
        let (plan, kind) = (self.name.plan.as_str(), self.name.kind);
        let store = &self.importer.app.store;
        Ok(store.save_feed_state(plan, kind, &mut self.state).await?)
    }

    async fn reload(&mut self) -> Result<(), ImportError> {
        let (plan, kind) = (self.name.plan.as_str(), self.name.kind);
        self.state = self.importer.app.store.feed_state(plan, kind).await?;
        Ok(())
    }

    /// Saves progress while this feed holds the lease. Concurrent runs of the same feed alternate
    /// here.
    async fn note(&mut self, change: impl Fn(&mut CurrentFeed)) -> Result<(), ImportError> {
        for _ in 0..TRIES {
            let Some(current) = self
                .state
                .current
                .as_mut()
                .filter(|c| c.is(&self.name, &self.content))
            else {
                break;
            };
            change(current);
            current.until = self.importer.app.clock.now() + LEASE;
            if self.save().await? {
                return Ok(());
            }
            self.reload().await?;
        }
        Err(ImportError::TakenOver)
    }

    /// Checks that this feed still holds the lease and that this run has time left.
    fn may_go_on(&self, rows: u64) -> Result<(), ImportError> {
        let now = self.importer.app.clock.now();
        let held = self.state.current.as_ref().is_some_and(|c| now < c.until);
        if !held {
            return Err(ImportError::TakenOver);
        }
        match self.deadline {
            Some(deadline) if now >= deadline => Err(ImportError::OutOfTime(rows)),
            _ => Ok(()),
        }
    }

    async fn rows(&self) -> Result<mpsc::Receiver<Result<Vec<Row>, ImportError>>, ImportError> {
        let object = self
            .importer
            .s3
            .get_object()
            .bucket(&self.importer.bucket)
            .key(self.key)
            .if_match(&self.content)
            .send()
            .await
            .map_err(refused)?;
        Ok(reading::rows(&self.name, object.body))
    }

    async fn put(&self, suffix: &str, kind: &str, body: String) -> Result<(), ImportError> {
        self.importer
            .s3
            .put_object()
            .bucket(&self.importer.bucket)
            .key(format!("{}{suffix}", self.key))
            .content_type(kind)
            .body(ByteStream::from(body.into_bytes()))
            .send()
            .await
            .map_err(refused)?;
        Ok(())
    }

    async fn status(
        &self,
        state: &str,
        detail: &str,
        summary: &Summary,
    ) -> Result<(), ImportError> {
        let body = json!({
            "feed": self.key,
            "content": self.content,
            "state": state,
            "detail": detail,
            "at": self.importer.app.clock.now(),
            "counts": summary,
        });
        let body = format!("{body:#}\n");
        self.put(STATUS, "application/json", body).await
    }

    /// Rejects the feed permanently, with nothing applied.
    async fn refuse(mut self, why: String) -> Result<Outcome, ImportError> {
        let ours = |c: &CurrentFeed| c.is(&self.name, &self.content);
        if self.state.current.as_ref().is_some_and(ours) {
            self.state.current = None;
            self.save().await?;
        }
        self.status("refused", &why, &Summary::default()).await?;
        tracing::error!(plan = %self.name.plan, kind = self.name.kind.into_str(), %why, "feed_refused");
        Ok(Outcome::Refused(why))
    }

    async fn go_on(
        mut self,
        accepted: Option<u64>,
        mut progress: impl FnMut(&Summary),
    ) -> Result<Outcome, ImportError> {
        let looked = match self.look_through().await {
            Ok(looked) => looked,
            // A retry would fail in the same way.
            Err(ImportError::Feed(error)) => return self.refuse(error.to_string()).await,
            Err(other) => return Err(other),
        };
        let full = self.name.extent == Extent::Full;
        let checked = self.state.current.as_ref().is_some_and(|c| c.checked);
        if full && !checked {
            let (ending, all) = self.would_end(&looked).await?;
            if is_suspicious(ending, all, self.most_percent())
                && accepted.is_none_or(|accepted| accepted < ending)
            {
                let why = format!(
                    "it would end {ending} of {all} records, which is more than the policy allows. If the feed is correct, upload it again with the metadata {ACCEPT}={ending}"
                );
                return self.refuse(why).await;
            }
        }
        if !looked.summary.rejects.is_empty() {
            let rejects = rejects(&looked.summary);
            self.put(REJECTS, "text/csv", rejects).await?;
        }
        self.note(|c| c.checked = true).await?;

        let order = self.name.sorted();
        let app = self.importer.app.clone();
        let applying = Applying {
            app: &app,
            feed: Some(&order),
            // The first feed of a kind holds providers that the plan has known for a long time
            // (EX-06).
            notifies: self.state.done.is_some(),
        };
        let mut summary = looked.summary.clone();
        self.apply(&applying, &mut summary, &mut progress).await?;
        if full {
            self.end_unseen(&applying, &looked, &mut summary, &mut progress)
                .await?;
        }
        self.finish(summary).await
    }

    /// Reads the whole feed without writing anything, and collects its rejected rows and its
    /// records.
    async fn look_through(&self) -> Result<LookedThrough, ImportError> {
        let mut looked = LookedThrough {
            summary: Summary::default(),
            seen: Vec::new(),
        };
        let mut rows = self.rows().await?;
        while let Some(batch) = rows.recv().await {
            for row in batch? {
                looked.summary.rows += 1;
                // An invalid row doesn't end its record.
                looked.seen.extend(row.key.as_ref().map(hash));
                if let Err(reject) = row.record {
                    looked.summary.reject(reject);
                }
            }
        }
        looked.seen.sort_unstable();
        looked.seen.dedup();
        looked.seen.shrink_to_fit();
        Ok(looked)
    }

    /// Counts the records that a full feed would end, and all records.
    async fn would_end(&self, looked: &LookedThrough) -> Result<(u64, u64), ImportError> {
        let (mut ending, mut all) = (0, 0);
        let mut cursor = Some(ListCursor::default());
        while let Some(from) = cursor.take() {
            let (page, next) = self.listed(from).await?;
            all += page.len() as u64;
            ending += page.iter().filter(|key| !looked.has(key)).count() as u64;
            cursor = next;
        }
        Ok((ending, all))
    }

    async fn listed(
        &self,
        from: ListCursor,
    ) -> Result<(Vec<RecordKey>, Option<ListCursor>), ImportError> {
        let store = &self.importer.app.store;
        let plan = self.name.plan.as_str();
        Ok(store.listed_records(plan, self.name.kind, from).await?)
    }

    fn most_percent(&self) -> u32 {
        let portals = self.importer.app.portals.valid();
        let of_plan = portals.filter(|p| p.plan.id == self.name.plan);
        let percents = of_plan.map(|p| p.records.max_terminated_percent.get());
        percents.min().unwrap_or(0)
    }

    /// Applies the rows from where the last run ended.
    async fn apply(
        &mut self,
        applying: &Applying<'_>,
        summary: &mut Summary,
        progress: &mut impl FnMut(&Summary),
    ) -> Result<(), ImportError> {
        let done = self.state.current.as_ref().map_or(0, |c| c.rows);
        let mut at = 0;
        let mut noted = done;
        let mut rows = self.rows().await?;
        while let Some(batch) = rows.recv().await {
            let batch = batch?;
            let count = batch.len() as u64;
            at += count;
            if at <= done {
                continue;
            }
            self.may_go_on(at - count)?;
            let records = batch
                .into_iter()
                .filter_map(|row| row.record.ok())
                .collect();
            applying.batch(records, summary).await?;
            progress(summary);
            if at - noted >= NOTED_EVERY {
                self.note(|c| c.rows = c.rows.max(at)).await?;
                noted = at;
            }
        }
        Ok(())
    }

    /// Ends the records that a full feed doesn't contain.
    async fn end_unseen(
        &mut self,
        applying: &Applying<'_>,
        looked: &LookedThrough,
        summary: &mut Summary,
        progress: &mut impl FnMut(&Summary),
    ) -> Result<(), ImportError> {
        let rows = looked.summary.rows;
        self.note(|c| c.rows = c.rows.max(rows)).await?;
        let mut cursor = Some(ListCursor::default());
        while let Some(from) = cursor.take() {
            let (mut page, next) = self.listed(from).await?;
            page.retain(|key| !looked.has(key));
            for some in page.chunks(AT_A_TIME) {
                self.may_go_on(rows)?;
                applying.end_all(some, summary).await?;
                self.note(|_| {}).await?;
                progress(summary);
            }
            cursor = next;
        }
        Ok(())
    }

    async fn finish(mut self, summary: Summary) -> Result<Outcome, ImportError> {
        self.status("imported", "", &summary).await?;
        for _ in 0..TRIES {
            let ours = |c: &CurrentFeed| c.is(&self.name, &self.content);
            if !self.state.current.as_ref().is_some_and(ours) {
                break;
            }
            self.state.current = None;
            self.state.done = Some(DoneFeed {
                name: self.name.to_string(),
                order: self.name.sorted(),
                content: self.content.clone(),
                at: self.importer.app.clock.now(),
            });
            if self.save().await? {
                tracing::info!(
                    plan = %self.name.plan, kind = self.name.kind.into_str(), day = %self.name.order.0,
                    rows = summary.rows, saved = summary.saved, unchanged = summary.unchanged,
                    ended = summary.ended, accounts = summary.accounts, letters = summary.letters,
                    rejected = summary.rejected, "feed_imported"
                );
                return Ok(Outcome::Imported(summary));
            }
            self.reload().await?;
        }
        // Another run of the same feed finished first.
        let done = self.state.done.as_ref();
        if done.is_some_and(|d| d.name == self.name.to_string() && d.content == self.content) {
            return Ok(Outcome::Imported(summary));
        }
        Err(ImportError::TakenOver)
    }
}

/// The suffix of the object that lists a feed's rejected rows.
const REJECTS: &str = ".rejects.csv";

/// The suffix of the object that holds a feed's status.
pub const STATUS: &str = ".status.json";

/// Whether an import created this object.
fn is_own(key: &str) -> bool {
    key.ends_with(REJECTS) || key.ends_with(STATUS)
}

/// Lists the rejected rows by number, column and reason. Their contents are left out because they
/// may be personal data.
fn rejects(summary: &Summary) -> String {
    let mut text = "row,column,reason\n".to_owned();
    for Reject {
        row,
        column,
        reason,
    } in &summary.rejects
    {
        let reason = reason.replace('"', "\"\"");
        text.push_str(&format!(
            "{row},{},\"{reason}\"\n",
            column.unwrap_or_default()
        ));
    }
    let more = summary.rejected - summary.rejects.len() as u64;
    if more > 0 {
        text.push_str(&format!(",,\"and {more} more\"\n"));
    }
    text
}

/// Converts an S3 error without the details of the request.
fn refused<E: ProvideErrorMetadata, R>(error: SdkError<E, R>) -> ImportError {
    ImportError::S3(match &error {
        SdkError::ServiceError(_) => {
            format!("request failed: {}", error.code().unwrap_or("unknown"))
        }
        _ => "no response".to_owned(),
    })
}
