//! `GET /{portal}/accounts/{account_portal}/{id}/invitations`: lists the open invitations of an
//! account's organization, so that a lost one can be sent again (AG-01, UX-01).

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};
use vestibule_domain::policy::Permission;
use vestibule_domain::rules::actions::authority::Staff;
use vestibule_domain::state::audit::Action;
use vestibule_domain::state::invitation::{Invitation, InvitationStatus};
use vestibule_domain::values::ids::OrganizationId;
use vestibule_http::openapi::{AccountParams, EntitledProblems, NotFoundProblems, QueryProblems};
use vestibule_http::request::{Query, cursor};
use vestibule_http::responses::{Page, moment};
use vestibule_http::{App, Entitled, Problem};
use vestibule_store::InvitationsCursor;

use crate::account_context::{AccountContext, AccountPath, problem};
use crate::masked;

/// The organization and the page.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvitationsQuery {
    /// The organization whose invitations are listed. Required if the account belongs to several.
    organization_id: Option<String>,
    /// The `next_cursor` of the previous page.
    cursor: Option<String>,
}

/// An invitation that has not been accepted. The email address is masked so that a caller can be
/// asked for it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct PendingInvitation {
    id: String,
    first_name: String,
    last_name: String,
    /// The email address, masked except for its first character and its domain.
    #[serde(skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    role: &'static str,
    /// The invitation status: `pending`, `expired`, or `suspended` if the person who last sent it can no
    /// longer invite. Sending an expired invitation again makes it usable again; only an administrator of
    /// the organization can do so for a suspended one.
    status: &'static str,
    /// When the invitation was last sent.
    sent_at: String,
    /// How many times the invitation was sent.
    sent: u32,
    expires_at: String,
}

impl PendingInvitation {
    /// Returns `None` if the invitation was accepted or revoked.
    fn of(invitation: &Invitation, status: InvitationStatus) -> Option<Self> {
        if !matches!(
            status,
            InvitationStatus::Pending | InvitationStatus::Suspended | InvitationStatus::Expired
        ) {
            return None;
        }
        Some(Self {
            id: invitation.id.to_string(),
            first_name: invitation.name.first.to_string(),
            last_name: invitation.name.last.to_string(),
            email: masked(&invitation.email),
            role: invitation.role.into_str(),
            status: status.into_str(),
            sent_at: moment(invitation.sent_at),
            sent: invitation.sent,
            expires_at: moment(invitation.expires_at),
        })
    }
}

/// List open invitations
///
/// Lists the open and expired invitations of an account's organization; the request is recorded
/// on the organization's audit trail. A page may hold few invitations, or none, even if more
/// follow: continue while `next_cursor` is present.
#[utoipa::path(
    get, path = "/{portal}/accounts/{account_portal}/{id}/invitations", tag = "help desk",
    operation_id = "list_invitations_of_account",
    params(AccountParams, InvitationsQuery),
    security(("session" = []), ("cookie" = [])),
    responses(
        (status = 200, body = Page<PendingInvitation>, description = "A page of invitations"),
        (status = 409, description = "`account-disabled` or `account-deleted`"),
        EntitledProblems, NotFoundProblems, QueryProblems,
    )
)]
pub(crate) async fn list_invitations(
    State(app): State<App>,
    Entitled(caller): Entitled,
    path: AccountPath,
    Query(query): Query<InvitationsQuery>,
) -> Result<Json<Page<PendingInvitation>>, Problem> {
    let context = AccountContext::load(&app, &caller, Permission::FindAccounts, &path).await?;
    let named = query.organization_id.as_deref().map(OrganizationId::parse);
    let named = named.transpose().map_err(|_| {
        Problem::invalid_field("organization_id", "must be the id of an organization")
    })?;
    let after = cursor(query.cursor.as_deref(), InvitationsCursor::parse)?;
    let organization = context
        .target(named.as_ref())
        .inviting_organization()
        .map_err(|refusal| problem(refusal, context.policy))?;
    let staff = Staff {
        account: &caller.account.id,
        reason: None,
    };
    let mut rng = app.rng();
    let look = staff
        .about(
            &context.account,
            &context.origin,
            Action::ListInvitations,
            &mut rng,
        )
        .for_organization(Some(organization));
    // Recorded before anything is shown.
    app.store.record(&look).await?;
    let page = app
        .store
        .invitations(&context.policy.portal, organization, after.as_ref(), 50)
        .await?;
    let now = context.origin.at;
    let standings = app.store.invitation_standings(&page.items, now).await?;
    let waiting = page.items.iter().filter_map(|invitation| {
        let status = standings
            .of(invitation)
            .status(invitation, context.policy, now);
        PendingInvitation::of(invitation, status)
    });
    Ok(Json(Page {
        items: waiting.collect(),
        next_cursor: page.next,
    }))
}
