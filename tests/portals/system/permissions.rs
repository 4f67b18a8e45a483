//! The permission grid: every role of every portal on every route, by calling it. The grids are
//! committed, so that a change of permissions shows in the diff. A route without a row fails the
//! test.
//!
//! A cell contains the status and problem type, or the pending step of a session that has one. All
//! roles and targets are in the first organization, unless their name says otherwise.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;

use reqwest::Method;
use serde_json::{Value, json};
use vestibule_tests::client::{Person, Response};
use vestibule_tests::people::{
    PASSWORD, agent, dental, group_principal, member, office_manager_terms, provider, with, without,
};
use vestibule_tests::{World, another, code_in, pin_in};

use super::openapi::operations;

const PASSWORD_ONLY: &str = "password only";

const OWN: &str = "of the first organization";
const OTHER: &str = "of another organization";
const ELSEWHERE: &str = "of another portal";
const WHOSE: [&str; 3] = [OWN, OTHER, ELSEWHERE];

const USER: &str = "a user of the first organization";
const DISABLED: &str = "a disabled user of the first organization";
const ADMINISTRATOR: &str = "an administrator of the first organization";
const PRINCIPAL: &str = "the principal of the first organization";
const ONESELF: &str = "oneself";
const RAISED: &str = "a user of the first organization, made an administrator";
const CROWNED: &str = "a user of the first organization, made a principal";
const LOWERED: &str = "an administrator of the first organization, made a user";

const ONES_OWN: &str = "one's own";
const COLLEAGUES: &str = "somebody else's of the first organization";

/// Every route, with the requests to try. Those that end or change the caller's session come last.
const ROUTES: &[(&str, &str, &[&str])] = &[
    ("GET", "/{portal}", &[""]),
    ("GET", "/{portal}/me", &[""]),
    ("GET", "/{portal}/entitlements", &[""]),
    ("GET", "/{portal}/sessions/current", &[""]),
    ("GET", "/{portal}/pin/letter", &[""]),
    ("GET", "/{portal}/invitations", &[""]),
    ("GET", "/{portal}/sessions", &[""]),
    ("GET", "/{portal}/users", &["", "by last sign-in"]),
    ("GET", "/{portal}/users.csv", &[""]),
    ("GET", "/{portal}/users/{id}", &WHOSE),
    ("GET", "/{portal}/agents", &[""]),
    ("POST", "/{portal}/agents/search", &[""]),
    ("POST", "/{portal}/users/search", &[""]),
    ("GET", "/{portal}/me/agreements", &[""]),
    (
        "POST",
        "/{portal}/me/agreements/{id}/acceptance",
        &["an unknown agreement"],
    ),
    ("POST", "/{portal}/me/organizations", &["an unknown number"]),
    ("POST", "/{portal}/me/invitations", &["an unknown link"]),
    ("GET", "/{portal}/me/activity", &[""]),
    ("GET", "/{portal}/audit-events", &[""]),
    ("POST", "/{portal}/audit-events/users/search", &[""]),
    ("GET", "/{portal}/audit-events.csv", &[""]),
    ("GET", "/{portal}/audit-events.jsonl", &[""]),
    ("POST", "/{portal}/sessions", &["an unknown name"]),
    ("POST", "/{portal}/password-resets", &["an unknown name"]),
    (
        "POST",
        "/{portal}/password-resets/look-up",
        &["an unknown link"],
    ),
    (
        "POST",
        "/{portal}/password-resets/redemption",
        &["an unknown name or link"],
    ),
    (
        "POST",
        "/{portal}/username-reminders",
        &["an unknown address"],
    ),
    (
        "POST",
        "/{portal}/username-recoveries",
        &["an unknown number"],
    ),
    (
        "POST",
        "/{portal}/username-recoveries/answers",
        &["an unknown number"],
    ),
    (
        "POST",
        "/{portal}/email-confirmations",
        &["an unknown link"],
    ),
    (
        "POST",
        "/{portal}/email-change-cancellations",
        &["an unknown link"],
    ),
    (
        "POST",
        "/{portal}/second-factor-reset-cancellations",
        &["an unknown link"],
    ),
    ("POST", "/{portal}/registrations", &["an unknown number"]),
    (
        "POST",
        "/{portal}/invitations/look-up",
        &["an unknown link"],
    ),
    ("POST", "/{portal}/invitations/accept", &["an unknown link"]),
    (
        "POST",
        "/{portal}/registration-codes/redemption",
        &["an unknown name"],
    ),
    (
        "POST",
        "/{portal}/invitations",
        &["a user", "an administrator", "a principal"],
    ),
    ("GET", "/{portal}/invitations/{id}", &WHOSE),
    ("POST", "/{portal}/invitations/{id}/resend", &WHOSE),
    ("DELETE", "/{portal}/invitations/{id}", &WHOSE),
    (
        "POST",
        "/{portal}/users",
        &["a user", "an administrator", "a principal"],
    ),
    ("POST", "/{portal}/users/{id}/approval", &WHOSE),
    (
        "PUT",
        "/{portal}/users/{id}/access",
        &[
            USER,
            RAISED,
            CROWNED,
            ADMINISTRATOR,
            LOWERED,
            PRINCIPAL,
            ONESELF,
            OTHER,
            ELSEWHERE,
        ],
    ),
    (
        "PUT",
        "/{portal}/users/{id}/status",
        &[
            USER,
            DISABLED,
            ADMINISTRATOR,
            PRINCIPAL,
            ONESELF,
            OTHER,
            ELSEWHERE,
        ],
    ),
    (
        "DELETE",
        "/{portal}/users/{id}",
        &[USER, ADMINISTRATOR, PRINCIPAL, ONESELF, OTHER, ELSEWHERE],
    ),
    (
        "POST",
        "/{portal}/users/{id}/registration-code",
        &[USER, ADMINISTRATOR, PRINCIPAL, ONESELF, OTHER, ELSEWHERE],
    ),
    (
        "POST",
        "/{portal}/users/{id}/password-reset",
        &[USER, ADMINISTRATOR, PRINCIPAL, ONESELF, OTHER, ELSEWHERE],
    ),
    (
        "POST",
        "/{portal}/users/{id}/second-factor-reset",
        &[USER, ADMINISTRATOR, PRINCIPAL, ONESELF, OTHER, ELSEWHERE],
    ),
    (
        "POST",
        "/{portal}/users/{id}/username-reminder",
        &[USER, ADMINISTRATOR, PRINCIPAL, ONESELF, OTHER, ELSEWHERE],
    ),
    ("POST", "/{portal}/invitations.csv", &["no file"]),
    ("POST", "/{portal}/users.csv", &["no file"]),
    ("POST", "/{portal}/access-reviews", &[""]),
    ("GET", "/{portal}/access-reviews/current", &[""]),
    (
        "PUT",
        "/{portal}/access-reviews/current/users/{id}",
        &[USER, ADMINISTRATOR, PRINCIPAL, ONESELF, OTHER, ELSEWHERE],
    ),
    ("POST", "/{portal}/accounts/search", &[""]),
    (
        "POST",
        "/{portal}/plan-records/unlock",
        &["an unknown number"],
    ),
    ("GET", "/{portal}/accounts/{account_portal}/{id}", &[""]),
    (
        "GET",
        "/{portal}/accounts/{account_portal}/{id}/invitations",
        &[""],
    ),
    (
        "GET",
        "/{portal}/accounts/{account_portal}/audit-events",
        &["of one user", "of a whole day"],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/audit-events/users/search",
        &[""],
    ),
    (
        "GET",
        "/{portal}/accounts/{account_portal}/audit-events.csv",
        &["of one user", "of a whole day"],
    ),
    (
        "GET",
        "/{portal}/accounts/{account_portal}/audit-events.jsonl",
        &["of one user", "of a whole day"],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/pin",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/registration-code",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/invitation",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/password-reset",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/second-factor-reset",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/unlock",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/secure",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/reinstatement",
        &[""],
    ),
    (
        "PUT",
        "/{portal}/accounts/{account_portal}/{id}/username",
        &[""],
    ),
    (
        "PUT",
        "/{portal}/accounts/{account_portal}/{id}/subscriptions",
        &[""],
    ),
    (
        "PUT",
        "/{portal}/accounts/{account_portal}/{id}/postal-address",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/agreements",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/removal",
        &[""],
    ),
    (
        "POST",
        "/{portal}/accounts/{account_portal}/{id}/record-detachment",
        &[""],
    ),
    ("PATCH", "/{portal}/me", &[""]),
    ("PUT", "/{portal}/me/email", &[""]),
    ("DELETE", "/{portal}/me/email", &[""]),
    ("PUT", "/{portal}/me/username", &["no campaign"]),
    ("PUT", "/{portal}/me/registration", &["no campaign"]),
    ("POST", "/{portal}/feedback", &[""]),
    ("POST", "/{portal}/pin/activation", &["a wrong PIN"]),
    ("POST", "/{portal}/pin/letter", &[""]),
    (
        "DELETE",
        "/{portal}/sessions/{id}",
        &[ONES_OWN, COLLEAGUES, OTHER, ELSEWHERE],
    ),
    (
        "PUT",
        "/{portal}/sessions/current/organization",
        &[ONES_OWN, OTHER],
    ),
    ("POST", "/{portal}/passkey-challenges", &[""]),
    ("GET", "/{portal}/.well-known/openid-configuration", &[""]),
    ("GET", "/{portal}/jwks.json", &[""]),
    (
        "POST",
        "/{portal}/authorizations",
        &["an unknown application"],
    ),
    ("POST", "/{portal}/token", &["without credentials"]),
    ("GET", "/{portal}/userinfo", &["with a session"]),
    ("POST", "/{portal}/userinfo", &["with a session"]),
    ("POST", "/{portal}/introspect", &["without credentials"]),
    ("POST", "/{portal}/revoke", &["without credentials"]),
    ("GET", "/{portal}/end-session", &["without an ID token"]),
    ("POST", "/{portal}/end-session", &["without an ID token"]),
    (
        "POST",
        "/{portal}/sessions/passkey",
        &["an unknown passkey"],
    ),
    (
        "POST",
        "/{portal}/sessions/current/passkey-challenge",
        &[""],
    ),
    (
        "PUT",
        "/{portal}/sessions/current/second-factor",
        &["a wrong code"],
    ),
    (
        "POST",
        "/{portal}/sessions/current/second-factor-reset",
        &["an unknown link"],
    ),
    ("DELETE", "/{portal}/me/second-factor-reset", &[""]),
    (
        "PUT",
        "/{portal}/sessions/current/password-confirmation",
        &["a wrong password"],
    ),
    ("GET", "/{portal}/me/second-factors", &[""]),
    ("POST", "/{portal}/me/passkeys/challenge", &[""]),
    ("POST", "/{portal}/me/passkeys", &["an unknown passkey"]),
    ("POST", "/{portal}/me/authenticator-apps/enrollment", &[""]),
    (
        "POST",
        "/{portal}/me/authenticator-apps",
        &["an unknown app"],
    ),
    (
        "PATCH",
        "/{portal}/me/second-factors/{id}",
        &["an unknown factor"],
    ),
    (
        "DELETE",
        "/{portal}/me/second-factors/{id}",
        &["an unknown factor"],
    ),
    ("POST", "/{portal}/me/recovery-codes", &[""]),
    ("PUT", "/{portal}/sessions/current/password", &[""]),
    ("DELETE", "/{portal}/sessions/current", &[""]),
];

#[test]
fn every_route_is_in_the_grid() {
    let described: BTreeSet<_> = operations()
        .into_iter()
        .map(|(method, path, _)| (method, path))
        .collect();
    let called: BTreeSet<_> = ROUTES
        .iter()
        .map(|(m, p, _)| ((*m).to_owned(), (*p).to_owned()))
        .collect();
    assert_eq!(described, called);
}

/// A user with a role.
struct Actor {
    role: &'static str,
    client: Person,
    password: String,
    /// A wrong PIN of the correct format.
    pin: String,
}

impl Actor {
    fn new(role: &'static str, client: Person) -> Self {
        Self {
            role,
            client,
            password: PASSWORD.to_owned(),
            pin: "000000".to_owned(),
        }
    }
}

/// A portal with a user in each role, and the objects they try to access.
struct Site {
    world: World,
    portal: &'static str,
    /// A user who can create objects that others try to access, on portals with invitations.
    first: Option<Person>,
    /// The user with the highest role in the first organization, if there is one.
    principal: Option<Person>,
    actors: Vec<Actor>,
    /// A user of the first organization, of another, and of another portal.
    users: [String; 3],
    /// An invitation of another organization, and of another portal.
    invitations: [String; 2],
    /// A session of a user of another organization, and of another portal.
    sessions: [String; 2],
    /// Users of the first organization who have not been changed yet.
    victims: RefCell<BTreeMap<&'static str, String>>,
    pending: RefCell<Option<String>>,
    invitation: RefCell<Option<String>>,
    count: Cell<u32>,
}

/// The result of a ceremony that nobody started.
fn passkey() -> Value {
    json!({ "ceremony": "unknown", "credential": {} })
}

/// An id that doesn't exist.
const NOBODYS: &str = "00000000000000000000000000";

impl Site {
    fn next(&self) -> u32 {
        self.count.replace(self.count.get() + 1)
    }

    /// A valid invitation of the first organization.
    async fn invitation(&self) -> String {
        let Some(first) = self
            .first
            .as_ref()
            .filter(|_| self.invitation.borrow().is_none())
        else {
            return self
                .invitation
                .borrow()
                .clone()
                .unwrap_or_else(|| NOBODYS.to_owned());
        };
        let role = match self.portal {
            "help-desk" => "help_desk_reader",
            _ => "user",
        };
        let id = invited(first, self.next(), role).await;
        *self.invitation.borrow_mut() = Some(id.clone());
        id
    }

    /// A user of the first organization who is waiting for approval.
    async fn pending(&self) -> String {
        let Some(first) = self
            .first
            .as_ref()
            .filter(|_| self.pending.borrow().is_none())
        else {
            return self
                .pending
                .borrow()
                .clone()
                .unwrap_or_else(|| self.users[0].clone());
        };
        let id = accepted(
            &self.world,
            self.portal,
            first,
            &format!("waiting{}", self.next()),
            match self.portal {
                "help-desk" => "help_desk_reader",
                _ => "user",
            },
        )
        .await;
        *self.pending.borrow_mut() = Some(id.clone());
        id
    }

    /// A user of the first organization who has not been changed yet.
    async fn victim(&self, what: &'static str) -> String {
        let Some(principal) = &self.principal else {
            return self.users[0].clone();
        };
        if what == PRINCIPAL {
            return principal.id().await;
        }
        let there = self.victims.borrow().get(what).cloned();
        if let Some(id) = there {
            return id;
        }
        let n = self.next();
        let administers = [ADMINISTRATOR, LOWERED].contains(&what);
        let role = match (self.portal, administers) {
            ("help-desk", true) => "principal",
            ("help-desk", false) => "help_desk_reader",
            (_, true) => "administrator",
            (_, false) => "user",
        };
        let id = if self.first.is_some() {
            let name = format!("victim{n}");
            let id = accepted(&self.world, self.portal, principal, &name, role).await;
            if self.portal == "help-desk" {
                self.world.approve_staff(&id).await;
            } else {
                let path = format!("/users/{id}/approval");
                principal
                    .post(&path, json!({ "services": [] }))
                    .await
                    .expect(200);
            }
            id
        } else {
            let mut body = json!({ "first_name": "Some", "last_name": "Body", "email": format!("victim{n}@example.com"), "role": role });
            if self.portal == "practice" {
                body["username"] = format!("victim{n}").into();
                body["initial_password"] = PASSWORD.into();
            }
            let added = principal.post("/users", body).await.expect(201);
            added.text_at("/id").to_owned()
        };
        if what == DISABLED {
            let body = json!({ "status": "disabled" });
            let path = format!("/users/{id}/status");
            principal.put(&path, &body).await.expect(200);
        }
        self.victims.borrow_mut().insert(what, id.clone());
        id
    }

    /// The user on whom an administrator tries to act.
    async fn target(&self, actor: &Actor, what: &'static str) -> String {
        match what {
            OTHER => self.users[1].clone(),
            ELSEWHERE => self.users[2].clone(),
            ONESELF => {
                let me = actor.client.get("/me").await;
                match me.status {
                    200 => me.text_at("/id").to_owned(),
                    _ => NOBODYS.to_owned(),
                }
            }
            _ => self.victim(what).await,
        }
    }

    /// The organization that a user tries to work for.
    async fn organization(&self, actor: &Actor, what: &str) -> String {
        let of = async |client: &Person| {
            let me = client.get("/me").await;
            me.body["organization"]["id"].as_str().map(str::to_owned)
        };
        let own = of(&actor.client).await;
        if what == ONES_OWN {
            return own.unwrap_or_else(|| NOBODYS.to_owned());
        }
        for other in &self.actors {
            if let Some(id) = of(&other.client)
                .await
                .filter(|id| Some(id) != own.as_ref())
            {
                return id;
            }
        }
        NOBODYS.to_owned()
    }

    /// A session that a user tries to end.
    async fn session(&self, actor: &Actor, what: &str) -> String {
        match what {
            OTHER => self.sessions[0].clone(),
            ELSEWHERE => self.sessions[1].clone(),
            _ => {
                let owner = if what == ONES_OWN {
                    Some(actor)
                } else {
                    self.actors.iter().rfind(|a| {
                        a.role != actor.role && !a.role.contains("another") && a.role != "nobody"
                    })
                };
                let n = self.next();
                match owner {
                    Some(owner) => another_session(&owner.client, &owner.password, n).await,
                    None => NOBODYS.to_owned(),
                }
            }
        }
    }

    /// The request: the path below the portal, and a body.
    async fn request(
        &self,
        actor: &Actor,
        method: &str,
        route: &str,
        what: &'static str,
    ) -> (String, Option<Value>) {
        let n = self.next();
        let below = route.strip_prefix("/{portal}").unwrap();
        let whose = |ids: [&String; 3]| {
            WHOSE
                .iter()
                .position(|w| *w == what)
                .map(|i| ids[i].clone())
                .unwrap_or_default()
        };
        let role = what.rsplit(' ').next().unwrap();
        let person = json!({ "first_name": "New", "last_name": "Person", "email": format!("new{n}@example.com"), "role": role });
        let with_id = |id: String| below.replace("{id}", &id);
        let plain = || below.to_owned();
        let [own, other, elsewhere] = &self.users;
        match (method, below) {
            ("POST", "/plan-records/unlock") => {
                let body = json!({ "portal": "group", "number": "GR99999", "reason": "The caller made the attempts" });
                (plain(), Some(body))
            }
            (_, of_account) if of_account.starts_with("/accounts/") => {
                let theirs = elsewhere_of(self.portal);
                let mut body = json!({ "reason": "Somebody tries what they may" });
                match of_account.rsplit('/').next().unwrap() {
                    "search" if of_account.ends_with("/users/search") => {
                        body = json!({ "username": "strange.person" });
                    }
                    "search" => body = json!({ "portal": theirs, "username": "strange.person" }),
                    "invitation" => body["email"] = "some1000@example.com".into(),
                    "username" => body["username"] = format!("stranger{n}").into(),
                    "subscriptions" => body["subscriptions"] = json!([]),
                    "postal-address" => {
                        body["postal_address"] = provider()["postal_address"].clone();
                    }
                    "agreements" => {
                        body["agreement"] = "producer_agreement".into();
                        body["revision"] = "2026-01".into();
                    }
                    _ => {}
                }
                let mut path = below
                    .replace("{account_portal}", theirs)
                    .replace("{id}", elsewhere);
                match what {
                    "of one user" => path += &format!("?user_ids={elsewhere}"),
                    "of a whole day" => path += "?from=2026-11-23",
                    _ => {}
                }
                (path, Some(body).filter(|_| method != "GET"))
            }
            ("POST", "/sessions") => (
                plain(),
                Some(json!({ "username": format!("nobody{n}"), "password": PASSWORD })),
            ),
            ("POST", "/password-resets") => {
                (plain(), Some(json!({ "username": format!("nobody{n}") })))
            }
            ("POST", "/password-resets/look-up") => {
                (plain(), Some(json!({ "token": "vr.unknown.link" })))
            }
            ("POST", "/password-resets/redemption") => {
                let token = format!("vr.{n:026}.{}", "A".repeat(43));
                let mut body = json!({ "token": token, "new_password": PASSWORD });
                match self.portal {
                    "member" => {
                        body["security_answers"] = member()["security_answers"].clone();
                        body["username"] = format!("nobody{n}").into();
                        body.as_object_mut().unwrap().remove("token");
                    }
                    "provider" => body["hint"] = json!({ "answer": "A green Beetle" }),
                    _ => {}
                }
                (plain(), Some(body))
            }
            ("POST", "/username-reminders") => (
                plain(),
                Some(json!({ "email": format!("nobody{n}@example.com") })),
            ),
            ("POST", "/username-recoveries" | "/username-recoveries/answers") => {
                let full = unknown_number(self.portal, n);
                let mut body = json!({ "registration_type": full["registration_type"], "verification": full["verification"], "first_name": "No" });
                if below.ends_with("/answers") {
                    body["security_answers"] = match self.portal {
                        "member" => member()["security_answers"].clone(),
                        _ => json!([]),
                    };
                }
                (plain(), Some(body))
            }
            ("POST", "/email-confirmations") => {
                (plain(), Some(json!({ "token": "ve.unknown.link" })))
            }
            ("POST", "/email-change-cancellations") => {
                (plain(), Some(json!({ "token": "vc.unknown.link" })))
            }
            ("POST", "/second-factor-reset-cancellations") => {
                (plain(), Some(json!({ "token": "vx.unknown.link" })))
            }
            ("POST", "/sessions/current/second-factor-reset") => {
                (plain(), Some(json!({ "token": "vf.unknown.link" })))
            }
            ("PATCH", "/me") => (
                plain(),
                Some(json!({ "first_name": "Some", "last_name": "Body" })),
            ),
            ("PUT", "/me/email") => (
                plain(),
                Some(
                    json!({ "email": format!("other{n}@example.com"), "password": actor.password }),
                ),
            ),
            ("PUT", "/me/username") => (plain(), Some(json!({ "username": format!("nobody{n}") }))),
            ("PUT", "/me/registration") => {
                let full = unknown_number(self.portal, n);
                let body = json!({ "verification": full["verification"], "attests_signing_authority": true });
                (plain(), Some(body))
            }
            ("POST", "/feedback") => (plain(), Some(json!({ "message": "It is slow." }))),
            ("GET", "/users") if !what.is_empty() => {
                ("/users?idle_since=2026-01-01T00:00:00Z".to_owned(), None)
            }
            ("POST", "/users/search" | "/agents/search") => {
                (plain(), Some(json!({ "query": "lind" })))
            }
            ("POST", "/audit-events/users/search") => {
                (plain(), Some(json!({ "username": "strange.person" })))
            }
            ("PUT", "/users/{id}/access") => {
                let role = match what {
                    ADMINISTRATOR | RAISED => "administrator",
                    CROWNED => "principal",
                    PRINCIPAL if self.portal == "employer" => "administrator",
                    PRINCIPAL => "principal",
                    _ => "user",
                };
                let body = json!({ "role": role, "services": [] });
                (with_id(self.target(actor, what).await), Some(body))
            }
            ("PUT", "/users/{id}/status") => {
                let status = if what == DISABLED {
                    "active"
                } else {
                    "disabled"
                };
                let body = json!({ "status": status });
                (with_id(self.target(actor, what).await), Some(body))
            }
            (
                "POST",
                "/users/{id}/registration-code"
                | "/users/{id}/password-reset"
                | "/users/{id}/second-factor-reset"
                | "/users/{id}/username-reminder",
            ) => (with_id(self.target(actor, what).await), None),
            ("POST", "/access-reviews" | "/invitations.csv" | "/users.csv") => (plain(), None),
            ("PUT", "/access-reviews/current/users/{id}") => (
                with_id(self.target(actor, what).await),
                Some(json!({ "decision": "confirmed" })),
            ),
            ("DELETE", "/users/{id}") => (with_id(self.target(actor, what).await), None),
            ("DELETE", "/sessions/{id}") => (with_id(self.session(actor, what).await), None),
            ("POST", "/registrations") => (plain(), Some(unknown_number(self.portal, n))),
            ("POST", "/me/agreements/{id}/acceptance") => (
                with_id("unknown_terms".into()),
                Some(json!({ "revision": "2026-01" })),
            ),
            ("POST", "/me/organizations") => {
                let full = unknown_number(self.portal, n);
                let mut body = json!({ "registration_type": full["registration_type"], "verification": full["verification"], "attests_signing_authority": true });
                if self.portal == "provider" {
                    body["postal_address"] = full["postal_address"].clone();
                }
                (plain(), Some(body))
            }
            ("POST", "/me/invitations") => (plain(), Some(json!({ "token": "vi.unknown.link" }))),
            ("POST", "/invitations/look-up") => {
                (plain(), Some(json!({ "token": "vi.unknown.link" })))
            }
            ("POST", "/invitations/accept") => {
                let mut body = World::acceptance(
                    "vi.unknown.link",
                    "New",
                    "new@example.com",
                    &format!("nobody{n}"),
                );
                fit(self.portal, &mut body);
                (plain(), Some(body))
            }
            ("POST", "/registration-codes/redemption") => {
                let mut body = json!({ "username": format!("nobody{n}"), "registration_code": "RC000000", "password": PASSWORD });
                fit(self.portal, &mut body);
                body["username"] = format!("nobody{n}").into();
                (plain(), Some(body))
            }
            ("POST", "/invitations") => (plain(), Some(person)),
            ("POST", "/users") => {
                let mut body = person;
                match self.portal {
                    "provider" => {}
                    "practice" => {
                        body["username"] = format!("new.person{n}").into();
                        body["initial_password"] = PASSWORD.into();
                    }
                    _ => body["username"] = format!("new.person{n}").into(),
                }
                (plain(), Some(body))
            }
            ("POST", "/users/{id}/approval") => {
                let pending = if what == OWN {
                    self.pending().await
                } else {
                    String::new()
                };
                (
                    with_id(whose([&pending, other, elsewhere])),
                    Some(json!({ "services": [] })),
                )
            }
            (_, "/users/{id}") => (with_id(whose([own, other, elsewhere])), None),
            ("POST", "/invitations/{id}/resend") | ("GET" | "DELETE", "/invitations/{id}") => {
                let own = if what == OWN {
                    self.invitation().await
                } else {
                    String::new()
                };
                (
                    with_id(whose([&own, &self.invitations[0], &self.invitations[1]])),
                    None,
                )
            }
            ("POST", "/pin/activation") => (plain(), Some(json!({ "pin": actor.pin }))),
            ("PUT", "/sessions/current/organization") => {
                let body = json!({ "organization_id": self.organization(actor, what).await });
                (plain(), Some(body))
            }
            (
                "POST",
                "/passkey-challenges"
                | "/sessions/current/passkey-challenge"
                | "/me/passkeys/challenge"
                | "/me/authenticator-apps/enrollment"
                | "/me/recovery-codes",
            ) => (plain(), None),
            ("POST", "/authorizations") => (plain(), Some(json!({ "query": "client_id=unknown" }))),
            ("POST", "/token" | "/userinfo" | "/introspect" | "/revoke" | "/end-session") => {
                (plain(), None)
            }
            ("POST", "/sessions/passkey") => (plain(), Some(json!({ "passkey": passkey() }))),
            ("POST", "/me/passkeys") => {
                let body = json!({ "name": "Laptop", "passkey": passkey() });
                (plain(), Some(body))
            }
            ("POST", "/me/authenticator-apps") => {
                let body = json!({ "name": "Phone", "enrollment": "unknown", "code": "000000" });
                (plain(), Some(body))
            }
            ("PUT", "/sessions/current/second-factor") => {
                let body = json!({ "factor": { "code": "000000" } });
                (plain(), Some(body))
            }
            ("PUT", "/sessions/current/password-confirmation") => {
                (plain(), Some(json!({ "password": "Wrong-Guess-58!" })))
            }
            ("PATCH", "/me/second-factors/{id}") => {
                (with_id(NOBODYS.into()), Some(json!({ "name": "Phone" })))
            }
            ("DELETE", "/me/second-factors/{id}") => (with_id(NOBODYS.into()), None),
            ("PUT", "/sessions/current/password") => {
                let body = json!({ "current_password": actor.password, "new_password": "Another-Brook-29!" });
                (plain(), Some(body))
            }
            ("GET" | "DELETE", _) | ("POST", "/pin/letter") => (plain(), None),
            _ => panic!("how is {method} {route} called?"),
        }
    }

    /// The whole grid.
    async fn grid(mut self) -> String {
        self.add_password_only().await;
        let mut rows = Vec::new();
        let mut refused = 0;
        let reasons = ["not_allowed", "another_must_approve", "ask_help_desk"];
        let recorded = self.world.refused_because(&reasons).await;
        for &(method, route, tried) in ROUTES {
            for what in tried {
                let mut cells = Vec::new();
                // The last one first, because others of the same user may end its session.
                let (last, others) = self.actors.split_last().unwrap();
                for actor in std::iter::once(last).chain(others) {
                    let (path, body) = self.request(actor, method, route, what).await;
                    let client = actor.client.from_source(&format!(
                        "10.1.{}.{}",
                        self.next() >> 8,
                        self.next() & 255
                    ));
                    let response = client
                        .send(
                            Method::from_bytes(method.as_bytes()).unwrap(),
                            &path,
                            body.as_ref(),
                        )
                        .await;
                    self.check(actor, what, &response);
                    refused +=
                        usize::from(reasons.contains(&&*response.problem().replace('-', "_")));
                    if response.status < 300 {
                        match route {
                            "/{portal}/users/{id}/approval" => drop(self.pending.take()),
                            "/{portal}/invitations/{id}" if method == "DELETE" => {
                                drop(self.invitation.take())
                            }
                            "/{portal}/users/{id}"
                            | "/{portal}/users/{id}/access"
                            | "/{portal}/users/{id}/status" => {
                                drop(self.victims.borrow_mut().remove(what));
                            }
                            _ => {}
                        }
                    }
                    cells.push(Outcome::of(&response));
                }
                cells.rotate_left(1);
                let path = route.strip_prefix("/{portal}").unwrap();
                let path = if path.is_empty() { "/" } else { path };
                let row = format!("{method} {path} {}", label(what));
                rows.push((row.trim_end().to_owned(), cells));
            }
        }
        // SE-10: every refused action is on the audit trail, once.
        assert_eq!(
            self.world.refused_because(&reasons).await - recorded,
            refused,
            "{}",
            self.portal
        );
        let roles: Vec<_> = self.actors.iter().map(|a| a.role).collect();
        table(self.portal, &roles, &rows)
    }

    /// Adds a session of a user who has a second factor and has not given it (MF-04).
    async fn add_password_only(&mut self) {
        let roles = ["user", "member", "agent", "staff"];
        let of = |a: &&Actor| roles.contains(&a.role);
        let actor = self.actors.iter().find(of).unwrap();
        actor.client.adds_app(&self.world, "Phone").await;
        let me = actor.client.get("/me").await.expect(200);
        let username = me.text_at("/username");
        let client = self.world.on(self.portal);
        let (client, _) = client.sign_in(username, &actor.password).await;
        let password = actor.password.clone();
        self.actors.push(Actor {
            password,
            ..Actor::new(PASSWORD_ONLY, client)
        });
    }

    /// Assertions that hold under every policy.
    fn check(&self, actor: &Actor, what: &str, response: &Response) {
        let cell = format!(
            "{} {}: {} {}",
            self.portal, actor.role, response.status, response.text
        );
        assert!(response.status < 500, "{cell}");
        // BL-17: nothing of another organization or portal is accessible.
        let outside = actor.role.contains("another");
        let strange = match what {
            OTHER => !outside,
            // Nobody can act on themselves or end another user's session.
            ELSEWHERE | ONESELF | COLLEAGUES => true,
            _ => what.contains(OWN) && outside,
        };
        assert!(
            !strange || (400..410).contains(&response.status),
            "{what}: {cell}"
        );
    }
}

/// The status and the problem type of a response, or the pending step of the session that it names.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Outcome {
    status: u16,
    problem: String,
}

impl Outcome {
    fn of(response: &Response) -> Self {
        let problem = match response.problem() {
            "next-step-required" => response.text_at("/next_step"),
            problem => problem,
        };
        Self {
            status: response.status,
            problem: problem.to_owned(),
        }
    }

    /// Whether the status alone says it.
    fn is_usual(&self) -> bool {
        matches!(
            (self.status, self.problem.as_str()),
            (_, "") | (401, "not-signed-in") | (403, "not-allowed") | (404, "not-found")
        )
    }
}

/// Shortens the name of what is tried: without addition, it is of the first organization.
fn label(what: &str) -> String {
    match what {
        OWN => "of this organization".to_owned(),
        _ => what.replace(&format!(" {OWN}"), ""),
    }
}

/// Renders a grid: one row per request, one column per role. A letter names each role, and a letter after the status
/// names the problem where it is not the status's usual one.
fn table(portal: &str, roles: &[&str], rows: &[(String, Vec<Outcome>)]) -> String {
    let outcomes: BTreeSet<_> = rows.iter().flat_map(|(_, cells)| cells).collect();
    let mut codes = BTreeMap::new();
    let mut unusual = BTreeMap::<u16, u8>::new();
    for outcome in outcomes {
        let mut code = outcome.status.to_string();
        if !outcome.is_usual() {
            let letters = unusual.entry(outcome.status).or_default();
            code.push(char::from(b'a' + *letters));
            *letters += 1;
        }
        codes.insert(outcome, code);
    }
    let columns = || (b'A'..=b'Z').map(char::from).zip(roles);
    let first = rows.iter().map(|(row, _)| row.len()).max().unwrap_or(0);

    let mut text = String::new();
    for (letter, role) in columns() {
        writeln!(text, "{letter} = {role}").unwrap();
    }
    for (outcome, code) in codes.iter().filter(|(o, _)| !o.problem.is_empty()) {
        writeln!(text, "{code} = {}", outcome.problem).unwrap();
    }
    write!(text, "\n{portal:first$}").unwrap();
    for (letter, _) in columns() {
        write!(text, "  {letter:4}").unwrap();
    }
    text.truncate(text.trim_end().len());
    for (row, cells) in rows {
        let mut line = format!("\n{row:first$}");
        for cell in cells {
            write!(line, "  {:4}", codes[cell]).unwrap();
        }
        text.push_str(line.trim_end_matches(' '));
    }
    assert!(text.lines().all(|l| l.len() <= 120), "{text}");
    text + "\n"
}

/// A registration with a number that the plan doesn't know.
fn unknown_number(portal: &str, n: u32) -> Value {
    let (registration_type, verification) = match portal {
        "group" | "employer" => (
            portal,
            json!({ "group_number": format!("GX{n}"), "tax_id_last4": "0000" }),
        ),
        "agent" | "producer" => (
            portal,
            json!({ "agent_id": format!("AX{n}"), "ssn_last4": "0000" }),
        ),
        "member" => {
            let born = "1970-01-01";
            (
                portal,
                json!({ "enrollee_id": format!("{:09}", 900_000_000 + n), "subscriber_last_name": "No", "date_of_birth": born }),
            )
        }
        "provider" => (
            "practice",
            json!({ "provider_id": format!("PX{n}"), "tax_id": "000000000" }),
        ),
        _ => (
            "dental",
            json!({ "provider_id": format!("PX{n}"), "tax_id": "000000000" }),
        ),
    };
    let mut body = match portal {
        "member" => member(),
        "provider" => provider(),
        _ => dental(),
    };
    body["attests_signing_authority"] = true.into();
    if portal != "provider" {
        body["username"] = format!("nobody{n}").into();
    }
    with(
        with(body, "/registration_type", registration_type),
        "/verification",
        verification,
    )
}

/// Adds what a portal requires of everyone who registers.
fn fit(portal: &str, body: &mut Value) {
    match portal {
        "member" => body["security_answers"] = member()["security_answers"].clone(),
        "provider" => {
            body.as_object_mut().unwrap().remove("username");
            body["hint"] = provider()["hint"].clone();
        }
        _ => {}
    }
}

/// Invites a person. Returns the invitation's id.
async fn invited(administrator: &Person, n: u32, role: &str) -> String {
    let body = json!({ "first_name": "Some", "last_name": "Body", "email": format!("some{n}@example.com"), "role": role });
    let response = administrator.post("/invitations", body).await.expect(201);
    response.text_at("/id").to_owned()
}

/// Registers an invited person. Returns their id.
async fn accepted(
    world: &World,
    portal: &str,
    administrator: &Person,
    name: &str,
    role: &str,
) -> String {
    let email = format!("{name}@example.com");
    let token = world.invite(administrator, "Some", &email, role).await;
    let body = World::acceptance(&token, "Some", &email, name);
    let response = world.on(portal).accepts(body).await.expect(201);
    response.text_at("/user_id").to_owned()
}

/// Registers and approves an invited person, and signs them in.
async fn approved(
    world: &World,
    portal: &str,
    administrator: &Person,
    name: &str,
    role: &str,
) -> Person {
    let id = accepted(world, portal, administrator, name, role).await;
    administrator
        .post(&format!("/users/{id}/approval"), json!({ "services": [] }))
        .await
        .expect(200);
    world.sign_in(portal, name).await
}

/// Starts another session of a user. Returns its id.
async fn another_session(client: &Person, password: &str, n: u32) -> String {
    let me = client.get("/me").await;
    if me.status != 200 {
        return NOBODYS.to_owned();
    }
    let from = client.from_source(&format!("10.2.{}.{}", n >> 8, n & 255));
    let (second, response) = from.sign_in(me.text_at("/username"), password).await;
    response.expect(201);
    let list = second.get("/sessions").await;
    if list.status != 200 {
        // A pending step allows no list.
        return NOBODYS.to_owned();
    }
    let items = list.items();
    let current = items.iter().find(|s| s["is_current"] == true).unwrap();
    current["id"].as_str().unwrap().to_owned()
}

/// Returns another portal.
fn elsewhere_of(portal: &str) -> &'static str {
    if portal == "group" { "agent" } else { "group" }
}

/// A user of another portal, who uses their session here, with their id and an invitation and
/// session of theirs.
async fn stranger(world: &World, portal: &str) -> (Person, [String; 3]) {
    let there = elsewhere_of(portal);
    let body = if there == "agent" {
        agent()
    } else {
        with(group_principal(), "/username", "strange.person")
    };
    let registered = world.register(there, body).await;
    let (client, response) = world
        .on(there)
        .sign_in(registered.text_at("/username"), PASSWORD)
        .await;
    let invitation = invited(&client, 1_000, "user").await;
    let session = another_session(&client, PASSWORD, 1_000).await;
    let here = world.on(portal).with_token(response.text_at("/token"));
    let id = registered.text_at("/user_id").to_owned();
    (here, [id, invitation, session])
}

/// A portal with invitations. `first` and `second` each register an organization.
async fn by_invitation(
    portal: &'static str,
    role: &'static str,
    first: Value,
    second: Value,
    others: &[(&'static str, Value)],
) -> Site {
    let world = World::new().await;
    let principal = async |body: &Value| {
        world.register(portal, body.clone()).await;
        world
            .sign_in(portal, body["username"].as_str().unwrap())
            .await
    };
    let one = principal(&first).await;
    let two = principal(&second).await;
    let (stranger, [strange_user, strange_invitation, strange_session]) =
        stranger(&world, portal).await;
    let mut actors = vec![Actor::new("nobody", world.on(portal))];
    accepted(&world, portal, &one, "waiting.person", "user").await;
    actors.push(Actor::new(
        "user, not approved",
        world.sign_in(portal, "waiting.person").await,
    ));
    actors.push(Actor::new(
        "user",
        approved(&world, portal, &one, "some.user", "user").await,
    ));
    if portal == "employer" {
        let stand_in = approved(
            &world,
            portal,
            &one,
            "stand.in",
            "alternative_administrator",
        )
        .await;
        actors.push(Actor::new("alternative administrator", stand_in));
    }
    if role != "administrator" {
        actors.push(Actor::new(
            "administrator",
            approved(&world, portal, &one, "administrator", "administrator").await,
        ));
    }
    for (role, body) in others {
        actors.push(Actor::new(role, principal(body).await));
    }
    let users = [actors[2].client.id().await, two.id().await, strange_user];
    let invitations = [invited(&two, 2_000, "user").await, strange_invitation];
    let sessions = [
        another_session(&two, PASSWORD, 2_000).await,
        strange_session,
    ];
    actors.push(Actor::new(role, one.clone()));
    actors.push(Actor::new("administrator of another", two));
    actors.push(Actor::new("of another portal", stranger));
    Site {
        world,
        portal,
        first: Some(one.clone()),
        principal: Some(one),
        actors,
        users,
        invitations,
        sessions,
        victims: RefCell::default(),
        pending: RefCell::default(),
        invitation: RefCell::default(),
        count: Cell::new(3_000),
    }
}

/// A portal without invitations.
async fn without_invitations(
    world: World,
    portal: &'static str,
    mut actors: Vec<Actor>,
    principal: Option<&Person>,
    users: [&Person; 2],
) -> Site {
    let (stranger, [strange_user, strange_invitation, strange_session]) =
        stranger(&world, portal).await;
    actors.insert(0, Actor::new("nobody", world.on(portal)));
    actors.push(Actor::new("of another portal", stranger));
    let sessions = [
        another_session(users[1], PASSWORD, 2_000).await,
        strange_session,
    ];
    let users = [users[0].id().await, users[1].id().await, strange_user];
    Site {
        world,
        portal,
        first: None,
        principal: principal.cloned(),
        actors,
        users,
        invitations: [NOBODYS.to_owned(), strange_invitation],
        sessions,
        victims: RefCell::default(),
        pending: RefCell::default(),
        invitation: RefCell::default(),
        count: Cell::new(3_000),
    }
}

fn second_agent(registration_type: &str) -> Value {
    let verification = json!({ "agent_id": "AG10012", "ssn_last4": "6948" });
    with(
        with(
            with(agent(), "/verification", verification),
            "/registration_type",
            registration_type,
        ),
        "/username",
        "latoya.castaneda",
    )
}

fn second_group(registration_type: &str) -> Value {
    let verification = json!({ "group_number": "GR20002", "tax_id_last4": "5678" });
    with(
        with(
            with(group_principal(), "/verification", verification),
            "/registration_type",
            registration_type,
        ),
        "/username",
        "pat.cedar",
    )
}

#[tokio::test]
async fn agent_portal() {
    let luis = with(
        agent(),
        "/verification",
        json!({ "agent_id": "AG10002", "ssn_last4": "7310" }),
    );
    let luis = (
        "another, without agreement",
        with(luis, "/username", "luis.ortega"),
    );
    let site = by_invitation(
        "agent",
        "principal",
        agent(),
        second_agent("agent"),
        &[luis],
    )
    .await;
    insta::assert_snapshot!(site.grid().await);
}

#[tokio::test]
async fn group_portal() {
    let site = by_invitation(
        "group",
        "principal",
        group_principal(),
        second_group("group"),
        &[],
    )
    .await;
    insta::assert_snapshot!(site.grid().await);
}

#[tokio::test]
async fn producer_portal() {
    let first = with(agent(), "/registration_type", "producer");
    let site = by_invitation(
        "producer",
        "principal",
        first,
        second_agent("producer"),
        &[],
    )
    .await;
    insta::assert_snapshot!(site.grid().await);
}

#[tokio::test]
async fn employer_portal() {
    let first = with(group_principal(), "/registration_type", "employer");
    let site = by_invitation(
        "employer",
        "administrator",
        first,
        second_group("employer"),
        &[],
    )
    .await;
    insta::assert_snapshot!(site.grid().await);
}

#[tokio::test]
async fn member_portal() {
    let world = World::new().await;
    let maria = world.member().await;
    let pin = pin_in(&world.last_letter().await, 6);
    maria.enters_pin(&pin).await.expect(200);
    let verification = json!({ "enrollee_id": "100200301", "subscriber_last_name": "Alvarez", "date_of_birth": "2006-09-30" });
    world
        .register(
            "member",
            with(
                with(member(), "/verification", verification),
                "/username",
                "diego.alvarez",
            ),
        )
        .await;
    let diego = world.sign_in("member", "diego.alvarez").await;
    let letters = world.letters().await;
    let pins = letters.iter().map(|l| pin_in(l, 6));
    let waited_for = pins.into_iter().find(|p| *p != pin).unwrap();
    let actors = vec![
        Actor {
            pin: another(&waited_for),
            ..Actor::new("another member, without PIN", diego.clone())
        },
        Actor {
            pin: another(&pin),
            ..Actor::new("member", maria.clone())
        },
    ];
    let site = without_invitations(world, "member", actors, None, [&maria, &diego]).await;
    insta::assert_snapshot!(site.grid().await);
}

#[tokio::test]
async fn provider_portal() {
    let world = World::new().await;
    let (helen, _) = world.provider().await;
    let (name, code) = world.added_by(&helen, "Ivy").await;
    let redeem = async |name: &str, code: &str| {
        let body = json!({ "username": name, "registration_code": code, "password": PASSWORD, "hint": provider()["hint"] });
        world
            .on("provider")
            .post("/registration-codes/redemption", body)
            .await
            .expect(200);
        world.sign_in("provider", name).await
    };
    let user = redeem(&name, &code).await;
    let body = json!({ "first_name": "Abe", "last_name": "Lind", "email": "abe@lakeside.example", "role": "administrator" });
    let added = helen.post("/users", body).await;
    let code = code_in(&world.last_mail_to("abe@lakeside.example").await);
    let administrator = redeem(added.text_at("/username"), &code).await;

    let register = async |registration_type: &str, number: &str, tax_id: &str| {
        let verification = json!({ "provider_id": number, "tax_id": tax_id });
        let before = world.letters().await;
        let registered = world
            .register(
                "provider",
                with(
                    with(provider(), "/registration_type", registration_type),
                    "/verification",
                    verification,
                ),
            )
            .await;
        let letter = world
            .letters()
            .await
            .into_iter()
            .find(|l| !before.contains(l));
        (
            world
                .sign_in("provider", registered.text_at("/username"))
                .await,
            letter.map(|l| pin_in(&l, 4)),
        )
    };
    let (second, pin) = register("practice", "PV30007", "009012345").await;
    second.enters_pin(pin.as_deref().unwrap()).await.expect(200);
    let (without_pin, pin) = register("facility", "PV30006", "008901234").await;
    let (billing, none) = register("billing_agency", "PV30005", "007890123").await;
    assert_eq!(none, None, "its letter waits for the agreement");
    let four = |role, client: &Person| Actor {
        pin: "0000".into(),
        ..Actor::new(role, client.clone())
    };
    let actors = vec![
        Actor {
            pin: another(&pin.unwrap()),
            ..Actor::new("another principal, without PIN", without_pin)
        },
        four("another principal, letter withheld", &billing),
        four("user", &user),
        four("administrator", &administrator),
        four("principal", &helen),
        four("principal of another", &second),
    ];
    let site = without_invitations(world, "provider", actors, Some(&helen), [&user, &second]).await;
    insta::assert_snapshot!(site.grid().await);
}

#[tokio::test]
async fn practice_portal() {
    let world = World::new().await;
    world.register("practice", dental()).await;
    let omar = world.sign_in("practice", "omar.haddad").await;
    let manager = with(
        dental(),
        "/verification",
        json!({ "provider_id": "PV30003", "tax_id": "005678901" }),
    );
    let manager = with(
        with(
            with(manager, "/registration_type", "dental_office_manager"),
            "/accepted_agreements",
            office_manager_terms(),
        ),
        "/username",
        "office.manager",
    );
    world
        .register(
            "practice",
            without(
                with(manager, "/email", "manager@oakview.example"),
                "/attests_signing_authority",
            ),
        )
        .await;
    let manager = world.sign_in("practice", "office.manager").await;

    let staff = async |name: &str, role: &str| {
        let body = json!({
            "first_name": "Some", "last_name": "Body", "email": format!("{name}@riverbend.example"),
            "username": name, "initial_password": "First-Lantern-17", "role": role,
        });
        omar.post("/users", body).await.expect(201);
        let signed_in = world.on("practice").sign_in(name, "First-Lantern-17").await;
        signed_in.0
    };
    let changed = async |client: Person| {
        let body = json!({ "current_password": "First-Lantern-17", "new_password": PASSWORD });
        client
            .put("/sessions/current/password", &body)
            .await
            .expect(200);
        client
    };
    let fresh = staff("fresh.staff", "user").await;
    let user = changed(staff("some.staff", "user").await).await;
    let administrator = changed(staff("some.manager", "administrator").await).await;
    let actors = vec![
        Actor {
            password: "First-Lantern-17".into(),
            ..Actor::new("staff, initial password", fresh)
        },
        Actor::new("staff", user.clone()),
        Actor::new("office manager", administrator),
        Actor::new("provider", omar.clone()),
        Actor::new("office manager of another", manager.clone()),
    ];
    let site = without_invitations(world, "practice", actors, Some(&omar), [&user, &manager]).await;
    insta::assert_snapshot!(site.grid().await);
}

#[tokio::test]
async fn help_desk_portal() {
    let world = World::new().await;
    let desk = world.help_desk().await;
    let first = Some(desk.supervisor.clone());
    let actors = vec![
        Actor::new("reader", desk.reader.clone()),
        Actor::new("agent", desk.agent.clone()),
        Actor::new("supervisor", desk.supervisor.clone()),
    ];
    let users = [&desk.reader, &desk.agent];
    let site = without_invitations(world, "help-desk", actors, first.as_ref(), users).await;
    // There is no other organization: the help desk has only one.
    let users = [
        site.users[0].clone(),
        NOBODYS.to_owned(),
        site.users[2].clone(),
    ];
    let sessions = [NOBODYS.to_owned(), site.sessions[1].clone()];
    let site = Site {
        first,
        users,
        sessions,
        ..site
    };
    insta::assert_snapshot!(site.grid().await);
}
