//! Which assets: the filters of list and export.

use clap::{Args, ValueEnum};

use crate::{
    api_client::Query,
    cli::{Session, clock, failure::Failure, resolve},
    output::time,
};

/// Which assets. All conditions hold at once.
#[derive(Args, Debug)]
#[command(next_help_heading = "Filters (all hold at once)")]
pub(crate) struct FilterArgs {
    /// Of this client.
    #[arg(long, value_name = "NAME")]
    client: Option<String>,
    /// At this site of the client.
    #[arg(long, value_name = "NAME")]
    site: Option<String>,
    /// From this kind of RMM.
    #[arg(long, value_name = "ID")]
    provider: Option<String>,
    /// From this integration.
    #[arg(long, value_name = "NAME")]
    integration: Option<String>,
    /// Of this type.
    #[arg(long = "type", value_enum)]
    asset_type: Option<TypeName>,
    /// With this status.
    #[arg(long, value_enum)]
    status: Option<StatusName>,
    /// Words, each somewhere in name, serial number, addresses, model or system.
    #[arg(long)]
    text: Option<String>,
    /// Seen since: `30d`, `12h`, `2026-11-21` or RFC 3339.
    #[arg(long, value_name = "TIME")]
    seen_after: Option<String>,
    /// Not seen since.
    #[arg(long, value_name = "TIME")]
    seen_before: Option<String>,
    /// The system begins with this.
    #[arg(long)]
    os: Option<String>,
    /// Waits for a restart, or does not.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    needs_reboot: Option<bool>,
    /// No longer listed by the RMM, or listed.
    #[arg(long, num_args = 0..=1, default_missing_value = "true", value_name = "true|false")]
    missing: Option<bool>,
    /// Order; a leading `-` turns it round.
    #[arg(long, allow_hyphen_values = true, value_name = "COLUMN", value_parser = SORTS)]
    sort: Option<String>,
}

const SORTS: [&str; 12] = [
    "name",
    "client",
    "type",
    "os",
    "last_seen",
    "created",
    "-name",
    "-client",
    "-type",
    "-os",
    "-last_seen",
    "-created",
];

/// A type of asset, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "snake_case")]
pub(crate) enum TypeName {
    /// A machine for a person.
    Workstation,
    /// A machine for other machines.
    Server,
    /// A printer.
    Printer,
    /// Switch, router, firewall, access point.
    NetworkDevice,
    /// A host of virtual machines.
    Hypervisor,
    /// Nobody said.
    Unknown,
}

impl TypeName {
    /// The name in the REST interface.
    pub(super) fn wire(self) -> String {
        wire(self)
    }
}

/// A status, as typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum StatusName {
    /// It reported lately.
    Online,
    /// It did not.
    Offline,
    /// It has been silent for long.
    Overdue,
}

fn wire(value: impl ValueEnum) -> String {
    value.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default()
}

impl FilterArgs {
    /// The query, names turned into ids.
    pub(super) async fn query(&self, session: &Session) -> Result<Query, Failure> {
        let client = &session.client;
        let mut query = self.plain_query()?;
        let client_id = match &self.client {
            Some(name) => Some(resolve::client(client, name).await?),
            None => None,
        };
        if let Some(name) = &self.site {
            query.push(("site_id", resolve::site(client, client_id.as_deref(), name).await?));
        }
        query.extend(client_id.map(|id| ("client_id", id)));
        if let Some(name) = &self.integration {
            query.push(("integration_id", resolve::integration(client, name).await?));
        }
        Ok(query)
    }

    /// The part that needs no question to the server.
    fn plain_query(&self) -> Result<Query, Failure> {
        let now = clock::now();
        let time = |text: &Option<String>| match text {
            Some(text) => time::parse(text, now).map(|at| Some(at.to_string())).map_err(Failure::usage),
            None => Ok(None),
        };
        let parts = [
            ("provider", self.provider.clone()),
            ("type", self.asset_type.map(wire)),
            ("status", self.status.map(wire)),
            ("text", self.text.clone()),
            ("seen_after", time(&self.seen_after)?),
            ("seen_before", time(&self.seen_before)?),
            ("os", self.os.clone()),
            ("needs_reboot", self.needs_reboot.map(|yes| yes.to_string())),
            ("missing", self.missing.map(|yes| yes.to_string())),
            ("sort", self.sort.clone()),
        ];
        Ok(parts.into_iter().filter_map(|(name, value)| Some((name, value?))).collect())
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Typed {
        #[command(flatten)]
        filter: FilterArgs,
    }

    #[track_caller]
    fn check(typed: &[&str], expected: &[(&str, &str)]) {
        let typed = Typed::parse_from([&["x"], typed].concat());
        let query = typed.filter.plain_query().unwrap();
        let query: Vec<(&str, &str)> = query.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(query, expected);
    }

    #[test]
    fn filters_become_the_query() {
        check(&[], &[]);
        check(
            &["--type", "network_device", "--missing", "--needs-reboot", "false", "--sort", "-last_seen"],
            &[
                ("type", "network_device"),
                ("needs_reboot", "false"),
                ("missing", "true"),
                ("sort", "-last_seen"),
            ],
        );
        check(&["--seen-before", "2026-11-21"], &[("seen_before", "2026-11-21T00:00:00.000Z")]);
    }

    #[test]
    fn names_of_types_states_and_sorts_are_those_of_the_register() {
        for kind in domain::asset::AssetType::ALL {
            assert!(TypeName::from_str(kind.name(), false).is_ok(), "{}", kind.name());
        }
        for status in domain::status::Status::ALL {
            assert!(StatusName::from_str(status.name(), false).is_ok(), "{}", status.name());
        }
        for sort in domain::asset::AssetSort::ALL {
            assert!(SORTS.contains(&sort.name()), "{}", sort.name());
        }
    }
}
