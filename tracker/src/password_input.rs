//! The password input of the operator.
//! The operator types the password twice without an echo, or gives it in a file.

use std::fs;
use std::path::Path;

use commons::limits::PASSWORD_MIN_CHARS;

/// Reads a new password from a file, or asks for it at the terminal. It must have at least [`PASSWORD_MIN_CHARS`]
/// characters.
pub(crate) fn read(file: Option<&Path>) -> Result<String, Box<dyn std::error::Error>> {
    let password = match file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?;
            let line = text.strip_suffix('\n').unwrap_or(&text);
            line.strip_suffix('\r').unwrap_or(line).to_owned()
        }
        None => {
            let [typed, again] = prompt(["New password: ", "The same again: "])?;
            if again != typed {
                return Err("the two passwords differ: nothing was changed".into());
            }
            typed
        }
    };
    if password.chars().count() < PASSWORD_MIN_CHARS {
        return Err(format!(
            "a new password needs at least {PASSWORD_MIN_CHARS} characters: nothing was changed"
        )
        .into());
    }
    Ok(password)
}

const NO_TERMINAL: &str = "there is no terminal for typing a password: use --password-file";

/// Asks two questions at the terminal. The echo is off from the first question to the last answer.
#[cfg(unix)]
fn prompt(prompts: [&str; 2]) -> Result<[String; 2], Box<dyn std::error::Error>> {
    use std::io::stdin;

    use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

    let shown = tcgetattr(stdin()).map_err(|_| NO_TERMINAL)?;
    let mut hidden = shown.clone();
    hidden.local_modes.remove(LocalModes::ECHO);
    hidden.local_modes.insert(LocalModes::ECHONL);
    tcsetattr(stdin(), OptionalActions::Now, &hidden)?;
    let answered = answer(prompts[0]).and_then(|first| Ok([first, answer(prompts[1])?]));
    tcsetattr(stdin(), OptionalActions::Now, &shown)?;
    Ok(answered?)
}

#[cfg(not(unix))]
fn prompt(_prompts: [&str; 2]) -> Result<[String; 2], Box<dyn std::error::Error>> {
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
