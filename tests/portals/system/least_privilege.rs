//! What each role may do, and that a function can't write outside its keys.

use std::collections::BTreeSet;
use std::fmt::Write;

use aws_sdk_dynamodb::Client;
use aws_sdk_dynamodb::types::{
    AttributeValue, Delete, Put, ReturnValue, TransactWriteItem, Update,
};
use serde_json::json;
use vestibule_local::instance::{START, at_work};
use vestibule_tests::permissions::{Permissions, role};
use vestibule_tests::template::{ROLES, Statement, holds, kebab, read, schedules, texts};
use vestibule_tests::{Item, World};

/// Every kind of item of the main table, by the beginning of its partition key.
const KINDS: [&str; 17] = [
    "A#", "C#", "E#", "F#", "G#", "H#", "J#", "K", "L", "M#", "N#", "O#", "R#", "T#", "X#", "Z#",
    "",
];

/// Returns the statements of all roles as a text that a person can read.
fn rights() -> String {
    let mut text = String::new();
    for name in ROLES.keys().map(String::as_str).chain([START]) {
        writeln!(text, "{name}").unwrap();
        let statements = role(name).unwrap().iter();
        for statement in statements.filter(|s| s.sid != "Log") {
            let Statement {
                sid,
                denies,
                actions,
                resources,
                leading_keys,
                return_values,
                conditions,
            } = statement;
            let verb = if *denies { "DENY " } else { "" };
            write!(
                text,
                "  {sid}: {verb}{} on {}",
                actions.join(", "),
                resources.join(", ")
            )
            .unwrap();
            if let Some(keys) = leading_keys {
                write!(text, " with keys {}", keys.join(" ")).unwrap();
            }
            if let Some(values) = return_values {
                write!(text, " returning {}", values.join(" ")).unwrap();
            }
            if conditions.as_object().is_some_and(|c| !c.is_empty()) {
                write!(text, " if {conditions}").unwrap();
            }
            text.push('\n');
        }
    }
    text
}

#[test]
fn rights_of_every_function() {
    insta::assert_snapshot!(rights());
}

#[test]
fn patterns_match_as_in_iam() {
    for (pattern, text) in [
        ("K", "K"),
        ("A#*", "A#group#1"),
        ("*", ""),
        ("feeds/*.status.json", "feeds/harbor/x.csv.status.json"),
        ("a*b*c", "a-b-bc"),
        ("*#????-??-??#*", "group#2026-11-23#a"),
    ] {
        assert!(holds(pattern, text), "{pattern} {text}");
    }
    for (pattern, text) in [
        ("K", "K#"),
        ("A#*", "N#A#"),
        ("feeds/*.status.json", "feeds/harbor/x.csv"),
        ("a*b*c", "a-c-b"),
        ("ab*bc", "abc"),
        ("*#????-??-??#*", "group#seals"),
    ] {
        assert!(!holds(pattern, text), "{pattern} {text}");
    }
}

fn key(pk: &str) -> Item {
    [("pk", pk), ("sk", "K")]
        .map(|(name, value)| (name.to_owned(), AttributeValue::S(value.to_owned())))
        .into()
}

/// How a function could write an item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Attempt {
    Put,
    Update,
    Delete,
    PutInTransaction,
    UpdateInTransaction,
    DeleteInTransaction,
    /// A write that also returns what it overwrote.
    PutReturningOld,
}

impl Attempt {
    const ALL: [Self; 7] = [
        Self::Put,
        Self::Update,
        Self::Delete,
        Self::PutInTransaction,
        Self::UpdateInTransaction,
        Self::DeleteInTransaction,
        Self::PutReturningOld,
    ];

    /// Returns the IAM action that the attempt requires.
    const fn action(self) -> &'static str {
        match self {
            Self::Put | Self::PutInTransaction | Self::PutReturningOld => "dynamodb:PutItem",
            Self::Update | Self::UpdateInTransaction => "dynamodb:UpdateItem",
            Self::Delete | Self::DeleteInTransaction => "dynamodb:DeleteItem",
        }
    }

    /// Tries it with the function's own client. Returns whether it was allowed.
    async fn succeeds(
        self,
        (db, table): (&Client, &str),
        function: &'static str,
        pk: &str,
    ) -> bool {
        let (put, update, delete) = (
            db.put_item().table_name(table).set_item(Some(key(pk))),
            db.update_item().table_name(table).set_key(Some(key(pk))),
            db.delete_item().table_name(table).set_key(Some(key(pk))),
        );
        let transaction = |item: TransactWriteItem| db.transact_write_items().transact_items(item);
        let item = TransactWriteItem::builder();
        let tried = async {
            match self {
                Self::Put => put.send().await.is_ok(),
                Self::Update => update.send().await.is_ok(),
                Self::Delete => delete.send().await.is_ok(),
                Self::PutReturningOld => {
                    let put = put.return_values(ReturnValue::AllOld);
                    put.send().await.is_ok()
                }
                Self::PutInTransaction => {
                    let put = Put::builder().table_name(table).set_item(Some(key(pk)));
                    let item = item.put(put.build().unwrap());
                    transaction(item.build()).send().await.is_ok()
                }
                Self::UpdateInTransaction => {
                    let update = Update::builder()
                        .table_name(table)
                        .set_key(Some(key(pk)))
                        .update_expression("SET note = :note")
                        .expression_attribute_values(":note", AttributeValue::Bool(true));
                    let item = item.update(update.build().unwrap());
                    transaction(item.build()).send().await.is_ok()
                }
                Self::DeleteInTransaction => {
                    let delete = Delete::builder().table_name(table).set_key(Some(key(pk)));
                    let item = item.delete(delete.build().unwrap());
                    transaction(item.build()).send().await.is_ok()
                }
            }
        };
        at_work(function, tried).await
    }
}

/// Whether a role has a statement for this write. It says nothing about how the tests evaluate roles.
fn has_a_statement(function: &str, attempt: Attempt, pk: &str) -> bool {
    let statements = ROLES[function].iter().filter(|s| !s.denies);
    statements
        .filter(|s| s.actions.iter().any(|a| a == attempt.action()))
        .filter(|s| s.resources == ["Table"])
        .filter(|s| {
            let returned = match attempt {
                Attempt::PutReturningOld => "ALL_OLD",
                _ => "NONE",
            };
            let allowed = s.return_values.as_ref();
            allowed.is_none_or(|r| r.iter().any(|r| r == returned))
        })
        .any(|s| {
            let kinds = s.leading_keys.as_ref();
            kinds.is_none_or(|kinds| kinds.iter().any(|k| k.trim_end_matches('*') == pk))
        })
}

#[tokio::test]
async fn no_function_writes_outside_its_keys() {
    let world = World::new().await;
    let keyring = world.items(&world.instance.tables.main).await;
    let keyring = keyring.iter().find(|i| i["pk"].as_s().unwrap() == "K");
    let config = world.instance.db.config().to_builder();
    let db = Client::from_conf(
        config
            .interceptor(Permissions::default().interceptor())
            .build(),
    );
    let target = (&db, world.instance.tables.main.as_str());
    let mut refused = 0;
    for function in ROLES.keys().map(String::as_str) {
        for pk in KINDS {
            for attempt in Attempt::ALL {
                let id = if pk.ends_with('#') {
                    format!("{pk}attempt")
                } else {
                    pk.to_owned()
                };
                let allowed = !id.is_empty() && attempt.succeeds(target, function, &id).await;
                assert_eq!(
                    allowed,
                    has_a_statement(function, attempt, pk),
                    "{function} {attempt:?} {id}"
                );
                refused += u32::from(!allowed);
                // No role may touch the keyring, add a kind that doesn't exist, or read by writing.
                let never = ["K", "Z#", ""].contains(&pk);
                assert!(!allowed || !never, "{function} {attempt:?} {id}");
            }
        }
    }
    assert!(refused > 500, "{refused}");
    let after = world.items(&world.instance.tables.main).await;
    let after = after.iter().find(|i| i["pk"].as_s().unwrap() == "K");
    assert_eq!(after, keyring);
}

#[test]
fn schedules_start_functions_with_a_role_that_only_this_account_can_use() {
    let stack = read("infra/stacks/schedules.yaml");
    let role = &stack["Resources"]["Role"]["Properties"];
    let trust = &role["AssumeRolePolicyDocument"]["Statement"];
    assert_eq!(trust.as_array().unwrap().len(), 1);
    let conditions = &trust[0]["Condition"]["StringEquals"];
    assert_eq!(
        conditions["aws:SourceAccount"],
        json!({ "Ref": "AWS::AccountId" })
    );
    assert!(conditions["aws:SourceArn"]["Fn::Sub"].is_string());
    let start = &role["Policies"][0]["PolicyDocument"]["Statement"][0];
    assert_eq!(texts(&start["Action"]), ["lambda:InvokeFunction"]);
    let allowed: BTreeSet<_> = start["Resource"]
        .as_array()
        .unwrap()
        .iter()
        .map(|r| kebab(r["Ref"].as_str().unwrap()))
        .collect();
    let scheduled = schedules();
    for (name, schedule) in &scheduled {
        let role = &schedule["Target"]["RoleArn"];
        assert_eq!(*role, json!({ "Fn::GetAtt": "Role.Arn" }), "{name}");
    }
    assert_eq!(allowed, scheduled.into_keys().collect());
}
