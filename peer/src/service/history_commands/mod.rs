//! The commands that read or change the stored history.
//!
//! They show, search, export and erase messages and list conversations, which requires that the history is unlocked.
//! Receipts and the outbox, from which a message can be withdrawn, are shown while it is locked too.

mod excerpt;
mod naming;
mod search_query;

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use uuid::Uuid;

use crate::api::Event;
use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::missing_conversation::MissingConversation;
use crate::api::past::{
    After, Before, ConversationSummary, FoundMessage, OwnMessage, PastMessage, WaitingMessage,
};
use crate::api::snapshot::Snapshot;
use crate::engine::conversation_name::named;
use crate::engine::engine_command::EngineCommand;
use crate::history::History;
use crate::history::answer::{HistoryFailed, NotWithdrawn, Receipt, StoredMessage};
use crate::history::conversation::ConversationId;
use crate::history::search::Search;
use crate::history::tables::Tables;
use crate::limits::{EXPORT_PAGE, HISTORY_PAGE, HISTORY_PAGE_MAX, RECEIPTS};
use crate::service::history_commands::excerpt::excerpt;
use crate::service::history_commands::naming::{NameError, StoredConversation, names, resolve};
use crate::service::history_commands::search_query::SearchQuery;
use crate::service::{PeerService, dispatch};

impl PeerService {
    /// Unlocks the history for a user who has just signed in with the password.
    pub async fn unlock_history(&self) {
        // No attempt has failed before the sign-in, so this one is not refused.
        let _ = self.engine.command(EngineCommand::Unlock { is_right: true }).await;
    }

    /// Checks that the history is unlocked.
    pub(crate) async fn look(&self) -> Result<(), CommandError> {
        self.engine.command(EngineCommand::CheckUnlocked).await.map(drop)
    }

    /// Returns the last messages of a conversation, or the last before a given one.
    pub(crate) async fn recent(
        &self,
        history: &History,
        lines: usize,
        conversation: Option<Conversation>,
        before: Option<Before>,
    ) -> Result<Answer, CommandError> {
        self.look().await?;
        let StoredConversation { id, of, named } = self.looked_at(history, conversation).await?;
        let lines = lines.min(HISTORY_PAGE_MAX);
        let page = history.transaction(move |tables| match before {
            Some(Before { id: before, from }) => tables.page_before(&id, (&before, from.as_ref()), lines + 1),
            None => tables.page(&id, None, lines + 1).map(Some),
        });
        let mut stored = page.await?.ok_or(CommandError::NotStored)?;
        // One message more than requested shows that there are older ones.
        let more = stored.len() > lines;
        stored.drain(..stored.len().saturating_sub(lines));
        Ok(Answer::History { of, named, lines: stored.into_iter().map(past_message).collect(), more })
    }

    /// Returns the first messages of a conversation after a given one.
    pub(crate) async fn following(
        &self,
        history: &History,
        lines: usize,
        conversation: Option<Conversation>,
        after: After,
    ) -> Result<Answer, CommandError> {
        self.look().await?;
        let StoredConversation { id, of, named } = self.looked_at(history, conversation).await?;
        let lines = lines.min(HISTORY_PAGE_MAX);
        let After { id: after, from } = after;
        let page =
            history.transaction(move |tables| tables.page_after(&id, (&after, from.as_ref()), lines + 1));
        let mut stored = page.await?.ok_or(CommandError::NotStored)?;
        let more = stored.len() > lines;
        stored.truncate(lines);
        Ok(Answer::History { of, named, lines: stored.into_iter().map(past_message).collect(), more })
    }

    /// Returns the messages of all conversations that match the typed query.
    pub(crate) async fn search(
        &self,
        history: &History,
        words: &str,
        before: Option<Before>,
    ) -> Result<Answer, CommandError> {
        self.look().await?;
        let SearchQuery { words, from, conversation, since, until } =
            SearchQuery::parse(words).map_err(CommandError::Usage)?;
        let of = match conversation {
            Some(named) => Some(self.looked_at(history, Some(named)).await?.id),
            None => None,
        };
        let before = match before {
            Some(Before { id, from }) => {
                let row = history.transaction(move |tables| tables.row_of(&id, from.as_ref())).await?;
                Some(row.ok_or(CommandError::NotStored)?)
            }
            None => None,
        };
        let wanted = Search { words, from, of, since, until, before };
        let mut lines = history.search(wanted, HISTORY_PAGE + 1).await?;
        let more = lines.len() > HISTORY_PAGE;
        lines.truncate(HISTORY_PAGE);
        let names = self.names(history).await?;
        let found = |stored: StoredMessage| {
            let StoredConversation { of, named, .. } =
                names.iter().find(|it| it.id == stored.conversation)?.clone();
            let excerpt = (!stored.hits.is_empty()).then(|| excerpt(&stored.text, &stored.hits).into());
            Some(FoundMessage { of, named, excerpt, message: past_message(stored) })
        };
        Ok(Answer::Found { lines: lines.into_iter().filter_map(found).collect(), more })
    }

    /// Returns the stored conversations, and those in which this user takes part.
    pub(crate) async fn conversations(&self, history: &History) -> Result<Answer, CommandError> {
        self.look().await?;
        let list = history.transaction(|tables| tables.conversation_list()).await?;
        let names = self.names(history).await?;
        // Each frontend fills in its unread messages.
        let Snapshot { rooms, private_chats, .. } = self.engine.snapshot(self.signed_out()).await?;
        let rooms = rooms.into_iter().map(|it| (ConversationId::Room(it.id), Conversation::Room(it.name)));
        let private = private_chats
            .into_iter()
            .map(|user| (ConversationId::Private(user.clone()), Conversation::Private(user)));
        let mut current: BTreeMap<_, _> = rooms.chain(private).collect();
        let mut all = Vec::new();
        for stored in list {
            let Some(name) = names.iter().find(|it| it.id == stored.name.0).cloned() else { continue };
            let part = current.remove(&name.id);
            all.push(ConversationSummary {
                id: name.id.room(),
                of: name.of,
                named: name.named,
                messages: stored.messages,
                first: Some(stored.sent.0),
                last: Some(stored.sent.1),
                ended: part.is_none(),
                unread: 0,
            });
        }
        let empty = current.into_iter().map(|(id, conversation)| ConversationSummary {
            of: conversation.into(),
            named: None,
            id: id.room(),
            messages: 0,
            first: None,
            last: None,
            unread: 0,
            ended: false,
        });
        all.extend(empty);
        all.sort_by_key(|it| Reverse(it.last));
        Ok(Answer::Conversations { conversations: all })
    }

    /// Exports a conversation to a new file, one JSON object a line.
    pub(crate) async fn export(
        &self,
        history: &History,
        file: PathBuf,
        conversation: Option<Conversation>,
    ) -> Result<Answer, CommandError> {
        self.look().await?;
        let StoredConversation { id, .. } = self.looked_at(history, conversation).await?;
        let failed = |error: io::Error| {
            CommandError::Local(match error.kind() {
                io::ErrorKind::AlreadyExists => {
                    format!(
                        "{} exists already, and nothing was written. Choose another name.",
                        file.display()
                    )
                }
                _ => format!("cannot write {}: {error}", file.display()),
            })
        };
        let out = create(&file).map_err(failed)?;
        match write_lines(history, id, out).await {
            Ok(lines) => Ok(Answer::Exported { file, lines }),
            Err(error) => {
                // An incomplete file would prevent the next attempt.
                let _ = fs::remove_file(&file);
                Err(failed(error))
            }
        }
    }

    /// Checks that messages of a conversation are stored.
    pub(crate) async fn keeps(
        &self,
        history: &History,
        conversation: Conversation,
    ) -> Result<(), CommandError> {
        self.looked_at(history, Some(conversation)).await.map(drop)
    }

    /// Erases a conversation on this device, also a room that was left.
    pub(crate) async fn forget(
        &self,
        history: &History,
        conversation: Conversation,
    ) -> Result<Answer, CommandError> {
        self.look().await?;
        let StoredConversation { id, .. } = self.looked_at(history, Some(conversation.clone())).await?;
        let lines = history.transaction(move |tables| tables.forget(&id)).await?;
        self.engine.publish([Event::HistoryErased { conversation, lines }]).await;
        Ok(Answer::Forgotten { lines })
    }

    /// Returns this user's last messages of a conversation, with the recipients that have them.
    pub(crate) async fn receipts(
        &self,
        history: &History,
        conversation: Option<Conversation>,
    ) -> Result<Answer, CommandError> {
        let StoredConversation { id, of, .. } = self.looked_at(history, conversation).await?;
        let lines = history.transaction(move |tables| tables.receipts(&id, RECEIPTS)).await?;
        Ok(Answer::Receipts { of, lines: lines.into_iter().map(own_message).collect() })
    }

    /// Returns the messages that wait, with their recipients.
    pub(crate) async fn outbox(&self, history: &History) -> Result<Answer, CommandError> {
        let waiting = history.transaction(Tables::undelivered).await?;
        let message = |receipt: Receipt| {
            let of = named(&receipt.message.conversation, receipt.message.room.clone())?.into();
            // Only the recipients that still lack the message are listed.
            Some(WaitingMessage {
                of,
                message: OwnMessage { has: Vec::new(), written: Vec::new(), ..own_message(receipt) },
            })
        };
        Ok(Answer::Outbox { lines: waiting.into_iter().filter_map(message).collect() })
    }

    /// Withdraws a message that no recipient has acknowledged. A message that is on its way may be on a screen already, so
    /// it is not withdrawn.
    pub(crate) async fn withdraw(&self, history: &History, id: &str) -> Result<Answer, CommandError> {
        let usage = |text: String| CommandError::Usage(text);
        let waiting = history.transaction(Tables::undelivered).await?;
        let mut meant = waiting.into_iter().filter(|receipt| is_meant(&receipt.message.id, id));
        let Receipt { message, waits: to, .. } = meant.next().ok_or_else(|| {
            usage(format!("no waiting message has the id {id}: /outbox lists them with their ids"))
        })?;
        if meant.next().is_some() {
            return Err(usage(format!("several message ids end in {id}: type more digits")));
        }
        let (found, row, room) = (message.id, message.row, message.conversation.room());
        self.engine.command(EngineCommand::CheckUnsent { row, room, to }).await?;
        let withdrawn = history.transaction(move |tables| tables.withdraw(&found)).await?;
        withdrawn.map_err(|why| match why {
            NotWithdrawn::Unknown => usage("you have no message with this id".to_owned()),
            NotWithdrawn::SomebodyHasIt(users) => {
                let users: Vec<_> = users.iter().map(|user| user.as_str()).collect();
                usage(format!("{} has the message already: it cannot be withdrawn", users.join(", ")))
            }
        })?;
        self.engine.publish([Event::MessageWithdrawn { id: found }]).await;
        Ok(Answer::Withdrawn { id: found })
    }

    /// Returns the conversation that the command names, even if it has ended.
    async fn looked_at(
        &self,
        history: &History,
        wanted: Option<Conversation>,
    ) -> Result<StoredConversation, CommandError> {
        let conversation = dispatch::named(wanted)?;
        let current = match &conversation {
            Conversation::Private(user) => Some(ConversationId::Private(user.clone())),
            Conversation::Room(name) => {
                let rooms = self.engine.snapshot(self.signed_out()).await?.rooms;
                rooms.iter().find(|room| room.name == *name).map(|room| ConversationId::Room(room.id))
            }
        };
        if let Some(id) = current {
            return Ok(StoredConversation { id, of: conversation.into(), named: None });
        }
        resolve(&self.names(history).await?, &conversation).map_err(|why| match why {
            NameError::Unknown => MissingConversation::NotStored(conversation.clone()).into(),
            NameError::Ambiguous => CommandError::Usage(
                "several rooms match: type more digits, as /conversations shows them".to_owned(),
            ),
        })
    }

    /// Returns the names of the stored conversations.
    async fn names(&self, history: &History) -> Result<Vec<StoredConversation>, CommandError> {
        let stored = history.transaction(|tables| tables.conversations()).await?;
        let rooms = self.engine.snapshot(self.signed_out()).await?.rooms;
        let current: Vec<_> = rooms.into_iter().map(|room| (room.name, room.id)).collect();
        Ok(names(&stored, &current))
    }
}

impl From<HistoryFailed> for CommandError {
    fn from(error: HistoryFailed) -> Self {
        Self::Local(error.to_string())
    }
}

fn is_meant(id: &Uuid, typed: &str) -> bool {
    !typed.is_empty() && id.to_string().ends_with(&typed.to_lowercase())
}

/// Creates a file that only this user can read, and never replaces one.
fn create(file: &Path) -> io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

/// Writes the messages of a conversation to a file. A slow disk must not hold up the runtime, so the writes block a
/// thread of their own.
async fn write_lines(history: &History, of: ConversationId, mut out: File) -> io::Result<usize> {
    let (mut after, mut written) = (i64::MIN, 0);
    loop {
        let of = of.clone();
        let batch = history.transaction(move |tables| tables.export(&of, after, EXPORT_PAGE)).await;
        let (lines, next) = batch.map_err(io::Error::other)?;
        written += lines.len();
        let mut piece = Vec::new();
        for line in lines.into_iter().map(past_message) {
            serde_json::to_writer(&mut piece, &line)?;
            piece.push(b'\n');
        }
        out =
            spawn_blocking(move || out.write_all(&piece).map(|()| out)).await.map_err(io::Error::other)??;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    spawn_blocking(move || out.sync_all()).await.map_err(io::Error::other)??;
    Ok(written)
}

fn own_message(Receipt { message, has, written, waits }: Receipt) -> OwnMessage {
    let StoredMessage { id, text, sent_at, .. } = message;
    OwnMessage { id, content: text.into(), sent_at, has, written, waits }
}

fn past_message(stored: StoredMessage) -> PastMessage {
    let StoredMessage { id, from, text, sent_at, signed, .. } = stored;
    PastMessage { id, from, content: text.into(), sent_at, signed, filtered: false, muted: false }
}
