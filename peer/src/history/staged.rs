//! What is staged, as far as it matters when the disk does not take it.

use commons::names::Username;
use rusqlite::{Error, ErrorCode};
use uuid::Uuid;

use crate::history::conversation::ConversationId;
use crate::history::quota::Load;
use crate::history::request::{Request, Said, UnsignedLine};

/// What is to be done about a request that was staged in vain.
pub(crate) enum Staged {
    /// It is reported as not kept, and what it counted is given back.
    Said(ConversationId, Option<Load>, Uuid),
    /// They come again.
    Heard(Username, Vec<Uuid>),
    /// It does not, and is shown all the same.
    Unsigned(UnsignedLine),
    /// It is answered from what there is.
    Asked(Request),
    /// Only we know of it: it is tried again.
    Again(Request),
}

impl Staged {
    /// What remains of a request.
    pub(crate) fn of(request: &Request) -> Self {
        match request {
            Request::Say(Said { id, to, text, audience, .. }) => {
                Self::Said(to.clone(), (!audience.is_empty()).then(|| Load::of(text)), *id)
            }
            Request::Hear(heard) => {
                Self::Heard(heard.from.clone(), heard.lines.iter().map(|line| line.id).collect())
            }
            Request::KeepUnsigned(line) => Self::Unsigned(line.clone()),
            Request::Pending { .. } => Self::Asked(request.clone()),
            other => Self::Again(other.clone()),
        }
    }
}

/// What failed, for a user: no names, no texts.
pub(crate) fn words(error: &Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => "the disk is full",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => "the history is damaged",
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "the history may not be written"
        }
        _ => "the disk failed",
    }
}
