//! `PATCH /{portal}/me`: changes the caller's profile (BL-11, BL-13).

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::State;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::rules::password;
use vestibule_domain::rules::profile::{self, Changes, MAX_LINKS};
use vestibule_domain::state::account::Bookmark;
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::text::{Invalid, NamePart, PersonName};
use vestibule_domain::{Change, Decision};
use vestibule_http::credentials::{self, LinkFields, ParsedAnswer, QuestionAnswerFields};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, PortalParams};
use vestibule_http::secret_check::{self, Described, Proven};
use vestibule_http::{App, Body, Entitled, FieldErrors, Problem, transact};

use crate::show_profile::{ProfileResponse, show};

/// The fields to change. Absent fields stay as they are.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct EditProfileRequest {
    /// The first name. Requires `last_name`.
    first_name: Option<String>,
    /// The last name. Requires `first_name`.
    last_name: Option<String>,
    /// The hint question and its answer. Requires `password`.
    hint: Option<QuestionAnswerFields>,
    /// The security questions and their answers, as many as the portal requires. Requires
    /// `password`.
    security_answers: Option<Vec<QuestionAnswerFields>>,
    /// The caller's current password. Required with `hint` and `security_answers`, because the
    /// answers can be used to recover the account (OWASP ASVS 5.0, 7.5.1).
    password: Option<String>,
    /// The complete list of profile links, at most 20.
    links: Option<Vec<LinkFields>>,
    /// The complete list of subscriptions. The caller can change it after entering the PIN or
    /// registration code; before that, only the help desk can.
    subscriptions: Option<BTreeSet<String>>,
}

/// Edit your profile
///
/// Changes the caller's name, hint, security questions, links or subscriptions. The username can't
/// be changed here.
#[utoipa::path(
    patch, path = "/{portal}/me", tag = "profile",
    operation_id = "edit_profile",
    params(PortalParams),
    request_body = EditProfileRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = ProfileResponse, description = "The profile after the change"),
        (status = 403, description = "`next-step-required`"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn edit_profile(
    State(app): State<App>,
    Entitled(mut caller): Entitled,
    Body(request): Body<EditProfileRequest>,
) -> Result<Json<ProfileResponse>, Problem> {
    let policy = &caller.policy;
    let mut fields = FieldErrors::default();
    let mut changes = Changes::default();
    match (&request.first_name, &request.last_name) {
        (None, None) => {}
        (first, last) => {
            let first = fields.required("first_name", first.as_deref(), NamePart::parse_entered);
            let last = fields.required("last_name", last.as_deref(), NamePart::parse_entered);
            changes.name = first
                .zip(last)
                .map(|(first, last)| PersonName { first, last });
        }
    }
    if request.hint.is_some() {
        let hint = credentials::hint(request.hint.as_ref(), policy, &mut fields).flatten();
        changes.hint = hint.map(|h| h.seal(&caller.account.id, &app));
    }
    if let Some(given) = &request.security_answers {
        let answers = credentials::security_answers(given, policy, &mut fields);
        changes.security_answers = answers.map(|answers| {
            let seal = |a: ParsedAnswer| a.seal(&caller.account.id, &app);
            answers.into_iter().map(seal).collect()
        });
    }
    let password = if request.hint.is_some() || request.security_answers.is_some() {
        fields.required("password", request.password.as_deref(), password::normalize)
    } else {
        fields.reject_if_present(
            "password",
            request.password.is_some(),
            "can only be given when you change your hint or security questions",
        );
        None
    };
    changes.bookmarks = request.links.map(|links| parse_links(links, &mut fields));
    if let Some(wanted) = request.subscriptions {
        if let Some(unknown) = wanted.iter().find(|w| {
            !policy
                .publications
                .iter()
                .any(|p| p.id.as_str() == w.as_str())
        }) {
            let shown: String = unknown.chars().take(40).collect();
            fields.push(
                "subscriptions",
                format!("{shown:?} is not a publication of this portal"),
            );
        }
        changes.subscriptions = Some(wanted);
    }
    let changes = fields.into_result(Some(changes))?;
    let proven = match password {
        Some(password) => {
            let described = Described::by(&caller, Action::EditProfile);
            let (account, scene) = (&caller.account, (&**policy, &caller.origin));
            let right = secret_check::password(&app, account, &password, described, scene).await?;
            Some(right.ok_or_else(|| Problem::invalid_field("password", "is incorrect"))?)
        }
        None => None,
    };
    let organization = caller.session.organization.as_ref();
    let (_, account) = transact(
        &app,
        |attempt| caller.latest(&app, attempt),
        |account, rng| {
            let context = caller.context(rng);
            let edited = profile::edit(account, organization, changes.clone(), context);
            Ok(match edited {
                Some((after, decision)) => {
                    let attempts = proven.as_ref().map(Proven::attempts);
                    let decision = attempts
                        .map(Change::ForgetAttempts)
                        .into_iter()
                        .fold(decision, Decision::change);
                    (after, Some(decision))
                }
                // The password was compared, so it is recorded even if the profile stays as it is.
                None => {
                    let recorded = proven.as_ref().map(|proven| {
                        let audit = caller.audit(Action::EditProfile, &app);
                        Decision::recording(audit.on(account.id.as_str()))
                            .change(Change::ForgetAttempts(proven.attempts()))
                    });
                    (account.clone(), recorded)
                }
            })
        },
    )
    .await?;
    caller.account = account;
    show(&app, &caller).await.map(Json)
}

fn parse_links(links: Vec<LinkFields>, fields: &mut FieldErrors) -> Vec<Bookmark> {
    if links.len() > MAX_LINKS {
        fields.push("links", format!("can contain at most {MAX_LINKS} links"));
        return Vec::new();
    }
    let mut parsed = Vec::new();
    for (i, link) in links.into_iter().enumerate() {
        let title = fields.take(&format!("links[{i}].title"), NamePart::parse(&link.title));
        let url = fields.take(&format!("links[{i}].url"), parse_url(&link.url));
        parsed.extend(title.zip(url).map(|(title, url)| Bookmark {
            title: title.to_string(),
            url,
        }));
    }
    parsed
}

/// Accepts only `http` and `https` URLs, so that no link can run a script.
fn parse_url(text: &str) -> Result<String, Invalid> {
    let text = text.trim();
    let web = text.starts_with("https://") || text.starts_with("http://");
    if web
        && text.len() <= 500
        && text.len() > 10
        && text
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"\"<>\\".contains(&b))
    {
        Ok(text.to_owned())
    } else {
        Err(Invalid(
            "must be a web address such as https://www.example.com, at most 500 characters long"
                .into(),
        ))
    }
}
