//! Letters for the print shop: one PDF and one manifest per batch, each letter on one page of one
//! batch, regardless of when a run fails.

use std::collections::{BTreeMap, HashMap};

use futures::future::join_all;
use serde_json::{Value, json};
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_inactivity_sweep::Run;
use vestibule_local::Options;
use vestibule_local::instance::{LETTERS, at_work};
use vestibule_print_letters::{Printer, Summary};
use vestibule_store::batches::Printing;
use vestibule_tests::fault_injection::{Fault, FaultInjector};
use vestibule_tests::invariants::{Contents, invariants, text};
use vestibule_tests::people::{member, provider, with};
use vestibule_tests::{Prepared, World, options, pin_in, portals_with, portals_with_invalid};

const MEMBERS: &str = "enrollee_id,person,first_name,last_name,subscriber_last_name,date_of_birth,address_line1,city,region,postal_code,country
100200301,0,Maria,Alvarez,Alvarez,1979-04-12,418 Heronmere Lane,Springfield,IL,62704,US
100200302,0,Jürgen,Groß,Groß,1980-01-02,Rosenthaler Straße 40,Berlin,,10178,DE
100200303,0,芳,王,王,1981-02-03,WWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWWW,Springfield,IL,62704,US";

/// The three members in the feed.
fn members() -> [Value; 3] {
    let other = |number: &str, name: &str, born: &str, user: &str| {
        let mut body = with(member(), "/verification/enrollee_id", number);
        body = with(body, "/verification/subscriber_last_name", name);
        body = with(body, "/verification/date_of_birth", born);
        body = with(body, "/last_name", name);
        body = with(body, "/email", format!("{user}@example.com"));
        with(body, "/username", user)
    };
    [
        member(),
        other("100200302", "Groß", "1980-01-02", "juergen.gross"),
        other("100200303", "王", "1981-02-03", "fang.wang"),
    ]
}

/// A system with the three members, of whom the first `n` have a pending letter.
async fn with_waiting(n: usize, faults: &FaultInjector) -> World {
    let world = World::empty(Options {
        interceptors: vec![faults.interceptor()],
        s3_interceptors: vec![faults.interceptor()],
        ..options()
    })
    .await;
    world.import(RecordKind::Member, MEMBERS).await;
    for body in members().into_iter().take(n) {
        world.register("member", body).await;
    }
    world
}

/// Everything in the bucket.
async fn bucket(world: &World) -> BTreeMap<String, Vec<u8>> {
    let s3 = &world.instance.s3;
    let listed = s3.list_objects_v2().bucket(LETTERS).send().await.unwrap();
    let mut files = BTreeMap::new();
    for key in listed.contents().iter().filter_map(|o| o.key()) {
        let got = s3
            .get_object()
            .bucket(LETTERS)
            .key(key)
            .send()
            .await
            .unwrap();
        let bytes = got.body.collect().await.unwrap().into_bytes();
        files.insert(key.to_owned(), bytes.to_vec());
    }
    files
}

/// The letters of all manifests, each with the text of its page. A PDF has exactly the pages in its
/// manifest.
fn printed(files: &BTreeMap<String, Vec<u8>>) -> Vec<(String, String)> {
    printed_with(&mut Pages::default(), files)
}

/// The texts of the pages of PDFs that were read before.
type Pages = HashMap<Vec<u8>, Vec<String>>;

fn printed_with(known: &mut Pages, files: &BTreeMap<String, Vec<u8>>) -> Vec<(String, String)> {
    let mut letters = Vec::new();
    for (key, manifest) in files.iter().filter(|(k, _)| k.ends_with("/manifest.csv")) {
        let rows: Vec<Vec<&str>> = std::str::from_utf8(manifest)
            .unwrap()
            .lines()
            .map(|l| l.split(',').collect())
            .collect();
        assert_eq!(rows[0], ["batch", "portal", "letter", "page", "kind"]);
        let batch = key.strip_suffix("/manifest.csv").unwrap();
        let pages = files
            .get(&format!("{batch}/letters.pdf"))
            .map(|pdf| {
                let read = || pdf_extract::extract_text_from_mem_by_pages(pdf).unwrap();
                known.entry(pdf.clone()).or_insert_with(read).clone()
            })
            .unwrap_or_default();
        assert_eq!(rows.len() - 1, pages.len(), "{batch}");
        for (i, (row, page)) in rows[1..].iter().zip(pages).enumerate() {
            assert_eq!(
                (row[0], row[3], row[4]),
                (batch, (i + 1).to_string().as_str(), "pin")
            );
            letters.push((row[2].to_owned(), page));
        }
    }
    letters
}

/// The PIN on a page, whose digits are spaced.
fn pin_on(page: &str) -> String {
    let after = page.split_once("Your PIN").unwrap().1;
    let (_, after) = after.split_once("Your PIN").unwrap_or(("", after));
    let digits: String = after.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chars().take_while(char::is_ascii_digit).collect()
}

#[tokio::test]
async fn me_06_all_letters_of_a_day_are_one_pdf_with_a_manifest_and_their_pins_are_gone() {
    let world = with_waiting(2, &FaultInjector::default()).await;
    let done = world.instance.print_letters().await.unwrap();
    assert_eq!(
        done,
        Summary {
            batches: 1,
            printed: 2,
            problems: 0
        }
    );
    let files = bucket(&world).await;
    let names: Vec<_> = files.keys().map(String::as_str).collect();
    assert_eq!(
        names,
        [
            "2026-11-23-000001/letters.pdf",
            "2026-11-23-000001/manifest.csv"
        ]
    );
    let letters = printed(&files);
    for named in [
        "Maria Alvarez",
        "Jürgen Groß",
        "GERMANY",
        "Rosenthaler Straße 40",
    ] {
        assert_eq!(
            letters
                .iter()
                .filter(|(_, page)| page.contains(named))
                .count(),
            1,
            "{named}"
        );
    }
    let all = invariants(&world).await;
    assert!(
        all.messages
            .values()
            .filter(|m| text(m, "/channel") == "letter")
            .all(|m| m.get("payload").is_none())
    );

    // The PIN on the page activates the account, and is stored nowhere else.
    let (_, page) = letters
        .iter()
        .find(|(_, page)| page.contains("Maria Alvarez"))
        .unwrap();
    let pin = pin_on(page);
    let manifest = String::from_utf8(files["2026-11-23-000001/manifest.csv"].clone()).unwrap();
    assert!(!manifest.contains(&pin), "{manifest}");
    let maria = world.sign_in("member", "maria.alvarez").await;
    maria.enters_pin(&pin).await.expect(200);

    // The next day there is nothing to print, and so no file.
    world.pass_days(1);
    assert_eq!(
        world.instance.print_letters().await.unwrap(),
        Summary::default()
    );
    assert_eq!(bucket(&world).await, files);
}

#[tokio::test]
async fn bl_03_an_organizations_letter_goes_to_the_address_it_designated() {
    let world = World::new().await;
    world.register("provider", provider()).await;
    world.instance.print_letters().await.unwrap();
    let letters = printed(&bucket(&world).await);
    assert_eq!(letters.len(), 1);
    for said in [
        "12 Harbor Lane",
        "Evanston, IL 60201",
        "Lakeside Family Medicine",
    ] {
        assert!(letters[0].1.contains(said), "{said}\n{}", letters[0].1);
    }
    assert_eq!(pin_on(&letters[0].1).len(), 4);
}

#[tokio::test]
async fn an_unprintable_letter_is_reported_and_delays_no_other() {
    let world = with_waiting(3, &FaultInjector::default()).await;
    let done = world.instance.print_letters().await.unwrap();
    assert_eq!(
        done,
        Summary {
            batches: 1,
            printed: 2,
            problems: 1
        }
    );
    let files = bucket(&world).await;
    assert_eq!(printed(&files).len(), 2);
    let problems = String::from_utf8(files["2026-11-23-000001/problems.csv"].clone()).unwrap();
    let lines: Vec<_> = problems.lines().collect();
    assert_eq!(lines.len(), 2, "{problems}");
    assert_eq!(lines[0], "batch,portal,letter,kind,account,record,reason");
    assert!(
        lines[1].starts_with("2026-11-23-000001,member,"),
        "{problems}"
    );
    assert!(
        lines[1].ends_with(",the letter does not fit on one page"),
        "{problems}"
    );
    let all = invariants(&world).await;
    assert_eq!(
        all.messages
            .values()
            .filter(|m| text(m, "/state") == "refused")
            .count(),
        1
    );
    assert_eq!(all.pending("letter"), 0);
}

#[tokio::test]
async fn many_letters_are_split_into_batches() {
    let world = with_waiting(3, &FaultInjector::default()).await;
    let mut printer = world.instance.printer.clone();
    printer.most = 1;
    let done = printer.run().await.unwrap();
    assert_eq!((done.printed, done.problems), (2, 1));
    assert!((1..=3).contains(&done.batches), "{done:?}");
    assert_eq!(printed(&bucket(&world).await).len(), 2);
    assert_eq!(invariants(&world).await.pending("letter"), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_runs_print_each_letter_once() {
    let world = with_waiting(2, &FaultInjector::default()).await;
    let runs = (0..5).map(|_| world.instance.printer.run());
    for done in join_all(runs).await {
        done.unwrap();
    }
    let mut letters = printed(&bucket(&world).await);
    assert_eq!(letters.len(), 2);
    letters.sort();
    letters.dedup_by(|a, b| a.0 == b.0);
    assert_eq!(letters.len(), 2, "each once");
    assert_eq!(invariants(&world).await.pending("letter"), 0);
    assert!(matches!(
        world.instance.app.store.printing().await.unwrap(),
        Printing::Idle(_)
    ));
}

#[tokio::test]
async fn a_batch_is_printed_once_and_completely_whatever_fails() {
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || (with_waiting(3, faults).await, ()));
    // Equal letters give equal bytes, so most batches have the bytes of the first.
    let mut pages = Pages::default();
    prepared
        .with_every_fault(
            faults,
            &[Fault::Unsent, Fault::ResponseLost, Fault::Repeated],
            async |world, ()| world.instance.printer.run().await,
            async |world, (), injected, first| {
                let what = format!("{injected}: {first:?}");
                assert!(first.is_err() || !injected.failed(), "{what}");
                let before = bucket(world).await;

                world.instance.printer.run().await.unwrap();
                let files = bucket(world).await;
                for (key, bytes) in &before {
                    assert!(
                        files[key] == *bytes,
                        "{key} was overwritten with something else: {what}"
                    );
                }
                let mut letters = printed_with(&mut pages, &files);
                letters.sort();
                letters.dedup_by(|a, b| a.0 == b.0);
                assert_eq!(letters.len(), 2, "{what}");
                assert_eq!(files.len(), 3, "one batch: {what} {:?}", files.keys());
                let all = invariants(world).await;
                assert_eq!(all.pending("letter"), 0, "{what}");
                let printing = world.instance.app.store.printing().await.unwrap();
                assert!(matches!(printing, Printing::Idle(1)), "{what}");
            },
        )
        .await;
}

#[tokio::test]
async fn me_07_a_withdrawn_letter_is_never_printed_and_one_that_is_being_printed_goes_out() {
    let faults = FaultInjector::default();
    let world = with_waiting(1, &faults).await;
    let maria = world.sign_in("member", "maria.alvarez").await;
    maria.post("/pin/letter", json!({})).await.expect(201);

    // The run fails before it uploads its PDF, after it opened the batch and claimed the letter.
    faults.arm(15, Fault::Unsent);
    assert!(world.instance.printer.run().await.is_err());
    assert_eq!(faults.disarm(), (16, Some("PutObject")));
    assert!(matches!(
        world.instance.app.store.printing().await.unwrap(),
        Printing::Open(_)
    ));
    // Its letter can't be withdrawn any more, but its PIN is invalid, and another letter follows.
    maria.post("/pin/letter", json!({})).await.expect(201);
    let done = world.instance.printer.run().await.unwrap();
    assert_eq!((done.batches, done.printed), (2, 2));
    let letters = printed(&bucket(&world).await);
    let pins: Vec<_> = letters.iter().map(|(_, page)| pin_on(page)).collect();
    assert_eq!(
        pins.len(),
        2,
        "the first of all was withdrawn before it was printed"
    );
    let enter = async |pin: &str| maria.enters_pin(pin).await.status;
    assert_eq!((enter(&pins[0]).await, enter(&pins[1]).await), (422, 200));
    let all = Contents::of(&world).await;
    assert_eq!(all.pending("letter"), 0);
}

#[tokio::test]
async fn the_previewed_pages_are_those_of_the_pdf() {
    let world = with_waiting(2, &FaultInjector::default()).await;
    world.letters().await;
    let files = bucket(&world).await;
    let seen = world.instance.letters();
    assert_eq!(seen.len(), 2);
    for letter in seen {
        let pages = pdf_extract::extract_text_from_mem_by_pages(&files[&letter.pdf]).unwrap();
        assert_eq!(pin_on(&pages[letter.page - 1]), pin_in(&letter.text, 6));
    }
}

/// The feed with another address for the third member.
fn with_address(line: &str) -> String {
    let wide = "W".repeat(56);
    assert!(MEMBERS.contains(&wide));
    MEMBERS.replace(&wide, line)
}

#[tokio::test]
async fn me_08_a_letter_that_cannot_be_printed_is_reported_to_its_owner_and_the_help_desk() {
    let world = with_waiting(3, &FaultInjector::default()).await;
    let fang = world.sign_in("member", "fang.wang").await;

    // The user learns it at registration, before anything is printed, and receives one email, which
    // names the help desk. The welcome announces no letter.
    let letter = fang.get("/pin/letter").await.expect(200);
    letter
        .has("/status", "not_printed")
        .has("/arrives_by", "")
        .says("Call ");
    let mails = world.mails_to("fang.wang@example.com").await;
    let about: Vec<_> = mails
        .iter()
        .filter(|m| m.subject == "We could not mail your PIN letter")
        .collect();
    assert_eq!(about.len(), 1);
    assert!(about[0].text.contains("(312) 555-"), "{}", about[0].text);
    let welcome = mails.iter().find(|m| m.subject.starts_with("Welcome"));
    let welcome = &welcome.unwrap().text;
    assert!(!welcome.contains("should arrive"), "{welcome}");

    // The operator's list leads to the account, where the help desk sees it.
    world.instance.print_letters().await.unwrap();
    let files = bucket(&world).await;
    let problems = String::from_utf8(files["2026-11-23-000001/problems.csv"].clone()).unwrap();
    let id = problems
        .lines()
        .nth(1)
        .unwrap()
        .split(',')
        .nth(4)
        .unwrap()
        .to_owned();
    assert_eq!(id, fang.id().await);
    let desk = world.help_desk().await;
    let account = desk
        .reader
        .get(&format!("/accounts/member/{id}"))
        .await
        .expect(200);
    account.has("/memberships/0/letter/status", "not_printed");

    // No other letter is announced while it could not be printed either.
    let sent = world.mails_to("fang.wang@example.com").await.len();
    fang.post("/pin/letter", json!({}))
        .await
        .refused(409, "letter-not-printable")
        .says("Call ");
    for _ in 0..2 {
        let refused = fang.post("/pin/letter", json!({})).await;
        refused.refused(409, "letter-not-printable");
    }
    let refused = fang.post("/pin/letter", json!({})).await;
    refused
        .refused(429, "too-many-attempts")
        .says("none is on its way");
    let reissue = json!({ "reason": "the letter did not arrive" });
    let path = format!("/accounts/member/{id}/pin");
    desk.agent
        .post(&path, &reissue)
        .await
        .refused(409, "letter-not-printable");
    world.pass_days(20);
    world.instance.sweep(&Run::now(world.now())).await;
    assert_eq!(world.mails_to("fang.wang@example.com").await.len(), sent);
    invariants(&world).await;

    // With the corrected address, a letter is issued and printed.
    world
        .import(RecordKind::Member, &with_address("1 Elm Street"))
        .await;
    let fang = world.sign_in("member", "fang.wang").await;
    let issued = fang.post("/pin/letter", json!({})).await.expect(201);
    issued.has("/status", "mailed");
    let done = world.instance.print_letters().await.unwrap();
    assert_eq!((done.printed, done.problems), (1, 0));
    let printed = printed(&bucket(&world).await);
    let page = printed.iter().find(|(_, page)| page.contains("Fang Wang"));
    let pin = pin_on(&page.unwrap().1);
    fang.enters_pin(&pin).await.expect(200);
    invariants(&world).await;
}

/// The policy was changed after the letter was issued, so that only printing finds the fault.
#[tokio::test]
async fn me_08_a_letter_that_cannot_be_printed_later_is_reported_when_it_is_printed() {
    let world = with_waiting(1, &FaultInjector::default()).await;
    let maria = world.sign_in("member", "maria.alvarez").await;
    maria.get("/pin/letter").await.has("/status", "mailed");
    let replaced = [(
        "\"Harborlight Health\", \"Member",
        "\"\u{1f3e0}\", \"Member",
    )];
    let folder = portals_with("member", &replaced, "");
    let printer = Printer {
        portals: std::sync::Arc::new(vestibule_http::portals::open(folder.path()).unwrap()),
        ..world.instance.printer.clone()
    };
    let done = at_work("print-letters", printer.run()).await.unwrap();
    assert_eq!((done.printed, done.problems), (0, 1));
    maria.get("/pin/letter").await.has("/status", "not_printed");
    let mail = world.last_mail_to("maria@example.com").await;
    assert_eq!(mail.subject, "We could not mail your PIN letter");
    assert_eq!(invariants(&world).await.done("mark_letter_not_printed"), 1);
}

#[tokio::test]
async fn mf_06_the_letter_of_a_reset_that_cannot_be_printed_is_reported_to_its_owner() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    maria.adds_app(&world, "Phone").await;
    let desk = world.help_desk().await;
    let path = format!("/accounts/member/{}/second-factor-reset", maria.id().await);
    let reason = json!({ "reason": "Caller lost the phone." });
    desk.agent.post(&path, reason).await.expect(200);
    let replaced = [(
        "\"Harborlight Health\", \"Member",
        "\"\u{1f3e0}\", \"Member",
    )];
    let folder = portals_with("member", &replaced, "");
    let printer = Printer {
        portals: std::sync::Arc::new(vestibule_http::portals::open(folder.path()).unwrap()),
        ..world.instance.printer.clone()
    };
    let done = at_work("print-letters", printer.run()).await.unwrap();
    assert_eq!((done.printed, done.problems), (0, 1));
    let mail = world.last_mail_to("maria@example.com").await;
    assert_eq!(mail.subject, "We could not mail your PIN letter");
    assert_eq!(invariants(&world).await.done("mark_letter_not_printed"), 1);
}

#[tokio::test]
async fn bl_03_an_address_that_does_not_fit_the_envelope_is_refused_when_it_is_entered() {
    let world = World::new().await;
    let wide = "W".repeat(60);
    for lines in [json!([wide]), json!(["1 Elm Street \u{1f3e0}"])] {
        let body = with(provider(), "/postal_address/lines", lines);
        let refused = world.on("provider").registers(body).await;
        refused.invalid("postal_address");
    }
    let long = "Building of the Associated Physicians of Greater Springfield";
    let body = with(
        provider(),
        "/postal_address/lines",
        json!([long, long, "2 Lake Street"]),
    );
    world.register("provider", body).await;
    world.instance.print_letters().await.unwrap();
    let letters = printed(&bucket(&world).await);
    assert_eq!(letters.len(), 1);
}

#[tokio::test]
async fn me_06_an_invalid_policy_delays_only_the_letters_of_its_portal() {
    let world = World::new().await;
    world.register("member", member()).await;
    world.register("provider", provider()).await;
    let printer = Printer {
        portals: portals_with_invalid("member"),
        ..world.instance.printer.clone()
    };
    let done = at_work("print-letters", printer.run()).await.unwrap();
    assert_eq!((done.printed, done.problems), (1, 0));
    assert!(printed(&bucket(&world).await)[0].1.contains("Lakeside"));
    assert_eq!(Contents::of(&world).await.pending("letter"), 1);
    let done = world.instance.print_letters().await.unwrap();
    assert_eq!((done.printed, done.problems), (1, 0));
    assert_eq!(printed(&bucket(&world).await).len(), 2);
}
