//! Recovery of accounts and keys: a right password is never called wrong, and no key is ever lost.
//! The cases are a tracker that lost the account, a password that was changed elsewhere, a registration over an
//! existing key, and a full disk.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;
mod raw_client;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::{Peer, Tracker, password_of, user};
use commons::net::tls::{Identity, Purpose};
use commons::tracker_address::TrackerAddress;
use peer::api::Event;
use peer::api::account::AccountCommand;
use peer::api::answer::Answer;
use peer::api::error::CommandError;
use peer::api::sign_in::SignIn;
use peer::identity::password::Password;
use peer::untrusted::AsUntrusted;
use programs::{PASSWORD, Piped, Screen, flags};
use raw_client::{sealed_in, seed_in};

fn register(sign_in: &mut SignIn) {
    sign_in.register = true;
}

/// Consents to a proof of the password for a tracker that refuses the key.
fn by_password(sign_in: &mut SignIn) {
    sign_in.consent.use_password = true;
}

fn why(tried: Result<Peer, CommandError>) -> CommandError {
    tried.err().expect("nobody was to be let in")
}

fn is_change(event: &Event) -> bool {
    matches!(event, Event::KeyChanged { .. })
}

/// Whether the peer's own history holds this message.
async fn remembers(peer: &Peer, text: &str) -> bool {
    let password = password_of(peer.name.as_str());
    peer.run(peer::api::Command::Unlock { password }).await.unwrap();
    let found = peer.run(peer::api::Command::Search { words: text.to_owned(), before: None }).await;
    matches!(found, Ok(Answer::Found { lines, .. }) if lines.len() == 1)
}

#[tokio::test]
async fn account_lost_by_the_tracker_is_restored_with_the_same_key() {
    let mut tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "before").await.unwrap();
    bob.receives("before").await;
    let before = sealed_in(ana.folder());
    ana.service.stop().await;
    bob.service.stop().await;
    tracker.forgets().await;

    assert_eq!(why(ana.try_again().await), CommandError::KeyRefused(user("ana")));
    assert_eq!(why(ana.try_again_as(by_password).await), CommandError::AccountUnknown(user("ana")));
    let mut bob = bob.try_again_as(register).await.unwrap();
    let ana = ana.try_again_as(register).await.unwrap();
    assert_eq!(sealed_in(ana.folder()), before);
    ana.tell("bob", "after").await.unwrap();
    bob.receives("after").await;
    assert!(!bob.saw(is_change));
    assert!(remembers(&ana, "before").await);
    // An account that is registered without the key is another user to contacts.
    ana.service.stop().await;
    bob.service.stop().await;
    tracker.forgets().await;
    let (mut bob, stranger) = (bob.try_again_as(register).await.unwrap(), tracker.peer("ana").await);
    stranger.tell("bob", "with another key").await.unwrap();
    bob.until(is_change).await;
}

#[tokio::test]
async fn making_an_account_never_overwrites_a_key() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    let before = sealed_in(ana.folder());
    let wrong =
        |sign_in: &mut SignIn| (sign_in.register, sign_in.password) = (true, Password::typed("wrong"));
    let refused = why(ana.try_again_as(wrong).await);
    assert!(matches!(&refused, CommandError::KeyExists { folder, .. } if folder.starts_with(ana.folder())));
    assert!(refused.code() == "INVALID_CREDENTIALS" && refused.to_string().contains("move that folder away"));
    assert_eq!(sealed_in(ana.folder()), before);
    // The account exists and belongs to this user.
    ana.try_again_as(register).await.unwrap();
    assert_eq!(sealed_in(ana.folder()), before);
}

#[tokio::test]
async fn password_changed_elsewhere_works_with_the_local_key() {
    for by_the_operator in [true, false] {
        let mut tracker = Tracker::start().await;
        // The first user is the admin, whose key a password alone cannot revoke.
        let (mut bob, ana) = (tracker.peer("bob").await, tracker.peer("ana").await);
        ana.tell("bob", "before").await.unwrap();
        bob.receives("before").await;
        let seed = seed_in(ana.folder(), "ana");
        let new = Password::typed("another one");
        if by_the_operator {
            ana.service.stop().await;
            tracker.resets("ana", &new).await;
        } else {
            let elsewhere = ana.elsewhere().await;
            let key = Identity::new(&seed, Purpose::Session).unwrap().key().to_string();
            let change = AccountCommand::ChangePassword { old: password_of("ana"), new: new.clone() };
            for wish in [AccountCommand::Revoke { key }, change] {
                elsewhere.run(peer::api::Command::Account(wish)).await.unwrap();
            }
            elsewhere.service.stop().await;
            ana.service.stop().await;
        }
        let changed_to = |password: &Password| {
            let changed_to = Some(password.clone());
            move |sign_in: &mut SignIn| sign_in.changed_to = changed_to
        };
        assert_eq!(why(ana.try_again().await), CommandError::KeyRefused(user("ana")));
        assert_eq!(why(ana.try_again_as(by_password).await), CommandError::AccountUnknown(user("ana")));
        assert_eq!(why(ana.try_again_as(register).await), CommandError::PasswordChanged(user("ana")));
        assert!(matches!(why(ana.try_again_with(&new).await), CommandError::WrongLocalPassword { .. }));
        let wrong = why(ana.try_again_as(changed_to(&Password::typed("wrong"))).await);
        assert!(matches!(wrong, CommandError::Refused { .. }) && wrong.code() == "INVALID_CREDENTIALS");

        let back = ana.try_again_as(changed_to(&new)).await.unwrap();
        back.service.stop().await;
        // From now on the key signs in, and the new password opens it.
        assert!(matches!(why(ana.try_again().await), CommandError::WrongLocalPassword { .. }));
        let back = ana.try_again_with(&new).await.unwrap();
        back.tell("bob", "after").await.unwrap();
        bob.receives("after").await;
        assert!(!bob.saw(is_change));
    }
}

#[tokio::test]
async fn a_refusal_leaves_no_key_that_was_made_for_it() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    let data = tempfile::tempdir().unwrap();
    for register in [true, false] {
        let mut peer = Piped::bot(tracker.address, data.path(), "ana", register);
        assert_ne!(peer.event("error")["code"], "KEY_CHANGED");
        assert_eq!(peer.end().status, Some(1));
        assert!(raw_client::files_in(data.path()).is_empty());
    }
    ana.dies().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_a_full_disk_no_account_is_made_whose_key_would_be_lost() {
    let tracker = Tracker::start().await;
    let full = |blocks: &str| {
        let data = tempfile::tempdir().unwrap();
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", &format!(r#"trap "" XFSZ; ulimit -f {blocks}; exec "$0" "$@""#)]);
        let mut ana = Piped::bot_elsewhere(shell, tracker.address, data.path(), "ana", &[]);
        ana.close_input();
        (ana.end(), data)
    };
    let (end, data) = full("0");
    assert_eq!(end.status, Some(1), "{end:?}");
    assert!(end.stderr[0].contains("identity.json"), "{end:?}");
    assert!(raw_client::files_in(data.path()).iter().all(|(path, _)| path.ends_with("lock")));
    // The name is still free.
    let (end, _) = full("unlimited");
    assert_eq!(end.status, Some(0), "{end:?}");
    let (end, _) = full("unlimited");
    assert!(end.status == Some(1) && end.stderr[0].contains("taken"), "{end:?}");
}

#[tokio::test]
async fn new_tracker_key_is_pinned_once_it_was_given_and_proven() {
    let mut tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    ana.service.stop().await;
    let other = Tracker::start_with(|_| {}).await;
    // The tracker at the same address has another key, as of another tracker.
    tracker.takes_the_key_of(&other).await;
    let CommandError::TrackerKeyChanged { found, .. } = why(ana.try_again().await) else {
        panic!("the key has not changed")
    };
    tracker.forgets().await;
    let wrong = format!("{}#{}", tracker.address, "ab".repeat(32)).parse().unwrap();
    assert_eq!(why(ana.try_again_at_as(wrong, |_| {}).await).code(), "TRACKER_KEY_CHANGED");
    assert_eq!(why(ana.try_again().await).code(), "TRACKER_KEY_CHANGED", "nothing was proven");
    let given = TrackerAddress { key: Some(found), ..tracker.address.into() };
    assert_eq!(why(ana.try_again_at_as(given, |_| {}).await), CommandError::KeyRefused(user("ana")));
    assert_eq!(why(ana.try_again().await), CommandError::KeyRefused(user("ana")), "it was proven");
    ana.try_again_as(register).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn pipe_gets_an_error_that_names_the_next_step() {
    let mut tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let run = |tracker: &Tracker, register: bool| {
        let mut ana = Piped::bot(tracker.address, data.path(), "ana", register);
        ana.close_input();
        ana.end()
    };
    let reported = |end: programs::End| {
        assert_eq!((end.status, end.stderr.len()), (Some(1), 1), "{end:?}");
        let error = programs::json(&end.stdout[end.stdout.len() - 1]);
        assert_eq!(error["code"], "INVALID_CREDENTIALS");
        error["message"].as_str().unwrap().to_owned()
    };
    assert_eq!(run(&tracker, true).status, Some(0));
    tracker.forgets().await;
    let message = reported(run(&tracker, false));
    assert!(message.contains("--register"), "{message}");
    assert_eq!(run(&tracker, true).status, Some(0));
    assert_eq!(run(&tracker, true).status, Some(0), "it is there, and this user's");

    tracker.resets("ana", &Password::typed("something newer")).await;
    let message = reported(run(&tracker, true));
    assert!(message.contains("`peer password`"), "{message}");
    let tell = |new: &str| {
        let file = data.path().join("new password");
        fs::write(&file, new).unwrap();
        let mut arguments = flags(tracker.address, data.path());
        arguments.extend(["--username", "ana", "password", "--new-password-file"].map(Into::into));
        arguments.push(file.to_str().unwrap().to_owned());
        Piped::start(&arguments, Some(PASSWORD)).end()
    };
    assert_eq!(tell("wrong").status, Some(1));
    let end = tell("something newer");
    assert_eq!(end.status, Some(0), "{end:?}");
    assert!(reported(run(&tracker, false)).contains("last used with"));
}

#[tokio::test(flavor = "multi_thread")]
async fn at_a_terminal_an_account_comes_back_by_a_question() {
    let mut tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let start = |tracker: &Tracker, password: &str| {
        let mut arguments = flags(tracker.address, data.path());
        arguments.extend(["--username", "ana"].map(Into::into));
        let mut ana = Screen::start(&arguments, &[], 24, 80);
        ana.shows("Password:");
        ana.line(password);
        ana
    };
    let end = |mut ana: Screen| {
        ana.shows("Welcome, ana.");
        ana.line("/quit");
        assert_eq!(ana.end(), 0);
    };
    end(Screen::user(tracker.address, data.path(), "ana", 24, 80));
    tracker.forgets().await;
    let mut ana = start(&tracker, PASSWORD);
    ana.shows("Sign in with the password? [y/n]");
    ana.line("y");
    ana.shows("This tracker has no account ana, or its password was changed elsewhere.");
    ana.shows("Its new password (not shown; empty if the account is gone):");
    ana.line("");
    ana.shows("Make the account again with this computer's key? [Y/n]");
    ana.line("");
    end(ana);

    tracker.resets("ana", &Password::typed("something newer")).await;
    let mut ana = start(&tracker, "something newer");
    ana.shows("type the one last used here");
    ana.shows("2 tries left");
    ana.line(PASSWORD);
    ana.shows("Sign in with the password? [y/n]");
    ana.line("y");
    ana.shows("Its new password (not shown; empty if the account is gone):");
    ana.line("canary");
    ana.shows("That is not its password either: 2 tries left");
    ana.wait("the question again", |screen| screen.text().matches("Its new password").count() == 2);
    ana.line("");
    ana.shows("Make the account again with this computer's key? [Y/n]");
    ana.line("");
    ana.shows("The password of ana was changed elsewhere.\nIts new one:");
    ana.line("something newer");
    assert!(!String::from_utf8_lossy(&ana.bytes()).contains("canary"), "a typed password was shown");
    end(ana);
    end(start(&tracker, "something newer"));
}

/// The user's files on this computer by name.
fn files(folder: &Path) -> BTreeMap<OsString, Vec<u8>> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap());
    entries.map(|entry| (entry.file_name(), fs::read(entry.path()).unwrap())).collect()
}

fn home_of(peer: &Peer, tracker: &Tracker) -> PathBuf {
    peer.folder().join(tracker.address.to_string()).join(peer.name.as_str())
}

#[tokio::test]
async fn lost_key_stops_the_start_before_a_new_one_is_bound() {
    let tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.tell("bob", "before").await.unwrap();
    bob.receives("before").await;
    ana.service.stop().await;
    let home = home_of(&ana, &tracker);
    let identity = fs::read(home.join("identity.json")).unwrap();
    fs::remove_file(home.join("identity.json")).unwrap();
    let left = files(&home);
    for register in [false, true] {
        let refused = why(ana.try_again_as(|sign_in| sign_in.register = register).await);
        let reported = refused.to_string();
        assert!(reported.contains("identity.json") && reported.contains("history.db"), "{reported}");
        assert!(reported.contains("peer identity import"), "{reported}");
        assert_eq!(files(&home), left, "nothing is touched");
    }
    fs::write(home.join("identity.json"), identity).unwrap();
    let ana = ana.again().await;
    assert!(remembers(&ana, "before").await);
    ana.tell("bob", "after").await.unwrap();
    bob.receives("after").await;
    assert!(!bob.saw(is_change), "no other key was bound");
}

#[tokio::test]
async fn loss_in_a_damaged_journal_is_reported_and_repaired() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    ana.linked("bob").await;
    for text in ["1", "2", "3"] {
        ana.say(text).await;
        bob.receives(text).await;
        ana.until(|e| matches!(e, Event::Delivered { .. })).await;
    }
    let (home, image) = (home_of(&ana, &tracker), tempfile::tempdir().unwrap());
    let copy = image.path().join(home.strip_prefix(ana.folder()).unwrap());
    fs::create_dir_all(&copy).unwrap();
    for (name, mut content) in files(&home) {
        if name == "history.db-wal" {
            let middle = content.len() / 4;
            content[middle] ^= 1;
        }
        fs::write(copy.join(name), content).unwrap();
    }
    ana.service.stop().await;
    let mut ana = ana.at_home_in(image).await;
    let reported = ana.until(|e| matches!(e, Event::Error { code, .. } if code == "HISTORY_DAMAGED")).await;
    let Event::Error { message, .. } = reported else { panic!() };
    let reported = AsUntrusted::expose(&message);
    assert!(reported.contains("the last 3 messages"), "{reported}");
    // The journal entry of the room was lost too.
    ana.join("sala").await;
    for text in ["1", "2", "3"] {
        assert_eq!(ana.receives(text).await, user("ana"));
    }
    ana.say("4").await;
    bob.receives("4").await;
    assert!(!bob.saw(|e| matches!(e, Event::Fork { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn folder_in_use_is_reported_before_the_password_prompt() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut first = Piped::bot(tracker.address, data.path(), "ana", true);
    first.event("logged_in");
    let mut second = Screen::start(&flags(tracker.address, data.path()), &[], 40, 300);
    second.shows("is in use by another peer");
    assert!(!second.text().contains("Password of"), "{}", second.text());
    assert_ne!(second.end(), 0);
    first.kill();
    let mut third = Screen::start(&flags(tracker.address, data.path()), &[], 40, 300);
    third.shows("Password of ana:");
}
