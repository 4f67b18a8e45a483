//! Fields that several forms share: names, usernames, passwords, security answers and addresses.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::outbox::mail::Message;
use vestibule_domain::policy::{ChosenBy, Policy};
use vestibule_domain::rules::password;
use vestibule_domain::rules::security_questions::{InvalidChoice, check_choice, weak_answers};
use vestibule_domain::state::account::{Account, PasswordHash, QuestionAnswer};
use vestibule_domain::values::ids::AccountId;
use vestibule_domain::values::text::{
    AddressLine, Addressee, Answer, Country, Email, Invalid, NamePart, PersonName, PostalAddress,
    Sensitive, Username,
};
use vestibule_mail::letters::{self, Unprintable};
use vestibule_secrets::Purpose;

use crate::request::only_from_object;
use crate::secret_check::{Proven, answer_context};
use crate::{App, FieldErrors, Problem};

/// A security or hint question and its answer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct QuestionAnswerFields {
    /// The question; a security question must be one that the portal offers.
    pub question: String,
    /// The answer. Case, accents, spaces and punctuation are ignored.
    pub answer: String,
}

only_from_object!(QuestionAnswerFields);

/// The answer to the account's hint question.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct HintAnswerFields {
    /// The answer. Case, accents, spaces and punctuation are ignored.
    pub answer: String,
}

only_from_object!(HintAnswerFields);

/// A link that a user saved.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct LinkFields {
    /// The title that the user chose.
    pub title: String,
    /// The URL of the link.
    pub url: String,
}
only_from_object!(LinkFields);

/// A question and the normalized form of its answer.
#[derive(Debug, Clone)]
pub struct ParsedAnswer {
    question: String,
    answer: Sensitive,
}

impl ParsedAnswer {
    /// Returns the question and the normalized answer, for comparison with stored ones.
    pub fn into_parts(self) -> (String, Sensitive) {
        (self.question, self.answer)
    }

    /// Replaces the answer with its keyed MAC, bound to the account and the question.
    pub fn seal(self, account: &AccountId, app: &App) -> QuestionAnswer {
        let answer = app.keyring().mac(
            Purpose::SecurityAnswer,
            &answer_context(account, &self.question),
            &self.answer,
        );
        QuestionAnswer {
            question: self.question,
            answer,
        }
    }
}

/// Parses an answer and normalizes it for comparison.
///
/// # Errors
/// [`Invalid`] when it is empty, too long, or contains no letter or digit.
pub fn parse_answer(answer: &str) -> Result<Sensitive, Invalid> {
    let comparable = Answer::parse(answer)?.comparable();
    if comparable.expose().is_empty() {
        return Err(Invalid("must contain a letter or digit".into()));
    }
    Ok(comparable)
}

/// Parses the security answers: the number that the portal requires, to different questions (ME-04).
pub fn security_answers(
    given: &[QuestionAnswerFields],
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Option<Vec<ParsedAnswer>> {
    let Some(questions) = &policy.security_questions else {
        fields.reject_if_present(
            "security_answers",
            !given.is_empty(),
            "are not used on this portal",
        );
        return Some(Vec::new());
    };
    let chosen: Vec<_> = given.iter().map(|entry| entry.question.as_str()).collect();
    let invalid = check_choice(&chosen, questions).err().unwrap_or_default();
    let mut errors = BTreeMap::new();
    for choice in invalid {
        match choice {
            InvalidChoice::WrongCount { required } => {
                fields.push(
                    "security_answers",
                    format!("must have {required} questions with answers"),
                );
                return None;
            }
            InvalidChoice::NotOffered(i) => {
                errors.insert(i, "must be one of the questions offered on this portal")
            }
            InvalidChoice::Repeated(i) => errors.insert(i, "must not be used more than once"),
        };
    }
    let mut parsed = Vec::new();
    for (i, entry) in given.iter().enumerate() {
        let at = |name: &str| format!("security_answers[{i}].{name}");
        if let Some(error) = errors.get(&i) {
            fields.push(&at("question"), *error);
        }
        let answer = fields.take(&at("answer"), parse_answer(&entry.answer));
        parsed.extend(answer.map(|answer| ParsedAnswer {
            question: entry.question.clone(),
            answer,
        }));
    }
    if parsed.len() < given.len() || !errors.is_empty() {
        return None;
    }
    let pairs: Vec<_> = parsed
        .iter()
        .map(|p| (p.question.as_str(), &p.answer))
        .collect();
    let mut are_strong = true;
    for (i, weak) in weak_answers(&pairs).into_iter().enumerate() {
        if let Some(weak) = weak {
            fields.push(&format!("security_answers[{i}].answer"), weak.reason());
            are_strong = false;
        }
    }
    are_strong.then_some(parsed)
}

/// Parses the hint question and its answer, on portals that require them (BL-14).
pub fn hint(
    given: Option<&QuestionAnswerFields>,
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Option<Option<ParsedAnswer>> {
    match (policy.hint_question, given) {
        (false, None) => Some(None),
        (false, Some(_)) => {
            fields.push("hint", "is not used on this portal");
            None
        }
        (true, None) => {
            fields.push("hint", "is required");
            None
        }
        (true, Some(entry)) => {
            let question = fields.take("hint.question", Answer::parse(&entry.question));
            let answer = fields.take("hint.answer", parse_answer(&entry.answer));
            let (question, answer) = (question?.as_str().to_owned(), answer?);
            if let [Some(weak)] = weak_answers(&[(&question, &answer)]).as_slice() {
                fields.push("hint.answer", weak.reason());
                return None;
            }
            Some(Some(ParsedAnswer { question, answer }))
        }
    }
}

/// Parses the last day of access (UX-07). The domain checks that it is not in the past.
pub fn end_date(given: Option<&str>, fields: &mut FieldErrors) -> Option<Option<Date>> {
    let Some(text) = given else {
        return Some(None);
    };
    let day = Some(text)
        .filter(|t| t.len() == "2027-01-31".len())
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| Invalid("must be a date such as 2027-01-31".into()));
    fields.take("end_date", day).map(Some)
}

/// The field error for an end date in the past.
pub const ENDS_IN_PAST: &str = "must be today or later";
/// The field error for an end date on a principal's access.
pub const PRINCIPALS_STAY: &str = "cannot be set for a principal, whose access does not expire";

/// Parses a person's name.
pub fn name(first: &str, last: &str, fields: &mut FieldErrors) -> Option<PersonName> {
    let first = fields.take("first_name", NamePart::parse_entered(first));
    let last = fields.take("last_name", NamePart::parse_entered(last));
    Some(PersonName {
        first: first?,
        last: last?,
    })
}

/// Parses the username, or generates one on portals that assign usernames (ME-02, BL-16).
pub fn username(
    given: Option<&str>,
    policy: &Policy,
    rng: &mut StdRng,
    fields: &mut FieldErrors,
) -> Option<Username> {
    match policy.username.chosen_by {
        ChosenBy::User => fields.required("username", given, |text| {
            Username::parse(text, policy.username.min_length.get() as usize)
        }),
        ChosenBy::System => {
            fields.reject_if_present(
                "username",
                given.is_some(),
                "is assigned automatically on this portal",
            );
            policy.make_username(rng)
        }
    }
}

/// What attackers who know a person try first as the password.
#[derive(Debug, Clone, Copy, Default)]
pub struct AboutOwner<'a> {
    pub username: Option<&'a Username>,
    pub name: Option<&'a PersonName>,
    pub email: Option<&'a Email>,
}

impl<'a> From<&'a Account> for AboutOwner<'a> {
    fn from(account: &'a Account) -> Self {
        Self {
            username: Some(&account.username),
            name: Some(&account.name),
            email: Some(&account.email),
        }
    }
}

impl<'a> From<(Option<&'a Username>, Option<&'a PersonName>)> for AboutOwner<'a> {
    fn from((username, name): (Option<&'a Username>, Option<&'a PersonName>)) -> Self {
        Self {
            username,
            name,
            email: None,
        }
    }
}

/// Checks a new password against the portal's rules (ME-03) and rejects passwords that are easy to guess:
/// common and leaked ones, and ones based on the person's name, username or email address, or on the
/// names of the portal and the plan (UX-10; NIST SP 800-63B-4, 3.1.1.2).
pub fn new_password<'a>(
    field: &str,
    given: &str,
    owner: impl Into<AboutOwner<'a>>,
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Option<Sensitive> {
    let AboutOwner {
        username,
        name,
        email,
    } = owner.into();
    let username = username.map(Username::as_str);
    let mut about = vec![policy.title.as_str(), policy.plan.name.as_str()];
    about.extend(username);
    about.extend(email.map(Email::as_str));
    about.extend(
        name.iter()
            .flat_map(|n| [n.first.as_str(), n.last.as_str()]),
    );
    let checked = password::check(given, username, &policy.password)
        .and_then(|taken| password::hard_to_guess(&taken, &about).map(|()| taken));
    fields.take(field, checked)
}

/// Rejects the account's current password and those in its password history (UX-10).
///
/// # Errors
/// A problem that names the field.
pub async fn not_used_before(
    field: &str,
    password: &Sensitive,
    account: &Account,
    proven: &Proven,
    app: &App,
) -> Result<(), Problem> {
    if proven.is_used_password(app, account, password).await {
        proven.refuse(app, "password_used_before").await?;
        return Err(Problem::invalid_field(
            field,
            "must be a password that you have not used before",
        ));
    }
    Ok(())
}

/// Hashes a password with a new random salt.
pub async fn hash(password: &Sensitive, app: &App, rng: &mut StdRng) -> PasswordHash {
    app.hasher.hash(password, rng.random()).await
}

/// Returns the hash of a random password that nobody knows, so that no password matches it (SE-01).
pub async fn unknown_password(app: &App) -> PasswordHash {
    let mut rng = app.rng();
    let [high, low]: [u128; 2] = rng.random();
    let password = Sensitive::new(format!("{high:032x}{low:032x}"));
    hash(&password, app, &mut rng).await
}

/// The maximum number of lines of a street address.
pub const MAX_LINES: usize = 3;

/// The postal address that a user designates for letters (BL-03).
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct PostalAddressFields {
    /// The street address, in one to three lines.
    pub lines: Vec<String>,
    /// The city or town.
    pub city: String,
    /// The state, province or region.
    pub region: Option<String>,
    /// The ZIP Code or postal code.
    pub postal_code: Option<String>,
    /// The country as an ISO 3166-1 alpha-2 code.
    pub country: String,
}

only_from_object!(PostalAddressFields);

/// Parses a postal address, and checks that a letter to it can be printed.
pub fn postal_address(
    given: &PostalAddressFields,
    addressee: &str,
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Option<PostalAddress> {
    let at = |name: &str| format!("postal_address.{name}");
    if !(1..=MAX_LINES).contains(&given.lines.len()) {
        fields.push(&at("lines"), "must have one to three lines");
    }
    let mut lines = Vec::new();
    for (i, line) in given.lines.iter().take(MAX_LINES).enumerate() {
        lines.extend(fields.take(
            &format!("postal_address.lines[{i}]"),
            AddressLine::parse(line),
        ));
    }
    let city = fields.take(&at("city"), AddressLine::parse(&given.city));
    let mut optional = |name: &str, text: Option<&String>| {
        text.map(|t| fields.take(&at(name), AddressLine::parse(t)))
    };
    let region = optional("region", given.region.as_ref());
    let postal_code = optional("postal_code", given.postal_code.as_ref());
    let country = fields.take(&at("country"), Country::parse(&given.country));
    // The form's own fields report an invalid name.
    let addressee = Addressee::parse(addressee).ok()?;
    let address = PostalAddress {
        addressee,
        lines,
        city: city?,
        region: region.flatten(),
        postal_code: postal_code.flatten(),
        country: country?,
    };
    let printable = letters::check_address(&address, policy).map_err(|why| match why {
        Unprintable::TooLong => Invalid(
            "must be shorter to fit on the envelope; use fewer lines, or abbreviations such as St and Apt".into(),
        ),
        Unprintable::NoGlyph(_) => Invalid(
            "must contain only letters, digits and punctuation that can be printed".into(),
        ),
    });
    fields.take("postal_address", printable)?;
    Some(address)
}

/// Returns whether a message is a letter that can be printed, or no letter.
pub fn is_printable(message: &Message, policy: &Policy) -> bool {
    match message {
        Message::Letter(letter) => letters::lay_out(letter, policy).is_ok(),
        Message::Mail(_) | Message::Recovery(_) | Message::AccessCheck(_) | Message::Logout(_) => {
            true
        }
    }
}

/// Checks that the PIN letter of a decision can be printed, so that no letter is announced that never
/// arrives (ME-08).
///
/// # Errors
/// A problem that names the help desk, which can have the address corrected.
pub fn printable_letters(decision: Decision, policy: &Policy) -> Result<Decision, Problem> {
    if decision.messages.iter().all(|m| is_printable(m, policy)) {
        return Ok(decision);
    }
    let desk = &policy.help_desk;
    let detail = format!(
        "We cannot print a letter to the mailing address on record, because it is too long for the envelope or has characters that we cannot print. Call {} at {} ({}) to have it corrected.",
        desk.name, desk.phone, desk.hours
    );
    Err(Problem::new(
        axum::http::StatusCode::CONFLICT,
        "letter-not-printable",
        "Letter cannot be printed",
        detail,
    )
    .with_help(policy))
}

/// Returns the problem for a username or email address that is already taken (ME-02, EX-08).
pub fn taken(unique: vestibule_store::Unique) -> Option<Problem> {
    let (field, detail) = match unique {
        vestibule_store::Unique::Username => ("username", "is already taken; choose another one"),
        vestibule_store::Unique::Email => (
            "email",
            "is already used by another account; use a different address",
        ),
        vestibule_store::Unique::Record
        | vestibule_store::Unique::AccountId
        | vestibule_store::Unique::RepeatKey => return None,
    };
    let sentence = format!("The {} {detail}.", field.replace('_', " "));
    Some(
        Problem::new(
            axum::http::StatusCode::CONFLICT,
            "already-taken",
            "Already taken",
            sentence,
        )
        .with_field(field, detail),
    )
}
