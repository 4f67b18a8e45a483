//! `POST /{portal}/users`: adds a user, who receives a registration code by email (BL-07, BL-08) or
//! an initial password from the administrator (EX-09), depending on the portal.

use std::collections::BTreeSet;

use axum::extract::State;
use axum::http::StatusCode;
use jiff::civil::Date;
use rand::SeedableRng;
use rand::rngs::StdRng;
use serde::Deserialize;
use sha2::{Digest, Sha256};
use utoipa::ToSchema;
use vestibule_domain::Decision;
use vestibule_domain::policy::{ChosenBy, Onboarding, Permission, Policy, Role};
use vestibule_domain::rules::actions::add_user::{self as rules, NewUser};
use vestibule_domain::rules::register::Applicant;
use vestibule_domain::state::account::{Account, PasswordHash, Status};
use vestibule_domain::state::audit::Action;
use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::ids::AccountId;
use vestibule_domain::values::text::{Email, PersonName, Username};
use vestibule_http::idempotency::{Created, Once, RepeatableBody, once};
use vestibule_http::openapi::{EntitledProblems, FieldProblems, IdempotencyParams, PortalParams};
use vestibule_http::rate_limit::Counter;
use vestibule_http::secret_check::Described;
use vestibule_http::transact::try_transact;
use vestibule_http::{
    App, Attempt, Caller, Entitled, FieldErrors, Problem, credentials, request_limit,
};
use vestibule_store::attempts::{AttemptKind, Limit, Window};
use vestibule_store::{Unique, UserRow};

use crate::{UserResponse, problem};

/// A user to add.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AddUserRequest {
    /// The user's first name.
    first_name: String,
    /// The user's last name.
    last_name: String,
    /// The user's email address.
    email: String,
    /// The username. Only on portals where it is chosen.
    username: Option<String>,
    /// The initial password. Only on portals where the administrator sets one; the user must change
    /// it at the first sign-in.
    initial_password: Option<String>,
    /// The user's role in the organization, such as `user` or `administrator`.
    #[serde(default = "user")]
    #[schema(value_type = String)]
    role: Role,
    /// The services assigned to the user, by id.
    #[serde(default)]
    services: BTreeSet<String>,
    /// The organization's group codes assigned to the user.
    #[serde(default)]
    group_codes: BTreeSet<String>,
    /// The last day of the user's access, as `YYYY-MM-DD` in the portal's time zone. If absent,
    /// access has no end date.
    end_date: Option<String>,
}

const fn user() -> Role {
    Role::User
}

/// Add a user
///
/// Adds a user to the caller's organization. Depending on the portal, the user receives a
/// registration code by email or gets the initial password in the request.
#[utoipa::path(
    post, path = "/{portal}/users", tag = "users",
    operation_id = "add_user",
    params(PortalParams, IdempotencyParams),
    request_body = AddUserRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = UserResponse, description = "The new user", headers(("location" = String, description = "The URL of the user"))),
        (status = 429, description = "`too-many-attempts`"),
        (status = 409, description = "`already-taken`, `already-added` or `unsupported-on-portal`"),
        EntitledProblems, FieldProblems,
    )
)]
pub(crate) async fn add_user(
    State(app): State<App>,
    Entitled(caller): Entitled,
    RepeatableBody(request, key): RepeatableBody<AddUserRequest>,
) -> Result<Created, Problem> {
    let policy = &caller.policy;
    let mut rng = app.rng();
    let onboarding = policy.staff.as_ref().map(|s| s.onboarding);
    let mut fields = FieldErrors::default();
    let name = credentials::name(&request.first_name, &request.last_name, &mut fields);
    let email = fields.take("email", Email::parse(&request.email));
    let username =
        credentials::username(request.username.as_deref(), policy, &mut rng, &mut fields);
    let password = match (&request.initial_password, onboarding) {
        (Some(given), Some(Onboarding::InitialPassword)) => Some(credentials::new_password(
            "initial_password",
            given,
            credentials::AboutOwner {
                username: username.as_ref(),
                name: name.as_ref(),
                email: email.as_ref(),
            },
            policy,
            &mut fields,
        )),
        (None, Some(Onboarding::InitialPassword)) => {
            fields.push("initial_password", "is required");
            None
        }
        (given, _) => {
            fields.reject_if_present(
                "initial_password",
                given.is_some(),
                "can't be set by an administrator on this portal",
            );
            Some(None)
        }
    };
    let end_date = credentials::end_date(request.end_date.as_deref(), &mut fields);
    let parsed = (|| Some((name?, email?, username?, password?, end_date?)))();
    let (name, email, username, password, end_date) = fields.into_result(parsed)?;

    let organization = own_organization(&app, &caller).await?;
    let hash = match &password {
        Some(password) => {
            count(&app, &caller).await?;
            Some(credentials::hash(password, &app, &mut rng).await)
        }
        None => None,
    };
    let person = Addition {
        username,
        name,
        email,
        password: hash,
        role: request.role,
        services: request.services,
        group_codes: request.group_codes,
        end_date,
    };
    let (app, caller, organization, person) = (&app, &caller, &organization, &person);
    let add = Once {
        caller,
        key: key.as_ref(),
    };
    let added = once(
        app,
        add,
        |attempt| new_person(app, caller, organization, person, attempt),
        |(id, person), rng| decide((app, caller), organization, person, id, rng),
        |_, account| {
            let row = UserRow::of(account, &organization.id).ok_or_else(Problem::conflict)?;
            let location = format!("/{}/users/{}", policy.portal, account.id);
            let body = UserResponse::of(row, caller.acting()?.membership.role, policy);
            Created::at(location, &body)
        },
    )
    .await;
    if let Err(problem) = &added
        && problem.kind() == "already-taken"
        && has_fixed_usernames(policy)
    {
        // Nobody chose the username: another request added the same person first.
        require_new(app, caller, organization, &person.email).await?;
    }
    added
}

/// The limit of additions with an initial password for each administrator, who also chooses the username and
/// learns whether it is taken.
const ADDITIONS_AN_HOUR: Limit = Limit {
    max_attempts: 100,
    window: Window::Minutes(AN_HOUR),
};

/// In minutes.
const AN_HOUR: u32 = 60;

async fn count(app: &App, caller: &Caller) -> Result<(), Problem> {
    let policy = &caller.policy;
    let counter = Counter {
        kind: AttemptKind::AddUser,
        subject: caller.account.id.to_string(),
        limit: ADDITIONS_AN_HOUR,
    };
    let described = Described::by(caller, Action::AddUser);
    let scene = (&**policy, &caller.origin);
    if request_limit::count(app, &[counter], &described, scene).await? {
        return Ok(());
    }
    Err(Problem::too_many_attempts(
        "You have added many users in a short time. Try again in an hour.",
        AN_HOUR,
        policy,
    ))
}

/// Returns the id and the details of a person who does not work for the organization yet.
///
/// Where usernames are assigned, the username and so the id follow from the address, so that of two
/// simultaneous requests for the same person only one succeeds.
async fn new_person(
    app: &App,
    caller: &Caller,
    organization: &Organization,
    person: &Addition,
    attempt: Attempt,
) -> Result<(AccountId, Addition), Problem> {
    let policy = &caller.policy;
    let mut person = person.clone();
    if has_fixed_usernames(policy) {
        caller
            .acting()?
            .allowed(Permission::AddUsers, policy)
            .ok_or_else(|| Problem::not_allowed(policy))?;
        require_new(app, caller, organization, &person.email).await?;
        if attempt.is_first {
            person.username = username_of(&person.email, organization, policy)?;
        }
    }
    let id = account_id(app, caller, &person.username, attempt);
    Ok((id, person))
}

/// A user to add, after validation.
#[derive(Debug, Clone)]
pub(crate) struct Addition {
    pub username: Username,
    pub name: PersonName,
    pub email: Email,
    /// Set only on portals that use initial passwords.
    pub password: Option<PasswordHash>,
    pub role: Role,
    pub services: BTreeSet<String>,
    pub group_codes: BTreeSet<String>,
    pub end_date: Option<Date>,
}

/// Loads the organization that the caller acts for.
pub(crate) async fn own_organization(app: &App, caller: &Caller) -> Result<Organization, Problem> {
    let policy = &caller.policy;
    let acting = caller.acting()?;
    let organization = acting
        .membership
        .organization
        .as_ref()
        .ok_or_else(|| Problem::not_allowed(policy))?;
    app.store
        .organization(&policy.portal, organization)
        .await?
        .ok_or_else(|| Problem::internal("an organization is missing"))
}

/// Adds one user. The inner error names the unique value that is already taken.
pub(crate) async fn add(
    app: &App,
    caller: &Caller,
    organization: &Organization,
    person: Addition,
) -> Result<Result<Account, Unique>, Problem> {
    let person = &person;
    let added = try_transact(
        app,
        |attempt| async move { Ok(account_id(app, caller, &person.username, attempt)) },
        |id, rng| decide((app, caller), organization, person, id, rng),
    );
    Ok(added.await?.map(|(_, account)| account))
}

/// Returns the id of a new account.
fn account_id(app: &App, caller: &Caller, username: &Username, attempt: Attempt) -> AccountId {
    if attempt.is_account_id_taken {
        AccountId::random(&mut app.rng())
    } else {
        app.store.account_id(&caller.policy.portal, &username.key())
    }
}

/// Returns whether the username of a new user follows from the address.
fn has_fixed_usernames(policy: &Policy) -> bool {
    policy.username.chosen_by == ChosenBy::System && is_by_code(policy)
}

fn is_by_code(policy: &Policy) -> bool {
    let onboarding = policy.staff.as_ref().map(|s| s.onboarding);
    onboarding == Some(Onboarding::RegistrationCode)
}

fn decide(
    (app, caller): (&App, &Caller),
    organization: &Organization,
    person: &Addition,
    id: &AccountId,
    rng: &mut StdRng,
) -> Result<(Account, Decision), Problem> {
    let (policy, acting) = (&caller.policy, caller.acting()?);
    caller.require_confirmation_to_grant(person.role)?;
    let code = is_by_code(policy)
        .then(|| app.fresh_registration_code(policy, rng))
        .flatten();
    let person = person.clone();
    let new = NewUser {
        applicant: Applicant {
            id: id.clone(),
            username: person.username,
            name: person.name,
            email: person.email,
            must_change_password: person.password.is_some(),
            password: person.password,
            security_answers: Vec::new(),
            hint: None,
            accepted_agreements: Default::default(),
        },
        role: person.role,
        services: person.services,
        group_codes: person.group_codes,
        end_date: person.end_date,
        code,
    };
    rules::add_user(acting, organization, new, caller.context(rng))
        .map(|registered| (registered.account, registered.decision))
        .map_err(|refusal| problem(refusal, policy))
}

/// Refuses an address that already belongs to a user of the organization (AP-01).
///
/// # Errors
/// The problem that says so.
pub(crate) async fn require_new(
    app: &App,
    caller: &Caller,
    organization: &Organization,
    email: &Email,
) -> Result<(), Problem> {
    let known = app
        .store
        .accounts_by_email(&caller.policy.portal, email)
        .await?;
    if known.iter().any(|account| works_for(account, organization)) {
        return Err(already_added());
    }
    Ok(())
}

pub(crate) fn works_for(account: &Account, organization: &Organization) -> bool {
    account.status != Status::Deleted && account.membership(Some(&organization.id)).is_some()
}

/// Derives the username for an email address in an organization. It is always the same, so if two
/// requests add the same address at the same time, only one succeeds.
pub(crate) fn username_of(
    email: &Email,
    organization: &Organization,
    policy: &Policy,
) -> Result<Username, Problem> {
    let seed = Sha256::digest(format!("user/{}/{}", organization.id, email.key()));
    policy
        .make_username(&mut StdRng::from_seed(seed.into()))
        .ok_or_else(|| Problem::internal("the portal does not generate usernames"))
}

/// The problem type of an email address that already belongs to a user of the organization.
pub(crate) const ALREADY_ADDED: &str = "already-added";

pub(crate) fn already_added() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "already-added",
        "Already added",
        "A user of your organization already has this email address.",
    )
}
