//! Codes of authenticator apps: time-based one-time passwords (TOTP, RFC 6238).
//!
//! The parameters are those that every authenticator app supports, because many ignore others: HMAC-SHA1,
//! six digits, 30 seconds. HMAC does not need the collision resistance that SHA-1 lacks (RFC 6238, section
//! 1.2; NIST SP 800-107, section 5.3.4).

use std::fmt;

use data_encoding::BASE32_NOPAD;
use hmac::{Hmac, KeyInit, Mac as _};
use jiff::Timestamp;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use qrcodegen::{QrCode, QrCodeEcc};
use sha1::Sha1;
use subtle::{Choice, ConditionallySelectable, ConstantTimeEq};
use vestibule_domain::values::text::Sensitive;
use zeroize::Zeroizing;

/// The length of a secret in bytes: 160 bits, which RFC 4226 (section 4, R6) recommends.
pub const APP_SECRET_BYTES: usize = 20;

/// The number of digits in a code.
pub const CODE_DIGITS: usize = 6;

/// How long a code is displayed, in seconds: the time step of RFC 6238 (section 5.2).
pub const STEP_SECONDS: u64 = 30;

/// How many steps before and after the current one are accepted, for clocks that differ and codes that are
/// entered late (RFC 6238, section 5.2).
pub const MAX_STEP_DIFFERENCE: u64 = 1;

/// One more than the highest code.
const CODES: u32 = 10_u32.pow(CODE_DIGITS as u32);

/// The white margin around a QR code, in modules (ISO/IEC 18004).
const QUIET_ZONE: i32 = 4;

/// Everything except the unreserved characters of RFC 3986 (section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// A random secret that the system shares with one authenticator app. It is stored sealed for
/// [`Purpose::AppSecret`](crate::Purpose::AppSecret) and wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct AppSecret(Zeroizing<[u8; APP_SECRET_BYTES]>);

impl AppSecret {
    pub fn random(rng: &mut impl rand::CryptoRng) -> Self {
        let mut bytes = Zeroizing::new([0; APP_SECRET_BYTES]);
        rng.fill_bytes(bytes.as_mut_slice());
        Self(bytes)
    }

    /// Returns the secret whose bytes were unsealed; `None` if there are not exactly
    /// [`APP_SECRET_BYTES`].
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes
            .try_into()
            .ok()
            .map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// Returns the bytes to seal, or to compute codes with.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// Encodes the secret for a person who can't scan the QR code: 32 characters of base32 (RFC 4648,
    /// section 6).
    pub fn base32(&self) -> Sensitive {
        Sensitive::new(BASE32_NOPAD.encode(self.as_bytes()))
    }
}

impl fmt::Debug for AppSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AppSecret(***)")
    }
}

/// Returns the URI that sets up an authenticator app (Key URI Format of Google Authenticator). The app
/// displays the issuer and the account's name.
///
/// A colon would end the issuer, so it becomes a space.
pub fn otpauth_uri(issuer: &str, account_name: &str, secret: &AppSecret) -> Sensitive {
    let encode = |name: &str| utf8_percent_encode(&name.replace(':', " "), RESERVED).to_string();
    let (issuer, account_name) = (encode(issuer), encode(account_name));
    let secret = secret.base32();
    let secret = secret.expose();
    Sensitive::new(format!(
        "otpauth://totp/{issuer}:{account_name}?secret={secret}&issuer={issuer}&algorithm=SHA1&digits={CODE_DIGITS}&period={STEP_SECONDS}"
    ))
}

/// Draws a text as a QR code with medium error correction: an SVG image that scales, black on white, with its margin.
/// `None` if the text is longer than a QR code can hold (2,331 bytes).
pub fn qr_code_svg(text: &str) -> Option<String> {
    let code = QrCode::encode_text(text, QrCodeEcc::Medium).ok()?;
    let width = code.size() + 2 * QUIET_ZONE;
    let mut path = String::new();
    for y in 0..code.size() {
        let mut x = 0;
        while x < code.size() {
            let length = (x..code.size())
                .take_while(|&x| code.get_module(x, y))
                .count();
            let length = i32::try_from(length).ok()?;
            if length > 0 {
                let (left, top) = (x + QUIET_ZONE, y + QUIET_ZONE);
                path.push_str(&format!("M{left} {top}h{length}v1h-{length}z"));
            }
            x += length.max(1);
        }
    }
    Some(format!(
        r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {width}" shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{width}v{width}H0z"/><path d="{path}"/></svg>"##
    ))
}

/// Returns the time step whose code was entered: the current one, the one before, or the one after. `None`
/// if the code is none of theirs or its step is not later than `last_step`, the latest one that was
/// accepted (RFC 6238, section 5.2; MF-05).
///
/// All candidates are always computed and compared in constant time. Spaces in the code are ignored,
/// because apps display it in two groups.
///
/// To accept a code once, store the step with the condition that it is later than the stored one.
pub fn accepted_step(
    secret: &[u8],
    code: &str,
    now: Timestamp,
    last_step: Option<u64>,
) -> Option<u64> {
    // No code has this value.
    let entered = digits(code).unwrap_or(CODES);
    let current = u64::try_from(now.as_second()).ok()? / STEP_SECONDS;
    let (mut step_found, mut is_found) = (0_u64, Choice::from(0));
    for step in current.saturating_sub(MAX_STEP_DIFFERENCE)..=current + MAX_STEP_DIFFERENCE {
        let is_new = Choice::from(u8::from(last_step.is_none_or(|last| step > last)));
        let is_accepted = code_at(secret, step).ct_eq(&entered) & is_new;
        step_found.conditional_assign(&step, is_accepted);
        is_found |= is_accepted;
    }
    bool::from(is_found).then_some(step_found)
}

/// Returns the code that an app with a secret (base32) shows at a time; `None` if the secret is not base32.
pub fn displayed_code(secret: &str, now: Timestamp) -> Option<String> {
    let secret = BASE32_NOPAD.decode(secret.as_bytes()).ok()?;
    let step = u64::try_from(now.as_second()).ok()? / STEP_SECONDS;
    let code = code_at(&Zeroizing::new(secret), step);
    Some(format!("{code:0CODE_DIGITS$}"))
}

/// Parses the digits of a code; `None` if there are not exactly [`CODE_DIGITS`].
fn digits(code: &str) -> Option<u32> {
    let mut count = 0;
    let mut value = 0;
    for c in code.chars().filter(|c| !c.is_whitespace()) {
        count += 1;
        value = (value * 10 + c.to_digit(10)?) % CODES;
    }
    (count == CODE_DIGITS).then_some(value)
}

/// Computes the code of a time step (RFC 4226, section 5.3).
fn code_at(secret: &[u8], step: u64) -> u32 {
    truncated(secret, step) % CODES
}

/// Returns the 31 bits that "dynamic truncation" takes from the HMAC (RFC 4226, section 5.3).
fn truncated(secret: &[u8], step: u64) -> u32 {
    let mut hmac = Hmac::<Sha1>::new_from_slice(secret).expect("HMAC accepts keys of any length");
    hmac.update(&step.to_be_bytes());
    let hash = Zeroizing::new(<[u8; 20]>::from(hmac.finalize().into_bytes()));
    let offset = usize::from(hash[19] & 0xf);
    let bits = [0, 1, 2, 3].map(|i| hash[offset + i]);
    u32::from_be_bytes(bits) & 0x7fff_ffff
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    /// The secret of RFC 4226 (appendix D) and RFC 6238 (appendix B).
    const SECRET: &[u8] = b"12345678901234567890";

    fn at(second: u64) -> Timestamp {
        Timestamp::from_second(i64::try_from(second).unwrap()).unwrap()
    }

    fn code(step: u64) -> String {
        format!("{:06}", code_at(SECRET, step))
    }

    #[test]
    fn codes_are_those_of_rfc_4226() {
        let expected = [
            755_224, 287_082, 359_152, 969_429, 338_314, 254_676, 287_922, 162_583, 399_871,
            520_489,
        ];
        for (step, expected) in (0..).zip(expected) {
            assert_eq!(code_at(SECRET, step), expected, "{step}");
        }
    }

    #[test]
    fn the_displayed_code_is_that_of_the_current_step() {
        let secret = BASE32_NOPAD.encode(SECRET);
        assert_eq!(displayed_code(&secret, at(59)).as_deref(), Some("287082"));
        assert_eq!(displayed_code("not base32!", at(59)), None);
    }

    #[test]
    fn codes_are_those_of_rfc_6238() {
        for (second, eight_digits) in [
            (59, 94_287_082),
            (1_111_111_109, 7_081_804),
            (1_111_111_111, 14_050_471),
            (1_234_567_890, 89_005_924),
            (2_000_000_000, 69_279_037),
            (20_000_000_000, 65_353_130),
        ] {
            let step = second / STEP_SECONDS;
            assert_eq!(truncated(SECRET, step) % 100_000_000, eight_digits);
            let entered = format!("{:06}", eight_digits % CODES);
            assert_eq!(
                accepted_step(SECRET, &entered, at(second), None),
                Some(step)
            );
        }
    }

    #[test]
    fn one_step_before_and_after_is_accepted() {
        let now = 1_000_000_u64;
        for second in [now * 30, now * 30 + 29] {
            for step in now - 3..=now + 3 {
                let expected = (step.abs_diff(now) <= 1).then_some(step);
                let accepted = accepted_step(SECRET, &code(step), at(second), None);
                assert_eq!(accepted, expected, "{step}");
            }
        }
    }

    #[test]
    fn mf_05_a_step_is_accepted_once() {
        let (step, now) = (41_152_263, at(41_152_263 * 30));
        for last in [step - 2, step - 1] {
            assert_eq!(
                accepted_step(SECRET, &code(step), now, Some(last)),
                Some(step)
            );
        }
        for last in [step, step + 1, u64::MAX] {
            assert_eq!(accepted_step(SECRET, &code(step), now, Some(last)), None);
        }
        // The code before it is not accepted after it.
        assert_eq!(
            accepted_step(SECRET, &code(step - 1), now, Some(step)),
            None
        );
        assert_eq!(
            accepted_step(SECRET, &code(step + 1), now, Some(step)),
            Some(step + 1)
        );
    }

    #[test]
    fn only_six_digits_are_a_code() {
        let now = at(59);
        for accepted in ["287082", "287 082", " 287082\n"] {
            assert_eq!(accepted_step(SECRET, accepted, now, None), Some(1));
        }
        for refused in [
            "",
            "28708",
            "2870822",
            "0287082",
            "28708a",
            "+87082",
            "２８７０８２",
            "287-082",
            "1000000",
        ] {
            assert_eq!(accepted_step(SECRET, refused, now, None), None, "{refused}");
        }
        assert_eq!(accepted_step(SECRET, "755224", at(0), None), Some(0));
        assert_eq!(accepted_step(SECRET, "755224", at(0), Some(0)), None);
        let before_1970 = Timestamp::from_second(-1).unwrap();
        assert_eq!(accepted_step(SECRET, "755224", before_1970, None), None);
    }

    #[test]
    fn a_uri_sets_up_an_app() {
        let secret = AppSecret::from_bytes(SECRET).unwrap();
        assert_eq!(
            otpauth_uri("Lakeside Health: Providers", "ruth@example.com", &secret).expose(),
            "otpauth://totp/Lakeside%20Health%20%20Providers:ruth%40example.com?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ\
             &issuer=Lakeside%20Health%20%20Providers&algorithm=SHA1&digits=6&period=30"
        );
    }

    #[test]
    fn a_qr_code_is_an_image_of_squares() {
        let svg =
            qr_code_svg("otpauth://totp/a:b?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ").unwrap();
        assert!(
            svg.starts_with("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 41 41\""),
            "{svg}"
        );
        // The upper left finder pattern.
        assert!(
            svg.contains("M4 4h7v1h-7z") && svg.contains("M4 5h1v1h-1zM10 5h1v1h-1z"),
            "{svg}"
        );
        assert!(!svg.contains("GEZD"));
        assert!(qr_code_svg(&"a".repeat(2_331)).is_some());
        assert!(qr_code_svg(&"a".repeat(2_332)).is_none());
    }

    #[test]
    fn a_secret_has_160_bits_and_is_not_printed() {
        let mut rng = StdRng::seed_from_u64(1);
        let (one, other) = (AppSecret::random(&mut rng), AppSecret::random(&mut rng));
        assert_ne!(one, other);
        assert_eq!(one.base32().expose().len(), 32);
        assert_eq!(AppSecret::from_bytes(one.as_bytes()), Some(one.clone()));
        assert_eq!(AppSecret::from_bytes(&one.as_bytes()[1..]), None);
        assert_eq!(format!("{one:?}"), "AppSecret(***)");
    }

    proptest! {
        #[test]
        fn any_text_is_safe_to_enter(text in "\\PC{0,12}", second in 0_u64..4_000_000_000, last in any::<Option<u64>>()) {
            let step = second / STEP_SECONDS;
            let accepted = accepted_step(SECRET, &text, at(second), last);
            prop_assert!(accepted.is_none_or(|s| s.abs_diff(step) <= 1 && last.is_none_or(|last| s > last)));
        }
    }
}
