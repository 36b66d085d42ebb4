//! The property of the first frames on a link.
//! Any bytes give a greeting, another message or an error. A valid name in a greeting is unchanged by parsing.

use std::pin::pin;
use std::task::{Context, Poll, Waker};

use commons::limits::FRAME_MAX_BEFORE_LOGIN;
use commons::names::Username;
use commons::net::connection::Connection;
use commons::protocol::between_peers::PeerMessage;

pub fn hold(bytes: &[u8]) {
    let mut connection = Connection::new(tokio::io::join(bytes, tokio::io::sink()), FRAME_MAX_BEFORE_LOGIN);
    loop {
        let frame = {
            let mut receiving = pin!(connection.recv());
            let Poll::Ready(frame) = receiving.as_mut().poll(&mut Context::from_waker(Waker::noop())) else {
                panic!("all bytes are there, and it waits");
            };
            frame
        };
        let Ok(Some(frame)) = frame else { return };
        let Ok(PeerMessage::Hello(greeting) | PeerMessage::Welcome(greeting)) = frame.parse() else {
            continue;
        };
        if let Ok(name) = Username::parse(&greeting.username) {
            assert_eq!(name.as_str(), greeting.username);
        }
    }
}
