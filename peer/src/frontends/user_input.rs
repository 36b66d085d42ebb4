//! Input from a pipe, or from a terminal without an editor.
//!
//! A separate thread reads the lines, because standard input cannot be awaited.

use std::io::{self, BufRead};
use std::thread;

use tokio::sync::mpsc;

use crate::api::error::CommandError;
use crate::identity::password::Password;
use crate::limits::{LINE_MAX, TYPED_AHEAD};

/// A piece of input from a person or a program.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum UserInput {
    /// A line without its line end.
    Line(String),
    /// A line of this many bytes, more than [`LINE_MAX`].
    TooLong(usize),
    /// A line that is not UTF-8.
    NoText,
    /// The number of lines that were dropped because too many others waited.
    TooFast(usize),
    /// The answer to an open question.
    Answer(String),
    /// A line that was the user's password; it was dropped.
    OwnPassword,
    /// A message that the word filter does not let out; it is still in the editor.
    Filtered(CommandError),
    /// An answer that was not shown while it was typed.
    Secret(Password),
    /// Tab was pressed, and several names match.
    Choices(Vec<String>),
    /// Ctrl-C was pressed; the line was cleared, and a second Ctrl-C may quit.
    Interrupted,
    /// Alt-n was pressed: open the next conversation with unread messages.
    NextUnread,
    /// The end of the input.
    End,
}

/// Input stays out of logs, so this form shows no text.
impl std::fmt::Debug for UserInput {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("UserInput(..)")
    }
}

/// Reads standard input to its end.
pub(crate) fn read_stdin() -> io::Result<mpsc::Receiver<UserInput>> {
    let (lines, queue) = mpsc::channel(TYPED_AHEAD);
    let read = move || {
        let mut stdin = io::stdin().lock();
        loop {
            let input = next(&mut stdin).unwrap_or(UserInput::End);
            let ended = input == UserInput::End;
            if lines.blocking_send(input).is_err() || ended {
                return;
            }
        }
    };
    thread::Builder::new().name("input".to_owned()).spawn(read)?;
    Ok(queue)
}

/// Reads the next line; holds at most [`LINE_MAX`] bytes of it.
fn next(reader: &mut impl BufRead) -> io::Result<UserInput> {
    let mut line = Vec::new();
    let (mut length, mut begun, mut ended) = (0, false, false);
    while !ended {
        let bytes = match reader.fill_buf() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            bytes => bytes?,
        };
        if bytes.is_empty() && !begun {
            return Ok(UserInput::End);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let part = &bytes[..end.unwrap_or(bytes.len())];
        length += part.len();
        if length <= LINE_MAX {
            line.extend_from_slice(part);
        }
        (begun, ended) = (true, end.is_some() || bytes.is_empty());
        let taken = part.len() + usize::from(end.is_some());
        reader.consume(taken);
    }
    if line.last() == Some(&b'\r') {
        line.pop();
    }
    Ok(match String::from_utf8(line) {
        _ if length > LINE_MAX => UserInput::TooLong(length),
        Ok(line) => UserInput::Line(line),
        Err(_) => UserInput::NoText,
    })
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn all(bytes: &[u8], buffer: usize) -> Vec<UserInput> {
        let mut reader = BufReader::with_capacity(buffer, bytes);
        std::iter::from_fn(|| Some(next(&mut reader).unwrap()))
            .take_while(|input| *input != UserInput::End)
            .collect()
    }

    fn line(text: &str) -> UserInput {
        UserInput::Line(text.into())
    }

    #[test]
    fn lines_are_cut_at_their_ends_however_they_arrive() {
        for buffer in [1, 2, 3, 100] {
            assert_eq!(
                all("a\n\nolá\r\nlast".as_bytes(), buffer),
                [line("a"), line(""), line("olá"), line("last")]
            );
            assert_eq!(all(b"", buffer), []);
            assert_eq!(all(b"a\n\xff\xfe\nb\n", buffer), [line("a"), UserInput::NoText, line("b")]);
        }
    }

    #[test]
    fn an_endless_line_is_counted_and_not_held() {
        let mut bytes = vec![b'x'; LINE_MAX * 3];
        bytes.extend(b"\nnext\n");
        assert_eq!(all(&bytes, 4096), [UserInput::TooLong(LINE_MAX * 3), line("next")]);
        let longest = "y".repeat(LINE_MAX);
        assert_eq!(all(longest.as_bytes(), 4096), [UserInput::Line(longest)]);
    }
}
