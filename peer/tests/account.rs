//! Tests of account commands: device keys, the password, and the end of an account.
//! The password is needed in two places, on the disk and at the tracker. No crash between them may lock a user out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;
mod programs;
mod raw_client;

use std::fs;
use std::path::PathBuf;

use common::{Peer, Tracker, password_of, peer_config, user};
use commons::protocol::with_tracker::BoundKey;
use commons::protocol::with_tracker::RoomsFate;
use peer::api::account::AccountCommand;
use peer::api::answer::Answer;
use peer::api::error::CommandError;
use peer::api::sign_in::{Consent, SignIn};
use peer::api::{Command, Event};
use peer::identity::password::Password;
use peer::service::PeerService;
use programs::{PASSWORD, Piped, flags, json};
use raw_client::{RawLink, sealed_in};

async fn wish(peer: &Peer, wish: AccountCommand) -> Result<Answer, CommandError> {
    peer.run(Command::Account(wish)).await
}

async fn keys(peer: &Peer) -> Vec<BoundKey> {
    match wish(peer, AccountCommand::Keys).await {
        Ok(Answer::Keys { keys }) => keys,
        other => panic!("{other:?}"),
    }
}

fn old() -> Password {
    password_of("ana")
}

fn new() -> Password {
    Password::typed("something new")
}

async fn change(ana: &Peer) -> Result<Answer, CommandError> {
    wish(ana, AccountCommand::ChangePassword { old: old(), new: new() }).await
}

/// The path of a new seal whose password the tracker has not confirmed yet.
fn next_to(seal: &std::path::Path) -> PathBuf {
    seal.with_file_name("next_identity.json")
}

fn code(refused: Result<Peer, CommandError>) -> String {
    refused.err().map_or_else(|| "signed in".to_owned(), |error| error.code())
}

#[tokio::test]
async fn changed_password_replaces_the_old_one_on_all_computers() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    let wrong = AccountCommand::ChangePassword { old: new(), new: new() };
    assert_eq!(wish(&ana, wrong).await.unwrap_err().code(), "INVALID_CREDENTIALS");
    assert_eq!(change(&ana).await, Ok(Answer::Done));
    assert!(!next_to(&sealed_in(ana.folder()).0).exists());
    ana.service.stop().await;
    assert_eq!(code(ana.try_again_with(&old()).await), "INVALID_CREDENTIALS");
    assert_eq!(code(ana.try_elsewhere_with(&old()).await), "INVALID_CREDENTIALS");
    ana.try_elsewhere_with(&new()).await.unwrap().service.stop().await;
    ana.try_again_with(&new()).await.unwrap();
}

/// Interrupts a password change by a crash, before or after the tracker has the new password. Then the `typed` password
/// must open the account here and elsewhere, and the `other` one must not.
async fn settles(tracker_has_it: bool, typed: &Password, other: &Password) {
    let mut tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    let (path, before) = sealed_in(ana.folder());
    if tracker_has_it {
        // Undoes only the last step of the change, so that both seals exist.
        change(&ana).await.unwrap();
        fs::rename(&path, next_to(&path)).unwrap();
        fs::write(&path, before.to_string()).unwrap();
    } else {
        tracker.down().await;
        assert_eq!(change(&ana).await, Err(CommandError::TrackerLost));
        tracker.up().await;
    }
    assert!(next_to(&path).exists(), "no crash at all");
    ana.service.stop().await;

    ana.try_again_with(typed).await.unwrap().service.stop().await;
    assert!(!next_to(&path).exists());
    assert_eq!(code(ana.try_again_with(other).await), "INVALID_CREDENTIALS");
    assert_eq!(code(ana.try_elsewhere_with(other).await), "INVALID_CREDENTIALS");
    ana.try_elsewhere_with(typed).await.unwrap();
}

#[tokio::test]
async fn crash_during_a_password_change_locks_nobody_out() {
    for tracker_has_it in [false, true] {
        settles(tracker_has_it, &old(), &new()).await;
        settles(tracker_has_it, &new(), &old()).await;
    }
}

#[tokio::test]
async fn control_telling_the_tracker_first_locks_out_after_a_crash() {
    let tracker = Tracker::start().await;
    let ana = tracker.peer("ana").await;
    let (path, before) = sealed_in(ana.folder());
    change(&ana).await.unwrap();
    // Simulates a crash of a program that writes the new seal after the tracker's OK.
    fs::write(&path, before.to_string()).unwrap();
    ana.service.stop().await;
    assert_eq!(code(ana.try_again_with(&new()).await), "INVALID_CREDENTIALS");
    assert_eq!(code(ana.try_elsewhere_with(&old()).await), "INVALID_CREDENTIALS");
}

#[tokio::test]
async fn a_lost_computer_is_shut_out_by_its_key() {
    let tracker = Tracker::start().await;
    // The first user would be an admin, whose key a computer without the role cannot revoke.
    let _first = tracker.peer("first").await;
    let lost = tracker.peer("ana").await;
    let mut ana = lost.elsewhere().await;
    let both = keys(&ana).await;
    let [gone, mine] = both[..] else { panic!("{both:?}") };
    assert!(!gone.current && mine.current);
    let revoke = |key: String| wish(&ana, AccountCommand::Revoke { key });
    assert_eq!(revoke(mine.key.to_string()).await.unwrap_err().code(), "FORBIDDEN");
    assert_eq!(revoke("00000000".to_owned()).await.unwrap_err().code(), "KEY_NOT_FOUND");
    assert_eq!(revoke(gone.key.to_string()[..8].to_owned()).await, Ok(Answer::Done));
    assert_eq!(keys(&ana).await, [mine]);
    change(&ana).await.unwrap();
    // Neither its key nor the password it knows signs it in.
    lost.service.stop().await;
    assert_eq!(code(lost.try_again().await), "INVALID_CREDENTIALS");
    assert!(!ana.saw(|event| matches!(event, Event::Error { .. })));
}

#[tokio::test]
async fn deleted_account_is_removed_from_tracker_and_computer() {
    let tracker = Tracker::start().await;
    let (mut ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    ana.create("sala").await;
    bob.join("sala").await;
    let delete = |name: Option<&str>, password: Option<&str>| {
        let (name, password) = (name.map(user), password.map(Password::typed));
        wish(&ana, AccountCommand::Delete { name, password, rooms: RoomsFate::HandOn })
    };
    assert_eq!(delete(Some("bob"), Some("password of ana")).await.unwrap_err().code(), "USAGE");
    let wanted = |tries_left| Err(CommandError::PasswordWanted { tries_left });
    assert_eq!(delete(Some("ana"), None).await, wanted(3), "the name alone decides nothing");
    assert_eq!(delete(Some("ana"), Some("wrong")).await, wanted(2));
    assert!(!keys(&ana).await.is_empty());
    assert_eq!(delete(None, Some("password of ana")).await, Ok(Answer::AccountDeleted));
    assert_eq!(ana.service.failure(), None);
    // The room goes to the other member.
    bob.until(
        |event| matches!(event, Event::RoomUpdate { room_state, .. } if room_state.owner == user("bob")),
    )
    .await;
    assert!(raw_client::files_in(ana.folder()).iter().all(|(path, _)| path.ends_with("known_trackers.json")));
    assert_eq!(code(ana.try_elsewhere().await), "INVALID_CREDENTIALS");
}

#[tokio::test(flavor = "multi_thread")]
async fn program_changes_password_by_file_and_ends_with_the_account() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let mut ana = Piped::bot(tracker.address, data.path(), "ana", true);
    ana.line("/password");
    assert_eq!(ana.event("error")["code"], "USAGE");
    ana.close_input();
    assert_eq!(ana.end().status, Some(0));

    let changes = |password: &str, new: &str| {
        let file = data.path().join("new password");
        fs::write(&file, format!("{new}\n")).unwrap();
        let mut arguments = flags(tracker.address, data.path());
        arguments.extend(["--username", "ana", "password", "--new-password-file"].map(Into::into));
        arguments.push(file.to_str().unwrap().to_owned());
        Piped::start(&arguments, Some(password)).end()
    };
    assert_eq!(changes("wrong", "something new").status, Some(1));
    let end = changes(PASSWORD, "something new");
    assert_eq!((end.status, end.stderr.len()), (Some(0), 0), "{end:?}");
    // Restores the old password for the next start.
    assert_eq!(changes(PASSWORD, "something newer").status, Some(1));
    assert_eq!(changes("something new", PASSWORD).status, Some(0));

    let mut ana = Piped::bot(tracker.address, data.path(), "ana", false);
    ana.line("/delete-account bob");
    assert_eq!(ana.event("error")["code"], "USAGE");
    ana.line("/delete-account ana");
    assert_eq!(ana.event("password_wanted")["tries_left"], 3);
    ana.line("canary");
    assert_eq!(ana.event("password_wanted")["tries_left"], 2);
    ana.line(PASSWORD);
    ana.event("account_deleted");
    let end = ana.end();
    assert_eq!((end.status, end.stderr.len()), (Some(0), 0), "{end:?}");
    assert_eq!(Piped::bot(tracker.address, data.path(), "ana", false).end().status, Some(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_of_seven_characters_makes_no_account() {
    let tracker = Tracker::start().await;
    let data = tempfile::tempdir().unwrap();
    let start = |password: &str| {
        let mut arguments = flags(tracker.address, data.path());
        arguments.extend(["--username", "ana", "--register", "--output", "json"].map(Into::into));
        Piped::start(&arguments, Some(password))
    };
    let end = start("séven77").end();
    assert_eq!(end.status, Some(1), "{end:?}");
    assert_eq!(json(end.stdout.last().unwrap())["code"], "PASSWORD_TOO_SHORT");
    assert!(end.stderr[0].contains("at least 8 characters"), "{end:?}");
    start("éight888").event("logged_in");
}

#[tokio::test]
async fn short_password_signs_in_but_is_not_set_again() {
    let tracker = Tracker::start().await;
    let short = Password::typed("old");
    let mut ana = RawLink::in_the_clear(tracker.address).await;
    let mut request = raw_client::sign_in("REGISTER", "ana", 5000);
    request["password"] = short.digest().as_str().into();
    ana.ok(&request).await;
    let elsewhere = Peer::try_first(tracker.address, "ana", &short).await.unwrap();
    let same = AccountCommand::ChangePassword { old: short.clone(), new: short.clone() };
    assert_eq!(wish(&elsewhere, same).await.unwrap_err().code(), "PASSWORD_TOO_SHORT");
    elsewhere.service.stop().await;
    elsewhere.try_again_with(&short).await.unwrap();
}

#[tokio::test]
async fn sign_in_that_fails_on_this_computer_can_be_tried_again() {
    let (tracker, data) = (Tracker::start().await, tempfile::tempdir().unwrap());
    let config = peer_config(tracker.address, data.path());
    let service = PeerService::start(config).await.unwrap();
    let sign_in = |register| SignIn {
        username: user("ana"),
        password: old(),
        register,
        changed_to: None,
        code: None,
        consent: Consent::default(),
    };
    // A folder in the way prevents the write of the tracker's key.
    let obstacle = data.path().join("known_trackers.new");
    fs::create_dir(&obstacle).unwrap();
    let failed = service.sign_in(sign_in(true)).await;
    assert!(matches!(failed, Err(CommandError::Local(_))), "{failed:?}");
    assert_eq!(service.status().await.username, None);
    fs::remove_dir(&obstacle).unwrap();
    service.sign_in(sign_in(false)).await.unwrap();
    assert_eq!(service.status().await.username, Some(user("ana")));
    service.stop().await;
}
