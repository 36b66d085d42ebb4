//! The terminal: lines become commands of the service, events and answers become rows. One loop for every face.

pub mod commands;
mod editor;
pub mod errand;
mod greeting;
mod input;
pub mod json;
mod layout;
pub mod line;
mod new_password;
mod output;
pub mod paint;
mod recall;
mod reply;
mod rooms;
pub mod safe_text;
pub mod sign_in;
pub mod status_line;
mod tables;
pub mod tty;
mod unread;
pub mod view;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use chrono::Local;
use commons::names::{RoomName, Username};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::{Answer, Command, CommandError, Conversation, Event, Status};
use crate::events::Events;
use crate::limits::LINE_MAX;
use crate::password::Password;
use crate::service::PeerService;
use crate::terminal::commands::{Typed, Words, parse};
use crate::terminal::editor::LineEditor;
use crate::terminal::input::{Input, read_stdin};
use crate::terminal::layout::hang;
use crate::terminal::line::Moment;
use crate::terminal::new_password::{Answered, NewPassword, QUESTIONS};
use crate::terminal::output::{Gone, Output, Stdout};
use crate::terminal::paint::Paint;
use crate::terminal::safe_text::display_safe;
use crate::terminal::view::View;

/// Rows that are shown between two looks at how things stand.
const EVENTS_AT_ONCE: usize = 64;

/// How things are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// To people.
    Text,
    /// To programs.
    Json,
}

enum Face {
    Text(View),
    Json,
}

impl Face {
    /// The rows as they fit on the screen; a program takes them as they are.
    fn folded(&self, rows: Vec<String>) -> Vec<String> {
        match (self, tty::columns()) {
            (Self::Text(_), Some(columns)) => rows.iter().flat_map(|row| hang(row, columns)).collect(),
            _ => rows,
        }
    }
}

/// A conversation between a person or a program and the service.
pub struct Terminal {
    service: Arc<PeerService>,
    events: Events,
    face: Face,
    input: mpsc::Receiver<Input>,
    output: Output,
    editor: Option<LineEditor>,
    known: Known,
    /// The line that is being said: it comes back as an event, or is shown beside the error.
    said: String,
    new_password: NewPassword,
    stop: CancellationToken,
}

impl std::fmt::Debug for Terminal {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Terminal").field("editing", &self.editor.is_some()).finish_non_exhaustive()
    }
}

/// How a command ended.
enum Carried {
    Out,
    /// It was `/quit`: these are the last rows.
    Quit(Vec<String>),
    /// The program was asked to stop meanwhile.
    Stopped,
}

impl Terminal {
    /// Takes over standard input and output for somebody who is signed in. `events` were subscribed to before that.
    pub fn start(
        service: Arc<PeerService>,
        events: Events,
        you: Username,
        format: Format,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let face = match format {
            Format::Text => Face::Text(View::new(you, Paint::from_env())),
            Format::Json => Face::Json,
        };
        let editing = format == Format::Text && io::stdin().is_terminal() && io::stdout().is_terminal();
        let (editor, input, output) = match editing.then(|| LineEditor::start(Paint::from_env())) {
            Some(Ok((editor, input, sink))) => (Some(editor), input, Output::start(sink, stop.clone())?),
            // A terminal that cannot edit still takes lines.
            Some(Err(_)) | None => (None, read_stdin()?, Output::start(Stdout, stop.clone())?),
        };
        let known = Known::default();
        let (said, new_password) = (String::new(), NewPassword::default());
        Ok(Self { service, events, face, input, output, editor, known, said, new_password, stop })
    }

    /// Talks until the end; an error says why it came unasked.
    pub async fn run(mut self) -> Result<(), String> {
        let last_rows = match self.talk().await {
            Ok(rows) => rows,
            // Whoever read the output is gone: sign out all the same.
            Err(Gone) => {
                let _ = self.service.execute(Command::Quit).await;
                Ok(Vec::new())
            }
        };
        // From here on nobody takes typed lines.
        drop(self.input);
        self.output.close().await;
        if let Some(editor) = self.editor {
            editor.end().await;
        }
        let rows = self.face.folded(last_rows?);
        if !rows.is_empty() {
            let last = Output::start(Stdout, self.stop).map_err(|error| error.to_string())?;
            // It is the end anyway.
            let _ = last.show(&rows).await;
            last.close().await;
        }
        Ok(())
    }

    /// The loop: the last rows, or why the service ended by itself.
    async fn talk(&mut self) -> Result<Result<Vec<String>, String>, Gone> {
        self.welcome().await?;
        loop {
            let input = tokio::select! {
                event = self.events.recv() => match event {
                    Some(event) => {
                        self.tell(event).await?;
                        continue;
                    }
                    None => return Ok(match self.service.failure() {
                        Some(words) => Err(display_safe(&words)),
                        None => Ok(self.farewell()),
                    }),
                },
                input = self.input.recv() => input.unwrap_or(Input::End),
                () = self.stop.cancelled() => Input::End,
                () = self.output.gone() => return Err(Gone),
            };
            let Some(command) = self.understand(input).await? else { continue };
            let rows = match self.carry_out(command).await? {
                Carried::Out => continue,
                Carried::Quit(rows) => rows,
                Carried::Stopped => match self.carry_out(Command::Quit).await? {
                    Carried::Quit(rows) => rows,
                    Carried::Out | Carried::Stopped => Vec::new(),
                },
            };
            return Ok(Ok(rows.into_iter().chain(self.farewell()).collect()));
        }
    }

    fn farewell(&mut self) -> Vec<String> {
        match &mut self.face {
            Face::Text(view) => view.farewell(moment()),
            Face::Json => Vec::new(),
        }
    }

    /// The first rows; a person is told what goes on and what to type.
    async fn welcome(&mut self) -> Result<(), Gone> {
        let Face::Text(view) = &self.face else { return Ok(()) };
        // What cannot be asked now is shown as empty: the first screen has to come.
        let peers = match self.service.execute(Command::Peers).await {
            Ok(Answer::Peers { peers }) => peers,
            _ => Vec::new(),
        };
        let rooms = match self.service.execute(Command::Rooms).await {
            Ok(Answer::Rooms { rooms }) => rooms,
            _ => Vec::new(),
        };
        let rows = view.welcome(&peers, &rooms);
        self.show(rows).await
    }

    /// The command that was typed, if it was one; all else is answered here.
    async fn understand(&mut self, input: Input) -> Result<Option<Command>, Gone> {
        let line = match input {
            Input::Line(line) => line,
            Input::End => return Ok(Some(Command::Quit)),
            Input::TooLong(length) => {
                return self.refuse(&CommandError::TextTooLong { length, max: LINE_MAX }).await;
            }
            Input::Choices(names) => {
                if let Face::Text(view) = &self.face {
                    let rows = view.choices(&names, moment());
                    self.show(rows).await?;
                }
                return Ok(None);
            }
            Input::Secret(answer) => return self.take_secret(answer).await,
            Input::NoText => return self.refuse(&usage("this line is no UTF-8 text")).await,
            Input::TooFast(lines) => {
                return self.refuse(&usage(&format!("{lines} lines came too fast: lost"))).await;
            }
        };
        let open = self.service.status().open.is_some();
        let typed = parse(&line, open);
        if is_talk(&typed) {
            self.said = line;
        } else {
            self.echo(&line).await?;
        }
        match typed {
            Ok(Typed::Nothing) => Ok(None),
            Ok(Typed::Help(only)) => {
                let rows = match &self.face {
                    Face::Text(view) => view.help(only, moment()),
                    Face::Json => json::help(only),
                };
                self.show(rows).await?;
                Ok(None)
            }
            Ok(Typed::NewPassword) => match &self.editor {
                Some(editor) => {
                    self.new_password = NewPassword::default();
                    editor.ask(&QUESTIONS);
                    self.show(Vec::new()).await?;
                    Ok(None)
                }
                None => self.refuse(&usage("a password is not read from here: use `peer password`")).await,
            },
            Ok(Typed::Run(command)) => Ok(Some(command)),
            Err(error) => self.refuse(&error).await,
        }
    }

    /// The next answer to the questions of `/password`.
    async fn take_secret(&mut self, answer: Password) -> Result<Option<Command>, Gone> {
        match self.new_password.answer(answer) {
            Answered::Complete(wish) => return Ok(Some(Command::Account(wish))),
            Answered::More => self.show(Vec::new()).await?,
            Answered::Nothing => return self.refuse(&usage("the password stays as it is")).await,
            Answered::Different => {
                if let Some(editor) = &self.editor {
                    editor.ask(&QUESTIONS[1..]);
                }
                return self.refuse(&usage("the two are different: once more")).await;
            }
        }
        Ok(None)
    }

    /// Shows what was typed above its answer, where the editor has taken it off the screen.
    async fn echo(&mut self, line: &str) -> Result<(), Gone> {
        match &self.face {
            Face::Text(view) if self.editor.is_some() => {
                let rows = view.typed(line);
                self.show(rows).await
            }
            _ => Ok(()),
        }
    }

    async fn refuse(&mut self, error: &CommandError) -> Result<Option<Command>, Gone> {
        let rows = match &self.face {
            Face::Text(view) => view.error(error),
            Face::Json => json::error(error),
        };
        self.show(rows).await?;
        Ok(None)
    }

    /// Carries a command out; what happens meanwhile is shown meanwhile, and what it caused before its answer.
    async fn carry_out(&mut self, command: Command) -> Result<Carried, Gone> {
        let service = Arc::clone(&self.service);
        let execution = service.execute(command.clone());
        tokio::pin!(execution);
        let answer = loop {
            tokio::select! {
                answer = &mut execution => break answer,
                Some(event) = self.events.recv() => self.tell(event).await?,
                () = self.stop.cancelled(), if command != Command::Quit => return Ok(Carried::Stopped),
            }
        };
        while let Some(event) = self.events.try_recv() {
            self.tell(event).await?;
        }
        let rows = match (&self.face, &answer) {
            (Face::Text(view), Ok(answer)) => view.answer(answer, &command, moment()),
            (Face::Json, Ok(answer)) => json::answer(answer),
            (_, Err(error)) => {
                if matches!(command, Command::Say { .. } | Command::Tell { .. }) {
                    let said = std::mem::take(&mut self.said);
                    self.echo(&said).await?;
                }
                self.refuse(error).await?;
                Vec::new()
            }
        };
        if answer == Ok(Answer::AccountDeleted) || command == Command::Quit {
            return Ok(Carried::Quit(rows));
        }
        self.show(rows).await?;
        Ok(Carried::Out)
    }

    /// Shows an event and those that wait behind it.
    async fn tell(&mut self, event: Event) -> Result<(), Gone> {
        let mut rows = self.rows_of(&event);
        for _ in 1..EVENTS_AT_ONCE {
            let Some(event) = self.events.try_recv() else { break };
            rows.extend(self.rows_of(&event));
        }
        self.show(rows).await
    }

    fn rows_of(&mut self, event: &Event) -> Vec<String> {
        match &mut self.face {
            // Why the program ends is said once, as its last word.
            Face::Text(_) if matches!(event, Event::Error { message, .. } if self.service.failure().as_ref() == Some(message)) => {
                Vec::new()
            }
            Face::Text(view) => view.event(event, moment()),
            Face::Json => json::event(event),
        }
    }

    /// Prints rows, with what the open conversation shows where it changed; the line above the input follows.
    async fn show(&mut self, mut rows: Vec<String>) -> Result<(), Gone> {
        let mut repaint = false;
        if let Face::Text(view) = &mut self.face {
            let status = self.service.status();
            rows.extend(view.opened(status.open.as_ref(), moment()));
            if let Some(editor) = &self.editor {
                let status_line = view.status_line(&status);
                repaint = editor.set(status_line, news(&mut self.known, &status));
            }
        }
        let rows = self.face.folded(rows);
        if rows.is_empty() && repaint { self.output.repaint().await } else { self.output.show(&rows).await }
    }
}

/// What Tab completes from; turned into words only where it is another than before.
type Known = (Vec<Username>, Vec<RoomName>, Vec<Conversation>);

/// The words for Tab, where they are others than before.
fn news(known: &mut Known, status: &Status) -> Option<Words> {
    let conversations = status.conversations.iter().map(|(chat, _)| chat.clone()).collect();
    let now = (status.known_users.clone(), status.known_rooms.clone(), conversations);
    if *known == now {
        return None;
    }
    *known = now;
    Some(Words {
        users: status.known_users.iter().map(Username::to_string).collect(),
        rooms: status.known_rooms.iter().map(RoomName::to_string).collect(),
        conversations: status.conversations.iter().map(|(chat, _)| chat.to_string()).collect(),
    })
}

/// Whether a line is shown again as soon as it is said.
fn is_talk(typed: &Result<Typed, CommandError>) -> bool {
    matches!(typed, Ok(Typed::Nothing | Typed::Run(Command::Say { .. } | Command::Tell { .. })))
}

fn usage(text: &str) -> CommandError {
    CommandError::Usage(text.to_owned())
}

fn moment() -> Moment {
    Moment { now: Local::now().fixed_offset(), columns: tty::columns() }
}
