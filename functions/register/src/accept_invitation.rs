//! `POST /{portal}/invitations/accept`: registers an invited person (AG-08).

use axum::extract::State;
use serde::Deserialize;
use tokio::sync::OnceCell;
use utoipa::ToSchema;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::accept_invitation::{self, Standing};
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::invite::{self, Refusal};
use vestibule_domain::rules::register::Applicant;
use vestibule_domain::state::account::{Account, PasswordHash};
use vestibule_domain::state::audit::{Action, Origin};
use vestibule_domain::state::invitation::{Invitation, State as InvitationStatus};
use vestibule_domain::state::session::Token;
use vestibule_domain::values::ids::AccountId;
use vestibule_domain::values::text::{Email, Sensitive, Username};
use vestibule_http::credentials::{self, ParsedAnswer, QuestionAnswerFields};
use vestibule_http::idempotency::{self, Created, RepeatableBody};
use vestibule_http::openapi::{
    FieldProblems, IdempotencyParams, InvitationLinkProblems, PortalParams,
};
use vestibule_http::request::RequestOrigin;
use vestibule_http::secret_check::{self, Described};
use vestibule_http::{App, FieldErrors, Portal, Problem, request_limit, transact};
use vestibule_store::attempts::AttemptKind;

use crate::look_up_invitation::{find, problem, standing};
use crate::register::{RegistrationResponse, created, repeated};

/// The registration of an invited person.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptInvitationRequest {
    /// The token from the invitation link, after the `#`.
    token: String,
    /// The person's given name.
    first_name: String,
    /// The person's family name.
    last_name: String,
    /// The email address that the invitation was sent to.
    email: String,
    /// The username; required on portals where users choose one.
    username: Option<String>,
    /// The new password.
    password: String,
    /// The security questions and their answers, on portals that require them.
    #[serde(default)]
    security_answers: Vec<QuestionAnswerFields>,
    /// The hint question and its answer, on portals that require them.
    hint: Option<QuestionAnswerFields>,
}

/// What was loaded for an acceptance.
enum Found {
    /// The invitation was accepted by this account with an identical request. Contains the counter of
    /// attempts at the account's password.
    Accepted(Box<Account>, Invitation, AttemptKey),
    Open {
        /// The id for the new account.
        id: AccountId,
        hash: PasswordHash,
        token: Token,
        invitation: Invitation,
        standing: Box<Standing>,
    },
}

/// Register with an invitation
///
/// Creates an account for an invited person. The organization's administrators are notified by email
/// and, on portals that require approval, must approve the account before it has access. A repeated
/// request with the same password returns the same response.
#[utoipa::path(
    post, path = "/{portal}/invitations/accept", tag = "registration",
    operation_id = "accept_invitation",
    params(PortalParams, IdempotencyParams),
    request_body = AcceptInvitationRequest,
    responses(
        (status = 201, body = RegistrationResponse, description = "The new account", headers(("location" = String, description = "The URL of the caller's profile"))),
        (status = 409, description = "`already-taken`: the username or email address"),
        (status = 429, description = "`too-many-attempts`"),
        InvitationLinkProblems, FieldProblems,
    )
)]
pub(crate) async fn accept_invitation(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    RepeatableBody(request, key): RepeatableBody<AcceptInvitationRequest>,
) -> Result<Created, Problem> {
    let mut rng = app.rng();
    let mut fields = FieldErrors::default();
    let name = credentials::name(&request.first_name, &request.last_name, &mut fields);
    let email = fields.take("email", Email::parse(&request.email));
    let username =
        credentials::username(request.username.as_deref(), &policy, &mut rng, &mut fields);
    let password = credentials::new_password(
        "password",
        &request.password,
        credentials::AboutOwner {
            username: username.as_ref(),
            name: name.as_ref(),
            email: email.as_ref(),
        },
        &policy,
        &mut fields,
    );
    let answers = credentials::security_answers(&request.security_answers, &policy, &mut fields);
    let hint = credentials::hint(request.hint.as_ref(), &policy, &mut fields);
    let parsed = (|| Some((name?, email?, username?, password?, answers?, hint?)))();
    let (name, email, username, password, answers, hint) = fields.into_result(parsed)?;

    let (app, policy, origin, link) = (&app, &*policy, &origin, &request.token);
    let key = key.as_ref();
    let (username, password, email) = (&username, &password, &email);
    let hash = &OnceCell::new();
    let (state, accepted) = transact(
        app,
        |attempt| async move {
            let (token, invitation) = find(app, policy, link).await?;
            if let (InvitationStatus::Accepted { account }, true) =
                (&invitation.state, invitation.token == token.digest())
                && let Some((owner, attempts)) =
                    same_person(app, account, (username, password), policy, origin).await?
            {
                return Ok(Found::Accepted(Box::new(owner), invitation, attempts));
            }
            // Check the link first, so that an invalid one costs no password hash.
            let refused = |refusal| problem(refusal, policy);
            invite::usable(&invitation, &token, origin.at).map_err(refused)?;
            let standing = standing(app, &invitation, policy, origin).await?;
            standing
                .check(&invitation, policy, origin.at)
                .map_err(refused)?;
            if email.key() != invitation.email.key() {
                return Err(refused(Refusal::OtherAddress));
            }
            // A taken username is reported, so that requests are limited: a link must not serve to find names.
            if attempt.is_first {
                let counted = (AttemptKind::Acceptance, "accept", invitation.id.as_str());
                let described = Described::anonymous(Action::AcceptInvitation);
                let limit = &policy.rate_limits.sign_in;
                request_limit::count_step(app, counted, limit, &described, (policy, origin))
                    .await?;
            }
            let new_hash = || async { credentials::hash(password, app, &mut app.rng()).await };
            let hash = hash.get_or_init(new_hash).await.clone();
            // The keyed id may belong to an account that was renamed.
            let id = if attempt.is_account_id_taken {
                AccountId::random(&mut app.rng())
            } else {
                app.store.account_id(&policy.portal, &username.key())
            };
            Ok(Found::Open {
                id,
                hash,
                token,
                invitation,
                standing: Box::new(standing),
            })
        },
        |found, rng| {
            let Found::Open {
                id,
                hash,
                token,
                invitation,
                standing,
            } = found
            else {
                return Ok((None, None));
            };
            let seal = |answer: ParsedAnswer| answer.seal(id, app);
            let applicant = Applicant {
                username: username.clone(),
                name: name.clone(),
                email: email.clone(),
                password: Some(hash.clone()),
                must_change_password: false,
                security_answers: answers.iter().cloned().map(seal).collect(),
                hint: hint.clone().map(seal),
                accepted_agreements: Default::default(),
                id: id.clone(),
            };
            let context = Context::new(policy, origin, rng);
            let accepted =
                accept_invitation::accept(invitation, standing, token, applicant, context)
                    .map_err(|refusal| problem(refusal, policy))?;
            let account = &accepted.account;
            let response = created(account, account.memberships.first(), (policy, origin))?;
            let decision =
                idempotency::keep(accepted.decision, key, &response, account, origin.at)?;
            Ok((Some(response), Some(decision)))
        },
    )
    .await?;
    match (accepted, state) {
        (Some(response), _) => Ok(response),
        (None, Found::Accepted(owner, invitation, attempts)) => {
            let membership = owner.membership(Some(&invitation.organization));
            let owner = (&*owner, membership, attempts);
            repeated(app, owner, key, (policy, origin)).await
        }
        (None, Found::Open { .. }) => Err(Problem::internal("an acceptance was not decided")),
    }
}

/// Returns the account created with the invitation if the request repeats the registration with the
/// same password, and the counter of attempts at it. The password check counts as a sign-in attempt.
async fn same_person(
    app: &App,
    account: &AccountId,
    (username, password): (&Username, &Sensitive),
    policy: &Policy,
    origin: &Origin,
) -> Result<Option<(Account, AttemptKey)>, Problem> {
    let owner = app.store.account(&policy.portal, account).await?;
    let Some(owner) = owner.filter(|o| o.username.key() == username.key()) else {
        return Ok(None);
    };
    let described = Described::anonymous(Action::AcceptInvitation).on(Some(&owner));
    let right = secret_check::password(app, &owner, password, described, (policy, origin)).await?;
    Ok(right.map(|proven| (owner, proven.attempts())))
}
