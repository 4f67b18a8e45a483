//! What several ways in have in common: a name, a username, a password, questions and answers.

use jiff::civil::Date;
use rand::RngExt;
use rand::rngs::StdRng;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::account::{Account, PasswordHash, QuestionAnswer};
use vestibule_domain::ids::AccountId;
use vestibule_domain::password;
use vestibule_domain::policy::{NamedBy, Policy};
use vestibule_domain::text::{
    AddressLine, Answer, Country, Invalid, NamePart, PersonName, PostalAddress, Sensitive, Username,
};
use vestibule_secrets::{Purpose, Verified};

use crate::request::only_from_object;
use crate::{App, Fields, Problem};

/// A question and its answer.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct QuestionAnswerFields {
    /// The question; a security question is one of those the portal offers.
    pub question: String,
    /// The answer. Case, accents, spaces and punctuation don't count.
    pub answer: String,
}

only_from_object!(QuestionAnswerFields);

/// A link that a user keeps.
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct LinkFields {
    /// What the user calls it.
    pub title: String,
    /// Where it leads.
    pub address: String,
}
only_from_object!(LinkFields);

/// A parsed question with the comparable form of its answer.
#[derive(Debug, Clone)]
pub struct ParsedAnswer {
    question: String,
    answer: Sensitive,
}

impl ParsedAnswer {
    /// The question and the comparable answer, to be compared with stored ones.
    pub fn into_parts(self) -> (String, Sensitive) {
        (self.question, self.answer)
    }

    /// Turns the answer into its code, bound to the account and the question.
    pub fn seal(self, account: &AccountId, app: &App) -> QuestionAnswer {
        let answer = app.keyring().mac(
            Purpose::SecurityAnswer,
            &context(account, &self.question),
            &self.answer,
        );
        QuestionAnswer {
            question: self.question,
            answer,
        }
    }
}

/// What an answer's code is bound to.
fn context(account: &AccountId, question: &str) -> String {
    format!("{account}/{question}")
}

/// Whether an entered answer is the stored one of an account.
pub fn is_answer(
    stored: &QuestionAnswer,
    entered: &Sensitive,
    account: &AccountId,
    app: &App,
) -> bool {
    app.keyring().verify(
        &stored.answer,
        Purpose::SecurityAnswer,
        &context(account, &stored.question),
        entered,
    )
}

/// Reads an answer in the form in which answers are compared.
///
/// # Errors
/// [`Invalid`] when it is empty, too long, or holds no letter or digit.
pub fn parse_answer(answer: &str) -> Result<Sensitive, Invalid> {
    let comparable = Answer::parse(answer)?.comparable();
    if comparable.expose().is_empty() {
        return Err(Invalid("must hold a letter or digit".into()));
    }
    Ok(comparable)
}

/// Reads the security answers: as many as the portal asks for, different questions, all answered (ME-04).
pub fn security_answers(
    given: &[QuestionAnswerFields],
    policy: &Policy,
    fields: &mut Fields,
) -> Option<Vec<ParsedAnswer>> {
    let Some(asked) = &policy.security_questions else {
        fields.unwanted(
            "security_answers",
            !given.is_empty(),
            "are not asked for on this portal",
        );
        return Some(Vec::new());
    };
    let count = asked.asked.get() as usize;
    if given.len() != count {
        fields.fault(
            "security_answers",
            format!("must be {count} questions with their answers"),
        );
        return None;
    }
    let mut parsed: Vec<ParsedAnswer> = Vec::new();
    for (i, entry) in given.iter().enumerate() {
        let at = |name: &str| format!("security_answers[{i}].{name}");
        if !asked.questions.iter().any(|q| q.as_str() == entry.question) {
            fields.fault(
                &at("question"),
                "must be one of the questions that the portal offers",
            );
        } else if parsed.iter().any(|p| p.question == entry.question) {
            fields.fault(&at("question"), "must not be asked twice");
        }
        let answer = fields.take(&at("answer"), parse_answer(&entry.answer));
        parsed.extend(answer.map(|answer| ParsedAnswer {
            question: entry.question.clone(),
            answer,
        }));
    }
    (parsed.len() == count).then_some(parsed)
}

/// Reads the hint question and its answer, where the portal has one (BL-14).
pub fn hint(
    given: Option<&QuestionAnswerFields>,
    policy: &Policy,
    fields: &mut Fields,
) -> Option<Option<ParsedAnswer>> {
    match (policy.hint_question, given) {
        (false, None) => Some(None),
        (false, Some(_)) => {
            fields.fault("hint", "is not asked for on this portal");
            None
        }
        (true, None) => {
            fields.fault("hint", "is required");
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

/// Reads the last day of an access (UX-07). That it isn't over yet is for the rules.
pub fn ends_on(given: Option<&str>, fields: &mut Fields) -> Option<Option<Date>> {
    let Some(text) = given else {
        return Some(None);
    };
    let day = Some(text)
        .filter(|t| t.len() == "2027-01-31".len())
        .and_then(|t| t.parse().ok())
        .ok_or_else(|| Invalid("must be a day such as 2027-01-31".into()));
    fields.take("ends_on", day).map(Some)
}

/// What is wrong with an end that the rules refuse.
pub const ENDS_IN_PAST: &str = "must be today or later";
/// What is wrong with an end that a principal is given.
pub const PRINCIPALS_STAY: &str = "cannot be set for a principal, whose access has no end";

/// Reads a person's name.
pub fn name(first: &str, last: &str, fields: &mut Fields) -> Option<PersonName> {
    let first = fields.take("first_name", NamePart::parse(first));
    let last = fields.take("last_name", NamePart::parse(last));
    Some(PersonName {
        first: first?,
        last: last?,
    })
}

/// Reads the username, or makes one where the portal does (ME-02, BL-16).
pub fn username(
    given: Option<&str>,
    policy: &Policy,
    rng: &mut StdRng,
    fields: &mut Fields,
) -> Option<Username> {
    match policy.username.chosen_by {
        NamedBy::User => fields.required("username", given, |text| {
            Username::parse(text, policy.username.min_length.get() as usize)
        }),
        NamedBy::System => {
            fields.unwanted(
                "username",
                given.is_some(),
                "is made by the system on this portal",
            );
            policy.make_username(rng)
        }
    }
}

/// Reads a new password against the portal's rules (ME-03) and against what is guessed first: common
/// and leaked passwords, and those made of the person's, the portal's or the plan's name (UX-10).
pub fn new_password(
    field: &str,
    given: &str,
    (username, name): (Option<&Username>, Option<&PersonName>),
    policy: &Policy,
    fields: &mut Fields,
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

/// Refuses a password that the account has, or had among those the portal remembers (UX-10).
///
/// # Errors
/// A problem that names the field.
pub async fn not_used_before(
    field: &str,
    password: &Sensitive,
    account: &Account,
    app: &App,
) -> Result<(), Problem> {
    for used in account.used_passwords() {
        if !matches!(
            app.hasher.verify(password, Some(used)).await,
            Verified::Wrong
        ) {
            return Err(Problem::invalid_field(
                field,
                "must be one that you have not used here before",
            ));
        }
    }
    Ok(())
}

/// Hashes a password with a fresh salt.
pub async fn hash(password: &Sensitive, app: &App, rng: &mut StdRng) -> PasswordHash {
    app.hasher.hash(password, rng.random()).await
}

/// A postal address, as a person designates it (BL-03).
#[derive(Debug, Clone, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, remote = "Self")]
pub struct PostalAddressFields {
    /// Street and number: one to three lines.
    pub lines: Vec<String>,
    /// City or town.
    pub city: String,
    /// State, province or region.
    pub region: Option<String>,
    /// ZIP or postal code.
    pub postal_code: Option<String>,
    /// ISO 3166-1 alpha-2 code of the country.
    pub country: String,
}

only_from_object!(PostalAddressFields);

/// Reads a postal address.
pub fn postal_address(
    given: &PostalAddressFields,
    addressee: &str,
    fields: &mut Fields,
) -> Option<PostalAddress> {
    let at = |name: &str| format!("postal_address.{name}");
    if !(1..=3).contains(&given.lines.len()) {
        fields.fault(&at("lines"), "must be one to three lines");
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

/// The problem of a username or address that somebody has already (ME-02, EX-08).
pub fn taken(unique: vestibule_store::Unique) -> Option<Problem> {
    let (field, detail) = match unique {
        vestibule_store::Unique::Username => {
            ("username", "is already taken; please choose another")
        }
        vestibule_store::Unique::Email => (
            "email",
            "is already used by another account; please use another address",
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
