//! The output of a frontend: the first rows, the events, and the status row.
//!
//! It also decides the order of input and events.

use std::sync::Arc;

use crate::api::answer::Answer;
use crate::api::conversation::Conversation;
use crate::api::error::CommandError;
use crate::api::status::TrackerState;
use crate::api::{Command, Event};
use crate::event_bus::Subscription;
use crate::frontends::Frontend;
use crate::frontends::json::events;
use crate::frontends::output::OutputClosed;
use crate::frontends::renderer::{Renderer, moment};
use crate::frontends::terminal::{fatal_errors, tty};
use crate::frontends::turns::{Turn, next, next_interrupt};
use crate::frontends::user_input::UserInput;
use crate::limits::ROWS_AT_ONCE;
use crate::untrusted::UntrustedText;

/// Events that are shown between two updates of the status row.
const EVENTS_AT_ONCE: usize = 64;

impl std::fmt::Debug for Frontend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frontend").field("editing", &self.editor.is_some()).finish_non_exhaustive()
    }
}

impl Frontend {
    /// Shows the first rows; a person sees the users, the rooms and the next command to type.
    pub(crate) async fn welcome(&mut self) -> Result<(), OutputClosed> {
        let Renderer::Text(view) = &mut self.renderer else { return Ok(()) };
        // A request that fails is shown as an empty list: the first screen must appear.
        let peers = match self.service.execute(Command::Peers).await {
            Ok(Answer::Peers { peers }) => peers.into_iter().map(|user| user.peer).collect(),
            _ => Vec::new(),
        };
        let rooms = match self.service.execute(Command::Rooms).await {
            Ok(Answer::Rooms { rooms }) => rooms,
            _ => Vec::new(),
        };
        let waiting = match self.service.execute(Command::Outbox).await {
            Ok(Answer::Outbox { lines }) => lines,
            _ => Vec::new(),
        };
        let status = self.service.status().await;
        let rows = match status.tracker {
            TrackerState::Connected => view.welcome(&peers, &rooms, &waiting),
            TrackerState::Lost => view.welcome_offline(&status.tracker_address, &waiting),
        };
        self.show(rows).await
    }

    /// Takes over what earlier runs left unread, if the snapshot came before the sign-in.
    async fn resume(&mut self) {
        if self.renderer.conversations().lacks_unread()
            && let Some(begun) = self.service.begun().await
        {
            match &mut self.renderer {
                Renderer::Text(view) => view.resume(&begun),
                Renderer::Json(_, conversations) => conversations.resume(&begun),
            }
        }
    }

    /// Shows the events of the sign-in, which enter the rooms of earlier runs again.
    pub(crate) async fn enter_rooms(&mut self) -> Result<(), OutputClosed> {
        self.resume().await;
        while let Some(event) = self.events.try_recv() {
            let is_of_sign_in =
                matches!(event, Event::LoggedIn { .. } | Event::Tracker { .. } | Event::RoomEntered { .. });
            self.show_event(event).await?;
            if !is_of_sign_in {
                break;
            }
        }
        self.renderer.conversations().set_started();
        let open = self.renderer.conversations().open().cloned();
        if let (Renderer::Text(_), Some(conversation @ Conversation::Private(_))) = (&self.renderer, open) {
            // As if the user had opened it. If the other user is not to be found, the chat waits like any other.
            let _ = self.execute(&Command::Open { conversation }).await?;
        }
        // The header of a conversation that is open again.
        if matches!(self.renderer, Renderer::Text(_)) { self.show(Vec::new()).await } else { Ok(()) }
    }

    /// Returns the last rows, or the reason why the service ended by itself.
    pub(crate) fn ended(&mut self, rows: Vec<String>) -> Result<Vec<String>, String> {
        match self.service.failure() {
            Some(error) => Err(fatal_errors::rows(&error).join("\n")),
            None => Ok(rows.into_iter().chain(self.renderer.farewell()).collect()),
        }
    }

    /// Returns the result of a command, and shows the events that arrive during it. `None` if the program was asked to
    /// stop.
    pub(crate) async fn execute(
        &mut self,
        command: &Command,
    ) -> Result<Option<Result<Answer, CommandError>>, OutputClosed> {
        let service = Arc::clone(&self.service);
        let execution = service.execute(command.clone());
        tokio::pin!(execution);
        let answer = loop {
            tokio::select! {
                answer = &mut execution => break answer,
                Some(event) = next(&mut self.events, &self.output) => self.show_event(event).await?,
                () = self.stop.cancelled(), if *command != Command::Quit => return Ok(None),
            }
        };
        while let Some(event) = self.events.try_recv() {
            self.show_event(event).await?;
        }
        Ok(Some(answer))
    }

    /// Shows the typed line above its answer, if the editor has removed it from the screen.
    pub(crate) async fn echo(&mut self, line: &str) -> Result<(), OutputClosed> {
        if self.editor.is_some() { self.show(self.renderer.typed(line)).await } else { Ok(()) }
    }

    /// Refuses a line of input.
    pub(crate) async fn refuse(&mut self, error: &CommandError) -> Result<Option<Command>, OutputClosed> {
        self.refuse_command(error, None).await
    }

    /// Refuses a command; a request for the password does not count as a refusal.
    pub(crate) async fn refuse_command(
        &mut self,
        error: &CommandError,
        command: Option<&Command>,
    ) -> Result<Option<Command>, OutputClosed> {
        self.refused |= !matches!(error, CommandError::PasswordWanted { .. });
        let rows = self.renderer.error(error, command);
        self.show(rows).await?;
        Ok(None)
    }

    /// Waits for the next turn. Typed input takes precedence over events.
    pub(crate) async fn turn(&mut self) -> Result<Turn, OutputClosed> {
        let reading = self.renderer.conversations().reading(self.tab.is_some()).cloned();
        self.events.set_reading(reading.as_ref());
        // After the end of the service, waiting input is not read: nobody typed it for that situation.
        let reads = self.service.failure().is_none();
        if self.editor.is_some()
            && reads
            && let Ok(typed) = self.input.try_recv()
        {
            return Ok(Turn::Input(typed));
        }
        tokio::select! {
            event = next(&mut self.events, &self.output) => match event {
                Some(event) => {
                    self.show_event(event).await?;
                    Ok(Turn::Shown)
                }
                None => Ok(Turn::Over(self.ended(Vec::new()))),
            },
            input = self.input.recv(), if reads => Ok(Turn::Input(input.unwrap_or(UserInput::End))),
            () = self.renderer.is_due() => {
                self.show(Vec::new()).await?;
                Ok(Turn::Shown)
            }
            () = next_interrupt(&mut self.interrupts) => Ok(Turn::Input(UserInput::Interrupted)),
            () = self.stop.cancelled() => Ok(Turn::Input(UserInput::End)),
            () = self.output.closed() => Err(OutputClosed),
        }
    }

    /// Shows an event and those that wait behind it.
    pub(crate) async fn show_event(&mut self, event: Event) -> Result<(), OutputClosed> {
        let mut rows = self.rows_of(&event);
        let mut has_lagged = event == Event::Lagged;
        for _ in 1..EVENTS_AT_ONCE {
            if rows.len() >= ROWS_AT_ONCE || has_lagged {
                break;
            }
            // The earlier messages of a conversation come before the next event.
            if matches!(&self.renderer, Renderer::Text(view) if view.has_arrived()) {
                break;
            }
            let Some(event) = self.events.try_recv() else { break };
            has_lagged = event == Event::Lagged;
            rows.extend(self.rows_of(&event));
        }
        self.show(rows).await?;
        if has_lagged { self.subscribe_again().await } else { Ok(()) }
    }

    /// Goes on after a lag: the messages that were not read follow as events, and the snapshot tells everything else. A
    /// tab gets that snapshot too.
    async fn subscribe_again(&mut self) -> Result<(), OutputClosed> {
        let position = self.events.position();
        let Subscription { snapshot, events } = self.service.subscribe_after(position).await;
        self.events = events;
        self.renderer.conversations().resync(&snapshot);
        if let Renderer::Text(view) = &mut self.renderer {
            let waiting = match self.service.execute(Command::Outbox).await {
                Ok(Answer::Outbox { lines }) => lines,
                _ => Vec::new(),
            };
            view.resync(&snapshot, &waiting);
        }
        if self.tab.is_some() { self.output.show(&events::snapshot(&snapshot)).await } else { Ok(()) }
    }

    /// Renders an answer, from which `/more` may continue.
    pub(crate) fn rows_of_answer(&mut self, answer: &Answer, command: &Command) -> Vec<String> {
        self.paging.note(command, answer);
        self.renderer.answer(&self.service.marked_answer(answer.clone()), command)
    }

    fn rows_of(&mut self, event: &Event) -> Vec<String> {
        self.refused |= matches!(event, Event::Error { messages, .. } if !messages.is_empty());
        let marked = matches!(event, Event::Message { .. }).then(|| self.service.marked(event.clone()));
        match marked.as_ref().unwrap_or(event) {
            Event::Error { message, .. } if self.is_final_error(message) => Vec::new(),
            event => self.renderer.event(event),
        }
    }

    /// Returns true if this text is the reason why the program ends: a person sees it once, at the end.
    pub(crate) fn is_final_error(&self, words: &UntrustedText) -> bool {
        matches!(self.renderer, Renderer::Text(_))
            && self.service.failure().is_some_and(|error| error.words() == *words)
    }

    /// Turns the terminal's echo off while a password is asked for without an editor. This happens before the question
    /// appears, and lasts until no further question follows.
    fn hide_secrets(&mut self) {
        let hide = self.pending_prompts.wants_password();
        if self.editor.is_none() && hide != self.is_hidden && tty::set_echo(!hide).is_ok() {
            self.is_hidden = hide;
        }
    }

    /// Prints rows, and the header of the open conversation if it changed; then updates the status row.
    pub(crate) async fn show(&mut self, mut rows: Vec<String>) -> Result<(), OutputClosed> {
        self.hide_secrets();
        let mut repaint = false;
        if let Renderer::Text(view) = &mut self.renderer {
            rows.extend(view.opened());
            if view.has_arrived() {
                let looked = self.service.execute(view.look_back()).await;
                let looked = looked.map(|answer| self.service.marked_answer(answer));
                rows.extend(view.arrive(&looked, moment()));
            }
            rows.extend(view.progress(moment()));
            if let Some(editor) = &self.editor {
                let mut status = self.service.status().await;
                view.conversations().complete(&mut status);
                let status_line = view.status_line(&status);
                repaint = editor.set(status_line, self.known.changed_words(&status));
            }
        }
        let mut rows = self.renderer.wrapped(rows);
        if let Some(first) = rows.first_mut()
            && let Some(alert) = self.renderer.alert()
        {
            first.insert_str(0, &alert);
        }
        if rows.is_empty() && repaint { self.output.repaint().await } else { self.output.show(&rows).await }
    }
}
