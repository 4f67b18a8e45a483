//! The shared state of a function: portals, store, password hasher and clock.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rand::rngs::{StdRng, SysRng};
use rand::{CryptoRng, SeedableRng};
use vestibule_domain::Decision;
use vestibule_domain::policy::portals::Portals;
use vestibule_domain::policy::{LetterAddress, Policy};
use vestibule_domain::rules::activate::FreshCode;
use vestibule_domain::rules::consequences::ScheduledDecision;
use vestibule_domain::state::membership::Membership;
use vestibule_domain::values::text::{PostalAddress, Sensitive};
use vestibule_secrets::signing::Signer;
use vestibule_secrets::{Keyring, Purpose};
use vestibule_store::{CommitError, Store, StoreError};

use crate::secret_check::Passwords;
use crate::usernames;

/// The system clock, or a clock that tests and `cargo portal` control.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The system clock.
    #[default]
    System,
    /// A fixed time in milliseconds since the epoch, for tests.
    Manual(Arc<AtomicI64>),
    /// The system clock plus an offset in milliseconds; `cargo portal tick` changes the offset.
    Ahead(Arc<AtomicI64>),
}

impl Clock {
    /// Creates a clock that is fixed at a time.
    pub fn at(moment: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(moment.as_millisecond())))
    }

    /// Creates a clock that runs ahead of the system clock.
    pub fn ahead_by(time: jiff::SignedDuration) -> Self {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(0);
        Self::Ahead(Arc::new(AtomicI64::new(milliseconds)))
    }

    /// Returns the offset from the system clock; zero for a fixed clock.
    pub fn ahead(&self) -> jiff::SignedDuration {
        match self {
            Self::Ahead(by) => jiff::SignedDuration::from_millis(by.load(Ordering::SeqCst)),
            Self::System | Self::Manual(_) => jiff::SignedDuration::ZERO,
        }
    }

    /// Returns the current time, to the millisecond.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that reads the system clock"
    )]
    pub fn now(&self) -> Timestamp {
        let milliseconds = match self {
            Self::System => Timestamp::now().as_millisecond(),
            Self::Manual(at) => at.load(Ordering::SeqCst),
            Self::Ahead(by) => Timestamp::now()
                .as_millisecond()
                .saturating_add(by.load(Ordering::SeqCst)),
        };
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::MAX)
    }

    /// Advances a fixed or offset clock; has no effect on the system clock.
    pub fn advance(&self, by: jiff::SignedDuration) {
        if let Self::Manual(at) | Self::Ahead(at) = self {
            at.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

/// Creates a random number generator for one request, seeded by the operating system.
///
/// # Panics
/// When the operating system's random number generator fails; no request may continue without it.
pub fn rng() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).expect("the operating system provides randomness")
}

/// The state that all handlers of a function share.
#[derive(Debug, Clone)]
pub struct App {
    pub portals: Arc<Portals>,
    pub store: Store,
    pub hasher: Passwords,
    pub clock: Clock,
    /// Signs tokens for applications.
    pub signer: Arc<Signer>,
    /// The minimum time of a response whose timing could reveal what was found
    /// ([`in_least_time`](crate::router::in_least_time)).
    pub least_time: Duration,
}

/// [`App::least_time`] in production: several times the work behind such a response, and short enough that
/// users do not notice.
pub const LEAST_TIME: Duration = Duration::from_millis(250);

impl App {
    pub fn rng(&self) -> StdRng {
        rng()
    }

    pub(crate) fn keyring(&self) -> &Keyring {
        self.store.keyring()
    }

    /// Returns a digest that nobody can predict without the keyring, to make choices that look random and
    /// stay the same.
    pub fn keyed_digest(&self, context: &str, value: &str) -> Vec<u8> {
        let value = Sensitive::new(value);
        self.keyring()
            .lasting_code(Purpose::SecurityAnswer, context, &value)
    }

    /// Commits a decision with everything that follows from it on the schedule. A username that a
    /// campaign released is first removed from its owner (ME-10).
    ///
    /// # Errors
    /// The errors of [`Store::commit`].
    pub async fn commit(
        &self,
        decision: Decision,
        rng: &mut (impl CryptoRng + Send),
    ) -> Result<(), CommitError> {
        let released =
            usernames::released_name(&decision, &self.portals).map_err(StoreError::from)?;
        match released {
            None => self.commit_once(decision, rng).await,
            Some((name, policy)) => usernames::commit(self, decision, &name, policy, rng).await,
        }
    }

    /// Commits a decision, whether or not a campaign released the username that it takes.
    pub(crate) async fn commit_once(
        &self,
        decision: Decision,
        rng: &mut impl CryptoRng,
    ) -> Result<(), CommitError> {
        let scheduled =
            ScheduledDecision::new(decision, &self.portals).map_err(StoreError::from)?;
        self.store.commit(scheduled, rng).await
    }

    /// Returns the address for a membership's PIN letter; `None` if the portal sends no PIN letters or no
    /// address is known.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn letter_address(
        &self,
        membership: &Membership,
        policy: &Policy,
    ) -> Result<Option<PostalAddress>, StoreError> {
        match (policy.pin.as_ref().map(|p| p.address), &membership.record) {
            (Some(LetterAddress::Designated), _) => Ok(membership.postal_address.clone()),
            (Some(LetterAddress::PlanRecords), Some(record)) => {
                let record = self.store.plan_record(record).await?;
                Ok(record.and_then(|r| r.data.address))
            }
            (Some(LetterAddress::PlanRecords), None) | (None, _) => Ok(None),
        }
    }

    /// Generates a registration code if the portal uses them.
    pub fn fresh_registration_code(
        &self,
        policy: &Policy,
        rng: &mut (impl CryptoRng + ?Sized),
    ) -> Option<FreshCode> {
        let rules = policy.registration_code.as_ref()?;
        let (prefix, digits) = (rules.prefix.as_str(), rules.digits.get());
        Some(FreshCode::random(prefix, digits, rng, |id, code| {
            self.keyring()
                .mac(Purpose::RegistrationCode, id.as_str(), code)
        }))
    }

    /// Generates a PIN and its keyed MAC.
    pub fn fresh_pin(&self, digits: u32, rng: &mut (impl CryptoRng + ?Sized)) -> FreshCode {
        FreshCode::random("", digits, rng, |id, pin| {
            self.keyring().mac(Purpose::Pin, id.as_str(), pin)
        })
    }
}
