//! The data that this device stores under the user's key: contacts, known keys and history.

use std::collections::BTreeSet;
use std::path::Path;

use commons::names::Username;
use tokio::sync::mpsc;

use crate::api::error::CommandError;
use crate::history::History;
use crate::history::history_db::{Author, InitialState, Place};
use crate::history::report::Report;
use crate::identity::contacts::Contacts;
use crate::identity::known_keys::KnownKeys;
use crate::service::muted::Muted;

/// The history, the reports that it sends, and its content when it was opened.
type OpenedHistory = (History, mpsc::Receiver<Report>, InitialState);

/// The data of one user on this device.
pub(crate) struct LocalData {
    pub(crate) contacts: Contacts,
    pub(crate) blocked: BTreeSet<Username>,
    pub(crate) muted: Muted,
    /// The users whose private chats were accepted.
    pub(crate) accepted: BTreeSet<Username>,
    pub(crate) known_keys: KnownKeys,
    pub(crate) history: OpenedHistory,
}

impl LocalData {
    /// Opens the data in the user's folder, and the history at its place.
    pub(crate) async fn open(folder: &Path, author: Author, place: Place) -> Result<Self, CommandError> {
        let contacts = Contacts::of(folder, &author.seed);
        let (blocked, accepted) = (contacts.blocked()?, contacts.accepted()?);
        let known_keys = KnownKeys::new(contacts.pins()?);
        let muted = Muted::open(Contacts::of(folder, &author.seed))?;
        let opened = tokio::task::spawn_blocking(move || History::open(&place, &author)).await;
        let opened = opened.map_err(|error| CommandError::Local(error.to_string()))?;
        let history = opened.map_err(|error| CommandError::Local(error.to_string()))?;
        Ok(Self { contacts, blocked, muted, accepted, known_keys, history })
    }
}
