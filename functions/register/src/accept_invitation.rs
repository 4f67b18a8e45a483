//! `POST /{portal}/invitations/accept`: registers an invited person (AG-08).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::account::Account;
use vestibule_domain::audit::Origin;
use vestibule_domain::ids::AccountId;
use vestibule_domain::invite::{self, State as InvitationStatus};
use vestibule_domain::policy::Policy;
use vestibule_domain::register::{Applicant, Registered};
use vestibule_domain::rules::context::Context;
use vestibule_domain::text::{Email, Sensitive, Username};
use vestibule_http::credentials::{self, QuestionAnswerFields};
use vestibule_http::openapi::{FieldProblems, InvitationLinkProblems, PortalParams};
use vestibule_http::request::RequestOrigin;
use vestibule_http::{App, Body, FieldErrors, Portal, Problem, rate_limit, usernames};
use vestibule_store::{CommitError, Unique};

use crate::look_up_invitation::{find, problem};
use crate::register::{RegistrationResponse, created};

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

/// How many times an acceptance is tried when the invitation changes at the same time.
const MAX_ATTEMPTS: usize = 3;

/// Register with an invitation
///
/// Creates an account for an invited person. The administrator who invited them is notified by email
/// and, on portals that require approval, must approve the account before it has access. A repeated
/// request with the same password returns the same response.
#[utoipa::path(
    post, path = "/{portal}/invitations/accept", tag = "registration",
    operation_id = "accept_invitation",
    params(PortalParams),
    request_body = AcceptInvitationRequest,
    responses(
        (status = 201, body = RegistrationResponse, description = "The new account"),
        (status = 409, description = "`already-taken`: the username or email address"),
        InvitationLinkProblems, FieldProblems,
    )
)]
pub(crate) async fn accept_invitation(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    Body(request): Body<AcceptInvitationRequest>,
) -> Result<Response, Problem> {
    let mut rng = app.rng();
    let mut fields = FieldErrors::default();
    let name = credentials::name(&request.first_name, &request.last_name, &mut fields);
    let email = fields.take("email", Email::parse(&request.email));
    let username =
        credentials::username(request.username.as_deref(), &policy, &mut rng, &mut fields);
    let password = credentials::new_password(
        "password",
        &request.password,
        (username.as_ref(), name.as_ref()),
        &policy,
        &mut fields,
    );
    let answers = credentials::security_answers(&request.security_answers, &policy, &mut fields);
    let hint = credentials::hint(request.hint.as_ref(), &policy, &mut fields);
    let parsed = (|| Some((name?, email?, username?, password?, answers?, hint?)))();
    let (name, email, username, password, answers, hint) = fields.into_result(parsed)?;

    let mut id = Account::natural_id(&policy.portal, &username.key());
    let mut hash = None;
    for _ in 0..MAX_ATTEMPTS {
        let (token, invitation) = find(&app, &policy, &request.token).await?;
        if let (InvitationStatus::Accepted { account }, true) =
            (&invitation.state, invitation.token == token.digest())
            && let Some(owner) =
                same_person(&app, account, &username, &password, &policy, &origin).await?
        {
            let membership = owner.membership(Some(&invitation.organization));
            return Ok(created(&owner, membership, &policy, &origin));
        }
        // Check the link first, so that an invalid one costs no password hash.
        invite::usable(&invitation, &token, origin.at)
            .map_err(|refusal| problem(refusal, &policy))?;
        let hash = match &hash {
            Some(hash) => hash,
            None => hash.insert(credentials::hash(&password, &app, &mut rng).await),
        };
        let applicant = Applicant {
            username: username.clone(),
            name: name.clone(),
            email: email.clone(),
            password: Some(hash.clone()),
            must_change_password: false,
            security_answers: answers.iter().cloned().map(|a| a.seal(&id, &app)).collect(),
            hint: hint.clone().map(|a| a.seal(&id, &app)),
            accepted_agreements: Default::default(),
            id: id.clone(),
        };
        let Registered { account, decision } = invite::accept(
            &invitation,
            &token,
            applicant,
            Context::new(&policy, &origin, &mut rng),
        )
        .map_err(|refusal| problem(refusal, &policy))?;
        match usernames::commit(
            &app,
            decision,
            &username,
            Context::new(&policy, &origin, &mut rng),
        )
        .await
        {
            Ok(()) => {
                return Ok(created(
                    &account,
                    account.memberships.first(),
                    &policy,
                    &origin,
                ));
            }
            Err(CommitError::Taken(Unique::AccountId)) => id = AccountId::random(&mut rng),
            Err(CommitError::Taken(unique)) => {
                return Err(credentials::taken(unique).unwrap_or_else(Problem::conflict));
            }
            // The invitation was used, revoked or resent at the same time. Load it again.
            Err(CommitError::Stale) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Problem::conflict())
}

/// Returns the account created with the invitation if the request repeats the registration with the
/// same password. The password check counts as a sign-in attempt.
async fn same_person(
    app: &App,
    account: &AccountId,
    username: &Username,
    password: &Sensitive,
    policy: &Policy,
    origin: &Origin,
) -> Result<Option<Account>, Problem> {
    let owner = app.store.account(&policy.portal, account).await?;
    let Some(owner) = owner.filter(|o| o.username.key() == username.key()) else {
        return Ok(None);
    };
    let right = rate_limit::is_password(app, &owner, password, policy, origin).await?;
    Ok(right.map(|_| owner))
}
