//! Rules for passwords (ME-03; NIST SP 800-63B-4, 3.1.1.2).

use rustrict::{CensorStr, Type};
use unicode_normalization::UnicodeNormalization;

use crate::policy::{CharacterKind, PasswordPolicy};
use crate::text::{Invalid, Sensitive};

/// The longest password, in characters. Argon2id takes more; this bounds the work.
pub const LONGEST: usize = 128;

/// A password in its normal form (NFKC), so that it is the same from every keyboard.
///
/// # Errors
/// [`Invalid`] when it is empty, too long, or holds control characters.
pub fn normalise(text: &str) -> Result<Sensitive, Invalid> {
    if text.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    if text.len() > LONGEST * 4 || text.chars().count() > LONGEST {
        return Err(Invalid::new(format!(
            "must be at most {LONGEST} characters long"
        )));
    }
    if text.chars().any(char::is_control) {
        return Err(Invalid::new("must not contain control characters"));
    }
    Ok(Sensitive::new(text.nfkc().collect::<String>()))
}

/// Checks a new password against the portal's rules and reports all that it breaks.
///
/// # Errors
/// [`Invalid`] with every broken rule, in words.
pub fn check(
    text: &str,
    user_name: Option<&str>,
    policy: &PasswordPolicy,
) -> Result<Sensitive, Invalid> {
    let password = normalise(text)?;
    let chars = || password.expose().chars();
    let mut faults = Vec::new();
    let shortest = policy.min_length.get() as usize;
    if chars().count() < shortest {
        faults.push(format!("have at least {shortest} characters"));
    }
    for kind in &policy.must_hold {
        let (held, words) = match kind {
            CharacterKind::Letter => (chars().any(char::is_alphabetic), "a letter"),
            CharacterKind::Uppercase => (chars().any(char::is_uppercase), "a capital letter"),
            CharacterKind::Lowercase => (chars().any(char::is_lowercase), "a small letter"),
            CharacterKind::Digit => (chars().any(|c| c.is_ascii_digit()), "a digit"),
            CharacterKind::Symbol => (chars().any(|c| !c.is_alphanumeric()), "a symbol"),
        };
        if !held {
            faults.push(format!("hold {words}"));
        }
    }
    if user_name.is_some_and(|name| name.eq_ignore_ascii_case(password.expose())) {
        faults.push("not be the user name".into());
    }
    if policy.refuse_obscene && holds_obscene_word(password.expose()) {
        faults.push("not hold an obscene word".into());
    }
    if faults.is_empty() {
        Ok(password)
    } else {
        Err(Invalid::new(format!("must {}", faults.join(", "))))
    }
}

/// Whether one of the words in a text is obscene, with `@` for `a` and `1` for `i` too. Words are
/// looked at one by one: across what parts them, `First-Watch` would hold one, and so would every
/// tenth random password.
fn holds_obscene_word(text: &str) -> bool {
    let obscene = (Type::PROFANE | Type::OFFENSIVE | Type::SEXUAL) & Type::MODERATE_OR_HIGHER;
    text.split(|c: char| !c.is_alphanumeric() && !matches!(c, '@' | '$'))
        .any(|word| word.is(obscene))
}
