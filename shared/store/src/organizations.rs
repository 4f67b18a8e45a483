//! Organizations. Their users, invitations and follow-ups are in the same partition.

use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::ids::{OrganizationId, PortalId};

use crate::commit::Writes;
use crate::expression::{Expression, n};
use crate::key::Key;
use crate::{Store, StoreError, item};

pub(crate) fn key(portal: &PortalId, id: &OrganizationId) -> Key {
    key_of(portal, id, "O")
}

/// Returns the key of an item in the partition of an organization.
pub(crate) fn key_of(portal: &PortalId, id: &OrganizationId, sk: impl Into<String>) -> Key {
    Key::new(format!("O#{portal}#{id}"), sk)
}

impl Store {
    /// Returns the id of a help desk's organization. A help desk portal has exactly one, so that its first account
    /// can be created only once. The id is keyed, so that nobody can compute it.
    pub fn help_desk_organization_id(&self, portal: &PortalId) -> OrganizationId {
        let name = format!("help-desk/{portal}");
        OrganizationId::from_bytes(self.keyring.keyed_id(&name))
    }

    /// Loads an organization.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn organization(
        &self,
        portal: &PortalId,
        id: &OrganizationId,
    ) -> Result<Option<Organization>, StoreError> {
        self.get(key(portal, id)).await?.map(item::read).transpose()
    }

    /// Loads several organizations in one round trip, in no particular order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn organizations(
        &self,
        portal: &PortalId,
        ids: impl IntoIterator<Item = &OrganizationId>,
    ) -> Result<Vec<Organization>, StoreError> {
        let wanted: Vec<_> = ids.into_iter().map(|id| key(portal, id)).collect();
        if wanted.is_empty() {
            return Ok(Vec::new());
        }
        let found = self.batch(wanted).await?;
        found.into_iter().map(item::read).collect()
    }
}

impl Writes<'_> {
    pub(crate) fn create_organization(
        &mut self,
        organization: &Organization,
    ) -> Result<(), StoreError> {
        let key = key(&organization.portal, &organization.id);
        self.put_new(item::write(key, organization)?, None)
    }

    /// Replaces an organization if it has not changed since it was read.
    pub(crate) fn update_organization(
        &mut self,
        before: &Organization,
        after: &Organization,
    ) -> Result<(), StoreError> {
        let next = Organization {
            version: before.version + 1,
            ..after.clone()
        };
        let row = item::write(key(&after.portal, &after.id), &next)?;
        let put = self
            .put_of(row)
            .condition_expression("version = :version")
            .values([(":version", n(before.version))]);
        self.push_put(put, None)
    }
}
