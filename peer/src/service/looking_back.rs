//! Looking at the past: what was said, who has it, what waits. Commands in, answers out; the gate stands before some.

use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use tokio::time::Instant;
use uuid::Uuid;

use crate::api::error::CommandError;
use crate::api::past::{FoundLine, OwnLine, Past, PastLine, WaitingLine};
use crate::api::{Answer, Conversation};
use crate::delivery::keeping::named;
use crate::gate::Shut;
use crate::history::History;
use crate::history::answer::{KeptLine, NotWithdrawn};
use crate::history::conversation::ConversationId;
use crate::hub::Hub;
use crate::limits::{EXPORT_LINES, PAST_LINES, RECEIPTS};
use commons::protocol::with_tracker::ErrorCode;

impl Hub {
    /// Whether the past may be looked at now.
    pub(crate) fn look(&self) -> Result<(), CommandError> {
        Ok(self.lock().gate.look(Instant::now())?)
    }

    /// The last messages of a conversation.
    pub(crate) async fn recent(
        &self,
        history: &History,
        lines: usize,
        conversation: Option<Conversation>,
    ) -> Result<Answer, CommandError> {
        self.look()?;
        let (of, id) = self.looked_at(conversation)?;
        let lines = history.recent(id, lines.min(PAST_LINES.1)).await;
        Ok(Answer::History { of, lines: lines.into_iter().map(past_line).collect() })
    }

    /// Lines of any conversation that hold these words.
    pub(crate) async fn search(&self, history: &History, words: String) -> Result<Answer, CommandError> {
        self.look()?;
        let lines = history.search(words, PAST_LINES.0).await;
        let found = |kept: KeptLine| {
            let of = named(&kept.conversation, kept.room.clone())?.into();
            Some(FoundLine { of, line: past_line(kept) })
        };
        Ok(Answer::Found { lines: lines.into_iter().filter_map(found).collect() })
    }

    /// Writes a conversation to a file that is not there yet, a JSON object a line.
    pub(crate) async fn export(
        &self,
        history: &History,
        file: PathBuf,
        conversation: Option<Conversation>,
    ) -> Result<Answer, CommandError> {
        self.look()?;
        let (_, id) = self.looked_at(conversation)?;
        let failed = |error| CommandError::Local(format!("cannot write {}: {error}", file.display()));
        let out = create(&file).map_err(failed)?;
        match write_lines(history, id, out).await {
            Ok(lines) => Ok(Answer::Exported { file, lines }),
            Err(error) => {
                // Half of it would stand in the way of the next try.
                let _ = fs::remove_file(&file);
                Err(failed(error))
            }
        }
    }

    /// Erases a conversation on this computer, also a room that was left.
    pub(crate) async fn forget(
        &self,
        history: &History,
        conversation: Conversation,
    ) -> Result<Answer, CommandError> {
        self.look()?;
        let place = self.lock().chat.place(&conversation);
        let meant = match (place, conversation) {
            (Ok((id, _)), _) => vec![id],
            (Err(_), Conversation::Room(name)) => history.rooms_called(name).await,
            (Err(error), Conversation::Private(_)) => return Err(error),
        };
        if meant.is_empty() {
            return Err(CommandError::NoConversation);
        }
        let mut lines = 0;
        for id in meant {
            lines += history.forget(id).await;
        }
        Ok(Answer::Forgotten { lines })
    }

    /// Who has the last own messages of a conversation.
    pub(crate) async fn receipts(
        &self,
        history: &History,
        conversation: Option<Conversation>,
    ) -> Result<Answer, CommandError> {
        let (of, id) = self.looked_at(conversation)?;
        let lines = history.receipts(id, RECEIPTS).await;
        let own = lines.into_iter().map(|receipt| OwnLine {
            id: receipt.id,
            content: receipt.text.into(),
            sent_at: receipt.sent_at,
            has: receipt.has,
            written: receipt.written,
            waits: receipt.waits,
        });
        Ok(Answer::Receipts { of, lines: own.collect() })
    }

    /// What waits for whom.
    pub(crate) async fn outbox(&self, history: &History) -> Answer {
        let lines = history.outbox().await.into_iter().filter_map(|waiting| {
            let of = named(&waiting.conversation, waiting.room)?.into();
            let (id, content, sent_at) = (waiting.id, waiting.text.into(), waiting.sent_at);
            Some(WaitingLine {
                of,
                line: OwnLine {
                    id,
                    content,
                    sent_at,
                    has: Vec::new(),
                    written: Vec::new(),
                    waits: waiting.waits,
                },
            })
        });
        Answer::Outbox { lines: lines.collect() }
    }

    /// Takes a line back that nobody has.
    pub(crate) async fn withdraw(&self, history: &History, id: &str) -> Result<Answer, CommandError> {
        let usage = |text: String| CommandError::Usage(text);
        let waiting = history.outbox().await;
        let mut meant = waiting.iter().map(|line| line.id).filter(|waiting| is_meant(waiting, id));
        let found = meant.next().ok_or_else(|| {
            usage(format!("no line that waits has {id}: /outbox shows those there are, each with its end"))
        })?;
        if meant.next().is_some() {
            return Err(usage(format!("several lines end in {id}: type more of it")));
        }
        history.withdraw(found).await.map_err(|error| match error {
            NotWithdrawn::Unknown => usage("there is no such line of yours".to_owned()),
            NotWithdrawn::SomebodyHasIt(users) => {
                let users: Vec<_> = users.iter().map(|user| user.as_str()).collect();
                usage(format!("{} has it already: it cannot be taken back", users.join(", ")))
            }
            NotWithdrawn::NotKept => CommandError::Local(error.to_string()),
        })?;
        Ok(Answer::Withdrawn { id: found })
    }

    /// The conversation that is named, or the open one.
    fn looked_at(&self, named: Option<Conversation>) -> Result<(Past, ConversationId), CommandError> {
        let chat = &self.lock().chat;
        let conversation = named.map_or_else(|| chat.opened(), Ok)?;
        let (id, _) = chat.place(&conversation)?;
        Ok((conversation.into(), id))
    }
}

impl From<Shut> for CommandError {
    fn from(Shut { tries_left }: Shut) -> Self {
        match tries_left {
            0 => Self::Refused { code: ErrorCode::TooManyAttempts, msg: "too many wrong passwords".into() },
            tries_left => Self::PasswordWanted { tries_left },
        }
    }
}

fn is_meant(id: &Uuid, typed: &str) -> bool {
    !typed.is_empty() && id.to_string().ends_with(&typed.to_lowercase())
}

/// Only for this user, and never in place of another file.
fn create(file: &Path) -> std::io::Result<File> {
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)
}

async fn write_lines(history: &History, of: ConversationId, mut out: File) -> std::io::Result<usize> {
    let (mut after, mut written) = (i64::MIN, 0);
    loop {
        let (lines, next) = history.export(of.clone(), after, EXPORT_LINES).await;
        written += lines.len();
        let mut piece = Vec::new();
        for line in lines.into_iter().map(past_line) {
            serde_json::to_writer(&mut piece, &line)?;
            piece.push(b'\n');
        }
        out.write_all(&piece)?;
        match next {
            Some(next) => after = next,
            None => break,
        }
    }
    out.sync_all()?;
    Ok(written)
}

fn past_line(kept: KeptLine) -> PastLine {
    let KeptLine { id, from, text, sent_at, signed, .. } = kept;
    PastLine { id, from, content: text.into(), sent_at, signed }
}
