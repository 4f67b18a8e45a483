//! Devices and networks used to sign in. The user is notified of a new device (UX-06) and of
//! concurrent use from several places (EX-01).

use data_encoding::BASE64URL_NOPAD;
use jiff::{SignedDuration, Timestamp};
use rand::{CryptoRng, RngExt};
use sha2::{Digest, Sha256};

use crate::decision::Decision;
use crate::outbox::mail::{MailText, mail};
use crate::rules::context::Context;
use crate::state::account::Account;
use crate::state::audit::{Action, Actor, AuditEvent};
use crate::state::session::Session;
use crate::values::ids::AccountId;
use crate::values::source::network_of;
use crate::values::text::Sensitive;

/// The maximum number of devices that an account remembers. The least recently used one is
/// forgotten first.
const MAX_REMEMBERED: usize = 10;

/// Identifies a browser or program: 256 random bits that it stores. They give no access.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device([u8; 32]);

impl Device {
    pub fn random(rng: &mut (impl CryptoRng + ?Sized)) -> Self {
        Self(rng.random())
    }

    /// Parses the stored form. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).ok()?;
        bytes.try_into().ok().map(Self)
    }

    /// Returns what the device stores: base64url, 43 characters.
    pub fn expose(&self) -> Sensitive {
        Sensitive::new(BASE64URL_NOPAD.encode(&self.0))
    }

    /// Returns what the account stores: 128 bits of the SHA-256 of account and device, so that
    /// accounts don't reveal whether they share a device.
    pub fn digest(&self, account: &AccountId) -> String {
        let mut hash = Sha256::new();
        hash.update(format!("vestibule device\0{account}\0"));
        hash.update(self.0);
        BASE64URL_NOPAD.encode(&hash.finalize()[..16])
    }
}

/// The device that a person signs in from.
#[derive(Debug, Clone)]
pub struct Arrival<'a> {
    pub device: &'a Device,
    /// The User-Agent header, if it was sent.
    pub user_agent: Option<&'a str>,
}

/// Describes the program with fixed names, so that no text from the client is copied into an email.
pub fn program(user_agent: Option<&str>) -> String {
    let find_name = |known: &[(&str, &str)]| {
        let text = user_agent.unwrap_or_default();
        let found = known.iter().find(|(part, _)| text.contains(part));
        found.map(|(_, name)| (*name).to_owned())
    };
    // Browsers whose User-Agent also contains another browser's name come first.
    let browser = find_name(&[
        ("Edg", "Edge"),
        ("OPR/", "Opera"),
        ("Firefox/", "Firefox"),
        ("FxiOS/", "Firefox"),
        ("Chrome/", "Chrome"),
        ("CriOS/", "Chrome"),
        ("Safari/", "Safari"),
    ]);
    let system = find_name(&[
        ("Windows", "Windows"),
        ("iPhone", "an iPhone"),
        ("iPad", "an iPad"),
        ("Android", "Android"),
        ("Mac OS X", "a Mac"),
        ("CrOS", "a Chromebook"),
        ("Linux", "Linux"),
    ]);
    match (browser, system) {
        (Some(browser), Some(system)) => format!("{browser} on {system}"),
        (Some(one), None) | (None, Some(one)) => one,
        (None, None) => "an unknown program".to_owned(),
    }
}

impl Account {
    /// Returns the digests to forget so that this device can be remembered.
    pub fn devices_to_forget(&self, history: &str) -> Vec<String> {
        let mut others: Vec<_> = self
            .devices
            .iter()
            .filter(|(digest, _)| *digest != history)
            .collect();
        others.sort_by_key(|(digest, used_at)| (std::cmp::Reverse(**used_at), *digest));
        let excess = others.into_iter().skip(MAX_REMEMBERED - 1);
        excess.map(|(digest, _)| digest.clone()).collect()
    }
}

/// Reports concurrent use: a session is used although the account has recently signed in from
/// another network. It is recorded, and the user is notified, at most once a day (EX-01). Returns
/// the updated account.
///
/// It is detected when the older session is used, not when the newer one starts. A session merely
/// left open elsewhere is therefore not suspicious, and sign-in needs no extra work.
pub fn notice_concurrent_use(
    account: &Account,
    session: &Session,
    context: Context<'_>,
) -> Option<(Account, Decision)> {
    let Context {
        policy,
        origin,
        rng,
    } = context;
    let within = policy.concurrent_use.as_ref()?.within_minutes.get();
    let within = SignedDuration::from_mins(within.into());
    let here = session.source.as_ref()?;
    let (last_at, elsewhere) = account
        .last_sign_in_at
        .zip(account.last_sign_in_from.as_ref())?;
    let day = |at: Timestamp| policy.date_of(at);
    let is_concurrent = last_at >= session.started_at
        && origin.at.duration_since(last_at) <= within
        && network_of(here) != network_of(elsewhere);
    let already_reported = account
        .concurrent_use_detected_at
        .is_some_and(|at| day(at) == day(origin.at));
    if !is_concurrent || already_reported {
        return None;
    }
    let after = Account {
        concurrent_use_detected_at: Some(origin.at),
        version: account.version + 1,
        ..account.clone()
    };
    let audit = AuditEvent::done(origin, Actor::System, Action::NoticeConcurrentUse, rng)
        .on(account.id.as_str())
        .for_organization(session.organization.as_ref());
    let text = MailText::ConcurrentUse {
        sources: vec![here.clone(), elsewhere.clone()],
    };
    let decision = Decision::recording(audit)
        .update(account, after.clone())
        .send([mail(account, origin.at, text, rng)]);
    Some((after, decision))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_of_addresses() {
        for (one, other, same) in [
            ("192.0.2.1", "192.0.2.254", true),
            ("192.0.2.1", "192.0.3.1", false),
            ("::ffff:192.0.2.1", "192.0.2.9", true),
            ("2001:db8:1::1", "2001:db8:1:ffff::2", true),
            ("2001:db8:1::1", "2001:db8:2::1", false),
            ("unknown", "192.0.2.1", false),
        ] {
            assert_eq!(network_of(one) == network_of(other), same, "{one} {other}");
        }
    }

    #[test]
    fn programs_are_described_with_fixed_names() {
        for (user_agent, description) in [
            (
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 Chrome/142.0 Safari/537.36 Edg/142.0",
                "Edge on Windows",
            ),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 19_0 like Mac OS X) Version/19.0 Mobile/15E148 Safari/604.1",
                "Safari on an iPhone",
            ),
            (
                "Mozilla/5.0 (X11; Linux x86_64; rv:143.0) Gecko/20100101 Firefox/143.0",
                "Firefox on Linux",
            ),
            ("call +1 900 555 0100 now", "an unknown program"),
            ("", "an unknown program"),
        ] {
            assert_eq!(program(Some(user_agent)), description);
        }
    }
}
