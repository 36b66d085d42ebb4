//! The conversation with a program or a tab that is already connected: JSON commands and events.

use std::sync::Arc;

use commons::names::Username;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::event_bus::Subscription;
use crate::frontends::Frontend;
use crate::frontends::asking::Asking;
use crate::frontends::conversations::Conversations;
use crate::frontends::input::Input;
use crate::frontends::interrupt::Interrupt;
use crate::frontends::json::replies::{Origin, Replies};
use crate::frontends::output::{Output, OutputClosed};
use crate::frontends::paging::Paging;
use crate::frontends::renderer::Renderer;
use crate::frontends::tab_end::TabEnd;
use crate::frontends::terminal::completion::Known;
use crate::service::PeerService;

impl Frontend {
    /// Starts the frontend of a tab: JSON commands and events over a WebSocket.
    pub(crate) fn of_tab(
        service: Arc<PeerService>,
        subscription: Subscription,
        you: Username,
        io: (mpsc::Receiver<Input>, Output),
        stop: CancellationToken,
    ) -> Self {
        let tab = Some(TabEnd::default());
        Self { tab, ..Self::of_program(service, subscription, you, io, stop) }
    }

    /// Starts the frontend of a program that has signed in by a command: JSON commands and events.
    pub(crate) fn of_program(
        service: Arc<PeerService>,
        Subscription { snapshot, events }: Subscription,
        you: Username,
        (input, output): (mpsc::Receiver<Input>, Output),
        stop: CancellationToken,
    ) -> Self {
        Self {
            service,
            events,
            face: Renderer::Json(Replies::new(true), Conversations::new(you, &snapshot)),
            input,
            output,
            editor: None,
            known: Known::default(),
            paging: Paging::default(),
            said: String::new(),
            asking: Asking::default(),
            interrupts: None,
            interrupt: Interrupt::default(),
            asked_from: Origin::default(),
            lines: 0,
            refused: false,
            is_hidden: false,
            person: false,
            tab: None,
            stop,
        }
    }

    /// Runs the conversation with a tab. Returns the tab and the reason of the end.
    pub(crate) async fn run_tab(mut self) -> (mpsc::Receiver<Input>, Output, Result<TabEnd, OutputClosed>) {
        let end = match self.talk().await {
            // The reason of a failure follows in the event of the sign-out.
            Ok(last_rows) => {
                let shown = self.output.show(&last_rows.unwrap_or_default()).await;
                shown.map(|()| self.tab.unwrap_or_default())
            }
            Err(closed) => Err(closed),
        };
        (self.input, self.output, end)
    }
}
