//! Runs a step: sends the request, prints it with its response and the emails and letters that it causes, and
//! checks the result.

use std::fmt;
use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use reqwest::{Method, StatusCode};
use serde_json::Value;
use vestibule_http::oauth::client_secret;
use vestibule_secrets::totp;

use crate::client::{self, ApiResponse, Client};
use crate::instance::PrintedLetter;
use crate::standins::ses::ReceivedMail;
use crate::{Instance, StartError, post};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const STEP: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const REFUSED: Style = AnsiColor::Yellow.on_default();
const POST: Style = AnsiColor::Magenta.on_default();

/// The maximum length of JSON on one line.
const ONE_LINE: usize = 92;

/// The line above the footer of an email.
const FOOTER: &str = "----------";

/// Fields that are masked in requests and responses.
const SECRET: [&str; 15] = [
    "password",
    "initial_password",
    "current_password",
    "new_password",
    "answer",
    "token",
    "code",
    "secret",
    "uri",
    "qr_code",
    "enrollment",
    "access_token",
    "id_token",
    "code_verifier",
    "redirect_to",
];

/// A result that isn't as expected.
#[derive(Debug)]
pub struct Differs {
    pub journey: &'static str,
    /// The number of the step and the request or result.
    pub what: String,
    pub expected: String,
    pub got: String,
}

impl fmt::Display for Differs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            journey,
            what,
            expected,
            got,
        } = self;
        write!(
            f,
            "the demo stopped because a result isn't as expected.\n  journey:  {journey}\n  step:     {what}\n  expected: {expected}\n  got:      {got}"
        )
    }
}

impl std::error::Error for Differs {}

/// Runs and prints the steps of journeys.
pub(super) struct Demo<'a, W> {
    pub instance: &'a Instance,
    base: &'a str,
    out: &'a mut W,
    journey: &'static str,
    step: usize,
    told_mails: usize,
    told_letters: usize,
}

/// A request to send.
pub(super) struct Call<'a> {
    pub client: &'a Client,
    pub portal: &'static str,
    pub method: Method,
    pub path: &'a str,
    pub body: Option<Value>,
}

impl<'a, W: Write> Demo<'a, W> {
    pub fn new(instance: &'a Instance, base: &'a str, out: &'a mut W) -> Self {
        Self {
            instance,
            base,
            out,
            journey: "",
            step: 0,
            told_mails: 0,
            told_letters: 0,
        }
    }

    /// Returns a caller on a portal who isn't signed in.
    pub fn on(&self, portal: &'static str) -> Client {
        Client::new(self.base, portal)
    }

    pub fn opening(&mut self) -> io::Result<()> {
        let portals = self.instance.app.portals.names().count();
        writeln!(
            self.out,
            "A new system in memory with {portals} portals and the sample plan records. Every request below is real.\n\
             Passwords, tokens, second factors and answers to security questions are masked."
        )
    }

    pub fn closing(&mut self, journeys: usize) -> io::Result<()> {
        let (mails, letters) = (self.told_mails, self.told_letters);
        writeln!(
            self.out,
            "\n{GOOD}{STEP}All results are as expected.{STEP:#}{GOOD:#} {journeys} journey{}, {mails} emails, {letters} letters. Try it yourself with `cargo portal`.",
            if journeys == 1 { "" } else { "s" }
        )
    }

    pub fn begin(&mut self, title: &'static str) -> io::Result<()> {
        (self.journey, self.step) = (title, 0);
        writeln!(
            self.out,
            "\n{TITLE}{}\n{title}\n{0}{TITLE:#}",
            "═".repeat(title.chars().count())
        )
    }

    /// Starts a step and prints its title.
    pub fn step(&mut self, text: &str) -> io::Result<()> {
        self.step += 1;
        writeln!(self.out, "\n{STEP}{}. {text}{STEP:#}", self.step)
    }

    /// Prints a line that isn't a request.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "   {text}")
    }

    /// Sends a request and prints it with its response and effects. Fails on an unexpected status.
    pub async fn call(&mut self, call: Call<'_>, expected: u16) -> Result<ApiResponse, StartError> {
        let Call {
            client,
            portal,
            method,
            path,
            body,
        } = call;
        let what = format!("{method} /{portal}{path}");
        writeln!(self.out, "   {STEP}{what}{STEP:#}")?;
        if let Some(body) = &body {
            self.json(body)?;
        }
        let response = client.send(method, path, body.as_ref()).await?;
        self.check(what, response, expected).await
    }

    /// Sends a request with a CSV file as the body, as [`Demo::call`] does.
    pub async fn file(
        &mut self,
        (client, portal, path): (&Client, &'static str, &str),
        file: &str,
    ) -> Result<ApiResponse, StartError> {
        let what = format!("POST /{portal}{path}");
        writeln!(self.out, "   {STEP}{what}{STEP:#}")?;
        self.lines(file)?;
        let request = client.request(Method::POST, path);
        let request = request.header("content-type", "text/csv");
        let response = client::execute(request.body(file.to_owned())).await?;
        self.check(what, response, 200).await
    }

    /// Sends a form as an application of a portal with its secret, as [`Demo::call`] does.
    pub async fn form(
        &mut self,
        (portal, application, path): (&'static str, &str, &str),
        form: &[(&str, &str)],
        expected: u16,
    ) -> Result<ApiResponse, StartError> {
        let what = format!("POST /{portal}{path}");
        writeln!(self.out, "   {STEP}{what}{STEP:#}")?;
        self.json(&form.iter().copied().collect())?;
        let policy = self.instance.policy(portal).ok_or("no such portal")?;
        let secret = policy.application(application);
        let secret = secret.map(|own| client_secret(&self.instance.app, policy, own));
        let secret = secret.ok_or("no such application")?;
        let request = self.on(portal).request(Method::POST, path);
        let request = request.basic_auth(application, Some(secret.expose()));
        let response = client::execute(request.form(form)).await?;
        self.check(what, response, expected).await
    }

    /// Prints the lines of a text.
    pub fn lines(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "     {QUIET}{line}{QUIET:#}")?;
        }
        Ok(())
    }

    async fn check(
        &mut self,
        what: String,
        response: ApiResponse,
        expected: u16,
    ) -> Result<ApiResponse, StartError> {
        let status = StatusCode::from_u16(response.status)?;
        let style = if status.is_success() { GOOD } else { REFUSED };
        writeln!(self.out, "   {style}→ {status}{style:#}")?;
        match &response.body {
            Value::Null => self.lines(&response.text)?,
            body => self.json(body)?,
        }
        if response.status != expected {
            return Err(self.differs(
                what,
                format!("status {expected}"),
                format!("status {} with {}", response.status, response.text),
            ));
        }
        self.instance.settle().await?;
        self.print_post()?;
        Ok(response)
    }

    /// Signs a user in and checks the session's next step; empty if there must be none.
    pub async fn sign_in(
        &mut self,
        portal: &'static str,
        username: &str,
        password: &str,
        next_step: &str,
    ) -> Result<Client, StartError> {
        let client = self.on(portal);
        let body = serde_json::json!({ "username": username, "password": password, "token_delivery": "body" });
        let call = Call {
            client: &client,
            portal,
            method: Method::POST,
            path: "/sessions",
            body: Some(body),
        };
        let response = self.call(call, 201).await?;
        let signed_in = client.with_token(response.text_at("/token"));
        self.arrives(&signed_in, (portal, username), response, next_step)
            .await?;
        Ok(signed_in)
    }

    /// Checks the next step of a session. A user whose role requires a second factor sets up an authenticator app
    /// first.
    pub async fn arrives(
        &mut self,
        client: &Client,
        (portal, username): (&'static str, &str),
        session: ApiResponse,
        next_step: &str,
    ) -> Result<(), StartError> {
        if session.text_at("/next_step") != "set_up_second_factor" {
            return self.expect(&session, "/next_step", next_step);
        }
        self.note(&format!(
            "The role of {username} requires a second factor: an authenticator app is set up"
        ))?;
        self.sets_up_app(client, portal).await?;
        let call = Call {
            client,
            portal,
            method: Method::GET,
            path: "/sessions/current",
            body: None,
        };
        let session = self.call(call, 200).await?;
        self.expect(&session, "/next_step", next_step)
    }

    /// Sets up an authenticator app and returns its secret.
    pub async fn sets_up_app(
        &mut self,
        client: &Client,
        portal: &'static str,
    ) -> Result<String, StartError> {
        let call = |path, body| Call {
            client,
            portal,
            method: Method::POST,
            path,
            body,
        };
        let started = call("/me/authenticator-apps/enrollment", None);
        let started = self.call(started, 200).await?;
        let secret = started.text_at("/secret").to_owned();
        let app = serde_json::json!({
            "name": "Phone",
            "enrollment": started.text_at("/enrollment"),
            "code": self.app_code(&secret),
        });
        self.call(call("/me/authenticator-apps", Some(app)), 201)
            .await?;
        Ok(secret)
    }

    /// Returns the code that an authenticator app shows now.
    pub fn app_code(&self, secret: &str) -> Option<String> {
        totp::displayed_code(secret, self.instance.app.clock.now())
    }

    /// Checks a field of a response.
    pub fn expect(
        &self,
        response: &ApiResponse,
        pointer: &str,
        expected: &str,
    ) -> Result<(), StartError> {
        let got = response.text_at(pointer);
        if got == expected {
            return Ok(());
        }
        Err(self.differs(
            format!("the response's {pointer}"),
            format!("{expected:?}"),
            format!("{got:?} in {}", response.text),
        ))
    }

    /// Checks that a response contains a text.
    pub fn contains(&self, response: &ApiResponse, expected: &str) -> Result<(), StartError> {
        if response.text.contains(expected) {
            return Ok(());
        }
        Err(self.differs(
            "the response".into(),
            format!("a body that contains {expected:?}"),
            response.text.clone(),
        ))
    }

    /// Returns the latest email to an address; fails if there is none.
    pub fn mail_to(&self, address: &str) -> Result<ReceivedMail, StartError> {
        let mail = self.instance.inbox.to(address).pop();
        mail.ok_or_else(|| {
            self.differs(
                "the inbox".into(),
                format!("an email to {address}"),
                "none".into(),
            )
        })
    }

    /// Returns the token in the latest email to an address.
    pub fn token_for(&self, address: &str) -> Result<String, StartError> {
        let mail = self.mail_to(address)?;
        let token = post::link_token(&mail).map(str::to_owned);
        token.ok_or_else(|| {
            self.differs("the email".into(), "a link with a token".into(), mail.text)
        })
    }

    /// Returns the code in the latest email to an address.
    pub fn code_for(&self, address: &str) -> Result<String, StartError> {
        let mail = self.mail_to(address)?;
        let code = post::registration_code(&mail).map(str::to_owned);
        code.ok_or_else(|| {
            self.differs("the email".into(), "a registration code".into(), mail.text)
        })
    }

    /// Returns the PIN in the latest letter.
    pub fn pin(&self) -> Result<String, StartError> {
        let letter = self.instance.letters().pop();
        let pin = letter
            .as_ref()
            .and_then(|l| post::pin(&l.text))
            .map(str::to_owned);
        pin.ok_or_else(|| {
            self.differs(
                "the letters".into(),
                "a letter with a PIN".into(),
                format!("{letter:?}"),
            )
        })
    }

    pub fn differs(&self, what: String, expected: String, got: String) -> StartError {
        let what = format!("{}, {what}", self.step);
        Differs {
            journey: self.journey,
            what,
            expected,
            got,
        }
        .into()
    }

    /// Prints the new emails and letters.
    fn print_post(&mut self) -> Result<(), StartError> {
        let mails = self.instance.inbox.all();
        for mail in mails.iter().skip(self.told_mails) {
            self.mail(mail)?;
            self.told_mails += 1;
        }
        let letters = self.instance.letters();
        for letter in letters.iter().skip(self.told_letters) {
            self.letter(letter)?;
        }
        self.told_letters = letters.len();
        Ok(())
    }

    fn mail(&mut self, mail: &ReceivedMail) -> io::Result<()> {
        let ReceivedMail {
            from,
            to,
            subject,
            text,
            ..
        } = mail;
        // The footer is the same in every email of a portal; print it once.
        let text = match text.split_once(FOOTER) {
            Some((text, _)) if self.told_mails > 0 => {
                format!("{text}[the help desk, as above]")
            }
            _ => text.clone(),
        };
        let whole = format!(
            "From:    {from}\nTo:      {}\nSubject: {subject}\n\n{text}",
            to.join(", ")
        );
        self.boxed("Email", &whole)
    }

    fn letter(&mut self, letter: &PrintedLetter) -> io::Result<()> {
        self.boxed("Letter", &letter.text)
    }

    fn boxed(&mut self, title: &str, text: &str) -> io::Result<()> {
        writeln!(self.out, "   {POST}┌─ {title}{POST:#}")?;
        for line in text.trim_end().lines() {
            writeln!(self.out, "   {POST}│{POST:#} {line}")?;
        }
        writeln!(self.out, "   {POST}└─{POST:#}")
    }

    fn json(&mut self, value: &Value) -> io::Result<()> {
        let mut value = value.clone();
        mask(&mut value);
        for line in laid_out(&value, 0).lines() {
            writeln!(self.out, "     {QUIET}{line}{QUIET:#}")?;
        }
        Ok(())
    }
}

/// Masks secrets before printing.
fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                if SECRET.contains(&name.as_str()) && value.is_string() {
                    *value = Value::from("********");
                } else {
                    mask(value);
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        _ => {}
    }
}

/// Formats JSON in filled lines; a value that doesn't fit on its line is broken up.
fn laid_out(value: &Value, indent: usize) -> String {
    let line = spaced(value);
    if indent + line.chars().count() <= ONE_LINE {
        return line;
    }
    let inner = indent + 2;
    let parts: Vec<_> = match value {
        Value::Object(fields) => {
            let laid = |(name, value): (&String, &Value)| {
                let name = Value::from(name.as_str()).to_string();
                format!("{name}: {}", laid_out(value, inner))
            };
            fields.iter().map(laid).collect()
        }
        Value::Array(items) => items.iter().map(|item| laid_out(item, inner)).collect(),
        _ => return line,
    };
    let mut lines: Vec<String> = Vec::new();
    for (i, part) in parts.iter().enumerate() {
        let part = if i + 1 < parts.len() {
            format!("{part},")
        } else {
            part.clone()
        };
        match lines.last_mut() {
            Some(line)
                if !line.contains('\n')
                    && inner + line.chars().count() + 1 + part.chars().count() <= ONE_LINE =>
            {
                line.push(' ');
                line.push_str(&part);
            }
            _ => lines.push(part),
        }
    }
    let (open, close) = if value.is_array() {
        ('[', ']')
    } else {
        ('{', '}')
    };
    let between = format!("\n{:inner$}", "");
    format!(
        "{open}{between}{}\n{:indent$}{close}",
        lines.join(&between),
        ""
    )
}

/// Formats JSON on one line with spaces.
fn spaced(value: &Value) -> String {
    match value {
        Value::Object(fields) if !fields.is_empty() => {
            let fields = fields
                .iter()
                .map(|(name, value)| format!("{}: {}", Value::from(name.as_str()), spaced(value)));
            format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => format!(
            "[{}]",
            items.iter().map(spaced).collect::<Vec<_>>().join(", ")
        ),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_masked_however_deep() {
        let mut value = serde_json::json!({
            "username": "ruth", "password": "p", "security_answers": [{ "question": "q", "answer": "a" }], "token": "t",
        });
        mask(&mut value);
        let masked = "********";
        let expected = serde_json::json!({
            "username": "ruth", "password": masked, "security_answers": [{ "question": "q", "answer": masked }], "token": masked,
        });
        assert_eq!(value, expected);
    }
}
