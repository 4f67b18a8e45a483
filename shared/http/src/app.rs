//! What a function is made of.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use jiff::Timestamp;
use rand::SeedableRng;
use rand::rngs::{StdRng, SysRng};
use vestibule_domain::account::Membership;
use vestibule_domain::activate::FreshCode;
use vestibule_domain::policy::{LetterAddress, Policy};
use vestibule_domain::portals::Portals;
use vestibule_domain::text::PostalAddress;
use vestibule_secrets::{Hasher, Keyring, Purpose};
use vestibule_store::{Store, Unavailable};

/// The clock: the real one, or one that is set by hand.
#[derive(Debug, Clone, Default)]
pub enum Clock {
    /// The machine's.
    #[default]
    System,
    /// Milliseconds since the epoch, set by hand: in tests.
    Manual(Arc<AtomicI64>),
    /// The machine's, ahead by so many milliseconds: `cargo portal tick` moves it.
    Ahead(Arc<AtomicI64>),
}

impl Clock {
    /// A clock that stands at a moment.
    pub fn at(moment: Timestamp) -> Self {
        Self::Manual(Arc::new(AtomicI64::new(moment.as_millisecond())))
    }

    /// The machine's clock, ahead by a time.
    pub fn ahead_by(time: jiff::SignedDuration) -> Self {
        let milliseconds = i64::try_from(time.as_millis()).unwrap_or(0);
        Self::Ahead(Arc::new(AtomicI64::new(milliseconds)))
    }

    /// By how much it is ahead of the machine's, where it goes with that.
    pub fn ahead(&self) -> jiff::SignedDuration {
        match self {
            Self::Ahead(by) => jiff::SignedDuration::from_millis(by.load(Ordering::SeqCst)),
            Self::System | Self::Manual(_) => jiff::SignedDuration::ZERO,
        }
    }

    /// The moment it is, to the millisecond.
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place where the machine's clock is read"
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

    /// Moves a clock that can be moved; the machine's stays.
    pub fn advance(&self, by: jiff::SignedDuration) {
        if let Self::Manual(at) | Self::Ahead(at) = self {
            at.fetch_add(i64::try_from(by.as_millis()).unwrap_or(0), Ordering::SeqCst);
        }
    }
}

/// Randomness for one request, seeded by the operating system.
///
/// # Panics
/// When the operating system has no randomness to give, in which case nothing may go on.
pub fn rng() -> StdRng {
    StdRng::try_from_rng(&mut SysRng).expect("the operating system gives randomness")
}

/// The state of a function: its portals, its store, its clock.
#[derive(Debug, Clone)]
pub struct App {
    /// The portals and their policies.
    pub portals: Arc<Portals>,
    /// Where everything is kept.
    pub store: Store,
    /// Passwords.
    pub hasher: Hasher,
    /// The clock.
    pub clock: Clock,
    /// How long an answer takes at least where its time could tell what was found
    /// ([`in_least_time`](crate::router::in_least_time)).
    pub least_time: Duration,
}

/// [`App::least_time`] in production: several times what the work behind such an answer takes, and nothing that
/// somebody who was refused or has forgotten a password would mind.
pub const LEAST_TIME: Duration = Duration::from_millis(250);

impl App {
    /// Randomness for one request.
    pub fn rng(&self) -> StdRng {
        rng()
    }

    /// The keys under which secrets are kept.
    pub fn keyring(&self) -> &Keyring {
        self.store.keyring()
    }

    /// Where a membership's PIN letter goes; none on a portal without, or where no address is known.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub async fn letter_address(
        &self,
        membership: &Membership,
        policy: &Policy,
    ) -> Result<Option<PostalAddress>, Unavailable> {
        match (policy.pin.as_ref().map(|p| p.address), &membership.record) {
            (Some(LetterAddress::Designated), _) => Ok(membership.postal_address.clone()),
            (Some(LetterAddress::PlanRecords), Some(record)) => {
                let record = self.store.plan_record(record).await?;
                Ok(record.and_then(|r| r.data.address))
            }
            (Some(LetterAddress::PlanRecords), None) | (None, _) => Ok(None),
        }
    }

    /// A fresh registration code, where the portal sends any.
    pub fn fresh_registration_code(&self, policy: &Policy, rng: &mut StdRng) -> Option<FreshCode> {
        let rules = policy.registration_code.as_ref()?;
        let (prefix, digits) = (rules.prefix.as_str(), rules.digits.get());
        Some(FreshCode::random(prefix, digits, rng, |id, code| {
            self.keyring()
                .mac(Purpose::RegistrationCode, id.as_str(), code)
        }))
    }

    /// A fresh PIN of so many digits, with its code.
    pub fn fresh_pin(&self, digits: u32, rng: &mut StdRng) -> FreshCode {
        FreshCode::random("", digits, rng, |id, pin| {
            self.keyring().mac(Purpose::Pin, id.as_str(), pin)
        })
    }
}
