//! The connection to a program or a tab: its commands come in, its events go out.

use tokio::sync::mpsc;

use crate::frontends::output::Output;
use crate::frontends::user_input::UserInput;

/// Both directions of a connection, which may outlive a sign-in.
pub(crate) struct Connection {
    pub(crate) input: mpsc::Receiver<UserInput>,
    pub(crate) output: Output,
    /// The number of input lines so far.
    pub(crate) lines: u64,
}

impl Connection {
    pub(crate) fn new(input: mpsc::Receiver<UserInput>, output: Output) -> Self {
        Self { input, output, lines: 0 }
    }
}
