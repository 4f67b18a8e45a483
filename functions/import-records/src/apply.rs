//! Saves the rows of a feed as plan records and applies the consequences to accounts.
//!
//! An unchanged record costs a hundredth of a call. A changed record is first written without its
//! digest, then every affected account is updated, then the digest is set: if a run is stopped in
//! between, the record has no digest and the next run applies the consequences.

use std::collections::BTreeMap;

use futures::future::FutureExt;
use futures::stream::{self, StreamExt, TryStreamExt};
use rand::rngs::StdRng;
use vestibule_domain::Decision;
use vestibule_domain::policy::{OnTermination, Policy};
use vestibule_domain::rules::activate::{self, WithheldLetter};
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::record_changes::{self, RecordState};
use vestibule_domain::rules::register::letter_address;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::Origin;
use vestibule_domain::state::membership::Registration;
use vestibule_domain::state::organization::Organization;
use vestibule_domain::state::record::{Claim, NewRecord, PlanRecord, RecordKey};
use vestibule_domain::values::ids::{AccountId, OrganizationId, PortalId};
use vestibule_http::App;
use vestibule_store::records::{Known, Saved, Saving};
use vestibule_store::{CommitError, InvitationsCursor, UserFilter, UsersCursor};

use crate::{ImportError, Summary};

/// How many rows are processed together: as many as one DynamoDB read returns.
pub(crate) const AT_A_TIME: usize = 100;

/// How many records are written at the same time.
const SIDE_BY_SIDE: usize = 32;

/// The maximum number of attempts when other changes conflict. Not `transact`, because one record changes
/// many accounts and a failure must stop the import; more attempts, because nobody is there to try again.
const MAX_ATTEMPTS: usize = 8;

/// How rows are applied.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Applying<'a> {
    pub app: &'a App,
    /// The sort order of the feed, if the rows come from one.
    pub feed: Option<&'a str>,
    /// Whether new providers are notified by letter (EX-06).
    pub notifies: bool,
}

/// The result of one record.
#[derive(Debug, Default)]
struct Done {
    saved: bool,
    ended: bool,
    accounts: u64,
    letters: u64,
}

impl Applying<'_> {
    /// Applies up to [`AT_A_TIME`] rows. If a record appears in several of them, the last one
    /// counts.
    pub async fn batch(
        &self,
        rows: Vec<NewRecord>,
        summary: &mut Summary,
    ) -> Result<(), ImportError> {
        let rows: BTreeMap<RecordKey, NewRecord> =
            rows.into_iter().map(|row| (row.key.clone(), row)).collect();
        let keys: Vec<_> = rows.keys().collect();
        let known = self.app.store.known_records(&keys).await?;
        let mut changed = Vec::new();
        for row in rows.values() {
            let known = known.get(&row.key);
            if row.ended {
                if known.is_some_and(|k| !k.ended || k.listed) {
                    changed.push((row, known, String::new()));
                } else {
                    summary.unchanged += 1;
                }
                continue;
            }
            let digest = self.app.store.record_digest(row)?;
            if known.and_then(|k| k.digest.as_ref()) == Some(&digest) {
                summary.unchanged += 1;
            } else {
                changed.push((row, known, digest));
            }
        }
        let work: Vec<_> = changed
            .into_iter()
            .map(|(row, known, digest)| self.apply(row, known, digest).boxed())
            .collect();
        let mut results = stream::iter(work).buffer_unordered(SIDE_BY_SIDE);
        while let Some(done) = results.try_next().await? {
            summary.add(&done);
        }
        Ok(())
    }

    /// Ends records that are no longer in the feed.
    pub async fn end_all(
        &self,
        keys: &[RecordKey],
        summary: &mut Summary,
    ) -> Result<(), ImportError> {
        let work: Vec<_> = keys.iter().map(|key| self.end(key).boxed()).collect();
        let mut results = stream::iter(work).buffer_unordered(SIDE_BY_SIDE);
        while let Some(done) = results.try_next().await? {
            summary.add(&done);
        }
        Ok(())
    }

    async fn apply(
        &self,
        row: &NewRecord,
        known: Option<&Known>,
        digest: String,
    ) -> Result<Done, ImportError> {
        if row.ended {
            self.end(&row.key).await
        } else {
            self.save(row, known, &digest).await
        }
    }

    async fn save(
        &self,
        row: &NewRecord,
        known: Option<&Known>,
        digest: &str,
    ) -> Result<Done, ImportError> {
        let store = &self.app.store;
        let opens = |p: &Policy| {
            record_changes::notified_registration_type(&row.key, &row.data, p).is_some()
        };
        let is_new = self.notifies && known.is_none();
        // A portal whose policy is invalid may send the letter when it is corrected.
        let is_open_question = is_new
            && !self.policies(&row.key).any(opens)
            && self.app.portals.each().any(|(_, policy)| policy.is_err());
        let to_notify = is_open_question || (is_new && self.policies(&row.key).any(opens));
        // Nobody can have registered with a record that did not exist, so it has no consequences.
        let at_once = known.is_none() && !to_notify;
        let saving = Saving {
            feed: self.feed,
            digest: at_once.then_some(digest),
            to_notify,
        };
        let before = match store.save_record(row, saving, &mut self.app.rng()).await? {
            Saved::Written(before) => before,
            Saved::Superseded => return Ok(Done::default()),
        };
        let mut done = Done {
            saved: true,
            ..Done::default()
        };
        if to_notify || before.as_ref().is_some_and(|b| b.to_notify) {
            done.letters += u64::from(self.notify(row).await?);
        }
        let mut claims = before.map(|b| b.claims).unwrap_or_default();
        let (accounts, is_complete) = self.follow_all(&claims, &row.key, Some(row)).await?;
        done.accounts += accounts;
        if is_open_question || !is_complete {
            // Without a digest, the next feed applies the record again.
            return Ok(done);
        }
        if !at_once {
            // Anyone who registered since the write may have read the record before or after it.
            let now = store.settle_record(&row.key, digest, self.feed).await?;
            let mut new = now.map(|now| now.claims).unwrap_or_default();
            new.retain(|portal, claim| {
                claims.insert(portal.clone(), claim.clone()).as_ref() != Some(claim)
            });
            let (accounts, _) = self.follow_all(&new, &row.key, Some(row)).await?;
            done.accounts += accounts;
        }
        Ok(done)
    }

    async fn end(&self, key: &RecordKey) -> Result<Done, ImportError> {
        let store = &self.app.store;
        // The day is informational; no rule depends on it.
        let day = self
            .app
            .clock
            .now()
            .to_zoned(jiff::tz::TimeZone::UTC)
            .date();
        let Saved::Written(before) = store.end_record(key, day, self.feed).await? else {
            return Ok(Done::default());
        };
        let mut done = Done {
            ended: true,
            ..Done::default()
        };
        let claims = before.map(|b| b.claims).unwrap_or_default();
        let (accounts, is_complete) = self.follow_all(&claims, key, None).await?;
        done.accounts += accounts;
        // Must come last: if a run is stopped before, the next one finds the record listed again.
        if is_complete {
            store.unlist_record(key).await?;
        }
        Ok(done)
    }

    /// Returns the valid policies of the portals of a record's plan.
    fn policies(&self, key: &RecordKey) -> impl Iterator<Item = &Policy> {
        let of_plan = |p: &&Policy| p.plan.id.as_str() == key.plan;
        self.app.portals.valid().map(|p| &**p).filter(of_plan)
    }

    /// Applies a record on every portal where someone registered with it. A portal whose policy is
    /// invalid is skipped and logged: its users keep what they have, and nobody else waits. Returns how
    /// many accounts and organizations changed, and whether no portal was skipped.
    async fn follow_all(
        &self,
        claims: &BTreeMap<PortalId, Claim>,
        key: &RecordKey,
        row: Option<&NewRecord>,
    ) -> Result<(u64, bool), ImportError> {
        let (mut changed, mut is_complete) = (0, true);
        for (portal, claim) in claims {
            match self.follow(portal, claim, key, row).await {
                Ok(accounts) => changed += accounts,
                Err(ImportError::Policy(error)) => {
                    tracing::error!(%portal, %error, "a record waits until the policy is valid");
                    is_complete = false;
                }
                Err(other) => return Err(other),
            }
        }
        Ok((changed, is_complete))
    }

    fn origin(&self, portal: &PortalId) -> Origin {
        Origin {
            portal: portal.clone(),
            at: self.app.clock.now(),
            source: None,
        }
    }

    /// Sends the letter to the provider of a new record, once.
    async fn notify(&self, row: &NewRecord) -> Result<bool, ImportError> {
        let Some(policy) = self
            .policies(&row.key)
            .find(|p| record_changes::notified_registration_type(&row.key, &row.data, p).is_some())
        else {
            return Ok(false);
        };
        let record = PlanRecord {
            key: row.key.clone(),
            facts: BTreeMap::new(),
            data: row.data.clone(),
            claims: BTreeMap::new(),
            ended: false,
            to_notify: true,
            version: 0,
        };
        let mut rng = self.app.rng();
        let Some(decision) = record_changes::notify(
            &record,
            Context::new(policy, &self.origin(&policy.portal), &mut rng),
        ) else {
            tracing::warn!(plan = %row.key.plan, "a provider to notify has no mailing address");
            return Ok(false);
        };
        match self.app.commit(decision, &mut rng).await {
            Ok(()) => Ok(true),
            // Another run has already sent it.
            Err(CommitError::Stale | CommitError::Taken(_)) => Ok(false),
            Err(CommitError::Store(cause)) => Err(cause.into()),
        }
    }

    /// Applies a record to every account that depends on it; without a row, the record has ended.
    /// Returns how many accounts and organizations changed.
    async fn follow(
        &self,
        portal: &PortalId,
        claim: &Claim,
        key: &RecordKey,
        row: Option<&NewRecord>,
    ) -> Result<u64, ImportError> {
        let Some(policy) = self.app.portals.get(portal.as_str())? else {
            return Ok(0);
        };
        if row.is_none() && policy.records.on_termination == OnTermination::Keep {
            return Ok(0);
        }
        let state = row.map_or(RecordState::Ended, |row| RecordState::Holds(&row.data));
        let mut changed = 0;
        if let Some(id) = &claim.organization {
            changed += self.organization(policy, id, key, state).await?;
        }
        for account in claim.by.values() {
            if claim.organization.is_none() {
                changed += u64::from(self.person(portal, account, None, key, state).await?);
            }
            if let Some(row) = row {
                changed += u64::from(self.agreements(policy, account, row).await?);
            }
        }
        Ok(changed)
    }

    async fn organization(
        &self,
        policy: &Policy,
        id: &OrganizationId,
        key: &RecordKey,
        state: RecordState<'_>,
    ) -> Result<u64, ImportError> {
        let store = &self.app.store;
        let portal = &policy.portal;
        let origin = self.origin(portal);
        let mut changed = 0;
        let mut looks = 0;
        let organization = loop {
            let Some(found) = store.organization(portal, id).await? else {
                return Ok(0);
            };
            let mut rng = self.app.rng();
            let decision = match state {
                RecordState::Ended => None,
                RecordState::Holds(data) => {
                    let context = Context::new(policy, &origin, &mut rng);
                    record_changes::organization(&found, data, context)
                }
            };
            let Some(decision) = decision else {
                break found;
            };
            match self.app.commit(decision, &mut rng).await {
                Ok(()) => changed += 1,
                Err(CommitError::Store(cause)) => return Err(cause.into()),
                Err(CommitError::Stale | CommitError::Taken(_)) => {}
            }
            looks += 1;
            if looks > MAX_ATTEMPTS {
                return Err(ImportError::Contended);
            }
        };
        // Must precede the users: anyone who accepts an invitation at the same time is then among
        // the users, or finds it revoked.
        if matches!(state, RecordState::Ended) {
            changed += self.invitations(portal, id).await?;
        }
        let everybody = UserFilter::default();
        let mut cursor = None;
        loop {
            let page = store
                .users(portal, id, &everybody, cursor.as_ref(), AT_A_TIME)
                .await?;
            for user in page.items {
                let ended = user.registration == Registration::RecordEnded;
                if record_changes::concerns(
                    ended,
                    &organization.group_codes,
                    &user.group_codes,
                    state,
                ) {
                    let done = self
                        .person(portal, &user.account, Some(&organization), key, state)
                        .await?;
                    changed += u64::from(done);
                }
            }
            cursor = page.next.as_deref().and_then(UsersCursor::parse);
            if cursor.is_none() {
                return Ok(changed);
            }
        }
    }

    /// Revokes the open invitations of an organization whose record has ended.
    async fn invitations(
        &self,
        portal: &PortalId,
        id: &OrganizationId,
    ) -> Result<u64, ImportError> {
        let store = &self.app.store;
        let origin = self.origin(portal);
        let mut changed = 0;
        let (mut cursor, mut looks, mut again) = (None, 0, false);
        loop {
            let page = store
                .invitations(portal, id, cursor.as_ref(), AT_A_TIME as u8)
                .await?;
            for invitation in page.items {
                let mut rng = self.app.rng();
                let Some(decision) = record_changes::invitation(&invitation, &origin, &mut rng)
                else {
                    continue;
                };
                match self.app.commit(decision, &mut rng).await {
                    Ok(()) => changed += 1,
                    Err(CommitError::Store(cause)) => return Err(cause.into()),
                    // It was accepted, sent again or revoked at the same time.
                    Err(CommitError::Stale | CommitError::Taken(_)) => again = true,
                }
            }
            cursor = page.next.as_deref().and_then(InvitationsCursor::parse);
            if cursor.is_some() {
                continue;
            }
            if !again {
                return Ok(changed);
            }
            (looks, again) = (looks + 1, false);
            if looks > MAX_ATTEMPTS {
                return Err(ImportError::Contended);
            }
        }
    }

    async fn person(
        &self,
        portal: &PortalId,
        id: &AccountId,
        organization: Option<&Organization>,
        key: &RecordKey,
        state: RecordState<'_>,
    ) -> Result<bool, ImportError> {
        let origin = self.origin(portal);
        self.decide(portal, id, |account, rng| {
            record_changes::person(account, organization, key, state, &origin, rng)
        })
        .await
    }

    /// Applies the agreements that the plan has on file to an account that registered with the
    /// record (AG-11, BL-10).
    async fn agreements(
        &self,
        policy: &Policy,
        id: &AccountId,
        row: &NewRecord,
    ) -> Result<bool, ImportError> {
        let origin = self.origin(&policy.portal);
        let digits = policy.pin.as_ref().map_or(0, |p| p.digits.get());
        self.decide(&policy.portal, id, |account, rng| {
            let fresh = self.app.fresh_pin(digits, rng);
            let designated = account
                .memberships
                .iter()
                .find(|m| m.record.as_ref() == Some(&row.key))
                .and_then(|m| m.postal_address.as_ref());
            let letter = WithheldLetter {
                fresh,
                address: letter_address(policy, &row.data, designated),
                organization: Some(row.data.name.clone()),
            };
            let on_file = &row.data.agreements;
            activate::agreements_recorded(
                account,
                on_file,
                &row.key,
                Some(letter),
                Context::new(policy, &origin, rng),
            )
            .map(|(_, decision)| decision)
        })
        .await
    }

    /// Decides on an account, and again if it changed at the same time. Writes nothing if there is
    /// nothing to change.
    async fn decide(
        &self,
        portal: &PortalId,
        id: &AccountId,
        decide: impl Fn(&Account, &mut StdRng) -> Option<Decision>,
    ) -> Result<bool, ImportError> {
        for _ in 0..MAX_ATTEMPTS {
            let Some(account) = self.app.store.account(portal, id).await? else {
                return Ok(false);
            };
            let mut rng = self.app.rng();
            let Some(decision) = decide(&account, &mut rng) else {
                return Ok(false);
            };
            match self.app.commit(decision, &mut rng).await {
                Ok(()) => return Ok(true),
                Err(CommitError::Store(cause)) => return Err(cause.into()),
                Err(CommitError::Stale | CommitError::Taken(_)) => {}
            }
        }
        Err(ImportError::Contended)
    }
}

impl Summary {
    fn add(&mut self, done: &Done) {
        self.saved += u64::from(done.saved);
        self.ended += u64::from(done.ended);
        self.accounts += done.accounts;
        self.letters += done.letters;
    }
}
