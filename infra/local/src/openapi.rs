//! The description of the API: OpenAPI 3.1, made from the code. `docs/openapi.json` is this text,
//! and a test compares the two.

use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi};
use vestibule_http::caller::COOKIE;

use crate::instance::FUNCTIONS;

const DESCRIPTION: &str = "\
Accounts of a health plan's web portals: who may come in, who lets them in, and who is shown out.

Every path begins with a portal's name; `GET /{portal}` describes it. Bodies are JSON in `snake_case`, read \
strictly: an unknown field is a fault. Moments are RFC 3339 in UTC. What goes wrong is answered as \
`application/problem+json` (RFC 9457): `type` names the kind of problem and is stable, `detail` says what to do, \
`errors` names the fields, and `help_desk` is there where the person can't mend it.

A session begins with `POST /{portal}/sessions`. As long as it has a `next_step`, everything protected answers \
403 `next-step-required`.";

/// What the tags of operations stand for.
const TAGS: &[(&str, &str)] = &[
    (
        "registration",
        "Describing a portal; registering against the plan's records, or through an invitation's link",
    ),
    (
        "activation",
        "PINs that come by letter, and registration codes that come by email",
    ),
    (
        "sessions",
        "Signing in and out; open sessions; choosing a new password",
    ),
    (
        "recovery",
        "Getting back in: forgotten passwords and forgotten usernames",
    ),
    ("invitations", "Inviting people to one's organization"),
    ("users", "The users of one's organization"),
    (
        "help desk",
        "What the plan's help desk does for the people of other portals",
    ),
    ("profile", "What users see of themselves and change"),
    (
        "audit",
        "Who did what to what, when, from where, on whose behalf, and how it ended",
    ),
];

/// The description as pretty JSON.
///
/// # Panics
/// Never: the document is made of texts, which all have a JSON form.
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
            "For programs: the `token` of `POST /{portal}/sessions` with `\"token_delivery\": \"body\"`.",
        ))
        .build();
    let cookie = ApiKeyValue::with_description(
        COOKIE,
        "For browsers: set by `POST /{portal}/sessions`; scripts can't read it.",
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
        .expect("a document of texts has a JSON form");
    text.push('\n');
    text
}
