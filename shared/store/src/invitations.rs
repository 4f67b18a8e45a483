//! Invitations to an organization.

use futures::future::try_join;
use jiff::SignedDuration;
use jiff::civil::Date;
use vestibule_domain::rules::accept_invitation::Standing;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::invitation::{Invitation, State};
use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::ids::{InvitationId, OrganizationId, PortalId};
use vestibule_domain::values::text::Email;

use crate::commit::Writes;
use crate::expression::{Expression, n};
use crate::key::Key;
use crate::read::{Page, read_cursor};
use crate::tables::EXPIRES;
use crate::{Store, StoreError, accounts, item, organizations, users};

const INVITATIONS: &str = "I#";

fn key(portal: &PortalId, organization: &OrganizationId, id: &InvitationId) -> Key {
    organizations::key_of(portal, organization, format!("{INVITATIONS}{id}"))
}

/// How long an invitation is kept after it expires, so that it can be shown as expired (UX-01).
const KEPT_AFTER_INVITATION: SignedDuration = SignedDuration::from_hours(24 * 90);

/// What an invitation to an email address depends on.
#[derive(Debug, Default)]
pub struct InvitationState {
    pub organization: Option<Organization>,
    /// The organization's existing invitation to the address.
    pub invitation: Option<Invitation>,
    /// The account that accepted that invitation.
    pub accepted_by: Option<Account>,
    /// Whether the owner of the address's mailbox was removed from the organization.
    pub is_former_user: bool,
}

/// The start of a page of an organization's invitations.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvitationsCursor(String);

impl InvitationsCursor {
    /// Parses the `next` of a page; `None` if it is invalid or belongs to another list.
    pub fn parse(text: &str) -> Option<Self> {
        read_cursor(text, INVITATIONS).map(Self)
    }
}

impl Store {
    /// Loads an invitation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn invitation(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        id: &InvitationId,
    ) -> Result<Option<Invitation>, StoreError> {
        self.get(key(portal, organization, id))
            .await?
            .map(item::read)
            .transpose()
    }

    /// Loads a page of an organization's invitations, with any status.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn invitations(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        cursor: Option<&InvitationsCursor>,
        limit: u8,
    ) -> Result<Page<Invitation>, StoreError> {
        let pk = organizations::key(portal, organization).pk;
        let after = cursor.map(|c| c.0.clone());
        let (items, next) = self.page(pk, INVITATIONS, after, limit.into()).await?;
        let items = items.into_iter().map(item::read);
        Ok(Page::new(items.collect::<Result<_, _>>()?, next))
    }

    /// Loads what an invitation to an email address depends on, in one round trip; in two if someone accepted
    /// an earlier invitation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn invitation_state(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        email: &Email,
    ) -> Result<InvitationState, StoreError> {
        let organization_key = organizations::key(portal, organization);
        let former_key = users::former_key(portal, organization, email);
        let invitation_key = key(
            portal,
            organization,
            &Invitation::natural_id(organization, email),
        );
        let items = self
            .batch(vec![
                organization_key.clone(),
                former_key.clone(),
                invitation_key,
            ])
            .await?;
        let mut state = InvitationState::default();
        for found in items {
            if organization_key.is_of(&found) {
                state.organization = Some(item::read(found)?);
            } else if former_key.is_of(&found) {
                state.is_former_user = true;
            } else {
                state.invitation = Some(item::read(found)?);
            }
        }
        if let Some(State::Accepted { account }) = state.invitation.as_ref().map(|i| &i.state) {
            state.accepted_by = self.account(portal, account).await?;
        }
        Ok(state)
    }

    /// Loads what an invitation is worth on a day, in one round trip (SE-02).
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn invitation_standing(
        &self,
        invitation: &Invitation,
        today: Date,
    ) -> Result<Standing, StoreError> {
        let (portal, organization) = (&invitation.portal, &invitation.organization);
        let organization_key = organizations::key(portal, organization);
        let former_key = users::former_key(portal, organization, &invitation.email);
        let inviter_key = accounts::key(portal, &invitation.invited_by);
        let wanted = vec![organization_key.clone(), former_key.clone(), inviter_key];
        let (items, managers) = try_join(
            self.batch(wanted),
            self.managers(portal, organization, today),
        )
        .await?;
        let mut standing = Standing {
            managers,
            ..Standing::default()
        };
        for found in items {
            if organization_key.is_of(&found) {
                standing.organization = Some(item::read(found)?);
            } else if former_key.is_of(&found) {
                standing.is_former_user = true;
            } else {
                standing.inviter = Some(accounts::read_account(found, &self.keyring)?);
            }
        }
        Ok(standing)
    }
}

impl Writes<'_> {
    pub(crate) fn save_invitation(
        &mut self,
        before: Option<&Invitation>,
        after: &Invitation,
    ) -> Result<(), StoreError> {
        let key = key(&after.portal, &after.organization, &after.id);
        let end = (after.expires_at + KEPT_AFTER_INVITATION).as_second();
        let expires = (EXPIRES.to_owned(), n(end));
        let Some(before) = before else {
            let mut row = item::write(key, after)?;
            row.extend([expires]);
            return self.put_new(row, None);
        };
        let next = Invitation {
            version: before.version + 1,
            ..after.clone()
        };
        let mut row = item::write(key, &next)?;
        row.extend([expires]);
        let put = self
            .put_of(row)
            .condition_expression("version = :version")
            .values([(":version", n(before.version))]);
        self.push_put(put, None)
    }
}
