//! The arguments of the commands that a person types.

use commons::names::{NameError, RoomName, Username};
use commons::protocol::with_tracker::RoomsFate;
use unicode_normalization::UnicodeNormalization;

use crate::api::conversation::Conversation;
use crate::api::schema::is_end_of_id;
use crate::limits::HISTORY_PAGE;

/// The reason why an argument is invalid.
pub(crate) enum ArgError {
    Missing,
    /// The argument is not of the kind that this text describes.
    Not(&'static str),
    Name(NameError),
    /// There is no command of this name.
    Unknown(String),
    /// The arguments of `/admin` are wrong, for this reason.
    Admin(String),
}

impl From<NameError> for ArgError {
    fn from(error: NameError) -> Self {
        Self::Name(error)
    }
}

pub(crate) fn optional<T>(
    rest: &str,
    parse: impl Fn(&str) -> Result<T, ArgError>,
) -> Result<Option<T>, ArgError> {
    if rest.is_empty() { Ok(None) } else { parse(rest).map(Some) }
}

pub(crate) fn some(text: &str) -> Result<&str, ArgError> {
    if text.is_empty() { Err(ArgError::Missing) } else { Ok(text) }
}

/// Parses `50 sala`, `50` or `sala`: a first word that is a number is the count.
pub(crate) fn history(rest: &str) -> Result<(usize, Option<Conversation>), ArgError> {
    let (first, behind) = split_word(rest);
    match first.parse::<i64>() {
        Ok(_) => Ok((count(first)?, optional(behind, conversation)?)),
        Err(_) => Ok((HISTORY_PAGE, optional(rest, conversation)?)),
    }
}

/// Parses `chat of may.jsonl in:sala`: a file's name may contain spaces, so the conversation has a prefix.
pub(crate) fn export(rest: &str) -> Result<(&str, Option<Conversation>), ArgError> {
    let marked = rest.rsplit_once(" in:").filter(|(_, name)| !name.is_empty());
    let (file, name) = marked.map_or((rest, None), |(file, name)| (file.trim_end(), Some(name)));
    Ok((some(file)?, name.map(conversation).transpose()?))
}

/// Parses the arguments of `/delete-account`: `+rooms` deletes the user's rooms too.
pub(crate) fn deletion(rest: &str) -> (&str, RoomsFate) {
    match rest.strip_suffix("+rooms") {
        Some(name) => (name.trim_end(), RoomsFate::Delete),
        None => (rest, RoomsFate::HandOn),
    }
}

pub(crate) fn count(text: &str) -> Result<usize, ArgError> {
    text.parse().ok().filter(|count| *count > 0).ok_or(ArgError::Not("N is a number of messages"))
}

/// Parses the end of a message id, as `/outbox` shows it.
pub(crate) fn line_id(text: &str) -> Result<String, ArgError> {
    if is_end_of_id(some(text)?) {
        Ok(text.to_lowercase())
    } else {
        Err(ArgError::Not("ID is what /outbox or a folded message shows, four digits or more"))
    }
}

/// Returns a name after Unicode normalisation (NFC): keyboards differ in how they produce accented letters.
pub(crate) fn normalised(text: &str) -> Result<String, ArgError> {
    Ok(some(text)?.nfc().collect())
}

pub(crate) fn room(text: &str) -> Result<RoomName, ArgError> {
    Ok(RoomName::parse(&normalised(text)?)?)
}

pub(crate) fn new_room(text: &str) -> Result<RoomName, ArgError> {
    let room = room(text)?;
    Ok(RoomName::parse_new(room.as_str())?)
}

pub(crate) fn user(text: &str) -> Result<Username, ArgError> {
    Ok(Username::parse(&normalised(text.strip_prefix('@').unwrap_or(text))?)?)
}

pub(crate) fn conversation(text: &str) -> Result<Conversation, ArgError> {
    if text.starts_with('@') {
        user(text).map(Conversation::Private)
    } else {
        room(text).map(Conversation::Room)
    }
}

/// Splits a text into its first word and the rest.
pub(crate) fn split_word(text: &str) -> (&str, &str) {
    let (word, rest) = text.split_once(char::is_whitespace).unwrap_or((text, ""));
    (word, rest.trim_start_matches(' '))
}
