//! Permissions, roles and kinds of token.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

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

/// A built-in role. Own roles come with people management.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
        [Role::Admin, Role::Technician, Role::Approver, Role::ReadOnly]
            .into_iter()
            .find(|role| role.name() == name)
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
    fn names_read_back() {
        for permission in Permission::ALL {
            assert_eq!(Permission::from_name(permission.name()), Some(*permission));
        }
        assert_eq!(Permissions::from_names(&["nonsense"]), Err("nonsense".to_owned()));
    }
}
