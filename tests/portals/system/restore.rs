//! A lost table is restored from a copy of an earlier point in time (docs/operations.md).

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use jiff::SignedDuration;
use tempfile::TempDir;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_local::restore::{self, Wanted};
use vestibule_local::sample_records;
use vestibule_store::restore::{Cursor, Mode, Report, Restore, TableKind};
use vestibule_store::{StoreError, Tables, tables};
use vestibule_tests::invariants::invariants;
use vestibule_tests::{Item, World, pin_in};

const REPORT: Mode = Mode {
    apply: false,
    overwrite: false,
};
const APPLY: Mode = Mode {
    apply: true,
    overwrite: false,
};
const OVERWRITE: Mode = Mode {
    apply: true,
    overwrite: true,
};

/// Copies both tables as they are now, as restoring to a point in time does.
async fn point_in_time(world: &World) -> Tables {
    let Tables { main, audit } = &world.instance.tables;
    let copies = Tables {
        main: format!("{main}-restored"),
        audit: format!("{audit}-restored"),
    };
    tables::create(&world.instance.db, &copies).await.unwrap();
    for (from, to) in [(main, &copies.main), (audit, &copies.audit)] {
        for item in world.items(from).await {
            put(world, to, item).await;
        }
    }
    copies
}

async fn put(world: &World, table: &str, item: Item) {
    let put = world.instance.db.put_item().table_name(table);
    put.set_item(Some(item)).send().await.unwrap();
}

/// Deletes every item of a table.
async fn lose(world: &World, table: &str) {
    for item in world.items(table).await {
        delete(world, table, &item).await;
    }
}

async fn delete(world: &World, table: &str, item: &Item) {
    let key = ["pk", "sk"].map(|part| (part.to_owned(), item[part].clone()));
    let delete = world.instance.db.delete_item().table_name(table);
    delete.set_key(Some(key.into())).send().await.unwrap();
}

fn text<'i>(item: &'i Item, name: &str) -> &'i str {
    item[name].as_s().unwrap()
}

/// Returns the items of a table by key.
async fn contents(world: &World, table: &str) -> BTreeMap<(String, String), Item> {
    let items = world.items(table).await.into_iter();
    items
        .map(|i| ((text(&i, "pk").to_owned(), text(&i, "sk").to_owned()), i))
        .collect()
}

/// Runs the command and returns what it prints.
async fn run(world: &World, wanted: &Wanted) -> Result<String, String> {
    let mut out = Vec::new();
    let done = restore::restore(world.instance.keys(), wanted, world.now(), &mut out).await;
    done.map_err(|e| e.to_string())?;
    Ok(String::from_utf8(out).unwrap())
}

#[tokio::test]
async fn every_account_returns_after_both_tables_are_lost() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let (_, helens_name) = world.provider().await;
    world.member().await;
    world.pass(SignedDuration::from_hours(2));
    world.instance.seal_audit_trail().await.unwrap();
    let restored = point_in_time(&world).await;
    let Tables { main, audit } = &world.instance.tables;
    let before = (contents(&world, main).await, contents(&world, audit).await);
    lose(&world, main).await;
    lose(&world, audit).await;
    world.pass(SignedDuration::from_mins(6));
    world
        .on("group")
        .signs_in("ruth.okafor", vestibule_tests::people::PASSWORD)
        .await
        .expect(503);

    let folder = TempDir::new().unwrap();
    let mut wanted = Wanted {
        from: Some(restored.main.clone()),
        from_audit: Some(restored.audit.clone()),
        mode: REPORT,
        progress: folder.path().join("progress.json"),
        ..Wanted::default()
    };
    let reported = run(&world, &wanted).await.unwrap();
    assert!(reported.contains("Nothing was changed"), "{reported}");
    assert_eq!(world.items(main).await.len(), 0, "a report writes nothing");
    wanted.mode = APPLY;
    let done = run(&world, &wanted).await.unwrap();
    assert!(done.contains("Finished"), "{done}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);

    // Everything is as before, except what let its holder in.
    let after = (contents(&world, main).await, contents(&world, audit).await);
    assert_eq!(after.1, before.1, "the whole trail");
    let mut left_out = Vec::new();
    for (key, item) in &before.0 {
        match after.0.get(key) {
            Some(found) => assert_eq!(found, item),
            None => left_out.push(key),
        }
    }
    assert_eq!(before.0.len() - left_out.len(), after.0.len());
    for (pk, sk) in left_out {
        let lets_in = pk.starts_with("T#") || sk.starts_with("S#") || sk.starts_with("K#");
        assert!(lets_in || pk.starts_with("G#"), "{pk} {sk} is lost");
    }
    invariants(&world).await;

    // People sign in again, letters that were on the way still count, and the trail is whole.
    ruth.get("/me").await.expect(401);
    let ruth = world.sign_in("group", "ruth.okafor").await;
    ruth.get("/users").await.expect(200);
    world.sign_in("provider", &helens_name).await;
    let maria = world.sign_in("member", "maria.alvarez").await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let mut out = Vec::new();
    vestibule_local::audit::verify(&world.instance.app, &Default::default(), &mut out)
        .await
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out)));

    // Another run finds nothing to do but what has changed since.
    let again = run(&world, &wanted).await.unwrap();
    let total = again
        .lines()
        .find(|line| line.contains("accounts "))
        .unwrap();
    assert_eq!(total.split_whitespace().nth(1), Some("0"), "{again}");
}

#[tokio::test]
async fn an_interrupted_restore_continues_and_requests_win() {
    let world = World::new().await;
    world.group_principal().await;
    // More than a page of items.
    world
        .import(
            RecordKind::Member,
            sample_records::committed(RecordKind::Member),
        )
        .await;
    let restored = point_in_time(&world).await;
    let main = &world.instance.tables.main;
    let before = contents(&world, main).await;
    lose(&world, main).await;
    let restore = Restore {
        db: world.instance.db.clone(),
        from: restored.main.clone(),
        to: main.clone(),
        kind: TableKind::Main,
    };
    let mut at = None;
    let stop = |report: &Report, cursor: Option<&Cursor>| {
        at = Some((report.clone(), cursor.cloned()));
        Err(StoreError::Unavailable("interrupted".into()))
    };
    let start = (Report::default(), None);
    let stopped = restore.copy_all(APPLY, world.now(), start, stop).await;
    assert!(stopped.is_err());
    let (report, cursor) = at.unwrap();
    assert!(cursor.is_some(), "{report:?}");
    let half = contents(&world, main).await;
    assert!(half.len() > 50 && half.len() < before.len() - 50);
    let keyring = half.get(&("K".to_owned(), "K".to_owned()));
    assert!(keyring.is_some(), "the keyring is first");

    // Meanwhile a request writes one of the items that are missing.
    let is_missing =
        |(key, _): &(&(String, String), &Item)| key.0.starts_with("R#") && !half.contains_key(*key);
    let (key, lost) = before.iter().find(is_missing).unwrap();
    let mut newer = lost.clone();
    newer.insert("note".into(), AttributeValue::S("newer".into()));
    put(&world, main, newer.clone()).await;

    let go_on = |_: &Report, _: Option<&Cursor>| Ok(());
    let start = (report, cursor);
    let done = restore.copy_all(APPLY, world.now(), start, go_on).await;
    let total = done.unwrap().total();
    assert_eq!((total.different, total.same), (1, 0), "{total:?}");
    assert_eq!(total.written + 1 + total.left_out, before.len() as u64);
    let after = contents(&world, main).await;
    assert_eq!(after[key], newer, "it is not set back");

    // With --overwrite it is, unless it changes at the same time.
    let start = (Report::default(), None);
    let done = restore.copy_all(OVERWRITE, world.now(), start, go_on).await;
    let total = done.unwrap().total();
    assert_eq!((total.different, total.written), (1, 1), "{total:?}");
    assert_eq!(contents(&world, main).await[key], *lost);
}

#[tokio::test]
async fn one_organization_is_restored_by_its_key() {
    let world = World::new().await;
    world.group_principal().await;
    let restored = point_in_time(&world).await;
    let main = &world.instance.tables.main;
    let before = contents(&world, main).await;
    let organization = before.keys().find(|(pk, _)| pk.starts_with("O#group#"));
    let pk = &organization.unwrap().0;
    for item in world.items(main).await {
        if text(&item, "pk") == pk {
            delete(&world, main, &item).await;
        }
    }
    let changed = contents(&world, main).await;

    let wanted = Wanted {
        from: Some(restored.main),
        keys: vec![pk.clone()],
        mode: APPLY,
        ..Wanted::default()
    };
    let done = run(&world, &wanted).await.unwrap();
    assert!(done.contains("organizations and their users"), "{done}");
    let after = contents(&world, main).await;
    for (key, item) in &after {
        let expected = if key.0 == *pk { &before } else { &changed };
        assert_eq!(Some(item), expected.get(key), "{key:?}");
    }
}

#[tokio::test]
async fn a_restore_never_replaces_the_keyring_or_an_entry_of_the_trail() {
    let world = World::new().await;
    world.group_principal().await;
    let restored = point_in_time(&world).await;
    let Tables { main, audit } = &world.instance.tables;
    let mut wanted = Wanted {
        from: Some(restored.main.clone()),
        mode: OVERWRITE,
        progress: TempDir::new().unwrap().path().join("progress.json"),
        ..Wanted::default()
    };

    // After a rotation, the keyring in use has one key more. It stays.
    let keys = world.instance.keys();
    let rotation = keys.start_rotation(world.now(), SignedDuration::ZERO).await;
    assert_eq!(rotation.unwrap().version, 2);
    let keyring = ("K".to_owned(), "K".to_owned());
    let rotated = contents(&world, main).await.remove(&keyring).unwrap();
    run(&world, &wanted).await.unwrap();
    assert_eq!(contents(&world, main).await[&keyring], rotated);

    // The keyring of another installation is refused before anything is written.
    let other = World::new().await;
    let mut foreign = contents(&other, &other.instance.tables.main)
        .await
        .remove(&keyring)
        .unwrap();
    let AttributeValue::L(list) = foreign.get_mut("keys").unwrap() else {
        panic!("a list of keys");
    };
    let AttributeValue::M(first) = &mut list[0] else {
        panic!("a key");
    };
    first.insert("active_at".into(), AttributeValue::N("7".into()));
    put(&world, &restored.main, foreign).await;
    let refused = run(&world, &wanted).await.unwrap_err();
    assert!(refused.contains("another keyring"), "{refused}");

    // An entry that differs is reported and stays.
    let mut entry = world.items(audit).await.remove(0);
    entry.insert("note".into(), AttributeValue::S("differs".into()));
    put(&world, audit, entry.clone()).await;
    wanted.from = None;
    wanted.from_audit = Some(restored.audit);
    let said = run(&world, &wanted).await.unwrap();
    assert!(
        said.contains("1 entries of the audit trail differ"),
        "{said}"
    );
    let key = (text(&entry, "pk").to_owned(), text(&entry, "sk").to_owned());
    assert_eq!(contents(&world, audit).await[&key], entry);
}
