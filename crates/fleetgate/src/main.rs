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

use clap::error::ErrorKind;

use crate::{
    cli::{Cli, Command, exit::Exit, failure::Failure},
    config::Purpose,
    output::Output,
};

#[tokio::main]
async fn main() -> ExitCode {
    // Fails only if another part of the process was first, and then one is installed.
    let _installed_before = rustls::crypto::ring::default_provider().install_default();
    let cli = match Cli::read_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(error) => return refuse(&error),
    };
    let output = Output::new(cli.form.json, cli.form.quiet);
    match Box::pin(run(cli, &output)).await {
        Ok(exit) => exit.into(),
        Err(failure) => {
            failure.report(&output);
            failure.exit.into()
        }
    }
}

/// Tells what is wrong with what was typed, for scripts as a problem document; or prints the help that was asked for.
fn refuse(error: &clap::Error) -> ExitCode {
    let wants_json = std::env::args_os().take_while(|word| word != "--").any(|word| word == "--json");
    if !wants_json || matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        error.exit();
    }
    let failure = Failure::typed_wrong(error);
    failure.report(&Output::new(true, false));
    failure.exit.into()
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
        Command::Backup(args) => {
            return boot::backup(&args.to, &config::load(&args.config, Purpose::Operate)?, output).await;
        }
        Command::Restore(args) => {
            return boot::restore(&args.from, &config::load(&args.config, Purpose::Operate)?, output).await;
        }
        Command::Db(args) => {
            let config = config::load(&args.config, Purpose::Operate)?;
            return boot::db(args.command, &config, output).await;
        }
        Command::Keys(args) => {
            let config = config::load(&args.config, Purpose::Operate)?;
            return boot::keys(args.command, &config, output).await;
        }
        Command::Doctor(args) => {
            return boot::doctor(&config::load(&args.config, Purpose::Operate)?, output).await;
        }
        Command::Health(args) => {
            return boot::health(&config::load(&args.config, Purpose::Operate)?, output).await;
        }
        Command::Audit(args) => {
            let config = config::load(&args.config, Purpose::Operate)?;
            return boot::audit(args.command, &config, output).await;
        }
        Command::Tenant(args) => {
            let config = config::load(&args.config, Purpose::Operate)?;
            return boot::tenant(args.command, &config, output).await;
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
        Command::ExitCodes => Exit::print(output)?,
    }
    Ok(Exit::Ok)
}
