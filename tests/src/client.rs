//! A client of the API that speaks like a person and asserts in the same breath:
//! `ruth.invites("Kim", "user").await.expect(201)`.

use std::borrow::Borrow;
use std::ops::Deref;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};
use vestibule_local::client::{ApiResponse, Client, execute};
use vestibule_local::personas::PASSWORD;

/// A person who uses one portal and may be signed in.
#[derive(Debug, Clone)]
pub struct Person {
    client: Client,
}

impl Deref for Person {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl From<Client> for Person {
    fn from(client: Client) -> Self {
        Self { client }
    }
}

/// A request that got no response is a bug of the test or a crash of the server, so these panic.
impl Person {
    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Response {
        let request = format!("{method} {path}");
        let sent = self.client.send(method, path, body).await;
        Response::new(request, sent.expect("the server responds"))
    }

    pub async fn get(&self, path: &str) -> Response {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: impl Borrow<Value>) -> Response {
        self.send(Method::POST, path, Some(body.borrow())).await
    }

    pub async fn put(&self, path: &str, body: impl Borrow<Value>) -> Response {
        self.send(Method::PUT, path, Some(body.borrow())).await
    }

    pub async fn patch(&self, path: &str, body: impl Borrow<Value>) -> Response {
        self.send(Method::PATCH, path, Some(body.borrow())).await
    }

    pub async fn delete(&self, path: &str) -> Response {
        self.send(Method::DELETE, path, None).await
    }

    /// Signs in and returns the person with the session, if one was opened.
    pub async fn sign_in(&self, username: &str, password: &str) -> (Self, Response) {
        let signed_in = self.client.sign_in(username, password).await;
        let (client, response) = signed_in.expect("the server responds");
        let request = format!("POST /sessions as {username}");
        (client.into(), Response::new(request, response))
    }

    /// Returns the response to signing in, for a person who needs no session.
    pub async fn signs_in(&self, username: &str, password: &str) -> Response {
        self.sign_in(username, password).await.1
    }

    /// Returns the same person with a session's token.
    #[must_use]
    pub fn with_token(&self, token: &str) -> Self {
        self.client.with_token(token).into()
    }

    /// Returns the same person at another IP address.
    #[must_use]
    pub fn from_source(&self, source: &str) -> Self {
        self.client.from_source(source).into()
    }

    /// Returns the same person on another portal, not signed in.
    #[must_use]
    pub fn on(&self, portal: &str) -> Self {
        self.client.on(portal).into()
    }
}

/// What people do often.
impl Person {
    /// Returns the person's account id.
    pub async fn id(&self) -> String {
        let me = self.get("/me").await.expect(200);
        me.text_at("/id").to_owned()
    }

    /// Searches the users of the person's organization.
    pub async fn searches_users(&self, query: &str) -> Response {
        self.post("/users/search", json!({ "query": query })).await
    }

    /// Returns the id of the only user that a search finds.
    pub async fn finds(&self, query: &str) -> String {
        let found = self.searches_users(query).await.expect(200);
        let users = found.body["items"].as_array().map(Vec::len);
        assert_eq!(users, Some(1), "{}", found.text);
        found.text_at("/items/0/id").to_owned()
    }

    /// Invites a person of Blue Heron Manufacturing, whose address follows from the first name.
    pub async fn invites(&self, first: &str, role: &str) -> Response {
        let email = format!("{}@blueheron.example", first.to_lowercase());
        let body =
            json!({ "first_name": first, "last_name": "Lind", "email": email, "role": role });
        self.post("/invitations", body).await
    }

    /// Accepts an invitation with a body such as [`crate::World::acceptance`].
    pub async fn accepts(&self, acceptance: impl Borrow<Value>) -> Response {
        self.post("/invitations/accept", acceptance).await
    }

    /// Approves a user of Blue Heron Manufacturing for enrollment.
    pub async fn approves(&self, user_id: &str) -> Response {
        let body = json!({ "services": ["enrollment"], "group_codes": ["BH01"] });
        self.post(&format!("/users/{user_id}/approval"), body).await
    }

    pub async fn registers(&self, registration: impl Borrow<Value>) -> Response {
        self.post("/registrations", registration).await
    }

    pub async fn enters_pin(&self, pin: &str) -> Response {
        self.post("/pin/activation", json!({ "pin": pin })).await
    }

    pub async fn changes_password(&self, current: &str, new: &str) -> Response {
        let body = json!({ "current_password": current, "new_password": new });
        self.put("/sessions/current/password", body).await
    }

    /// Replaces an initial or one-time password by [`PASSWORD`].
    pub async fn chooses_password(&self, current: &str) -> Response {
        self.changes_password(current, PASSWORD).await
    }

    pub async fn signs_out(&self) -> Response {
        self.delete("/sessions/current").await
    }
}

/// A response, with assertions that show the request and the response when they fail.
#[derive(Debug, Clone)]
pub struct Response {
    request: String,
    response: ApiResponse,
}

impl Deref for Response {
    type Target = ApiResponse;

    fn deref(&self) -> &ApiResponse {
        &self.response
    }
}

impl Response {
    fn new(request: String, response: ApiResponse) -> Self {
        Self { request, response }
    }

    /// Sends a request that the caller completed.
    pub async fn to(request: RequestBuilder) -> Self {
        let described = request.try_clone().and_then(|r| r.build().ok());
        let described = described.map_or_else(
            || "the request".to_owned(),
            |r| format!("{} {}", r.method(), r.url().path()),
        );
        let response = execute(request).await.expect("the server responds");
        Self::new(described, response)
    }

    /// Returns the `items` of a list.
    #[track_caller]
    pub fn items(&self) -> &Vec<Value> {
        let items = self.body["items"].as_array();
        items.unwrap_or_else(|| panic!("{} returned {}", self.request, self.text))
    }

    /// Asserts the status.
    #[track_caller]
    pub fn expect(self, status: u16) -> Self {
        assert_eq!(
            self.status, status,
            "{} returned {}",
            self.request, self.text
        );
        self
    }

    /// Asserts the status and the problem type.
    #[track_caller]
    pub fn refused(self, status: u16, problem: &str) -> Self {
        assert_eq!(
            (self.status, self.problem()),
            (status, problem),
            "{} returned {}",
            self.request,
            self.text
        );
        self
    }

    /// Asserts that one field of the request is invalid.
    #[track_caller]
    pub fn invalid(self, field: &str) -> Self {
        self.invalid_fields(&[field])
    }

    /// Asserts that these fields of the request are invalid.
    #[track_caller]
    pub fn invalid_fields(self, fields: &[&str]) -> Self {
        assert_eq!(
            (self.status, self.fields().as_slice()),
            (422, fields),
            "{} returned {}",
            self.request,
            self.text
        );
        self
    }

    /// Asserts that the body contains a text.
    #[track_caller]
    pub fn says(self, text: &str) -> Self {
        assert!(
            self.text.contains(text),
            "{} doesn't say {text:?}: {}",
            self.request,
            self.text
        );
        self
    }

    /// Asserts a text field of the body by a JSON pointer; empty if it is absent.
    #[track_caller]
    pub fn has(self, pointer: &str, text: &str) -> Self {
        assert_eq!(
            self.text_at(pointer),
            text,
            "{pointer}: {} returned {}",
            self.request,
            self.text
        );
        self
    }
}
