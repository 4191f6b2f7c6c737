//! Permissions, roles and kinds of token.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::id::{RoleId, TypedId};

macro_rules! permissions {
    ($($(#[$doc:meta])* $name:ident = $text:literal,)+) => {
        /// A right that a route or a tool asks for, by its public name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[$doc])* $name,)+
        }

        impl Permission {
            /// Every permission there is.
            pub const ALL: &'static [Permission] = &[$(Permission::$name),+];

            /// The public name, as in tokens, roles and error texts.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Permission::$name => $text,)+
                }
            }

            /// The permission of this public name.
            pub fn from_name(name: &str) -> Option<Permission> {
                match name {
                    $($text => Some(Permission::$name),)+
                    _ => None,
                }
            }
        }
    };
}

permissions! {
    /// Connect, disconnect, sync, mappings, outgoing webhooks.
    SystemSettings = "system_settings",
    /// See integrations, organizations and sync runs.
    IntegrationsRead = "integrations:read",
    /// See clients and assets.
    AssetsRead = "assets:read",
    /// Change assets.
    AssetsWrite = "assets:write",
    /// Create, rename, merge and archive clients.
    ClientsManage = "clients:manage",
    /// See alerts.
    AlertsRead = "alerts:read",
    /// Change alerts and maintenance windows.
    AlertsManage = "alerts:manage",
    /// Call reading tools.
    ToolsCall = "tools:call",
    /// Call tools that change a device.
    ActionsRun = "actions:run",
    /// Decide approvals.
    ApprovalsDecide = "approvals:decide",
    /// Change policies.
    PoliciesManage = "policies:manage",
    /// Stop and release actions.
    Freeze = "freeze",
    /// Read the audit log.
    AuditRead = "audit:read",
    /// Manage users, roles and other people's tokens.
    UsersManage = "users:manage",
}

/// A set of permissions; on a wire a sorted list of names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Permissions(BTreeSet<Permission>);

impl Permissions {
    /// Everything, for the admin role and for operators at the console.
    pub fn all() -> Self {
        Permissions(Permission::ALL.iter().copied().collect())
    }

    /// Is `permission` among them?
    pub fn has(&self, permission: Permission) -> bool {
        self.0.contains(&permission)
    }

    /// Those in both sets: a token never holds more than its maker.
    #[must_use]
    pub fn intersect(&self, other: &Permissions) -> Permissions {
        Permissions(self.0.intersection(&other.0).copied().collect())
    }

    /// The first of them that `other` lacks; none if `other` holds them all.
    pub fn first_beyond(&self, other: &Permissions) -> Option<Permission> {
        self.0.difference(&other.0).next().copied()
    }

    /// Enough to let others in and to set everything up: each tenant keeps somebody who holds these.
    pub fn rule_the_tenant(&self) -> bool {
        self.has(Permission::UsersManage) && self.has(Permission::SystemSettings)
    }

    /// Their names, sorted.
    pub fn names(&self) -> Vec<&'static str> {
        self.0.iter().map(|permission| permission.name()).collect()
    }

    /// Reads names; an unknown one is an error that carries it.
    pub fn from_names<S: AsRef<str>>(names: &[S]) -> Result<Permissions, String> {
        let mut found = BTreeSet::new();
        for name in names {
            let name = name.as_ref();
            found.insert(Permission::from_name(name).ok_or_else(|| name.to_owned())?);
        }
        Ok(Permissions(found))
    }
}

impl FromIterator<Permission> for Permissions {
    fn from_iter<I: IntoIterator<Item = Permission>>(iter: I) -> Self {
        Permissions(iter.into_iter().collect())
    }
}

/// A built-in role: the same in every tenant, and not to be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Everything.
    Admin,
    /// Works with assets and alerts.
    Technician,
    /// Decides approvals, reads the rest.
    Approver,
    /// Reads.
    ReadOnly,
}

impl Role {
    /// Every built-in role.
    pub const ALL: [Role; 4] = [Role::Admin, Role::Technician, Role::Approver, Role::ReadOnly];

    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Admin => "admin",
            Role::Technician => "technician",
            Role::Approver => "approver",
            Role::ReadOnly => "read_only",
        }
    }

    /// The role of this name.
    pub fn from_name(name: &str) -> Option<Role> {
        Role::ALL.into_iter().find(|role| role.name() == name)
    }

    /// What the role may do.
    pub fn permissions(self) -> Permissions {
        use Permission as P;
        let read = [P::IntegrationsRead, P::AssetsRead, P::AlertsRead];
        match self {
            Role::Admin => Permissions::all(),
            Role::Technician => read
                .into_iter()
                .chain([P::AssetsWrite, P::ClientsManage, P::AlertsManage, P::ToolsCall, P::ActionsRun])
                .collect(),
            Role::Approver => read.into_iter().chain([P::ApprovalsDecide, P::AuditRead]).collect(),
            Role::ReadOnly => read.into_iter().collect(),
        }
    }
}

/// Which role: a built-in one by its name, or an own one of the tenant by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleKey {
    /// The same in every tenant.
    BuiltIn(Role),
    /// Made by the tenant.
    Own(RoleId),
}

impl RoleKey {
    /// The database form.
    pub fn to_db(self) -> String {
        match self {
            RoleKey::BuiltIn(role) => role.name().to_owned(),
            RoleKey::Own(id) => id.to_db(),
        }
    }

    /// Reads the database form.
    pub fn from_db(text: &str) -> Option<RoleKey> {
        let built_in = Role::from_name(text).map(RoleKey::BuiltIn);
        built_in.or_else(|| RoleId::from_db(text).ok().map(RoleKey::Own))
    }
}

impl From<Role> for RoleKey {
    fn from(role: Role) -> Self {
        RoleKey::BuiltIn(role)
    }
}

impl fmt::Display for RoleKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RoleKey::BuiltIn(role) => f.write_str(role.name()),
            RoleKey::Own(id) => id.fmt(f),
        }
    }
}

/// The text names no role.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{found}` is no role; use `admin`, `technician`, `approver`, `read_only` or the id of an own role, `rol_…`"
)]
pub struct ParseRoleError {
    found: String,
}

impl FromStr for RoleKey {
    type Err = ParseRoleError;

    fn from_str(text: &str) -> Result<RoleKey, ParseRoleError> {
        let built_in = Role::from_name(text).map(RoleKey::BuiltIn);
        let key = built_in.or_else(|| text.parse().ok().map(RoleKey::Own));
        key.ok_or_else(|| ParseRoleError { found: text.chars().take(60).collect() })
    }
}

/// A role as it stands: what it is called and what it allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleInfo {
    /// Which one.
    pub key: RoleKey,
    /// What people call it; of a built-in one its name.
    pub name: String,
    /// What it allows.
    pub permissions: Permissions,
}

impl From<Role> for RoleInfo {
    fn from(role: Role) -> Self {
        RoleInfo {
            key: RoleKey::BuiltIn(role),
            name: role.name().to_owned(),
            permissions: role.permissions(),
        }
    }
}

/// What a token is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenKind {
    /// REST and the command line, as the person who made it.
    User,
    /// AI agents: `/mcp` and the tool routes only.
    Agent,
}

impl TokenKind {
    /// The stored and public name.
    pub const fn name(self) -> &'static str {
        match self {
            TokenKind::User => "user",
            TokenKind::Agent => "agent",
        }
    }

    /// The kind of this name.
    pub fn from_name(name: &str) -> Option<TokenKind> {
        [TokenKind::User, TokenKind::Agent].into_iter().find(|kind| kind.name() == name)
    }

    /// What a token of this kind may hold at most, whoever makes it.
    pub fn ceiling(self) -> Permissions {
        use Permission as P;
        match self {
            TokenKind::User => Permissions::all(),
            TokenKind::Agent => Permission::ALL
                .iter()
                .copied()
                .filter(|p| {
                    !matches!(p, P::ApprovalsDecide | P::SystemSettings | P::UsersManage | P::PoliciesManage)
                })
                .collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agents_never_hold_the_powers_of_people() {
        let ceiling = TokenKind::Agent.ceiling();
        for name in ["approvals:decide", "system_settings", "users:manage", "policies:manage"] {
            assert!(!ceiling.has(Permission::from_name(name).unwrap()), "{name}");
        }
    }

    #[test]
    fn a_role_is_a_built_in_name_or_an_id() {
        let own = "rol_00000000000000000000000000000007";
        for text in ["admin", "read_only", own] {
            let key: RoleKey = text.parse().unwrap();
            assert_eq!((key.to_string().as_str(), RoleKey::from_db(&key.to_db())), (text, Some(key)));
        }
        for wrong in ["", "Admin", "rol_7", "usr_00000000000000000000000000000007"] {
            assert!(wrong.parse::<RoleKey>().is_err(), "{wrong}");
        }
        assert_eq!(RoleKey::from_db("nonsense"), None);
    }

    #[test]
    fn what_goes_beyond_is_named() {
        let (admin, reader) = (Role::Admin.permissions(), Role::ReadOnly.permissions());
        assert_eq!(reader.first_beyond(&admin), None);
        assert_eq!(admin.first_beyond(&reader), Some(Permission::SystemSettings));
        assert!(admin.rule_the_tenant() && !Role::Technician.permissions().rule_the_tenant());
    }

    #[test]
    fn names_read_back() {
        for permission in Permission::ALL {
            assert_eq!(Permission::from_name(permission.name()), Some(*permission));
        }
        assert_eq!(Permissions::from_names(&["nonsense"]), Err("nonsense".to_owned()));
    }
}
