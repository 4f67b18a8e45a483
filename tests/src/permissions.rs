//! Checks every call to AWS against the role of the calling function (`infra/stacks/roles.yaml`). A call
//! that the role doesn't allow fails, as on AWS, so the whole suite runs under the roles.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextMut;
use aws_smithy_runtime_api::client::interceptors::{Intercept, SharedInterceptor};
use aws_smithy_runtime_api::client::orchestrator::Metadata;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;
use vestibule_local::instance::{self, function_at_work};

use crate::template::{OPERATORS, ROLES, START, Statement, holds};

/// One action on one resource that a call requires, named as in the template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequiredAction {
    /// For example, `dynamodb:Query`.
    pub action: String,
    /// For example, `Table/index/pending`.
    pub resource: String,
    /// The partition key, if the action concerns one partition.
    pub partition: Option<String>,
    /// `ReturnValues`, if a write returns attributes.
    pub return_values: Option<String>,
    /// The algorithm, if something is signed.
    pub signing_algorithm: Option<String>,
}

/// A required action and the function that requires it.
pub type Wished = (&'static str, RequiredAction);

/// Checks every call against its function's role and records it.
#[derive(Debug, Clone, Default)]
pub struct Permissions(Arc<Mutex<BTreeSet<Wished>>>);

impl Permissions {
    /// Returns the interceptor for the observers of a system.
    pub fn interceptor(&self) -> SharedInterceptor {
        SharedInterceptor::new(self.clone())
    }

    /// Returns all actions recorded so far.
    pub fn noted(&self) -> BTreeSet<Wished> {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}

/// Returns the statements of a function's role, or of an operator's policy.
pub fn role(function: &str) -> Option<&'static [Statement]> {
    match function {
        instance::START => Some(&START),
        _ => ROLES
            .get(function)
            .or_else(|| OPERATORS.get(function))
            .map(Vec::as_slice),
    }
}

/// Returns what a role allows and none of the recorded actions required: actions, resources, kinds of keys and
/// values that are returned.
pub fn unused(function: &str, statement: &Statement, noted: &BTreeSet<Wished>) -> Vec<String> {
    let used: Vec<_> = noted
        .iter()
        .filter(|(by, action)| *by == function && action.is_covered_by(statement))
        .map(|(_, action)| action)
        .collect();
    let Statement {
        sid,
        actions,
        resources,
        leading_keys,
        return_values,
        ..
    } = statement;
    let mut unused = Vec::new();
    let mut expect = |is_used: bool, what: &str| {
        if !is_used {
            unused.push(format!("{function} {sid}: {what}"));
        }
    };
    for action in actions {
        expect(used.iter().any(|u| u.action == *action), action);
    }
    for resource in resources {
        expect(used.iter().any(|u| holds(resource, &u.resource)), resource);
    }
    for kind in leading_keys.iter().flatten() {
        let is_of_kind = |u: &&RequiredAction| {
            let partition = u.partition.as_deref();
            partition.is_some_and(|p| holds(kind, p))
        };
        expect(used.iter().any(is_of_kind), kind);
    }
    for value in return_values.iter().flatten() {
        let returns = |u: &&RequiredAction| u.return_values.as_deref().unwrap_or("NONE") == value;
        expect(used.iter().any(returns), &format!("returns {value}"));
    }
    unused
}

impl RequiredAction {
    /// Whether a statement concerns this action.
    pub fn is_covered_by(&self, statement: &Statement) -> bool {
        let returns = self.return_values.as_deref().unwrap_or("NONE");
        statement.actions.contains(&self.action)
            && statement.resources.iter().any(|r| holds(r, &self.resource))
            && match (&statement.leading_keys, &self.partition) {
                (Some(keys), Some(partition)) => keys.iter().any(|k| holds(k, partition)),
                // Without a key, ForAllValues is true and ForAnyValue is false.
                (Some(_), None) => !statement.denies,
                (None, _) => true,
            }
            && statement
                .return_values
                .as_ref()
                .is_none_or(|allowed| allowed.iter().any(|a| a == returns))
            && match statement.conditions["StringEquals"]["kms:SigningAlgorithm"].as_str() {
                Some(allowed) => self.signing_algorithm.as_deref() == Some(allowed),
                None => true,
            }
    }

    /// Whether a function's role allows this action: a statement allows it, and none denies it.
    pub fn is_allowed_to(&self, function: &str) -> bool {
        let Some(own) = role(function) else {
            return false;
        };
        let covering: Vec<_> = own.iter().filter(|s| self.is_covered_by(s)).collect();
        // What every function does when it starts is another policy of the same role.
        // Operators have no role of a function, whose first policy denies.
        let is_operator = function.starts_with("operator-");
        let denied = START.iter().filter(|s| s.denies && !is_operator);
        let mut denied = denied.filter(|s| self.is_covered_by(s));
        !covering.is_empty() && covering.iter().all(|s| !s.denies) && denied.next().is_none()
    }
}

impl Intercept for Permissions {
    fn name(&self) -> &'static str {
        "Permissions"
    }

    fn modify_before_transmit(
        &self,
        context: &mut BeforeTransmitInterceptorContextMut<'_>,
        _: &RuntimeComponents,
        cfg: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let Some(function) = function_at_work() else {
            return Ok(());
        };
        // A function that isn't deployed has no role.
        if role(function).is_none() {
            return Ok(());
        }
        let metadata = cfg.load::<Metadata>().ok_or("a call has a name")?;
        let request = context.request();
        let body = request.body().bytes().unwrap_or_default();
        for required_action in required_actions(metadata, request.uri(), body)? {
            if !required_action.is_allowed_to(function) {
                let message = format!(
                    "infra/stacks/roles.yaml does not allow {function} {} on {} {:?} {:?}: add only what it needs to its role",
                    required_action.action,
                    required_action.resource,
                    required_action.partition,
                    required_action.return_values
                );
                eprintln!("{message}");
                return Err(message.into());
            }
            let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            noted.insert((function, required_action));
        }
        Ok(())
    }
}

/// Returns the IAM actions that a call requires. A DynamoDB transaction requires the action of each of its
/// writes, with that write's own key.
fn required_actions(
    call: &Metadata,
    uri: &str,
    body: &[u8],
) -> Result<Vec<RequiredAction>, BoxError> {
    let required_action =
        |action: &str, resource: String, partition: Option<&Value>| RequiredAction {
            action: format!("{}:{action}", service(call)),
            resource,
            partition: partition.map(|p| p["S"].as_str().unwrap_or_default().to_owned()),
            return_values: None,
            signing_algorithm: None,
        };
    match call.service() {
        "DynamoDB" => {
            let body: Value = serde_json::from_slice(body)?;
            let table = |of: &Value| table(&of["TableName"]);
            let write = |action: &str, of: &Value| {
                let key = of.get("Item").or(of.get("Key"));
                let returns = of["ReturnValues"].as_str().filter(|r| *r != "NONE");
                RequiredAction {
                    return_values: returns.map(str::to_owned),
                    ..required_action(action, table(of), key.and_then(|k| k.get("pk")))
                }
            };
            Ok(match call.name() {
                "GetItem" => vec![required_action(
                    "GetItem",
                    table(&body),
                    body["Key"].get("pk"),
                )],
                name @ ("PutItem" | "UpdateItem" | "DeleteItem") => vec![write(name, &body)],
                "BatchGetItem" => body["RequestItems"]
                    .as_object()
                    .into_iter()
                    .flatten()
                    .flat_map(|(name, wanted)| {
                        let keys = wanted["Keys"].as_array().into_iter().flatten();
                        keys.map(|k| {
                            required_action("BatchGetItem", table_named(name), k.get("pk"))
                        })
                    })
                    .collect(),
                "Query" => {
                    let condition = body["KeyConditionExpression"].as_str().unwrap_or_default();
                    let (_, rest) = condition.split_once(" = ").ok_or("a query has a key")?;
                    let name = rest.split_whitespace().next().unwrap_or_default();
                    let values = &body["ExpressionAttributeValues"];
                    let resource = match body["IndexName"].as_str() {
                        Some(index) => format!("{}/index/{index}", table(&body)),
                        None => table(&body),
                    };
                    vec![required_action("Query", resource, values.get(name))]
                }
                "TransactWriteItems" => body["TransactItems"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(|item| item.as_object().into_iter().flatten())
                    .map(|(kind, of)| match kind.as_str() {
                        "ConditionCheck" => write("ConditionCheckItem", of),
                        kind => write(&format!("{kind}Item"), of),
                    })
                    .collect(),
                name => vec![required_action(name, table(&body), None)],
            })
        }
        // The S3 stand-in has the bucket name in the path.
        "S3" => {
            let path = uri.split('?').next().unwrap_or_default();
            let path = path.split_once("://").map_or(path, |(_, rest)| rest);
            let path = path.split_once('/').map_or(path, |(_, path)| path);
            let place = |bucket: &str| path.strip_prefix(bucket)?.strip_prefix('/');
            let buckets = [
                (instance::FEEDS, "FeedsBucket"),
                (instance::LETTERS, "LettersBucket"),
                (instance::SEALS, "SealsBucket"),
            ];
            let object = buckets
                .iter()
                .find_map(|(name, id)| Some(format!("{id}/{}", place(name)?)))
                .ok_or_else(|| format!("{path} is in no known bucket"))?;
            // HeadObject has no action of its own.
            let action = match call.name() {
                "HeadObject" => "GetObject",
                other => other,
            };
            Ok(vec![required_action(action, object, None)])
        }
        "KMS" if ["Sign", "GetPublicKey"].contains(&call.name()) => {
            let body: Value = serde_json::from_slice(body)?;
            let algorithm = body["SigningAlgorithm"].as_str().map(str::to_owned);
            Ok(vec![RequiredAction {
                signing_algorithm: algorithm,
                ..required_action(call.name(), "key".to_owned(), None)
            }])
        }
        "KMS" => Ok(vec![required_action(call.name(), "Key".to_owned(), None)]),
        "SES" => {
            let form: Vec<(String, String)> = serde_urlencoded::from_bytes(body)?;
            let set = form.iter().any(|(k, _)| k == "ConfigurationSetName");
            let mut required_actions =
                vec![required_action(call.name(), "identity".to_owned(), None)];
            if set {
                required_actions.push(required_action(
                    call.name(),
                    "configuration-set".to_owned(),
                    None,
                ));
            }
            Ok(required_actions)
        }
        other => Err(format!("tests/src/permissions.rs doesn't know {other} yet").into()),
    }
}

fn service(call: &Metadata) -> String {
    call.service().to_lowercase()
}

fn table(name: &Value) -> String {
    table_named(name.as_str().unwrap_or_default())
}

/// Tests name both tables themselves; the audit table's name ends with `-audit`, and the name of a table restored
/// to a point in time with `-restored`.
fn table_named(name: &str) -> String {
    let (name, restored) = match name.strip_suffix("-restored") {
        Some(name) => (name, "-restored"),
        None => (name, ""),
    };
    let id = if name.ends_with("-audit") {
        "AuditTable"
    } else {
        "Table"
    };
    format!("{id}{restored}")
}
