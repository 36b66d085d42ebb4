//! The build script: finds the commit that `--version` names.
//! A build without optimisation names none, because each commit would compile everything again.

use std::env;
use std::process::Command;

/// The variable with which a packager names the commit if the sources come without their repository.
const GIVEN: &str = "SOURCE_COMMIT";

/// Digits of the commit that are shown.
const DIGITS: usize = 12;

fn main() {
    println!("cargo:rerun-if-env-changed={GIVEN}");
    println!("cargo:rerun-if-changed=build.rs");
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let commit = match env::var(GIVEN) {
        Ok(given) if !given.is_empty() => given,
        _ if is_release => checked_out().unwrap_or_else(|| "unknown commit".to_owned()),
        _ => "debug build".to_owned(),
    };
    println!("cargo:rustc-env=BUILD_COMMIT={commit}");
}

/// The commit of the repository that holds the sources. The script runs again when another commit is checked out.
fn checked_out() -> Option<String> {
    let log = git(&["rev-parse", "--git-path", "logs/HEAD"])?;
    println!("cargo:rerun-if-changed={log}");
    git(&["rev-parse", &format!("--short={DIGITS}"), "HEAD"])
}

fn git(arguments: &[&str]) -> Option<String> {
    let done = Command::new("git").args(arguments).output().ok().filter(|done| done.status.success())?;
    Some(String::from_utf8(done.stdout).ok()?.trim().to_owned())
}
