//! The command with which others join a peer that also runs the tracker. Pure.
//!
//! A host gives it to the other users.

use std::net::{IpAddr, SocketAddr};

use commons::keys::PublicKey;

use crate::frontends::terminal::fatal_errors::joining;
use crate::frontends::terminal::shell_command::shell_command;

/// Returns the rows with the command, and from which computers it works. `local` is this computer's address in its
/// network.
#[must_use]
pub fn hosting(
    listening: SocketAddr,
    local: Option<IpAddr>,
    key: PublicKey,
    columns: Option<usize>,
) -> Vec<String> {
    let port = listening.port();
    let address = match (listening.ip().is_unspecified(), local) {
        (false, _) => listening.to_string(),
        (true, Some(local)) => SocketAddr::new(local, port).to_string(),
        (true, None) => format!("YOUR-ADDRESS:{port}"),
    };
    let mut rows = vec!["This peer is the tracker too. Others join with:".to_owned()];
    rows.extend(joining(&format!("peer --tracker {address}"), key, columns));
    let start = shell_command("peer");
    if start != "peer" {
        rows.push(format!("Without an installed peer: {start} --tracker …"));
    }
    if listening.ip().is_loopback() {
        rows.push(format!("{} is reached from this computer only. For friends elsewhere,", listening.ip()));
        rows.push(format!("start with --host --tracker 0.0.0.0:{port}"));
    } else if listening.ip().is_unspecified() {
        rows.push("This address is for your own network. Friends outside it need your router's,".to_owned());
        rows.push(format!("with port {port} forwarded to this computer."));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_address_that_others_type_is_one_that_they_reach() {
        let key = PublicKey::new([7; 32]);
        let rows = |listening: &str, local: Option<&str>| {
            let local = local.map(|local| local.parse().unwrap());
            hosting(listening.parse().unwrap(), local, key, Some(80)).join("\n")
        };
        let here = rows("127.0.0.1:6060", Some("192.168.1.5"));
        assert!(here.contains("peer --tracker 127.0.0.1:6060#") && here.contains("--tracker 0.0.0.0:6060"));
        let open = rows("0.0.0.0:6060", Some("192.168.1.5"));
        assert!(open.contains("peer --tracker 192.168.1.5:6060#") && open.contains("port 6060 forwarded"));
        assert!(rows("0.0.0.0:6060", None).contains("YOUR-ADDRESS:6060#"));
        let given = rows("192.168.1.5:6060", None);
        assert!(given.contains("192.168.1.5:6060#") && !given.contains("0.0.0.0"));
        assert!([here, open, given].iter().all(|text| text.lines().all(|row| row.len() < 80)));
    }
}
