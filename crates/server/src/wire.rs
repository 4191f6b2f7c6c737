//! Values as they go over the wire: ids with prefix, RFC 3339 times, names from closed lists, secrets.
//!
//! Each wraps a value of `domain` and adds its schema, so that the OpenAPI document knows every name that is accepted.

use std::borrow::Cow;

use secrecy::SecretString;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use utoipa::{
    PartialSchema, ToSchema,
    openapi::{KnownFormat, ObjectBuilder, RefOr, Schema, SchemaFormat, Type},
};

use service::provider_types as provider;

macro_rules! wire_ids {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        #[serde(transparent)]
        pub(crate) struct $name(pub(crate) domain::id::$name);

        impl From<domain::id::$name> for $name {
            fn from(id: domain::id::$name) -> Self {
                $name(id)
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                id_schema(<domain::id::$name as domain::id::TypedId>::PREFIX, $text)
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

wire_ids! {
    /// A person's id.
    UserId = "Names a person.";
    /// An own role's id.
    RoleId = "Names a role that the tenant made.";
    /// A sign-in's id.
    SessionId = "Names a sign-in (it lets nobody in).";
    /// A passkey's id.
    PasskeyId = "Names a passkey (the authenticator knows it by another).";
    /// The id of an act in the audit log.
    AuditId = "Names an act in the audit log.";
    /// A token's id.
    TokenId = "Names a token (it is not the token).";
    /// A client's id.
    ClientId = "Names a client.";
    /// A site's id.
    SiteId = "Names a site.";
    /// An integration's id.
    IntegrationId = "Names an integration.";
    /// An organization's id.
    OrganizationId = "Names an organization and its mapping.";
    /// A device's id.
    DeviceId = "Names one integration's view of a machine.";
    /// An asset's id.
    AssetId = "Names an asset.";
    /// A sync run's id.
    SyncRunId = "Names a sync run.";
    /// A proposal's id.
    ProposalId = "Names a proposal.";
}

/// Which role: a built-in one by its name, an own one by its id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct RoleKey(pub(crate) domain::auth::RoleKey);

impl From<domain::auth::RoleKey> for RoleKey {
    fn from(key: domain::auth::RoleKey) -> Self {
        RoleKey(key)
    }
}

impl Serialize for RoleKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for RoleKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        text.parse().map(RoleKey).map_err(de::Error::custom)
    }
}

impl PartialSchema for RoleKey {
    fn schema() -> RefOr<Schema> {
        let built_in: Vec<&str> = domain::auth::Role::ALL.iter().map(|role| role.name()).collect();
        ObjectBuilder::new()
            .schema_type(Type::String)
            .pattern(Some(format!("^({}|rol_[0-9a-f]{{32}})$", built_in.join("|"))))
            .description(Some("Names a role: a built-in one, or the id of one that the tenant made."))
            .into()
    }
}

impl ToSchema for RoleKey {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("RoleKey")
    }
}

fn id_schema(prefix: &str, description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some(format!("^{prefix}_[0-9a-f]{{32}}$")))
        .description(Some(description))
        .into()
}

macro_rules! wire_names {
    ($($(#[$doc:meta])* $name:ident, $of:path, $all:expr;)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) struct $name(pub(crate) $of);

        impl $name {
            fn names() -> Vec<&'static str> {
                $all.iter().map(|one| one.name()).collect()
            }
        }

        impl From<$of> for $name {
            fn from(value: $of) -> Self {
                $name(value)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.0.name())
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let found = $all.into_iter().find(|one| one.name() == text);
                found.map($name).ok_or_else(|| de::Error::custom(not_among(&text, &$name::names())))
            }
        }

        impl PartialSchema for $name {
            fn schema() -> RefOr<Schema> {
                names_schema(&$name::names())
            }
        }

        impl ToSchema for $name {
            fn name() -> Cow<'static, str> {
                Cow::Borrowed(stringify!($name))
            }
        }
    )+};
}

wire_names! {
    /// What kind of machine.
    AssetType, domain::asset::AssetType, domain::asset::AssetType::ALL;
    /// Whether a machine reports.
    Status, domain::status::Status, domain::status::Status::ALL;
    /// By what assets are sorted.
    AssetOrder, AssetOrderValue, ASSET_ORDERS;
    /// What a sync run does.
    RunKind, domain::sync::RunKind, domain::sync::RunKind::ALL;
    /// Where a sync run stands.
    RunState, domain::sync::RunState, domain::sync::RunState::ALL;
    /// What was decided about an organization.
    MappingState, domain::organization::MappingState, {
        use domain::organization::MappingState::{Excluded, Mapped, Unmapped};
        [Unmapped, Mapped, Excluded]
    };
    /// Where a connection stands.
    ConnectionState, domain::integration::ConnectionState, {
        use domain::integration::ConnectionState::{Connected, Disconnected, Failing, NeedsCode, New, Refused};
        [New, Connected, Failing, NeedsCode, Refused, Disconnected]
    };
    /// What a token is for.
    TokenKind, domain::auth::TokenKind, {
        use domain::auth::TokenKind::{Agent, User};
        [User, Agent]
    };
    /// What kind of party acted.
    ActorKind, domain::ActorKind, domain::ActorKind::ALL;
    /// What came of an act.
    Outcome, domain::audit::Outcome, domain::audit::Outcome::ALL;
    /// A kind of second factor.
    SecondFactor, service::account::Factor, service::account::Factor::ALL;
    /// A right.
    Permission, domain::auth::Permission, domain::auth::Permission::ALL.to_vec();
    /// How one line of a check ended.
    LineState, LineStateValue, LINE_STATES;
}

/// A sort and its direction under one name: a leading `-` turns it round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AssetOrderValue {
    name: &'static str,
    pub(crate) sort: domain::asset::AssetSort,
    pub(crate) direction: domain::asset::Direction,
}

impl AssetOrderValue {
    const fn name(&self) -> &'static str {
        self.name
    }
}

const ASSET_ORDERS: [AssetOrderValue; 12] = {
    use domain::asset::{AssetSort as By, Direction::Ascending as Up, Direction::Descending as Down};
    const fn order(name: &'static str, sort: By, direction: domain::asset::Direction) -> AssetOrderValue {
        AssetOrderValue { name, sort, direction }
    }
    [
        order("name", By::Name, Up),
        order("-name", By::Name, Down),
        order("client", By::Client, Up),
        order("-client", By::Client, Down),
        order("type", By::Type, Up),
        order("-type", By::Type, Down),
        order("os", By::Os, Up),
        order("-os", By::Os, Down),
        order("last_seen", By::LastSeen, Up),
        order("-last_seen", By::LastSeen, Down),
        order("created", By::Created, Up),
        order("-created", By::Created, Down),
    ]
};

/// The state of a line of a check, with the name it has on the wire.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct LineStateValue(&'static str);

impl LineStateValue {
    const fn name(&self) -> &'static str {
        self.0
    }
}

const LINE_STATES: [LineStateValue; 5] = [
    LineStateValue("ok"),
    LineStateValue("warning"),
    LineStateValue("missing"),
    LineStateValue("failed"),
    LineStateValue("skipped"),
];

impl From<provider::LineState> for LineState {
    fn from(state: provider::LineState) -> Self {
        LineState(LineStateValue(match state {
            provider::LineState::Ok => "ok",
            provider::LineState::Warning => "warning",
            provider::LineState::Missing => "missing",
            provider::LineState::Failed => "failed",
            provider::LineState::Skipped => "skipped",
        }))
    }
}

fn not_among(text: &str, names: &[&str]) -> String {
    let shown: String = text.chars().take(60).collect();
    format!("`{shown}` is not known here; use one of `{}`", names.join("`, `"))
}

fn names_schema(names: &[&'static str]) -> RefOr<Schema> {
    ObjectBuilder::new().schema_type(Type::String).enum_values(Some(names.iter().copied())).into()
}

/// A point in time, RFC 3339, UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(transparent)]
#[schema(value_type = String, format = DateTime, example = "2026-11-21T22:05:00.000Z")]
pub(crate) struct Time(pub(crate) domain::Time);

impl From<domain::Time> for Time {
    fn from(time: domain::Time) -> Self {
        Time(time)
    }
}

/// A secret that comes in and never goes out. Silent in `Debug`, and in the errors of reading it.
#[derive(Clone, Debug)]
pub(crate) struct Secret(pub(crate) SecretString);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Text;

        /// The default errors of these would repeat the value.
        macro_rules! refuse {
            ($($method:ident: $of:ty),+) => {$(
                fn $method<E: de::Error>(self, _: $of) -> Result<Secret, E> {
                    Err(E::custom("a text in quotes is expected"))
                }
            )+};
        }

        impl de::Visitor<'_> for Text {
            type Value = Secret;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Secret, E> {
                Ok(Secret(SecretString::from(text)))
            }

            fn visit_string<E: de::Error>(self, text: String) -> Result<Secret, E> {
                Ok(Secret(SecretString::from(text)))
            }

            refuse!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
        }

        // Not `deserialize_string`: that refuses other types before asking the visitor, and repeats the value.
        deserializer.deserialize_any(Text)
    }
}

impl PartialSchema for Secret {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(Type::String)
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Password)))
            .write_only(true)
            .into()
    }
}

impl ToSchema for Secret {
    fn name() -> Cow<'static, str> {
        Cow::Borrowed("Secret")
    }
}

/// One click that may mend a problem.
#[derive(Clone, Debug, Serialize, ToSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub(crate) enum Offer {
    /// Use this address instead.
    UseUrl {
        /// The address.
        url: String,
    },
    /// Ask for the one-time code.
    AskCode,
    /// Allow plain http for this integration.
    AllowPlainHttp,
}

impl From<provider::Offer> for Offer {
    fn from(offer: provider::Offer) -> Self {
        match offer {
            provider::Offer::UseUrl { url } => Offer::UseUrl { url },
            provider::Offer::AskCode => Offer::AskCode,
            provider::Offer::AllowPlainHttp => Offer::AllowPlainHttp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_name_lists_the_right_ones() {
        let error = serde_json::from_str::<Status>("\"sleeping\"").unwrap_err().to_string();
        assert!(
            error.contains("`sleeping` is not known here; use one of `online`, `offline`, `overdue`"),
            "{error}"
        );
    }

    #[test]
    fn every_sort_has_both_directions() {
        for sort in domain::asset::AssetSort::ALL {
            for name in [sort.name().to_owned(), format!("-{}", sort.name())] {
                let read: AssetOrder = serde_json::from_value(name.clone().into()).unwrap();
                assert_eq!((read.0.sort, read.0.name()), (sort, name.as_str()));
            }
        }
    }

    #[test]
    fn a_secret_that_is_no_text_is_not_repeated() {
        for secret in ["12345678", "true", "1.5", "-12345678"] {
            let error = serde_json::from_str::<Secret>(secret).unwrap_err().to_string();
            assert!(!error.contains(secret), "{error}");
        }
        let secret: Secret = serde_json::from_str("\"hunter2\"").unwrap();
        assert!(!format!("{secret:?}").contains("hunter2"));
    }
}
