//! The OpenAPI document, for programs and people.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;
use vestibule_local::openapi::openapi;

/// Every operation in the document: method, path and description.
pub fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in ["get", "post", "put", "patch", "delete"] {
            if let Some(operation) = item.get(method) {
                operations.push((method.to_uppercase(), path.clone(), operation.clone()));
            }
        }
    }
    assert!(operations.len() > 20, "the document lists the API");
    operations
}

/// Returns whether an operation is for applications. They know no session, or do not require one.
pub fn is_for_applications(operation: &Value) -> bool {
    operation["tags"][0] == "single sign-on"
}

/// Resolves a `$ref` in the document.
pub fn resolve<'d>(document: &'d Value, schema: &'d Value) -> &'d Value {
    match schema["$ref"].as_str() {
        Some(reference) => document
            .pointer(reference.strip_prefix('#').unwrap())
            .unwrap_or_else(|| panic!("{reference} is in the document")),
        None => schema,
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a switch of this test alone")]
fn the_committed_document_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let made = openapi();
    if std::env::var("UPDATE_OPENAPI").is_ok() {
        std::fs::write(&path, &made).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    let differs = committed
        .lines()
        .zip(made.lines())
        .position(|(c, m)| c != m);
    assert!(
        committed == made,
        "docs/openapi.json is not what the code says (first at line {:?}); regenerate it with \
         UPDATE_OPENAPI=1 cargo test -p vestibule-tests openapi",
        differs.map(|line| line + 1)
    );
}

#[test]
fn the_document_has_title_and_tags() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    assert_eq!(document["info"]["title"], "Vestibule");
    assert_eq!(document["info"]["version"], env!("CARGO_PKG_VERSION"));
    let schemes = document["components"]["securitySchemes"]
        .as_object()
        .unwrap();
    assert_eq!(schemes["session"]["scheme"], "bearer");
    assert_eq!(
        (&schemes["cookie"]["in"], &schemes["cookie"]["name"]),
        (&"cookie".into(), &"__Host-session".into())
    );

    // Every tag that is used is described, and the reverse.
    let described: BTreeSet<&str> = document["tags"]
        .as_array()
        .unwrap()
        .iter()
        .inspect(|tag| assert!(!tag["description"].as_str().unwrap().is_empty()))
        .map(|tag| tag["name"].as_str().unwrap())
        .collect();
    let operations = operations();
    let used: BTreeSet<&str> = operations
        .iter()
        .map(|(_, _, o)| o["tags"][0].as_str().unwrap())
        .collect();
    assert_eq!(described, used);
}

/// The maximum length of an operation's summary, in characters.
const MAX_SUMMARY: usize = 60;

#[test]
fn every_operation_is_described() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut ids = BTreeMap::new();
    let mut faults = Vec::new();
    for (method, path, operation) in operations() {
        let mut check = |right: bool, what: &str| {
            if !right {
                faults.push(format!("{method} {path}: {what}"));
            }
        };
        let text = |value: &Value| value.as_str().is_some_and(|t| !t.trim().is_empty());
        let summary = operation["summary"].as_str().unwrap_or_default();
        check(
            (3..=MAX_SUMMARY).contains(&summary.chars().count()) && !summary.ends_with('.'),
            "needs a summary of at most 60 characters without a period",
        );
        check(text(&operation["description"]), "needs a description");
        check(
            operation["tags"].as_array().is_some_and(|t| t.len() == 1),
            "needs one tag",
        );
        let id = operation["operationId"].as_str().unwrap_or_default();
        check(
            id.len() > 3 && id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
            "needs an operationId in snake_case",
        );
        let twin: Option<String> = ids.insert(id.to_owned(), format!("{method} {path}"));
        check(
            twin.is_none(),
            &format!("has the operationId {id} of {twin:?}"),
        );

        let responses = operation["responses"].as_object().unwrap();
        for (status, response) in responses {
            check(
                text(&response["description"]),
                &format!("{status} needs a description"),
            );
            let problem = response["content"].get("application/problem+json");
            if status.starts_with('4') {
                let schema = problem.map(|p| &p["schema"]["$ref"]);
                check(
                    schema == Some(&"#/components/schemas/ProblemBody".into()),
                    &format!("{status} is a problem"),
                );
            }
        }
        check(
            responses.keys().any(|s| s.starts_with('2')),
            "needs an answer for when all is right",
        );
        check(
            responses.keys().any(|s| s.starts_with('4')),
            "needs a problem",
        );

        for name in path
            .split('/')
            .filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
        {
            let parameters = operation["parameters"].as_array();
            let parameter =
                parameters.and_then(|p| p.iter().find(|p| p["name"] == name && p["in"] == "path"));
            check(
                parameter.is_some_and(|p| text(&p["description"])),
                &format!("needs the parameter {name} described"),
            );
        }
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            check(
                text(&parameter["description"]),
                &format!("needs the parameter {} described", parameter["name"]),
            );
        }
        let body = operation.get("requestBody");
        // A file is described in prose; its columns are not fields.
        if let Some(file) = body.filter(|b| b["content"]["text/csv"].is_object()) {
            check(text(&file["description"]), "needs its file described");
        } else if let Some(body) = body {
            let schema = resolve(&document, &body["content"]["application/json"]["schema"]);
            check(
                schema["properties"].is_object() && text(&schema["description"]),
                "needs its body described",
            );
            check(body["required"] == true, "needs its body required");
            check(
                schema["additionalProperties"] == false,
                "takes no unknown fields",
            );
            for (name, property) in schema["properties"].as_object().into_iter().flatten() {
                let optional = &property["oneOf"][0]["description"];
                check(
                    text(&property["description"]) || text(optional),
                    &format!("needs the field {name} described"),
                );
            }
            check(
                responses.contains_key("4XX") || responses.contains_key("422"),
                "needs to say that fields can be wrong",
            );
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn operations_that_require_a_session_declare_it() {
    let open = [
        "accept_invitation",
        "start_password_reset",
        "start_username_recovery",
        "confirm_email",
        "cancel_email_change_by_link",
        "describe_portal",
        "look_up_invitation",
        "look_up_password_reset",
        "recover_username",
        "redeem_registration_code",
        "register",
        "send_username_reminder",
        "cancel_second_factor_reset_by_link",
        "complete_password_reset",
        "sign_in",
        "sign_in_with_passkey",
        "start_passkey_sign_in",
    ];
    for (method, path, operation) in operations() {
        if is_for_applications(&operation) {
            continue;
        }
        let id = operation["operationId"].as_str().unwrap();
        let is_open = open.contains(&id);
        let security = operation["security"]
            .as_array()
            .map(Vec::as_slice)
            .unwrap_or_default();
        let names: Vec<_> = security
            .iter()
            .flat_map(|s| s.as_object().unwrap().keys())
            .collect();
        let expected: &[&str] = if is_open { &[] } else { &["session", "cookie"] };
        assert_eq!(names, expected, "{method} {path}");
        assert_eq!(
            operation["responses"].get("401").is_some(),
            !is_open || ["sign_in", "sign_in_with_passkey"].contains(&id),
            "{method} {path}"
        );
    }
}

#[test]
fn no_two_schemas_are_equal() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    let mut names = BTreeMap::new();
    let mut shapes: BTreeMap<String, &str> = BTreeMap::new();
    for (name, schema) in schemas {
        assert!(
            name.bytes().all(|b| b.is_ascii_alphanumeric()),
            "{name} is a plain name"
        );
        let folded = name.to_lowercase();
        assert_eq!(
            names.insert(folded.clone(), name),
            None,
            "{name} differs in case only"
        );
        let shape = schema["properties"].to_string();
        if schema["properties"].is_object() {
            let twin = shapes.insert(shape, name);
            let known = [("LinkResponse", "LinkFields")];
            assert!(
                twin.is_none() || known.contains(&(name, twin.unwrap())),
                "{name} has the fields of {twin:?}"
            );
        }
    }
    // No schema is unused.
    let text = openapi();
    for name in schemas.keys() {
        let used = text.contains(&format!("\"#/components/schemas/{name}\""));
        assert!(used, "{name} is used");
    }
}

/// The problem types in a source text: lowercase texts followed by a title.
fn kinds_in(source: &str) -> BTreeSet<String> {
    let in_one_line = source.split_whitespace().collect::<Vec<_>>().join(" ");
    let texts: Vec<_> = in_one_line.split("\", \"").collect();
    let mut kinds = BTreeSet::new();
    for pair in texts.windows(2) {
        let kind = pair[0].rsplit('"').next().unwrap();
        let is_kind = !kind.is_empty() && kind.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        if is_kind && pair[1].starts_with(|c: char| c.is_ascii_uppercase()) {
            kinds.insert(kind.to_owned());
        }
    }
    kinds
}

/// All source files below a folder.
pub fn sources(folder: &Path, found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(std::fs::read_to_string(&path).unwrap());
        }
    }
}

#[test]
fn every_problem_type_is_in_the_guide() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut texts = Vec::new();
    sources(&root.join("functions"), &mut texts);
    sources(&root.join("shared/http/src"), &mut texts);
    let made: BTreeSet<_> = texts.iter().flat_map(|text| kinds_in(text)).collect();
    for known in [
        "pin-wrong",
        "not-found",
        "previously-removed",
        "unavailable",
    ] {
        assert!(made.contains(known), "{known} is found in {made:?}");
    }

    // The first column of the table of problems.
    let guide = std::fs::read_to_string(root.join("docs/api.md")).unwrap();
    let (_, table) = guide
        .split_once("| `type`: `urn:vestibule:problem:`")
        .unwrap();
    let rows = table.lines().skip(2).take_while(|l| l.starts_with('|'));
    let reported: BTreeSet<_> = rows
        .filter_map(|row| row.split('|').nth(1))
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert_eq!(
        reported, made,
        "the guide and the sources contain the same problem types"
    );
}

/// Every text below a schema of a request, with the names of the fields that lead to it.
fn texts<'d>(document: &'d Value, schema: &'d Value, at: &str, out: &mut Vec<(String, &'d Value)>) {
    let schema = resolve(document, schema);
    for kind in ["oneOf", "anyOf", "allOf"] {
        for choice in schema[kind].as_array().into_iter().flatten() {
            texts(document, choice, at, out);
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        texts(document, property, &format!("{at}.{name}"), out);
    }
    for below in ["items", "additionalProperties"] {
        if schema[below].is_object() {
            texts(document, &schema[below], &format!("{at}.{below}"), out);
        }
    }
    let kinds = schema["type"].as_array();
    if schema["type"] == "string" || kinds.is_some_and(|k| k.contains(&"string".into())) {
        out.push((at.to_owned(), schema));
    }
}

#[test]
fn ap_02_every_text_of_a_request_has_its_values_or_bounds() {
    let document: Value = serde_json::from_str(&openapi()).unwrap();
    let mut found = Vec::new();
    for (method, path, operation) in operations() {
        let at = format!("{method} {path}");
        for parameter in operation["parameters"].as_array().into_iter().flatten() {
            let found_before = found.len();
            let name = parameter["name"].as_str().unwrap();
            let schema = &document["paths"][&path][method.to_lowercase()]["parameters"];
            let schema = schema
                .as_array()
                .unwrap()
                .iter()
                .find(|p| p["name"] == name);
            texts(
                &document,
                &schema.unwrap()["schema"],
                &format!("{at} {name}"),
                &mut found,
            );
            if parameter["schema"]["type"] == "integer" {
                let schema = &parameter["schema"];
                assert!(
                    schema["minimum"].is_number() && schema["maximum"].is_number(),
                    "{at} {name}"
                );
            } else {
                assert_eq!(found.len(), found_before + 1, "{at} {name} has one type");
            }
        }
        let body = &document["paths"][&path][method.to_lowercase()]["requestBody"]["content"];
        texts(
            &document,
            &body["application/json"]["schema"],
            &at,
            &mut found,
        );
    }
    assert!(found.len() > 150, "{}", found.len());
    let unbounded = found
        .iter()
        .filter(|(_, schema)| schema["enum"].is_null() && schema["maxLength"].is_null());
    let unbounded: Vec<_> = unbounded.map(|(at, _)| at).collect();
    assert!(unbounded.is_empty(), "{unbounded:?}");
}

#[test]
fn ap_02_every_status_is_listed() {
    for (method, path, operation) in operations() {
        let responses = operation["responses"].as_object().unwrap();
        let has = |status: &str| responses.contains_key(status);
        let what = format!("{method} {path}");
        assert!(
            responses.keys().all(|s| s.parse::<u16>().is_ok()),
            "{what} has a range"
        );
        assert!(has("404") && has("500") && has("503"), "{what}");
        assert!(
            method == "GET" || has("403") && has("415") && has("429"),
            "{what}"
        );
        let body = &operation["requestBody"]["content"]["application/json"];
        assert!(
            body.is_null() || has("400") && has("413") && has("422"),
            "{what}"
        );
    }
}
