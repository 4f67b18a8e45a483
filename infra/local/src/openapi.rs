//! The OpenAPI 3.1 description of the API, generated from the code. A test compares it with
//! `docs/openapi.json`.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi};
use vestibule_http::caller::COOKIE;

use crate::instance::FUNCTIONS;

const DESCRIPTION: &str = "\
The accounts of a health plan's web portals: registration, invitations, sign-in, recovery and administration.

Every path starts with a portal's name; `GET /{portal}` describes the portal. Bodies are JSON in `snake_case`; \
unknown fields are rejected. Timestamps are RFC 3339 in UTC. Errors are returned as `application/problem+json` \
(RFC 9457): `type` is a stable identifier of the problem, `detail` says what to do, `errors` names invalid fields, \
and `help_desk` is present if the user can't solve the problem alone.

`POST /{portal}/sessions` starts a session. While the session has a `next_step`, protected operations return 403 \
`next-step-required`.";

/// The tags of operations with their descriptions.
const TAGS: &[(&str, &str)] = &[
    (
        "registration",
        "Describe a portal; register against the plan's records or with an invitation",
    ),
    (
        "activation",
        "PINs sent by letter and registration codes sent by email",
    ),
    (
        "sessions",
        "Sign in and out, list sessions, change the password",
    ),
    ("recovery", "Recover a forgotten password or username"),
    ("invitations", "Invite people to your organization"),
    ("users", "Manage the users of your organization"),
    (
        "help desk",
        "Help users of other portals, as the plan's help desk",
    ),
    ("profile", "View and change your own profile"),
    (
        "audit",
        "Search and download the audit trail: who did what, when, from where, on whose behalf and with what outcome",
    ),
];

/// Returns the description as formatted JSON.
pub fn openapi() -> String {
    let mut described = OpenApi::default();
    for function in FUNCTIONS {
        described.merge((function.openapi)());
    }
    described.info = InfoBuilder::new()
        .title("Vestibule")
        .version(env!("CARGO_PKG_VERSION"))
        .description(Some(DESCRIPTION))
        .license(Some(
            LicenseBuilder::new()
                .name("Apache-2.0")
                .identifier(Some("Apache-2.0"))
                .build(),
        ))
        .build();
    described.tags = Some(
        TAGS.iter()
            .map(|(name, description)| {
                TagBuilder::new()
                    .name(*name)
                    .description(Some(*description))
                    .build()
            })
            .collect(),
    );
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "For programs: the `token` that `POST /{portal}/sessions` returns for `\"token_delivery\": \"body\"`.",
        ))
        .build();
    let cookie = ApiKeyValue::with_description(
        COOKIE,
        "For browsers: set by `POST /{portal}/sessions`; not accessible to scripts.",
    );
    let components: ComponentsBuilder = described.components.take().unwrap_or_default().into();
    described.components = Some(
        components
            .security_scheme("session", SecurityScheme::Http(bearer))
            .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
            .build(),
    );
    let mut text = described
        .to_pretty_json()
        .expect("the document can be serialized");
    text.push('\n');
    text
}
