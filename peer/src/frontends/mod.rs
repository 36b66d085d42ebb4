//! The frontends: `terminal` for a person, `json` for a program, and `web` for a browser.
//!
//! One loop serves all; a tab of the browser speaks JSON. Input becomes commands of the service; events and answers become rows.

mod command_arguments;
mod command_outcome;
pub(crate) mod connection;
mod conversations;
mod interrupt;
pub mod json;
mod new_password;
mod output;
mod paging;
mod pending_prompts;
mod prompts;
mod renderer;
mod rooms;
mod shortcuts;
mod showing;
pub mod slash_commands;
mod tab_end;
pub mod terminal;
mod turns;
mod user_input;
pub mod web;

use std::io::{self, IsTerminal};
use std::sync::Arc;

use commons::counted::counted;
use commons::names::Username;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::api::Command;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::config::Notify;
use crate::event_bus::{Events, Subscription};
use crate::frontends::command_outcome::CommandOutcome;
use crate::frontends::connection::Connection;
use crate::frontends::conversations::Conversations;
use crate::frontends::interrupt::Interrupt;
use crate::frontends::json::replies::{Origin, Replies};
use crate::frontends::new_password::PROMPTS;
use crate::frontends::output::{Output, OutputClosed, Stdout};
use crate::frontends::paging::Paging;
use crate::frontends::pending_prompts::{PendingPrompts, carries_password};
use crate::frontends::renderer::Renderer;
use crate::frontends::slash_commands::{ParsedInput, parse};
use crate::frontends::tab_end::TabEnd;
use crate::frontends::terminal::completion::Known;
use crate::frontends::terminal::editor::LineEditor;
use crate::frontends::terminal::style::Style;
use crate::frontends::terminal::tty;
use crate::frontends::terminal::view::View;
use crate::frontends::turns::Turn;
use crate::frontends::user_input::{UserInput, read_stdin};
use crate::identity::password::Password;
use crate::limits::LINE_MAX;
use crate::service::PeerService;

const OWN_PASSWORD: &str = "this line is your password: it was not sent. If somebody saw it on your screen, change it with /password";

/// The format of output and input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Text for people.
    Text,
    /// JSON for programs.
    Json {
        /// True if commands are JSON too, one object a line.
        requests: bool,
    },
}

/// The result of a conversation that ended in good order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// True if a command or a line of input was refused.
    pub refused: bool,
}

/// A conversation between the service and a person or a program.
pub struct Frontend {
    service: Arc<PeerService>,
    events: Events,
    renderer: Renderer,
    input: mpsc::Receiver<UserInput>,
    output: Output,
    editor: Option<LineEditor>,
    known: Known,
    paging: Paging,
    /// The message that is being sent, as it was typed: it returns as an event, or is shown above the error.
    sent_text: String,
    pending_prompts: PendingPrompts,
    /// True if the terminal's own echo is off, because no editor hides the input.
    is_hidden: bool,
    /// The Ctrl-C signal, if no editor reads the key.
    interrupts: Option<Signal>,
    interrupt: Interrupt,
    /// The origin of the command that waits for the password.
    prompt_origin: Origin,
    /// The number of input lines so far.
    lines: u64,
    refused: bool,
    /// The end so far, if this is a tab of the browser: its end is not the end of the service.
    tab: Option<TabEnd>,
    /// True if a person types: one who can be asked, and whose typed password must not be sent.
    person: bool,
    stop: CancellationToken,
}

impl Frontend {
    /// Starts the terminal on standard input and output for a signed-in user. A subscription from before the sign-in
    /// brings the events of the sign-in too.
    pub fn start(
        service: Arc<PeerService>,
        Subscription { snapshot, events }: Subscription,
        you: Username,
        format: Format,
        notify: Notify,
        stop: CancellationToken,
    ) -> io::Result<Self> {
        let renderer = match format {
            Format::Text => {
                let view = View::new(you, &snapshot, Style::from_env()).notifying(notify);
                Renderer::Text(Box::new(view))
            }
            Format::Json { requests } => {
                Renderer::Json(Box::new(Replies::new(requests)), Box::new(Conversations::new(you, &snapshot)))
            }
        };
        // The questions before may have turned the echo off.
        tty::set_echo(true)?;
        let person = format == Format::Text && io::stdin().is_terminal();
        let editing = person && io::stdout().is_terminal();
        let own = Arc::clone(&service);
        let guard = Box::new(move |line: &str| own.is_password(line));
        let own = Arc::clone(&service);
        let filter = Box::new(move |line: &str| match parse(line, true) {
            Ok(ParsedInput::Run(Command::Say { text, .. })) => own.check_filter(&text).err(),
            _ => None,
        });
        let (editor, input, output) =
            match editing.then(|| LineEditor::start(Style::from_env(), guard, filter)) {
                Some(Ok((editor, input, sink))) => (Some(editor), input, Output::start(sink, stop.clone())?),
                // A terminal that cannot edit still reads lines.
                Some(Err(_)) | None => (None, read_stdin()?, Output::start(Stdout, stop.clone())?),
            };
        let by_signal = editing && editor.is_none();
        let interrupts = by_signal.then(|| signal(SignalKind::interrupt())).transpose()?;
        tty::catch_interrupts(by_signal);
        let connection = Connection::new(input, output);
        Ok(Self {
            editor,
            interrupts,
            person,
            ..Self::connected(service, events, renderer, connection, stop)
        })
    }

    /// Starts a frontend for a connection, without an editor and without a person who can be asked.
    fn connected(
        service: Arc<PeerService>,
        events: Events,
        renderer: Renderer,
        Connection { input, output, lines }: Connection,
        stop: CancellationToken,
    ) -> Self {
        Self {
            service,
            events,
            renderer,
            input,
            output,
            editor: None,
            known: Known::default(),
            paging: Paging::default(),
            sent_text: String::new(),
            pending_prompts: PendingPrompts::default(),
            interrupts: None,
            interrupt: Interrupt::default(),
            prompt_origin: Origin::default(),
            lines,
            refused: false,
            is_hidden: false,
            person: false,
            tab: None,
            stop,
        }
    }

    /// Runs until the end. An error says why the conversation ended by itself.
    pub async fn run(mut self) -> Result<Ended, String> {
        let last_rows = match self.talk().await {
            Ok(rows) => rows,
            // The reader of the output is gone; the peer still signs out.
            Err(OutputClosed) => {
                let _ = self.service.execute(Command::Quit).await;
                Ok(Vec::new())
            }
        };
        tty::catch_interrupts(false);
        // No line of input is read after this point.
        drop(self.input);
        self.output.close().await;
        if let Some(editor) = self.editor {
            editor.end().await;
        }
        let rows = self.renderer.wrapped(last_rows?);
        if !rows.is_empty() {
            let last = Output::start(Stdout, self.stop).map_err(|error| error.to_string())?;
            // An error has no consequence at the end.
            let _ = last.show(&rows).await;
            last.close().await;
        }
        Ok(Ended { refused: self.refused })
    }

    /// Runs the loop. Returns the last rows, or the reason why the service ended by itself.
    async fn talk(&mut self) -> Result<Result<Vec<String>, String>, OutputClosed> {
        self.welcome().await?;
        self.enter_rooms().await?;
        loop {
            let input = match self.turn().await? {
                Turn::Input(input) => input,
                Turn::Shown => continue,
                Turn::Over(rows) => return Ok(rows),
            };
            if self.tab.is_some() && input == UserInput::End {
                self.tab = Some(TabEnd::Closed);
                return Ok(Ok(Vec::new()));
            }
            let Some(mut command) = self.understand(input).await? else { continue };
            let rows = loop {
                command = match self.carry_out(command).await? {
                    CommandOutcome::Out => break None,
                    CommandOutcome::Quit(rows) => break Some(rows),
                    CommandOutcome::Unlocked(command) => {
                        let origin = std::mem::take(&mut self.prompt_origin);
                        self.renderer.begin(origin);
                        command
                    }
                    CommandOutcome::Stopped => {
                        self.renderer.begin(Origin::default());
                        Command::Quit
                    }
                };
            };
            if let Some(rows) = rows {
                return Ok(self.ended(rows));
            }
        }
    }

    /// Returns the command that was typed, if the input is one; handles all other input itself.
    async fn understand(&mut self, input: UserInput) -> Result<Option<Command>, OutputClosed> {
        let origin = Origin { line: self.number(&input), id: None };
        if matches!(&self.renderer, Renderer::Json(replies, _) if replies.requests) {
            return self.understand_request(input, origin).await;
        }
        self.renderer.begin(origin);
        if matches!(input, UserInput::Line(_)) {
            self.interrupt.reset();
        }
        let line = match input {
            UserInput::Line(line) if self.pending_prompts.wants_password() => {
                return Ok(Some(self.pending_prompts.with_password(Password::typed(line))));
            }
            // Input that is not text cannot be the password.
            UserInput::TooLong(_) | UserInput::NoText
                if self.pending_prompts.wants_password() && self.editor.is_none() =>
            {
                return Ok(Some(self.pending_prompts.with_password(Password::typed(""))));
            }
            UserInput::Answer(answer) => return self.answered(&answer).await,
            UserInput::Line(line) if self.person && self.service.is_password(&line) => {
                return self.refuse(&CommandError::usage(OWN_PASSWORD)).await;
            }
            UserInput::OwnPassword => return self.refuse(&CommandError::usage(OWN_PASSWORD)).await,
            UserInput::Filtered(error) => return self.refuse(&error).await,
            UserInput::Line(answer) if self.pending_prompts.wants_yes() => {
                return self.answered(&answer).await;
            }
            UserInput::Line(line) => line,
            UserInput::End => return Ok(Some(Command::Quit)),
            UserInput::TooLong(length) => {
                return self.refuse(&CommandError::TextTooLong { length, max: LINE_MAX }).await;
            }
            UserInput::Choices(names) => {
                self.show(self.renderer.choices(&names)).await?;
                return Ok(None);
            }
            UserInput::Interrupted => return self.interrupted().await,
            UserInput::NextUnread => return self.next_unread().await,
            UserInput::Secret(answer) => return self.take_secret(answer).await,
            UserInput::NoText => {
                return self.refuse(&CommandError::usage("this line is not UTF-8 text")).await;
            }
            UserInput::TooFast(lines) => {
                return self
                    .refuse(&CommandError::usage(&format!(
                        "{} came too fast: lost",
                        counted(lines, "line", "lines")
                    )))
                    .await;
            }
        };
        let open = self.renderer.conversations().open().is_some();
        let typed = parse(&line, open);
        if matches!(&typed, Ok(typed) if typed.is_talk()) {
            self.sent_text = line;
        } else {
            self.echo(&line).await?;
        }
        match typed {
            Ok(ParsedInput::Nothing) => Ok(None),
            Ok(ParsedInput::Help(only)) => {
                self.show(self.renderer.help(only)).await?;
                Ok(None)
            }
            Ok(ParsedInput::NewPassword) if self.editor.is_none() => {
                self.refuse(&CommandError::usage("a password is not read from here: use `peer password`"))
                    .await
            }
            Ok(ParsedInput::NewPassword) => {
                self.pending_prompts.begin();
                self.prompt(&PROMPTS);
                self.show(Vec::new()).await?;
                Ok(None)
            }
            Ok(ParsedInput::More) => self.more().await,
            Ok(ParsedInput::Run(mut command)) => {
                match self.renderer.conversations().name_open(&mut command) {
                    Ok(()) => Ok(if self.confirm_first(&command).await? { None } else { Some(command) }),
                    Err(error) => self.refuse_command(&error, Some(&command)).await,
                }
            }
            Err(error) => self.refuse(&error).await,
        }
    }

    /// Executes a command. Shows the events that arrive during it, and the events that it caused before its answer.
    async fn carry_out(&mut self, mut command: Command) -> Result<CommandOutcome, OutputClosed> {
        self.renderer.note(&mut command);
        let Some(mut answer) = self.execute_page(&mut command).await? else {
            return Ok(CommandOutcome::Stopped);
        };
        if let Ok(answer) = &mut answer {
            self.renderer.conversations().on_answer(&command, answer);
        }
        let is_request = matches!(&self.renderer, Renderer::Json(replies, _) if replies.requests);
        if let Command::Unlock { .. } = &command
            && !is_request
            && !matches!(answer, Err(CommandError::PasswordWanted { .. }))
        {
            return self.unlocked(answer.map(drop)).await;
        }
        if self.pending_prompts.is_for_deletion()
            && !matches!(answer, Err(CommandError::PasswordWanted { .. }))
        {
            // The password for the deletion was checked for the last time.
            self.pending_prompts.take_waiting();
            self.prompt(&[]);
        }
        let rows = match &answer {
            Ok(answer) => self.rows_of_answer(answer, &command),
            Err(wanted @ CommandError::PasswordWanted { tries_left }) => {
                self.refused |= carries_password(&command);
                if is_request {
                    self.refuse(wanted).await?;
                } else {
                    self.prompt_password(command, *tries_left).await?;
                }
                return Ok(CommandOutcome::Out);
            }
            Err(error) => {
                if matches!(command, Command::Say { .. }) {
                    let sent_text = std::mem::take(&mut self.sent_text);
                    self.echo(&sent_text).await?;
                }
                self.refuse_command(error, Some(&command)).await?;
                Vec::new()
            }
        };
        if answer == Ok(Answer::AccountDeleted) || matches!(command, Command::Quit | Command::SignOut) {
            self.tab = self.tab.map(|end| if command == Command::Quit { TabEnd::Quit } else { end });
            return Ok(CommandOutcome::Quit(rows));
        }
        self.show(rows).await?;
        Ok(CommandOutcome::Out)
    }
}
