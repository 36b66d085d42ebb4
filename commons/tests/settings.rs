//! Tests of the settings file together with flags and environment variables.
//! The program of these tests has one setting of each kind.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::ffi::OsString;
use std::path::Path;

use clap::builder::FalseyValueParser;
use clap::{Arg, ArgAction, Command};
use commons::settings::effective::effective;
use commons::settings::file::SettingsFile;
use commons::settings::load::{LoadError, check, load};

/// A variable that the environment of every test holds.
const IN_ENVIRONMENT: &str = "PATH";

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| "must be a number".to_owned())
}

fn command() -> Command {
    Command::new("program")
        .version("1")
        .arg(Arg::new("config").long("config"))
        .arg(Arg::new("listen_id").long("listen").default_value("a:1"))
        .arg(Arg::new("max").long("max-sessions").default_value("7").value_parser(number))
        .arg(Arg::new("path").long("search-path").env(IN_ENVIRONMENT).default_value("nowhere"))
        .arg(Arg::new("code").long("code").hide_env_values(true).value_parser(number))
        .arg(Arg::new("kind").long("kind").value_parser(["red", "green"]).default_value("red"))
        .arg(Arg::new("loud").long("loud").action(ArgAction::SetTrue).value_parser(FalseyValueParser::new()))
        .subcommand(Command::new("show").arg(Arg::new("inner").long("inner")))
}

fn file(text: &str) -> SettingsFile {
    SettingsFile::parse(Path::new("a.toml"), text).unwrap()
}

fn shown(text: &str, arguments: &[&str]) -> Vec<String> {
    let arguments: Vec<_> = ["program"].iter().chain(arguments).map(OsString::from).collect();
    let (command, file) = (command(), file(text));
    let matches = load(&command, &file, &arguments).unwrap();
    effective(&command, Some(&file), &matches).iter().map(ToString::to_string).collect()
}

fn errors(text: &str) -> Vec<String> {
    let errors = check(&command(), &file(text)).unwrap_err();
    errors.iter().map(ToString::to_string).collect()
}

#[test]
fn a_flag_overrides_the_file_and_the_file_the_default() {
    let shown = shown("max_sessions = 9\nkind = \"green\"\nloud = true\n", &["--kind", "red"]);
    assert_eq!(shown[0], "listen = \"a:1\"  # default");
    assert_eq!(shown[1], "max_sessions = 9  # a.toml, line 1");
    assert_eq!(shown[4], "kind = \"red\"  # --kind");
    assert_eq!(shown[5], "loud = true  # a.toml, line 3");
}

#[test]
fn the_environment_overrides_the_file() {
    let shown = shown("search_path = \"from the file\"\n", &[]);
    assert!(shown[2].ends_with("  # PATH") && !shown[2].contains("from the file"), "{shown:?}");
    let flagged = self::shown("search_path = \"from the file\"\n", &["--search-path", "flag"]);
    assert_eq!(flagged[2], "search_path = \"flag\"  # --search-path");
    // Control: without the variable, the value of the file holds.
    let command = command().mut_arg("path", |arg| arg.env("THIS_VARIABLE_IS_NOT_SET"));
    let file = file("search_path = \"from the file\"\n");
    let matches = load(&command, &file, &["program".into()]).unwrap();
    let found = effective(&command, Some(&file), &matches);
    let value = found.into_iter().find(|it| it.key == "search_path").unwrap().value;
    assert_eq!(value.as_deref(), Some("\"from the file\""));
}

#[test]
fn shown_settings_are_a_settings_file() {
    let text = "listen = \"a \\\"b\\\" \\\\ \\u0007\"\nmax_sessions = 3\nloud = true\ncode = 42\n";
    let shown = shown(text, &[]).join("\n");
    assert!(shown.contains("code = \"(hidden)\"") && !shown.contains("42"), "{shown}");
    let again = file(&shown);
    let value = |key: &str| again.entries.iter().find(|entry| entry.key == key).unwrap().value.clone();
    assert_eq!((value("listen"), value("max_sessions")), ("a \"b\" \\ \u{7}".to_owned(), "3".to_owned()));
}

#[test]
fn an_unknown_key_names_the_nearest_one() {
    assert_eq!(
        errors("\nmax_sesions = 1\nmax-sessions = 1\nzzz = 1\nconfig = \"b\"\nhelp = true\ninner = 1\n"),
        [
            "a.toml, line 2: there is no setting \"max_sesions\": did you mean max_sessions?",
            "a.toml, line 3: there is no setting \"max-sessions\": did you mean max_sessions?",
            "a.toml, line 4: there is no setting \"zzz\"",
            "a.toml, line 5: there is no setting \"config\"",
            "a.toml, line 6: there is no setting \"help\"",
            "a.toml, line 7: there is no setting \"inner\"",
        ]
    );
}

#[test]
fn a_bad_value_is_named_with_its_reason() {
    assert_eq!(
        errors("max_sessions = \"many\"\nkind = \"blue\"\nloud = 1\ncode = \"secret\"\n"),
        [
            "a.toml, line 1: max_sessions = \"many\": must be a number",
            "a.toml, line 2: kind = \"blue\": must be one of red, green",
            "a.toml, line 3: loud = 1: must be true or false",
            "a.toml, line 4: code: must be a number",
        ]
    );
    assert_eq!(check(&command(), &file("max_sessions = \"8\"\nkind = \"green\"\nloud = false\n")), Ok(()));
}

#[test]
fn an_error_of_the_command_line_is_not_one_of_the_file() {
    let wrong = load(&command(), &file("max_sessions = 9\n"), &["program".into(), "--max-sessions=x".into()]);
    assert!(matches!(wrong, Err(LoadError::Flags(_))), "{wrong:?}");
}
