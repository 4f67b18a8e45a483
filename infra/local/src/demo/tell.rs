//! Tells steps: sends the real request, prints it with its answer and with the mails and letters it
//! caused, and compares.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use reqwest::{Method, StatusCode};
use serde_json::Value;

use super::Differs;
use crate::client::{self, Answer, Client};
use crate::instance::PrintedLetter;
use crate::standins::ses::ReceivedMail;
use crate::{Instance, StartError, post};

const TITLE: Style = AnsiColor::Cyan.on_default().bold();
const STEP: Style = Style::new().bold();
const QUIET: Style = Style::new().dimmed();
const GOOD: Style = AnsiColor::Green.on_default();
const REFUSED: Style = AnsiColor::Yellow.on_default();
const POST: Style = AnsiColor::Magenta.on_default();

/// The longest JSON that is shown on one line.
const ONE_LINE: usize = 92;

/// What stands between a mail and its footer.
const FOOTER: &str = "----------";

/// Fields that are not shown, in requests and answers.
const SECRET: [&str; 6] = [
    "password",
    "initial_password",
    "current_password",
    "new_password",
    "answer",
    "token",
];

/// Tells the steps of journeys.
pub(super) struct Teller<'a, W> {
    pub instance: &'a Instance,
    base: &'a str,
    out: &'a mut W,
    journey: &'static str,
    step: usize,
    told_mails: usize,
    told_letters: usize,
}

/// A request to be sent.
pub(super) struct Call<'a> {
    pub client: &'a Client,
    pub portal: &'static str,
    pub method: Method,
    pub path: &'a str,
    pub body: Option<Value>,
}

impl<'a, W: Write> Teller<'a, W> {
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

    /// A caller on a portal who isn't signed in.
    pub fn on(&self, portal: &'static str) -> Client {
        Client::new(self.base, portal)
    }

    pub fn opening(&mut self) -> io::Result<()> {
        let portals = self.instance.app.portals.names().count();
        writeln!(
            self.out,
            "A fresh system in memory: {portals} portals and the sample plan records. Every request below is real;\n\
             passwords, tokens and answers to security questions are masked."
        )
    }

    pub fn closing(&mut self, journeys: usize) -> io::Result<()> {
        let (mails, letters) = (self.told_mails, self.told_letters);
        writeln!(
            self.out,
            "\n{GOOD}{STEP}All as promised.{STEP:#}{GOOD:#} {journeys} journey{}, {mails} mails, {letters} letters. Try it yourself with `cargo portal`.",
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

    /// Says what comes next.
    pub fn step(&mut self, text: &str) -> io::Result<()> {
        self.step += 1;
        writeln!(self.out, "\n{STEP}{}. {text}{STEP:#}", self.step)
    }

    /// Says something that is no request.
    pub fn note(&mut self, text: &str) -> io::Result<()> {
        writeln!(self.out, "   {text}")
    }

    /// Sends a request, and tells it with its answer and what it caused. The status must be the one
    /// expected.
    pub async fn call(&mut self, call: Call<'_>, expected: u16) -> Result<Answer, StartError> {
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
        let answer = client.send(method, path, body.as_ref()).await?;
        self.answered(what, answer, expected).await
    }

    /// The same with a CSV file as the body.
    pub async fn file(
        &mut self,
        (client, portal, path): (&Client, &'static str, &str),
        file: &str,
    ) -> Result<Answer, StartError> {
        let what = format!("POST /{portal}{path}");
        writeln!(self.out, "   {STEP}{what}{STEP:#}")?;
        self.lines(file)?;
        let request = client.request(Method::POST, path);
        let request = request.header("content-type", "text/csv");
        let answer = client::answer(request.body(file.to_owned())).await?;
        self.answered(what, answer, 200).await
    }

    /// Tells lines of a text.
    pub fn lines(&mut self, text: &str) -> io::Result<()> {
        for line in text.lines() {
            writeln!(self.out, "     {QUIET}{line}{QUIET:#}")?;
        }
        Ok(())
    }

    async fn answered(
        &mut self,
        what: String,
        answer: Answer,
        expected: u16,
    ) -> Result<Answer, StartError> {
        let status = StatusCode::from_u16(answer.status)?;
        let style = if status.is_success() { GOOD } else { REFUSED };
        writeln!(self.out, "   {style}→ {status}{style:#}")?;
        match &answer.body {
            Value::Null => self.lines(&answer.text)?,
            body => self.json(body)?,
        }
        if answer.status != expected {
            return Err(self.differs(
                what,
                format!("status {expected}"),
                format!("status {} with {}", answer.status, answer.text),
            ));
        }
        self.instance.settle().await?;
        self.tell_post()?;
        Ok(answer)
    }

    /// Signs somebody in, and checks the next step that the session carries; empty: none.
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
        let answer = self.call(call, 201).await?;
        self.expect(&answer, "/next_step", next_step)?;
        Ok(client.with_token(answer.text_at("/token")))
    }

    /// Checks a text in an answer.
    pub fn expect(&self, answer: &Answer, pointer: &str, expected: &str) -> Result<(), StartError> {
        let got = answer.text_at(pointer);
        if got == expected {
            return Ok(());
        }
        Err(self.differs(
            format!("the answer's {pointer}"),
            format!("{expected:?}"),
            format!("{got:?} in {}", answer.text),
        ))
    }

    /// Checks that an answer says something somewhere.
    pub fn says(&self, answer: &Answer, expected: &str) -> Result<(), StartError> {
        if answer.text.contains(expected) {
            return Ok(());
        }
        Err(self.differs(
            "the answer".into(),
            format!("something with {expected:?}"),
            answer.text.clone(),
        ))
    }

    /// The last mail to an address; there must be one.
    pub fn mail_to(&self, address: &str) -> Result<ReceivedMail, StartError> {
        let mail = self.instance.inbox.to(address).pop();
        mail.ok_or_else(|| {
            self.differs(
                "the inbox".into(),
                format!("a mail to {address}"),
                "none".into(),
            )
        })
    }

    /// The token in the last mail to an address.
    pub fn token_for(&self, address: &str) -> Result<String, StartError> {
        let mail = self.mail_to(address)?;
        let token = post::link_token(&mail).map(str::to_owned);
        token
            .ok_or_else(|| self.differs("the mail".into(), "a link with a token".into(), mail.text))
    }

    /// The code in the last mail to an address.
    pub fn code_for(&self, address: &str) -> Result<String, StartError> {
        let mail = self.mail_to(address)?;
        let code = post::registration_code(&mail).map(str::to_owned);
        code.ok_or_else(|| self.differs("the mail".into(), "a registration code".into(), mail.text))
    }

    /// The PIN of the last letter.
    pub fn pin(&self) -> Result<String, StartError> {
        let letter = self.instance.letters().pop();
        let pin = letter
            .as_ref()
            .and_then(|l| post::pin(&l.text))
            .map(str::to_owned);
        pin.ok_or_else(|| {
            self.differs(
                "the letters".into(),
                "one with a PIN".into(),
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

    /// Tells the mails and letters that are new.
    fn tell_post(&mut self) -> Result<(), StartError> {
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
        // The help desk stands below every mail; it is shown once.
        let text = match text.split_once(FOOTER) {
            Some((text, _)) if self.told_mails > 0 => {
                format!("{text}[and the help desk, as above]")
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

/// Takes the secrets out of what is shown.
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

/// JSON in lines that are filled as far as they go; what doesn't fit on one is laid out by itself.
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

/// JSON on one line, with spaces that make it easier to read.
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
