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
pub fn nested(id: &str) -> Value {
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
                    let used = format!("${{{name}}}");
                    if !text.contains(&used) {
                        continue;
                    }
                    let source = passed["Fn::GetAtt"].as_str().or(passed["Ref"].as_str());
                    let source = source.expect("a parameter is passed by a reference");
                    *text = text.replace(&used, &format!("${{{source}}}"));
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
pub fn resources<'t>(template: &'t Value, kind: &str) -> BTreeMap<&'t str, &'t Value> {
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

/// Returns the properties of the schedules by the name of the function that each invokes.
pub fn schedules() -> BTreeMap<String, Value> {
    let stack = nested("Schedules");
    resources(&stack, "AWS::Scheduler::Schedule")
        .into_iter()
        .map(|(id, schedule)| {
            let function = id.strip_suffix("Schedule").expect("ids end with Schedule");
            let schedule = schedule["Properties"].clone();
            let alias = json!({ "Ref": format!("{function}Function.Alias") });
            assert_eq!(schedule["Target"]["Arn"], alias, "{id}");
            (kebab(function), schedule)
        })
        .collect()
}

/// Returns the gateway's routes (method and path) with the name of the function that each invokes.
pub fn gateway_routes() -> BTreeMap<(String, String), String> {
    let mut routes = BTreeMap::new();
    for (path, item) in GATEWAY["paths"].as_object().unwrap() {
        // What the stack can leave out is there.
        let item = item.get("Fn::If").map_or(item, |choice| &choice[1]);
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

/// A statement of a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    pub sid: String,
    /// Whether the statement denies, which wins over every statement that allows.
    pub denies: bool,
    pub actions: Vec<String>,
    /// Short names: `Table`, `AuditTable`, `Table/index/pending`, `Key`, `identity`, …
    pub resources: Vec<String>,
    /// The partition keys that the statement is limited to, as patterns. A statement that allows applies if all
    /// keys of a call match; one that denies, if any key does.
    pub leading_keys: Option<Vec<String>>,
    /// The values of `ReturnValues` that the statement is limited to. A call without the parameter has `NONE`.
    pub return_values: Option<Vec<String>>,
    /// Other conditions.
    pub conditions: Value,
}

/// The statements of the managed policies for operators: `KeyringPolicy` is `operator-keyring`.
pub static OPERATORS: LazyLock<BTreeMap<String, Vec<Statement>>> = LazyLock::new(|| {
    let stack: &'static Value = Box::leak(Box::new(nested("Operators")));
    resources(stack, "AWS::IAM::ManagedPolicy")
        .into_iter()
        .map(|(id, policy)| {
            let name = id.strip_suffix("Policy").expect("ids end with Policy");
            (
                format!("operator-{}", kebab(name)),
                statements(&policy["Properties"]),
            )
        })
        .collect()
});

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
    let denies = match text["Effect"].as_str() {
        Some("Allow") => false,
        Some("Deny") => true,
        _ => panic!("an effect is Allow or Deny: {text}"),
    };
    let mut conditions = text["Condition"].clone();
    // ForAllValues in a statement that denies would not apply to calls that also name other keys.
    let quantifier = if denies {
        "ForAnyValue"
    } else {
        "ForAllValues"
    };
    let leading_keys = ["StringLike", "StringEquals"].iter().find_map(|o| {
        take(
            &mut conditions,
            &format!("{quantifier}:{o}"),
            "dynamodb:LeadingKeys",
        )
    });
    let return_values = take(
        &mut conditions,
        "StringEqualsIfExists",
        "dynamodb:ReturnValues",
    );
    Statement {
        sid: text["Sid"].as_str().unwrap().to_owned(),
        denies,
        actions: texts(&text["Action"]),
        resources: match &text["Resource"] {
            Value::Array(all) => all.iter().map(resource).collect(),
            one => vec![resource(one)],
        },
        leading_keys,
        return_values,
        conditions,
    }
}

/// Removes a condition and returns its values.
fn take(conditions: &mut Value, operator: &str, key: &str) -> Option<Vec<String>> {
    let of_operator = conditions.get_mut(operator)?.as_object_mut()?;
    let values = of_operator.remove(key)?;
    if of_operator.is_empty() {
        conditions.as_object_mut()?.remove(operator);
    }
    Some(texts(&values))
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

/// Returns the short name of a nested stack's output: `Data.Outputs.Table` is `Table`, and
/// `Seals.Outputs.Bucket` is `SealsBucket`.
fn output(name: &str) -> String {
    match name.split_once(".Outputs.") {
        Some(("Data", name)) => name.to_owned(),
        Some((stack, name)) => format!("{stack}{name}"),
        None => name.to_owned(),
    }
}

/// Returns the short name of a resource in a statement.
fn resource(arn: &Value) -> String {
    if let Some(attribute) = arn["Fn::GetAtt"].as_str() {
        let name = attribute.trim_end_matches("Arn").trim_end_matches('.');
        return output(name);
    }
    let text = arn["Fn::Sub"].as_str().or(arn.as_str());
    let text = text.unwrap_or_else(|| panic!("{arn} is the name of a resource"));
    if let Some((name, rest)) = text
        .strip_prefix("${")
        .and_then(|t| t.split_once("Arn}"))
        .filter(|(name, _)| name.contains(".Outputs."))
    {
        return format!("{}{rest}", output(name));
    }
    // arn:partition:service:region:account:kind/name
    text.rsplit(':')
        .next()
        .and_then(|t| t.split('/').next())
        .unwrap()
        .to_owned()
}

/// Whether a text matches a pattern as in IAM: `*` stands for any text and `?` for one character.
pub fn holds(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[u8], text: &[u8]) -> bool {
        let Some((first, pattern)) = pattern.split_first() else {
            return text.is_empty();
        };
        if *first == b'*' {
            return (0..=text.len()).any(|taken| matches(pattern, &text[taken..]));
        }
        let rest = text.split_first();
        rest.is_some_and(|(c, text)| [*c, b'?'].contains(first) && matches(pattern, text))
    }
    matches(pattern.as_bytes(), text.as_bytes())
}
