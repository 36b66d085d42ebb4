//! How the operator gives the program a password: typed twice without an echo, or in a file.

use std::fs;
use std::io::{self, Write, stderr, stdin};
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

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

/// Asks for a line that is not shown while it is typed.
fn ask(question: &str) -> Result<String, Box<dyn std::error::Error>> {
    let no_terminal = |_| "there is no terminal to type a password at: use --password-file";
    let shown = tcgetattr(stdin()).map_err(no_terminal)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(stdin(), OptionalActions::Now, &hidden)?;
    let answered = answer(question);
    tcsetattr(stdin(), OptionalActions::Now, &shown)?;
    Ok(answered?)
}

fn answer(question: &str) -> io::Result<String> {
    write!(stderr(), "{question}")?;
    let mut line = String::new();
    stdin().read_line(&mut line)?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}
