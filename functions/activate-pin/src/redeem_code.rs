//! `POST /{portal}/registration-codes/redemption`: completes the registration of a user whom an
//! administrator added, with the code from their email (BL-08).

use axum::Json;
use axum::extract::State;
use futures::future;
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::accept_invitation::Standing;
use vestibule_domain::rules::activate::{self, Refusal};
use vestibule_domain::rules::context::Context;
use vestibule_domain::state::account::{Account, PasswordHash};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::state::membership::{Issue, Membership, PendingStep};
use vestibule_domain::values::text::{Invalid, Sensitive, Username};
use vestibule_http::credentials::{self, QuestionAnswerFields};
use vestibule_http::openapi::{FieldProblems, PortalParams};
use vestibule_http::rate_limit::{Counter, Scene};
use vestibule_http::request::RequestOrigin;
use vestibule_http::secret_check::{self, Checked, Comparer, Described};
use vestibule_http::{App, Body, FieldErrors, Portal, Problem};
use vestibule_store::CommitError;
use vestibule_store::attempts::{AttemptKind, Limit, Window};

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
        (status = 409, description = "`access-expired`: an administrator can extend the access"),
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
    let (app, policy, origin) = (&app, &*policy, &origin);
    let mut rng = app.rng();
    let checked = check(
        app,
        account.as_ref(),
        (&username, &code, &password),
        (policy, origin),
    );
    let (account, hash) = match (checked.await?, &account) {
        (Checked::Right(Entered::Again(attempts), _), Some(account)) => {
            return repeated(app, account, attempts, origin).await;
        }
        (Checked::Right(Entered::Code(hash), proven), Some(account)) => {
            // The person's name and address are compared only after the code, so that a fault reveals nothing
            // to others.
            let mut fields = FieldErrors::default();
            let given = &request.password;
            credentials::new_password("password", given, account, policy, &mut fields);
            if let Err(problem) = fields.into_result(Some(())) {
                proven.refuse(app, "password_not_allowed").await?;
                return Err(problem);
            }
            (account, hash)
        }
        (Checked::Exhausted(AttemptKind::RegistrationCode), _) => {
            let detail = format!(
                "This code was entered incorrectly too many times and can no longer be used. {}",
                ask_for_new_code(policy)
            );
            return Err(code_problem("code-locked", "Code locked", detail, policy));
        }
        (Checked::Exhausted(_), _) => {
            return Err(Problem::too_many_attempts(
                "There were too many attempts. Try again later.",
                policy.rate_limits.sign_in.window_minutes.get(),
                policy,
            ));
        }
        (Checked::Wrong { .. } | Checked::Right(..), _) => return Err(wrong(policy)),
    };
    let pending = account.memberships.iter().find(|m| code_issue(m).is_some());
    let organization = pending.and_then(|m| m.organization.as_ref());
    let is_vouched_for = is_vouched_for(app, account, pending, (policy, origin)).await?;
    let answers = answers
        .into_iter()
        .map(|a| a.seal(&account.id, app))
        .collect();
    let hint = hint.map(|h| h.seal(&account.id, app));
    let decided = if is_vouched_for {
        activate::redeem_code(
            account,
            organization,
            |_| true,
            hash,
            (answers, hint),
            Context::new(policy, origin, &mut rng),
        )
    } else {
        Err(Refusal::WithoutStanding)
    };
    match decided {
        Ok(decision) => match app.commit(decision, &mut rng).await {
            Ok(()) => Ok(Json(redeemed(&username))),
            // Perhaps a duplicate request was committed first. Not tried again: the attempt was counted
            // for the code that was compared.
            Err(CommitError::Stale) => {
                let now = app
                    .store
                    .account_by_username(&policy.portal, &username.key())
                    .await?;
                let now = now.filter(|a| a.is_usable(policy.today(origin.at)) && is_redeemed(a));
                let account = now.ok_or_else(Problem::conflict)?;
                let described = described(Some(&account));
                let right =
                    secret_check::password(app, &account, &password, described, (policy, origin));
                let proven = right.await?.ok_or_else(Problem::conflict)?;
                repeated(app, &account, proven.attempts(), origin).await
            }
            Err(other) => Err(other.into()),
        },
        Err(refusal) => {
            let audit = AuditEvent::refused(
                origin,
                Actor::Unknown,
                Action::RedeemRegistrationCode,
                refusal.into_str(),
                &mut rng,
            )
            .on(account.id.as_str());
            app.commit(Decision::recording(audit), &mut rng).await?;
            Err(match refusal {
                Refusal::Expired => code_problem(
                    "code-expired",
                    "Code expired",
                    format!("This code has expired. {}", ask_for_new_code(policy)),
                    policy,
                ),
                Refusal::WithoutStanding => code_problem(
                    "code-expired",
                    "Code withdrawn",
                    format!("This code is no longer valid. {}", ask_for_new_code(policy)),
                    policy,
                ),
                Refusal::Wrong
                | Refusal::NothingPending
                | Refusal::NotReissuer
                | Refusal::NoAddress => wrong(policy),
            })
        }
    }
}

/// Returns whether the administrator who sent the pending code could still add the user (SE-02).
async fn is_vouched_for(
    app: &App,
    account: &Account,
    pending: Option<&Membership>,
    (policy, origin): Scene<'_>,
) -> Result<bool, Problem> {
    let organization = pending.and_then(|m| m.organization.as_ref());
    let voucher = pending
        .and_then(code_issue)
        .and_then(|i| i.vouched_by.as_ref());
    let (Some(pending), Some(id), Some(voucher)) = (pending, organization, voucher) else {
        return Ok(false);
    };
    let found = app
        .store
        .organization_with_account(&account.portal, id, voucher);
    let (organization, inviter) = found.await?;
    let standing = Standing {
        organization,
        inviter,
        ..Standing::default()
    };
    Ok(standing.can_give(id, pending.role, policy, origin.at))
}

/// What was entered correctly.
enum Entered {
    /// The pending code. Contains the hash of the new password.
    Code(PasswordHash),
    /// The password of an account whose code was redeemed earlier. Contains the counter of attempts at it.
    Again(AttemptKey),
}

/// How long attempts at a username without a code are counted together.
const A_MONTH: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Compares the code and, because a repeated request gets the same response, the password. Attempts are
/// counted per code. A username without a code has its own counter with the same limit, so that both look
/// the same. For an account whose code was redeemed, they count as attempts to sign in, too. The work is the same for every request
/// (UX-09).
async fn check(
    app: &App,
    account: Option<&Account>,
    (username, code, password): (&Username, &Sensitive, &Sensitive),
    (policy, origin): Scene<'_>,
) -> Result<Checked<Entered>, Problem> {
    let issue = account.and_then(|a| a.memberships.iter().find_map(code_issue));
    let subject = issue.map_or_else(
        || format!("{}/{}", policy.portal, username.key()),
        |issue| issue.id.to_string(),
    );
    let code_policy = policy.registration_code.as_ref();
    let max_attempts = code_policy.map_or(0, |c| c.max_attempts.get());
    let counters = [
        Counter {
            kind: AttemptKind::RegistrationCode,
            subject,
            limit: Limit {
                max_attempts,
                window: Window::Until(issue.map_or(origin.at + A_MONTH, |i| i.expires_at)),
            },
        },
        Counter::source("code", &policy.rate_limits.sign_in, (policy, origin)),
    ];
    let load = future::ready(Ok(described(account)));
    let compare = async |comparer: Comparer<'_>| {
        let redeemed = account.filter(|a| is_redeemed(a));
        let right = comparer
            .password(redeemed, &secret_check::nobody(&username.key()), password)
            .await?;
        let hash = credentials::hash(password, app, &mut app.rng()).await;
        let is_code = |issue| comparer.is_registration_code(issue, code);
        Ok(match right {
            Some(right) => Ok(Entered::Again(right.attempts)),
            None if issue.is_some_and(is_code) => Ok(Entered::Code(hash)),
            None => Err(Refusal::Wrong.into_str()),
        })
    };
    secret_check::check(app, &counters, (policy, origin), load, compare).await
}

fn described(account: Option<&Account>) -> Described {
    Described::anonymous(Action::RedeemRegistrationCode).on(account)
}

/// Returns the problem for an incorrect code, which is the same for an unknown username.
fn wrong(policy: &Policy) -> Problem {
    let detail = format!(
        "The username and registration code do not match your most recent email. {}",
        ask_for_new_code(policy)
    );
    code_problem("code-wrong", "Incorrect code", detail, policy)
        .with_field("registration_code", "is incorrect")
}

/// Records that a redemption was repeated with the right password, and returns the same response.
async fn repeated(
    app: &App,
    account: &Account,
    attempts: AttemptKey,
    origin: &Origin,
) -> Result<Json<RedeemCodeResponse>, Problem> {
    secret_check::record_repeated(app, account, Some(attempts), origin).await?;
    Ok(Json(redeemed(&account.username)))
}

/// Returns whether the account was completed with a code.
fn is_redeemed(account: &Account) -> bool {
    account
        .memberships
        .iter()
        .any(|m| m.pending_step == PendingStep::Open && m.registration_type.is_none())
}

/// Returns the code that the membership is waiting for.
fn code_issue(membership: &Membership) -> Option<&Issue> {
    match &membership.pending_step {
        PendingStep::RegistrationCode { issue } => Some(issue),
        _ => None,
    }
}

fn redeemed(username: &Username) -> RedeemCodeResponse {
    RedeemCodeResponse {
        username: username.to_string(),
        registration: "registered",
    }
}
