//! What every rule needs besides its own arguments.

use jiff::Timestamp;
use jiff::civil::Date;
use rand::CryptoRng;

use crate::policy::Policy;
use crate::state::audit::Origin;

/// The policy of the portal, the origin of the request and a source of random numbers.
pub struct Context<'a> {
    pub policy: &'a Policy,
    pub origin: &'a Origin,
    pub rng: &'a mut (dyn CryptoRng + Send + 'a),
}

impl<'a> Context<'a> {
    pub fn new(
        policy: &'a Policy,
        origin: &'a Origin,
        rng: &'a mut (dyn CryptoRng + Send + 'a),
    ) -> Self {
        Self {
            policy,
            origin,
            rng,
        }
    }

    /// Returns the time of the request.
    pub fn now(&self) -> Timestamp {
        self.origin.at
    }

    /// Returns the day of the request in the portal's time zone.
    pub fn today(&self) -> Date {
        self.policy.today(self.origin.at)
    }

    /// Returns the same context for a shorter time, to pass it to another rule and keep it.
    pub fn reborrow(&mut self) -> Context<'_> {
        Context::new(self.policy, self.origin, self.rng)
    }
}
