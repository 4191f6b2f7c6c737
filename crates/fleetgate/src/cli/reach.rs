//! The options that stand everywhere, where they have no effect: neither listed in the help there nor accepted.

use clap::{Arg, ArgAction, ArgMatches, Command, error::ErrorKind, parser::ValueSource};

/// An option by its id and its long name.
type Name = (&'static str, &'static str);

const JSON: Name = ("json", "json");

/// How to reach a server: for the commands that talk to one.
const SERVER: [Name; 3] =
    [("server", "server"), ("token_file", "token-file"), ("insecure_http", "insecure-http")];

/// Commands on the server's own machine: which of the options of output have no effect there. `--quiet` is taken everywhere:
/// scripts set it without looking.
const LOCAL: [(&str, &[Name]); 15] = [
    ("serve", &[JSON]),
    ("demo", &[JSON]),
    ("migrate", &[]),
    ("backup", &[]),
    ("restore", &[]),
    ("db", &[]),
    ("keys", &[]),
    ("doctor", &[]),
    ("health", &[]),
    ("config", &[]),
    ("audit", &[]),
    ("user", &[]),
    ("tenant", &[]),
    ("token", &[]),
    ("exit-codes", &[]),
];

fn without_effect(command: &str) -> impl Iterator<Item = Name> {
    let local = LOCAL.iter().find(|(local, _)| *local == command);
    local.into_iter().flat_map(|(_, output)| SERVER.iter().chain(output.iter()).copied())
}

/// Takes them out of the help.
pub(super) fn hide(command: Command) -> Command {
    LOCAL.iter().fold(command, |command, (name, _)| {
        command.mut_subcommand(name, |local| {
            without_effect(name).fold(local, |local, option| local.arg(stand_in(option)))
        })
    })
}

/// A hidden option of the same name: clap then leaves out the one from above.
fn stand_in((id, long): Name) -> Arg {
    let arg = Arg::new(id).long(long).global(true).hide(true);
    match id {
        "server" | "token_file" => arg.action(ArgAction::Set),
        _ => arg.action(ArgAction::SetTrue),
    }
}

/// Refuses those that were given.
pub(super) fn check(command: &mut Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let Some((name, _)) = matches.subcommand() else { return Ok(()) };
    let is_given = |(id, _): &Name| matches.value_source(id) == Some(ValueSource::CommandLine);
    match without_effect(name).find(is_given) {
        Some((_, long)) => {
            let text = format!("`--{long}` has no effect on `fleetgate {name}`");
            Err(command.error(ErrorKind::UnknownArgument, text))
        }
        None => Ok(()),
    }
}
