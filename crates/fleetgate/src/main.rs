//! The fleetgate binary: command line and configuration.

mod api_client;
mod boot;
mod cli;
mod config;
mod demo;
mod output;
mod prompt;
mod spawn;

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command, exit::Exit, failure::Failure},
    config::Purpose,
    output::Output,
};

#[tokio::main]
async fn main() -> ExitCode {
    // Fails only if another part of the process was first, and then one is installed.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let cli = Cli::parse();
    let output = Output::new(cli.form.json, cli.form.quiet);
    match Box::pin(run(cli, &output)).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report(&output);
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli, output: &Output) -> Result<Exit, Failure> {
    match cli.command {
        Command::Config(args) => config::print(&config::load(&args.config, Purpose::Operate)?, output)?,
        Command::Serve(args) => {
            return boot::serve(&config::load(&args.config, Purpose::Operate)?, output).await;
        }
        Command::Demo(args) => {
            return demo::run(&args, &config::load(&args.config, Purpose::Demo)?, output).await;
        }
        Command::Migrate(args) => {
            return boot::migrate(&config::load(&args.config, Purpose::Operate)?, output).await;
        }
        Command::Doctor(args) => {
            return boot::doctor(&config::load(&args.config, Purpose::Operate)?, output).await;
        }
        Command::User(args) => {
            let config = config::load(&args.config, Purpose::Operate)?;
            return boot::user(args.command, &config, output).await;
        }
        Command::Token(args) => {
            let config = config::load(&args.config, Purpose::Operate)?;
            return boot::token(args.command, &config, output).await;
        }
        Command::Remote(command) => return cli::run_remote(command, &cli.api, output).await,
        Command::ExitCodes => output.line(&Exit::list())?,
    }
    Ok(Exit::Ok)
}
