//! `[[application]]` and `[single_sign_on]`: the applications that trust the portal's sign-in (SO-01 to SO-05).

use std::collections::BTreeSet;
use std::net::IpAddr;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Deserializer, Serialize};
use strum::IntoStaticStr;

use super::faults::Faults;
use super::fields::{Bounded, Line, Slug, WebAddress};
use super::offers::Offered;
use super::read::{List, leaves, section};
use crate::values::address::is_public;
use crate::values::ids::PortalId;

/// How an application proves who it is at the token endpoint (OpenID Connect Core 1.0, 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum ClientAuthentication {
    /// With a secret that `cargo portal client-secret` shows.
    Secret,
    /// With a JWT that it signs with one of its own keys (RFC 7523).
    PrivateKeyJwt,
    /// It cannot keep a secret, such as a program in the browser. PKCE alone protects its codes.
    None,
}

/// The form of an application's access tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum AccessTokenFormat {
    /// A random text. Whoever receives it calls `userinfo` or `introspect`.
    Opaque,
    /// A signed JWT that an API can check without a call (RFC 9068). It is valid until it expires, whatever
    /// happens to the account; `userinfo` and `introspect` still refuse it.
    Jwt,
}

/// An address of an application, which is compared exactly (RFC 9700, 2.1): `https`, or `http` on this machine.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ApplicationUri(String);

impl ApplicationUri {
    /// Parses an address without a fragment.
    ///
    /// # Errors
    /// A sentence that says what is allowed.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        let rest = text.strip_prefix("https://");
        let local = text.strip_prefix("http://");
        let authority = rest.or(local).and_then(|r| r.split(['/', '?']).next());
        let plain = |b: u8| b.is_ascii_graphic() && !b"#\"<>\\^`{|}*".contains(&b);
        let is_well_formed = text.len() <= 500
            && text.bytes().all(plain)
            && authority.is_some_and(|a| !a.is_empty() && !a.contains('@') && !a.starts_with(':'));
        let uri = Self(text.to_owned());
        if is_well_formed && (rest.is_some() || uri.is_loopback()) {
            Ok(uri)
        } else {
            Err(
                "must be an https address without a fragment, such as https://app.example.com/callback; http only for 127.0.0.1, [::1] and localhost",
            )
        }
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns its origin: scheme, host and port (RFC 6454).
    pub fn origin(&self) -> &str {
        let host = self.0.find("://").map_or(0, |scheme| scheme + 3);
        let end = self.0[host..].find(['/', '?']);
        end.map_or(self.as_str(), |path| &self.0[..host + path])
    }

    /// Returns its host, of an IPv6 address without the brackets.
    pub fn host(&self) -> &str {
        let origin = self.origin();
        let authority = origin.split_once("://").map_or(origin, |(_, host)| host);
        if let Some((address, _)) = authority.strip_prefix('[').and_then(|a| a.split_once(']')) {
            return address;
        }
        authority
            .split_once(':')
            .map_or(authority, |(host, _)| host)
    }

    pub fn is_https(&self) -> bool {
        self.0.starts_with("https://")
    }

    /// Returns whether it is on this machine.
    pub fn is_loopback(&self) -> bool {
        matches!(self.host(), "127.0.0.1" | "::1" | "localhost")
    }

    /// Returns whether it names a private address, where nothing is sent to.
    fn is_private(&self) -> bool {
        let address: Result<IpAddr, _> = self.host().parse();
        !self.is_loopback() && address.is_ok_and(|address| !is_public(address))
    }
}

impl<'de> Deserialize<'de> for ApplicationUri {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The type of a key (RFC 7518, 6.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
pub enum KeyType {
    #[serde(rename = "RSA")]
    Rsa,
    #[serde(rename = "EC")]
    Ec,
}

/// A value in base64url without padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base64Url(Vec<u8>);

impl Base64Url {
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl<'de> Deserialize<'de> for Base64Url {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        match BASE64URL_NOPAD.decode(text.as_bytes()) {
            Ok(bytes) if (1..=1024).contains(&bytes.len()) => Ok(Self(bytes)),
            _ => Err(serde::de::Error::custom(
                "must be base64url without padding",
            )),
        }
    }
}

section! {
    /// A public key of an application (RFC 7517).
    pub struct ApplicationKey {
        /// The id that the application names in its JWTs.
        pub kid: Line,
        pub kty: KeyType,
        /// The modulus of an RSA key.
        pub n: Option<Base64Url> = None,
        /// The exponent of an RSA key.
        pub e: Option<Base64Url> = None,
        /// The curve of an EC key.
        pub crv: Option<Line> = None,
        pub x: Option<Base64Url> = None,
        pub y: Option<Base64Url> = None,
    }
}

/// The sizes of RSA moduli in bytes: 2048 to 8192 bits (RFC 7518, 3.3).
const RSA_BYTES: std::ops::RangeInclusive<usize> = 256..=1024;

impl ApplicationKey {
    /// Returns whether the key is complete.
    fn is_complete(&self) -> bool {
        let length = |part: &Option<Base64Url>| part.as_ref().map_or(0, |p| p.0.len());
        match self.kty {
            KeyType::Rsa => {
                RSA_BYTES.contains(&length(&self.n))
                    && self.e.is_some()
                    && self.crv.is_none()
                    && self.x.is_none()
                    && self.y.is_none()
            }
            KeyType::Ec => {
                self.crv.as_ref().is_some_and(|c| c.as_str() == "P-256")
                    && (length(&self.x), length(&self.y)) == (32, 32)
                    && self.n.is_none()
                    && self.e.is_none()
            }
        }
    }
}

section! {
    /// Where the portal's applications find it.
    pub struct SingleSignOnPolicy {
        /// The address of the portal's API, which is the issuer of ID tokens; absent: the origin of `site`, and
        /// the portal's name.
        pub issuer: Option<WebAddress> = None,
    }
}

section! {
    /// An application that users open with the portal's sign-in.
    pub struct Application {
        /// Its client id.
        pub id: Slug,
        pub title: Line,
        /// The service that it belongs to. Only users who have the service get in (SO-02).
        pub service: Slug,
        /// The addresses to which codes are sent, compared exactly (SO-05).
        pub redirect_uris: Vec<ApplicationUri>,
        /// The addresses to which a browser may go after signing out, compared exactly.
        pub post_logout_redirect_uris: Vec<ApplicationUri> = Vec::new(),
        /// The address that is notified when a user's access ends (SO-03); absent: none.
        pub backchannel_logout_uri: Option<ApplicationUri> = None,
        /// How it proves who it is.
        pub authentication: ClientAuthentication = ClientAuthentication::Secret,
        /// Its public keys, if it signs JWTs.
        pub jwks: Vec<ApplicationKey> = Vec::new(),
        /// The version of its secret. A new version makes another secret and ends the old one.
        pub secret_version: Bounded<1, 1000> = Bounded(1),
        /// Whether its users must give a second factor (SO-04).
        pub second_factor: bool = false,
        /// For how many minutes an access token is valid.
        pub access_token_minutes: Bounded<1, 60> = Bounded(10),
        /// The form of its access tokens.
        pub access_token_format: AccessTokenFormat = AccessTokenFormat::Opaque,
    }
}

leaves!(
    ClientAuthentication,
    AccessTokenFormat,
    ApplicationUri,
    KeyType,
    Base64Url
);

impl Application {
    /// Checks that the parts of an application fit together, and with the portal.
    pub(super) fn check(
        &self,
        i: usize,
        services: &List<Offered>,
        has_second_factor: bool,
        faults: &mut Faults,
    ) {
        let mut no = |field: &str, reason: String| {
            faults.add(format!("application[{i}].{field}"), reason);
        };
        if services.lacks(|offered| offered.id == self.service) {
            no("service", format!("{} is no [[service]]", self.service));
        }
        if self.redirect_uris.is_empty() {
            no("redirect_uris", "must name at least one address".to_owned());
        }
        let lists = [
            ("redirect_uris", &self.redirect_uris),
            ("post_logout_redirect_uris", &self.post_logout_redirect_uris),
        ];
        for (field, uris) in lists {
            let mut seen = BTreeSet::new();
            if let Some(twice) = uris.iter().find(|uri| !seen.insert(*uri)) {
                no(field, format!("{} is given twice", twice.as_str()));
            }
        }
        if self
            .backchannel_logout_uri
            .as_ref()
            .is_some_and(ApplicationUri::is_private)
        {
            no(
                "backchannel_logout_uri",
                "must not be a private address".to_owned(),
            );
        }
        let signs = self.authentication == ClientAuthentication::PrivateKeyJwt;
        if signs == self.jwks.is_empty() {
            no(
                "jwks",
                "goes with authentication = \"private_key_jwt\"".to_owned(),
            );
        }
        if !self.jwks.iter().all(ApplicationKey::is_complete) {
            no(
                "jwks",
                "must be RSA keys of at least 2048 bits with n and e, or EC keys with crv = \"P-256\", x and y".to_owned(),
            );
        }
        if self.second_factor && !has_second_factor {
            no(
                "second_factor",
                "needs a [second_factor] section".to_owned(),
            );
        }
    }
}

impl SingleSignOnPolicy {
    /// Checks that the issuer is the portal's API.
    pub(super) fn check(&self, portal: &PortalId, faults: &mut Faults) {
        let Some(issuer) = &self.issuer else { return };
        let is_portal = issuer.as_str().ends_with(&format!("/{portal}"));
        if !is_portal || ApplicationUri::parse(issuer.as_str()).is_err() {
            let reason =
                format!("must be the https address of the portal's API, which ends with /{portal}");
            faults.add("single_sign_on.issuer", reason);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn so_05_an_address_is_https_or_on_this_machine_and_has_no_fragment() {
        for uri in [
            "https://app.example.com/callback",
            "https://app.example.com:8443/callback?tenant=1",
            "https://app.example.com",
            "http://127.0.0.1:8080/callback",
            "http://[::1]:8080/callback",
            "http://localhost/callback",
        ] {
            assert_eq!(ApplicationUri::parse(uri).unwrap().as_str(), uri);
        }
        for uri in [
            "",
            "https://",
            "https:///callback",
            "http://app.example.com/callback",
            "http://127.0.0.1.example.com/callback",
            "http://localhost.example.com/callback",
            "http://127.0.0.1@example.com/callback",
            "https://user@app.example.com/callback",
            "https://app.example.com/callback#part",
            "https://*.example.com/callback",
            "https://app.example.com/call back",
            "com.example.app:/callback",
            "HTTPS://app.example.com/callback",
        ] {
            assert!(ApplicationUri::parse(uri).is_err(), "{uri}");
        }
    }

    #[test]
    fn hosts_and_origins_are_read_as_browsers_do() {
        for (uri, origin, host) in [
            ("https://a.example/b", "https://a.example", "a.example"),
            ("https://a.example?b=/", "https://a.example", "a.example"),
            ("https://a.example:1/b", "https://a.example:1", "a.example"),
            ("http://[::1]:1/b", "http://[::1]:1", "::1"),
        ] {
            let uri = ApplicationUri::parse(uri).unwrap();
            assert_eq!((uri.origin(), uri.host()), (origin, host));
        }
    }
}
