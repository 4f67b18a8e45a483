//! Limits the emails that a person requests for others, before anything is written, so that the person learns of the
//! limit (SE-06). The outbox limits what leaves it, whatever causes it; a request that passes here can still
//! exceed the limit of a mailbox that others use up, which the response must not reveal.

use jiff::Timestamp;
use vestibule_domain::outbox::mail::{Message, Volume};
use vestibule_domain::policy::Policy;
use vestibule_domain::state::audit::{Actor, AuditEvent, Outcome};
use vestibule_domain::values::ids::AuditId;
use vestibule_domain::{Change, Decision};
use vestibule_store::attempts::{AttemptKind, Limit, MINUTES_PER_DAY};

use crate::rate_limit::{Counter, TOO_MANY_ATTEMPTS, count_all};
use crate::{App, Problem};

/// Counts the emails of a decision that its actor requests: by organization and mailbox, or by account if they
/// confirm an address. If a limit is exceeded, records the refusal instead of the decision (SE-10).
///
/// # Errors
/// The problem for the exceeded limit.
pub(crate) async fn check(app: &App, decision: &Decision) -> Result<(), Problem> {
    let audit = &decision.audit;
    let Some(policy) = app.portals.get(audit.portal.as_str())? else {
        return Ok(());
    };
    let counters = counters(decision, policy);
    if counters.is_empty() {
        return Ok(());
    }
    let (_, exhausted) = count_all(app, &counters, audit.occurred_at).await?;
    if exhausted.is_none() {
        return Ok(());
    }
    let mut rng = app.rng();
    let refused = AuditEvent {
        id: AuditId::random(&mut rng),
        outcome: Outcome::Refused,
        reason: Some(TOO_MANY_ATTEMPTS.to_owned()),
        ..audit.clone()
    };
    // A right password is no failed attempt, although the request is refused.
    let cleared = decision.changes.iter();
    let cleared = cleared.filter(|change| matches!(change, Change::ForgetAttempts(_)));
    let refused = cleared
        .cloned()
        .fold(Decision::recording(refused), Decision::change);
    app.commit(refused, &mut rng).await?;
    let detail = "Several emails were already requested for this today. Check that the email address is correct, and try again tomorrow.";
    Err(Problem::too_many_attempts(
        detail,
        minutes_left(audit.occurred_at),
        policy,
    ))
}

/// Returns the counters of the emails that the actor of a decision requests.
fn counters(decision: &Decision, policy: &Policy) -> Vec<Counter> {
    let audit = &decision.audit;
    let (Actor::Account(actor) | Actor::HelpDesk(actor)) = &audit.actor else {
        return Vec::new();
    };
    let limits = &policy.rate_limits.email;
    let requested = decision
        .messages
        .iter()
        .filter_map(|message| match message {
            Message::Mail(mail) => Some((mail, mail.text.volume())),
            Message::Letter(_)
            | Message::Recovery(_)
            | Message::AccessCheck(_)
            | Message::Logout(_) => None,
        });
    let counted = requested.filter_map(|(mail, volume)| {
        let (subject, max_attempts) = match (volume, &audit.organization) {
            (Volume::Requested, Some(organization)) => (
                format!("{organization}/{}", mail.to.mailbox_key()),
                limits.max_requested_per_recipient.get(),
            ),
            (Volume::Confirmation, _) => (
                format!("confirmation/{actor}"),
                limits.max_confirmations_per_sender.get(),
            ),
            _ => return None,
        };
        Some(Counter {
            kind: AttemptKind::MailRequest,
            subject,
            limit: Limit::daily(max_attempts),
        })
    });
    counted.collect()
}

/// Returns the minutes until the counters of a day (UTC) start again, at least one.
fn minutes_left(now: Timestamp) -> u32 {
    let passed = now
        .as_second()
        .div_euclid(60)
        .rem_euclid(MINUTES_PER_DAY.into());
    MINUTES_PER_DAY
        .saturating_sub(u32::try_from(passed).unwrap_or(0))
        .max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_ends_at_midnight_utc() {
        for (now, left) in [
            ("2026-11-23T00:00:00Z", 24 * 60),
            ("2026-11-23T18:00:30Z", 6 * 60),
            ("2026-11-23T23:59:59Z", 1),
        ] {
            assert_eq!(minutes_left(now.parse().unwrap()), left, "{now}");
        }
    }
}
