//! The commands of an operator run under the managed policies of `infra/stacks/operators.yaml`, which allow what
//! the commands do and nothing more.

use aws_sdk_s3::primitives::ByteStream;
use jiff::SignedDuration;
use vestibule_local::first_staff::{self, FirstStaff};
use vestibule_local::instance::{FEEDS, LETTERS, at_work};
use vestibule_local::restore::{self, Wanted};
use vestibule_local::{audit, rotate_key};
use vestibule_store::keyring::Keys;
use vestibule_store::restore::Mode;
use vestibule_store::{Tables, tables};
use vestibule_tests::permissions::{Permissions, unused};
use vestibule_tests::template::OPERATORS;
use vestibule_tests::{World, options};

/// Statements for what the commands here don't do: restoring a table to a point in time, which AWS does, and what
/// a program of the plan does with letters.
const BY_OTHERS: [(&str, &str); 5] = [
    ("operator-restore", "RestoreTables"),
    ("operator-restore", "FillRestoredTables"),
    ("operator-feeds", "Encrypt"),
    ("operator-letters", "List"),
    ("operator-letters", "Decrypt"),
];

/// Returns the keys as an operator has them, checked against the operator's policy.
fn checked(keys: &Keys, tables: &Tables, permissions: &Permissions) -> Keys {
    let db = keys.db.config().to_builder();
    let kms = keys.kms.config().to_builder();
    Keys {
        db: aws_sdk_dynamodb::Client::from_conf(db.interceptor(permissions.interceptor()).build()),
        kms: aws_sdk_kms::Client::from_conf(kms.interceptor(permissions.interceptor()).build()),
        tables: tables.clone(),
        key_id: keys.key_id.clone(),
    }
}

#[tokio::test]
async fn operators_need_their_policy_and_nothing_more() {
    let permissions = Permissions::default();
    let mut options = options();
    options.observers = vec![permissions.interceptor()];
    let world = World::with(options).await;
    let instance = &world.instance;
    let keys = checked(instance.keys(), &instance.tables, &permissions);

    // A new keyring for new tables, and a rotation of the one in use.
    let fresh = Tables {
        main: format!("{}-fresh", instance.tables.main),
        audit: format!("{}-fresh-audit", instance.tables.main),
    };
    tables::create(&instance.db, &fresh).await.unwrap();
    let creating = checked(instance.keys(), &fresh, &permissions);
    let created = at_work("operator-keyring", creating.create(world.now())).await;
    assert!(created.unwrap());
    world.provider().await;
    world.member().await;
    let clock = &instance.app.clock;
    let mut out = Vec::new();
    let rotation = rotate_key::rotate(&keys, clock, SignedDuration::ZERO, &mut out);
    at_work("operator-keyring", rotation).await.unwrap();

    // The first supervisors.
    for (name, email, second) in [
        ("Olive Grant", "olive@plan.example", false),
        ("Oscar Green", "oscar@plan.example", true),
    ] {
        let person = FirstStaff {
            portal: None,
            name: name.into(),
            email: email.into(),
            username: None,
        };
        let made = async {
            keys.load(world.now()).await.unwrap();
            match second {
                true => first_staff::make_second(&instance.app, person).await,
                false => first_staff::make(&instance.app, person).await,
            }
        };
        at_work("operator-first-staff", made).await.unwrap();
    }

    // A verification.
    world.pass(SignedDuration::from_hours(2));
    instance.seal_audit_trail().await.unwrap();
    let verified = async {
        keys.load(world.now()).await.unwrap();
        audit::verify(&instance.app, &audit::Wanted::default(), &mut out).await
    };
    at_work("operator-audit-verification", verified)
        .await
        .unwrap();

    // A restore, of everything and of one partition.
    let restored = Tables {
        main: format!("{}-restored", instance.tables.main),
        audit: format!("{}-restored", instance.tables.audit),
    };
    tables::create(&instance.db, &restored).await.unwrap();
    for (from, to) in [
        (&instance.tables.main, &restored.main),
        (&instance.tables.audit, &restored.audit),
    ] {
        for item in world.items(from).await {
            let put = instance.db.put_item().table_name(to);
            put.set_item(Some(item.clone())).send().await.unwrap();
            let key = ["pk", "sk"].map(|part| (part.to_owned(), item[part].clone()));
            let delete = instance.db.delete_item().table_name(from);
            delete.set_key(Some(key.into())).send().await.unwrap();
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let mut wanted = Wanted {
        from: Some(restored.main),
        from_audit: Some(restored.audit),
        mode: Mode {
            apply: true,
            overwrite: true,
        },
        progress: folder.path().join("progress.json"),
        ..Wanted::default()
    };
    let all = restore::restore(&keys, &wanted, world.now(), &mut out);
    at_work("operator-restore", all).await.unwrap();
    wanted.from_audit = None;
    wanted.keys = vec!["R#harbor#member#100000001".into()];
    let one = restore::restore(&keys, &wanted, world.now(), &mut out);
    at_work("operator-restore", one).await.unwrap();

    // Feeds and letters.
    let s3 = &instance.s3;
    let put = s3.put_object().bucket(FEEDS);
    let put = put.key("feeds/harbor/group/2026-11-23.csv");
    let put = put
        .body(ByteStream::from_static(b"group_number,name\n"))
        .send();
    at_work("operator-feeds", put).await.unwrap();
    for key in ["2026-11-23.csv.status.json", "2026-11-23.csv.rejects.csv"] {
        let key = format!("feeds/harbor/group/{key}");
        let put = s3.put_object().bucket(FEEDS).key(&key).send();
        put.await.unwrap();
        let get = s3.get_object().bucket(FEEDS).key(&key).send();
        at_work("operator-feeds", get).await.unwrap();
    }
    let refused = s3
        .get_object()
        .bucket(FEEDS)
        .key("feeds/harbor/group/2026-11-23.csv");
    assert!(at_work("operator-feeds", refused.send()).await.is_err());
    instance.print_letters().await.unwrap();
    let listed = s3.list_objects_v2().bucket(LETTERS).send().await.unwrap();
    let key = listed.contents()[0].key().unwrap();
    let get = s3.get_object().bucket(LETTERS).key(key).send();
    at_work("operator-letters", get).await.unwrap();
    let delete = s3.delete_object().bucket(LETTERS).key(key).send();
    at_work("operator-letters", delete).await.unwrap();

    let noted = permissions.noted();
    let mut spare = Vec::new();
    for (operator, statements) in OPERATORS.iter() {
        for statement in statements {
            if !BY_OTHERS.contains(&(operator.as_str(), statement.sid.as_str())) {
                spare.extend(unused(operator, statement, &noted));
            }
        }
    }
    // Versions of objects exist only in a versioned bucket.
    spare.retain(|s| !s.ends_with("ObjectVersion"));
    assert!(
        spare.is_empty(),
        "unused permissions in infra/stacks/operators.yaml:\n{}",
        spare.join("\n")
    );
}
