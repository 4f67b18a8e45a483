//! Reads `template.yaml` and its nested stacks, for tests that compare them with the code.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::LazyLock;

use saphyr::{LoadableYamlNode, ScalarOwned, Tag, YamlOwned};
use serde_json::{Map, Number, Value, json};

/// The root of the source tree.
pub fn root() -> &'static Path {
    const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    Path::new(ROOT)
}

/// The template with short forms expanded: `!Ref X` is `{"Ref": "X"}`.
pub static TEMPLATE: LazyLock<Value> = LazyLock::new(|| read("template.yaml"));

/// The routes and error responses of the gateway, which the template includes.
pub static GATEWAY: LazyLock<Value> = LazyLock::new(|| {
    let body = &TEMPLATE["Resources"]["Api"]["Properties"]["DefinitionBody"]["Fn::Transform"];
    assert_eq!(body["Name"], "AWS::Include");
    read(body["Parameters"]["Location"].as_str().unwrap())
});

/// The stack of roles and log groups.
pub static ROLES_STACK: LazyLock<Value> = LazyLock::new(|| nested("Roles"));

/// Returns the stack nested by a resource of the template. References to parameters are replaced by
/// the values that the template passes, so that `!Ref TableArn` becomes `!GetAtt
/// Data.Outputs.TableArn`.
fn nested(id: &str) -> Value {
    let properties = &TEMPLATE["Resources"][id]["Properties"];
    let mut stack = read(properties["Location"].as_str().unwrap());
    let passed = properties["Parameters"].as_object().unwrap();
    let declared = stack["Parameters"].as_object().unwrap();
    let names = |parameters: &Map<String, Value>| -> BTreeSet<String> {
        parameters.keys().cloned().collect()
    };
    assert_eq!(names(passed), names(declared), "the parameters of {id}");
    replace_parameters(&mut stack, passed);
    stack
}

fn replace_parameters(value: &mut Value, passed: &Map<String, Value>) {
    match value {
        Value::Object(fields) => {
            let name = fields.get("Ref").and_then(Value::as_str);
            if let Some(passed) = name.and_then(|name| passed.get(name)) {
                *value = passed.clone();
                return;
            }
            if let Some(Value::String(text)) = fields.get_mut("Fn::Sub") {
                for (name, passed) in passed {
                    let source = passed["Fn::GetAtt"].as_str().or(passed["Ref"].as_str());
                    let source = source.expect("a parameter is passed by a reference");
                    *text = text.replace(&format!("${{{name}}}"), &format!("${{{source}}}"));
                }
            }
            for field in fields.values_mut() {
                replace_parameters(field, passed);
            }
        }
        Value::Array(items) => {
            for item in items {
                replace_parameters(item, passed);
            }
        }
        _ => {}
    }
}

/// Reads a template of the source tree.
pub fn read(path: &str) -> Value {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    let mut documents = YamlOwned::load_from_str(&text).unwrap();
    assert_eq!(documents.len(), 1, "{path} is one document");
    value(documents.remove(0))
}

fn value(yaml: YamlOwned) -> Value {
    match yaml {
        YamlOwned::Value(ScalarOwned::Null) => Value::Null,
        YamlOwned::Value(ScalarOwned::Boolean(b)) => b.into(),
        YamlOwned::Value(ScalarOwned::Integer(n)) => n.into(),
        YamlOwned::Value(ScalarOwned::FloatingPoint(n)) => {
            Number::from_f64(n.into_inner()).unwrap().into()
        }
        YamlOwned::Value(ScalarOwned::String(text)) => text.into(),
        YamlOwned::Sequence(items) => items.into_iter().map(value).collect(),
        YamlOwned::Mapping(fields) => {
            let mut written = Map::new();
            for (name, field) in fields {
                let name = name.as_str().expect("names are texts").to_owned();
                let twin = written.insert(name.clone(), value(field));
                assert_eq!(twin, None, "{name} is there once");
            }
            written.into()
        }
        YamlOwned::Tagged(Tag { suffix, .. }, inner) => match suffix.as_str() {
            name @ ("Ref" | "Condition") => json!({ name: value(*inner) }),
            name => json!({ (format!("Fn::{name}")): value(*inner) }),
        },
        other => panic!("a template has no {other:?}"),
    }
}

/// Returns the resources of a type by logical id.
pub fn resources(template: &'static Value, kind: &str) -> BTreeMap<&'static str, &'static Value> {
    let all = template["Resources"].as_object().unwrap();
    all.iter()
        .filter(|(_, resource)| resource["Type"] == kind)
        .map(|(id, resource)| (id.as_str(), resource))
        .collect()
}

/// Returns the properties of the template's functions by binary name: `sign-in` is `SignInFunction`.
pub fn functions() -> BTreeMap<String, &'static Value> {
    resources(&TEMPLATE, "AWS::Serverless::Function")
        .into_iter()
        .map(|(id, function)| {
            let name = id.strip_suffix("Function").expect("ids end with Function");
            (kebab(name), &function["Properties"])
        })
        .collect()
}

/// Returns the gateway's routes (method and path) with the name of the function that each invokes.
pub fn gateway_routes() -> BTreeMap<(String, String), String> {
    let mut routes = BTreeMap::new();
    for (path, item) in GATEWAY["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let integration = &operation["x-amazon-apigateway-integration"];
            // A REST API invokes every Lambda function by POST.
            assert_eq!(integration["type"], "aws_proxy", "{method} {path}");
            assert_eq!(integration["httpMethod"], "POST", "{method} {path}");
            let function = integration["uri"]["Fn::Sub"]
                .as_str()
                .and_then(|uri| uri.split_once("/functions/${"))
                .and_then(|(_, rest)| rest.strip_suffix("Function.Alias}/invocations"))
                .unwrap_or_else(|| panic!("{method} {path} invokes a function's alias"));
            routes.insert((method.to_uppercase(), path.clone()), kebab(function));
        }
    }
    routes
}

/// Converts `SignIn` to `sign-in`.
pub fn kebab(name: &str) -> String {
    let mut kebab = String::new();
    for c in name.chars() {
        if c.is_ascii_uppercase() && !kebab.is_empty() {
            kebab.push('-');
        }
        kebab.push(c.to_ascii_lowercase());
    }
    kebab
}

/// A statement of a role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sid: String,
    pub actions: Vec<String>,
    /// Short names: `Table`, `AuditTable`, `Table/index/pending`, `Key`, `identity`, …
    pub resources: Vec<String>,
    /// The partition keys that the statement is limited to, as patterns.
    pub leading_keys: Option<Vec<String>>,
    /// Other conditions.
    pub conditions: Value,
}

/// The statements that every function needs when it starts.
pub static START: LazyLock<Vec<Statement>> =
    LazyLock::new(|| statements(&ROLES_STACK["Resources"]["StartPolicy"]["Properties"]));

/// The statements of each function's role, without those of [`START`].
pub static ROLES: LazyLock<BTreeMap<String, Vec<Statement>>> = LazyLock::new(|| {
    resources(&ROLES_STACK, "AWS::IAM::Role")
        .into_iter()
        .filter_map(|(id, role)| {
            let name = kebab(id.strip_suffix("Role")?);
            let policies = role["Properties"]["Policies"].as_array()?;
            Some((name, policies.iter().flat_map(statements).collect()))
        })
        .collect()
});

fn statements(policy: &Value) -> Vec<Statement> {
    let list = policy["PolicyDocument"]["Statement"].as_array().unwrap();
    list.iter().map(statement).collect()
}

fn statement(text: &Value) -> Statement {
    assert_eq!(text["Effect"], "Allow", "{text}");
    let mut conditions = text["Condition"].clone();
    let mut leading_keys = None;
    for operator in ["ForAllValues:StringLike", "ForAllValues:StringEquals"] {
        let keys = conditions
            .get_mut(operator)
            .and_then(|c| c.as_object_mut()?.remove("dynamodb:LeadingKeys"));
        leading_keys = leading_keys.or(keys);
    }
    Statement {
        sid: text["Sid"].as_str().unwrap().to_owned(),
        actions: texts(&text["Action"]),
        resources: match &text["Resource"] {
            Value::Array(all) => all.iter().map(resource).collect(),
            one => vec![resource(one)],
        },
        leading_keys: leading_keys.as_ref().map(texts),
        conditions,
    }
}

/// Returns the items of a string or a list of strings.
pub fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(one) => vec![one.clone()],
        _ => {
            let all = value.as_array().unwrap().iter();
            all.map(|t| t.as_str().unwrap().to_owned()).collect()
        }
    }
}

/// Returns the short name of a resource in a statement.
fn resource(arn: &Value) -> String {
    if let Some(attribute) = arn["Fn::GetAtt"].as_str() {
        let name = attribute
            .strip_prefix("Data.Outputs.")
            .unwrap_or(attribute)
            .trim_end_matches("Arn")
            .trim_end_matches('.');
        return name.to_owned();
    }
    let text = arn["Fn::Sub"].as_str().or(arn.as_str());
    let text = text.unwrap_or_else(|| panic!("{arn} is the name of a resource"));
    if let Some((name, rest)) = text
        .strip_prefix("${Data.Outputs.")
        .and_then(|t| t.split_once("Arn}"))
    {
        return format!("{name}{rest}");
    }
    // arn:partition:service:region:account:kind/name
    text.rsplit(':')
        .next()
        .and_then(|t| t.split('/').next())
        .unwrap()
        .to_owned()
}

/// Whether a text matches a pattern, which may end with `*`.
pub fn holds(pattern: &str, text: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(beginning) => text.starts_with(beginning),
        None => pattern == text,
    }
}
