//! `POST /{portal}/me/organizations`: somebody with an account registers for a further organization
//! with the login they have (BL-01, EX-13).

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, StatusCode, header};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use vestibule_domain::Change;
use vestibule_domain::account::{Account, Membership, NextStep};
use vestibule_domain::audit::Actor;
use vestibule_domain::ids::OrganizationId;
use vestibule_domain::policy::Way;
use vestibule_domain::record::{PlanRecord, Proof, RecordKey};
use vestibule_domain::register::{self as rules, Further, Registered};
use vestibule_domain::rules::next_step::next_step;
use vestibule_domain::text::PostalAddress;
use vestibule_http::credentials::PostalAddressFields;
use vestibule_http::{App, Body, Caller, Fields, Problem, ProblemBody, SignedIn, answer, proof};
use vestibule_store::{CommitError, Unique};

use crate::register::{LOOKS, fresh_pin, made_of, parse_terms, parse_way, refused};

/// A registration for a further organization.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FurtherRequest {
    /// One of the portal's ways to register an organization, as `GET /{portal}` lists them.
    way: String,
    /// What proves who you are: the number that finds the record, and what must match it.
    proof: BTreeMap<String, String>,
    /// "I may sign for this organization", where the way of registering asks for it (AG-03).
    #[serde(default)]
    may_sign: bool,
    /// Where the letter with the PIN shall go, on portals where people say so.
    postal_address: Option<PostalAddressFields>,
    /// The agreements accepted on the portal, by id, with their revisions.
    #[serde(default)]
    accepts: BTreeMap<String, String>,
}

/// A place in an organization.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FurtherOrganization {
    /// The organization; choose it with `PUT /{portal}/sessions/current/organization`.
    pub organization_id: String,
    /// What a session that works for it will have to do before anything else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_step: Option<&'static str>,
    /// What the portal asks of the person now: `invite_backup` (AG-04).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub notices: Vec<&'static str>,
}

/// A request whose fields are all right.
struct Parsed<'a> {
    way: &'a Way,
    record: RecordKey,
    proof: Proof,
    postal_address: Option<PostalAddress>,
    accepts: BTreeMap<String, String>,
}

/// Registers the caller for a further organization, against the plan's records. The session goes on
/// for the organization it works for.
///
/// Whether nothing matches, or what matches is registered already, is answered the same, and as at a
/// first registration (UX-09). The same request sent again is answered as the first time.
#[utoipa::path(
    post, path = "/{portal}/me/organizations", tag = "registration",
    operation_id = "register_further_organization",
    params(("portal" = String, Path, description = "The portal")),
    request_body = FurtherRequest,
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 201, body = FurtherOrganization, description = "Registered", headers(("location" = String, description = "Where the caller finds their organizations"))),
        (status = 401, body = ProblemBody, description = "`not-signed-in`", content_type = "application/problem+json"),
        (status = 403, body = ProblemBody, description = "`registration-refused` (AG-06), `not-open` (EX-04) or `next-step-required`: the password has to be changed first", content_type = "application/problem+json"),
        (status = 409, body = ProblemBody, description = "`too-many-organizations`", content_type = "application/problem+json"),
        (status = "4XX", body = ProblemBody, description = "Any other problem: its `type` names it, its `errors` the fields", content_type = "application/problem+json"),
    )
)]
pub(crate) async fn further_organization(
    State(app): State<App>,
    SignedIn(caller): SignedIn,
    Body(request): Body<FurtherRequest>,
) -> Result<Place, Problem> {
    let (policy, origin) = (&caller.policy, &caller.origin);
    with_a_good_password(&caller)?;
    let parsed = parse(&request, &caller)?;
    let attempts = proof::count(&app, &parsed.record, "register", origin, policy).await?;
    let mut rng = app.rng();
    let mut account = caller.account.clone();
    for look in 0..LOOKS {
        if look > 0 {
            account = still_there(&app, &caller).await?;
        }
        let records = app.store.plan_records(&parsed.record).await?;
        let matched = proof::find(&app, &records, &parsed.proof);
        if let Some(membership) = matched.and_then(|r| own(&account, r, parsed.way)) {
            return place(&account, membership, &caller);
        }
        let theirs = matched.and_then(|r| r.claimed_by(&account.portal, parsed.way));
        if look == 0 && theirs == Some(&account.id) {
            // The account was read before the same request, sent twice at once, was answered.
            continue;
        }
        let joins = made_of(&app, matched, policy).await?;
        let further = Further {
            way: parsed.way,
            accepts: parsed.accepts.clone(),
            designated_address: parsed.postal_address.clone(),
            pin: fresh_pin(&app, parsed.way, policy, &mut rng),
            organization: OrganizationId::random(&mut rng),
            joins: joins.as_ref(),
        };
        let registered =
            rules::register_further(&account, matched, further, policy, origin, &mut rng);
        let Registered {
            account: after,
            decision,
        } = match registered {
            Ok(registered) => registered,
            Err(refusal) => {
                let actor = Actor::Account(account.id.clone());
                return Err(refused(&app, &refusal, actor, policy, origin, &mut rng).await?);
            }
        };
        let decision = decision.change(Change::ForgetAttempts(attempts.clone()));
        match app.store.commit(decision, &mut rng).await {
            Ok(()) => {
                let membership = after.memberships.last().ok_or_else(Problem::conflict)?;
                return place(&after, membership, &caller);
            }
            // Somebody was first a moment ago, perhaps the same person pressing twice: look which.
            Err(CommitError::Taken(Unique::Record) | CommitError::Stale) => {}
            Err(other) => return Err(other.into()),
        }
    }
    Err(Problem::conflict())
}

/// Where a person has a place now, and what it asks of them.
pub(crate) type Place = (
    StatusCode,
    [(HeaderName, String); 1],
    Json<FurtherOrganization>,
);

/// An expired password lets its owner in only as far as choosing a new one (AG-02).
pub(crate) fn with_a_good_password(caller: &Caller) -> Result<(), Problem> {
    match caller.next_step {
        Some(step @ NextStep::ChangePassword) => Err(Problem::next_step(step, &caller.policy)),
        _ => Ok(()),
    }
}

/// The caller's account as it is now, if the session is still good for it.
pub(crate) async fn still_there(app: &App, caller: &Caller) -> Result<Account, Problem> {
    let found = app
        .store
        .account(&caller.policy.portal, &caller.account.id)
        .await?;
    found
        .filter(|a| caller.session.is_open(a, &caller.policy, caller.origin.at))
        .ok_or_else(Problem::sign_in_first)
}

/// What the account has this way with this record already: the answer was lost, and is asked for
/// again.
fn own<'a>(account: &'a Account, record: &PlanRecord, way: &Way) -> Option<&'a Membership> {
    let owner = record.claimed_by(&account.portal, way)?;
    account
        .memberships
        .iter()
        .find(|m| *owner == account.id && m.record.as_ref() == Some(&record.key))
}

/// The answer about a place in an organization.
pub(crate) fn place(
    account: &Account,
    membership: &Membership,
    caller: &Caller,
) -> Result<Place, Problem> {
    let policy = &caller.policy;
    let organization = membership.organization.as_ref();
    let organization =
        organization.ok_or_else(|| Problem::internal("a place in no organization"))?;
    let next_step = next_step(account, Some(membership), policy, caller.origin.at);
    let asks = rules::asks_for_backup(membership.role, policy);
    let body = FurtherOrganization {
        organization_id: organization.to_string(),
        next_step: answer::step(next_step),
        notices: asks.then_some("invite_backup").into_iter().collect(),
    };
    let location = format!("/{}/me", policy.portal);
    Ok((
        StatusCode::CREATED,
        [(header::LOCATION, location)],
        Json(body),
    ))
}

fn parse<'a>(request: &FurtherRequest, caller: &'a Caller) -> Result<Parsed<'a>, Problem> {
    let policy = &caller.policy;
    let ways = policy.ways.iter().filter(|w| w.organization.is_some());
    let way = parse_way(&request.way, ways)?;
    let name = &caller.account.name;
    let mut fields = Fields::default();
    let proof = proof::parse(
        &request.proof,
        way,
        name.first.as_str(),
        policy,
        &mut fields,
    );
    let postal_address = parse_terms(
        way,
        request.may_sign,
        (request.postal_address.as_ref(), &name.full()),
        &request.accepts,
        policy,
        &mut fields,
    );
    fields.finish(proof.map(|(record, proof)| Parsed {
        way,
        record,
        proof,
        postal_address,
        accepts: request.accepts.clone(),
    }))
}
