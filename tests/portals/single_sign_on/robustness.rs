//! The writes of single sign-on while calls fail, requests race and events are repeated: no code or assertion counts
//! twice, no token outlives its session, and every application is notified once.

use futures::future::{join, join_all};
use jiff::SignedDuration;
use reqwest::Method;
use serde_json::json;
use tempfile::TempDir;
use vestibule_domain::values::record_kind::RecordKind;
use vestibule_tests::client::{Person, Response};
use vestibule_tests::fault_injection::{Fault, FaultInjector, Injected};
use vestibule_tests::invariants::{Contents, invariants, text};
use vestibule_tests::{Prepared, World, options};

use super::{
    ApplicationKey, Listener, Parameters, authorize, code, exchange, is_over, parameters, post,
    redeem, redirection, request, token, userinfo, with,
};
use crate::system::faults::{GROUP, event_of, handle_repeatedly};

/// A user of a system whose calls can be made to fail.
struct Prepare {
    ruth: Person,
    _portals: TempDir,
}

async fn watched(faults: &FaultInjector, portals: TempDir) -> (World, Prepare) {
    // Calls to KMS fail, too.
    let world = World::empty(vestibule_local::Options {
        portals: portals.path().to_owned(),
        observers: vec![faults.interceptor()],
        ..options()
    })
    .await;
    world.import(RecordKind::Group, GROUP).await;
    let ruth = world.group_principal().await;
    // The public keys are read once.
    world.on("group").get("/jwks.json").await.expect(200);
    world.instance.deliver_all().await.unwrap();
    let prepare = Prepare {
        ruth,
        _portals: portals,
    };
    (world, prepare)
}

/// Asserts that a request failed visibly if a call did, and succeeded otherwise.
fn failed_visibly(response: &Response, injected: Injected) {
    let what = format!("{injected}: {} {}", response.status, response.text);
    if injected.failed() {
        assert_eq!(
            (response.status, response.problem()),
            (503, "unavailable"),
            "{what}"
        );
    } else {
        assert!((200..400).contains(&response.status), "{what}");
    }
}

/// The error of OAuth that a response has; empty if it has none.
fn error(response: &Response) -> &str {
    response.body["error"].as_str().unwrap_or_default()
}

#[tokio::test]
async fn so_01_an_application_is_opened_whatever_fails() {
    let listener = Listener::start().await;
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || watched(faults, listener.portals()).await);
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |_, Prepare { ruth, .. }| authorize(ruth, &request()).await,
            async |world, Prepare { ruth, .. }, injected, first| {
                failed_visibly(&first, injected);
                let opened = match first.status {
                    200 => first,
                    _ => authorize(ruth, &request()).await.expect(200),
                };
                let code = &redirection(&opened).1["code"];
                let tokens = redeem(world, code).await.expect(200);
                userinfo(world, tokens.text_at("/access_token"))
                    .await
                    .expect(200);
                let all = invariants(world).await;
                assert_eq!(all.done("open_application"), 1, "{injected}");
                // A code whose response was lost expires unused; the end of the session is checked once.
                assert!((1..=2).contains(&all.codes.len()), "{injected}");
                assert_eq!(all.codes.len(), all.done("authorize_application"));
                assert_eq!(all.pending("mail"), 1, "{injected}");
            },
        )
        .await;
}

#[tokio::test]
async fn so_05_a_code_is_exchanged_whatever_fails() {
    let listener = Listener::start().await;
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let (world, prepare) = watched(faults, listener.portals()).await;
        let code = code(&prepare.ruth).await;
        (world, (prepare, code))
    });
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |world, (_, code)| redeem(world, code).await,
            async |world, (prepare, code), injected, first| {
                failed_visibly(&first, injected);
                let tokens = match first.status {
                    200 => first,
                    _ => redeem(world, code).await,
                };
                // If only the response was lost, the repetition is a second use, which revokes what was lost.
                let tokens = match tokens.status {
                    200 => tokens,
                    _ => {
                        assert_eq!(injected.fault, Fault::ResponseLost, "{}", tokens.text);
                        assert_eq!((tokens.status, error(&tokens)), (400, "invalid_grant"));
                        assert_eq!(Contents::of(world).await.access_tokens.len(), 0);
                        redeem(world, &self::code(&prepare.ruth).await)
                            .await
                            .expect(200)
                    }
                };
                userinfo(world, tokens.text_at("/access_token"))
                    .await
                    .expect(200);
                let all = invariants(world).await;
                assert_eq!(all.access_tokens.len(), 1, "{injected}");
            },
        )
        .await;
}

#[tokio::test]
async fn so_05_reuse_of_a_code_and_revocation_end_a_token_whatever_fails() {
    let listener = Listener::start().await;
    let faults = &FaultInjector::default();
    for by_reuse in [true, false] {
        let mut prepared = Prepared::new(async || {
            let (world, prepare) = watched(faults, listener.portals()).await;
            let code = code(&prepare.ruth).await;
            let tokens = redeem(&world, &code).await.expect(200);
            let token = tokens.text_at("/access_token").to_owned();
            (world, (prepare, code, token))
        });
        let (revoked, action) = match by_reuse {
            true => ((400, "invalid_grant"), "open_application"),
            false => ((200, ""), "revoke_token"),
        };
        let end = async |world: &World, code: &str, token: &str| match by_reuse {
            true => redeem(world, code).await,
            false => post(world, "/revoke", &parameters(&[("token", token)])).await,
        };
        prepared
            .with_every_fault(
                faults,
                &Fault::ALL,
                async |world, (_, code, token)| end(world, code, token).await,
                async |world, (_, code, token), injected, first| {
                    let last = match injected.failed() {
                        true => {
                            assert_eq!((first.status, first.problem()), (503, "unavailable"));
                            end(world, code, token).await
                        }
                        false => first,
                    };
                    assert_eq!((last.status, error(&last)), revoked, "{injected}");
                    is_over(world, token, action).await;
                    let all = invariants(world).await;
                    assert_eq!(all.access_tokens.len(), 0, "{injected}");
                    let recorded = all.audit.iter().filter(|e| text(e, "/action") == action);
                    assert!(recorded.count() >= 1, "{injected}");
                },
            )
            .await;
    }
}

/// Ends the session of an ID token and returns the status.
async fn end_session(world: &World, id_token: &str) -> u16 {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none());
    let url = format!("{}/group/end-session", world.base);
    let request = http
        .build()
        .unwrap()
        .get(url)
        .query(&[("id_token_hint", id_token)]);
    request.send().await.unwrap().status().as_u16()
}

#[tokio::test]
async fn so_03_a_sign_out_ends_the_session_and_notifies_once_whatever_fails() {
    let listener = Listener::start().await;
    let faults = &FaultInjector::default();
    for by_application in [true, false] {
        let mut prepared = Prepared::new(async || {
            let (world, prepare) = watched(faults, listener.portals()).await;
            let tokens = redeem(&world, &code(&prepare.ruth).await).await.expect(200);
            let texts = ["/access_token", "/id_token"].map(|at| tokens.text_at(at).to_owned());
            (world, (prepare, texts))
        });
        let end = async |world: &World, ruth: &Person, id_token: &str| match by_application {
            true => end_session(world, id_token).await,
            false => ruth.signs_out().await.status,
        };
        prepared
            .with_every_fault(
                faults,
                &Fault::ALL,
                async |world, (prepare, [_, id_token])| end(world, &prepare.ruth, id_token).await,
                async |world, (prepare, [token, id_token]), injected, first| {
                    let done = if by_application { 303 } else { 204 };
                    assert_eq!(first, if injected.failed() { 503 } else { done });
                    if injected.failed() {
                        let again = end(world, &prepare.ruth, id_token).await;
                        // Whoever is signed out already has no session to end.
                        assert!(again == done || again == 401, "{injected}: {again}");
                    }
                    is_over(world, token, "signed out").await;
                    prepare.ruth.get("/me").await.expect(401);
                    assert_eq!(listener.take(world).await.len(), 1, "{injected}");
                    let all = invariants(world).await;
                    assert_eq!((all.sessions.len(), all.done("sign_out")), (0, 1));
                },
            )
            .await;
    }
}

#[tokio::test]
async fn so_01_an_assertion_authenticates_once_whatever_fails() {
    let key = ApplicationKey::new();
    let faults = &FaultInjector::default();
    let mut prepared = Prepared::new(async || {
        let (world, prepare) = watched(faults, key.portals()).await;
        let code = code(&prepare.ruth).await;
        (world, (prepare, code))
    });
    let send = async |world: &World, jti: &str, code: &str| {
        let assertion = key.assertion(&key.claims(world, jti));
        key.post(world, "/token", exchange(code), &assertion).await
    };
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |world, (_, code)| send(world, "1", code).await,
            async |world, (prepare, code), injected, first| {
                failed_visibly(&first, injected);
                if first.status == 200 {
                    let again = send(world, "1", &self::code(&prepare.ruth).await).await;
                    assert_eq!((again.status, error(&again)), (401, "invalid_client"));
                    return;
                }
                // With another assertion, the code is as good as before, or was used.
                let again = send(world, "2", code).await;
                assert!(
                    again.status == 200 || (again.status, error(&again)) == (400, "invalid_grant"),
                    "{injected}: {}",
                    again.text
                );
                let tokens = usize::from(again.status == 200);
                assert_eq!(invariants(world).await.access_tokens.len(), tokens);
            },
        )
        .await;
}

/// Delivers what waits while calls fail, and what is left a minute later.
async fn is_notified_once_whatever_fails(
    listener: &Listener,
    faults: &FaultInjector,
    end: impl AsyncFn(&World, &Person),
) {
    let mut prepared = Prepared::new(async || {
        let (world, prepare) = watched(faults, listener.portals()).await;
        let sam = world.staff(&prepare.ruth, "Sam", "user").await;
        world.instance.deliver_all().await.unwrap();
        let token = token(&world, &sam).await;
        end(&world, &prepare.ruth).await;
        (world, (prepare, token))
    });
    prepared
        .with_every_fault(
            faults,
            &Fault::ALL,
            async |world, _| {
                let event = event_of(world, "mail").await;
                world.instance.mailer.handle(event).await
            },
            async |world, (_, token), injected, _| {
                is_over(world, token, "access ended").await;
                world.pass(SignedDuration::from_secs(60));
                let notices = listener.take(world).await;
                assert_eq!(notices.len(), 1, "{injected}: {notices:?}");
                // The check of the time at which the session would have ended still waits.
                assert_eq!(invariants(world).await.pending("mail"), 1, "{injected}");
            },
        )
        .await;
}

#[tokio::test]
async fn so_03_a_logout_token_is_delivered_once_whatever_fails() {
    let listener = Listener::start().await;
    let faults = FaultInjector::default();
    is_notified_once_whatever_fails(&listener, &faults, async |world, _| {
        let sam = world.sign_in("group", "sam.lind").await;
        let sessions = sam.get("/sessions").await.expect(200);
        let others = sessions.items().iter();
        let others = others.filter(|session| session["is_current"] == false);
        for session in others {
            let path = format!("/sessions/{}", session["id"].as_str().unwrap());
            sam.delete(&path).await.expect(204);
        }
    })
    .await;
}

#[tokio::test]
async fn so_03_ended_access_is_found_once_whatever_fails() {
    let listener = Listener::start().await;
    let faults = FaultInjector::default();
    is_notified_once_whatever_fails(&listener, &faults, async |_, ruth| {
        let id = ruth.finds("sam").await;
        let access = json!({ "role": "user", "services": ["billing"], "group_codes": [] });
        let path = format!("/users/{id}/access");
        ruth.put(&path, access).await.expect(200);
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_03_a_logout_token_is_delivered_once_if_its_event_comes_ten_times() {
    let listener = Listener::start().await;
    let world = listener.world().await;
    let ruth = world.group_principal().await;
    token(&world, &ruth).await;
    ruth.signs_out().await.expect(204);
    handle_repeatedly(&world).await;
    assert_eq!(listener.take(&world).await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_01_of_twenty_uses_of_one_assertion_at_the_same_time_one_counts() {
    let key = ApplicationKey::new();
    let world = World::with_portals(&key.portals()).await;
    let ruth = world.group_principal().await;
    let codes = [code(&ruth).await, code(&ruth).await];
    let first = key.assertion(&key.claims(&world, "1"));
    let form = |code: &str| exchange(code);
    let tokens = key.post(&world, "/token", form(&codes[0]), &first).await;
    let token = tokens.expect(200).text_at("/access_token").to_owned();
    let form = || parameters(&[("token", &token)]);
    let second = key.assertion(&key.claims(&world, "2"));
    let sent = (0..20).map(|_| key.post(&world, "/introspect", form(), &second));
    let mut answers: Vec<_> = join_all(sent)
        .await
        .iter()
        .map(|r| (r.status, error(r).to_owned()))
        .collect();
    answers.sort();
    assert_eq!(answers.remove(0), (200, String::new()));
    let refused = (401, "invalid_client".to_owned());
    assert_eq!(answers, vec![refused; 19]);
    // An attempt with the assertion of another use spends nothing of the code.
    let again = key
        .post(&world, "/token", exchange(&codes[1]), &second)
        .await;
    assert_eq!((again.status, error(&again)), (401, "invalid_client"));
    let third = key.assertion(&key.claims(&world, "3"));
    let third = key.post(&world, "/token", exchange(&codes[1]), &third);
    third.await.expect(200);
}

/// How access ends while an application is opened.
const ENDINGS: [&str; 3] = ["sign-out", "disabled", "reassigned"];

async fn end(why: &str, (ruth, sam, id): (&Person, &Person, &str)) -> Response {
    match why {
        "sign-out" => sam.signs_out().await,
        "disabled" => {
            let status = json!({ "status": "disabled" });
            ruth.put(&format!("/users/{id}/status"), status).await
        }
        _ => {
            let access = json!({ "role": "user", "services": ["billing"], "group_codes": [] });
            ruth.put(&format!("/users/{id}/access"), access).await
        }
    }
}

/// Repeats a change that lost against another.
async fn until_it_holds(why: &str, people: (&Person, &Person, &str)) {
    loop {
        let response = end(why, people).await;
        match response.status {
            200 | 204 => return,
            _ => drop(response.refused(409, "conflict")),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_03_a_code_that_is_exchanged_while_access_ends_gives_nothing_that_stays() {
    let listener = Listener::start().await;
    let world = listener.world().await;
    let ruth = world.group_principal().await;
    for (round, why) in ENDINGS.into_iter().cycle().take(12).enumerate() {
        let sam = world.staff(&ruth, &format!("Sam{round}"), "user").await;
        let id = sam.id().await;
        let code = code(&sam).await;
        let (tokens, ()) = join(
            redeem(&world, &code),
            until_it_holds(why, (&ruth, &sam, &id)),
        )
        .await;
        if tokens.status == 200 {
            is_over(&world, tokens.text_at("/access_token"), why).await;
        } else {
            assert_eq!((tokens.status, error(&tokens)), (400, "invalid_grant"));
        }
        let again = redeem(&world, &code).await;
        assert_eq!((again.status, error(&again)), (400, "invalid_grant"));
        // The application was opened before, so it is notified whether it got tokens or not.
        assert_eq!(listener.take(&world).await.len(), 1, "{why}");
        invariants(&world).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_03_an_application_that_is_opened_while_access_ends_gets_no_tokens() {
    let listener = Listener::start().await;
    let world = listener.world().await;
    let ruth = world.group_principal().await;
    for (round, why) in ENDINGS.into_iter().cycle().take(12).enumerate() {
        let sam = world.staff(&ruth, &format!("Sam{round}"), "user").await;
        let id = sam.id().await;
        if round % 2 == 0 {
            // An account that has opened an application is not written when it opens another.
            code(&sam).await;
        }
        let (opened, ()) = join(
            authorize(&sam, &request()),
            until_it_holds(why, (&ruth, &sam, &id)),
        )
        .await;
        let answer = match opened.body.get("redirect_to") {
            Some(_) => redirection(&opened).1,
            None => Parameters::new(),
        };
        match answer.get("code") {
            Some(code) => {
                let late = redeem(&world, code).await;
                assert_eq!((late.status, error(&late)), (400, "invalid_grant"), "{why}");
            }
            None => {
                let refused = opened.status == 409
                    || opened.status == 401
                    || answer.get("error").map(String::as_str) == Some("access_denied")
                    || opened.body["next_step"] == "sign_in";
                assert!(refused, "{why}: {} {}", opened.status, opened.text);
            }
        }
        let notices = listener.take(&world).await.len();
        let least = usize::from(round % 2 == 0);
        assert!((least..=1).contains(&notices), "{why}: {notices}");
        invariants(&world).await;
    }
}

#[tokio::test]
async fn so_05_a_code_is_unknown_on_other_portals_and_its_use_is_known_for_a_day() {
    let world = World::new().await;
    let ruth = world.group_principal().await;
    let code = code(&ruth).await;
    let secret = super::secret(&world, "group", super::CLIENT);
    for portal in ["member", "provider", "help-desk"] {
        let request = world.on(portal).request(Method::POST, "/token");
        let form = with(exchange(&code), "client_id", super::CLIENT);
        let form = with(form, "client_secret", secret.expose());
        let refused = Response::to(request.form(&form)).await;
        assert_eq!((refused.status, error(&refused)), (401, "invalid_client"));
    }
    redeem(&world, &code).await.expect(200);
    // A day later, the use of the code is still known.
    world.pass(SignedDuration::from_hours(23));
    let late = redeem(&world, &code).await;
    assert_eq!((late.status, error(&late)), (400, "invalid_grant"));
    let reasons = world.refusals("open_application").await;
    assert_eq!(reasons, ["code_reused"]);
    assert_eq!(
        late.text_at("/error_description"),
        "the code was used before"
    );
}
