//! Taking access away: nobody does it in disguise, an organization keeps an administrator, and
//! however access ends, the same is freed.

use jiff::SignedDuration;
use serde_json::{Value, json};
use vestibule_inactivity_sweep::Run;
use vestibule_local::Options;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::invariants::invariants;
use vestibule_tests::people::{PASSWORD, dental, group_principal, with};
use vestibule_tests::{World, link_token, options, portals_with};

const TODAY: &str = "2026-11-23";

fn employer() -> Value {
    with(group_principal(), "/registration_type", "employer")
}

fn access(role: &str, services: &[&str], end_date: Option<&str>) -> Value {
    json!({ "role": role, "services": services, "group_codes": [], "end_date": end_date })
}

/// The employer portal, where all delegated administrators are equal.
struct Employer {
    world: World,
    ruth: Person,
}

impl Employer {
    async fn of(world: World) -> Self {
        world.register("employer", employer()).await;
        let ruth = world.sign_in("employer", "ruth.okafor").await;
        Self { world, ruth }
    }

    /// The same portal, with administrators who can delete each other.
    async fn with_rights_over_equals() -> (Self, tempfile::TempDir) {
        let right = "    \"delete_users\",\n    \"delete_administrators\",\n";
        let replaced = [("    \"delete_users\",\n", right)];
        let folder = portals_with("employer", &replaced, "");
        let world = World::with(Options {
            portals: folder.path().to_owned(),
            ..options()
        });
        (Self::of(world.await).await, folder)
    }

    async fn pending(&self, first: &str, role: &str) -> String {
        self.ruth.invites(first, role).await.expect(201);
        let name = first.to_lowercase();
        let email = format!("{name}@blueheron.example");
        let token = link_token(&self.world.last_mail_to(&email).await);
        let body = World::acceptance(&token, first, &email, &format!("{name}.lind"));
        let accepted = self.world.on("employer").accepts(body).await.expect(201);
        accepted.text_at("/user_id").to_owned()
    }

    async fn joins(&self, first: &str, role: &str) -> (Person, String) {
        let id = self.pending(first, role).await;
        let body = json!({ "services": ["enrollment", "billing"] });
        let path = format!("/users/{id}/approval");
        self.ruth.post(&path, body).await.expect(200);
        let username = format!("{}.lind", first.to_lowercase());
        (self.world.sign_in("employer", &username).await, id)
    }
}

async fn assigns(by: &Person, id: &str, body: Value) -> Response {
    by.put(&format!("/users/{id}/access"), body).await
}

async fn sweep(world: &World) {
    let run = Run::now(world.now());
    let swept = vestibule_inactivity_sweep::sweep(&world.instance.app, &run);
    let swept = vestibule_local::instance::at_work("inactivity-sweep", swept).await;
    assert_eq!(swept.summary.failed, 0);
}

#[tokio::test]
async fn se_07_an_administrator_who_cannot_delete_or_disable_a_user_cannot_end_or_reduce_their_access()
 {
    let employer = Employer::of(World::new().await).await;
    let (alma, _) = employer.joins("Alma", "alternative_administrator").await;
    let (sam, id) = employer.joins("Sam", "user").await;
    let both = ["billing", "enrollment"];
    for reduced in [
        access("user", &[], Some(TODAY)),
        access("user", &both, Some(TODAY)),
        access("user", &both, Some("2027-11-23")),
        access("user", &[], None),
        access("user", &["billing"], None),
    ] {
        assigns(&alma, &id, reduced)
            .await
            .refused(403, "not-allowed");
    }
    assert_eq!(
        sam.get("/entitlements").await.expect(200).body["services"],
        json!(both)
    );
    // She gives access, and a delegated administrator takes it away.
    let more = ["billing", "enrollment", "reports"];
    assigns(&alma, &id, access("user", &more, None))
        .await
        .expect(200);
    assigns(&employer.ruth, &id, access("user", &[], Some(TODAY)))
        .await
        .expect(200);
    // A later end date gives access too.
    assigns(&alma, &id, access("user", &[], Some("2026-12-23")))
        .await
        .expect(200);

    // An approval that ends before the invitation does is a removal.
    let id = employer.pending("Tim", "user").await;
    let path = format!("/users/{id}/approval");
    let body = json!({ "services": [], "end_date": TODAY });
    alma.post(&path, body).await.refused(403, "not-allowed");
    alma.post(&path, json!({ "services": ["billing"] }))
        .await
        .expect(200);
    invariants(&employer.world).await;
}

#[tokio::test]
async fn se_07_an_equal_cannot_be_ended_or_reduced_as_they_cannot_be_deleted() {
    let employer = Employer::of(World::new().await).await;
    let (tess, id) = employer.joins("Tess", "administrator").await;
    let first = employer.ruth.id().await;
    let both = ["billing", "enrollment"];
    for (by, id) in [(&employer.ruth, &id), (&tess, &first)] {
        by.delete(&format!("/users/{id}"))
            .await
            .refused(403, "not-allowed");
        for reduced in [
            access("administrator", &both, Some(TODAY)),
            access("administrator", &[], None),
            access("user", &both, None),
            access("alternative_administrator", &both, Some(TODAY)),
        ] {
            assigns(by, id, reduced).await.refused(403, "not-allowed");
        }
    }
    // The administrators of both still run the organization the next day.
    employer.world.pass_days(2);
    sweep(&employer.world).await;
    for username in ["ruth.okafor", "tess.lind"] {
        employer.world.sign_in("employer", username).await;
    }
}

#[tokio::test]
async fn se_07_an_organization_never_loses_its_last_administrator() {
    let (employer, _folder) = Employer::with_rights_over_equals().await;
    let (tess, id) = employer.joins("Tess", "administrator").await;
    let first = employer.ruth.id().await;
    assigns(
        &employer.ruth,
        &id,
        access("administrator", &[], Some(TODAY)),
    )
    .await
    .expect(200);
    // Tess's access ends today, so Ruth is the last.
    let path = format!("/users/{first}");
    tess.delete(&path).await.refused(409, "last-administrator");
    for reduced in [
        access("administrator", &[], Some(TODAY)),
        access("user", &[], None),
        access("alternative_administrator", &[], None),
    ] {
        let refused = assigns(&tess, &first, reduced).await;
        refused
            .refused(409, "last-administrator")
            .has("/help_desk/name", "Employer Support");
    }
    let disabled = json!({ "status": "disabled" });
    tess.put(&format!("{path}/status"), &disabled)
        .await
        .refused(409, "last-administrator");

    // Once Tess stays, Ruth can go.
    assigns(&employer.ruth, &id, access("administrator", &[], None))
        .await
        .expect(200);
    tess.delete(&path).await.expect(204);
    invariants(&employer.world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_07_two_administrators_at_once_do_not_end_each_other() {
    let (employer, _folder) = Employer::with_rights_over_equals().await;
    let (tess, id) = employer.joins("Tess", "administrator").await;
    let first = employer.ruth.id().await;
    let ended = || access("administrator", &[], Some(TODAY));
    let (one, other) = futures::future::join(
        assigns(&employer.ruth, &id, ended()),
        assigns(&tess, &first, ended()),
    )
    .await;
    let mut statuses = [one.status, other.status];
    statuses.sort_unstable();
    assert_eq!(statuses, [200, 409], "{} {}", one.text, other.text);
    invariants(&employer.world).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn se_07_two_supervisors_at_once_do_not_disable_each_other() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let other = &desk.second_supervisor;
    let (olive_id, oscar_id) = (desk.supervisor.id().await, other.id().await);
    let disables = async |by: &Person, id: &str| {
        let body = json!({ "status": "disabled" });
        by.put(&format!("/users/{id}/status"), body).await.status
    };
    let (one, two) = futures::future::join(
        disables(&desk.supervisor, &oscar_id),
        disables(other, &olive_id),
    )
    .await;
    assert!(
        [one, two].contains(&200) && [one, two] != [200, 200],
        "{one} {two}"
    );
}

/// The next person who registers the organization.
fn successor(registration: Value) -> Value {
    let body = with(registration, "/email", "successor@blueheron.example");
    let body = with(body, "/first_name", "Nora");
    with(body, "/username", "nora.successor")
}

#[tokio::test]
async fn ex_12_a_successor_can_register_however_the_last_administrator_goes() {
    // An administrator removed the one who registered.
    let (removed, _folder) = Employer::with_rights_over_equals().await;
    let (tess, id) = removed.joins("Tess", "administrator").await;
    let first = removed.ruth.id().await;
    tess.delete(&format!("/users/{first}")).await.expect(204);
    let world = &removed.world;
    world.register("employer", successor(employer())).await;
    let nora = world.sign_in("employer", "nora.successor").await;
    assert_eq!(nora.finds("tess").await, id, "the same organization");
    invariants(world).await;

    // The access of the one who registered ended by itself.
    let (ended, _folder) = Employer::with_rights_over_equals().await;
    let (tess, _) = ended.joins("Tess", "administrator").await;
    let first = ended.ruth.id().await;
    assigns(&tess, &first, access("administrator", &[], Some(TODAY)))
        .await
        .expect(200);
    let world = &ended.world;
    world.pass_days(1);
    sweep(world).await;
    world.register("employer", successor(employer())).await;
    let nora = world.sign_in("employer", "nora.successor").await;
    nora.finds("tess").await;
    invariants(world).await;

    // The help desk removed the only administrator.
    let helped = Employer::of(World::new().await).await;
    let world = &helped.world;
    let desk = world.help_desk().await;
    let path = format!("/accounts/employer/{}/removal", helped.ruth.id().await);
    let because = json!({ "reason": "The employer asked us in writing." });
    desk.agent.post(&path, because).await.expect(200);
    world.register("employer", successor(employer())).await;
    world.sign_in("employer", "nora.successor").await;
    invariants(world).await;
}

#[tokio::test]
async fn ex_11_access_that_ended_by_itself_counts_as_removed_in_the_review() {
    let world = World::new().await;
    world.register("practice", dental()).await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let body = json!({
        "first_name": "Sam", "last_name": "Lind", "email": "sam@riverbend.example",
        "username": "sam.lind", "initial_password": "First-Morning-17", "end_date": TODAY,
    });
    let added = omar.post("/users", body).await.expect(201);
    world.pass(SignedDuration::from_secs(60));
    omar.post("/access-reviews", json!({})).await.expect(201);
    world.pass_days(1);
    sweep(&world).await;
    let (omar, _) = world.on("practice").sign_in("omar.haddad", PASSWORD).await;
    omar.get("/access-reviews/current")
        .await
        .expect(200)
        .has("/accounts/0/id", added.text_at("/id"))
        .has("/accounts/0/username", "sam.lind")
        .has("/accounts/0/first_name", "Sam")
        .has("/accounts/0/decision", "removed");
    invariants(&world).await;
}
