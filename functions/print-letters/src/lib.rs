//! Prints the letters in the outbox: once a day, all of them go into one PDF, one page per letter,
//! with a manifest that lists the pages. Each letter is printed once; after that, its PIN exists only
//! on paper.
//!
//! | Step | What is written | After a crash |
//! |---|---|---|
//! | open | the batch lists its letters, in one conditional write | nothing was done, or the next run finds the open batch |
//! | claim | each letter gets the batch's name; withdrawn ones are skipped | the next run claims the same letters |
//! | print | `letters.pdf`, then `problems.csv`, then `manifest.csv`, which marks the batch as complete | the next run overwrites them with the same contents |
//! | report | the owner of each letter that can't be printed is notified | the next run notifies those who were not |
//! | close | each letter is marked and its PIN erased | the next run finds a closed letter, prints nothing, and closes the rest |
//! | done | the batch is closed | the next run closes it and opens its own |
//!
//! Concurrent runs work on the same batch and write the same contents.

use std::sync::Arc;

use aws_sdk_s3::Client;
use aws_sdk_s3::error::{ProvideErrorMetadata, SdkError};
use futures::future::try_join_all;
use jiff::Timestamp;
use jiff::civil::Date;
use vestibule_domain::outbox::letter::{Letter, LetterText};
use vestibule_domain::policy::PolicyError;
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::rules::activate;
use vestibule_domain::rules::consequences::ScheduledDecision;
use vestibule_domain::rules::context::Context;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::values::ids::MessageId;
use vestibule_http::Clock;
use vestibule_mail::letters::{self, Page, PdfError};
use vestibule_store::batches::{Batch, LetterClaim, Printing};
use vestibule_store::outbox::{Ending, Queue, SHARDS};
use vestibule_store::{CommitError, Store, StoreError};

/// The maximum number of letters in a batch, to limit the size of the PDF and the memory to create
/// it.
pub const MAX_LETTERS: usize = 5_000;

/// How many letters are claimed or closed at the same time.
const CONCURRENCY: usize = 16;

/// The maximum number of attempts to change an account while others change it.
const MAX_ATTEMPTS: usize = 3;

/// Why letters can't be printed now. The next run prints what this one didn't.
#[derive(Debug, thiserror::Error)]
pub enum PrintError {
    /// The store is unavailable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A portal's policy is invalid.
    #[error(transparent)]
    Policy(#[from] PolicyError),
    /// A file can't be uploaded to the bucket.
    #[error("failed to upload {file} to S3: {cause}")]
    Put {
        file: String,
        /// The S3 error code.
        cause: String,
    },
    /// The account of a letter that can't be printed keeps changing.
    #[error("the account of a letter keeps changing")]
    Busy,
    /// The PDF can't be created.
    #[error(transparent)]
    Pdf(#[from] PdfError),
    /// A CSV file can't be written.
    #[error("failed to write a CSV file: {0}")]
    List(#[from] csv::Error),
}

/// The counts of a run.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of batches finished.
    pub batches: usize,
    /// The number of letters printed.
    pub printed: usize,
    /// The number of letters that could not be printed.
    pub problems: usize,
}

/// A letter and its page in a batch.
#[derive(Debug)]
pub struct Printed<'a> {
    /// The key of the PDF.
    pub pdf: &'a str,
    /// The page number, starting at 1.
    pub number: usize,
    pub letter: &'a Letter,
    pub page: &'a Page,
}

/// Prints letters into a bucket.
#[derive(Debug, Clone)]
pub struct Printer {
    pub store: Store,
    /// The portals that letters are sent for.
    pub portals: Arc<Portals>,
    pub s3: Client,
    /// The name of the bucket.
    pub bucket: String,
    pub clock: Clock,
    /// The maximum number of letters in a batch, up to [`MAX_LETTERS`].
    pub most: usize,
}

/// The result of laying out a letter of a batch.
struct Outcome {
    id: MessageId,
    letter: Option<Letter>,
    page: Result<Page, String>,
}

impl Printer {
    /// Finishes the batch that a previous run left open, if there is one, and prints the letters in
    /// the outbox.
    ///
    /// # Errors
    /// [`PrintError`]; the next run continues where this one ended.
    pub async fn run(&self) -> Result<Summary, PrintError> {
        self.run_and_show(&|_| ()).await
    }

    /// Does the same as [`Printer::run`] and shows each page once its batch is complete; after a
    /// crash, a page may be shown again.
    ///
    /// # Errors
    /// [`PrintError`].
    pub async fn run_and_show(
        &self,
        show: &(dyn Fn(&Printed<'_>) + Sync),
    ) -> Result<Summary, PrintError> {
        let mut summary = Summary::default();
        loop {
            let batch = match self.store.printing().await? {
                Printing::Open(batch) => batch,
                Printing::Idle(last) => {
                    let now = self.clock.now();
                    let waiting = self.waiting(now).await?;
                    if waiting.is_empty() {
                        return Ok(summary);
                    }
                    match self.store.open_batch(last, waiting, now).await? {
                        Some(batch) => batch,
                        None => continue,
                    }
                }
            };
            let (printed, problems) = self.finish(&batch, show).await?;
            summary.batches += 1;
            summary.printed += printed;
            summary.problems += problems;
            if printed + problems == 0 {
                // The index is outdated and lists letters that are closed; the next run looks
                // again.
                return Ok(summary);
            }
        }
    }

    /// Returns the letters for the next batch. Those of a portal whose policy is invalid wait until it is
    /// corrected, and delay no others.
    async fn waiting(&self, now: Timestamp) -> Result<Vec<MessageId>, PrintError> {
        let most = self.most.min(MAX_LETTERS);
        let each = i32::try_from(most.div_ceil(usize::from(SHARDS))).unwrap_or(i32::MAX);
        let mut waiting = Vec::new();
        for (portal, policy) in self.portals.each() {
            match policy {
                Ok(policy) if policy.sends_letters() => {}
                Ok(_) => continue,
                Err(error) => {
                    tracing::error!(%portal, %error, "letters wait until the policy is valid");
                    continue;
                }
            }
            let queue = Queue::Letters(portal);
            waiting.extend(self.store.pending_messages(queue, each, now).await?);
        }
        waiting.truncate(most);
        Ok(waiting)
    }

    /// Finishes a batch from any step.
    async fn finish(
        &self,
        batch: &Batch,
        show: &(dyn Fn(&Printed<'_>) + Sync),
    ) -> Result<(usize, usize), PrintError> {
        let mut claims = Vec::with_capacity(batch.letters.len());
        for ids in batch.letters.chunks(CONCURRENCY) {
            let claimed = ids.iter().map(|id| self.store.claim_letter(batch, id));
            claims.extend(ids.iter().cloned().zip(try_join_all(claimed).await?));
        }
        let complete = claims.iter().any(|(_, c)| *c == LetterClaim::Closed);
        let laid_out = claims
            .into_iter()
            .map(|(id, claim)| self.lay_out(id, claim));
        let outcomes: Vec<_> = laid_out
            .filter_map(Result::transpose)
            .collect::<Result<_, _>>()?;
        if !complete && !outcomes.is_empty() {
            self.print(batch, &outcomes, show).await?;
        }
        for outcome in &outcomes {
            self.report(outcome).await?;
        }
        let now = self.clock.now();
        for outcomes in outcomes.chunks(CONCURRENCY) {
            let closed = outcomes.iter().map(|outcome| {
                let ending = if outcome.page.is_ok() {
                    Ending::Sent
                } else {
                    Ending::Refused
                };
                self.store.close_letter(batch, &outcome.id, ending, now)
            });
            try_join_all(closed).await?;
        }
        self.store.close_batch(batch).await?;
        let problems = outcomes.iter().filter(|o| o.page.is_err()).count();
        Ok((outcomes.len() - problems, problems))
    }

    /// Records on the account that its letter could not be printed, and notifies its owner (ME-08).
    async fn report(&self, outcome: &Outcome) -> Result<(), PrintError> {
        let (Err(_), Some(letter)) = (&outcome.page, &outcome.letter) else {
            return Ok(());
        };
        let (LetterText::Pin { account, .. } | LetterText::FactorReset { account, .. }) =
            &letter.text
        else {
            return Ok(());
        };
        let Ok(Some(policy)) = self.portals.get(letter.portal.as_str()) else {
            return Ok(());
        };
        let origin = Origin {
            portal: letter.portal.clone(),
            at: self.clock.now(),
            source: None,
        };
        let mut rng = vestibule_http::app::rng();
        for _ in 0..MAX_ATTEMPTS {
            let Some(found) = self.store.account(&letter.portal, account).await? else {
                return Ok(());
            };
            let context = Context::new(policy, &origin, &mut rng);
            let Some(decision) = activate::letter_not_printed(&found, &outcome.id, context) else {
                return Ok(());
            };
            let scheduled =
                ScheduledDecision::new(decision, &self.portals).map_err(StoreError::from)?;
            match self.store.commit(scheduled, &mut rng).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Store(cause)) => return Err(cause.into()),
                // The account changed at the same time: read it again.
                Err(CommitError::Stale | CommitError::Taken(_)) => {}
            }
        }
        Err(PrintError::Busy)
    }

    /// Lays out a letter; `None` if it is not printed with the batch. A policy that became invalid after
    /// the batch was opened is an error, because the batch must not change.
    fn lay_out(&self, id: MessageId, claim: LetterClaim) -> Result<Option<Outcome>, PolicyError> {
        let letter = match claim {
            LetterClaim::Taken(letter) => *letter,
            LetterClaim::Unreadable => {
                let page = Err("the letter can't be read".to_owned());
                return Ok(Some(Outcome {
                    id,
                    letter: None,
                    page,
                }));
            }
            LetterClaim::Gone | LetterClaim::Closed => return Ok(None),
        };
        let page = match self.portals.get(letter.portal.as_str())? {
            Some(policy) => letters::lay_out(&letter, policy).map_err(|e| e.to_string()),
            None => Err("the portal no longer exists".to_owned()),
        };
        Ok(Some(Outcome {
            id,
            letter: Some(letter),
            page,
        }))
    }

    /// Uploads the files of a batch, the manifest last.
    async fn print(
        &self,
        batch: &Batch,
        outcomes: &[Outcome],
        show: &(dyn Fn(&Printed<'_>) + Sync),
    ) -> Result<(), PrintError> {
        let name = batch.id();
        let key = |file: &str| format!("{name}/{file}");
        let (mut manifest, mut problems) = (
            csv::Writer::from_writer(Vec::new()),
            csv::Writer::from_writer(Vec::new()),
        );
        manifest.write_record(["batch", "portal", "letter", "page", "kind"])?;
        let head = [
            "batch", "portal", "letter", "kind", "account", "record", "reason",
        ];
        problems.write_record(head)?;
        let mut pages = Vec::new();
        let mut wrong = 0;
        for Outcome { id, letter, page } in outcomes {
            let portal = letter.as_ref().map_or("", |l| l.portal.as_str());
            let kind = letter.as_ref().map_or("", letters::kind);
            match page {
                Ok(page) => {
                    pages.push(page.clone());
                    let number = pages.len().to_string();
                    manifest.write_record([name.as_str(), portal, id.as_str(), &number, kind])?;
                }
                Err(reason) => {
                    wrong += 1;
                    let (account, record) = match letter.as_ref().map(|l| &l.text) {
                        Some(
                            LetterText::Pin { account, .. }
                            | LetterText::FactorReset { account, .. },
                        ) => (account.as_str(), ""),
                        Some(LetterText::Notification { provider_id, .. }) => {
                            ("", provider_id.as_str())
                        }
                        None => ("", ""),
                    };
                    let row = [
                        name.as_str(),
                        portal,
                        id.as_str(),
                        kind,
                        account,
                        record,
                        reason,
                    ];
                    problems.write_record(row)?;
                }
            }
        }
        let pdf = key("letters.pdf");
        if !pages.is_empty() {
            self.put(&pdf, "application/pdf", letters::pdf(&pages)?)
                .await?;
        }
        if wrong > 0 {
            tracing::error!(batch = %name, letters = wrong, "letters could not be printed; see the batch's problems.csv");
            self.put(&key("problems.csv"), CSV, written(problems)?)
                .await?;
        }
        self.put(&key("manifest.csv"), CSV, written(manifest)?)
            .await?;
        let printed = outcomes
            .iter()
            .filter_map(|o| Some((o.letter.as_ref()?, o.page.as_ref().ok()?)));
        for (i, (letter, page)) in printed.enumerate() {
            show(&Printed {
                pdf: &pdf,
                number: i + 1,
                letter,
                page,
            });
        }
        Ok(())
    }

    async fn put(&self, key: &str, kind: &str, bytes: Vec<u8>) -> Result<(), PrintError> {
        let put = self.s3.put_object().bucket(&self.bucket).key(key);
        let put = put.content_type(kind).body(bytes.into()).send().await;
        put.map(drop).map_err(|e| PrintError::Put {
            file: key.to_owned(),
            cause: match &e {
                SdkError::ServiceError(response) => {
                    response.err().code().unwrap_or("unknown").to_owned()
                }
                _ => "no response".to_owned(),
            },
        })
    }
}

const CSV: &str = "text/csv; charset=utf-8";

fn written(list: csv::Writer<Vec<u8>>) -> Result<Vec<u8>, csv::Error> {
    list.into_inner().map_err(|e| e.into_error().into())
}

/// Returns a file name for a letter: its date, its portal and its id.
pub fn file_name(letter: &Letter) -> String {
    let day: Date = letter.dated;
    format!("{day}-{}-{}", letter.portal, letter.id)
}
