//! `POST /{portal}/registrations`: registers a person against the plan's records.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::StatusCode;
use futures::future;
use rand::rngs::StdRng;
use serde::{Deserialize, Serialize};
use tokio::sync::OnceCell;
use utoipa::ToSchema;
use vestibule_domain::decision::AttemptKey;
use vestibule_domain::policy::{ChosenBy, LetterAddress, Policy, RecordedBy, RegistrationType};
use vestibule_domain::rules::activate::NewPin;
use vestibule_domain::rules::context::Context;
use vestibule_domain::rules::next_step::step_after_sign_in;
use vestibule_domain::rules::register::{
    self as rules, Applicant, ExistingOrganization, Refusal, Registered, Registration,
};
use vestibule_domain::state::account::{Account, PasswordHash, Status};
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::state::follow_up::Manager;
use vestibule_domain::state::membership::Membership;
use vestibule_domain::state::organization::Organization;
use vestibule_domain::state::record::{PlanRecord, RecordKey, Verification};
use vestibule_domain::values::ids::{AccountId, OrganizationId};
use vestibule_domain::values::text::{Email, PersonName, PostalAddress, Sensitive, Username};
use vestibule_domain::{Change, Decision};
use vestibule_http::credentials::{self, ParsedAnswer, PostalAddressFields, QuestionAnswerFields};
use vestibule_http::idempotency::{self, Created, Repeatable, RepeatableBody};
use vestibule_http::openapi::{FieldProblems, IdempotencyParams, PortalParams};
use vestibule_http::rate_limit::Scene;
use vestibule_http::request::RequestOrigin;
use vestibule_http::secret_check::{self, Comparer, Described, Proven};
use vestibule_http::{App, FieldErrors, Portal, Problem, responses, transact, verification};

/// A registration against the plan's records.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RegistrationRequest {
    /// The registration type, as listed by `GET /{portal}`.
    registration_type: String,
    /// The facts that verify the person: the number that identifies the plan record and the values that
    /// must match it.
    verification: BTreeMap<String, String>,
    /// The person's given name.
    first_name: String,
    /// The person's family name.
    last_name: String,
    /// The email address for messages from the portal.
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
    /// Whether the person attests that they have authority to sign for the organization; required by
    /// some registration types (AG-03).
    #[serde(default)]
    attests_signing_authority: bool,
    /// The address to which the PIN letter is mailed, on portals where users choose it.
    postal_address: Option<PostalAddressFields>,
    /// The revisions of the agreements that the person accepts, by agreement id.
    #[serde(default)]
    accepted_agreements: BTreeMap<String, String>,
}

/// The step under which attempts to verify a registration are counted.
pub(crate) const STEP: &str = "register";

/// A completed registration.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RegistrationResponse {
    /// The id of the new user.
    pub user_id: String,
    /// The username to sign in with.
    pub username: String,
    /// The step that the user must complete after signing in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<&'static str>,
    /// Why the step is `call_help_desk`: `record_ended` or `campaign_cutoff_passed`. Absent for other
    /// steps.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<&'static str>,
    /// Actions that the portal recommends: `invite_backup` (AG-04).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<String>,
}

/// A request whose fields are all valid.
struct Parsed<'a> {
    registration_type: &'a RegistrationType,
    verification: Verification,
    record: RecordKey,
    name: PersonName,
    email: Email,
    username: Username,
    password: Sensitive,
    answers: Vec<ParsedAnswer>,
    hint: Option<ParsedAnswer>,
    postal_address: Option<PostalAddress>,
    accepted_agreements: BTreeMap<String, String>,
}

/// The record that matched a registration.
enum Matched {
    /// Nobody has registered with it yet.
    Open(PlanRecord),
    /// This account registered with it, by an identical request. Contains the counter of attempts at the
    /// account's password.
    Registered(Box<Account>, PlanRecord, AttemptKey),
}

/// Register against the plan's records
///
/// Creates an account for a person who matches a record of the plan. The response is the same whether
/// no record matches or the matching record is already registered (UX-09). A repeated request with the
/// same password returns the same response.
#[utoipa::path(
    post, path = "/{portal}/registrations", tag = "registration",
    operation_id = "register",
    params(PortalParams, IdempotencyParams),
    request_body = RegistrationRequest,
    responses(
        (status = 201, body = RegistrationResponse, description = "The new account", headers(("location" = String, description = "The URL of the user's profile"))),
        (status = 403, description = "`registration-refused` (AG-06) or `not-open` (EX-04)"),
        (status = 409, description = "`already-taken`: the username or email address"),
        FieldProblems,
    )
)]
pub(crate) async fn register(
    State(app): State<App>,
    Portal(policy): Portal,
    RequestOrigin(origin): RequestOrigin,
    RepeatableBody(request, key): RepeatableBody<RegistrationRequest>,
) -> Result<Created, Problem> {
    let mut rng = app.rng();
    let parsed = parse(&request, &policy, &mut rng)?;
    let (app, policy, origin, parsed) = (&app, &*policy, &origin, &parsed);
    let key = key.as_ref();
    let checked = check(app, parsed, (policy, origin)).await?;
    let (matched, proven) = match checked {
        Some((Matched::Open(record), proven)) => (record, proven),
        Some((Matched::Registered(owner, record, attempts), _)) => {
            let membership = of_record(&owner, &record);
            let owner = (&*owner, membership, attempts);
            return repeated(app, owner, key, (policy, origin)).await;
        }
        None => return Err(problem(&Refusal::NotMatched, policy)),
    };
    let matched = &matched;
    let hash = &OnceCell::new();
    let (state, registered) = transact(
        app,
        |attempt| async move {
            let record = match attempt.is_first {
                true => Some(matched.clone()),
                false => secret_check::reload(app, matched).await?,
            };
            let claimed = record
                .as_ref()
                .and_then(|r| r.claimed_by(&policy.portal, parsed.registration_type));
            if let (Some(owner), false) = (claimed, attempt.is_first) {
                // Another registration with the record was committed first, perhaps by the same request.
                let owner = app.store.account(&policy.portal, owner).await?;
                return raced(app, owner, parsed, (policy, origin)).await;
            }
            let organization = Existing::of(app, record.as_ref(), policy, origin).await?;
            let new_hash =
                || async { credentials::hash(&parsed.password, app, &mut app.rng()).await };
            let hash = hash.get_or_init(new_hash).await.clone();
            // The keyed id may belong to an account that was renamed.
            let id = if attempt.is_account_id_taken {
                AccountId::random(&mut app.rng())
            } else {
                app.store.account_id(&policy.portal, &parsed.username.key())
            };
            Ok(Found::Open {
                id,
                hash,
                organization: organization.map(Box::new),
                record: record.map(Box::new),
            })
        },
        |found, rng| {
            let Found::Open {
                id,
                hash,
                organization,
                record,
            } = found
            else {
                return Ok((None, None));
            };
            let seal = |answer: ParsedAnswer| answer.seal(id, app);
            let applicant = Applicant {
                username: parsed.username.clone(),
                name: parsed.name.clone(),
                email: parsed.email.clone(),
                password: Some(hash.clone()),
                must_change_password: false,
                security_answers: parsed.answers.iter().cloned().map(seal).collect(),
                hint: parsed.hint.clone().map(seal),
                accepted_agreements: parsed.accepted_agreements.clone(),
                id: id.clone(),
            };
            let registration = Registration {
                registration_type: parsed.registration_type,
                applicant,
                designated_address: parsed.postal_address.clone(),
                pin: fresh_pin(app, parsed.registration_type, policy, rng),
                organization: OrganizationId::random(rng),
                existing_organization: organization.as_deref().map(Existing::as_rule),
            };
            let context = Context::new(policy, origin, rng);
            Ok(
                match rules::register(record.as_deref(), registration, context) {
                    Ok(Registered { account, decision }) => {
                        let response =
                            created(&account, account.memberships.first(), (policy, origin))?;
                        let decision = decision.change(Change::ForgetAttempts(proven.attempts()));
                        let decision =
                            idempotency::keep(decision, key, &response, &account, origin.at)?;
                        (Some(Ok(response)), Some(decision))
                    }
                    Err(refusal) => (Some(Err(refusal)), None),
                },
            )
        },
    )
    .await?;
    match (registered, state) {
        (Some(Ok(response)), _) => Ok(response),
        (Some(Err(refusal)), _) => {
            let context = Context::new(policy, origin, &mut rng);
            Err(refused(app, &refusal, Actor::Unknown, context).await?)
        }
        (None, Found::Registered(owner, attempts)) => {
            let owner = (&*owner, of_record(&owner, matched), attempts);
            repeated(app, owner, key, (policy, origin)).await
        }
        (None, Found::Taken | Found::Open { .. }) => {
            Err(problem(&Refusal::AlreadyRegistered, policy))
        }
    }
}

/// What was loaded for a registration with a record that matched.
enum Found {
    Open {
        /// The id for the new account.
        id: AccountId,
        hash: PasswordHash,
        /// The organization that was already created from the record.
        organization: Option<Box<Existing>>,
        /// `None` if the record changed after it matched.
        record: Option<Box<PlanRecord>>,
    },
    /// A duplicate of this request registered first. Contains the counter of attempts at the password.
    Registered(Box<Account>, AttemptKey),
    /// Somebody else registered first. This is on the audit trail.
    Taken,
}

/// Checks the facts and, if the record is already registered, the owner's password, because a repeated
/// request gets the same response. Any other request is refused, with the same work (UX-09). An attempt at
/// the password counts as one to sign in.
async fn check(
    app: &App,
    parsed: &Parsed<'_>,
    (policy, origin): Scene<'_>,
) -> Result<Option<(Matched, Proven)>, Problem> {
    let limit = &policy.rate_limits.registration;
    let counters = secret_check::verification_counters(&parsed.record, STEP, (policy, origin));
    let described = future::ready(Ok(Described::anonymous(Action::Register)));
    let compare = async |comparer: Comparer<'_>| {
        let records = app.store.plan_records(&parsed.record).await?;
        let matched = comparer.find_record(&records, &parsed.verification);
        let owner = matched.and_then(|r| r.claimed_by(&policy.portal, parsed.registration_type));
        if let (Some(open), None) = (matched, owner) {
            return Ok(Ok(Matched::Open(open.clone())));
        }
        let nobody = app.store.account_id(&policy.portal, &parsed.username.key());
        let found = app
            .store
            .account(&policy.portal, owner.unwrap_or(&nobody))
            .await?;
        let owner = found.filter(|_| owner.is_some());
        let right = comparer
            .password(
                owner.as_ref(),
                &secret_check::nobody(&parsed.record.number),
                &parsed.password,
            )
            .await?;
        Ok(match (matched, owner, right) {
            (Some(record), Some(owner), Some(right)) if is_same_person(&owner, parsed, policy) => {
                let owner = Box::new(owner);
                Ok(Matched::Registered(owner, record.clone(), right.attempts))
            }
            (Some(_), ..) => Err(Refusal::AlreadyRegistered.into_str()),
            (None, ..) => Err(Refusal::NotMatched.into_str()),
        })
    };
    let checked = secret_check::check(app, &counters, (policy, origin), described, compare).await?;
    checked.within(limit, policy)
}

/// Decides on a registration whose record somebody registered with first.
async fn raced(
    app: &App,
    owner: Option<Account>,
    parsed: &Parsed<'_>,
    (policy, origin): Scene<'_>,
) -> Result<Found, Problem> {
    let Some(owner) = owner.filter(|o| is_same_person(o, parsed, policy)) else {
        return Ok(Found::Taken);
    };
    let described = Described::anonymous(Action::Register);
    let right = secret_check::password(app, &owner, &parsed.password, described, (policy, origin));
    Ok(match right.await? {
        Some(proven) => Found::Registered(Box::new(owner), proven.attempts()),
        None => Found::Taken,
    })
}

/// Returns whether a request has the username and email address of the account that registered with the
/// record.
fn is_same_person(owner: &Account, parsed: &Parsed<'_>, policy: &Policy) -> bool {
    let is_same_name = policy.username.chosen_by == ChosenBy::System
        || owner.username.key() == parsed.username.key();
    is_same_name && owner.email.key() == parsed.email.key() && owner.status == Status::Active
}

/// Returns the membership that an account registered with a record.
fn of_record<'a>(owner: &'a Account, record: &PlanRecord) -> Option<&'a Membership> {
    owner
        .memberships
        .iter()
        .find(|m| m.record.as_ref() == Some(&record.key))
}

/// Records that a registration was repeated with the right password and returns the same response: the one that
/// was kept for the key, or what it would be now.
pub(crate) async fn repeated(
    app: &App,
    (owner, membership, attempts): (&Account, Option<&Membership>, AttemptKey),
    key: Option<&Repeatable>,
    (policy, origin): Scene<'_>,
) -> Result<Created, Problem> {
    secret_check::record_repeated(app, owner, Some(attempts), origin).await?;
    let earlier = idempotency::earlier(app, key, owner, origin.at).await?;
    earlier.map_or_else(|| created(owner, membership, (policy, origin)), Ok)
}

/// The organization that was already created from a record (EX-03), and everyone who manages it.
pub(crate) struct Existing {
    organization: Organization,
    managers: Vec<Manager>,
}

impl Existing {
    /// Loads both in one round trip.
    pub(crate) async fn of(
        app: &App,
        record: Option<&PlanRecord>,
        policy: &Policy,
        origin: &Origin,
    ) -> Result<Option<Self>, Problem> {
        let Some(id) = record.and_then(|r| r.organization(&policy.portal)) else {
            return Ok(None);
        };
        let today = policy.today(origin.at);
        let (organization, managers) = app
            .store
            .organization_with_managers(&policy.portal, id, today)
            .await?;
        Ok(organization.map(|organization| Self {
            organization,
            managers,
        }))
    }

    pub(crate) fn as_rule(&self) -> ExistingOrganization<'_> {
        ExistingOrganization {
            organization: &self.organization,
            managers: &self.managers,
        }
    }
}

/// Generates a PIN if the registration type requires one.
pub(crate) fn fresh_pin(
    app: &App,
    registration_type: &RegistrationType,
    policy: &Policy,
    rng: &mut StdRng,
) -> Option<NewPin> {
    let pin = policy.pin.as_ref().filter(|_| registration_type.pin)?;
    Some(NewPin {
        fresh: app.fresh_pin(pin.digits.get(), rng),
        is_printable: credentials::is_printable,
    })
}

/// Builds the `201 Created` response for an account and its membership.
pub(crate) fn created(
    account: &Account,
    membership: Option<&Membership>,
    (policy, origin): Scene<'_>,
) -> Result<Created, Problem> {
    let notices = membership
        .filter(|m| rules::requires_backup_administrator(m.role, policy))
        .map(|_| "invite_backup".to_owned());
    let next_step = step_after_sign_in(account, membership, policy, origin.at);
    let body = RegistrationResponse {
        user_id: account.id.to_string(),
        username: account.username.to_string(),
        next_step: responses::step(next_step),
        reason: responses::reason(next_step),
        notices: notices.into_iter().collect(),
    };
    Created::at(format!("/{}/me", policy.portal), &body)
}

/// Records the refusal on the audit trail and returns it as a problem.
pub(crate) async fn refused(
    app: &App,
    refusal: &Refusal,
    actor: Actor,
    context: Context<'_>,
) -> Result<Problem, Problem> {
    let action = match actor {
        Actor::Account(_) => Action::RegisterAdditionalOrganization,
        Actor::HelpDesk(_) | Actor::Unknown | Actor::System => Action::Register,
    };
    refused_as(app, refusal, action, actor, context).await
}

/// Does the same as [`refused`] for an explicit action.
pub(crate) async fn refused_as(
    app: &App,
    refusal: &Refusal,
    action: Action,
    actor: Actor,
    context: Context<'_>,
) -> Result<Problem, Problem> {
    let Context {
        policy,
        origin,
        mut rng,
    } = context;
    let audit = AuditEvent::refused(origin, actor, action, refusal.into_str(), rng);
    app.commit(Decision::recording(audit), &mut rng).await?;
    Ok(problem(refusal, policy))
}

/// Converts a refusal to a problem.
pub(crate) fn problem(refusal: &Refusal, policy: &Policy) -> Problem {
    match refusal {
        Refusal::NotOpen(ineligible_message) => Problem::new(
            StatusCode::FORBIDDEN,
            "not-open",
            "Registration not available",
            ineligible_message.as_str(),
        )
        .with_help(policy),
        Refusal::TooMany => too_many(policy),
        Refusal::NotMatched | Refusal::AlreadyRegistered | Refusal::NoAddress => {
            let detail = format!(
                "{} For help, call {} at {} ({}).",
                policy.messages.registration_refused,
                policy.help_desk.name,
                policy.help_desk.phone,
                policy.help_desk.hours
            );
            Problem::new(
                StatusCode::FORBIDDEN,
                "registration-refused",
                "We could not register you",
                detail,
            )
            .with_help(policy)
        }
    }
}

fn parse<'a>(
    request: &RegistrationRequest,
    policy: &'a Policy,
    rng: &mut StdRng,
) -> Result<Parsed<'a>, Problem> {
    let mut fields = FieldErrors::default();
    let registration_type =
        parse_registration_type(&request.registration_type, policy.registration_types.iter())?;
    let name = credentials::name(&request.first_name, &request.last_name, &mut fields);
    let email = fields.take("email", Email::parse(&request.email));
    let username = credentials::username(request.username.as_deref(), policy, rng, &mut fields);
    let password = credentials::new_password(
        "password",
        &request.password,
        credentials::AboutOwner {
            username: username.as_ref(),
            name: name.as_ref(),
            email: email.as_ref(),
        },
        policy,
        &mut fields,
    );
    let answers = credentials::security_answers(&request.security_answers, policy, &mut fields);
    let hint = credentials::hint(request.hint.as_ref(), policy, &mut fields);
    let verification = verification::parse(
        &request.verification,
        registration_type,
        &request.first_name,
        policy,
        &mut fields,
    );
    let addressee = format!("{} {}", request.first_name.trim(), request.last_name.trim());
    let postal_address = parse_terms(
        registration_type,
        request.attests_signing_authority,
        (request.postal_address.as_ref(), &addressee),
        &request.accepted_agreements,
        policy,
        &mut fields,
    );
    let parsed = (|| {
        let (record, verification) = verification?;
        Some(Parsed {
            registration_type,
            record,
            verification,
            name: name?,
            email: email?,
            username: username?,
            password: password?,
            answers: answers?,
            hint: hint?,
            postal_address,
            accepted_agreements: request.accepted_agreements.clone(),
        })
    })();
    fields.into_result(parsed)
}

/// Checks what a registration type requires besides verification: signing authority (AG-03), the
/// address for the PIN letter (BL-03) and accepted agreements (UX-13). Returns the address.
pub(crate) fn parse_terms(
    registration_type: &RegistrationType,
    attests_signing_authority: bool,
    (address, addressee): (Option<&PostalAddressFields>, &str),
    accepted_agreements: &BTreeMap<String, String>,
    policy: &Policy,
    fields: &mut FieldErrors,
) -> Option<PostalAddress> {
    if registration_type.requires_signing_authority && !attests_signing_authority {
        fields.push(
            "attests_signing_authority",
            "must be confirmed: only a person authorized to sign for the organization can register it",
        );
    }
    for (id, revision) in accepted_agreements {
        let current = policy
            .agreements
            .iter()
            .find(|a| a.id.as_str() == id && a.recorded_by == RecordedBy::User);
        match current {
            None => fields.push(
                &format!(
                    "accepted_agreements.{}",
                    id.chars().take(40).collect::<String>()
                ),
                "is not an agreement that can be accepted online",
            ),
            Some(a) if a.revision.as_str() != revision => fields.push(
                &format!("accepted_agreements.{id}"),
                format!("must be the current revision, {}", a.revision),
            ),
            Some(_) => {}
        }
    }
    let designates = registration_type.pin
        && policy
            .pin
            .as_ref()
            .is_some_and(|p| p.address == LetterAddress::Designated);
    match (address, designates) {
        (Some(given), true) => credentials::postal_address(given, addressee, policy, fields),
        (None, true) => {
            fields.push(
                "postal_address",
                "is required: we mail your PIN to this address",
            );
            None
        }
        (given, false) => {
            let why = "is not used for this type of registration";
            fields.reject_if_present("postal_address", given.is_some(), why);
            None
        }
    }
}

/// Returns the registration type that a request names.
///
/// # Errors
/// A problem that lists the registration types.
pub(crate) fn parse_registration_type<'a>(
    given: &str,
    registration_types: impl Iterator<Item = &'a RegistrationType> + Clone,
) -> Result<&'a RegistrationType, Problem> {
    registration_types
        .clone()
        .find(|w| w.id.as_str() == given)
        .ok_or_else(|| {
            let ids: Vec<_> = registration_types.map(|w| w.id.as_str()).collect();
            Problem::invalid_field(
                "registration_type",
                &format!("must be one of: {}", ids.join(", ")),
            )
        })
}

/// Returns the problem for an account that has the maximum number of organizations.
pub(crate) fn too_many(policy: &Policy) -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "too-many-organizations",
        "Too many organizations",
        format!(
            "One username can belong to at most {} organizations. Register this organization with a different username.",
            rules::MAX_ORGANIZATIONS
        ),
    )
    .with_help(policy)
}
