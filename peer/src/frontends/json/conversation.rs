//! The conversation with a program or a tab that is already connected: JSON commands and events.

use std::sync::Arc;

use commons::names::Username;
use tokio_util::sync::CancellationToken;

use crate::event_bus::Subscription;
use crate::frontends::Frontend;
use crate::frontends::connection::Connection;
use crate::frontends::conversations::Conversations;
use crate::frontends::json::replies::Replies;
use crate::frontends::output::OutputClosed;
use crate::frontends::renderer::Renderer;
use crate::frontends::tab_end::TabEnd;
use crate::service::PeerService;

impl Frontend {
    /// Starts the frontend of a tab: JSON commands and events over a WebSocket.
    pub(crate) fn of_tab(
        service: Arc<PeerService>,
        subscription: Subscription,
        you: Username,
        tab: Connection,
        stop: CancellationToken,
    ) -> Self {
        let end = Some(TabEnd::default());
        Self { tab: end, ..Self::of_program(service, subscription, you, tab, stop) }
    }

    /// Starts the frontend of a program that has signed in by a command: JSON commands and events.
    pub(crate) fn of_program(
        service: Arc<PeerService>,
        Subscription { snapshot, events }: Subscription,
        you: Username,
        program: Connection,
        stop: CancellationToken,
    ) -> Self {
        let renderer =
            Renderer::Json(Box::new(Replies::new(true)), Box::new(Conversations::new(you, &snapshot)));
        Self::connected(service, events, renderer, program, stop)
    }

    /// Runs the conversation with a tab. Returns its connection and the reason of the end.
    pub(crate) async fn run_tab(mut self) -> (Connection, Result<TabEnd, OutputClosed>) {
        let end = match self.talk().await {
            // The reason of a failure follows in the event of the sign-out.
            Ok(last_rows) => {
                let shown = self.output.show(&last_rows.unwrap_or_default()).await;
                shown.map(|()| self.tab.unwrap_or_default())
            }
            Err(closed) => Err(closed),
        };
        let Self { input, output, lines, .. } = self;
        (Connection { input, output, lines }, end)
    }
}
