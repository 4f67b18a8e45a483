//! Compares `template.yaml` and its nested stacks with the code, both ways.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use aws_sdk_dynamodb::types::TableDescription;
use aws_smithy_runtime_api::client::interceptors::SharedInterceptor;
use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_deliver_mail::Event;
use vestibule_domain::feed::sequence::FeedName;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_domain::values::text::{Email, Username};
use vestibule_http::schedule::Scheduled;
use vestibule_import_records::S3Event;
use vestibule_inactivity_sweep::Run;
use vestibule_local::instance::{FUNCTIONS, Function, START, at_work};
use vestibule_local::{Instance, Options, routes};
use vestibule_store::outbox::message_of_key;
use vestibule_store::tables;
use vestibule_tests::people::{agent, group_principal, member, provider, with};
use vestibule_tests::permissions::{Permissions, role, unused};
use vestibule_tests::template::{
    GATEWAY, ROLES, ROLES_STACK, Statement, TEMPLATE, functions, gateway_routes, kebab, nested,
    read, resources, root, schedules,
};
use vestibule_tests::{World, options, portals_with};

use super::cost::go_through_every_flow;
use super::openapi::{operations, sources as read_sources};
use crate::import_records::go_through_feeds;
use crate::inactivity_sweep::campaigns::go_through_a_release;
use crate::inactivity_sweep::schedule::go_through_the_schedule;
use crate::invite::bulk;

/// Returns the events of a type that start a function.
fn events<'t>(function: &'t Value, kind: &str) -> Vec<&'t Value> {
    let all = function["Events"].as_object();
    all.into_iter()
        .flat_map(|events| events.values())
        .filter(|event| event["Type"] == kind)
        .map(|event| &event["Properties"])
        .collect()
}

/// Returns the binaries for Lambda with their source files.
fn binaries() -> BTreeMap<String, PathBuf> {
    let mut binaries = BTreeMap::new();
    for entry in std::fs::read_dir(root().join("functions")).unwrap() {
        let folder = entry.unwrap().path();
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let declared = manifest.get("bin").and_then(|b| b.as_array());
        for binary in declared.into_iter().flatten() {
            let text = |field: &str| binary[field].as_str().unwrap();
            binaries.insert(text("name").to_owned(), folder.join(text("path")));
        }
    }
    binaries
}

#[test]
fn every_binary_is_deployed_and_nothing_else() {
    let functions = functions();
    let deployed: BTreeSet<_> = functions.keys().cloned().collect();
    assert_eq!(deployed, binaries().into_keys().collect());
    let with_roles: BTreeSet<_> = ROLES.keys().cloned().collect();
    assert_eq!(with_roles, deployed, "each has a role of its own");
    let outputs = &ROLES_STACK["Outputs"];
    for (id, function) in resources(&TEMPLATE, "AWS::Serverless::Function") {
        assert_eq!(function["Metadata"]["BuildMethod"], "makefile", "{id}");
        let name = id.strip_suffix("Function").unwrap();
        let own = |part: &str| json!({ "Fn::GetAtt": format!("Roles.Outputs.{name}{part}") });
        assert_eq!(function["Properties"]["Role"], own("Role"));
        let log = json!({ "LogGroup": own("Log") });
        assert_eq!(function["Properties"]["LoggingConfig"], log);
        let role = json!({ "Value": { "Fn::GetAtt": format!("{name}Role.Arn") } });
        assert_eq!(outputs[format!("{name}Role")], role);
        let log = json!({ "Value": { "Ref": format!("{name}Log") } });
        assert_eq!(outputs[format!("{name}Log")], log);
    }
}

#[test]
#[allow(clippy::disallowed_methods, reason = "a switch of this test alone")]
fn generated_routes_match_the_code() {
    if std::env::var("UPDATE_ROUTES").is_ok() {
        routes::write(root()).unwrap();
    }
    let read = |path| std::fs::read_to_string(root().join(path)).unwrap_or_default();
    let gateway = read(routes::GATEWAY);
    for (path, committed, made) in [
        (routes::GATEWAY, &gateway, routes::gateway(&gateway)),
        (routes::TABLE, &read(routes::TABLE), routes::table(root())),
    ] {
        let made = made.unwrap();
        let mut lines = committed.lines().zip(made.lines());
        let differs = lines.position(|(c, m)| c != m);
        assert!(
            *committed == made,
            "{path} is not what the code says (first at line {:?}); write it with cargo portal routes --write",
            differs.map(|line| line + 1)
        );
    }
}

#[test]
fn the_gateway_has_the_routes_of_the_api() {
    let mut deployed = gateway_routes();
    // The pages are no part of the API; the next test compares their paths.
    deployed.retain(|_, function| function != "pages");

    // Each route goes to the function whose crate serves it, and there are no others.
    let mut served = BTreeMap::new();
    for Function { name, openapi, .. } in FUNCTIONS {
        for (path, item) in openapi().paths.paths {
            let methods = [
                ("GET", item.get),
                ("POST", item.post),
                ("PUT", item.put),
                ("PATCH", item.patch),
                ("DELETE", item.delete),
            ];
            for (method, _) in methods.into_iter().filter(|(_, o)| o.is_some()) {
                served.insert((method.to_owned(), path.clone()), name.to_owned());
            }
        }
    }
    let (preflights, routes): (BTreeMap<_, _>, BTreeMap<_, _>) = deployed
        .into_iter()
        .partition(|((method, _), _)| method == "OPTIONS");
    assert_eq!(routes, served);
    let described: BTreeSet<_> = operations()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    assert_eq!(routes.keys().cloned().collect::<BTreeSet<_>>(), described);

    // OPTIONS (CORS preflight) of each path goes to a function that serves it.
    for ((_, path), function) in &preflights {
        let mut serving = routes.iter().filter(|((_, p), _)| p == path);
        assert!(serving.any(|(_, f)| f == function), "OPTIONS {path}");
    }
    let asked: BTreeSet<_> = preflights.keys().map(|(_, path)| path).collect();
    let paths: BTreeSet<_> = routes.keys().map(|(_, path)| path).collect();
    assert_eq!(asked, paths);
}

/// Each function has one permission for all of its routes, because a function's resource policy is limited to 20 kB.
#[test]
fn the_gateway_may_invoke_the_functions_of_its_routes() {
    let invoked: BTreeSet<_> = gateway_routes().into_values().collect();
    let mut allowed = BTreeSet::new();
    let stack = nested("Permissions");
    for (id, permission) in resources(&stack, "AWS::Lambda::Permission") {
        let is_optional = permission["Condition"] == "HasPages";
        let permission = &permission["Properties"];
        let name = id.strip_suffix("Permission").unwrap();
        let mut alias = json!({ "Ref": format!("{name}Function.Alias") });
        if is_optional {
            alias = json!({ "Fn::If": ["HasPages", alias, ""] });
        }
        assert_eq!(permission["FunctionName"], alias);
        assert_eq!(permission["Action"], "lambda:InvokeFunction", "{id}");
        assert_eq!(permission["Principal"], "apigateway.amazonaws.com", "{id}");
        // Only this API's own stage.
        let source = permission["SourceArn"]["Fn::Sub"].as_str().unwrap();
        let own = ":${AWS::AccountId}:${Api}/${Api.Stage}/*";
        assert!(source.ends_with(own), "{id}: {source}");
        allowed.insert(kebab(name));
    }
    assert_eq!(allowed, invoked);
}

/// CloudFormation and people read the template; neither should need to scroll past what a program writes.
#[test]
fn the_template_stays_small() {
    let size = std::fs::metadata(root().join("template.yaml"))
        .unwrap()
        .len();
    assert!(size <= 35_000, "template.yaml has {size} bytes");
}

#[test]
fn pages_of_a_portal_can_read_the_errors_of_the_gateway() {
    let responses = GATEWAY["x-amazon-apigateway-gateway-responses"].as_object();
    let responses = responses.unwrap();
    for required in ["DEFAULT_4XX", "DEFAULT_5XX", "THROTTLED"] {
        assert!(responses.contains_key(required), "{required}");
    }
    for (name, response) in responses {
        let header = |header: &str| {
            &response["responseParameters"][format!("gatewayresponse.header.{header}")]
        };
        assert_eq!(
            *header("Access-Control-Allow-Origin"),
            "method.request.header.Origin",
            "{name}"
        );
        assert_eq!(
            *header("Access-Control-Allow-Credentials"),
            "'true'",
            "{name}"
        );
        assert_eq!(*header("Vary"), "'Origin'", "{name}");
        assert_eq!(
            *header("Content-Type"),
            "'application/problem+json'",
            "{name}"
        );
        assert_eq!(*header("Cache-Control"), "'no-store'", "{name}");
        let body = response["responseTemplates"]["application/json"]
            .as_str()
            .unwrap();
        let body = body.replace("$context.responseStatus", "400");
        let body: Value = serde_json::from_str(&body).unwrap();
        for field in ["type", "title", "detail", "status"] {
            assert!(body.get(field).is_some(), "{name} has {field}");
        }
    }
}

#[test]
fn pg_01_the_gateway_has_the_paths_of_the_pages_and_the_stack_can_leave_them_out() {
    let first = format!("/{{portal}}/{}", vestibule_pages::PATH);
    let paths: Vec<_> = gateway_routes()
        .into_iter()
        .filter(|(_, function)| function == "pages")
        .map(|(route, _)| route)
        .collect();
    let get = |path: &str| ("GET".to_owned(), path.to_owned());
    assert_eq!(paths, [get(&first), get(&format!("{first}/{{path+}}"))]);
    assert_eq!(
        TEMPLATE["Resources"]["PagesFunction"]["Condition"],
        "HasPages"
    );
    // What concerns the function is left out with it.
    for (stack, resources) in [
        ("permissions", vec!["PagesPermission"]),
        ("monitoring", vec!["PagesErrors", "PagesSlow"]),
    ] {
        let stack = read(&format!("infra/stacks/{stack}.yaml"));
        let has_pages = json!({ "Fn::Not": [{ "Fn::Equals": [{ "Ref": "Pages" }, ""] }] });
        assert_eq!(stack["Conditions"]["HasPages"], has_pages);
        for resource in resources {
            assert_eq!(stack["Resources"][resource]["Condition"], "HasPages");
        }
    }
    // Compressed files are binary, which the gateway passes on only if it knows.
    let binary = &TEMPLATE["Resources"]["Api"]["Properties"]["BinaryMediaTypes"];
    assert_eq!(*binary, json!(["*~1*"]));
    // No route of the API is below the pages.
    let below = format!("{first}/");
    for (_, path, _) in operations() {
        assert!(path != first && !path.starts_with(&below), "{path}");
    }
    let sids: Vec<_> = ROLES["pages"].iter().map(|s| s.sid.as_str()).collect();
    assert_eq!(sids, ["Log"]);
}

/// Returns a table's schema as in the template, without deployment settings.
fn shape(table: &TableDescription) -> Value {
    let keys = |schema: &[aws_sdk_dynamodb::types::KeySchemaElement]| -> Value {
        let key = |k: &aws_sdk_dynamodb::types::KeySchemaElement| json!({ "AttributeName": k.attribute_name(), "KeyType": k.key_type().as_str() });
        schema.iter().map(key).collect()
    };
    let mut attributes: Vec<_> = table
        .attribute_definitions()
        .iter()
        .map(|a| (a.attribute_name(), a.attribute_type().as_str()))
        .collect();
    attributes.sort_unstable();
    let mut indexes: Vec<_> = table
        .global_secondary_indexes()
        .iter()
        .map(|i| {
            let projection = i.projection().unwrap();
            json!({
                "IndexName": i.index_name(),
                "KeySchema": keys(i.key_schema()),
                "Projection": { "ProjectionType": projection.projection_type().unwrap().as_str() },
            })
        })
        .collect();
    indexes.sort_by_key(|i| i["IndexName"].to_string());
    json!({
        "AttributeDefinitions": attributes,
        "KeySchema": keys(table.key_schema()),
        "GlobalSecondaryIndexes": indexes,
        "StreamViewType": table
            .stream_specification()
            .and_then(|s| s.stream_view_type())
            .map(|v| v.as_str()),
    })
}

/// Returns the same of a table in the template.
fn deployed_shape(table: &Value) -> Value {
    let mut attributes: Vec<_> = table["AttributeDefinitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| {
            let text = |name: &str| a[name].as_str().unwrap();
            (text("AttributeName"), text("AttributeType"))
        })
        .collect();
    attributes.sort_unstable();
    let mut indexes = table["GlobalSecondaryIndexes"]
        .as_array()
        .cloned()
        .unwrap_or_default();
    indexes.sort_by_key(|i| i["IndexName"].to_string());
    json!({
        "AttributeDefinitions": attributes,
        "KeySchema": table["KeySchema"],
        "GlobalSecondaryIndexes": indexes,
        "StreamViewType": table["StreamSpecification"]["StreamViewType"],
    })
}

#[tokio::test]
async fn the_tables_match_the_code() {
    let data: &'static Value = Box::leak(Box::new(read("infra/stacks/data.yaml")));
    let deployed = resources(data, "AWS::DynamoDB::Table");
    let instance = Instance::start(options()).await.unwrap();
    for (id, name) in [
        ("Table", &instance.tables.main),
        ("AuditTable", &instance.tables.audit),
    ] {
        let made = instance.db.describe_table().table_name(name).send().await;
        let table = &deployed[id]["Properties"];
        assert_eq!(
            deployed_shape(table),
            shape(&made.unwrap().table.unwrap()),
            "{id}"
        );
    }
    assert_eq!(deployed.len(), 2);

    // Tables are kept when the stack is deleted, encrypted with the stack's key, and can be restored to any second.
    // After a first deployment that failed, nothing is left that would be in the way of the next one.
    for (id, table) in deployed {
        assert_eq!(table["DeletionPolicy"], "RetainExceptOnCreate", "{id}");
        assert_eq!(table["UpdateReplacePolicy"], "Retain", "{id}");
        let table = &table["Properties"];
        assert_eq!(table["SSESpecification"]["SSEType"], "KMS", "{id}");
        assert_eq!(
            table["SSESpecification"]["KMSMasterKeyId"],
            json!({ "Fn::GetAtt": "Key.Arn" })
        );
        assert_eq!(
            table["PointInTimeRecoverySpecification"]["PointInTimeRecoveryEnabled"],
            true
        );
        assert_eq!(
            table["DeletionProtectionEnabled"]["Ref"],
            "DeletionProtection"
        );
    }
    for (id, attribute) in [
        ("Table", tables::EXPIRES),
        ("AuditTable", tables::AUDIT_TTL),
    ] {
        let ttl = &data["Resources"][id]["Properties"]["TimeToLiveSpecification"];
        assert_eq!(
            *ttl,
            json!({ "AttributeName": attribute, "Enabled": true }),
            "{id}"
        );
    }
}

/// Returns the settings that a source file reads.
fn settings_in(source: &str) -> BTreeSet<String> {
    source
        .split("setting(")
        .skip(1)
        .filter_map(|rest| rest.trim_start().strip_prefix('"')?.split('"').next())
        .map(str::to_owned)
        .collect()
}

#[test]
fn functions_have_the_settings_they_read() {
    let source = |path: &Path| std::fs::read_to_string(path).unwrap();
    let of_all = settings_in(&source(&root().join("shared/http/src/settings.rs")));
    for known in ["TABLE", "PORTALS_DIR"] {
        assert!(of_all.contains(known), "{known} is found in {of_all:?}");
    }
    let variables = |of: &Value| -> BTreeSet<String> {
        let all = of["Environment"]["Variables"].as_object();
        let set = all
            .into_iter()
            .flatten()
            .filter(|(_, v)| v["Ref"] != "AWS::NoValue");
        set.map(|(name, _)| name.clone()).collect()
    };
    let global = variables(&TEMPLATE["Globals"]["Function"]);
    let binaries = binaries();
    let local: Value = serde_json::from_str(&source(&root().join("events/env.json"))).unwrap();
    let local = &local["Parameters"];
    for (name, function) in functions() {
        let mut read = settings_in(&source(&binaries[&name]));
        read.extend(of_all.iter().cloned());
        // The policies are in the default folder, Lambda sets the region, and root certificates other than Amazon's
        // are optional. lambda_http reads the setting that is added.
        for unset in ["PORTALS_DIR", "AWS_REGION", "SSL_CERT_FILE"] {
            assert!(read.remove(unset), "{unset} is read");
        }
        read.insert("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH".to_owned());
        let mut given = variables(function);
        given.extend(global.iter().cloned());
        assert_eq!(given, read, "{name}");
        // events/env.json has a value for each, for `sam local` with `cargo portal`, except for this one, whose
        // value in the template works there too.
        given.remove("AWS_LAMBDA_HTTP_IGNORE_STAGE_IN_PATH");
        let lacking: Vec<_> = given.iter().filter(|v| local.get(v).is_none()).collect();
        assert!(lacking.is_empty(), "events/env.json lacks {lacking:?}");
    }
}

#[test]
fn the_stream_delivers_only_new_messages() {
    let functions = functions();
    let streams: Vec<_> = functions
        .values()
        .flat_map(|f| events(f, "DynamoDB"))
        .collect();
    let [stream] = streams[..] else {
        panic!("one function reads the stream");
    };
    let filters = stream["FilterCriteria"]["Filters"].as_array().unwrap();
    let pattern: Value = serde_json::from_str(filters[0]["Pattern"].as_str().unwrap()).unwrap();
    assert_eq!(
        (filters.len(), &pattern["eventName"]),
        (1, &json!(["INSERT"]))
    );
    let prefix = &pattern["dynamodb"]["Keys"]["pk"]["S"][0]["prefix"];
    let prefix = prefix.as_str().unwrap();
    let id = "0123456789abcdefghjkmnpqrs";
    let key = format!("{prefix}{id}");
    assert!(message_of_key(&key).is_some(), "{key} is a message's");
    assert!(message_of_key(&key[1..]).is_none());

    // A failed batch is split, successful records aren't repeated, and the rest goes to the dead-letter queue.
    assert_eq!(
        stream["FunctionResponseTypes"],
        json!(["ReportBatchItemFailures"])
    );
    assert_eq!(stream["BisectBatchOnFunctionError"], true);
    assert_eq!(
        stream["DestinationConfig"]["OnFailure"]["Destination"],
        json!({ "Fn::GetAtt": "DeadLetters.Arn" })
    );
}

#[test]
fn failures_of_asynchronous_functions_are_reported() {
    let queue = json!({ "Fn::GetAtt": "DeadLetters.Arn" });
    let schedules = schedules();
    for (name, schedule) in &schedules {
        let target = &schedule["Target"];
        assert_eq!(target["DeadLetterConfig"]["Arn"], queue, "{name}");
        assert!(target["RetryPolicy"].is_object(), "{name}");
    }
    for (name, function) in functions() {
        let all = function["Events"].as_object();
        let all: Vec<_> = all.into_iter().flatten().collect();
        for (event, description) in &all {
            let event = format!("{name} {event}");
            let properties = &description["Properties"];
            match description["Type"].as_str().unwrap() {
                "DynamoDB" => {}
                "EventBridgeRule" => {
                    assert_eq!(properties["DeadLetterConfig"]["Arn"], queue, "{event}");
                }
                other => panic!("{event}: what happens when {other} fails?"),
            }
        }
        // Schedules and rules call asynchronously, so the function's own failures need the queue too.
        let by_itself =
            schedules.contains_key(&name) || all.iter().any(|(_, e)| e["Type"] != "DynamoDB");
        let failed =
            &function["EventInvokeConfig"]["DestinationConfig"]["OnFailure"]["Destination"];
        assert_eq!(*failed == queue, by_itself, "{name}");
    }
}

/// Statements that Lambda and S3 use on the function's behalf.
const BY_OTHERS: [&str; 5] = ["Log", "Stream", "ListStreams", "DeadLetters", "Encrypt"];

#[test]
fn roles_have_simple_statements() {
    for kind in [
        "AWS::IAM::Role",
        "AWS::IAM::ManagedPolicy",
        "AWS::IAM::Policy",
    ] {
        assert_eq!(
            resources(&TEMPLATE, kind).len(),
            0,
            "roles are in one stack"
        );
    }
    for (name, statements) in ROLES.iter() {
        let mut sids: Vec<_> = statements.iter().map(|s| s.sid.as_str()).collect();
        sids.sort_unstable();
        sids.dedup();
        assert_eq!(sids.len(), statements.len(), "{name}: {sids:?}");
        for statement in statements {
            let Statement { sid, .. } = statement;
            for action in &statement.actions {
                assert!(!action.contains('*'), "{name} {sid}: {action}");
            }
            for resource in &statement.resources {
                assert!(resource != "*", "{name} {sid}");
            }
            // Reads are limited to kinds of items. Indexes of the main table contain keys only.
            let reads = |a: &String| {
                ["GetItem", "BatchGetItem", "Query"]
                    .iter()
                    .any(|r| *a == format!("dynamodb:{r}"))
            };
            let of_items = statement.resources.iter().any(|r| r == "Table");
            if statement.actions.iter().any(reads) && of_items {
                let kinds = statement.leading_keys.iter().flatten();
                let kinds: Vec<_> = kinds.map(String::as_str).collect();
                assert!(!kinds.is_empty() && !kinds.contains(&"*"), "{name} {sid}");
            }
        }
        let log = statements.iter().find(|s| s.sid == "Log").unwrap();
        assert_eq!(log.actions, ["logs:CreateLogStream", "logs:PutLogEvents"]);
        let [log] = &log.resources[..] else {
            panic!("{name} writes to one log group");
        };
        assert_eq!(kebab(log.strip_suffix("Log").unwrap()), *name);

        // Only functions that events call use the queue, and only consumers of the stream read it.
        let function = &functions()[name];
        let by_itself = function["Events"].is_object() || schedules().contains_key(name);
        assert_eq!(sids.contains(&"DeadLetters"), by_itself, "{name}");
        let streams = !events(function, "DynamoDB").is_empty();
        assert_eq!(sids.contains(&"Stream"), streams, "{name}");
    }
}

#[test]
fn ux_11_nobody_but_the_audit_trail_itself_does_more_than_add_to_it() {
    let own = ["audit-trail", "seal-audit-trail"];
    for (name, statements) in ROLES.iter().filter(|(n, _)| !own.contains(&n.as_str())) {
        let on_audit = |s: &&Statement| s.resources.iter().any(|r| r.starts_with("AuditTable"));
        for statement in statements.iter().filter(on_audit) {
            assert_eq!(statement.actions, ["dynamodb:PutItem"], "{name}");
            assert_eq!(statement.resources, ["AuditTable"], "{name}");
        }
    }
    for (name, statements) in ROLES.iter() {
        for statement in statements {
            let on_audit = statement
                .resources
                .iter()
                .any(|r| r.starts_with("AuditTable"));
            for taken in [
                "dynamodb:DeleteItem",
                "dynamodb:UpdateItem",
                "dynamodb:BatchWriteItem",
            ] {
                let taken = statement.actions.iter().any(|a| a == taken);
                assert!(!(on_audit && taken), "{name} {}", statement.sid);
            }
        }
    }
}

/// Covers calls that the flows of the cost snapshot don't make.
async fn go_through_rare_ways(observer: &SharedInterceptor) {
    // A policy can let an organization's users request a new PIN.
    let folder = tempfile::tempdir().unwrap();
    for entry in std::fs::read_dir(root().join("infra/portals")).unwrap() {
        let path = entry.unwrap().path();
        let policy = std::fs::read_to_string(&path).unwrap();
        let policy = policy.replace(
            r#"reissued_by = ["help_desk"]"#,
            r#"reissued_by = ["user", "help_desk"]"#,
        );
        std::fs::write(folder.path().join(path.file_name().unwrap()), policy).unwrap();
    }
    let mut world = World::with(Options {
        portals: folder.path().to_owned(),
        observers: vec![observer.clone()],
        ..options()
    })
    .await;
    let registered = world.register("provider", provider()).await;
    let username = registered.text_at("/username");
    let waiting = world.sign_in("provider", username).await;
    waiting.post("/pin/letter", json!({})).await.expect(201);

    // Security questions are asked of people in the plan records.
    world.register("member", member()).await;
    let who = json!({ "registration_type": "member", "verification": member()["verification"], "first_name": "Maria" });
    world
        .on("member")
        .post("/username-recoveries", who)
        .await
        .expect(200);

    // With an idle timeout, the last use of a session is stored.
    world.register("agent", agent()).await;
    let principal = world.sign_in("agent", "dana.whitfield").await;
    for path in ["/invitations", "/users", "/audit-events?action=sign_in"] {
        world.pass(SignedDuration::from_mins(5));
        principal.get(path).await.expect(200);
    }

    // A changed username takes another read, and on AWS a configuration set reports bounces.
    let profile = principal.get("/me").await;
    let id = profile.text_at("/id").to_owned();
    let renamed = Username::parse("dana.renamed", 6).unwrap();
    world
        .alter("agent", &id, |account| account.username = renamed)
        .await;
    world.instance.mailer.configuration_set = Some("events".to_owned());
    let forgotten = json!({ "username": "dana.renamed" });
    world
        .on("agent")
        .post("/password-resets", forgotten)
        .await
        .expect(202);
    // The reset request leaves the outbox first, then the email that it creates.
    world.mails_to("dana@whitfield.example").await;
    let mails = world.mails_to("dana@whitfield.example").await;
    assert!(mails.iter().any(|m| m.text.contains("#token=")));
}

/// The same for a large organization and the help desk.
async fn go_through_rare_ways_of_many(observer: &SharedInterceptor) {
    let world = World::with(Options {
        observers: vec![observer.clone()],
        ..options()
    })
    .await;
    let (helen, _) = world.provider().await;
    let id = helen.get("/me").await.text_at("/id").to_owned();
    let desk = world.help_desk().await;
    let path = format!("/accounts/provider/{id}");
    desk.agent.get(&path).await.expect(200);

    // A file always gives an email address the same username, which is taken after the user changes the address.
    let file = "email,first_name,last_name\nsam@lakeside.example,Sam,Lind\n";
    let (_, added) = bulk::send(&helen, "/users.csv", "text/csv", file).await;
    let sam = added["rows"][0]["id"].as_str().unwrap();
    let moved = Email::parse("sam@elsewhere.example").unwrap();
    world
        .alter("provider", sam, |account| account.email = moved)
        .await;
    let (_, added) = bulk::send(&helen, "/users.csv", "text/csv", file).await;
    assert_eq!(added["created"], 1, "{added}");

    // The owner of a letter that can't be printed any more, because the policy has changed, is notified.
    let feed = "enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,city,region,postal_code,country\n\
         300000001,0,Kim,Wide,Wide,1980-01-31,1 Elm Street,Springfield,IL,62704,US";
    world.import(RecordKind::Member, feed).await;
    let verification = json!({ "enrollee_id": "300000001", "subscriber_last_name": "Wide", "date_of_birth": "1980-01-31" });
    let kim = with(member(), "/verification", verification);
    let kim = with(
        with(kim, "/email", "kim@example.com"),
        "/username",
        "kim.wide",
    );
    world.register("member", kim).await;
    let replaced = [(
        "\"Harborlight Health\", \"Member",
        "\"\u{1f3e0}\", \"Member",
    )];
    let folder = portals_with("member", &replaced, "");
    let printer = vestibule_print_letters::Printer {
        portals: std::sync::Arc::new(vestibule_http::portals::open(folder.path()).unwrap()),
        ..world.instance.printer.clone()
    };
    let done = at_work("print-letters", printer.run()).await.unwrap();
    assert_eq!(done.problems, 1);

    // SES reports a bounced email.
    let bounces = with(member(), "/email", "bounce@simulator.amazonses.com");
    world.register("member", bounces).await;
    world.instance.settle().await.unwrap();
}

/// What only tests of rare cases use, which run under the same roles.
const IN_OTHER_TESTS: [&str; 10] = [
    // The last use of a session, on a portal with an idle timeout.
    "activate-pin Write: dynamodb:UpdateItem",
    // An address that bounces is marked in the lists of users.
    "deliver-mail Write: O#*",
    // Addresses that must be unique, of users who are removed or change them.
    "help-desk Write: E#*",
    "inactivity-sweep Write: E#*",
    "my-profile Write: E#*",
    // A plan record that can be registered again.
    "inactivity-sweep Write: R#*",
    "manage-users Write: R#*",
    // An assertion of an application, accepted once.
    "openid-connect Write: J#*",
    // A link for a forgotten password, ended by a new password.
    "sign-in Write: T#*",
    "import-records Results: FeedsBucket/feeds/*.rejects.csv",
];

/// Every test shows that roles lack nothing, because calls that they don't allow fail. This one shows that
/// they have no unused permissions.
#[tokio::test]
async fn roles_have_no_unused_permissions() {
    let permissions = Permissions::default();
    go_through_every_flow(&permissions.interceptor()).await;
    go_through_rare_ways(&permissions.interceptor()).await;
    go_through_rare_ways_of_many(&permissions.interceptor()).await;
    go_through_a_release(&permissions.interceptor()).await;
    go_through_feeds(&permissions.interceptor()).await;
    go_through_the_schedule(&permissions.interceptor()).await;
    let noted = permissions.noted();
    let mut spare = Vec::new();
    let names: Vec<&'static str> = ROLES.keys().map(String::as_str).collect();
    for function in names.into_iter().chain([START]) {
        // Each action, resource and key pattern of a statement must be used at least once.
        for statement in role(function).unwrap() {
            if statement.denies || BY_OTHERS.contains(&statement.sid.as_str()) {
                continue;
            }
            let unused = unused(function, statement, &noted);
            let is_known = |spare: &String| IN_OTHER_TESTS.contains(&spare.as_str());
            spare.extend(unused.into_iter().filter(|s| !is_known(s)));
        }
    }
    assert!(
        spare.is_empty(),
        "unused permissions; remove them from infra/stacks/roles.yaml, or use them in tests/portals/system/cost.rs:\n{}",
        spare.join("\n")
    );
}

#[test]
fn sample_events_are_accepted_by_their_functions() {
    let functions = functions();
    let mut wanted = BTreeSet::new();
    for ((method, _), function) in gateway_routes() {
        if method != "OPTIONS" {
            wanted.insert((function, method.to_lowercase()));
        }
    }
    for (name, function) in &functions {
        if !events(function, "DynamoDB").is_empty() {
            wanted.insert((name.clone(), "stream".to_owned()));
        }
        for rule in events(function, "EventBridgeRule") {
            let source = rule["Pattern"]["source"][0].as_str().unwrap();
            let service = source.strip_prefix("aws.").unwrap();
            wanted.insert((name.clone(), service.to_owned()));
        }
    }
    let scheduled = schedules().into_keys();
    wanted.extend(scheduled.map(|name| (name, "schedule".to_owned())));
    let mut shown = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("events")).unwrap() {
        let path = entry.unwrap().path();
        let file = path.file_name().unwrap().to_str().unwrap();
        let event = std::fs::read_to_string(&path).unwrap();
        let event: Value = serde_json::from_str(&event).unwrap();
        if file == "env.json" {
            continue;
        }
        let mut names = file.split('.');
        let (function, kind) = (names.next().unwrap(), names.next().unwrap());
        shown.insert((function.to_owned(), kind.to_owned()));
        if let Some(method) = event["httpMethod"].as_str() {
            let route = (method, event["resource"].as_str().unwrap());
            let route = (route.0.to_owned(), route.1.to_owned());
            let serving = gateway_routes().remove(&route);
            assert_eq!(serving.as_deref(), Some(function), "{file}: {route:?}");
            continue;
        }
        match function {
            "deliver-mail" => {
                let kind = match Event::parse(event).unwrap() {
                    Event::Stream(_) => "stream",
                    Event::Scheduled => "schedule",
                    Event::Report(_) => "ses",
                };
                assert_eq!(file, format!("deliver-mail.{kind}.json"));
            }
            "print-letters" | "seal-audit-trail" => drop(Scheduled::parse(event).unwrap()),
            "inactivity-sweep" => {
                let event = serde_json::from_value(event).unwrap();
                Run::of(event, jiff::Timestamp::UNIX_EPOCH).unwrap();
            }
            "import-records" => {
                let event: S3Event = serde_json::from_value(event).unwrap();
                assert!(FeedName::parse(&event.records[0].s3.object.decoded()).is_ok());
            }
            _ => panic!("{file}: what takes it?"),
        }
    }
    let lacking: Vec<_> = wanted.difference(&shown).collect();
    assert!(lacking.is_empty(), "without a sample event: {lacking:?}");
}

#[tokio::test]
async fn the_schedule_sends_emails_that_the_stream_missed() {
    let world = World::new().await;
    world.register("group", group_principal()).await;
    assert_eq!(world.instance.inbox.to("ruth@blueheron.example"), []);
    let event = std::fs::read_to_string(root().join("events/deliver-mail.schedule.json")).unwrap();
    let event = Event::parse(serde_json::from_str(&event).unwrap()).unwrap();
    let run = world.instance.mailer.take(event);
    at_work("deliver-mail", run).await.unwrap();
    let arrived = world.instance.inbox.to("ruth@blueheron.example");
    let subjects: Vec<_> = arrived.iter().map(|m| m.subject.as_str()).collect();
    assert_eq!(
        subjects.len(),
        2,
        "registered, and to invite a backup: {subjects:?}"
    );
}

#[test]
fn the_gateway_logs_nothing_secret() {
    let api = &TEMPLATE["Resources"]["Api"]["Properties"];
    let format = api["AccessLogSetting"]["Format"].as_str().unwrap();
    let line: BTreeSet<_> = format
        .split('$')
        .skip(1)
        .map(|v| v.split(['"', ',', '}']).next().unwrap())
        .collect();
    // Without $context.path, the query, headers and the caller's address.
    let known = [
        "context.requestId",
        "context.integration.requestId",
        "context.requestTime",
        "context.httpMethod",
        "context.resourcePath",
        "context.status",
        "context.error.responseType",
        "context.wafResponseCode",
        "context.responseLatency",
        "context.integrationLatency",
        "context.responseLength",
    ];
    assert_eq!(line, BTreeSet::from(known));
    for setting in api["MethodSettings"].as_array().unwrap() {
        assert_eq!(setting["LoggingLevel"], "OFF");
        assert_ne!(setting["DataTraceEnabled"], true);
    }
}

/// Throttling is per method, so a request that needs no session gets a lower limit of its own.
#[test]
fn posts_without_a_session_have_lower_limits() {
    let is_optional = |requirement: &_| serde_json::to_value(requirement).unwrap() == json!({});
    let mut anonymous = BTreeSet::new();
    for Function { openapi, .. } in FUNCTIONS {
        for (path, item) in openapi().paths.paths {
            if let Some(post) = item.post
                && post
                    .security
                    .is_none_or(|s| s.is_empty() || s.iter().any(is_optional))
            {
                anonymous.insert(path);
            }
        }
    }
    let settings = &TEMPLATE["Resources"]["Api"]["Properties"]["MethodSettings"];
    let mut limited = BTreeSet::new();
    for setting in settings.as_array().unwrap() {
        let path = setting["ResourcePath"].as_str().unwrap();
        let [prefix, method] = match path {
            "/*" => ["", "*"],
            _ => ["Anonymous", "POST"],
        };
        assert_eq!(setting["HttpMethod"], method, "{path}");
        let limit = |name: &str| json!({ "Ref": format!("{prefix}{name}") });
        assert_eq!(setting["ThrottlingRateLimit"], limit("RequestsPerSecond"));
        assert_eq!(setting["ThrottlingBurstLimit"], limit("RequestsInABurst"));
        if path != "/*" {
            limited.insert(path[1..].replace("~1", "/"));
        }
    }
    assert_eq!(limited, anonymous);
    let default = |name: &str| TEMPLATE["Parameters"][name]["Default"].as_u64().unwrap();
    for limit in ["RequestsPerSecond", "RequestsInABurst"] {
        assert!(default(&format!("Anonymous{limit}")) < default(limit));
    }
}

/// The metric, its dimensions and its statistic of each alarm.
fn alarms() -> Vec<(String, String, BTreeMap<String, Value>)> {
    let stack = read("infra/stacks/monitoring.yaml");
    let all = stack["Resources"].as_object().unwrap().values();
    all.filter(|r| r["Type"] == "AWS::CloudWatch::Alarm")
        .map(|alarm| {
            let alarm = &alarm["Properties"];
            assert_eq!(alarm["AlarmActions"], json!([{ "Ref": "Topic" }]));
            let dimensions = alarm["Dimensions"].as_array().into_iter().flatten();
            let dimensions = dimensions
                .map(|d| (d["Name"].as_str().unwrap().to_owned(), d["Value"].clone()))
                .collect();
            // The namespace of the functions' own metrics is a parameter.
            let text = |name: &str| alarm[name].as_str().unwrap_or_default().to_owned();
            (text("Namespace"), text("MetricName"), dimensions)
        })
        .collect()
}

/// A table's metrics don't include its indexes, and a throttled index stops the writes to its table.
#[test]
fn every_table_and_index_sets_off_an_alarm_when_throttled() {
    let data = read("infra/stacks/data.yaml");
    let mut wanted = BTreeSet::new();
    for (id, table) in data["Resources"].as_object().unwrap() {
        if table["Type"] != "AWS::DynamoDB::Table" {
            continue;
        }
        let indexes = table["Properties"]["GlobalSecondaryIndexes"].as_array();
        let names = indexes
            .into_iter()
            .flatten()
            .map(|i| Some(i["IndexName"].as_str().unwrap().to_owned()));
        for index in names.chain([None]) {
            for access in ["Read", "Write"] {
                wanted.insert((
                    format!("{access}ThrottleEvents"),
                    format!("{id}Name"),
                    index.clone(),
                ));
            }
        }
    }
    let watched: BTreeSet<_> = alarms()
        .into_iter()
        .filter(|(namespace, ..)| namespace == "AWS/DynamoDB")
        .map(|(_, metric, dimensions)| {
            let table = dimensions["TableName"]["Ref"].as_str().unwrap().to_owned();
            let index = dimensions.get("GlobalSecondaryIndexName");
            (metric, table, index.map(|i| i.as_str().unwrap().to_owned()))
        })
        .collect();
    assert_eq!(watched, wanted);
}

#[test]
fn every_function_sets_off_an_alarm_when_it_fails_or_is_slow() {
    let watched: BTreeSet<_> = alarms()
        .into_iter()
        .filter(|(namespace, ..)| namespace == "AWS/Lambda")
        .filter_map(|(_, metric, dimensions)| {
            let function = dimensions.get("FunctionName")?["Ref"].as_str()?;
            Some((kebab(function), metric))
        })
        .collect();
    let stack = read("infra/stacks/monitoring.yaml");
    for (name, function) in functions() {
        for metric in ["Errors", "Duration"] {
            assert!(
                watched.contains(&(name.clone(), metric.to_owned())),
                "{metric} of {name}"
            );
        }
        let timeout = &function["Timeout"];
        let timeout = timeout
            .as_u64()
            .or(TEMPLATE["Globals"]["Function"]["Timeout"].as_u64());
        let slow = &stack["Resources"][format!("{}Slow", camel(&name))]["Properties"];
        let slow = slow["Threshold"].as_u64();
        assert_eq!(
            slow,
            timeout.map(|t| t * 800),
            "80% of the timeout of {name}"
        );
    }
}

/// Converts `sign-in` to `SignIn`.
fn camel(kebab: &str) -> String {
    let word = |word: &str| word[..1].to_uppercase() + &word[1..];
    kebab.split('-').map(word).collect()
}

/// Two installations fit into one account and region.
#[test]
fn nothing_has_a_fixed_name() {
    for (name, function) in functions() {
        assert!(function.get("FunctionName").is_none(), "{name}");
    }
    for stack in [
        "data",
        "roles",
        "mail",
        "monitoring",
        "permissions",
        "schedules",
        "waf",
    ] {
        let stack = read(&format!("infra/stacks/{stack}.yaml"));
        for (id, resource) in stack["Resources"].as_object().unwrap() {
            for name in [
                "Name",
                "TableName",
                "BucketName",
                "RoleName",
                "LogGroupName",
                "TopicName",
                "AlarmName",
                "DashboardName",
            ] {
                let name = &resource["Properties"][name];
                assert!(!name.is_string(), "{id} is named {name}");
            }
        }
    }
}

/// What exists once per account is created by the first installation.
#[test]
fn a_second_installation_shares_what_exists_once() {
    for (parameter, stack, kind) in [
        ("MailIdentity", "mail", "AWS::SES::EmailIdentity"),
        ("ApiLogRole", "roles", "AWS::ApiGateway::Account"),
    ] {
        assert_eq!(
            TEMPLATE["Parameters"][parameter]["AllowedValues"],
            json!(["create", "exists"])
        );
        let stack = read(&format!("infra/stacks/{stack}.yaml"));
        let all = stack["Resources"].as_object().unwrap().values();
        let shared: Vec<_> = all.filter(|r| r["Type"] == kind).collect();
        assert_eq!(shared.len(), 1, "{kind}");
        let condition = shared[0]["Condition"].as_str().unwrap();
        let wanted = json!({ "Fn::Equals": [{ "Ref": parameter }, "create"] });
        assert_eq!(stack["Conditions"][condition], wanted);
    }
}

#[test]
fn a_new_version_of_the_api_is_rolled_back_when_it_fails() {
    let global = &TEMPLATE["Globals"]["Function"];
    assert_eq!(global["AutoPublishAlias"], "live");
    // Otherwise a change of settings alone would never reach the alias.
    assert_eq!(global["AutoPublishAliasAllProperties"], true);
    let deployment = &global["DeploymentPreference"];
    assert_eq!(
        deployment["Alarms"],
        json!([{ "Fn::GetAtt": "Monitoring.Outputs.ServerErrors" }])
    );
    let gradual: BTreeSet<_> = functions()
        .into_iter()
        .filter(|(_, f)| f["DeploymentPreference"]["Enabled"] != false)
        .map(|(name, _)| name)
        .collect();
    assert_eq!(gradual, gateway_routes().into_values().collect());
}

#[test]
fn the_firewall_lets_every_body_through_that_the_api_accepts() {
    let stack = read("infra/stacks/waf.yaml");
    let acl = &stack["Resources"]["WebAcl"]["Properties"];
    assert_eq!(
        acl["AssociationConfig"]["RequestBody"]["API_GATEWAY"]["DefaultSizeInspectionLimit"],
        "KB_64"
    );
    let overrides = acl["Rules"].as_array().unwrap().iter().flat_map(|rule| {
        let group = &rule["Statement"]["ManagedRuleGroupStatement"];
        group["RuleActionOverrides"]
            .as_array()
            .into_iter()
            .flatten()
    });
    let counted: Vec<_> = overrides
        .filter(|o| o["ActionToUse"]["Count"].is_object())
        .map(|o| o["Name"].as_str().unwrap())
        .collect();
    assert!(counted.contains(&"SizeRestrictions_BODY"), "{counted:?}");
    // Samples would contain cookies and passwords.
    for rule in acl["Rules"].as_array().unwrap().iter().chain([acl]) {
        assert_eq!(rule["VisibilityConfig"]["SampledRequestsEnabled"], false);
    }
}

#[test]
fn logs_are_encrypted_and_end() {
    // One stack holds all log groups: one per function and one for the gateway.
    assert_eq!(resources(&TEMPLATE, "AWS::Logs::LogGroup").len(), 0);
    let logs = resources(&ROLES_STACK, "AWS::Logs::LogGroup");
    assert_eq!(logs.len(), functions().len() + 1);
    for (id, log) in logs {
        let log = &log["Properties"];
        assert_eq!(log["RetentionInDays"]["Ref"], "LogRetentionDays", "{id}");
        assert_eq!(log["KmsKeyId"]["Fn::GetAtt"], "Data.Outputs.KeyArn", "{id}");
    }
}

/// The log messages that a template filters by, as `fields.message = "swept"` or `'swept'`.
fn filtered_messages(path: &str) -> BTreeSet<String> {
    let text = std::fs::read_to_string(root().join(path)).unwrap();
    text.split("fields.message = ")
        .skip(1)
        .map(|rest| {
            let quote = rest
                .chars()
                .next()
                .filter(|c| matches!(c, '"' | '\''))
                .unwrap();
            rest[1..].split(quote).next().unwrap().to_owned()
        })
        .collect()
}

#[test]
fn alarms_and_dashboard_match_logged_messages() {
    let mut sources = Vec::new();
    for folder in ["functions", "shared/http/src"] {
        read_sources(&root().join(folder), &mut sources);
    }
    let messages = filtered_messages("infra/stacks/monitoring.yaml");
    assert!(!messages.is_empty(), "alarms filter by messages");
    for message in messages {
        let literal = format!("\"{message}\"");
        let is_logged = sources.iter().any(|source| source.contains(&literal));
        assert!(is_logged, "no function logs {literal}");
    }
}

/// A plan record is guessed wherever its facts are compared, so the alarm reads the log of each such function.
#[test]
fn se_09_the_alarm_reads_every_log_in_which_a_guessed_record_is_reported() {
    let alarms = std::fs::read_to_string(root().join("infra/stacks/monitoring.yaml")).unwrap();
    let mut functions = 0;
    for entry in std::fs::read_dir(root().join("functions")).unwrap() {
        let folder = entry.unwrap();
        let mut sources = Vec::new();
        read_sources(&folder.path(), &mut sources);
        let compares = |source: &String| {
            source.contains("secret_check::verification(")
                || source.contains("secret_check::verification_counters(")
        };
        if !sources.iter().any(compares) {
            continue;
        }
        functions += 1;
        let name = folder.file_name().into_string().unwrap();
        let words = name.split('-').map(|w| w[..1].to_uppercase() + &w[1..]);
        let log = words.collect::<String>() + "Log";
        let filter = format!(
            "LogGroupName: !Ref {log}\n      FilterPattern: '{{ $.fields.message = \"someone is guessing the facts of a plan record\" }}'"
        );
        assert!(alarms.contains(&filter), "{name}");
    }
    assert_eq!(functions, 2, "registration and the recovery of a username");
}

#[test]
fn the_stack_has_few_parameters_and_no_secret() {
    let parameters = TEMPLATE["Parameters"].as_object().unwrap();
    let asked: Vec<_> = parameters
        .iter()
        .filter(|(_, p)| p.get("Default").is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    assert_eq!(asked, ["MailDomain"]);
    for (name, parameter) in parameters {
        assert!(parameter.get("NoEcho").is_none(), "{name} is no secret");
        assert!(parameter["Description"].is_string(), "{name}");
    }
}

/// A crate whose library has `test = false` is not compiled for tests, so a unit test in it would never run.
#[test]
fn no_unit_test_is_left_out() {
    fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                sources(&path, found);
            } else if path.extension().is_some_and(|e| e == "rs") {
                found.push(path);
            }
        }
    }
    let mut crates = vec![root().join("infra/local"), root().join("tests")];
    for folder in ["shared", "functions"] {
        let entries = std::fs::read_dir(root().join(folder)).unwrap();
        crates.extend(entries.map(|e| e.unwrap().path()));
    }
    for krate in crates {
        let manifest = std::fs::read_to_string(krate.join("Cargo.toml")).unwrap();
        let manifest: toml::Table = manifest.parse().unwrap();
        let library = manifest["lib"].get("test").and_then(|t| t.as_bool());
        let mut files = Vec::new();
        sources(&krate.join("src"), &mut files);
        for file in files {
            let text = std::fs::read_to_string(&file).unwrap();
            let program = file.ends_with("src/main.rs") || file.parent().unwrap().ends_with("bin");
            let tests = text.contains("#[test]") || text.contains("#[tokio::test");
            assert!(
                !tests || (library != Some(false) && !program),
                "{} holds tests that never run: remove `test = false` from its Cargo.toml",
                file.display()
            );
        }
    }
}
