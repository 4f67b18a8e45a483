//! Invitations: one, pending, resend, revoke.

mod invite;
mod invite_many;
mod list;
mod resend;
mod revoke;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::invite::{Invitation, Refusal};
use vestibule_domain::policy::Policy;
use vestibule_http::{Problem, answer, credentials};

vestibule_http::routes! {
    invite::invite,
    list::list,
    invite_many::invite_many,
    resend::resend,
    revoke::revoke,
}

/// An invitation, as administrators see it.
#[derive(Debug, Serialize, ToSchema)]
struct InvitationAnswer {
    id: String,
    first_name: String,
    last_name: String,
    /// The only address that can use it.
    email: String,
    role: String,
    /// `pending`, `expired`, `accepted` or `revoked`.
    standing: &'static str,
    /// When it was last sent.
    sent_at: String,
    /// How often it was sent.
    sent: u32,
    expires_at: String,
    /// The last day of the access, `YYYY-MM-DD`; absent if it has no end.
    #[serde(skip_serializing_if = "Option::is_none")]
    ends_on: Option<String>,
}

impl InvitationAnswer {
    fn of(invitation: &Invitation, now: jiff::Timestamp) -> Self {
        Self {
            id: invitation.id.to_string(),
            first_name: invitation.name.first.to_string(),
            last_name: invitation.name.last.to_string(),
            email: invitation.email.to_string(),
            role: invitation.role.as_str().to_owned(),
            standing: invitation.standing(now).as_str(),
            sent_at: answer::moment(invitation.sent_at),
            sent: invitation.sent,
            expires_at: answer::moment(invitation.expires_at),
            ends_on: invitation.ends_on.map(|d| d.to_string()),
        }
    }
}

/// A refusal, in words.
fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    let gone = |kind, title, detail| Problem::new(StatusCode::CONFLICT, kind, title, detail);
    match refusal {
        Refusal::NotAllowed => Problem::not_allowed(policy),
        Refusal::NotThisPortal => gone("no-invitations", "No invitations on this portal", "People don't come in by invitation on this portal; add them as users instead."),
        Refusal::AlreadyInvited => gone("already-invited", "Already invited", "This address has a pending invitation. Send that one again, or revoke it first."),
        Refusal::AlreadyAccepted => gone("invitation-used", "Invitation used", "The invited person has registered already."),
        Refusal::WasDeleted => gone("was-deleted", "Removed before", "This person was removed from the organization. Only a principal can invite them again.").with_help(policy),
        Refusal::Revoked => gone("invitation-revoked", "Invitation revoked", "This invitation was revoked. Invite the person anew."),
        Refusal::EndsInPast => Problem::invalid_field("ends_on", credentials::ENDS_IN_PAST),
        Refusal::PrincipalsStay => Problem::invalid_field("ends_on", credentials::PRINCIPALS_STAY),
        Refusal::Expired | Refusal::OtherAddress | Refusal::TooMany | Refusal::Unknown => {
            Problem::not_found("invitation")
        }
    }
}
