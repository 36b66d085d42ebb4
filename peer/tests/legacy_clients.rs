//! Tests of legacy clients with this tracker and these peers, by the double in `legacy/`.
//!
//! The numbers (4.x) refer to the list of requirements in the original program's description. Each test names the
//! requirements that it covers. Others are covered elsewhere: 4.2–4.4 (files) in `tracker/tests/restart.rs`; 4.28
//! (logs) in `tracker/src/main.rs`; 4.29 (encryption) in `peer/tests/identity.rs`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod legacy;

use std::time::Duration;

use common::{Tracker, room, user};
use legacy::{Crashed, LegacyClient, Shown};
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::error::CommandError;
use peer::api::{Command, Event};
use serde_json::json;

/// 4.1, 4.5, 4.7–4.11, 4.21, 4.22: register, log in, lists, refusals, and a restart.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn menu_of_a_legacy_client_works() {
    let tracker = Tracker::start().await;
    let mut early = LegacyClient::start(tracker.address);
    assert_eq!(early.list_peers()["status"], "ERROR", "nobody is signed in");
    assert_eq!(early.sign_in("REGISTER", "py", "uma senha longa")["status"], "OK");

    let mut other = LegacyClient::start(tracker.address);
    assert_eq!(other.sign_in("REGISTER", "py", "outra senha longa")["status"], "ERROR", "the name is taken");
    assert_eq!(other.sign_in("LOGIN", "py", "outra senha longa")["status"], "ERROR");
    assert_eq!(other.sign_in("REGISTER", "rui", "uma senha longa")["status"], "OK", "one error ends nothing");
    assert_eq!(other.ask(json!({"cmd": "DANCE"}))["status"], "ERROR");

    assert_eq!(early.create("sala")["status"], "OK");
    assert_eq!(other.create("sala")["status"], "ERROR", "the name is taken");
    assert_eq!(other.count_rooms(), [("sala".to_owned(), 1)]);
    let peers = other.list_peers()["peers"].clone();
    assert_eq!(peers["py"]["room"], "sala");
    assert_eq!(peers["py"]["port"], early.links.port);
    assert_eq!((&peers["py"]["connected"], &peers["rui"]["room"]), (&json!(true), &json!(null)));
}

/// 4.12–4.14, 4.17–4.19, 4.23, 4.25, 4.26: three programs in a room, two of them legacy clients.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_clients_share_a_room_with_ours() {
    let tracker = Tracker::start().await;
    let (py, rui) =
        (LegacyClient::registered(tracker.address, "py"), LegacyClient::registered(tracker.address, "rui"));
    py.create("sala");
    py.join("sala");
    let mut ana = tracker.peer("ana").await;
    ana.join("sala").await;
    py.until(|shown| *shown == Shown::Entered("ana".into()));
    py.is_dialled_by("ana");
    rui.join("sala");
    py.is_dialled_by("rui");
    ana.linked("py").await;
    ana.linked("rui").await;
    let full = LegacyClient::registered(tracker.address, "zoe");
    assert_eq!(full.join("sala")["status"], "ERROR", "three sit there");
    assert_eq!(rui.users(), ["py", "ana", "rui"]);

    py.say("olá, vocês");
    assert_eq!(ana.receives("olá, vocês").await, user("py"));
    rui.receives("olá, vocês");
    ana.say("oi — ✓").await;
    py.receives("oi — ✓");
    rui.receives("oi — ✓");
    rui.leave();
    py.until(|shown| *shown == Shown::Left("rui".into()));
    ana.until(|event| matches!(event, Event::RoomUpdate { username, .. } if *username == user("rui"))).await;
    assert_eq!(rui.join("sala")["status"], "OK", "the seat is free again");
}

/// 4.13, 4.27: only the owner deletes a room, and everybody is notified.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_the_owner_deletes_a_room() {
    let tracker = Tracker::start().await;
    let (py, rui) =
        (LegacyClient::registered(tracker.address, "py"), LegacyClient::registered(tracker.address, "rui"));
    let mut ana = tracker.peer("ana").await;
    py.create("sala");
    py.join("sala");
    rui.join("sala");
    ana.join("sala").await;
    assert_eq!(rui.delete_room(), Ok(false));
    assert_eq!(py.delete_room(), Ok(true));
    ana.until(|event| matches!(event, Event::RoomDeleted { .. })).await;
    rui.until(|shown| matches!(shown, Shown::Update(_)));
    assert_eq!(py.count_rooms(), []);
}

/// 4.24: private chats that either side begins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn private_chats_go_both_ways() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let py = LegacyClient::registered(tracker.address, "py");
    assert!(!py.chat_with("py"), "not with oneself");
    assert!(!py.chat_with("rui"), "nobody has that name");
    ana.tell("py", "psst").await.unwrap();
    py.receives_privately("psst");
    assert!(py.chat_with("ana"));
    py.say("o que foi?");
    assert_eq!(ana.receives("o que foi?").await, user("py"));
}

/// 4.15, 4.16, 4.30: a client that answers PING stays online, an ended one is offline, and the newest login wins.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_of_legacy_clients_is_right() {
    let sweep = Duration::from_millis(100);
    let tracker = Tracker::start_with(|config| config.ping_interval = sweep).await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.join("sala");
    let pinged = || py.list_peers()["peers"]["py"]["last_ping"].is_string();
    while !pinged() {
        tokio::time::sleep(sweep).await;
    }
    let newer = LegacyClient::logged_in(tracker.address, "py");
    drop(py);
    assert_eq!(newer.list_peers()["peers"]["py"]["port"], newer.links.port);
    newer.quit();
    let offline = |event: &Event| matches!(event, Event::RoomUpdate { change, .. } if format!("{change:?}") == "Offline");
    ana.until(offline).await;
}

/// 4.24, 4.27: a legacy client that ends a private chat closes its socket while one of its threads still reads from it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn second_private_chat_loses_no_message() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    for round in 0..4 {
        assert!(py.chat_with("ana"));
        py.say(&format!("from py {round}"));
        ana.receives(&format!("from py {round}")).await;
        for n in 0..2 {
            ana.tell("py", &format!("to py {round}.{n}")).await.unwrap();
            py.receives_privately(&format!("to py {round}.{n}"));
        }
        py.leave();
        py.until(|shown| *shown == Shown::Disconnected("ana".into()));
    }
    let lost = |shown: &Shown| matches!(shown, Shown::NoLink(_) | Shown::Dropped { .. });
    assert!(!py.shown_so_far().iter().any(lost));
}

/// 4.14, 4.19: after a login a legacy client shows its menu, where it drops messages of a room.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn room_messages_wait_while_a_legacy_client_is_in_its_menu() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.join("sala");
    ana.linked("py").await;
    drop(py);
    ana.until(|event| matches!(event, Event::Link { state: peer::api::status::LinkState::Down, .. })).await;
    let offline = |event: &Event| matches!(event, Event::RoomUpdate { change, .. } if format!("{change:?}") == "Offline");
    ana.until(offline).await;
    ana.say("while away").await;
    let py = LegacyClient::logged_in(tracker.address, "py");
    let online = |event: &Event| matches!(event, Event::RoomUpdate { change, .. } if format!("{change:?}") == "Online");
    ana.until(online).await;
    ana.say("in the menu").await;
    // A private message is shown in the menu, and no message of the room follows it.
    ana.tell("py", "in private").await.unwrap();
    py.receives_privately("in private");
    py.join("sala");
    ana.say("in the room").await;
    for text in ["while away", "in the menu", "in the room"] {
        let next = py.until(|shown| matches!(shown, Shown::Room { .. } | Shown::Dropped { .. }));
        assert_eq!(next, Shown::Room { from: "ana".into(), text: text.into() });
    }
}

/// 4.19: nothing shows whether a legacy client displayed a message. So it is never called delivered, and waits no
/// longer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_to_a_legacy_client_are_written_and_never_delivered() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.join("sala");
    ana.linked("py").await;
    ana.say("short").await;
    py.receives("short");
    ana.until(|event| matches!(event, Event::Written { to, .. } if *to == user("py"))).await;
    ana.say(&"x".repeat(5000)).await;
    ana.until(|event| matches!(event, Event::Undelivered { to, .. } if *to == user("py"))).await;
    ana.tell("py", "psst").await.unwrap();
    py.receives_privately("psst");
    ana.until(|event| matches!(event, Event::Written { .. })).await;
    drop(py);
    let down = |event: &Event| {
        matches!(event, Event::Link { state: peer::api::status::LinkState::Down, encrypted: false, .. })
    };
    ana.until(down).await;
    ana.say("later").await;

    let Answer::Receipts { lines, .. } = ana.run(Command::Receipts { conversation: None }).await.unwrap()
    else {
        unreachable!()
    };
    let reported: Vec<_> =
        lines.iter().map(|line| (&line.has[..], &line.written[..], &line.waits[..])).collect();
    let py = [user("py")];
    assert_eq!(reported, [(&[][..], &py[..], &[][..]), (&[], &[], &[]), (&[], &[], &py)]);
    let Answer::Outbox { lines } = ana.run(Command::Outbox).await.unwrap() else { unreachable!() };
    assert!(lines.len() == 1 && &lines[0].message.content == "later", "{lines:?}");
    assert!(!ana.saw(|event| matches!(event, Event::Delivered { .. })));
}

/// 4.13, 4.18: a thread of a legacy client removes the entry of an ended link, and with it that of the next link.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn leave_and_join_at_bot_speed_keep_the_link() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.create("sala");
    py.join("sala");
    for _ in 0..3 {
        py.links.slow_down(true);
        ana.join("sala").await;
        py.is_dialled_by("ana");
        ana.linked("py").await;
        ana.run(Command::Leave { conversation: Some(Conversation::Room(room("sala"))) }).await.unwrap();
        ana.join("sala").await;
        // A HELLO now reaches a client that is about to forget the name.
        py.may_show(|shown| *shown == Shown::Hello("ana".into()));
        py.links.slow_down(false);
        ana.linked("py").await;
        py.is_dialled_by("ana");
        py.say("still there?");
        ana.receives("still there?").await;
        py.until(|shown| *shown == Shown::Disconnected("ana".into()));
        assert!(!py.shown_so_far().iter().any(|shown| matches!(shown, Shown::NoLink(_))));
        ana.run(Command::Leave { conversation: Some(Conversation::Room(room("sala"))) }).await.unwrap();
        py.until(|shown| *shown == Shown::Disconnected("ana".into()));
    }
}

/// 4.1, 4.20: the original tracker reads a TLS handshake as a damaged request and resets the connection.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn original_tracker_is_named_as_the_reason() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    let Err(error) = ana.try_again_at(legacy::tracker::start()).await else { panic!("signed in") };
    assert!(matches!(error, CommandError::NotATracker { .. }), "{error:?}");
    assert!(error.to_string().contains("original Python tracker"), "{error}");
}

/// 4.14, 4.25: one line on the screen for each departure.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_client_gets_one_notice_of_a_leave() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.create("sala");
    py.join("sala");
    ana.join("sala").await;
    ana.linked("py").await;
    py.is_dialled_by("ana");
    ana.run(Command::Leave { conversation: Some(Conversation::Room(room("sala"))) }).await.unwrap();
    let mut shown = Vec::new();
    while !shown.contains(&Shown::Disconnected("ana".into())) {
        shown.push(py.until(|_| true));
    }
    // The answer arrives after the announcement.
    py.list_peers();
    shown.extend(py.shown_so_far());
    assert_eq!(shown.iter().filter(|shown| **shown == Shown::Left("ana".into())).count(), 1, "{shown:?}");
}

/// 4.12: the client reads the owner's name without a check whether there is an owner.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_guest_survives_deletar_sala_while_the_owner_is_away() {
    let tracker = Tracker::start().await;
    let mut ana = tracker.peer("ana").await;
    ana.create("sala").await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.join("sala");
    ana.dies().await;
    py.until(|shown| matches!(shown, Shown::Update(_)));
    assert_eq!(py.delete_room(), Ok(false));
    py.leave();
    py.join("sala");
    assert_eq!(py.delete_room(), Ok(false));
    assert_eq!(py.count_rooms(), [("sala".to_owned(), 2)]);
}

/// The control: with an empty owner slot the double crashes as the original does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn control_legacy_client_dies_of_an_empty_owner_slot() {
    let tracker = Tracker::start().await;
    let py = LegacyClient::registered(tracker.address, "py");
    py.create("sala");
    py.join("sala");
    py.forget_the_owner();
    assert!(matches!(py.delete_room(), Err(Crashed(_))));
}

/// 4.14, 4.20: every text of the tracker for a legacy client is in Portuguese, in the original's words if it has them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn legacy_clients_are_answered_in_portuguese() {
    let tracker = Tracker::start().await;
    let mut py = LegacyClient::start(tracker.address);
    let msg = |answer: serde_json::Value| answer["msg"].as_str().unwrap_or_default().to_owned();
    assert_eq!(msg(py.list_peers()), "Comando inválido. Faça login ou registre-se primeiro.");
    assert_eq!(msg(py.sign_in("LOGIN", "py", "uma senha longa")), "Credenciais inválidas.");
    assert_eq!(msg(py.sign_in("REGISTER", "py", "uma senha longa")), "Usuário registrado com sucesso.");
    assert_eq!(msg(py.create("sala")), "Sala 'sala' criada com sucesso.");
    assert_eq!(msg(py.create("sala")), "A sala 'sala' já existe.");
    assert_eq!(msg(py.join("sala")), "Usuário 'py' entrou na sala 'sala'.");
    assert_eq!(msg(py.join("outra")), "A sala 'outra' não existe.");
    assert_eq!(msg(py.ask(json!({"cmd": "DANCE"}))), "Comando não suportado.");
    assert_eq!(msg(py.ask(json!({"cmd": "JOIN_ROOM"}))), "Parâmetros ausentes.");
    let mut ana = tracker.peer("ana").await;
    ana.join("sala").await;
    let update = Shown::Update("A configuração da sala 'sala' foi atualizada.".into());
    py.until(|shown| *shown == update);
    let rui = LegacyClient::registered(tracker.address, "rui");
    assert_eq!(
        msg(rui.ask(json!({"cmd": "DELETE_ROOM", "room": "sala"}))),
        "A sala 'sala' não existe ou não pode ser deletada."
    );
    assert_eq!(
        msg(rui.ask(json!({"cmd": "LEAVE_ROOM", "room": "sala"}))),
        "Usuário 'rui' não está na sala 'sala'."
    );
}
