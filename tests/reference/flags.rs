//! Flags, environment variables and exit codes, from the command line's own definition.

use clap::Arg;
use clap::Command;
use clap::CommandFactory as _;
use configmapsync::args::Arguments;

use crate::table::code;
use crate::table::prose;
use crate::table::table;

/// How a subcommand's description of its exit codes begins.
const EXIT_CODES: &str = "Exit code:";

/// The flags of each subcommand.
pub fn flags() -> String {
    let sections: Vec<_> = subcommands().iter().map(section).collect();
    sections.join("\n")
}

/// The exit codes of each subcommand.
pub fn exit_codes() -> String {
    let rows: Vec<_> = subcommands()
        .iter()
        .map(|command| {
            let (_, codes) = described(command);
            assert!(!codes.is_empty(), "{} does not describe its exit codes", command.get_name());
            [code(&format!("configmapsync {}", command.get_name())), codes]
        })
        .collect();
    table(["command", "exit codes"], &rows)
}

fn section(command: &Command) -> String {
    let (about, _) = described(command);
    let rows: Vec<_> = command.get_arguments().filter(|arg| is_shown(arg)).map(row).collect();
    let heading = format!("### configmapsync {}\n\n{about}\n", command.get_name());
    if rows.is_empty() {
        return heading;
    }
    let header = ["flag", "environment variable", "default", "description"];
    format!("{heading}\n{}", table(header, &rows))
}

fn subcommands() -> Vec<Command> {
    Arguments::command().get_subcommands().cloned().collect()
}

/// The description of a subcommand, and of its exit codes.
fn described(command: &Command) -> (String, String) {
    let about = command.get_long_about().or_else(|| command.get_about());
    let about = prose(&about.map(ToString::to_string).unwrap_or_default());
    match about.split_once(EXIT_CODES) {
        Some((about, codes)) => {
            (about.trim().to_owned(), codes.trim().trim_end_matches('.').to_owned())
        }
        None => (about, String::new()),
    }
}

fn is_shown(arg: &Arg) -> bool {
    arg.get_id() != "help" && !arg.is_hide_set()
}

fn row(arg: &Arg) -> [String; 4] {
    let help = arg.get_long_help().or_else(|| arg.get_help());
    let help = prose(&help.map(ToString::to_string).unwrap_or_default());
    let help = help.trim_end_matches('.').to_owned();
    assert!(!help.is_empty(), "{} has no description", arg.get_id());
    let env = arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let defaults: Vec<_> =
        arg.get_default_values().iter().map(|value| value.to_string_lossy()).collect();
    let default = if takes_value(arg) { defaults.join(",") } else { String::new() };
    [name(arg), code(&env), code(&default), help + &choices(arg)]
}

fn name(arg: &Arg) -> String {
    let value = arg.get_value_names().and_then(|names| names.first());
    let value = value.map_or_else(|| arg.get_id().to_string(), ToString::to_string);
    let value = value.to_uppercase();
    let (Some(long), short) = (arg.get_long(), arg.get_short()) else { return code(&value) };
    let long = if takes_value(arg) { format!("--{long} {value}") } else { format!("--{long}") };
    match short {
        Some(short) => format!("{}, {}", code(&long), code(&format!("-{short}"))),
        None => code(&long),
    }
}

fn takes_value(arg: &Arg) -> bool {
    arg.get_action().takes_values()
}

fn choices(arg: &Arg) -> String {
    let values = arg.get_possible_values();
    if !takes_value(arg) || values.is_empty() {
        return String::new();
    }
    let values: Vec<_> = values.iter().map(|value| code(value.get_name())).collect();
    format!("; one of {}", values.join(", "))
}
