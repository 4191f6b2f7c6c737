//! The simulated RMMs of the demo: two that know many machines in common, as in practice.

use std::{
    net::{Ipv4Addr, SocketAddr},
    time::Duration,
};

use secrecy::SecretString;
use serde_json::{Value, json};
use service::integration::Draft;
use simulator::{
    datto_rmm,
    fleet::{FleetSpec, Mode},
    tacticalrmm,
};

use crate::cli::{DemoArgs, failure::Failure};

/// How many of the second RMM's devices are machines of the first one, in per cent.
const IN_BOTH_PERCENT: u8 = 40;

/// The running simulated RMMs. They end with [`Rmms::shutdown`], or when dropped.
pub(super) struct Rmms {
    tactical: tacticalrmm::Server,
    datto: datto_rmm::Server,
}

/// What it takes to connect one of them.
pub(super) struct Rmm {
    /// Its provider.
    pub(super) provider: &'static str,
    name: &'static str,
    url: String,
    auth_mode: &'static str,
    fields: Vec<(&'static str, SecretString)>,
    /// Organizations left unmapped, so that there is something to do.
    pub(super) left_unmapped: usize,
}

impl Rmm {
    /// The request that connects it.
    pub(super) fn draft(&self) -> Draft {
        let fields = self.fields.iter().map(|(field, value)| ((*field).to_owned(), value.clone()));
        Draft {
            provider: Some(self.provider.to_owned()),
            name: Some(self.name.to_owned()),
            url: Some(self.url.clone()),
            auth_mode: Some(self.auth_mode.to_owned()),
            fields: fields.collect(),
            settings: Some(json!({ "allow_plain_http": true })),
            ..Draft::default()
        }
    }
}

impl Rmms {
    /// Starts both. The second has as many devices as the first has agents, and some of them are the same machines.
    pub(super) async fn start(args: &DemoArgs) -> Result<Self, Failure> {
        let fleet = FleetSpec { seed: 7, agents: args.agents as usize, clients: args.clients as usize };
        let mode = if args.living { Mode::Living { period: Duration::from_secs(20) } } else { Mode::Frozen };
        let listen = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let failed = |error| Failure::io("a simulated RMM did not start", &error);
        let config = tacticalrmm::Config { fleet, mode, listen, ..tacticalrmm::Config::default() };
        let tactical = tacticalrmm::start(config).await.map_err(failed)?;
        let config = datto_rmm::Config {
            overlap: Some(datto_rmm::Overlap { fleet, percent: IN_BOTH_PERCENT }),
            mode,
            listen,
            // Nobody who looks around should begin with a complaint about a row that was made to be wrong.
            malformed_row: false,
            ..datto_rmm::Config::sized(fleet.agents)
        };
        let datto = datto_rmm::start(config).await.map_err(failed)?;
        Ok(Self { tactical, datto })
    }

    /// Their addresses.
    pub(super) fn urls(&self) -> [&str; 2] {
        [self.tactical.url(), self.datto.url()]
    }

    /// What it takes to connect each. The first one's organizations become clients; the second one's are found among them.
    pub(super) fn list(&self) -> [Rmm; 2] {
        let (tactical, datto) = (self.tactical.accounts(), self.datto.accounts());
        [
            Rmm {
                provider: "tacticalrmm",
                name: "Simulated Tactical RMM",
                url: self.tactical.url().to_owned(),
                auth_mode: "api_key",
                fields: vec![("tacticalrmm_api_key", tactical.api_key.clone().into())],
                left_unmapped: 3,
            },
            Rmm {
                provider: "datto_rmm",
                name: "Simulated Datto RMM",
                url: self.datto.url().to_owned(),
                auth_mode: "oauth",
                fields: vec![
                    ("datto_rmm_api_key", datto.api_key.clone().into()),
                    ("datto_rmm_api_secret", datto.api_secret.clone().into()),
                ],
                left_unmapped: 1,
            },
        ]
    }

    /// What `demo.json` tells of them.
    pub(super) fn summary(&self) -> Value {
        let (tactical, datto) = (self.tactical.accounts(), self.datto.accounts());
        json!({
            "tacticalrmm": {
                "url": self.tactical.url(), "api_key": tactical.api_key, "username": tactical.username,
                "password": tactical.password, "totp_secret": tactical.totp_secret,
                "control_url": self.tactical.control_url(),
            },
            "datto_rmm": {
                "url": self.datto.url(), "api_key": datto.api_key, "api_secret": datto.api_secret,
                "control_url": self.datto.control_url(),
            },
        })
    }

    /// Ends both.
    pub(super) async fn shutdown(self) {
        self.tactical.shutdown().await;
        self.datto.shutdown().await;
    }
}
