//! Invitations to an organization.

use std::collections::{BTreeMap, BTreeSet};

use futures::future::try_join;
use jiff::civil::Date;
use jiff::{SignedDuration, Timestamp};
use vestibule_domain::rules::accept_invitation::Standing;
use vestibule_domain::state::account::Account;
use vestibule_domain::state::invitation::{Invitation, InvitationStatus, State};
use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::ids::{AccountId, InvitationId, OrganizationId, PortalId};
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
#[derive(Debug)]
pub struct InvitationState {
    /// The id of every invitation of the organization to the address.
    pub id: InvitationId,
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
    /// Returns the id of the invitation of an organization to an email address, so that an address has at most
    /// one. It is keyed, so that nobody can compute it and forge a link with it.
    pub fn invitation_id(&self, organization: &OrganizationId, email: &Email) -> InvitationId {
        let name = format!("invitation/{organization}/{}", email.key());
        InvitationId::from_bytes(self.keyring.keyed_id(&name))
    }

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
        let id = self.invitation_id(organization, email);
        let invitation_key = key(portal, organization, &id);
        let items = self
            .batch(vec![
                organization_key.clone(),
                former_key.clone(),
                invitation_key,
            ])
            .await?;
        let mut state = InvitationState {
            id,
            organization: None,
            invitation: None,
            accepted_by: None,
            is_former_user: false,
        };
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

/// What the invitations of an organization are worth, without the administrators who are notified.
#[derive(Debug, Clone, Default)]
pub struct InvitationStandings {
    organization: Option<Organization>,
    inviters: BTreeMap<AccountId, Account>,
    /// The addresses whose mailbox belongs to a user who was removed.
    former: BTreeSet<String>,
}

impl InvitationStandings {
    /// Returns the standing of one of the invitations.
    pub fn of(&self, invitation: &Invitation) -> Standing {
        Standing {
            organization: self.organization.clone(),
            inviter: self.inviters.get(&invitation.invited_by).cloned(),
            is_former_user: self.former.contains(&invitation.email.key()),
            managers: Vec::new(),
        }
    }
}

impl Store {
    /// Loads what at most 99 invitations of one organization are worth, in one round trip (SE-02). Those that
    /// are no longer open cost nothing.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn invitation_standings(
        &self,
        invitations: &[Invitation],
        now: Timestamp,
    ) -> Result<InvitationStandings, StoreError> {
        let open: Vec<_> = invitations
            .iter()
            .filter(|i| i.status(now) == InvitationStatus::Pending)
            .collect();
        let mut standings = InvitationStandings::default();
        let Some(first) = open.first() else {
            return Ok(standings);
        };
        let (portal, organization) = (&first.portal, &first.organization);
        let organization_key = organizations::key(portal, organization);
        let inviters: BTreeSet<_> = open.iter().map(|i| &i.invited_by).collect();
        let inviters = inviters.into_iter().map(|id| accounts::key(portal, id));
        let wanted = inviters.chain([organization_key.clone()]).collect();
        let formers: Vec<_> = open
            .iter()
            .map(|i| (users::former_key(portal, organization, &i.email), i))
            .collect();
        // Addresses of one mailbox share a key, and a batch may name a key only once.
        let former_keys: BTreeMap<_, _> = formers
            .iter()
            .map(|(key, _)| ((&key.pk, &key.sk), key.clone()))
            .collect();
        let (items, former_items) = try_join(
            self.batch(wanted),
            self.batch(former_keys.into_values().collect()),
        )
        .await?;
        for found in items {
            if organization_key.is_of(&found) {
                standings.organization = Some(item::read(found)?);
            } else {
                let inviter = accounts::read_account(found, &self.keyring)?;
                standings.inviters.insert(inviter.id.clone(), inviter);
            }
        }
        let is_former = |key: &Key| former_items.iter().any(|found| key.is_of(found));
        let former = formers.iter().filter(|(key, _)| is_former(key));
        standings.former = former.map(|(_, i)| i.email.key()).collect();
        Ok(standings)
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
