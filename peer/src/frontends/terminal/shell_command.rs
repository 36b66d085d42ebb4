//! The commands that a user types to start a program of the project.
//! They differ between a checkout, where cargo starts the programs, and an installation.

use std::env;

/// Returns the command that starts a program, to be followed by its flags.
pub(crate) fn shell_command(program: &str) -> String {
    // Cargo sets this variable for the programs that it starts.
    command(program, env::var_os("CARGO").is_some())
}

fn command(program: &str, is_by_cargo: bool) -> String {
    if is_by_cargo { format!("cargo run --release -p {program} --") } else { program.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_checkout_is_started_by_cargo() {
        assert_eq!(command("tracker", false), "tracker");
        assert_eq!(command("tracker", true), "cargo run --release -p tracker --");
    }
}
