//! The commands of a program or a tab while nobody is signed in.
//!
//! Only those of a sign-in are carried out, and `help`, `sign_out` and `quit`. All others are refused.

use std::io;
use std::sync::Arc;

use commons::protocol::with_tracker::ErrorCode;
use tokio_util::sync::CancellationToken;

use crate::api::Command;
use crate::api::answer::Answer;
use crate::api::error::CommandError;
use crate::api::request::{Action, Request, RequestParseError, parse};
use crate::frontends::Frontend;
use crate::frontends::connection::Connection;
use crate::frontends::json::events;
use crate::frontends::json::replies::{Origin, Replies};
use crate::frontends::output::{Output, OutputClosed, Stdout};
use crate::frontends::user_input::{UserInput, read_stdin};
use crate::service::PeerService;
use crate::service::service_slot::ServiceSlot;

/// Lets a program on standard input sign in by a command. Returns the frontend for its other commands, or `None` if the
/// input or the program ends.
pub async fn start(slot: &ServiceSlot, stop: &CancellationToken) -> io::Result<Option<Frontend>> {
    let mut program = Connection::new(read_stdin()?, Output::start(Stdout, stop.clone())?);
    let service = match sign_in(slot, &mut program, stop).await {
        Ok(Some(service)) => service,
        // The reader of the output may be gone.
        Ok(None) | Err(OutputClosed) => {
            program.output.close().await;
            return Ok(None);
        }
    };
    let subscription = service.subscribe_to_unshown().await;
    for event in [service.new_key(), service.take_moved(), service.motd()].into_iter().flatten() {
        // A closed output is noticed at the next row.
        let _ = program.output.show(&events::event(&event)).await;
    }
    let you = subscription.snapshot.username.clone();
    Ok(you.map(|you| Frontend::of_program(service, subscription, you, program, stop.clone())))
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
        *lines += 1;
        let (id, parsed) = match next {
            Some(UserInput::Line(text)) if text.trim().is_empty() => continue,
            Some(UserInput::Line(text)) => match parse(&text) {
                Ok(Request { id, action, .. }) => (id, Ok(action)),
                Err(RequestParseError { id, reason }) => (id, Err(CommandError::Usage(reason))),
            },
            Some(UserInput::End) | None => return Ok(None),
            Some(_) => (None, Err(CommandError::usage("this line is too long, or not UTF-8 text"))),
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
                    _ => Err(CommandError::refused(
                        ErrorCode::NotLoggedIn,
                        "nobody is signed in: give \"sign_in\" or \"register\" first",
                    )),
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
