//! Generates the OpenAPI 3.1 document of the API from the code. A test compares it with `docs/openapi.json`.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use utoipa::openapi::path::Parameter;
use utoipa::openapi::schema::{ArrayItems, SchemaType};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::tag::TagBuilder;
use utoipa::openapi::{
    Components, ComponentsBuilder, InfoBuilder, LicenseBuilder, OpenApi, Ref, RefOr, Schema, Type,
};
use vestibule_http::caller::COOKIE;

use crate::instance::FUNCTIONS;

mod fields;

const DESCRIPTION: &str = "\
The accounts backend of a health plan's web portals: registration, delegated administration, recovery and lifecycle of accounts.

Every path starts with the name of a portal; `GET /{portal}` describes the portal. Bodies are JSON with `snake_case` names. \
Unknown fields are rejected. Times are RFC 3339 in UTC; dates are `YYYY-MM-DD`.

Errors are `application/problem+json` (RFC 9457): `type` is stable and for programs, `detail` is a message for a person, \
`errors` lists the invalid fields, and `help_desk` is present if the person cannot resolve the problem.

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
        "single sign-on",
        "For applications that trust the portal's sign-in: OpenID Connect",
    ),
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
    static DOCUMENT: LazyLock<String> = LazyLock::new(generate);
    DOCUMENT.clone()
}

fn generate() -> String {
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
    let client = HttpBuilder::new()
        .scheme(HttpAuthScheme::Basic)
        .description(Some(
            "For applications: the client id and secret. They can also be sent in the form, or replaced by a signed JWT.",
        ))
        .build();
    let access_token = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some(
            "For applications: the `access_token` that `POST /{portal}/token` returns.",
        ))
        .build();
    let cookie = ApiKeyValue::with_description(
        COOKIE,
        "For browsers: set by `POST /{portal}/sessions`; scripts cannot read it.",
    );
    let mut components = described.components.take().unwrap_or_default();
    constrain(&mut described, &mut components);
    let renamed = name_pages(&mut components);
    let components: ComponentsBuilder = components.into();
    described.components = Some(
        components
            .security_scheme("session", SecurityScheme::Http(bearer))
            .security_scheme("cookie", SecurityScheme::ApiKey(ApiKey::Cookie(cookie)))
            .security_scheme("client", SecurityScheme::Http(client))
            .security_scheme("access_token", SecurityScheme::Http(access_token))
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

/// Adds to parameters and to the schemas of requests what they may contain (AP-02), and to the schemas of
/// responses the formats of times and dates.
fn constrain(described: &mut OpenApi, components: &mut Components) {
    let mut wanted = Vec::new();
    for (path, item) in &mut described.paths.paths {
        let operations = [
            &mut item.get,
            &mut item.post,
            &mut item.put,
            &mut item.patch,
            &mut item.delete,
        ];
        for operation in operations.into_iter().flatten() {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter {
                    constrain_parameter(path, parameter);
                }
            }
            let body = operation.request_body.iter().flat_map(|body| match body {
                RefOr::T(body) => body.content.values().collect::<Vec<_>>(),
                RefOr::Ref(_) => Vec::new(),
            });
            for content in body {
                if let RefOr::T(content) = content {
                    wanted.extend(content.schema.clone());
                }
            }
        }
    }
    let mut requests = BTreeSet::new();
    while let Some(schema) = wanted.pop() {
        let text = serde_json::to_string(&schema).unwrap_or_default();
        for (_, rest) in text
            .match_indices(SCHEMAS)
            .map(|(at, _)| text.split_at(at + SCHEMAS.len()))
        {
            let name = rest.split('"').next().unwrap_or_default();
            if requests.insert(name.to_owned()) {
                wanted.extend(components.schemas.get(name).cloned());
            }
        }
    }
    for (name, schema) in &mut components.schemas {
        if requests.contains(name) {
            fields::constrain("", schema);
        } else if let RefOr::T(Schema::Object(object)) = schema {
            for (name, property) in &mut object.properties {
                fields::describe_time(name, property);
            }
        }
    }
}

const SCHEMAS: &str = "#/components/schemas/";

fn constrain_parameter(path: &str, parameter: &mut Parameter) {
    let Some(RefOr::T(Schema::Object(object))) = &mut parameter.schema else {
        return;
    };
    // A parameter that is absent has no value, and `null` would be a text.
    if let SchemaType::Array(kinds) = &mut object.schema_type {
        kinds.retain(|kind| *kind != Type::Null);
        if let [kind] = kinds.as_slice() {
            object.schema_type = SchemaType::Type(kind.clone());
        }
    }
    if parameter.name == "limit" {
        object.minimum = Some(1.into());
        object.maximum = Some(fields::max_limit(path).into());
    }
    let is_of_account = ["/users/", "/invitations/", "/accounts/"];
    let name = match parameter.name.as_str() {
        "id" if is_of_account.iter().any(|p| path.contains(p)) => "user_id",
        "id" if path.contains("/agreements/") => "agreement",
        "id" => "session_id",
        name => name,
    };
    if let Some(schema) = &mut parameter.schema {
        fields::constrain(name, schema);
    }
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
