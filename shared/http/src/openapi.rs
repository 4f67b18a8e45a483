//! Parts of the OpenAPI document that many operations share: path parameters and problem responses.

use std::collections::BTreeMap;

use utoipa::openapi::path::{Operation, Parameter};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{
    Content, Header, Object, OpenApi, RefOr, Response, ResponseBuilder, ResponsesBuilder, Type,
};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

use crate::ProblemBody;

/// Declares sets of responses. [`with_problems`] adds the body of problems.
macro_rules! problem_sets {
    ($($(#[$doc:meta])+ $name:ident { $($status:literal: $description:literal,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Debug)]
        pub struct $name;

        impl IntoResponses for $name {
            fn responses() -> BTreeMap<String, RefOr<Response>> {
                ResponsesBuilder::new()
                    $(.response($status, ResponseBuilder::new().description($description)))+
                    .build()
                    .responses
            }
        }
    )+};
}

problem_sets! {
    /// The problems of operations that require a session.
    SignedInProblems {
        "401": "`not-signed-in`",
    }

    /// The problems of operations that require a session without a pending step and a permission.
    EntitledProblems {
        "401": "`not-signed-in`",
        "403": "`not-allowed`, `next-step-required`, or `step-up-required` for sensitive actions (MF-07)",
    }

    /// The problems of operations on one object.
    NotFoundProblems {
        "404": "`not-found`",
    }

    /// The problems of a request body.
    FieldProblems {
        "400": "`invalid-json`",
        "413": "`too-large`",
    }

    /// The problems of query parameters.
    QueryProblems {
        "422": "`invalid-fields`: a query parameter is missing or invalid",
    }

    /// The problems of an uploaded CSV file.
    FileProblems {
        "400": "`invalid-csv`",
        "413": "`too-large`",
        "415": "`not-csv`",
        "422": "`invalid-fields`: the header row is invalid",
    }

    /// The responses of operations that send an email to a user on behalf of an administrator.
    UserEmailResponses {
        "202": "The email is queued",
        "403": "`not-allowed`, `ask-help-desk` or `next-step-required`",
        "409": "`not-recoverable`, `self-action-forbidden` or `conflict`",
    }

    /// The problems of an invitation link.
    InvitationLinkProblems {
        "404": "`invitation-not-found`: the link is unknown, or a newer one was sent",
        "410": "`invitation-expired`, `invitation-used` or `invitation-revoked`",
    }
}

/// Declares sets of path parameters.
macro_rules! path_params {
    ($($(#[$doc:meta])+ $name:ident { $($(#[$field_doc:meta])+ $field:ident,)+ })+) => {$(
        $(#[$doc])+
        #[derive(Debug, IntoParams)]
        #[into_params(parameter_in = Path)]
        pub struct $name {
            $($(#[$field_doc])+ pub $field: String,)+
        }
    )+};
}

path_params! {
    /// The path parameters of most operations.
    PortalParams {
        /// The portal, such as `provider`.
        portal,
    }

    /// The path parameters of operations on a user.
    UserParams {
        /// The portal, such as `provider`.
        portal,
        /// The id of the user.
        id,
    }

    /// The path parameters of operations on an invitation.
    InvitationParams {
        /// The portal, such as `provider`.
        portal,
        /// The id of the invitation.
        id,
    }

    /// The path parameters of operations on a session.
    SessionParams {
        /// The portal, such as `provider`.
        portal,
        /// The id of the session.
        id,
    }

    /// The path parameters of operations on a second factor.
    FactorParams {
        /// The portal, such as `provider`.
        portal,
        /// The id of the second factor.
        id,
    }

    /// The path parameters of operations on an agreement.
    AgreementParams {
        /// The portal, such as `provider`.
        portal,
        /// The id of the agreement.
        id,
    }

    /// The path parameters of help desk operations.
    HelpDeskParams {
        /// The help desk's portal.
        portal,
    }

    /// The path parameters of help desk operations on another portal.
    AccountPortalParams {
        /// The help desk's portal.
        portal,
        /// The portal to search.
        account_portal,
    }

    /// The path parameters of help desk operations on an account.
    AccountParams {
        /// The help desk's portal.
        portal,
        /// The account's portal.
        account_portal,
        /// The id of the account.
        id,
    }
}

/// The header of operations that can be repeated safely.
#[derive(Debug, IntoParams)]
#[into_params(parameter_in = Header)]
pub struct IdempotencyParams {
    /// A text that you choose for this request, such as a UUID. If you send the same request with the same key
    /// again within 24 hours, it does not happen again, and you get the first response.
    #[param(rename = "Idempotency-Key", min_length = 1, max_length = 255)]
    pub idempotency_key: Option<String>,
}

/// Adds the body of a problem to every response with a 4xx status, and its schemas.
pub fn with_problems(mut openapi: OpenApi) -> OpenApi {
    for item in openapi.paths.paths.values_mut() {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for (operation, is_safe) in operations
            .into_iter()
            .zip(0..)
            .filter_map(|(o, n)| Some((o.as_mut()?, n == 0)))
        {
            add_common(operation, is_safe);
            add_bodies(operation);
        }
    }
    let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    let components = openapi.components.get_or_insert_default();
    components.schemas.extend(schemas);
    openapi
}

/// Adds the problems that many operations share, beside those that an operation lists itself.
fn add_common(operation: &mut Operation, is_safe: bool) {
    // The operations for applications are called without a session.
    let of_session = |requirement: &SecurityRequirement| {
        serde_json::to_value(requirement).is_ok_and(|r| r.get("session").is_some())
    };
    let has_session = operation.security.iter().flatten().any(of_session);
    let is_key = |p: &RefOr<Parameter>| match p {
        RefOr::T(parameter) => parameter.name.eq_ignore_ascii_case("Idempotency-Key"),
        RefOr::Ref(_) => false,
    };
    let has_key = operation.parameters.iter().flatten().any(is_key);
    let mut common = vec![
        ("404", "`not-found`: there is no such portal"),
        ("500", "`internal`: an error of the system"),
        ("503", "`unavailable`: try again after `Retry-After`"),
    ];
    if has_session {
        common.push(("403", "`next-step-required` or `not-allowed`"));
    }
    if !is_safe {
        common.extend([
            (
                "403",
                "`cross-origin`: the request comes from another website",
            ),
            ("415", "`not-json`: the request declares other content"),
            ("429", "`too-many-attempts`: try again after `Retry-After`"),
            ("422", "`invalid-fields`: `errors` lists the invalid fields"),
            ("409", "`unsupported-on-portal`"),
            ("409", "`conflict`: someone else changed the same item"),
        ]);
    }
    if has_key {
        common.push((
            "422",
            "`idempotency-key-reused`: the key was used for another request",
        ));
    }
    let responses = &mut operation.responses.responses;
    for (status, description) in common {
        let new = || RefOr::T(Response::new(""));
        let response = responses.entry(status.to_owned()).or_insert_with(new);
        if let RefOr::T(response) = response {
            if response.description.is_empty() {
                response.description = description.to_owned();
            } else if !response.description.contains(type_in(description)) {
                response.description += &format!("; {description}");
            }
        }
    }
    for (status, response) in responses {
        if let (true, true, RefOr::T(response)) = (has_key, status.starts_with('2'), response) {
            let mut header = Header::new(Object::with_type(Type::String));
            header.description =
                Some("`true` if this is the repetition of an earlier response".to_owned());
            let name = "idempotency-replayed".to_owned();
            response.headers.insert(name, RefOr::T(header));
        }
    }
}

/// The first problem type in a description, with its quotes.
fn type_in(description: &str) -> &str {
    let end = description[1..].find('`').map_or(0, |at| at + 2);
    &description[..end]
}

fn add_bodies(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with(['4', '5']), response) {
            let body = Content::new(Some(utoipa::openapi::Ref::from_schema_name(
                ProblemBody::name(),
            )));
            response
                .content
                .insert("application/problem+json".to_owned(), RefOr::T(body));
        }
    }
}
