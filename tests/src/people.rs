//! The people in the sample records, and how they register.

use serde_json::{Value, json};
use vestibule_local::first_staff::{self, FirstStaff};
use vestibule_local::personas::{self, DANA, HELEN, MARIA, OMAR, RUTH};

use crate::client::{Person, Response};
use crate::{World, code_in, link_token, pin_in};

pub use vestibule_local::personas::{
    PASSWORD, SECURITY_QUESTIONS as QUESTIONS, hint, office_manager_terms, redemption,
    security_answers,
};

/// The first person of Blue Heron Manufacturing, group GR20001.
pub fn group_principal() -> Value {
    RUTH.registration()
}

/// Agent AG10001, whose agreement is signed.
pub fn agent() -> Value {
    DANA.registration()
}

/// Subscriber 100200301.
pub fn member() -> Value {
    MARIA.registration()
}

/// The primary user of Lakeside Family Medicine, PV30001.
pub fn provider() -> Value {
    HELEN.registration()
}

/// Riverbend Dental, PV30002, on the practice portal.
pub fn dental() -> Value {
    OMAR.registration()
}

/// For each portal, a person who can register there.
pub fn everyone() -> [(&'static str, Value); 7] {
    [
        ("agent", agent()),
        ("group", group_principal()),
        ("member", member()),
        ("provider", provider()),
        ("practice", dental()),
        ("producer", with(agent(), "/registration_type", "producer")),
        (
            "employer",
            with(group_principal(), "/registration_type", "employer"),
        ),
    ]
}

/// The help desk agents, signed in.
#[derive(Debug)]
pub struct HelpDesk {
    /// The tier that manages other agents.
    pub supervisor: Person,
    /// Another supervisor, who approves those whom the first one invites.
    pub second_supervisor: Person,
    /// The tier that can act on accounts.
    pub agent: Person,
    /// The read-only tier.
    pub reader: Person,
}

/// Returns a copy with one value changed: `with(member(), "/email", "other@example.com")`.
pub fn with(mut body: Value, pointer: &str, value: impl Into<Value>) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() {
        &mut body
    } else {
        body.pointer_mut(parent).unwrap()
    };
    parent
        .as_object_mut()
        .unwrap()
        .insert(name.to_owned(), value.into());
    body
}

/// Returns a copy without a field.
pub fn without(mut body: Value, pointer: &str) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    let parent = if parent.is_empty() {
        &mut body
    } else {
        body.pointer_mut(parent).unwrap()
    };
    parent.as_object_mut().unwrap().remove(name).unwrap();
    body
}

impl World {
    /// Registers a person. It must succeed.
    pub async fn register(&self, portal: &str, body: Value) -> Response {
        self.on(portal).registers(body).await.expect(201)
    }

    /// Signs a user in. It must succeed.
    pub async fn sign_in(&self, portal: &str, username: &str) -> Person {
        let (person, session) = self.on(portal).sign_in(username, PASSWORD).await;
        session.expect(201);
        person
    }

    /// Returns the principal of Blue Heron Manufacturing, registered and signed in.
    pub async fn group_principal(&self) -> Person {
        self.register("group", group_principal()).await;
        self.sign_in("group", "ruth.okafor").await
    }

    /// Invites a person and returns the token in the link.
    pub async fn invite(
        &self,
        administrator: &Person,
        first: &str,
        email: &str,
        role: &str,
    ) -> String {
        let body =
            json!({ "first_name": first, "last_name": "Lind", "email": email, "role": role });
        administrator.post("/invitations", body).await.expect(201);
        link_token(&self.last_mail_to(email).await)
    }

    /// Returns the request of an invited person.
    pub fn acceptance(token: &str, first: &str, email: &str, username: &str) -> Value {
        personas::acceptance(token, (first, "Lind"), email, username)
    }

    /// Registers an invited person, who then waits for approval. Returns their id.
    pub async fn invited(&self, administrator: &Person, first: &str, role: &str) -> String {
        administrator.invites(first, role).await.expect(201);
        let name = first.to_lowercase();
        let email = format!("{name}@blueheron.example");
        let token = link_token(&self.last_mail_to(&email).await);
        let body = Self::acceptance(&token, first, &email, &format!("{name}.lind"));
        let accepted = self.on("group").accepts(body).await.expect(201);
        accepted.text_at("/user_id").to_owned()
    }

    /// Registers and approves an invited person, and signs them in.
    pub async fn staff(&self, administrator: &Person, first: &str, role: &str) -> Person {
        let id = self.invited(administrator, first, role).await;
        administrator.approves(&id).await.expect(200);
        self.sign_in("group", &format!("{}.lind", first.to_lowercase()))
            .await
    }

    /// Sets up the help desk as a plan does: the supervisors with the command, the others by
    /// invitation.
    pub async fn help_desk(&self) -> HelpDesk {
        let first = FirstStaff {
            portal: None,
            name: "Olive Grant".into(),
            email: "olive@harborlight.example".into(),
            username: None,
        };
        let app = &self.instance.app;
        let made = first_staff::make(app, first).await.unwrap();
        let supervisor = self.new_supervisor(&made).await;
        let second = FirstStaff {
            portal: None,
            name: "Oscar Green".into(),
            email: "oscar@harborlight.example".into(),
            username: None,
        };
        let made = first_staff::make_second(app, second).await.unwrap();
        let second_supervisor = self.new_supervisor(&made).await;
        let agent = self.desk_staff(&supervisor, "Ada", "help_desk_agent").await;
        let reader = self
            .desk_staff(&supervisor, "Rob", "help_desk_reader")
            .await;
        HelpDesk {
            supervisor,
            second_supervisor,
            agent,
            reader,
        }
    }

    /// Signs a new supervisor in, who changes the one-time password.
    async fn new_supervisor(&self, made: &first_staff::Made) -> Person {
        let one_time = made.password.expose();
        let visitor = self.on("help-desk");
        let (supervisor, session) = visitor.sign_in(&made.username, one_time).await;
        session.expect(201).has("/next_step", "change_password");
        supervisor.chooses_password(one_time).await.expect(200);
        supervisor
    }

    /// Approves a member of the staff, as the second supervisor.
    pub async fn approve_staff(&self, user_id: &str) {
        let approver = self.sign_in("help-desk", "oscar.green").await;
        let path = format!("/users/{user_id}/approval");
        let nothing = json!({ "services": [] });
        approver.post(&path, nothing).await.expect(200);
    }

    /// Returns an agent invited by the supervisor and approved by the second one, signed in.
    pub async fn desk_staff(&self, supervisor: &Person, first: &str, role: &str) -> Person {
        let name = first.to_lowercase();
        let email = format!("{name}@harborlight.example");
        let token = self.invite(supervisor, first, &email, role).await;
        let username = format!("{name}.lind");
        let body = Self::acceptance(&token, first, &email, &username);
        let accepted = self.on("help-desk").accepts(body).await.expect(201);
        self.approve_staff(accepted.text_at("/user_id")).await;
        self.sign_in("help-desk", &username).await
    }

    /// Returns Maria Alvarez, registered and signed in, with her PIN pending.
    pub async fn member(&self) -> Person {
        self.register("member", member()).await;
        self.sign_in("member", "maria.alvarez").await
    }

    /// Returns the primary user of Lakeside Family Medicine with an active account, and the
    /// username.
    pub async fn provider(&self) -> (Person, String) {
        let registered = self.register("provider", provider()).await;
        let username = registered.text_at("/username").to_owned();
        let helen = self.sign_in("provider", &username).await;
        let pin = pin_in(&self.last_letter().await, 4);
        helen.enters_pin(&pin).await.expect(200);
        (helen, username)
    }

    /// Adds a user to Lakeside Family Medicine who has not redeemed the code. Returns username and
    /// code.
    pub async fn added_by(&self, administrator: &Person, first: &str) -> (String, String) {
        let email = format!("{}@lakeside.example", first.to_lowercase());
        let body = json!({ "first_name": first, "last_name": "Lind", "email": email, "services": ["claims"] });
        let added = administrator.post("/users", body).await.expect(201);
        let code = code_in(&self.last_mail_to(&email).await);
        (added.text_at("/username").to_owned(), code)
    }
}
