//! The tasks of the operator that need the running tracker: lists, and administration.

use std::error::Error;
use std::io::{self, Write as _};
use std::path::Path;

use commons::protocol::administration::AdminRequest;
use commons::protocol::page::Page;
use tracker::operator::OperatorCommand;

use crate::admin_task::AdminTask;
use crate::control;

/// Carries out a task of administration.
pub(crate) async fn administer(data: &Path, task: AdminTask) -> Result<(), Box<dyn Error>> {
    perform(data, task.command()).await
}

/// Lists the accounts.
pub(crate) async fn users(data: &Path) -> Result<(), Box<dyn Error>> {
    perform(data, OperatorCommand::Users(Page::default())).await
}

/// Lists the sessions.
pub(crate) async fn sessions(data: &Path) -> Result<(), Box<dyn Error>> {
    perform(data, OperatorCommand::Admin(AdminRequest::Sessions(Page::default()))).await
}

/// Sends a command, and prints its result. A list is read page by page.
async fn perform(data: &Path, mut command: OperatorCommand) -> Result<(), Box<dyn Error>> {
    loop {
        let (lines, next) = control::operate(data, command.clone()).await?;
        lines.iter().try_for_each(|line| writeln!(io::stdout(), "{line}"))?;
        let (
            Some(next),
            OperatorCommand::Users(page)
            | OperatorCommand::Admin(AdminRequest::Sessions(page) | AdminRequest::Bans(page)),
        ) = (next, &mut command)
        else {
            return Ok(());
        };
        page.after = Some(next);
    }
}
