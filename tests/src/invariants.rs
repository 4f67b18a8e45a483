//! Invariants of the tables that must hold at any time, whatever was interrupted, repeated or
//! concurrent.
//!
//! Items are read directly, not through the store, so that an error in the store's reading can't
//! hide one in its writing.

use std::collections::BTreeMap;

use aws_sdk_dynamodb::types::AttributeValue;
use serde_json::{Map, Value, json};
use vestibule_domain::rules::schedule;
use vestibule_domain::state::account::Account;
use vestibule_domain::values::folding::NameKey;
use vestibule_domain::values::text::PersonName;

use crate::World;

/// The content of the tables, by kind of item.
#[derive(Debug, Default)]
pub struct Contents {
    /// `A#portal#id` → account.
    pub accounts: BTreeMap<String, Value>,
    pub sessions: Vec<Value>,
    /// The codes of applications.
    pub codes: Vec<Value>,
    /// The access tokens of applications.
    pub access_tokens: Vec<Value>,
    /// `T#digest` → the item that finds an account by an emailed token.
    pub tokens: BTreeMap<String, Value>,
    /// `N#portal#name` → marker.
    pub usernames: BTreeMap<String, Value>,
    /// `E#realm#address` → marker.
    pub emails: BTreeMap<String, Value>,
    /// `O#portal#id` → organization.
    pub organizations: BTreeMap<String, Value>,
    /// `O#portal#id/O#…` → the row that lists a user.
    pub rows: BTreeMap<String, Value>,
    pub invitations: Vec<Value>,
    /// `C#portal#address/account` → the item that finds an account by its email address.
    pub contacts: BTreeMap<String, Value>,
    /// `H#portal#username/account` → the item that finds a user by a username that they had.
    pub former: BTreeMap<String, Value>,
    pub records: Vec<Value>,
    /// `M#plan#manager/R#agent` → the item that finds an agent by their managing agent.
    pub managed: BTreeMap<String, Value>,
    /// `X#id` → message.
    pub messages: BTreeMap<String, Value>,
    /// `O#portal#id/D#kind` → follow-up.
    pub follow_ups: BTreeMap<String, Value>,
    /// Notices to administrators that have not been sent.
    pub notices_due: Vec<Value>,
    pub audit: Vec<Value>,
}

impl Contents {
    /// Reads both tables.
    ///
    /// # Panics
    /// If an item is of an unknown kind.
    pub async fn of(world: &World) -> Self {
        let mut all = Self::default();
        for item in world.items(&world.instance.tables.main).await {
            let item = plain(&AttributeValue::M(item));
            let (pk, sk) = (text(&item, "/pk").to_owned(), text(&item, "/sk").to_owned());
            match (pk.split('#').next(), sk.split('#').next()) {
                (Some("A"), Some("A")) => drop(all.accounts.insert(pk, item)),
                (Some("A"), Some("S")) => all.sessions.push(item),
                // Responses that are kept for a repetition.
                (Some("A"), Some("K")) => {}
                (Some("A"), Some("AC")) => all.codes.push(item),
                (Some("A"), Some("AT")) => all.access_tokens.push(item),
                (Some("N"), _) => drop(all.usernames.insert(pk, item)),
                (Some("E"), _) => drop(all.emails.insert(pk, item)),
                (Some("O"), Some("O")) if sk == "O" => {
                    drop(all.organizations.insert(pk, item));
                }
                (Some("O"), Some("O")) => drop(all.rows.insert(format!("{pk}/{sk}"), item)),
                (Some("O"), Some("I")) => all.invitations.push(item),
                (Some("O"), Some("D")) => drop(all.follow_ups.insert(format!("{pk}/{sk}"), item)),
                (Some("O"), Some("T")) => all.notices_due.push(item),
                (Some("C"), _) => drop(all.contacts.insert(format!("{pk}/{sk}"), item)),
                // Records that a user was removed. They outlive the user.
                (Some("O"), Some("F" | "V")) => {}
                // What remains of the usernames of users who were removed or renamed.
                (Some("H"), _) => drop(all.former.insert(format!("{pk}/{sk}"), item)),
                (Some("R"), _) => all.records.push(item),
                (Some("M"), _) => drop(all.managed.insert(format!("{pk}/{sk}"), item)),
                (Some("X"), _) => drop(all.messages.insert(pk, item)),
                // The keyring, attempt counters, used assertions, feed states and letter batches.
                (Some("K" | "G" | "J" | "F" | "L"), _) => {}
                (Some("T"), _) => drop(all.tokens.insert(pk, item)),
                _ => panic!("an item of an unknown kind: {pk} {sk}"),
            }
        }
        for item in world.items(&world.instance.tables.audit).await {
            let item = plain(&AttributeValue::M(item));
            // Seals and the lists of sealed events are not events.
            if !matches!(
                text(&item, "/pk").split('#').nth(1),
                Some("seals" | "sealed")
            ) {
                all.audit.push(item);
            }
        }
        all
    }

    /// Returns the number of accounts on a portal.
    pub fn accounts_on(&self, portal: &str) -> usize {
        self.accounts
            .values()
            .filter(|a| text(a, "/portal") == portal)
            .count()
    }

    /// Returns how often an action was recorded as done.
    pub fn done(&self, action: &str) -> usize {
        self.audit
            .iter()
            .filter(|e| text(e, "/action") == action && text(e, "/outcome") == "done")
            .count()
    }

    /// Returns the pending messages of a channel.
    pub fn pending(&self, channel: &str) -> usize {
        let waits = |m: &&Value| text(m, "/state") == "pending" && text(m, "/channel") == channel;
        self.messages.values().filter(waits).count()
    }

    fn account(&self, portal: &str, id: &str) -> Option<&Value> {
        self.accounts.get(&format!("A#{portal}#{id}"))
    }

    /// Returns whether an account was removed from an organization, by a person or by the scheduler.
    fn removed(&self, account: &str, organization: &str) -> bool {
        self.recorded(&["remove_user"], |e| {
            text(e, "/object") == account && text(e, "/organization") == organization
        }) || self.recorded(&["end_access", "delete_idle"], |e| {
            text(e, "/object") == account
        })
    }

    fn recorded(&self, actions: &[&str], fits: impl Fn(&Value) -> bool) -> bool {
        self.audit.iter().any(|e| {
            actions.contains(&text(e, "/action")) && text(e, "/outcome") == "done" && fits(e)
        })
    }
}

/// Checks all invariants and returns the content for further assertions.
///
/// # Panics
/// If an invariant is violated.
pub async fn invariants(world: &World) -> Contents {
    let all = Contents::of(world).await;
    let mut faults = Vec::new();
    markers(&all, &mut faults);
    tokens(&all, &mut faults);
    claims(&all, &mut faults);
    managers(&all, &mut faults);
    former_users(&all, &mut faults);
    rows(&all, &mut faults);
    records_of_what_was_done(&all, &mut faults);
    outbox(&all, &mut faults);
    due(world, &all, &mut faults);
    assert!(
        faults.is_empty(),
        "the tables are not consistent:\n{}",
        faults.join("\n")
    );
    all
}

/// The items of emailed tokens match the accounts, in both directions.
fn tokens(all: &Contents, faults: &mut Vec<String>) {
    let living = all.accounts.values();
    let living = living.filter(|a| text(a, "/status") != "deleted");
    let expected: BTreeMap<_, _> = living
        .flat_map(|account| {
            ["/pending_email/token", "/reset/token"]
                .map(|at| (text(account, at), text(account, "/id")))
        })
        .filter(|(digest, _)| !digest.is_empty())
        .map(|(digest, owner)| (format!("T#{digest}"), owner))
        .collect();
    let found: BTreeMap<_, _> = all
        .tokens
        .iter()
        .map(|(pk, item)| (pk.clone(), text(item, "/account")))
        .collect();
    if found != expected {
        faults.push(format!("emailed tokens: {found:?} instead of {expected:?}"));
    }
}

/// Username and address markers match the accounts, in both directions.
fn markers(all: &Contents, faults: &mut Vec<String>) {
    let living = all
        .accounts
        .values()
        .filter(|a| text(a, "/status") != "deleted")
        .count();
    if all.contacts.len() != living {
        faults.push(format!(
            "{} addresses for {living} accounts",
            all.contacts.len()
        ));
    }
    for (pk, marker) in &all.usernames {
        let mut parts = pk.splitn(3, '#').skip(1);
        let (portal, name) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let bears = |a: &Value| {
            text(a, "/username").to_lowercase() == name && text(a, "/status") != "deleted"
        };
        if !all
            .account(portal, text(marker, "/account"))
            .is_some_and(bears)
        {
            faults.push(format!("{pk} belongs to no account with that username"));
        }
    }
    for (pk, marker) in &all.emails {
        let mut parts = pk.splitn(3, '#').skip(1);
        let (realm, address) = (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        );
        let bears = |a: &&Value| {
            text(a, "/id") == text(marker, "/account")
                && text(a, "/email_realm") == realm
                && text(a, "/email").to_lowercase() == address
        };
        if !all
            .accounts
            .values()
            .any(|a| bears(&a) && text(a, "/status") != "deleted")
        {
            faults.push(format!("{pk} belongs to no account with that address"));
        }
    }
    for (pk, account) in all
        .accounts
        .iter()
        .filter(|(_, a)| text(a, "/status") != "deleted")
    {
        let name = format!(
            "N#{}#{}",
            text(account, "/portal"),
            text(account, "/username").to_lowercase()
        );
        let contact = format!(
            "C#{}#{}/{}",
            text(account, "/portal"),
            text(account, "/email").to_ascii_lowercase(),
            text(account, "/id")
        );
        let bounced = text(account, "/email_undeliverable/kind") == "bounced";
        match all.contacts.get(&contact) {
            None => faults.push(format!("{pk} is not found as {contact}")),
            Some(found) if found.get("bounced").is_some() != bounced => {
                faults.push(format!(
                    "{contact} doesn't contain whether emails to {pk} bounce"
                ));
            }
            Some(_) => {}
        }
        if all.usernames.get(&name).map(|m| text(m, "/account")) != Some(text(account, "/id")) {
            faults.push(format!("{pk} has no marker {name}"));
        }
        let realm = text(account, "/email_realm");
        let address = format!("E#{realm}#{}", text(account, "/email").to_lowercase());
        if !realm.is_empty()
            && all.emails.get(&address).map(|m| text(m, "/account")) != Some(text(account, "/id"))
        {
            faults.push(format!("{pk} has no marker {address}"));
        }
    }
}

/// Claims on records match the accounts that registered with them, in both directions.
fn claims(all: &Contents, faults: &mut Vec<String>) {
    for record in &all.records {
        for (name, owner) in record.as_object().into_iter().flatten() {
            let Some(claim) = name.strip_prefix("claim#") else {
                continue;
            };
            let owner = owner.as_str().unwrap_or_default();
            let pk = text(record, "/pk");
            let Some((portal, registration_type)) = claim.split_once('#') else {
                // An organization was registered with the record, unless it is a member's.
                let organization = all.organizations.get(&format!("O#{claim}#{owner}"));
                let of_it = organization.is_some_and(|o| o.get("record") == record.get("key"));
                if owner != "-" && !of_it {
                    faults.push(format!(
                        "{pk} is linked to the organization {owner} of another record"
                    ));
                }
                continue;
            };
            let made = text(record, &format!("/claim#{portal}"));
            let with_it = |a: &Value| {
                memberships(a).any(|m| {
                    m.get("record") == record.get("key")
                        && text(m, "/registration_type") == registration_type
                        && m.get("organization").and_then(Value::as_str).unwrap_or("-") == made
                })
            };
            if !all.account(portal, owner).is_some_and(with_it) {
                faults.push(format!(
                    "{pk} is claimed on {portal}, but nobody registered with it through this registration type"
                ));
            }
        }
    }
    for (pk, account) in all
        .accounts
        .iter()
        .filter(|(_, a)| text(a, "/status") != "deleted")
    {
        for (wanted, registration_type) in memberships(account)
            .filter_map(|m| Some((m.get("record")?, text(m, "/registration_type"))))
            .filter(|(r, _)| !r.is_null())
        {
            let claim = format!("claim#{}#{registration_type}", text(account, "/portal"));
            let record = all.records.iter().find(|r| r.get("key") == Some(wanted));
            if record.and_then(|r| r.get(&claim)) != account.get("id") {
                faults.push(format!("{pk} has no claim on its record {wanted}"));
            }
        }
    }
}

/// A removed user can be found by the username they had.
fn former_users(all: &Contents, faults: &mut Vec<String>) {
    for (pk, account) in &all.accounts {
        let name = text(account, "/username").to_lowercase();
        let portal = text(account, "/portal");
        let key = format!("H#{portal}#{name}/{}", text(account, "/id"));
        if text(account, "/status") == "deleted" && !all.former.contains_key(&key) {
            faults.push(format!("{pk} is not found by the username it had"));
        }
    }
}

/// Managing agents find exactly the agents they manage.
fn managers(all: &Contents, faults: &mut Vec<String>) {
    let mut left = all.managed.clone();
    for record in all
        .records
        .iter()
        .filter(|r| text(r, "/key/kind") == "agent")
    {
        let manager = text(record, "/data/manager");
        if manager.is_empty() {
            continue;
        }
        let (plan, agent) = (text(record, "/key/plan"), text(record, "/key/number"));
        let row = left.remove(&format!("M#{plan}#{manager}/R#{agent}"));
        let name_key = json!(NameKey::of(&[text(record, "/data/name")]));
        if row.is_none_or(|r| r.get("name_key") != Some(&name_key)) {
            faults.push(format!("{agent} is not found under {manager}"));
        }
    }
    for row in left.into_keys() {
        faults.push(format!("{row} has no counterpart"));
    }
}

/// The rows of an organization match its users.
fn rows(all: &Contents, faults: &mut Vec<String>) {
    let mut expected = BTreeMap::new();
    for account in all.accounts.values() {
        for membership in memberships(account) {
            let Some(organization) = membership.get("organization").and_then(Value::as_str) else {
                continue;
            };
            let below = ["user", "help_desk_reader", "help_desk_agent"];
            let administrator = !below.contains(&text(membership, "/role"));
            let class = if administrator { "O#A#" } else { "O#U#" };
            let (portal, id) = (text(account, "/portal"), text(account, "/id"));
            let registration = match text(membership, "/pending_step/pending_step") {
                "open" => "registered",
                "approval" => "awaiting_approval",
                "record_ended" => "record_ended",
                _ => "pending",
            };
            let name: PersonName = serde_json::from_value(account["name"].clone()).unwrap();
            let sk = format!("{class}{}#{id}", name.sort_key());
            let mut row = json!({
                "account": id, "registration": registration,
                "pk": format!("O#{portal}#{organization}"), "sk": sk,
            });
            for field in [
                "username",
                "name",
                "email",
                "status",
                "last_sign_in_at",
                "concurrent_use_detected_at",
            ] {
                row[field] = account.get(field).cloned().unwrap_or(Value::Null);
            }
            if let Some(known) = account.get("email_undeliverable") {
                row["email_undeliverable"] = known.clone();
            }
            let names = ["/name/first", "/name/last"].map(|pointer| text(account, pointer));
            row["name_key"] = json!(NameKey::of(&names));
            for field in [
                "role",
                "services",
                "group_codes",
                "joined_at",
                "end_date",
                "confirmed",
            ] {
                row[field] = membership.get(field).cloned().unwrap_or(Value::Null);
            }
            expected.insert(format!("O#{portal}#{organization}/{sk}"), row);
            if !all
                .organizations
                .contains_key(&format!("O#{portal}#{organization}"))
            {
                faults.push(format!(
                    "an account belongs to the organization {organization} that doesn't exist"
                ));
            }
        }
    }
    for (key, row) in &all.rows {
        let account = expected.remove(key);
        let mut row = row.clone();
        for optional in [
            "last_sign_in_at",
            "concurrent_use_detected_at",
            "end_date",
            "confirmed",
        ] {
            if row.get(optional).is_none() {
                row[optional] = Value::Null;
            }
        }
        if account.as_ref() != Some(&row) {
            faults.push(format!(
                "{key} differs from its account:\n  {row}\n  {account:?}"
            ));
        }
    }
    faults.extend(expected.keys().map(|key| format!("{key} is missing")));
    for (pk, organization) in &all.organizations {
        let first = all.account(
            text(organization, "/portal"),
            text(organization, "/registered_by"),
        );
        let of = |v: &Value| v.get("record").cloned().unwrap_or_default();
        let there = first.is_some_and(|a| memberships(a).any(|m| of(m) == of(organization)));
        let (id, by) = (
            text(organization, "/id"),
            text(organization, "/registered_by"),
        );
        // The user who registered it by mistake has been removed (EX-12).
        let ended = organization.get("ended_at").is_some();
        if !there && !ended && !all.removed(by, id) {
            faults.push(format!(
                "{pk} was registered by an account that doesn't exist"
            ));
        }
    }
    for invitation in &all.invitations {
        let by = text(invitation, "/state/account");
        let organization = invitation.get("organization");
        // A user removed since then is deleted.
        let joined = |a: &Value| {
            text(a, "/status") == "deleted"
                || memberships(a).any(|m| m.get("organization") == organization)
        };
        if text(invitation, "/state/state") == "accepted"
            && !all
                .account(text(invitation, "/portal"), by)
                .is_some_and(joined)
        {
            faults.push(format!(
                "{} was accepted by an account that doesn't exist",
                text(invitation, "/sk")
            ));
        }
    }
}

/// Every change has an audit event.
fn records_of_what_was_done(all: &Contents, faults: &mut Vec<String>) {
    for (pk, account) in &all.accounts {
        let id = text(account, "/id");
        let made = all.recorded(&["register", "add_user"], |e| text(e, "/object") == id)
            || all.recorded(&["accept_invitation"], |e| text(e, "/actor/id") == id);
        if !made {
            faults.push(format!("the creation of {pk} is not recorded"));
        }
        let signed_in = account.get("last_sign_in_at");
        let at_that_moment =
            |e: &Value| text(e, "/object") == id && e.get("occurred_at") == signed_in;
        if signed_in.is_some() && !all.recorded(&["sign_in"], at_that_moment) {
            faults.push(format!("the last sign-in of {pk} is not recorded"));
        }
        let opened = memberships(account).any(|m| {
            text(m, "/pending_step/pending_step") == "open"
                && m.get("record").is_some_and(|r| !r.is_null())
        });
        // The content of a letter is encrypted. Letters that aren't notifications contain a PIN.
        let portal = text(account, "/portal");
        let letters = all.messages.values();
        let letters = letters
            .filter(|m| text(m, "/channel") == "letter" && text(m, "/portal") == portal)
            .count();
        let notified = all
            .audit
            .iter()
            .filter(|e| text(e, "/action") == "notify_provider" && text(e, "/portal") == portal);
        let pin_was_due = letters > notified.count();
        let alone = all.accounts_on(text(account, "/portal")) == 1;
        if opened
            && pin_was_due
            && alone
            && !all.recorded(&["activate_pin"], |e| text(e, "/object") == id)
        {
            faults.push(format!("the activation of {pk} is not recorded"));
        }
    }
    for session in &all.sessions {
        let id = text(session, "/account");
        if all.account(text(session, "/portal"), id).is_none() {
            faults.push(format!("a session of {id}, which doesn't exist"));
        }
        if !all.recorded(&["sign_in"], |e| {
            text(e, "/object") == id && e.get("occurred_at") == session.get("started_at")
        }) {
            faults.push(format!("a session of {id} has no recorded sign-in"));
        }
    }
    for invitation in &all.invitations {
        let id = text(invitation, "/id");
        if !all.recorded(&["invite"], |e| text(e, "/object") == id) {
            faults.push(format!("the invitation {id} is not recorded"));
        }
        let accepted = text(invitation, "/state/state") == "accepted";
        if accepted && !all.recorded(&["accept_invitation"], |e| text(e, "/object") == id) {
            faults.push(format!("the acceptance of {id} is not recorded"));
        }
    }
}

/// Pending messages can be sent, sent messages have no content left, and every pending PIN or code
/// is in a message.
fn outbox(all: &Contents, faults: &mut Vec<String>) {
    for (pk, message) in &all.messages {
        let has = |name: &str| message.get(name).is_some();
        let fits = match text(message, "/state") {
            "pending" => has("payload") && has("pending"),
            "sent" | "refused" | "failed" | "limited" => {
                !has("payload") && !has("pending") && !has("claimed_until") && has("expires")
            }
            _ => false,
        };
        if !fits {
            faults.push(format!("{pk} is neither pending nor sent: {message}"));
        }
    }
    for (pk, account) in &all.accounts {
        for issue in memberships(account).filter_map(|m| m.pointer("/pending_step/issue")) {
            if !all
                .messages
                .contains_key(&format!("X#{}", text(issue, "/carried_by")))
            {
                faults.push(format!(
                    "{pk} has a pending PIN or code that is in no message"
                ));
            }
        }
    }
}

/// The index finds every account on the day of its next scheduled action, and unsent notices to
/// administrators have a follow-up.
fn due(world: &World, all: &Contents, faults: &mut Vec<String>) {
    for (pk, item) in &all.accounts {
        let account: Account = serde_json::from_value(item.clone()).unwrap();
        let policy = world.instance.policy(account.portal.as_str());
        let due = policy.and_then(|p| schedule::next_due(&account, p));
        let expected = due.map(|d| d.on.to_string()).unwrap_or_default();
        if text(item, "/due_on") != expected || item.get("due").is_some() != due.is_some() {
            faults.push(format!(
                "{pk} is due on {:?} but indexed on {:?}",
                expected,
                text(item, "/due_on")
            ));
        }
    }
    for notices_due in &all.notices_due {
        let follow_up = format!("{}/D#admin_notice", text(notices_due, "/pk"));
        if !all.follow_ups.contains_key(&follow_up) {
            faults.push(format!("no follow-up will send {notices_due}"));
        }
    }
    for (pk, item) in &all.organizations {
        let reviews = world.instance.policy(text(item, "/portal"));
        let reviews = reviews.is_some_and(|p| p.access_review.is_some());
        let follow_up = format!("{pk}/D#review");
        if reviews && item.get("ended_at").is_none() && !all.follow_ups.contains_key(&follow_up) {
            faults.push(format!("no follow-up will start a review of {pk}"));
        }
    }
    for (key, follow_up) in &all.follow_ups {
        let organization = key.split_once('/').map(|(pk, _)| pk).unwrap_or_default();
        if !all.organizations.contains_key(organization) || follow_up.get("due").is_none() {
            faults.push(format!("{key} belongs to no organization, or is never due"));
        }
    }
}

fn memberships(account: &Value) -> impl Iterator<Item = &Value> {
    account
        .get("memberships")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

/// Returns a text by JSON pointer, or an empty text if it is missing.
pub fn text<'v>(value: &'v Value, pointer: &str) -> &'v str {
    value
        .pointer(pointer)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// Converts an attribute to JSON.
pub fn plain(value: &AttributeValue) -> Value {
    match value {
        AttributeValue::S(s) => json!(s),
        AttributeValue::N(n) => serde_json::from_str(n).unwrap_or_else(|_| json!(n)),
        AttributeValue::Bool(b) => json!(b),
        AttributeValue::B(b) => json!(format!("{:?}", b.as_ref())),
        AttributeValue::Ss(list) => json!(list),
        AttributeValue::L(list) => list.iter().map(plain).collect(),
        // In the order of names, so that two images of an item can be compared as text.
        AttributeValue::M(map) => Value::Object(
            map.iter()
                .map(|(k, v)| (k.clone(), plain(v)))
                .collect::<BTreeMap<_, _>>()
                .into_iter()
                .collect::<Map<_, _>>(),
        ),
        _ => Value::Null,
    }
}
