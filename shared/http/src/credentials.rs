//! Fields that several forms share: names, usernames, passwords, security answers and addresses.

use std::collections::BTreeMap;

use jiff::civil::Date;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::policy::{ChosenBy, Policy};
use vestibule_domain::rules::password;
use vestibule_domain::rules::security_questions::{InvalidChoice, check_choice};
use vestibule_domain::state::account::{Account, PasswordHash, QuestionAnswer};
use vestibule_domain::values::ids::AccountId;
use vestibule_domain::values::text::{
    AddressLine, Answer, Country, Invalid, NamePart, PersonName, PostalAddress, Sensitive, Username,
};
use vestibule_secrets::Purpose;

use crate::request::only_from_object;
use crate::secret_check::Proven;
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

/// The context to which the MAC of an answer is bound.
pub(crate) fn answer_context(account: &AccountId, question: &str) -> String {
    format!("{account}/{question}")
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
    (parsed.len() == given.len()).then_some(parsed)
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
            Some(Some(ParsedAnswer {
                question: question?.as_str().to_owned(),
                answer: answer?,
            }))
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
    let first = fields.take("first_name", NamePart::parse(first));
    let last = fields.take("last_name", NamePart::parse(last));
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

/// Checks a new password against the portal's rules (ME-03) and rejects passwords that are easy to guess:
/// common and leaked ones, and ones based on the name of the person, the portal or the plan (UX-10).
pub fn new_password(
    field: &str,
    given: &str,
    (username, name): (Option<&Username>, Option<&PersonName>),
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Option<Sensitive> {
    let username = username.map(Username::as_str);
    let mut about = vec![policy.title.as_str(), policy.plan.name.as_str()];
    about.extend(username);
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

/// Parses a postal address.
pub fn postal_address(
    given: &PostalAddressFields,
    addressee: &str,
    fields: &mut FieldErrors,
) -> Option<PostalAddress> {
    let at = |name: &str| format!("postal_address.{name}");
    if !(1..=3).contains(&given.lines.len()) {
        fields.push(&at("lines"), "must have one to three lines");
    }
    let mut lines = Vec::new();
    for (i, line) in given.lines.iter().take(3).enumerate() {
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
    let addressee = addressee.chars().take(60).collect::<String>();
    let addressee = fields.take("postal_address", AddressLine::parse(&addressee));
    Some(PostalAddress {
        addressee: addressee?,
        lines,
        city: city?,
        region: region.flatten(),
        postal_code: postal_code.flatten(),
        country: country?,
    })
}

/// Returns the problem for a username or email address that is already taken (ME-02, EX-08).
pub fn taken(unique: vestibule_store::Unique) -> Option<Problem> {
    let (field, detail) = match unique {
        vestibule_store::Unique::Username => ("username", "is already taken; choose another one"),
        vestibule_store::Unique::Email => (
            "email",
            "is already used by another account; use a different address",
        ),
        vestibule_store::Unique::Record | vestibule_store::Unique::AccountId => return None,
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
