//! What tests inspect in addition to responses: the work that a request costs, complete emails, and
//! account changes that no endpoint offers.

use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::box_error::BoxError;
use aws_smithy_runtime_api::client::interceptors::context::BeforeTransmitInterceptorContextRef;
use aws_smithy_runtime_api::client::interceptors::{Intercept, SharedInterceptor};
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::config_bag::ConfigBag;
use serde_json::Value;
use vestibule_domain::Decision;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::audit::{Action, Actor, AuditEvent, Origin};
use vestibule_domain::values::ids::{AccountId, PortalId};
use vestibule_local::standins::ses::ReceivedMail;

use crate::World;

/// Records the calls to DynamoDB: each attempt with its operation and number of items.
#[derive(Debug, Clone, Default)]
pub struct Calls(Arc<Mutex<Vec<String>>>);

impl Calls {
    /// Returns the interceptor for [`vestibule_local::Options::interceptors`].
    pub fn interceptor(&self) -> SharedInterceptor {
        SharedInterceptor::new(self.clone())
    }

    /// Returns the calls since the last time, sorted, because parallel calls arrive in any order.
    pub fn take(&self) -> Vec<String> {
        let mut calls = std::mem::take(&mut *self.0.lock().unwrap());
        calls.sort();
        calls
    }
}

impl Intercept for Calls {
    fn name(&self) -> &'static str {
        "Calls"
    }

    fn read_before_transmit(
        &self,
        context: &BeforeTransmitInterceptorContextRef<'_>,
        _: &RuntimeComponents,
        _: &mut ConfigBag,
    ) -> Result<(), BoxError> {
        let request = context.request();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let kind = target.rsplit('.').next().unwrap_or_default();
        let body: Value = serde_json::from_slice(request.body().bytes().unwrap_or_default())?;
        let items = match kind {
            "TransactWriteItems" => body["TransactItems"].as_array().map_or(0, Vec::len),
            "BatchGetItem" => {
                let tables = body["RequestItems"].as_object();
                let keys = |t: &Value| t["Keys"].as_array().map_or(0, Vec::len);
                tables.into_iter().flatten().map(|(_, t)| keys(t)).sum()
            }
            _ => 1,
        };
        self.0.lock().unwrap().push(format!("{kind} of {items}"));
        Ok(())
    }
}

/// Renders an email as its reader sees it, without the secrets that differ between runs.
pub fn shown(mail: &ReceivedMail) -> String {
    let ReceivedMail {
        from,
        to,
        subject,
        text,
        ..
    } = mail;
    let mut lines = vec![format!(
        "From: {from}\nTo: {}\nSubject: {subject}\n",
        to.join(", ")
    )];
    for line in text.lines() {
        lines.push(match line.split_once("#token=") {
            Some((page, token)) => {
                assert!(token.len() > 40, "a token stands whole on its line: {line}");
                format!("{page}#token=[TOKEN]")
            }
            None => line.to_owned(),
        });
    }
    lines.join("\n")
}

impl World {
    /// Changes an account through the store's commit, as the help desk, a sweep or another
    /// administrator would.
    pub async fn alter(&self, portal: &str, user_id: &str, change: impl FnOnce(&mut Account)) {
        let app = &self.instance.app;
        let portal = PortalId::parse(portal).unwrap();
        let id = AccountId::parse(user_id).unwrap();
        let before = app
            .store
            .account(&portal, &id)
            .await
            .unwrap()
            .expect("the account exists");
        let mut after = before.clone();
        change(&mut after);
        let origin = Origin {
            portal,
            at: self.now(),
            source: None,
        };
        let mut rng = app.rng();
        let audit =
            AuditEvent::done(&origin, Actor::System, Action::ApproveUser, &mut rng).on(user_id);
        let decision = Decision::recording(audit).update(&before, after);
        app.commit(decision, &mut rng).await.unwrap();
    }

    /// Returns the number of password hashes computed so far.
    pub fn hashes(&self) -> u64 {
        self.instance.app.hasher.runs()
    }
}
