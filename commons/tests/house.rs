//! Rules about the source code: permitted imports, permitted output, and the length of a file.
//! The tests read the sources as text.
//!
//! Every rule has a line of code that breaks it, and the test checks that the rule catches this line.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod sources;

use std::collections::BTreeSet;
use std::fs;

use sources::{root, sources};

/// Longest file in lines of code. The file's own tests and comments do not count.
const FILE_LINES: usize = 350;

/// A rule: files that must not contain certain names, the exceptions, and a line that would break the rule.
struct Rule {
    files: &'static [&'static str],
    except: &'static [&'static str],
    never: &'static [&'static str],
    broken_by: &'static str,
}

/// Paths that give access to the network or to byte streams.
const NET: &[&str] = &["commons::net", "crate::net", "tokio::net", "tokio::io"];

/// The peer's folders that may hold sockets.
const COMMUNICATIONS: &[&str] = &["tracker_communication", "peer_communication"];

const PRINTING: &[&str] = &["println!", "print!", "eprintln!", "eprint!", "stdout()", "stderr()"];

const RULES: &[Rule] = &[
    Rule {
        files: &["commons/src/net/"],
        except: &[],
        never: &["protocol::", "crate::room", "crate::names"],
        broken_by: "use crate::protocol::with_tracker::TrackerRequest;",
    },
    Rule {
        files: &["commons/src/protocol/"],
        except: &[],
        never: NET,
        broken_by: "use crate::net::frame::Frame;",
    },
    Rule {
        files: &["tracker/src/handlers/", "tracker/src/repositories/"],
        except: &[],
        never: NET,
        broken_by: "use commons::net::connection::Connection;",
    },
    Rule {
        files: &["peer/src/engine/", "peer/src/api/"],
        except: &[],
        never: NET,
        broken_by: "let socket: tokio::net::UdpSocket;",
    },
    Rule {
        // The engine decides without I/O. One task drives it.
        files: &["peer/src/engine/"],
        except: &["peer/src/engine/testing.rs"],
        never: &[
            "Mutex",
            "Notify",
            "OnceLock",
            "async ",
            "tokio::sync",
            "tokio::spawn",
            "std::fs",
            "Utc::now",
            "Instant::now",
        ],
        broken_by: "let now = Instant::now();",
    },
    Rule {
        // It uses the backoff of the connections.
        files: &["peer/src/peer_communication/link_table.rs"],
        except: &[],
        never: &["commons::net::socket", "commons::net::connection", "tokio::net", "tokio::io"],
        broken_by: "let socket: tokio::net::UdpSocket;",
    },
    Rule {
        files: &["tracker/src/repositories/"],
        except: &[],
        never: &["protocol::"],
        broken_by: "use commons::protocol::with_tracker::ErrorCode;",
    },
    Rule {
        files: &[
            "peer/src/api/",
            "peer/src/engine/chat/",
            "peer/src/history/",
            "peer/src/identity/",
            "peer/src/peer_communication/",
            "peer/src/tracker_communication/",
        ],
        except: &[],
        never: &["crate::hub", "crate::delivery", "crate::service", "crate::frontends"],
        broken_by: "use crate::hub::Hub;",
    },
    Rule {
        files: &["peer/src/frontends/"],
        except: &[],
        never: COMMUNICATIONS,
        broken_by: "use crate::peer_communication::link::Link;",
    },
    Rule {
        files: &["peer/src/"],
        except: &["peer/src/frontends/", "peer/src/main.rs", "peer/src/program.rs"],
        never: PRINTING,
        broken_by: "    eprintln!(\"{error}\");",
    },
    Rule {
        files: &["commons/src/", "tracker/src/", "peer/src/"],
        except: &[
            "commons/src/net/socket.rs",
            "peer/src/frontends/web/server.rs",
            "tracker/src/status/mod.rs",
        ],
        never: &["TcpStream", "TcpListener"],
        broken_by: "use tokio::net::TcpStream;",
    },
    Rule {
        // Text from others reaches the screen in one way only.
        files: &["peer/src/frontends/"],
        except: &["peer/src/frontends/terminal/sanitize.rs"],
        never: &["expose()"],
        broken_by: "rows.push(message.text.expose().to_owned());",
    },
    Rule {
        files: &["peer/src/"],
        except: &["peer/src/main.rs"],
        never: &["tracker::"],
        broken_by: "use tracker::server::TrackerServer;",
    },
    Rule {
        files: &["commons/src/", "tracker/src/", "peer/src/"],
        except: &[],
        // A name is imported from the file that defines it, with one path per import.
        never: &["super::", "pub use", "use crate::{", "use commons::{"],
        broken_by: "use super::frame::Frame;",
    },
    Rule {
        files: &["commons/src/", "tracker/src/", "peer/src/"],
        // Both queues count waiting items by events and by bytes, and a channel can only count messages.
        except: &["peer/src/event_bus.rs", "tracker/src/send_queue.rs"],
        never: &["unbounded_channel", "unbounded()"],
        broken_by: "let (outbox, queue) = mpsc::unbounded_channel();",
    },
];

/// Finds the first of these names that occurs in the code as a whole name, not as part of a longer one.
fn named<'a>(code: &str, never: &[&'a str]) -> Option<&'a str> {
    let in_a_name = |c: char| c.is_alphanumeric() || c == '_';
    never.iter().copied().find(|name| {
        code.match_indices(name).any(|(at, _)| {
            let goes_on =
                name.ends_with(char::is_alphanumeric) && code[at + name.len()..].starts_with(in_a_name);
            !goes_on && !code[..at].ends_with(in_a_name)
        })
    })
}

#[test]
fn modules_name_nothing_above_or_beside_them() {
    let sources = sources();
    for rule in RULES {
        assert!(named(rule.broken_by, rule.never).is_some(), "no teeth: {}", rule.broken_by);
        let under = |path: &str, starts: &[&str]| starts.iter().any(|start| path.starts_with(start));
        for start in rule.files.iter().chain(rule.except) {
            assert!(
                sources.iter().any(|source| source.path.starts_with(start)),
                "a rule for nothing: {start}"
            );
        }
        for source in &sources {
            if under(&source.path, rule.files) && !under(&source.path, rule.except) {
                let found = named(&source.code, rule.never);
                assert_eq!(found, None, "{} names what it may not", source.path);
            }
        }
    }
}

#[test]
fn a_name_within_a_longer_one_is_not_that_name() {
    assert_eq!(named("use commons::protocol::with_tracker::Status;", &["tracker::"]), None);
    assert_eq!(named("use tracker::server::TrackerServer;", &["tracker::"]), Some("tracker::"));
    assert_eq!(named("use std::net::IpAddr;", NET), None);
    assert_eq!(named("pub username: String,", &["pub use"]), None);
}

#[test]
fn tracker_and_commons_do_not_depend_on_the_peer() {
    for (name, above) in [("tracker", &["peer"][..]), ("commons", &["peer", "tracker"])] {
        let manifest = fs::read_to_string(root().join(name).join("Cargo.toml")).unwrap();
        for line in manifest.lines() {
            let dependency = line.split(['.', ' ', '=']).next().unwrap_or_default();
            assert!(!above.contains(&dependency), "{name}: {line}");
        }
    }
}

#[test]
fn files_are_short_and_open_with_what_they_are() {
    for source in sources() {
        let lines = source.code.lines().count();
        assert!(lines <= FILE_LINES, "{} has {lines} lines of code", source.path);
        assert!(source.whole.starts_with("//! "), "{} does not say what it is", source.path);
        let vague = ["util", "helper", "manager", "misc"];
        assert!(!vague.iter().any(|word| source.path.contains(word)), "{} says nothing", source.path);
    }
}

#[test]
fn the_map_names_files_that_exist() {
    let map = fs::read_to_string(root().join("docs/architecture.md")).unwrap();
    let paths: Vec<_> = sources().into_iter().map(|source| source.path).collect();
    let names =
        map.split(|c: char| c.is_whitespace() || "`(),:;".contains(c)).filter(|word| word.ends_with(".rs"));
    for name in names {
        let there = paths.iter().any(|path| *path == name || path.ends_with(&format!("/{name}")));
        assert!(there || root().join(name).is_file(), "docs/architecture.md: there is no {name}");
    }
    let folders: BTreeSet<_> = paths.iter().filter_map(|path| path.rsplit('/').nth(1)).collect();
    for folder in folders {
        assert!(map.contains(&format!("{folder}/")), "docs/architecture.md: {folder}/ is not on the map");
    }
}

#[test]
fn every_crate_from_outside_has_its_reason() {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let decisions = fs::read_to_string(root().join("docs/decisions.md")).unwrap();
    let named: BTreeSet<_> = decisions.split(|c: char| !c.is_alphanumeric() && !"-_".contains(c)).collect();
    let table = manifest.split("[workspace.dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let crates =
        table.lines().filter(|line| !line.contains("path =")).filter_map(|line| line.split(" =").next());
    for name in crates.filter(|name| !name.is_empty()) {
        assert!(named.contains(name), "docs/decisions.md does not say why {name} is here");
    }
}

#[test]
fn the_top_level_holds_exactly_this() {
    let allowed =
        ["Cargo.lock", "Cargo.toml", "LICENSE", "README.md", "commons", "data", "docs", "peer", "tracker"];
    let names = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // `target` is the build folder and is not committed.
    let found: BTreeSet<_> = names.filter(|name| !name.starts_with('.') && name != "target").collect();
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), allowed);
}
