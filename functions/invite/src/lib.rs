//! Invitations: send, list, resend and revoke.

mod invite;
mod invite_many;
mod list;
mod resend;
mod revoke;
mod show;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;
use vestibule_domain::policy::Policy;
use vestibule_domain::rules::invite::Refusal;
use vestibule_domain::state::invitation::{Invitation, InvitationStatus};
use vestibule_http::{Problem, credentials, responses};

vestibule_http::routes! {
    invite::invite,
    list::list,
    invite_many::invite_many,
    resend::resend,
    revoke::revoke,
    show::show,
}

/// An invitation of the caller's organization.
#[derive(Debug, Serialize, ToSchema)]
struct InvitationResponse {
    id: String,
    first_name: String,
    last_name: String,
    /// The email address that the invitation was sent to; no other address can use it.
    email: String,
    role: String,
    /// The status of the invitation: `pending`, `suspended`, `expired`, `accepted` or `revoked`. A
    /// suspended invitation can't be accepted, because the person who last sent it can no longer invite;
    /// resending it makes it valid again.
    status: &'static str,
    /// When the invitation was last sent.
    sent_at: String,
    /// How many times the invitation was sent.
    sent: u32,
    expires_at: String,
    /// The last day of access, `YYYY-MM-DD`; absent if access does not end.
    #[serde(skip_serializing_if = "Option::is_none")]
    end_date: Option<String>,
}

impl InvitationResponse {
    fn of(invitation: &Invitation, status: InvitationStatus) -> Self {
        Self {
            id: invitation.id.to_string(),
            first_name: invitation.name.first.to_string(),
            last_name: invitation.name.last.to_string(),
            email: invitation.email.to_string(),
            role: invitation.role.into_str().to_owned(),
            status: status.into_str(),
            sent_at: responses::moment(invitation.sent_at),
            sent: invitation.sent,
            expires_at: responses::moment(invitation.expires_at),
            end_date: invitation.end_date.map(|d| d.to_string()),
        }
    }
}

/// Converts a refusal to a problem.
fn problem(refusal: Refusal, policy: &Policy) -> Problem {
    let gone = |kind, title, detail| Problem::new(StatusCode::CONFLICT, kind, title, detail);
    match refusal {
        Refusal::NotAllowed => Problem::not_allowed(policy),
        Refusal::UnsupportedOnPortal => gone("no-invitations", "Invitations not available", "Invitations are not available on this portal. Add users directly instead."),
        Refusal::AlreadyInvited => gone("already-invited", "Already invited", "This email address already has a pending invitation. Resend that invitation, or revoke it first."),
        Refusal::AlreadyAccepted => gone("invitation-used", "Invitation used", "The person you invited has already registered."),
        Refusal::PreviouslyRemoved => gone("previously-removed", "Previously removed", "This person was previously removed from your organization. Only a principal can invite them again.").with_help(policy),
        Refusal::Revoked => gone("invitation-revoked", "Invitation revoked", "This invitation was revoked. Send a new invitation instead."),
        Refusal::EndsInPast => Problem::invalid_field("end_date", credentials::ENDS_IN_PAST),
        Refusal::PrincipalsStay => Problem::invalid_field("end_date", credentials::PRINCIPALS_STAY),
        Refusal::Expired
        | Refusal::OtherAddress
        | Refusal::TooMany
        | Refusal::Unknown
        | Refusal::WithoutStanding => Problem::not_found("invitation"),
    }
}
