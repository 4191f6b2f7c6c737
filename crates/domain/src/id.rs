//! One type per kind of id: a UUIDv7 inside, `ast_0192…` outside, 32 hex digits in the database.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use uuid::Uuid;

/// What all ids have in common.
pub trait TypedId: Copy + fmt::Display + FromStr<Err = ParseIdError> + Send + Sync + 'static {
    /// The word before the underscore.
    const PREFIX: &'static str;

    /// Wraps a UUID; whoever calls this decides that it names such a thing.
    fn from_uuid(uuid: Uuid) -> Self;

    /// The bare UUID.
    fn uuid(self) -> Uuid;

    /// The database form: 32 hex digits, no prefix.
    fn to_db(self) -> String {
        self.uuid().simple().to_string()
    }

    /// Reads the database form.
    fn from_db(text: &str) -> Result<Self, ParseIdError> {
        let wrong = || ParseIdError { expected: Self::PREFIX, found: text.chars().take(60).collect() };
        Uuid::try_parse(text).map(Self::from_uuid).map_err(|_| wrong())
    }
}

/// An MSP in this installation: a small number, because it is the first part of every key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TenantId(pub i64);

impl fmt::Display for TenantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// The text does not name this kind of thing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{found}` is not an id of this kind; it looks like `{expected}_` and 32 hex digits")]
pub struct ParseIdError {
    expected: &'static str,
    found: String,
}

macro_rules! typed_ids {
    ($($(#[$doc:meta])* $name:ident = $prefix:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl TypedId for $name {
            const PREFIX: &'static str = $prefix;

            fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            fn uuid(self) -> Uuid {
                self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($prefix, "_{}"), self.0.simple())
            }
        }

        impl FromStr for $name {
            type Err = ParseIdError;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                let wrong = || ParseIdError { expected: $prefix, found: text.chars().take(60).collect() };
                let hex = text.strip_prefix(concat!($prefix, "_")).ok_or_else(wrong)?;
                if hex.len() != 32 {
                    return Err(wrong());
                }
                Uuid::try_parse(hex).map(Self).map_err(|_| wrong())
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                text.parse().map_err(de::Error::custom)
            }
        }
    )+};
}

typed_ids! {
    /// A person who signs in.
    UserId = "usr";
    /// One browser's or one sign-in's state.
    SessionId = "ses";
    /// A set of permissions that a tenant made itself.
    RoleId = "rol";
    /// A token for the REST API (kind `user`) or for AI agents (kind `agent`).
    TokenId = "tok";
    /// A passkey of a person: a second factor.
    PasskeyId = "pky";
    /// One act in the audit log.
    AuditId = "aud";
    /// A customer of the tenant.
    ClientId = "cli";
    /// A place of a client.
    SiteId = "sit";
    /// One account at a provider.
    IntegrationId = "int";
    /// The provider's grouping of devices, and what it is mapped to.
    OrganizationId = "org";
    /// One integration's view of a machine.
    DeviceId = "dev";
    /// The machine itself, ours.
    AssetId = "ast";
    /// One execution of a sync.
    SyncRunId = "run";
    /// One queued unit of work.
    JobId = "job";
    /// A question to a person: are these two the same?
    ProposalId = "pro";
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_form_reads_back() {
        let id = AssetId::from_uuid(Uuid::from_u128(7));
        assert_eq!(id.to_string(), "ast_00000000000000000000000000000007");
        assert_eq!(id.to_string().parse::<AssetId>().unwrap(), id);
        assert_eq!(AssetId::from_db(&id.to_db()).unwrap(), id);
    }

    #[test]
    fn another_kind_of_id_is_refused() {
        let client = ClientId::from_uuid(Uuid::from_u128(7)).to_string();
        assert!(client.parse::<AssetId>().is_err());
        assert!("ast_7".parse::<AssetId>().is_err());
        assert!("ast_00000000-0000-0000-0000-000000000007".parse::<AssetId>().is_err());
    }
}
