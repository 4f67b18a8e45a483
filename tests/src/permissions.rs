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

use crate::template::{ROLES, START, Statement, holds};

/// One action on one resource that a call requires, named as in the template.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RequiredAction {
    /// For example, `dynamodb:Query`.
    pub action: String,
    /// For example, `Table/index/pending`.
    pub resource: String,
    /// The partition key, if the call reads one partition.
    pub partition: Option<String>,
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

/// Returns the statements of a function's role.
pub fn role(function: &str) -> Option<&'static [Statement]> {
    match function {
        instance::START => Some(&START),
        _ => ROLES.get(function).map(Vec::as_slice),
    }
}

impl RequiredAction {
    /// Whether a statement allows this action.
    pub fn is_allowed_by(&self, statement: &Statement) -> bool {
        statement.actions.contains(&self.action)
            && statement.resources.contains(&self.resource)
            && match (&statement.leading_keys, &self.partition) {
                (Some(allowed), Some(wanted)) => allowed.iter().any(|a| holds(a, wanted)),
                _ => true,
            }
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
        let Some(statements) = role(function) else {
            return Ok(());
        };
        let metadata = cfg.load::<Metadata>().ok_or("a call has a name")?;
        let request = context.request();
        let body = request.body().bytes().unwrap_or_default();
        for required_action in required_actions(metadata, request.uri(), body)? {
            if !statements.iter().any(|s| required_action.is_allowed_by(s)) {
                let message = format!(
                    "infra/stacks/roles.yaml does not allow {function} {} on {} {:?}: add only what it needs to its role",
                    required_action.action, required_action.resource, required_action.partition
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
/// writes.
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
        };
    match call.service() {
        "DynamoDB" => {
            let body: Value = serde_json::from_slice(body)?;
            let table = |of: &Value| table(&of["TableName"]);
            Ok(match call.name() {
                name @ ("GetItem" | "UpdateItem" | "DeleteItem") => {
                    vec![required_action(name, table(&body), body["Key"].get("pk"))]
                }
                "PutItem" => vec![required_action(
                    "PutItem",
                    table(&body),
                    body["Item"].get("pk"),
                )],
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
                // Without partition keys: AWS doesn't document how IAM evaluates the keys of a transaction
                // on two tables.
                "TransactWriteItems" => body["TransactItems"]
                    .as_array()
                    .into_iter()
                    .flatten()
                    .flat_map(|item| item.as_object().into_iter().flatten())
                    .map(|(kind, write)| {
                        let action = match kind.as_str() {
                            "ConditionCheck" => "ConditionCheckItem".to_owned(),
                            kind => format!("{kind}Item"),
                        };
                        required_action(&action, table(write), None)
                    })
                    .collect(),
                name => vec![required_action(name, table(&body), None)],
            })
        }
        // The S3 stand-in has the bucket name in the path.
        "S3" => {
            let letters = uri.contains(&format!("/{}/", instance::LETTERS));
            let bucket = if letters {
                "LettersBucket/*"
            } else {
                "FeedsBucket/*"
            };
            // HeadObject has no action of its own.
            let action = match call.name() {
                "HeadObject" => "GetObject",
                other => other,
            };
            Ok(vec![required_action(action, bucket.to_owned(), None)])
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

/// Tests name both tables themselves; the audit table's name ends with `-audit`.
fn table_named(name: &str) -> String {
    let id = if name.ends_with("-audit") {
        "AuditTable"
    } else {
        "Table"
    };
    id.to_owned()
}
