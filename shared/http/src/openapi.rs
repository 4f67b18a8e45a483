//! Parts of the OpenAPI document that many operations share: path parameters and problem responses.

use std::collections::BTreeMap;

use utoipa::openapi::path::Operation;
use utoipa::openapi::{Content, OpenApi, RefOr, Response, ResponseBuilder, ResponsesBuilder};
use utoipa::{IntoParams, IntoResponses, PartialSchema, ToSchema};

use crate::ProblemBody;

/// Declares sets of problem responses. [`with_problems`] adds their body.
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
        "403": "`not-allowed` or `next-step-required`",
    }

    /// The problems of operations on one object.
    NotFoundProblems {
        "404": "`not-found`",
    }

    /// The problems of a request body, and all problems that the operation does not list.
    FieldProblems {
        "4XX": "Any other problem, such as `invalid-fields`: `type` identifies it, and `errors` lists the invalid fields",
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
        operations.into_iter().flatten().for_each(add_bodies);
    }
    let mut schemas = vec![(ProblemBody::name().into_owned(), ProblemBody::schema())];
    ProblemBody::schemas(&mut schemas);
    let components = openapi.components.get_or_insert_default();
    components.schemas.extend(schemas);
    openapi
}

fn add_bodies(operation: &mut Operation) {
    for (status, response) in &mut operation.responses.responses {
        if let (true, RefOr::T(response)) = (status.starts_with('4'), response) {
            let body = Content::new(Some(utoipa::openapi::Ref::from_schema_name(
                ProblemBody::name(),
            )));
            response
                .content
                .insert("application/problem+json".to_owned(), RefOr::T(body));
        }
    }
}
