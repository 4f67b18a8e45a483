//! Generates the OpenAPI 3.1 document of the API from the code. A test compares it with `docs/openapi.json`.

use utoipa::openapi::schema::ArrayItems;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Schema,
};
use vestibule_http::caller::COOKIE;

use crate::instance::FUNCTIONS;

const DESCRIPTION: &str = "\
The accounts backend of a health plan's web portals: registration, delegated administration, recovery and lifecycle of accounts.

Every path starts with the name of a portal; `GET /{portal}` describes the portal. Bodies are JSON with `snake_case` names. \
Unknown fields are rejected. Times are RFC 3339 in UTC; dates are `YYYY-MM-DD`.

Errors are `application/problem+json` (RFC 9457): `type` is stable and for programs, `detail` is a message for a person, \
`errors` lists the invalid fields, and `help_desk` is present if the person cannot resolve the problem. Any request can \
also return 500 `internal` and 503 `unavailable`.

A session starts with `POST /{portal}/sessions`. While it has a `next_step`, protected operations return \
403 `next-step-required`.";

/// The descriptions of the tags.
const TAGS: &[(&str, &str)] = &[
    (
        "registration",
        "Describe a portal, and register against the plan's records or with an invitation",
    ),
    (
        "activation",
        "Activate access with a PIN from a letter or a registration code from an email",
    ),
    (
        "sessions",
        "Sign in and out, list sessions, and change the password",
    ),
    ("recovery", "Recover a forgotten password or username"),
    ("invitations", "Invite people to the caller's organization"),
    ("users", "Manage the users of the caller's organization"),
    (
        "help desk",
        "Support the users of other portals, as the plan's help desk",
    ),
    ("profile", "Show and change the caller's own account"),
    (
        "audit",
        "Search and download the audit trail: who did what, when, from where, and with what outcome",
    ),
];

/// Returns the OpenAPI document as formatted JSON.
///
/// # Panics
/// Never, because the document can always be serialized.
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
        "For browsers: set by `POST /{portal}/sessions`; scripts cannot read it.",
    );
    let mut components = described.components.take().unwrap_or_default();
    let renamed = name_pages(&mut components);
    let components: ComponentsBuilder = components.into();
    described.components = Some(
        components
            .security_scheme("session", SecurityScheme::Http(bearer))
            .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
            .build(),
    );
    let mut text = described
        .to_pretty_json()
        .expect("the document can be serialized");
    for (old, new) in renamed {
        text = text.replace(&schema_ref(&old), &schema_ref(&new));
    }
    text.push('\n');
    text
}

/// Names the schemas of pages after their items (`UserPage` instead of `Page_UserResponse`) and lets them refer
/// to the schema of the item instead of repeating it. Returns the old and the new names.
fn name_pages(components: &mut Components) -> Vec<(String, String)> {
    let pages: Vec<_> = components
        .schemas
        .keys()
        .filter_map(|name| Some((name.clone(), name.strip_prefix("Page_")?.to_owned())))
        .collect();
    let mut renamed = Vec::new();
    for (page, item) in pages {
        let Some(mut schema) = components.schemas.remove(&page) else {
            continue;
        };
        if let RefOr::T(Schema::Object(object)) = &mut schema
            && let Some(RefOr::T(Schema::Array(items))) = object.properties.get_mut("items")
        {
            items.items = ArrayItems::RefOrSchema(Box::new(Ref::from_schema_name(&item).into()));
        }
        let name = format!("{}Page", item.strip_suffix("Response").unwrap_or(&item));
        components.schemas.insert(name.clone(), schema);
        renamed.push((page, name));
    }
    renamed
}

fn schema_ref(name: &str) -> String {
    format!("\"#/components/schemas/{name}\"")
}
