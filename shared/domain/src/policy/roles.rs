//! `[roles.ROLE]`: what each role is called and may do.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::faults::Faults;
use super::fields::Line;
use super::read::{Place, Read, Value, leaves, section, table};

/// The role of a user within an organization.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Role {
    /// The first user of an organization, who can sign for it (AG-03).
    Principal,
    /// Manages the organization's users.
    Administrator,
    /// Manages the organization's users as an administrator's deputy (BA-08).
    AlternativeAdministrator,
    /// Works for the organization and manages no users.
    User,
    /// A member of the plan, who belongs to no organization.
    Member,
    /// Help desk staff who can view accounts of other portals (UX-12).
    HelpDeskReader,
    /// Help desk staff who can view accounts of other portals and act on them (UX-12).
    HelpDeskAgent,
}

impl Role {
    /// Returns whether the role manages users; such users are an organization's administrators (AG-15).
    pub const fn is_administrator(self) -> bool {
        matches!(
            self,
            Self::Principal | Self::Administrator | Self::AlternativeAdministrator
        )
    }

    /// Returns its rank. Nobody can act on a user of a higher rank.
    pub const fn rank(self) -> u8 {
        match self {
            Self::Principal => 3,
            Self::Administrator => 2,
            Self::AlternativeAdministrator => 1,
            Self::User | Self::Member | Self::HelpDeskReader | Self::HelpDeskAgent => 0,
        }
    }

    /// Returns whether it is a role of the plan's help desk.
    pub const fn is_help_desk(self) -> bool {
        matches!(self, Self::HelpDeskReader | Self::HelpDeskAgent)
    }
}

/// What a role allows.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case", const_into_str)]
pub enum Permission {
    /// Send, list, resend and revoke invitations, or add users where the portal has no invitations.
    AddUsers,
    /// Invite a person whom the organization deleted (AG-10, BA-06).
    InviteDeleted,
    /// Approve users who registered, and assign services and group codes.
    ApproveUsers,
    /// List and search the users of the organization.
    ListUsers,
    /// Change the data, services and group codes of a user.
    EditUsers,
    /// Change the roles of users.
    GrantRoles,
    /// Disable and reinstate users.
    DisableUsers,
    /// Delete users who are not administrators.
    DeleteUsers,
    /// Delete administrators.
    DeleteAdministrators,
    /// Reissue a lost registration code, or send a password reset link.
    ReissueCodes,
    /// See when each user last signed in (BA-07).
    SeeLastSignIn,
    /// Download the list of users as CSV (BA-09).
    DownloadUsers,
    /// Confirm or remove each account in an access review (EX-11).
    ReviewAccess,
    /// Read the organization's audit trail.
    SeeAudit,
    /// Look up the ids of the agents under a managing agent (AG-12).
    LookUpAgents,
    /// Find and view accounts of the portals that a help desk serves (UX-12).
    FindAccounts,
    /// Act on accounts of the portals that a help desk serves (UX-12).
    ActOnAccounts,
    /// Search the audit trails of the portals that a help desk serves (UX-11).
    SearchAudit,
}

impl Permission {
    /// Returns whether it concerns accounts of other portals.
    const fn is_help_desk(self) -> bool {
        matches!(
            self,
            Self::FindAccounts | Self::ActOnAccounts | Self::SearchAudit
        )
    }

    /// Returns whether it allows no change of anyone's permissions, so that help desk roles can have it.
    const fn raises_nobody(self) -> bool {
        self.is_help_desk()
            || matches!(self, Self::ListUsers | Self::SeeLastSignIn | Self::SeeAudit)
    }
}

section! {
    /// The title and permissions of a role on this portal.
    pub struct RolePolicy {
        /// The role's title on this portal, such as "office manager".
        pub title: Line,
        pub permissions: BTreeSet<Permission> = BTreeSet::new(),
        /// The roles that it can grant.
        pub can_grant: BTreeSet<Role> = BTreeSet::new(),
    }
}

leaves!(Role, Permission);

/// The roles of a policy, as far as they could be read.
#[derive(Debug, Default)]
pub(super) struct ReadRoles {
    policies: BTreeMap<Role, Option<RolePolicy>>,
    /// Whether a name was no role's, so that the role that was meant is unknown.
    misnamed: bool,
}

impl Read for ReadRoles {
    fn read(value: Value<'_>, place: Place<'_>, faults: &mut Faults) -> Option<Self> {
        let (table, _) = table(value, place, faults)?;
        let mut roles = Self::default();
        for (name, value) in table {
            let place = Place::Field(&place, name.get_ref());
            let role: Result<_, serde::de::value::Error> =
                Role::deserialize(name.get_ref().as_ref().into_deserializer());
            match role {
                Ok(role) => {
                    let policy = RolePolicy::read(value, place, faults);
                    roles.policies.insert(role, policy);
                }
                Err(e) => {
                    faults.add_at(name.span().start, place, e.to_string());
                    roles.misnamed = true;
                }
            }
        }
        Some(roles)
    }
}

impl ReadRoles {
    /// Returns whether a role is known to have no section.
    pub(super) fn lacks(&self, role: Role) -> bool {
        !self.misnamed && !self.policies.contains_key(&role)
    }

    /// Returns whether it is known that no role has a permission.
    pub(super) fn lacks_permission(&self, permission: Permission) -> bool {
        let lacks = |policy: &Option<RolePolicy>| {
            policy
                .as_ref()
                .is_some_and(|p| !p.permissions.contains(&permission))
        };
        !self.misnamed && self.policies.values().all(lacks)
    }

    /// Returns the roles if all of them could be read.
    pub(super) fn into_whole(self) -> Option<BTreeMap<Role, RolePolicy>> {
        let policies = Some(self.policies).filter(|_| !self.misnamed)?;
        let mut policies = policies.into_iter();
        policies.try_fold(BTreeMap::new(), |mut all, (role, policy)| {
            all.insert(role, policy?);
            Some(all)
        })
    }

    /// Checks that roles grant only roles that exist, that a help desk has somebody to manage its
    /// staff, and that nobody who serves other portals can raise anybody's rights (UX-12).
    pub(super) fn check(&self, is_help_desk: bool, has_staff: bool, faults: &mut Faults) {
        if is_help_desk && (!has_staff || self.lacks(Role::Principal)) {
            faults.add(
                "help_desk_for",
                "needs a [staff] and a [roles.principal] section: somebody manages the staff",
            );
        }
        for (role, policy) in &self.policies {
            let field = |name: &str| format!("roles.{}{name}", role.into_str());
            if role.is_help_desk() && !is_help_desk {
                faults.add(field(""), "goes with a [help_desk_for] section");
            }
            let Some(policy) = policy else { continue };
            for granted in policy.can_grant.iter().filter(|g| self.lacks(**g)) {
                let reason = format!("{} has no section of its own", granted.into_str());
                faults.add(field(".can_grant"), reason);
            }
            if !role.is_help_desk() && policy.permissions.iter().any(|p| p.is_help_desk()) {
                faults.add(
                    field(".permissions"),
                    "find_accounts, act_on_accounts and search_audit are for help_desk_reader and help_desk_agent",
                );
            } else if role.is_help_desk() && !policy.permissions.iter().all(|p| p.raises_nobody()) {
                faults.add(
                    field(".permissions"),
                    "of the help desk's tiers nobody manages users, so that none can raise their own rights",
                );
            } else if policy.permissions.contains(&Permission::ActOnAccounts)
                && (*role != Role::HelpDeskAgent
                    || !policy.permissions.contains(&Permission::FindAccounts))
            {
                faults.add(
                    field(".permissions"),
                    "act_on_accounts is for help_desk_agent, with find_accounts",
                );
            }
            if role.is_help_desk() && !policy.can_grant.is_empty() {
                faults.add(
                    field(".can_grant"),
                    "must be absent, so that none can raise their own rights",
                );
            }
        }
    }
}
