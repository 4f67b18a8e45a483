//! `POST /{portal}/registration-codes/redemption`: completes the registration of a user whom an
//! administrator added, with the code from their email (BL-08).

use axum::Json;
use axum::extract::State;
use futures::future;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::rules::activate::{self, Refusal};
use vestibule_domain::rules::context::Context;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent};
use vestibule_domain::state::membership::{Issue, Membership, PendingStep};
use vestibule_domain::values::text::{Invalid, Username};
use vestibule_http::credentials::{self, QuestionAnswerFields};
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, FieldErrors, Portal, Problem, Source};
use vestibule_secrets::{Purpose, Verified};
use vestibule_store::CommitError;
use vestibule_store::attempts::{AttemptKind, Limit};

use crate::enter_pin::upper;
use crate::{ask_for_new_code, code_problem};

/// A registration code and the new user's credentials.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RedeemCodeRequest {
    /// The username from the email.
    username: String,
    /// The registration code from the email, such as `RC` followed by six digits.
    registration_code: String,
    /// The new password.
    password: String,
    /// The security questions and their answers, on portals that require them.
    #[serde(default)]
    security_answers: Vec<QuestionAnswerFields>,
    /// The hint question and its answer, on portals that require them.
    hint: Option<QuestionAnswerFields>,
}

/// A registration that was completed with a code.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RedeemCodeResponse {
    /// The username to sign in with.
    username: String,
    /// The registration status, always `registered` (BL-02).
    registration: &'static str,
}

/// Complete registration with a registration code
///
/// Sets the password of a user whom an administrator added. The response is the same for an unknown
/// username and an incorrect code, and a repeated request returns the same response.
#[utoipa::path(
    post, path = "/{portal}/registration-codes/redemption", tag = "activation",
    operation_id = "redeem_registration_code",
    params(PortalParams),
    request_body = RedeemCodeRequest,
    responses(
        (status = 200, body = RedeemCodeResponse, description = "The completed registration"),
        (status = 410, description = "`code-locked` or `code-expired`: a new code is required"),
        (status = 422, description = "`code-wrong`"),
        FieldProblems,
    )
)]
pub(crate) async fn redeem_code(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<RedeemCodeRequest>,
) -> Result<Json<RedeemCodeResponse>, Problem> {
    let code_policy = policy
        .registration_code
        .as_ref()
        .ok_or_else(|| Problem::not_found("registration code"))?;
    let mut fields = FieldErrors::default();
    let username = fields.take("username", Username::parse(request.username.trim(), 1));
    let length = code_policy.prefix.as_str().len() + code_policy.digits.get() as usize;
    let code = if request.registration_code.trim().len() == length {
        Ok(upper(&request.registration_code))
    } else {
        Err(Invalid(format!(
            "must be {} followed by {} digits",
            code_policy.prefix,
            code_policy.digits.get()
        )))
    };
    let code = fields.take("registration_code", code);
    let password = credentials::new_password(
        "password",
        &request.password,
        (username.as_ref(), None),
        &policy,
        &mut fields,
    );
    let answers = credentials::security_answers(&request.security_answers, &policy, &mut fields);
    let hint = credentials::hint(request.hint.as_ref(), &policy, &mut fields);
    let parsed = (|| Some((username?, code?, password?, answers?, hint?)))();
    let (username, code, password, answers, hint) = fields.into_result(parsed)?;

    let found = app
        .store
        .account_by_username(&policy.portal, &username.key())
        .await?;
    let account = found.filter(|a| a.is_usable(policy.today(origin.at)));
    // Attempts are counted per code. A username without a code has its own counter with the same limit,
    // so that both look the same.
    let subject = account
        .as_ref()
        .and_then(|a| a.memberships.iter().find_map(code_issue))
        .map_or_else(
            || format!("{}/{}", policy.portal, username.key()),
            |issue| issue.id.to_string(),
        );
    let source = format!("code/{}/{}", policy.portal, Source::of(&origin));
    let rate_limit = &policy.rate_limits.sign_in;
    let window_minutes = Some(rate_limit.window_minutes.get());
    let tries = code_policy.max_attempts.get();
    let (of_code, of_source) = future::try_join(
        app.store.count_attempt(
            AttemptKind::RegistrationCode,
            &subject,
            Limit {
                tries,
                window_minutes: None,
            },
            origin.at,
        ),
        app.store.count_attempt(
            AttemptKind::Source,
            &source,
            Limit {
                tries: rate_limit.max_attempts_per_source.get(),
                window_minutes,
            },
            origin.at,
        ),
    )
    .await?;
    if of_source.allowed.is_none() {
        return Err(Problem::too_many_attempts(
            "There were too many attempts. Try again later.",
            &policy,
        ));
    }
    // Check the limit before comparing anything, including the password, so that it can't be guessed here.
    if of_code.allowed.is_none() {
        let detail = format!(
            "This code was entered incorrectly too many times and can no longer be used. {}",
            ask_for_new_code(&policy)
        );
        return Err(code_problem("code-locked", "Code locked", detail, &policy));
    }
    let mut rng = app.rng();
    if let Some(done) = already_redeemed(&app, account.as_ref(), &password).await {
        return Ok(Json(done));
    }
    let hash = credentials::hash(&password, &app, &mut rng).await;
    let decided = account
        .as_ref()
        .map_or(Err(Refusal::ApprovalNotPending), |account| {
            let organization = account
                .memberships
                .iter()
                .find(|m| code_issue(m).is_some())
                .and_then(|m| m.organization.as_ref());
            let matches = |issue: &Issue| {
                app.keyring().verify(
                    &issue.code,
                    Purpose::RegistrationCode,
                    issue.id.as_str(),
                    &code,
                )
            };
            let answers = answers
                .into_iter()
                .map(|a| a.seal(&account.id, &app))
                .collect();
            let hint = hint.map(|h| h.seal(&account.id, &app));
            activate::redeem_code(
                account,
                organization,
                matches,
                hash,
                (answers, hint),
                Context::new(&policy, &origin, &mut rng),
            )
        });
    match decided {
        Ok(decision) => {
            // The person's name and address are compared only after the code, so that a fault reveals nothing
            // to others.
            if let Some(account) = &account {
                let mut fields = FieldErrors::default();
                let given = &request.password;
                credentials::new_password("password", given, account, &policy, &mut fields);
                fields.into_result(Some(()))?;
            }
            match app.commit(decision, &mut rng).await {
                Ok(()) => {}
                // Perhaps a duplicate request was committed first. Not tried again: the attempt was counted
                // for the code that was compared.
                Err(CommitError::Stale) => {
                    let now = app
                        .store
                        .account_by_username(&policy.portal, &username.key())
                        .await?;
                    let now = now.filter(|a| a.is_usable(policy.today(origin.at)));
                    return already_redeemed(&app, now.as_ref(), &password)
                        .await
                        .map(Json)
                        .ok_or_else(Problem::conflict);
                }
                Err(other) => return Err(other.into()),
            }
            Ok(Json(redeemed(&username)))
        }
        Err(refusal) => {
            let audit = AuditEvent::refused(
                &origin,
                Actor::Unknown,
                Action::RedeemRegistrationCode,
                refusal.reason(),
                &mut rng,
            );
            let audit = match &account {
                Some(account) => audit.on(account.id.as_str()),
                None => audit,
            };
            app.commit(Decision::recording(audit), &mut rng).await?;
            Err(match refusal {
                Refusal::Expired => code_problem(
                    "code-expired",
                    "Code expired",
                    format!("This code has expired. {}", ask_for_new_code(&policy)),
                    &policy,
                ),
                Refusal::Wrong
                | Refusal::ApprovalNotPending
                | Refusal::NotYours
                | Refusal::NoAddress => {
                    let detail = format!(
                        "The username and registration code do not match your most recent email. {}",
                        ask_for_new_code(&policy)
                    );
                    code_problem("code-wrong", "Incorrect code", detail, &policy)
                        .with_field("registration_code", "is incorrect")
                }
            })
        }
    }
}

/// Returns the code that the membership is waiting for.
fn code_issue(membership: &Membership) -> Option<&Issue> {
    match &membership.pending_step {
        PendingStep::RegistrationCode { issue } => Some(issue),
        _ => None,
    }
}

/// Returns the same response if the request repeats a redemption with the same password. The caller
/// must have counted the attempt, because it compares the password. The work is the same for every
/// request (UX-09).
async fn already_redeemed(
    app: &App,
    account: Option<&Account>,
    password: &vestibule_domain::values::text::Sensitive,
) -> Option<RedeemCodeResponse> {
    let hash = account
        .filter(|a| {
            a.memberships
                .iter()
                .any(|m| m.pending_step == PendingStep::Open && m.registration_type.is_none())
        })
        .and_then(|a| a.password.as_ref())
        .map(|p| &p.hash);
    let right = !matches!(app.hasher.verify(password, hash).await, Verified::Wrong);
    account.filter(|_| right).map(|a| redeemed(&a.username))
}

fn redeemed(username: &Username) -> RedeemCodeResponse {
    RedeemCodeResponse {
        username: username.to_string(),
        registration: "registered",
    }
}
