//! The commands of a program or a tab while nobody is signed in.
//!
//! Only those of a sign-in are carried out, and `help`, `sign_out` and `quit`. All others are refused.

use std::io;
use std::sync::Arc;

use commons::protocol::with_tracker::ErrorCode;
use tokio_util::sync::CancellationToken;

use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::request::{Action, Request, RequestParseError, parse};
use crate::api::snapshot::Snapshot;
use crate::api::{Command, Event};
use crate::frontends::Frontend;
use crate::frontends::connection::Connection;
use crate::frontends::json::events;
use crate::frontends::json::replies::{Origin, Replies};
use crate::frontends::output::{Output, OutputClosed, Stdout};
use crate::frontends::user_input::{UserInput, read_stdin};
use crate::service::PeerService;
use crate::service::service_slot::ServiceSlot;

/// The end of the time in which nobody is signed in.
pub(crate) enum SignedOutEnd {
    /// A user is signed in. The frontend carries out the other commands.
    SignedIn(Box<Frontend>),
    /// The input ended before its first line.
    NoInput,
    /// The input or the program has ended.
    Ended,
}

/// Lets a program on standard input sign in by a command.
pub(crate) async fn start(slot: &ServiceSlot, stop: &CancellationToken) -> io::Result<SignedOutEnd> {
    let mut program = Connection::new(read_stdin()?, Output::start(Stdout, stop.clone())?);
    // A closed output is noticed at the next row.
    let _ = program.output.show(&events::signed_out(Some(not_signed_in()))).await;
    let service = match sign_in(slot, &mut program, stop).await {
        Ok(Some(service)) => service,
        // The reader of the output may be gone.
        outcome @ (Ok(None) | Err(OutputClosed)) => {
            program.output.close().await;
            let is_unused = outcome.is_ok() && program.lines == 0 && !stop.is_cancelled();
            return Ok(if is_unused { SignedOutEnd::NoInput } else { SignedOutEnd::Ended });
        }
    };
    let subscription = service.subscribe_to_unshown().await;
    for event in [service.new_key(), service.take_moved(), service.motd()].into_iter().flatten() {
        // A closed output is noticed at the next row.
        let _ = program.output.show(&events::event(&event)).await;
    }
    // The events of the sign-in came before the subscription: the snapshot holds what they said.
    let Snapshot { tracker, tracker_reason, rooms, username, .. } = subscription.snapshot.clone();
    let state = Event::Tracker { state: tracker, reason: tracker_reason };
    let rooms = rooms.into_iter().map(|room| Event::RoomEntered { room: Box::new(room) });
    for event in std::iter::once(state).chain(rooms) {
        // A closed output is noticed at the next row.
        let _ = program.output.show(&events::event(&event)).await;
    }
    Ok(username.map_or(SignedOutEnd::Ended, |you| {
        let frontend = Frontend::of_program(service, subscription, you, program, stop.clone());
        SignedOutEnd::SignedIn(Box::new(frontend))
    }))
}

/// Carries out commands until a user is signed in, by this frontend or another one. Returns that user's service, or
/// `None` if the input or the program ends.
pub(crate) async fn sign_in(
    slot: &ServiceSlot,
    Connection { input, output, lines }: &mut Connection,
    stop: &CancellationToken,
) -> Result<Option<Arc<PeerService>>, OutputClosed> {
    let mut replies = Replies::new(true);
    loop {
        let next = tokio::select! {
            biased;
            service = slot.filled() => return Ok(Some(service)),
            () = stop.cancelled() => return Ok(None),
            () = output.closed() => return Err(OutputClosed),
            next = input.recv() => next,
        };
        let Some(next) = next.filter(|next| !matches!(next, UserInput::End)) else { return Ok(None) };
        *lines += 1;
        let (id, parsed) = match next {
            UserInput::Line(text) if text.trim().is_empty() => continue,
            UserInput::Line(text) => match parse(&text) {
                Ok(Request { id, action, .. }) => (id, Ok(action)),
                Err(RequestParseError { id, reason }) => (id, Err(CommandError::Usage(reason))),
            },
            _ => (None, Err(CommandError::usage("this line is too long, or not UTF-8 text"))),
        };
        replies.begin(Origin { line: Some(*lines), id });
        let rows = match parsed {
            Ok(Action::Help) => replies.help(),
            Ok(Action::Run(command)) => {
                let answer = match &command {
                    Command::SignIn(command) => slot.execute(command.clone()).await,
                    Command::SignOut => Ok(Answer::Done),
                    Command::Quit => {
                        stop.cancel();
                        Ok(Answer::Done)
                    }
                    _ => Err(not_signed_in()),
                };
                match answer {
                    Ok(answer) => replies.answer(&answer, &command),
                    Err(error) => replies.error(&error, Some(&command)),
                }
            }
            Err(error) => replies.error(&error, None),
        };
        output.show(&rows).await?;
    }
}

fn not_signed_in() -> CommandError {
    let msg = "nobody is signed in: give \"sign_in\" or \"register\" first";
    CommandError::refused(ErrorCode::NotLoggedIn, msg)
}
