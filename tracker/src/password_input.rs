//! How the operator gives the program a password: typed twice without an echo, or in a file.

use std::fs;
use std::path::Path;

/// Reads a password from a file, or asks for it at the terminal.
pub(crate) fn read(file: Option<&Path>) -> Result<String, Box<dyn std::error::Error>> {
    let password = match file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
        None => {
            let typed = ask("New password: ")?;
            if ask("The same again: ")? != typed {
                return Err("the two are not the same: nothing was changed".into());
            }
            typed
        }
    };
    if password.is_empty() {
        return Err("the password is empty: nothing was changed".into());
    }
    Ok(password)
}

const NO_TERMINAL: &str = "there is no terminal to type a password at: use --password-file";

/// Asks for a line that is not shown while it is typed.
#[cfg(unix)]
fn ask(question: &str) -> Result<String, Box<dyn std::error::Error>> {
    use std::io::stdin;

    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let shown = tcgetattr(stdin()).map_err(|_| NO_TERMINAL)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(stdin(), OptionalActions::Now, &hidden)?;
    let answered = answer(question);
    tcsetattr(stdin(), OptionalActions::Now, &shown)?;
    Ok(answered?)
}

#[cfg(not(unix))]
fn ask(_question: &str) -> Result<String, Box<dyn std::error::Error>> {
    Err(NO_TERMINAL.into())
}

#[cfg(unix)]
fn answer(question: &str) -> std::io::Result<String> {
    use std::io::{Write, stderr, stdin};

    write!(stderr(), "{question}")?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
