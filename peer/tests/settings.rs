//! Tests of the settings file of the real program: `config check` and `config show`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

/// Runs the program with an environment that holds no settings. The folder of the user's settings is `home`.
fn run(home: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
    command.env_clear().env("HOME", home).env("XDG_CONFIG_HOME", home).args(arguments);
    command.output().unwrap()
}

fn lines(bytes: &[u8]) -> Vec<String> {
    String::from_utf8_lossy(bytes).lines().map(str::to_owned).collect()
}

#[test]
fn default_file_is_in_force_and_shown_with_its_lines() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("p2p-chat").join("peer.toml");
    let shown = |arguments: &[&str]| lines(&run(home.path(), arguments).stdout);
    assert!(shown(&["config", "show"]).contains(&"notify = \"bell\"  # default".to_owned()));
    fs::create_dir(file.parent().unwrap()).unwrap();
    fs::write(&file, "username = \"ana\"\nnotify = \"off\"\n").unwrap();
    let with_file = shown(&["config", "show"]);
    assert!(with_file.contains(&format!("notify = \"off\"  # {}, line 2", file.display())), "{with_file:#?}");
    let with_flag = shown(&["--notify", "desktop", "config", "show"]);
    assert!(with_flag.contains(&"notify = \"desktop\"  # --notify".to_owned()), "{with_flag:#?}");
}

#[test]
fn check_names_each_error_and_accepts_a_correct_file() {
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("mine.toml");
    let check = |settings: &str| {
        fs::write(&file, settings).unwrap();
        run(home.path(), &["config", "check", file.to_str().unwrap()])
    };
    let correct = check("notify = \"off\"\n");
    assert!(correct.status.success(), "{correct:?}");
    assert_eq!(lines(&correct.stdout), [format!("{}: correct, settings: 1", file.display())]);
    let wrong = check("notifi = \"off\"\nplaintext = \"sometimes\"\n");
    assert_eq!(wrong.status.code(), Some(1));
    let text = String::from_utf8(wrong.stderr).unwrap();
    assert!(text.contains("line 1: there is no setting \"notifi\": did you mean notify?"), "{text}");
    assert!(text.contains("line 2: plaintext = \"sometimes\""), "{text}");
    let none = run(home.path(), &["config", "check"]);
    assert!(String::from_utf8(none.stderr).unwrap().contains("there is no settings file to check"));
}
