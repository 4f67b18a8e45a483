//! `POST /{portal}/password-resets/redemption`: sets a new password for a forgotten one.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use utoipa::ToSchema;
use vestibule_domain::policy::RecoveryMeans;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::recover::{self, Evidence};
use vestibule_domain::state::account::{Account, PasswordHash, QuestionAnswer};
use vestibule_domain::state::audit::Action;
use vestibule_domain::values::text::{Sensitive, Username};
use vestibule_http::credentials::{self, HintAnswerFields, QuestionAnswerFields, parse_answer};
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::rate_limit::{Counter, RESET, Scene};
use vestibule_http::request::RequestOrigin;
use vestibule_http::secret_check::{self, Comparer, Described, Proven};
use vestibule_http::{App, Body, FieldErrors, Portal, Problem};
use vestibule_store::CommitError;
use vestibule_store::attempts::AttemptKind;

use crate::refused;

/// The evidence of the user's identity and the new password. `POST /{portal}/password-resets` returns
/// what is required.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompletePasswordResetRequest {
    /// The token from the reset link, on portals that reset passwords by email.
    token: Option<String>,
    /// The username, on all other portals.
    username: Option<String>,
    /// The security questions and their answers, if the reset requires them.
    #[serde(default)]
    security_answers: Vec<QuestionAnswerFields>,
    /// The answer to the hint question, if the reset requires it.
    hint: Option<HintAnswerFields>,
    /// The new password.
    new_password: String,
}

/// A completed password reset.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CompletePasswordResetResponse {
    /// The username to sign in with.
    username: String,
}

/// Reset a password
///
/// Sets a new password if everything that the portal requires is correct, invalidates the link and ends
/// all of the user's sessions. All refusals are the same.
#[utoipa::path(
    post, path = "/{portal}/password-resets/redemption", tag = "recovery",
    operation_id = "complete_password_reset",
    params(PortalParams),
    request_body = CompletePasswordResetRequest,
    responses(
        (status = 200, body = CompletePasswordResetResponse, description = "The username to sign in with"),
        (status = 403, description = "`recovery-refused`"),
        (status = 429, description = "`too-many-attempts`"),
        FieldProblems,
    )
)]
pub(crate) async fn complete_reset(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<CompletePasswordResetRequest>,
) -> Result<Json<CompletePasswordResetResponse>, Problem> {
    let token = request.token.as_deref().and_then(recover::parse_link);
    let means = recover::means_for(token.as_ref(), &policy);
    let by_link = means.contains(&RecoveryMeans::Email);
    let mut fields = FieldErrors::default();
    fields.reject_if_present(
        "username",
        by_link && request.username.is_some(),
        "is not used on this portal, because the link identifies the account",
    );
    fields.reject_if_present(
        "token",
        !by_link && request.token.is_some(),
        "is not used on this portal",
    );
    if by_link && request.token.is_none() {
        fields.push("token", "is required");
    }
    let username = if by_link {
        None
    } else {
        fields.required("username", request.username.as_deref(), |t| {
            Username::parse(t.trim(), 1)
        })
    };
    let hint = match (means.contains(&RecoveryMeans::HintQuestion), &request.hint) {
        (true, Some(given)) => fields.take("hint.answer", parse_answer(&given.answer)),
        (true, None) => {
            fields.push("hint", "is required");
            None
        }
        (false, given) => {
            fields.reject_if_present("hint", given.is_some(), "is not used on this portal");
            None
        }
    };
    let answers = if means.contains(&RecoveryMeans::SecurityAnswers) {
        credentials::security_answers(&request.security_answers, &policy, &mut fields)
    } else {
        fields.reject_if_present(
            "security_answers",
            !request.security_answers.is_empty(),
            "are not used on this portal",
        );
        Some(Vec::new())
    };
    let password = credentials::new_password(
        "new_password",
        &request.new_password,
        (username.as_ref(), None),
        &policy,
        &mut fields,
    );
    let (answers, password) = fields.into_result(answers.zip(password))?;

    let subject = match (&username, &token) {
        (Some(name), _) => name.key(),
        (None, Some(token)) => token.locator().to_owned(),
        (None, None) => String::new(),
    };
    let mut rng = app.rng();
    let evidence = Evidence {
        token,
        answers: answers
            .into_iter()
            .map(credentials::ParsedAnswer::into_parts)
            .collect(),
        hint,
    };
    let (app, policy, origin) = (&app, &*policy, &origin);
    let by = (username.as_ref(), subject.as_str());
    let entered = (&evidence, &password);
    let proven = check(app, by, entered, (policy, origin)).await?;
    let ((account, hash), proven) = proven.ok_or_else(|| refused(policy))?;
    let decision = recover::reset_password(
        &account,
        hash,
        proven.attempts(),
        Context::new(policy, origin, &mut rng),
    );
    // Check the password against the account only after identity is confirmed, so that a fault reveals
    // nothing to others.
    let mut fields = FieldErrors::default();
    credentials::new_password(
        "new_password",
        &request.new_password,
        &account,
        policy,
        &mut fields,
    );
    if let Err(problem) = fields.into_result(Some(())) {
        proven.refuse(app, "password_not_allowed").await?;
        return Err(problem);
    }
    credentials::not_used_before("new_password", &password, &account, &proven, app).await?;
    match app.commit(decision, &mut rng).await {
        Ok(()) => Ok(Json(CompletePasswordResetResponse {
            username: account.username.to_string(),
        })),
        // The link was used or the account changed at the same time. Not tried again: the attempt was
        // counted for the evidence that was compared.
        Err(CommitError::Stale) => Err(refused(policy)),
        Err(other) => Err(other.into()),
    }
}

/// Checks what proves that the person is the account's owner. Returns the account and the hash of the new
/// password if everything matches; the work is the same if it does not (UX-09).
async fn check(
    app: &App,
    (username, subject): (Option<&Username>, &str),
    (evidence, password): (&Evidence, &Sensitive),
    (policy, origin): Scene<'_>,
) -> Result<Option<((Account, PasswordHash), Proven)>, Problem> {
    let limit = &policy.rate_limits.sign_in;
    let counters = [
        Counter::step((AttemptKind::Recovery, RESET), subject, limit, policy),
        Counter::source(RESET, limit, (policy, origin)),
    ];
    let account = OnceCell::new();
    let load = async {
        let found: &Option<Account> = account
            .get_or_try_init(async || match (username, &evidence.token) {
                (Some(name), _) => {
                    let key = name.key();
                    app.store.account_by_username(&policy.portal, &key).await
                }
                (None, Some(token)) => app.store.account_of_token(&policy.portal, token).await,
                (None, None) => Ok(None),
            })
            .await?;
        Ok(Described::anonymous(Action::ResetPassword).on(found.as_ref()))
    };
    let compare = async |comparer: Comparer<'_>| {
        let hash = credentials::hash(password, app, &mut app.rng()).await;
        let found = account.get().and_then(Option::as_ref);
        let is_proved = |account: &&Account| {
            let verify = |stored: &QuestionAnswer, entered: &Sensitive| {
                comparer.is_answer(stored, &account.id, entered)
            };
            recover::is_proved(account, evidence, verify, policy, origin)
        };
        let proved = found.filter(is_proved).cloned();
        Ok(proved.map(|account| (account, hash)).ok_or("not_proved"))
    };
    let checked = secret_check::check(app, &counters, (policy, origin), load, compare).await?;
    checked.within(limit, policy)
}
