//! Tests of the history commands: conversations that have ended, search filters, and pages.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;

use common::{Peer, Tracker, password_of, room, user};
use peer::api::answer::Answer;
use peer::api::conversation::Conversation;
use peer::api::past::{After, Before, ConversationSummary, FoundMessage, PastConversation};
use peer::api::{Command, Event};
use peer::untrusted::AsUntrusted;
use programs::{PASSWORD, Piped, Screen};
use uuid::Uuid;

async fn unlocked(tracker: &Tracker, name: &str) -> Peer {
    let peer = tracker.peer(name).await;
    peer.run(Command::Unlock { password: password_of(name) }).await.unwrap();
    peer
}

async fn say(peer: &mut Peer, text: &str) {
    peer.say(text).await;
    peer.until(|event| matches!(event, Event::Sent { content, .. } if content == text)).await;
}

/// Creates and deletes a room, then creates another one of the same name and leaves it.
async fn two_rooms_of_one_name(peer: &mut Peer) {
    for text in ["the first room", "the second room"] {
        peer.create("sala").await;
        say(peer, text).await;
        peer.run(Command::Delete { room: Some(room("sala")) }).await.unwrap();
        peer.until(|event| matches!(event, Event::RoomDeleted { .. } | Event::RoomLeft { .. })).await;
    }
}

async fn conversations(peer: &Peer) -> Vec<ConversationSummary> {
    let Ok(Answer::Conversations { conversations }) = peer.run(Command::Conversations).await else {
        panic!("no list")
    };
    conversations
}

async fn history(peer: &Peer, name: &str) -> Result<Vec<String>, String> {
    let conversation = Some(Conversation::Room(room(name)));
    match peer.run(Command::History { lines: 9, conversation, before: None, after: None }).await {
        Ok(Answer::History { lines, .. }) => {
            Ok(lines.into_iter().map(|line| line.content.expose().to_owned()).collect())
        }
        Ok(_) => panic!("no history"),
        Err(error) => Err(error.code()),
    }
}

async fn found(peer: &Peer, words: &str) -> Vec<FoundMessage> {
    let Ok(Answer::Found { lines, .. }) =
        peer.run(Command::Search { words: words.to_owned(), before: None }).await
    else {
        panic!("no search")
    };
    lines
}

async fn texts(peer: &Peer, words: &str) -> Vec<String> {
    found(peer, words).await.into_iter().map(|found| found.message.content.expose().to_owned()).collect()
}

#[tokio::test]
async fn ended_rooms_of_one_name_can_each_be_read() {
    let tracker = Tracker::start().await;
    let mut ana = unlocked(&tracker, "ana").await;
    two_rooms_of_one_name(&mut ana).await;
    ana.create("equipe").await;
    let list = conversations(&ana).await;
    let sala: Vec<_> = list.iter().filter(|it| it.of == PastConversation::Room(room("sala"))).collect();
    assert!(sala.iter().all(|it| it.ended && it.messages == 1 && it.first == it.last));
    let older = sala.iter().find_map(|it| it.named.clone()).unwrap();
    assert_eq!(sala.iter().filter(|it| it.named.is_some()).count(), 1, "the newest has the plain name");
    assert!(
        list.iter()
            .any(|it| it.of == PastConversation::Room(room("equipe")) && !it.ended && it.messages == 0)
    );

    assert_eq!(history(&ana, "sala").await.unwrap(), ["the second room"]);
    assert_eq!(history(&ana, older.as_str()).await.unwrap(), ["the first room"]);
    assert_eq!(history(&ana, "nowhere").await.unwrap_err(), "NO_CONVERSATION");
    let both = found(&ana, "room").await;
    assert_eq!(both.iter().map(|it| it.named.clone()).collect::<Vec<_>>(), [None, Some(older.clone())]);
    assert_eq!(texts(&ana, &format!("room in:{older}")).await, ["the first room"]);

    let file = ana.folder().join("older.jsonl");
    let conversation = || Conversation::Room(older.clone());
    let export = Command::Export { file: file.clone(), conversation: Some(conversation()) };
    assert!(matches!(ana.run(export).await, Ok(Answer::Exported { lines: 1, .. })));
    assert!(std::fs::read_to_string(&file).unwrap().contains("the first room"));
    let forget = Command::Forget { conversation: conversation() };
    assert!(matches!(ana.run(forget).await, Ok(Answer::Forgotten { lines: 1 })));
    assert_eq!(history(&ana, older.as_str()).await.unwrap_err(), "NO_CONVERSATION");
    assert_eq!(history(&ana, "sala").await.unwrap(), ["the second room"]);
}

#[tokio::test]
async fn the_list_of_conversations_is_locked_as_the_history_is() {
    let tracker = Tracker::start().await;
    let mut ana = unlocked(&tracker, "ana").await;
    ana.create("sala").await;
    let ana = ana.again_after_death().await;
    // Signing in may unlock the history. If it does not, the list requires the password as /history does.
    let look = Command::History { lines: 1, conversation: None, before: None, after: None };
    let (history, list) = (ana.run(look).await.map(drop), ana.run(Command::Conversations).await.map(drop));
    assert_eq!(history.is_err_and(|error| error.code() == "PASSWORD_WANTED"), list.is_err());
}

#[tokio::test]
async fn filters_narrow_a_search_and_hits_are_marked() {
    let tracker = Tracker::start().await;
    let mut ana = unlocked(&tracker, "ana").await;
    let mut bob = tracker.peer("bob").await;
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    say(&mut ana, "o plano").await;
    bob.receives("o plano").await;
    say(&mut bob, "um plano melhor, coração").await;
    ana.receives("um plano melhor, coração").await;
    bob.tell("ana", "plano secreto").await.unwrap();
    ana.receives("plano secreto").await;
    for (typed, wanted) in [
        ("plano from:bob in:sala", &["um plano melhor, coração"][..]),
        ("in:@bob", &["plano secreto"]),
        ("from:bob", &["plano secreto", "um plano melhor, coração"]),
        ("plano until:2020-01-01", &[]),
        ("plano from:carla", &[]),
        ("plano since:2020-01-01 from:ana", &["o plano"]),
    ] {
        assert_eq!(texts(&ana, typed).await, wanted, "{typed}");
    }
    let excerpt = found(&ana, "coracao").await.remove(0).excerpt.unwrap();
    assert_eq!(excerpt.expose(), "um plano melhor, *coração*");
    assert_eq!(found(&ana, "in:@bob").await[0].excerpt, None, "nothing was looked for");
    let wrong = Command::Search { words: "since:yesterday".into(), before: None };
    assert_eq!(ana.run(wrong).await.unwrap_err().code(), "USAGE");
}

#[tokio::test]
async fn older_messages_come_page_by_page_once_each() {
    let tracker = Tracker::start().await;
    let mut ana = unlocked(&tracker, "ana").await;
    ana.create("sala").await;
    for n in 0..7 {
        say(&mut ana, &format!("page {n}")).await;
    }
    let (mut all, mut before, mut pages) = (Vec::new(), None, 0);
    loop {
        let conversation = Some(Conversation::Room(room("sala")));
        let Ok(Answer::History { lines, more, .. }) =
            ana.run(Command::History { lines: 3, conversation, before, after: None }).await
        else {
            panic!("no history")
        };
        before = lines.first().map(Before::from);
        all.splice(0..0, lines.into_iter().map(|line| line.content.expose().to_owned()));
        pages += 1;
        if !more {
            break;
        }
    }
    assert_eq!((pages, all.len()), (3, 7));
    assert!(all.is_sorted());
    let newest = found(&ana, "page").await.remove(0);
    let words = || "page from:ana".to_owned();
    let older = Command::Search { words: words(), before: Some(Before::from(&newest.message)) };
    assert!(matches!(ana.run(older).await, Ok(Answer::Found { lines, .. }) if lines.len() == 6));
    let nil = Some(Before { id: Uuid::nil(), from: None });
    assert_eq!(ana.run(Command::Search { words: words(), before: nil }).await.unwrap_err().code(), "USAGE");
}

#[tokio::test]
async fn pages_end_although_two_authors_use_one_id() {
    let tracker = Tracker::start().await;
    let (mut ana, mut mallory) = (unlocked(&tracker, "ana").await, tracker.peer("mallory").await);
    ana.create("sala").await;
    mallory.join("sala").await;
    ana.linked("mallory").await;
    let sala = || Some(Conversation::Room(room("sala")));
    let arrives = |text: &'static str| move |event: &Event| matches!(event, Event::Message { content, .. } if content == text);
    let by = |text: &str, id| Command::Say { conversation: sala(), text: text.to_owned(), id: Some(id) };
    let id = Uuid::now_v7();
    say(&mut ana, "1 before").await;
    ana.run(by("2 by ana", id)).await.unwrap();
    mallory.until(arrives("2 by ana")).await;
    mallory.run(by("3 by mallory", id)).await.unwrap();
    ana.until(arrives("3 by mallory")).await;
    say(&mut ana, "4 after").await;
    let (mut all, mut before) = (Vec::new(), None);
    // Each page has one message; a few more pages show that there is an end.
    for _ in 0..8 {
        let page = Command::History { lines: 1, conversation: sala(), before, after: None };
        let Ok(Answer::History { lines, more, .. }) = ana.run(page).await else { panic!("no history") };
        before = lines.first().map(Before::from);
        all.extend(lines.into_iter().map(|line| line.content.expose().to_owned()));
        if !more {
            break;
        }
    }
    assert_eq!(all, ["4 after", "3 by mallory", "2 by ana", "1 before"]);
    for (from, next, is_more) in [("ana", "3 by mallory", true), ("mallory", "4 after", false)] {
        let after = Some(After { id, from: Some(user(from)) });
        let page = Command::History { lines: 1, conversation: sala(), before: None, after };
        let Ok(Answer::History { lines, more, .. }) = ana.run(page).await else { panic!("no history") };
        assert_eq!((lines.len(), lines[0].content.expose(), more), (1, next, is_more));
    }
    for (from, count) in [("mallory", 2), ("ana", 1)] {
        let before = Some(Before { id, from: Some(user(from)) });
        let search = Command::Search { words: "in:sala".to_owned(), before };
        let Ok(Answer::Found { lines, .. }) = ana.run(search).await else { panic!("no search") };
        assert_eq!(lines.len(), count, "{from}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_continues_the_last_page() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Screen::user(tracker.address, data.path(), "ana", 24, 80);
    ana.line("/more");
    ana.shows("nothing older is kept");
    ana.line("/create sala");
    for n in 0..5 {
        ana.line(&format!("word {n}"));
        ana.shows(&format!("<ana> word {n}"));
    }
    ana.line("/history 2");
    // The password came from the environment, so the history starts locked.
    ana.shows("Your password");
    ana.line(PASSWORD);
    ana.shows_row("── sala: the last 2 messages; older: /more ──");
    ana.line("/more");
    ana.shows_row("── sala: earlier 2 messages; older: /more ──");
    ana.line("/more");
    ana.shows_row("── sala: earlier 1 message ──");
    ana.line("/more");
    ana.wait("the end", |screen| screen.text().matches("nothing older is kept").count() == 2);
    ana.line("/search word 3");
    ana.shows("sala <ana> *word* *3*");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_program_pages_by_message_ids() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.event("logged_in");
    ana.line("/create sala");
    for text in ["one", "two"] {
        ana.line(text);
        ana.event("sent");
    }
    ana.line("/conversations");
    let answer = ana.until(|line| line.contains("password_wanted") || line.contains("\"conversations\""));
    if answer.contains("password_wanted") {
        ana.line(PASSWORD);
        ana.event("conversations");
    }
    ana.line("/history 1");
    let page = ana.event("history");
    assert_eq!((&page["lines"][0]["content"], &page["more"]), (&"two".into(), &true.into()));
    ana.line("/more");
    let page = ana.event("history");
    assert_eq!((&page["lines"][0]["content"], page.get("more")), (&"one".into(), None));
    ana.line("/history 1");
    ana.event("history");
    ana.line("/forget sala");
    ana.event("forgotten");
    ana.line("three");
    ana.event("sent");
    ana.line("/more");
    assert_eq!(ana.event("history")["lines"][0]["content"], "three", "it begins again");
}
