//! `cargo xtask bench …`: speed and memory of the optimised programs, as one line of JSON each.
//!
//! Everything runs on loopback, in processes and folders of its own, with simulated RMMs. Progress goes to standard
//! error, figures to standard output. What each figure means and which goal it has is in `docs/benchmarks.md`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand, ValueEnum};

use crate::{pg, process};

pub(crate) mod http;
pub(crate) mod programs;
pub(crate) mod rig;
pub(crate) mod system;

mod api;
mod limited;
mod raw;
mod start;
mod sync;

use programs::Database;

#[derive(Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand)]
enum What {
    /// A device sync: first, unchanged, 5 % changed, presence only, against the raw store
    Sync(sync::Options),
    /// Lists and searches of many assets, at rest and while a sync runs
    Api(api::Options),
    /// Time to the first answer, memory at rest, size of the program
    Start(start::Options),
}

pub(crate) fn run(options: &Options) -> Result<ExitCode> {
    process::enter_root()?;
    if let Some(code) = programs::hand_over()? {
        return Ok(code);
    }
    match &options.what {
        What::Sync(options) => sync::run(options),
        What::Api(options) => api::run(options),
        What::Start(options) => start::run(options),
    }?;
    Ok(ExitCode::SUCCESS)
}

/// Which database engine to measure.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Engine {
    Sqlite,
    Postgres,
    Both,
}

/// Databases to measure with, and the PostgreSQL they may need.
pub(crate) struct Engines {
    cluster: Option<pg::Cluster>,
    asked: Engine,
}

impl Engines {
    pub(crate) fn start(asked: Engine) -> Result<Self> {
        let cluster = match asked {
            Engine::Sqlite => None,
            Engine::Postgres | Engine::Both => Some(pg::Cluster::start()?.context(pg::INSTALL)?),
        };
        Ok(Self { cluster, asked })
    }

    /// An empty database of each engine that was asked for; on PostgreSQL with this name.
    pub(crate) fn databases(&self, name: &str) -> Result<Vec<Database>> {
        let mut databases = Vec::new();
        if self.asked != Engine::Postgres {
            databases.push(Database::Sqlite);
        }
        if let Some(cluster) = &self.cluster {
            databases.push(Database::Postgres(raw::postgres::create_database(cluster.url(), name)?));
        }
        Ok(databases)
    }

    /// An empty database of this one's engine.
    pub(crate) fn another(&self, like: &Database, name: &str) -> Result<Database> {
        match (like, &self.cluster) {
            (Database::Postgres(_), Some(cluster)) => {
                Ok(Database::Postgres(raw::postgres::create_database(cluster.url(), name)?))
            }
            _ => Ok(Database::Sqlite),
        }
    }
}

/// With three decimals, for people who read JSON.
pub(crate) fn rounded(number: f64) -> f64 {
    (number * 1_000.0).round() / 1_000.0
}
