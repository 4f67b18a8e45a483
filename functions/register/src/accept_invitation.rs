//! `POST /{portal}/invitations/accept`: an invited person registers (AG-08).

use axum::extract::State;
use axum::response::Response;
use serde::Deserialize;
use utoipa::ToSchema;
use vestibule_domain::account::Account;
use vestibule_domain::audit::Origin;
use vestibule_domain::ids::AccountId;
use vestibule_domain::invite::{self, State as Standing};
use vestibule_domain::policy::Policy;
use vestibule_domain::register::{Applicant, Registered};
use vestibule_domain::text::{Email, Sensitive, Username};
use vestibule_http::credentials::{self, QuestionAnswerFields};
use vestibule_http::request::From;
use vestibule_http::{App, Body, Fields, Portal, Problem, ProblemBody, guesses, usernames};
use vestibule_store::{CommitError, Unique};

use crate::look_up_invitation::{find, problem};
use crate::register::{RegistrationAnswer, created};

/// An invited person's registration.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AcceptRequest {
    /// The token that the link carries after its `#`.
    token: String,
    /// Given name.
    first_name: String,
    /// Family name.
    last_name: String,
    /// The address that the invitation was sent to.
    email: String,
    /// The username, on portals where people choose one.
    username: Option<String>,
    /// The password.
    password: String,
    /// Security questions with answers, on portals that ask for them.
    #[serde(default)]
    security_answers: Vec<QuestionAnswerFields>,
    /// The hint question, on portals that have one.
    hint: Option<QuestionAnswerFields>,
}

/// How often an acceptance that ran into a change of the invitation looks again.
const LOOKS: usize = 3;

/// Registers an invited person. The administrator who invited them is told by email and, where the
/// portal asks for it, approves them; until then they have no access.
///
/// The same registration sent again, with the same password, is answered as the first time.
#[utoipa::path(
    post, path = "/{portal}/invitations/accept", tag = "registration",
    operation_id = "accept_invitation",
    params(("portal" = String, Path, description = "The portal")),
    request_body = AcceptRequest,
    responses(
        (status = 201, body = RegistrationAnswer, description = "Registered"),
        (status = 404, body = ProblemBody, description = "`invitation-unknown`", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`already-taken`: the username or address", content_type = "application/problem+json"),
        (status = 410, body = ProblemBody, description = "`invitation-expired`, `invitation-used` or `invitation-revoked`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn accept_invitation(
    State(app): State<App>,
    Portal(policy): Portal,
    From(origin): From,
    Body(request): Body<AcceptRequest>,
) -> Result<Response, Problem> {
    let mut rng = app.rng();
    let mut fields = Fields::default();
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
    let (name, email, username, password, answers, hint) = fields.finish(parsed)?;

    let mut id = Account::natural_id(&policy.portal, &username.key());
    let mut hash = None;
    for _ in 0..LOOKS {
        let (token, invitation) = find(&app, &policy, &request.token).await?;
        if let (Standing::Accepted { account }, true) =
            (&invitation.state, invitation.token == token.digest())
            && let Some(owner) =
                same_person(&app, account, &username, &password, &policy, &origin).await?
        {
            let membership = owner.membership(Some(&invitation.organization));
            return Ok(created(&owner, membership, &policy, &origin));
        }
        // Nothing is hashed for a link that can't be used.
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
            accepts: Default::default(),
            id: id.clone(),
        };
        let Registered { account, decision } =
            invite::accept(&invitation, &token, applicant, &policy, &origin, &mut rng)
                .map_err(|refusal| problem(refusal, &policy))?;
        match usernames::commit(&app, decision, &username, &policy, &origin, &mut rng).await {
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
            // The link was used, withdrawn or sent again at the same moment: look which.
            Err(CommitError::Stale) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Problem::conflict())
}

/// The account that was made with the invitation, if its owner has lost the answer and asks again
/// with the same password. It is a guess like one at sign-in, and counted with those.
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
    let right = guesses::is_password(app, &owner, password, policy, origin).await?;
    Ok(right.map(|_| owner))
}
