//! Follow-ups of organizations, and the notices for their administrators.

use jiff::civil::Date;
use vestibule_domain::rules::consequences::FollowUpToSet;
use vestibule_domain::rules::schedule;
use vestibule_domain::state::follow_up::{
    AccountOutcome, AdminNotice, FollowUp, FollowUpKind, Manager,
};
use vestibule_domain::state::organization::Organization;
use vestibule_domain::values::ids::{OrganizationId, PortalId};

use crate::attributes::Item;
use crate::commit::Writes;
use crate::due::{self, FOLLOW_UPS, Queue};
use crate::error::took_effect;
use crate::expression::{Expression, n, s};
use crate::item;
use crate::key::Key;
use crate::users::{ADMINISTRATORS, MAX_ADMINISTRATORS, UserRow};
use crate::{Store, StoreError, organizations};

const NOTICES: &str = "T#";

pub(crate) fn key(portal: &PortalId, organization: &OrganizationId, kind: FollowUpKind) -> Key {
    let sk = format!("{FOLLOW_UPS}{}", kind.into_str());
    organizations::key_of(portal, organization, sk)
}

/// Returns the key of an administrator notice, one for each user and outcome.
fn notice_key(notice: &AdminNotice) -> Key {
    let outcome = match notice.outcome {
        AccountOutcome::Disabled => "disabled",
        AccountOutcome::Deleted => "deleted",
        AccountOutcome::Ended => "ended",
    };
    organizations::key_of(
        &notice.portal,
        &notice.organization,
        format!("{NOTICES}{}#{outcome}", notice.account),
    )
}

/// The data needed to handle a follow-up of an organization.
#[derive(Debug)]
pub struct FollowUpState {
    /// The follow-up, if it is still scheduled.
    pub follow_up: Option<FollowUp>,
    pub organization: Option<Organization>,
    /// The administrators who can act.
    pub managers: Vec<Manager>,
    /// The notices to send to the administrators.
    pub notices_due: Vec<AdminNotice>,
    /// All users of the organization, if the follow-up concerns an access review.
    pub users: Vec<UserRow>,
}

/// The number of notices read at once: those of one email, and one more to detect a remainder.
const NOTICES_AT_A_TIME: i32 = schedule::MAX_NOTIFIED as i32 + 1;

impl Store {
    /// Loads the data needed to handle a follow-up, in one round trip.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn follow_up_state(
        &self,
        portal: &PortalId,
        organization: &OrganizationId,
        kind: FollowUpKind,
    ) -> Result<FollowUpState, StoreError> {
        let key = self::key(portal, organization, kind);
        let pk = key.pk.clone();
        let of_organization = organizations::key(portal, organization);
        let notices_due = async {
            match kind {
                FollowUpKind::AdminNotice => {
                    self.page(pk.clone(), NOTICES, None, NOTICES_AT_A_TIME)
                        .await
                }
                FollowUpKind::Backup | FollowUpKind::Review => Ok((Vec::new(), None)),
            }
        };
        let users = async {
            match kind {
                FollowUpKind::Review => self.all_users(portal, organization).await,
                FollowUpKind::Backup | FollowUpKind::AdminNotice => Ok(Vec::new()),
            }
        };
        let (found, rows, notices_due, users) = futures::future::try_join4(
            self.batch(vec![key.clone(), of_organization]),
            self.page(pk.clone(), ADMINISTRATORS, None, MAX_ADMINISTRATORS),
            notices_due,
            users,
        )
        .await?;
        let mut state = FollowUpState {
            follow_up: None,
            organization: None,
            managers: Vec::new(),
            users,
            notices_due: notices_due
                .0
                .into_iter()
                .map(item::read)
                .collect::<Result<_, _>>()?,
        };
        for item in found {
            if key.is_of(&item) {
                state.follow_up = Some(read(portal, organization, kind, &item)?);
            } else {
                state.organization = Some(item::read(item)?);
            }
        }
        for row in rows.0 {
            state
                .managers
                .extend(item::read::<UserRow>(row)?.as_manager());
        }
        Ok(state)
    }

    /// Schedules a follow-up unless one of its kind is already scheduled. Returns whether it was new.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn add_follow_up(&self, new: &FollowUpToSet) -> Result<bool, StoreError> {
        let set = self
            .update(key(&new.portal, &new.organization, new.kind))
            .condition_expression("attribute_not_exists(pk)")
            .update_expression("SET due = :due, due_on = :on ADD version :one")
            .values([
                (":due", s(partition(new))),
                (":on", s(new.on)),
                (":one", n(1)),
            ])
            .send()
            .await;
        took_effect(set)
    }
}

/// Returns the partition of the index for a follow-up.
fn partition(new: &FollowUpToSet) -> String {
    Queue::FollowUps.partition_of(&new.portal, new.organization.as_str())
}

fn read(
    portal: &PortalId,
    organization: &OrganizationId,
    kind: FollowUpKind,
    item: &Item,
) -> Result<FollowUp, StoreError> {
    let corrupt = || StoreError::corrupt("a follow-up");
    let version = item.get("version").and_then(|v| v.as_n().ok());
    Ok(FollowUp {
        portal: portal.clone(),
        organization: organization.clone(),
        kind,
        on: due::day_of(item).ok_or_else(corrupt)?,
        version: version.and_then(|n| n.parse().ok()).ok_or_else(corrupt)?,
    })
}

impl Writes<'_> {
    pub(crate) fn set_follow_up(&mut self, new: &FollowUpToSet) -> Result<(), StoreError> {
        let day = if new.replaces_day() {
            "due_on = :on"
        } else {
            "due_on = if_not_exists(due_on, :on)"
        };
        let update = self
            .update_of(key(&new.portal, &new.organization, new.kind))
            .update_expression(format!("SET due = :due, {day} ADD version :one"))
            .values([
                (":due", s(partition(new))),
                (":on", s(new.on)),
                (":one", n(1)),
            ]);
        self.push_update(update, None)
    }

    /// Deletes a follow-up, or postpones it to another day.
    pub(crate) fn resolve_follow_up(
        &mut self,
        follow_up: &FollowUp,
        again: Option<Date>,
    ) -> Result<(), StoreError> {
        let key = key(&follow_up.portal, &follow_up.organization, follow_up.kind);
        let version = n(follow_up.version);
        let Some(on) = again else {
            let delete = self
                .delete_of(key)
                .condition_expression("version = :version")
                .values([(":version", version)]);
            return self.push_delete(delete);
        };
        let update = self
            .update_of(key)
            .condition_expression("version = :version")
            .update_expression("SET due_on = :on ADD version :one")
            .values([(":version", version), (":on", s(on)), (":one", n(1))]);
        self.push_update(update, None)
    }

    pub(crate) fn queue_admin_notice(&mut self, notice: &AdminNotice) -> Result<(), StoreError> {
        self.put(item::write(notice_key(notice), notice)?)
    }

    pub(crate) fn clear_admin_notices(
        &mut self,
        notices: &[AdminNotice],
    ) -> Result<(), StoreError> {
        notices
            .iter()
            .try_for_each(|notice| self.delete(notice_key(notice)))
    }
}
