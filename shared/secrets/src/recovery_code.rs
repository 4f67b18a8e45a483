//! Recovery codes: what a person enters once in place of a lost second factor (MF-01).

use std::fmt;

use rand::RngExt;
use vestibule_domain::state::record::Mac;
use vestibule_domain::values::text::Sensitive;
use zeroize::Zeroizing;

use crate::keyring::{Keyring, Purpose};
use crate::passwords::Hasher;

/// Crockford's base 32: without I, L, O and U, which are mistaken for other characters.
const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";

/// The number of characters without hyphens. Each has 5 bits, so a code has 80. NIST SP 800-63B-4 (section
/// 4.2.1.1) requires 64.
pub const RECOVERY_CODE_CHARACTERS: usize = 16;

/// The number of characters between two hyphens.
const GROUP: usize = 4;

/// A recovery code, as 16 characters without hyphens. Wiped when it is dropped.
#[derive(Clone, PartialEq, Eq)]
pub struct RecoveryCode(Zeroizing<String>);

impl RecoveryCode {
    pub fn random(rng: &mut impl rand::CryptoRng) -> Self {
        let mut code = Zeroizing::new(String::with_capacity(RECOVERY_CODE_CHARACTERS));
        for _ in 0..RECOVERY_CODE_CHARACTERS {
            code.push(char::from(ALPHABET[rng.random_range(0..ALPHABET.len())]));
        }
        Self(code)
    }

    /// Parses what a person typed, in upper or lower case, with or without spaces and hyphens. The letters
    /// O, I and L are read as the digits that they resemble. `None` if it can't be a code.
    pub fn parse(entered: &str) -> Option<Self> {
        let mut code = Zeroizing::new(String::with_capacity(RECOVERY_CODE_CHARACTERS));
        let typed = |c: &char| !(c.is_whitespace() || matches!(c, '-' | '\u{2010}'..='\u{2015}'));
        for c in entered.chars().filter(typed) {
            let c = match c.to_ascii_uppercase() {
                'O' => '0',
                'I' | 'L' => '1',
                c => c,
            };
            let is_allowed = u8::try_from(c).is_ok_and(|c| ALPHABET.contains(&c));
            if !is_allowed || code.len() == RECOVERY_CODE_CHARACTERS {
                return None;
            }
            code.push(c);
        }
        (code.len() == RECOVERY_CODE_CHARACTERS).then_some(Self(code))
    }

    /// Returns the code as it is displayed: `XXXX-XXXX-XXXX-XXXX`.
    pub fn formatted(&self) -> Sensitive {
        let mut text =
            String::with_capacity(RECOVERY_CODE_CHARACTERS + RECOVERY_CODE_CHARACTERS / GROUP);
        for (index, c) in self.0.chars().enumerate() {
            if index > 0 && index.is_multiple_of(GROUP) {
                text.push('-');
            }
            text.push(c);
        }
        Sensitive::new(text)
    }

    /// Computes the MAC that is stored. `context` is the account's id.
    pub fn mac(&self, keyring: &Keyring, context: &str) -> Mac {
        keyring.mac(Purpose::RecoveryCode, context, &self.sensitive())
    }

    /// Returns which of the stored MACs is the code's. Compares with all of them, in constant time.
    pub fn position(&self, hasher: &Hasher, context: &str, stored: &[Mac]) -> Option<usize> {
        let code = self.sensitive();
        let mut found = None;
        for (index, mac) in stored.iter().enumerate() {
            if hasher.is_code(mac, Purpose::RecoveryCode, context, &code) {
                found = Some(index);
            }
        }
        found
    }

    fn sensitive(&self) -> Sensitive {
        Sensitive::new(self.0.as_str())
    }
}

impl fmt::Debug for RecoveryCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryCode(***)")
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZero;
    use std::sync::Arc;

    use super::*;
    use crate::passwords::HashParameters;
    use proptest::prelude::*;
    use rand::SeedableRng;
    use rand::rngs::StdRng;

    fn parse(text: &str) -> Option<String> {
        RecoveryCode::parse(text).map(|code| code.formatted().expose().to_owned())
    }

    #[test]
    fn a_code_is_read_however_it_is_typed() {
        for text in [
            "7K2M-0QX1-B9TZ-4DEA",
            "7k2m-0qx1-b9tz-4dea",
            "7K2M0QX1B9TZ4DEA",
            " 7k2m oqxi b9tz 4dea ",
            "7K2M–OQXL–B9TZ–4DEA",
            "7-K-2-M-0-Q-X-1-B-9-T-Z-4-D-E-A",
        ] {
            assert_eq!(
                parse(text).as_deref(),
                Some("7K2M-0QX1-B9TZ-4DEA"),
                "{text}"
            );
        }
        for text in [
            "",
            "----",
            "4DEA-7K2M-0QX1-B9T",
            "4DEA-7K2M-0QX1-B9TZZ",
            "4DEA-7K2M-0QX1-B9TU",
            "4DEA-7K2M-0QX1-B9T!",
            "4DEA-7K2M-0QX1-B9TÄ",
            "7K2M_0QX1_B9TZ_4DEA",
        ] {
            assert_eq!(parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_stored_code_is_found_in_its_account_only() {
        let mut rng = StdRng::seed_from_u64(3);
        let keyring = Arc::new(Keyring::new([(1, [1; 32])]).unwrap());
        let one = NonZero::new(1).unwrap();
        let hasher = Hasher::new(HashParameters::default(), Arc::clone(&keyring), one);
        let codes: Vec<_> = (0..10).map(|_| RecoveryCode::random(&mut rng)).collect();
        let stored: Vec<_> = codes.iter().map(|c| c.mac(&keyring, "ruth")).collect();
        for (index, code) in codes.iter().enumerate() {
            assert_eq!(code.position(&hasher, "ruth", &stored), Some(index));
            assert_eq!(code.position(&hasher, "sam", &stored), None);
        }
        let other = RecoveryCode::random(&mut rng);
        assert_eq!(other.position(&hasher, "ruth", &stored), None);
        assert_eq!(other.position(&hasher, "ruth", &[]), None);
        // Codes outlive a rotation of the data key.
        let rotated = Keyring::new([(1, [1; 32]), (2, [2; 32])]).unwrap();
        keyring.replace(&rotated);
        assert_eq!(codes[7].position(&hasher, "ruth", &stored), Some(7));
        assert_eq!(codes[7].mac(&keyring, "ruth").key, 2);
    }

    proptest! {
        #[test]
        fn codes_have_the_documented_form(seed in any::<u64>()) {
            let code = RecoveryCode::random(&mut StdRng::seed_from_u64(seed));
            let text = code.formatted();
            prop_assert_eq!(text.expose().split('-').map(str::len).collect::<Vec<_>>(), [4, 4, 4, 4]);
            prop_assert_eq!(RecoveryCode::parse(text.expose()), Some(code.clone()));
            prop_assert_eq!(RecoveryCode::parse(&text.expose().to_lowercase()), Some(code));
        }

        #[test]
        fn any_text_is_safe_to_enter(text in "\\PC{0,40}") {
            let parsed = RecoveryCode::parse(&text);
            prop_assert!(parsed.is_none_or(|code| code.formatted().expose().len() == 19));
        }
    }
}
