//! The `curl` commands that pages show.

use serde_json::{Value, json};
use vestibule_domain::policy::Policy;

/// The header that carries the session which [`sign_in`] opens.
pub(super) const BEARER: &str = "-H \"authorization: Bearer $TOKEN\"";

/// A command with its title.
pub(super) struct Example {
    pub title: &'static str,
    pub command: String,
}

/// Returns the options of `curl` that send a JSON body.
pub(super) fn data(body: &Value) -> String {
    format!(
        "\\\n  -H 'content-type: application/json' \\\n  -d '{}'",
        body.to_string().replace('\'', "\\u0027")
    )
}

/// Returns a command that signs in and keeps the session's token in the shell variable `TOKEN`.
pub(super) fn sign_in(base: &str, portal: &str, username: &str, password: &str) -> String {
    let body = json!({ "username": username, "password": password, "token_delivery": "body" });
    format!(
        "TOKEN=$(curl -s {base}/{portal}/sessions {} \\\n  | sed -E 's/.*\"token\":\"([^\"]+)\".*/\\1/')",
        data(&body)
    )
}

/// Returns answers to as many of the portal's security questions as it requires.
pub(super) fn security_answers(policy: &Policy) -> Value {
    let offered = policy.security_questions.as_ref();
    let required = offered.map(|q| q.questions.iter().take(q.required.get() as usize));
    required
        .into_iter()
        .flatten()
        .zip([
            "Maple Street",
            "Biscuit",
            "Lake Geneva",
            "Robin",
            "Whitcombe",
            "Beetle",
        ])
        .map(|(question, answer)| json!({ "question": question.as_str(), "answer": answer }))
        .collect()
}
