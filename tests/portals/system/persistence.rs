//! What survives a restart: everything that was confirmed in a response.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use vestibule_local::{Instance, Options};
use vestibule_tests::client::Person;
use vestibule_tests::people::{PASSWORD, member, office_manager_terms, provider};
use vestibule_tests::{World, options, pin_in};

/// The options of a system that stores its data in a folder.
pub(crate) fn kept_in(folder: &Path) -> Options {
    Options {
        data: Some(folder.to_owned()),
        ..options()
    }
}

/// One run of a system. It has its own runtime, which ends everything it serves.
pub(crate) struct Life {
    runtime: Runtime,
    world: World,
}

impl Life {
    /// The first run on a folder, with the sample records.
    pub(crate) fn first(options: &Options) -> Self {
        Self::begin(|| World::with(options.clone()))
    }

    /// Another run with the folder's data.
    pub(crate) fn again(options: &Options) -> Self {
        Self::begin(|| World::empty(options.clone()))
    }

    fn begin<F: Future<Output = World>>(world: impl FnOnce() -> F) -> Self {
        let runtime = Runtime::new().unwrap();
        let world = runtime.block_on(async { world().await });
        Self { runtime, world }
    }

    pub(crate) fn live<T>(&self, day: impl AsyncFnOnce(&World) -> T) -> T {
        self.runtime.block_on(day(&self.world))
    }

    /// Stops the system abruptly. Whatever was only in memory is lost.
    pub(crate) fn end(self) {
        let Self { runtime, world } = self;
        drop(world);
        runtime.shutdown_timeout(Duration::from_secs(10));
    }
}

#[test]
fn accounts_sessions_mails_and_letters_survive_a_restart() {
    let folder = TempDir::new().unwrap();
    let options = kept_in(folder.path());

    let life = Life::first(&options);
    let (token, letters) = life.live(async |world| {
        world.register("member", member()).await;
        let response = world.on("member").signs_in("maria.alvarez", PASSWORD).await;
        let letters = world.letters().await;
        assert_eq!(
            (
                letters.len(),
                world.instance.inbox.to("maria@example.com").len()
            ),
            (1, 1)
        );
        (response.text_at("/token").to_owned(), letters)
    });
    life.end();

    let life = Life::again(&options);
    life.live(async |world| {
        let maria = world.on("member").with_token(&token);
        maria
            .get("/me")
            .await
            .expect(200)
            .has("/username", "maria.alvarez");
        assert_eq!(
            world.instance.inbox.to("maria@example.com").len(),
            1,
            "the mail is still there"
        );
        assert_eq!(
            world.letters().await,
            letters,
            "the letter is still there, and printed once"
        );

        // The PIN from before activates the account: the keys are the same.
        let pin = pin_in(&letters[0], 6);
        maria.enters_pin(&pin).await.expect(200);
        world.sign_in("member", "maria.alvarez").await;

        // The records are there: nobody can register twice.
        world
            .on("member")
            .signs_in("maria.alvarez", "Not-Her-Password-1")
            .await
            .expect(401);
        let body = vestibule_tests::people::with(member(), "/username", "maria.other");
        world
            .on("member")
            .registers(body)
            .await
            .refused(403, "registration-refused");
    });
    life.end();

    // A third run has the changes of the second.
    let life = Life::again(&options);
    life.live(async |world| {
        let maria = world.on("member").with_token(&token);
        maria.get("/entitlements").await.expect(200);
    });
    life.end();
}

#[test]
fn unsent_messages_are_sent_once_after_a_restart() {
    let folder = TempDir::new().unwrap();
    let options = kept_in(folder.path());

    let life = Life::first(&options);
    life.live(async |world| {
        world.register("provider", provider()).await;
        assert!(
            world.instance.inbox.is_empty() && world.instance.letters().is_empty(),
            "nothing has left yet"
        );
    });
    life.end();

    let life = Life::again(&options);
    life.live(async |world| {
        let inbox = &world.instance.inbox;
        assert!(inbox.is_empty());
        // The stream only contains changes since the start; the scheduler finds the rest.
        assert_eq!(world.instance.deliver_pending().await.unwrap(), 1);
        assert_eq!(inbox.to("helen@lakeside.example").len(), 1);
        assert_eq!(world.letters().await.len(), 1);
        assert_eq!(world.instance.deliver_pending().await.unwrap(), 0);
        assert_eq!((inbox.len(), world.letters().await.len()), (1, 1));
    });
    life.end();
}

#[test]
fn a_restart_does_not_reset_attempt_counters() {
    let folder = TempDir::new().unwrap();
    let options = kept_in(folder.path());
    let guess = async |client: &Person, pin: &str| client.enters_pin(pin).await;

    let life = Life::first(&options);
    let (token, pin) = life.live(async |world| {
        let maria = world.member().await;
        let pin = pin_in(&world.last_letter().await, 6);
        let wrong = vestibule_tests::another(&pin);
        for _ in 0..3 {
            assert_eq!(guess(&maria, &wrong).await.problem(), "pin-wrong");
        }
        // Seven of ten passwords too.
        for _ in 0..7 {
            world
                .on("member")
                .signs_in("somebody.else", "Wrong-Guess-1")
                .await
                .expect(401);
        }
        let response = world.on("member").signs_in("maria.alvarez", PASSWORD).await;
        (response.text_at("/token").to_owned(), pin)
    });
    life.end();

    let life = Life::again(&options);
    life.live(async |world| {
        let maria = world.on("member").with_token(&token);
        let wrong = vestibule_tests::another(&pin);
        assert_eq!(guess(&maria, &wrong).await.problem(), "pin-wrong");
        assert_eq!(guess(&maria, &wrong).await.problem(), "pin-wrong");
        assert_eq!(
            guess(&maria, &pin).await.problem(),
            "pin-locked",
            "five wrong ones kill it, over two lives"
        );

        for _ in 0..3 {
            world
                .on("member")
                .signs_in("somebody.else", "Wrong-Guess-1")
                .await
                .expect(401);
        }
        world
            .on("member")
            .signs_in("somebody.else", "Wrong-Guess-1")
            .await
            .refused(429, "too-many-attempts");
    });
    life.end();
}

#[test]
fn a_second_system_on_the_same_folder_is_refused_with_a_message() {
    let folder = TempDir::new().unwrap();
    let options = kept_in(folder.path());
    let life = Life::first(&options);
    life.live(async |world| {
        let refused = Instance::start(options.clone()).await.unwrap_err().to_string();
        let expected = format!(
            "another portal is running on the folder {}. Stop it first, or choose another folder with --data DIR",
            folder.path().display()
        );
        assert_eq!(refused, expected);
        // The first system continues undisturbed.
        world.register("member", member()).await;
    });
    life.end();

    // Once it has ended, the folder is available.
    let life = Life::again(&options);
    life.live(async |world| {
        world.sign_in("member", "maria.alvarez").await;
    });
    life.end();
}

#[test]
fn a_damaged_key_prevents_the_start_with_a_message() {
    let folder = TempDir::new().unwrap();
    Life::first(&kept_in(folder.path())).end();
    std::fs::write(folder.path().join("kms.key"), b"half a key").unwrap();
    let runtime = Runtime::new().unwrap();
    let refused = runtime
        .block_on(Instance::start(kept_in(folder.path())))
        .unwrap_err()
        .to_string();
    assert!(
        refused.ends_with("kms.key is damaged; start over with `cargo portal reset`"),
        "{refused}"
    );
}

#[test]
fn ux_13_a_new_revision_must_be_accepted_again_and_nothing_is_available_until_then() {
    let (folder, portals) = (TempDir::new().unwrap(), TempDir::new().unwrap());
    let shipped = options().portals;
    for file in std::fs::read_dir(&shipped).unwrap() {
        let file = file.unwrap();
        std::fs::copy(file.path(), portals.path().join(file.file_name())).unwrap();
    }
    let options = Options {
        portals: portals.path().to_owned(),
        ..kept_in(folder.path())
    };
    let life = Life::first(&options);
    let token = life.live(async |world| {
        let mona = json!({
            "registration_type": "office_manager", "verification": { "provider_id": "PV30001", "tax_id": "003456789" },
            "first_name": "Mona", "last_name": "Lind", "email": "mona@lakeside.example",
            "username": "mona.office", "password": PASSWORD, "accepted_agreements": office_manager_terms(),
        });
        world.register("practice", mona).await;
        let (mona, response) = world
            .on("practice")
            .sign_in("mona.office", PASSWORD).await;
        mona.get("/entitlements").await.expect(200);
        response.text_at("/token").to_owned()
    });
    life.end();

    let policy = portals.path().join("practice.toml");
    let text = std::fs::read_to_string(&policy).unwrap();
    let moved_on = text.replacen("revision = \"2026-10\"", "revision = \"2026-11\"", 1);
    assert_ne!(text, moved_on);
    std::fs::write(&policy, moved_on).unwrap();
    let life = Life::again(&options);
    life.live(async |world| {
        // The session is the same, but protected data is no longer shown.
        let mona = world.on("practice").with_token(&token);
        for path in ["/entitlements", "/users"] {
            mona.get(path)
                .await
                .expect(403)
                .has("/next_step", "sign_agreement");
        }
        let listed = mona.get("/me/agreements").await;
        let item = &listed.body["items"][0];
        assert_eq!(
            [
                &item["revision"],
                &item["revision_on_file"],
                &item["is_current"]
            ],
            [&json!("2026-11"), &json!("2026-10"), &json!(false)]
        );
        let path = "/me/agreements/office_manager_terms/acceptance";
        mona.post(path, json!({ "revision": "2026-10" }))
            .await
            .invalid("revision");
        let accepted = mona.post(path, json!({ "revision": "2026-11" })).await;
        assert_eq!(
            (accepted.status, accepted.body.get("next_step")),
            (200, None),
            "{}",
            accepted.text
        );
        mona.get("/entitlements").await.expect(200);
    });
    life.end();
}
