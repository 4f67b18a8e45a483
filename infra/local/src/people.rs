//! Sample people to sign in as. The first start registers them through the API.

use std::collections::BTreeMap;
use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use reqwest::Method;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vestibule_domain::rules::next_step::NextStep;
use vestibule_secrets::totp;

use crate::client::{ApiResponse, Client};
use crate::first_staff::{self, FirstStaff};
use crate::personas::{
    self, DANA, DANA_AS_PRODUCER, GRACE, HELEN, INITIAL_PASSWORD, JOAN, LENA, LUIS, MARIA, OMAR,
    PASSWORD, PAT, Persona, RUTH, WEISS,
};
use crate::{Instance, StartError, post};

/// The address of the sample people's requests, so that they don't count against the rate limits of real requests.
/// It is reserved for documentation (RFC 5737).
const SOURCE: &str = "192.0.2.10";

/// A person to sign in as.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub portal: String,
    pub username: String,
    /// None if the person still has to choose one.
    pub password: Option<String>,
    /// The secret of the authenticator app (base32), if the person's role requires a second factor.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authenticator_secret: Option<String>,
    /// First and last name.
    pub name: String,
    /// Role and organization.
    pub who: String,
    /// Things to try as this person, with code between backticks.
    pub to_try: String,
    /// The name of the letter that contains the PIN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub letter: Option<String>,
    /// The position in the inbox of the email that contains the code.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub mail: Option<usize>,
}

impl Person {
    /// Returns the portal and the username as one text.
    pub fn key(&self) -> String {
        format!("{}/{}", self.portal, self.username)
    }

    /// Returns the code that the person's authenticator app shows at a time.
    pub fn code(&self, now: Timestamp) -> Option<String> {
        totp::displayed_code(self.authenticator_secret.as_deref()?, now)
    }
}

/// The sample people, and why others couldn't be created.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct People {
    /// Ordered by portal.
    pub people: Vec<Person>,
    /// Why the people of a portal couldn't be created, such as that its policy was changed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
}

impl People {
    /// Reads the people that an earlier start created; none before the first start.
    ///
    /// # Errors
    /// Fails if the file exists and can't be read.
    pub fn read(file: &Path) -> Result<Option<Self>, StartError> {
        match std::fs::read(file) {
            Ok(text) => {
                let read = serde_json::from_slice(&text);
                read.map(Some).map_err(|e| {
                    format!(
                        "{} can't be read: {e}. Start over with `cargo portal reset`",
                        file.display()
                    )
                    .into()
                })
            }
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(format!("{} can't be read: {e}", file.display()).into()),
        }
    }

    /// Stores the people for the next start, atomically.
    ///
    /// # Errors
    /// Fails if the file can't be written.
    pub fn write(&self, file: &Path) -> Result<(), StartError> {
        let whole = file.with_extension("json.new");
        std::fs::write(&whole, serde_json::to_string_pretty(self)? + "\n")?;
        Ok(std::fs::rename(whole, file)?)
    }

    /// Creates the people of each portal. If a portal rejects a request, for example because its policy was changed,
    /// the reason is recorded and the other portals' people are created.
    pub async fn make(instance: &Instance, base: &str) -> Self {
        let mut made = Self::default();
        for portal in [
            "group",
            "member",
            "provider",
            "practice",
            "agent",
            "producer",
            "employer",
            "help-desk",
        ] {
            if instance.policy(portal).is_none() {
                continue;
            }
            let mut maker = Maker {
                instance,
                portal,
                client: Client::new(base, portal).from_source(SOURCE),
                people: Vec::new(),
                secrets: BTreeMap::new(),
            };
            let result = match portal {
                "group" => maker.group().await,
                "member" => maker.members().await,
                "provider" => maker.providers().await,
                "practice" => maker.practices().await,
                "agent" => maker.agents().await,
                "producer" => maker.producer().await,
                "help-desk" => maker.help_desk().await,
                _ => maker.employer().await,
            };
            for person in &mut maker.people {
                person.authenticator_secret = maker.secrets.remove(&person.username);
            }
            made.people.append(&mut maker.people);
            if let Err(error) = result {
                made.missing.push(error.to_string());
            }
        }
        made
    }

    /// Returns the sample person with a name on a portal.
    pub fn find(&self, portal: &str, name: &str) -> Option<&Person> {
        self.people
            .iter()
            .find(|p| p.portal == portal && p.name == name)
    }
}

/// Creates the people of one portal.
struct Maker<'a> {
    instance: &'a Instance,
    portal: &'static str,
    client: Client,
    people: Vec<Person>,
    /// The secrets of authenticator apps, by username.
    secrets: BTreeMap<String, String>,
}

impl Maker<'_> {
    async fn group(&mut self) -> Result<(), StartError> {
        self.register(&RUTH).await?;
        let administrator = self.sign_in("ruth.okafor", PASSWORD).await?;
        self.add(
            ("ruth.okafor", "Ruth Okafor", "Principal of Blue Heron Manufacturing"),
            "List the users (`GET /group/users`), approve Nora Lind (`POST /group/users/{id}/approval`) and invite staff (`POST /group/invitations`).",
        );
        let sam = self.invited(&administrator, "Sam", "sam.lind").await?;
        let approval = json!({ "services": ["enrollment", "reports"], "group_codes": ["BH01"] });
        self.post(&administrator, &format!("/users/{sam}/approval"), approval)
            .await?;
        self.add(
            ("sam.lind", "Sam Lind", "Staff of Blue Heron Manufacturing, approved"),
            "Show the assigned services (`GET /group/entitlements`) and the administrators (`GET /group/me`).",
        );
        self.approved(
            &administrator,
            ("Alma", "alma@blueheron.example", "administrator"),
            "Administrator of Blue Heron Manufacturing, the principal's backup",
            "Invite staff (`POST /group/invitations`) and search the audit trail (`GET /group/audit-events`).",
        )
        .await?;
        self.invited(&administrator, "Nora", "nora.lind").await?;
        self.add(
            ("nora.lind", "Nora Lind", "Staff of Blue Heron Manufacturing, not approved yet"),
            "Sign in: the next step is `await_approval`. `GET /group/entitlements` is refused until Ruth approves Nora.",
        );
        Ok(())
    }

    /// Invites a person to Blue Heron Manufacturing and registers them; returns their ID.
    async fn invited(
        &self,
        administrator: &Client,
        first: &str,
        username: &str,
    ) -> Result<String, StartError> {
        let email = format!("{}@blueheron.example", first.to_lowercase());
        let invitation =
            json!({ "first_name": first, "last_name": "Lind", "email": email, "role": "user" });
        self.join(administrator, invitation, username).await
    }

    async fn members(&mut self) -> Result<(), StartError> {
        self.register(&MARIA).await?;
        let (letter, _) = self.letter().await?;
        self.add(
            ("maria.alvarez", "Maria Alvarez", "Member with a PIN letter"),
            "Sign in: the next step is `enter_pin`. Enter the letter's PIN (`POST /member/pin/activation`) or request a new letter (`POST /member/pin/letter`).",
        )
        .letter = Some(letter);

        self.register(&GRACE).await?;
        let (_, pin) = self.letter().await?;
        let signed_in = self.sign_in("grace.kim", PASSWORD).await?;
        self.post(&signed_in, "/pin/activation", json!({ "pin": pin }))
            .await?;
        self.add(
            ("grace.kim", "Grace Kim", "Member with full access"),
            "Show the available services: `GET /member/entitlements`.",
        );
        Ok(())
    }

    async fn register(&self, persona: &Persona) -> Result<ApiResponse, StartError> {
        let mut body = persona.registration();
        if body.get("security_answers").is_some() {
            body["security_answers"] = self.questions();
        }
        self.post(&self.client, "/registrations", body).await
    }

    /// Returns answers to the first security questions that the portal offers.
    fn questions(&self) -> Value {
        let policy = self.instance.policy(self.portal);
        let asked = policy.and_then(|p| p.security_questions.clone());
        let Some(asked) = asked else { return json!([]) };
        let answers = [
            "Maple Street School",
            "Biscuit",
            "Lake Geneva",
            "Robin",
            "Whitcombe",
            "Beetle",
        ];
        let pairs = asked
            .questions
            .iter()
            .zip(answers)
            .take(asked.required.get() as usize);
        pairs
            .map(|(question, answer)| json!({ "question": question.as_str(), "answer": answer }))
            .collect()
    }

    async fn providers(&mut self) -> Result<(), StartError> {
        let response = self.register(&HELEN).await?;
        let username = response.text_at("/username").to_owned();
        let (_, pin) = self.letter().await?;
        let administrator = self.sign_in(&username, PASSWORD).await?;
        self.post(&administrator, "/pin/activation", json!({ "pin": pin }))
            .await?;
        self.add(
            (&username, "Helen Brandt", "Primary user of Lakeside Family Medicine"),
            "List the users (`GET /provider/users`) and add one (`POST /provider/users`); the registration code is in the inbox.",
        );

        let (username, _, code) = self.added(&administrator, "Ben").await?;
        let redemption = personas::redemption(&username, &code);
        self.post(&self.client, "/registration-codes/redemption", redemption)
            .await?;
        self.add(
            (&username, "Ben Lind", "Staff of Lakeside Family Medicine"),
            "Show the assigned services: `GET /provider/entitlements`.",
        );

        let (username, mail, _) = self.added(&administrator, "Carla").await?;
        let carla = self.add(
            (&username, "Carla Lind", "Staff of Lakeside Family Medicine, not registered yet"),
            "Register with the code from her email: `POST /provider/registration-codes/redemption`.",
        );
        carla.password = None;
        carla.mail = Some(mail);

        let email = "dora@lakeside.example";
        let dora = json!({ "first_name": "Dora", "last_name": "Lind", "email": email, "role": "administrator" });
        let response = self.post(&administrator, "/users", dora).await?;
        let username = response.text_at("/username").to_owned();
        let (_, code) = self.code_for(email).await?;
        let redemption = personas::redemption(&username, &code);
        self.post(&self.client, "/registration-codes/redemption", redemption)
            .await?;
        self.add(
            (
                &username,
                "Dora Lind",
                "Administrator of Lakeside Family Medicine",
            ),
            "Send Carla a new code: `POST /provider/users/{id}/registration-code`.",
        );
        self.sign_in(&username, PASSWORD).await?;

        let response = self.register(&JOAN).await?;
        let username = response.text_at("/username").to_owned();
        let (letter, _) = self.letter().await?;
        self.add(
            (&username, "Joan Petrov", "Primary user of Mercy Street Hospital, with a PIN letter"),
            "Sign in: the next step is `enter_pin`. Enter the letter's PIN (`POST /provider/pin/activation`). `POST /provider/pin/letter` is refused, because only the help desk sends a new letter.",
        )
        .letter = Some(letter);
        Ok(())
    }

    /// Adds a user to Lakeside Family Medicine; returns the username, the email's position and the code.
    async fn added(
        &self,
        administrator: &Client,
        first: &str,
    ) -> Result<(String, usize, String), StartError> {
        let email = format!("{}@lakeside.example", first.to_lowercase());
        let user = json!({ "first_name": first, "last_name": "Lind", "email": email, "services": ["claims", "eligibility"] });
        let response = self.post(administrator, "/users", user).await?;
        let (mail, code) = self.code_for(&email).await?;
        Ok((response.text_at("/username").to_owned(), mail, code))
    }

    /// Returns the registration code that was sent to an address, with the email's position in the inbox.
    async fn code_for(&self, email: &str) -> Result<(usize, String), StartError> {
        self.instance.settle().await?;
        let mails = self.instance.inbox.to(email);
        let found = mails
            .last()
            .and_then(|m| Some((m.at_index, post::registration_code(m)?.to_owned())));
        Ok(found.ok_or_else(|| format!("no registration code was sent to {email}"))?)
    }

    async fn practices(&mut self) -> Result<(), StartError> {
        self.register(&PAT).await?;
        let manager = self.sign_in("pat.novak", PASSWORD).await?;
        self.add(
            (
                "pat.novak",
                "Pat Novak",
                "Office manager of Lakeside Family Medicine and of Dr. Hannah Weiss",
            ),
            "Sign in: the next step is `choose_organization`. List the two (`GET /practice/me`) and choose one (`PUT /practice/sessions/current/organization`). Then create a staff account with an initial password (`POST /practice/users`).",
        );
        let toni = json!({
            "first_name": "Toni", "last_name": "Lind", "email": "toni@lakeside.example",
            "username": "toni.lind", "initial_password": INITIAL_PASSWORD, "services": ["eligibility"],
        });
        self.post(&manager, "/users", toni).await?;
        let weiss = json!({
            "registration_type": "office_manager", "verification": WEISS.verification(),
            "accepted_agreements": personas::office_manager_terms(),
        });
        self.post(&manager, "/me/organizations", weiss).await?;
        self.add(
            ("toni.lind", "Toni Lind", "Staff of Lakeside Family Medicine with an initial password"),
            "Sign in: the next step is `change_password` (`PUT /practice/sessions/current/password`).",
        )
        .password = Some(INITIAL_PASSWORD.into());
        self.register(&OMAR).await?;
        self.add(
            ("omar.haddad", "Omar Haddad", "Provider of Riverbend Dental"),
            "Show the dental services: `GET /practice/entitlements`.",
        );
        Ok(())
    }

    async fn agents(&mut self) -> Result<(), StartError> {
        self.register(&DANA).await?;
        self.add(
            (
                "dana.whitfield",
                "Dana Whitfield",
                "Managing agent with a current agreement on file",
            ),
            "Show the available services (`GET /agent/entitlements`) and the agents whom Dana manages (`GET /agent/agents`).",
        );
        let dana = self.sign_in("dana.whitfield", PASSWORD).await?;
        for (first, role, who, to_try) in [
            (
                "Vera",
                "administrator",
                "Administrator of Dana's agency",
                "Invite staff (`POST /agent/invitations`) and search the audit trail (`GET /agent/audit-events`).",
            ),
            (
                "Theo",
                "user",
                "Staff of Dana's agency",
                "Show the assigned services (`GET /agent/entitlements`) and the administrators (`GET /agent/me`).",
            ),
        ] {
            let email = format!("{}@whitfield.example", first.to_lowercase());
            self.approved(&dana, (first, &email, role), who, to_try)
                .await?;
        }
        self.register(&LUIS).await?;
        self.add(
            ("luis.ortega", "Luis Ortega", "Agent without a signed agreement"),
            "Sign in: the next step is `sign_agreement`. `GET /agent/me` shows the form, and `GET /agent/entitlements` is refused.",
        );
        Ok(())
    }

    async fn producer(&mut self) -> Result<(), StartError> {
        self.register(&DANA_AS_PRODUCER).await?;
        self.add(
            ("dana.whitfield", "Dana Whitfield", "Primary producer"),
            "Invite a sub-user (`POST /producer/invitations`) and list the users with their last sign-in (`GET /producer/users`).",
        );
        let dana = self.sign_in("dana.whitfield", PASSWORD).await?;
        for (first, role, who, to_try) in [
            (
                "Ines",
                "administrator",
                "Delegated administrator, never disabled for inactivity",
                "Disable Cole and reinstate him: `PUT /producer/users/{id}/status`.",
            ),
            (
                "Cole",
                "user",
                "Sub-user, disabled after 180 days without a sign-in",
                "Show the assigned services (`GET /producer/entitlements`), then move the clock by half a year with `cargo portal tick --days 181`.",
            ),
        ] {
            let email = format!("{}@whitfield.example", first.to_lowercase());
            self.approved(&dana, (first, &email, role), who, to_try)
                .await?;
        }
        Ok(())
    }

    async fn employer(&mut self) -> Result<(), StartError> {
        self.register(&LENA).await?;
        self.add(
            ("lena.fischer", "Lena Fischer", "Delegated administrator of Blue Heron Manufacturing"),
            "Invite a user (`POST /employer/invitations`) and list the users (`GET /employer/users`).",
        );
        let lena = self.sign_in("lena.fischer", PASSWORD).await?;
        for (first, role, who, to_try) in [
            (
                "Mina",
                "alternative_administrator",
                "Alternative delegated administrator of Blue Heron Manufacturing",
                "Search the users by last sign-in (`GET /employer/users?idle_since=…`) and download all (`GET /employer/users.csv`).",
            ),
            (
                "Abel",
                "user",
                "User of Blue Heron Manufacturing",
                "Show the assigned services (`GET /employer/entitlements`). Listing users is refused.",
            ),
        ] {
            let email = format!("{}@blueheron.example", first.to_lowercase());
            self.approved(&lena, (first, &email, role), who, to_try)
                .await?;
        }
        self.sign_in("mina.lind", PASSWORD).await?;
        Ok(())
    }

    async fn help_desk(&mut self) -> Result<(), StartError> {
        let first = FirstStaff {
            portal: Some(self.portal.to_owned()),
            name: "Olive Grant".to_owned(),
            email: "olive@harborlight.example".to_owned(),
            username: None,
        };
        let made = first_staff::make(&self.instance.app, first).await?;
        let supervisor = self.sign_in(&made.username, made.password.expose()).await?;
        let change = personas::password_change(made.password.expose());
        let path = "/sessions/current/password";
        let changed = supervisor.send(Method::PUT, path, Some(&change)).await?;
        let changed = self.accepted(changed, "PUT", path)?;
        self.set_up_factor(&supervisor, &made.username, &changed)
            .await?;
        self.add(
            (&made.username, "Olive Grant", "Supervisor of the plan's help desk"),
            "Invite staff (`POST /help-desk/invitations`) and list them (`GET /help-desk/users`). Only agents and readers can open accounts of other portals.",
        );
        let second = FirstStaff {
            portal: Some(self.portal.to_owned()),
            name: "Oscar Green".to_owned(),
            email: "oscar@harborlight.example".to_owned(),
            username: None,
        };
        let made = first_staff::make_second(&self.instance.app, second).await?;
        let approver = self.sign_in(&made.username, made.password.expose()).await?;
        let change = personas::password_change(made.password.expose());
        let changed = approver.send(Method::PUT, path, Some(&change)).await?;
        let changed = self.accepted(changed, "PUT", path)?;
        self.set_up_factor(&approver, &made.username, &changed)
            .await?;
        self.add(
            (&made.username, "Oscar Green", "Another supervisor"),
            "Approve the staff whom Olive invites (`POST /help-desk/users/{id}/approval`). Olive can't do it herself.",
        );
        for (first, role, who, to_try) in [
            (
                "Ada",
                "help_desk_agent",
                "Help desk agent, who can view and change accounts",
                "Find Joan Petrov, who lost her letter (`POST /help-desk/accounts/search` with `{\"portal\": \"provider\", \"email\": \"joan@mercystreet.example\"}`), and send a new one (`POST /help-desk/accounts/provider/{id}/pin` with a `reason`).",
            ),
            (
                "Rob",
                "help_desk_reader",
                "Help desk reader, who can view accounts and has no second factor yet",
                "Sign in: the next step is `set_up_second_factor`. Then show an account (`GET /help-desk/accounts/{portal}/{id}`) and search a portal's audit trail (`GET /help-desk/accounts/{portal}/audit-events?from=…`). Changing an account is refused.",
            ),
        ] {
            let email = format!("{}@harborlight.example", first.to_lowercase());
            let invitation =
                json!({ "first_name": first, "last_name": "Moss", "email": email, "role": role });
            let username = format!("{}.moss", first.to_lowercase());
            let id = self.join(&supervisor, invitation, &username).await?;
            let path = format!("/users/{id}/approval");
            self.post(&approver, &path, json!({ "services": [] }))
                .await?;
            self.add((&username, &format!("{first} Moss"), who), to_try);
            // Rob has no factor yet, to show the step that sets one up.
            if first == "Ada" {
                self.sign_in(&username, PASSWORD).await?;
            }
        }
        Ok(())
    }

    /// Adds a sample person who is invited with a role, registers and is approved.
    async fn approved(
        &mut self,
        administrator: &Client,
        (first, email, role): (&str, &str, &str),
        who: &str,
        to_try: &str,
    ) -> Result<(), StartError> {
        let invitation =
            json!({ "first_name": first, "last_name": "Lind", "email": email, "role": role });
        let username = format!("{}.lind", first.to_lowercase());
        let id = self.join(administrator, invitation, &username).await?;
        let path = format!("/users/{id}/approval");
        let approval = json!({ "services": ["enrollment"] });
        self.post(administrator, &path, approval).await?;
        self.add((&username, &format!("{first} Lind"), who), to_try);
        Ok(())
    }

    /// Invites a person and registers them; returns their ID.
    async fn join(
        &self,
        administrator: &Client,
        invitation: Value,
        username: &str,
    ) -> Result<String, StartError> {
        let field = |name: &str| invitation[name].as_str().unwrap_or_default().to_owned();
        let (first, last, email) = (field("first_name"), field("last_name"), field("email"));
        self.post(administrator, "/invitations", invitation).await?;
        self.instance.settle().await?;
        let mails = self.instance.inbox.to(&email);
        let token = mails
            .last()
            .and_then(post::link_token)
            .ok_or_else(|| format!("no invitation was sent to {email}"))?;
        let acceptance = personas::acceptance(token, (&first, &last), &email, username);
        let response = self
            .post(&self.client, "/invitations/accept", acceptance)
            .await?;
        Ok(response.text_at("/user_id").to_owned())
    }

    /// Prints pending letters; returns the name and the PIN of the new one.
    async fn letter(&self) -> Result<(String, String), StartError> {
        let known: Vec<_> = self
            .instance
            .letters()
            .into_iter()
            .map(|l| l.name)
            .collect();
        self.instance.settle().await?;
        let letters = self.instance.letters();
        let fresh = letters.iter().find(|l| !known.contains(&l.name));
        let found = fresh.and_then(|l| Some((l.name.clone(), post::pin(&l.text)?.to_owned())));
        found.ok_or_else(|| {
            format!(
                "no letter with a PIN was printed for the {} portal",
                self.portal
            )
            .into()
        })
    }

    /// Signs a person in, and sets up an authenticator app for one whose role requires a second factor.
    async fn sign_in(&mut self, username: &str, password: &str) -> Result<Client, StartError> {
        let (signed_in, response) = self.client.sign_in(username, password).await?;
        let session = self.accepted(response, "POST", "/sessions")?;
        self.set_up_factor(&signed_in, username, &session).await?;
        Ok(signed_in)
    }

    /// Sets up an authenticator app if that is the session's next step.
    async fn set_up_factor(
        &mut self,
        client: &Client,
        username: &str,
        session: &ApiResponse,
    ) -> Result<(), StartError> {
        if session.text_at("/next_step") != NextStep::SetUpSecondFactor.into_str() {
            return Ok(());
        }
        let path = "/me/authenticator-apps/enrollment";
        let started = client.send(Method::POST, path, None).await?;
        let started = self.accepted(started, "POST", path)?;
        let secret = started.text_at("/secret").to_owned();
        // The code of the step before is accepted too, so that the current one can be used to sign in.
        let now = self.instance.app.clock.now();
        let before = now - SignedDuration::from_secs(30);
        let app = json!({
            "name": "Sample authenticator app",
            "enrollment": started.text_at("/enrollment"),
            "code": totp::displayed_code(&secret, before),
        });
        self.post(client, "/me/authenticator-apps", app).await?;
        self.secrets.insert(username.to_owned(), secret);
        Ok(())
    }

    async fn post(
        &self,
        client: &Client,
        path: &str,
        body: Value,
    ) -> Result<ApiResponse, StartError> {
        let response = client.send(Method::POST, path, Some(&body)).await?;
        self.accepted(response, "POST", path)
    }

    fn accepted(
        &self,
        response: ApiResponse,
        method: &str,
        path: &str,
    ) -> Result<ApiResponse, StartError> {
        if (200..300).contains(&response.status) {
            return Ok(response);
        }
        let reasons: Vec<_> = response.fields().iter().map(ToString::to_string).collect();
        let fields = if reasons.is_empty() {
            String::new()
        } else {
            format!(" ({})", reasons.join(", "))
        };
        Err(format!(
            "{method} /{}{path} returned {}: {}{fields}",
            self.portal,
            response.status,
            if response.text_at("/detail").is_empty() {
                &response.text
            } else {
                response.text_at("/detail")
            },
        )
        .into())
    }

    fn add(&mut self, (username, name, who): (&str, &str, &str), to_try: &str) -> &mut Person {
        let person = Person {
            portal: self.portal.to_owned(),
            username: username.to_owned(),
            password: Some(PASSWORD.to_owned()),
            authenticator_secret: None,
            name: name.to_owned(),
            who: who.to_owned(),
            to_try: to_try.to_owned(),
            letter: None,
            mail: None,
        };
        self.people.push(person);
        let last = self.people.len() - 1;
        &mut self.people[last]
    }
}
