//! Tests of requests about a user's own account: keys, the password, and the deletion.
//! They also test the operator's password reset.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use std::process::{Command, Output};

use common::device::{Device, ask, by_key, receive};
use common::{PASSWORD, TestTracker, WRONG, room, sign_in};
use commons::endorsement::Endorsement;
use commons::names::Username;
use commons::user::PasswordDigest;
use serde_json::{Value, json};

/// A login request with a password other than the default.
fn login(name: &str, password: &str) -> Value {
    json!({"cmd": "LOGIN", "username": name, "password": password, "port": 5000, "id": 1})
}

fn change(password: Option<&str>, new_password: &str) -> Value {
    json!({"cmd": "CHANGE_PASSWORD", "password": password, "new_password": new_password})
}

fn delete(password: Option<&str>) -> Value {
    json!({"cmd": "DELETE_ACCOUNT", "password": password})
}

fn another() -> String {
    PasswordDigest::of_typed("another one").as_str().to_owned()
}

#[tokio::test]
async fn revoked_key_fails_and_members_get_the_remaining_keys() {
    let tracker = TestTracker::start().await;
    // The first user would be an admin, whose key a device without the role cannot revoke.
    let _first = tracker.user("first").await;
    let (lost, remaining) = (Device::new(), Device::new());
    let mut session = lost.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    ask(&mut session, room("CREATE_ROOM", "sala")).await;
    let mut bob = Device::new().session(tracker.address, sign_in("REGISTER", "bob", 5001)).await;
    ask(&mut bob, room("JOIN_ROOM", "sala")).await;
    drop(lost.session(tracker.address, by_key("ana")).await);

    let mut session = remaining.session(tracker.address, sign_in("LOGIN", "ana", 5000)).await;
    let listed = ask(&mut session, json!({"cmd": "LIST_KEYS"})).await;
    let both = json!([{"key": lost.key(), "current": false}, {"key": remaining.key(), "current": true}]);
    assert_eq!(listed["keys"], both);
    let refused = ask(&mut session, json!({"cmd": "REVOKE_KEY", "key": remaining.key()})).await;
    assert_eq!(refused["code"], "FORBIDDEN", "{refused}");
    let revoke = json!({"cmd": "REVOKE_KEY", "key": lost.key()});
    let revoked = ask(&mut session, revoke.clone()).await;
    assert_eq!(revoked["status"], "OK", "{revoked}");
    let again = ask(&mut session, revoke).await;
    assert_eq!(again["code"], "KEY_NOT_FOUND", "{again}");
    let left = json!([remaining.key()]);
    let reported = async {
        loop {
            let push = receive(&mut bob).await;
            if push["room"]["members"][0]["keys"] == left {
                return push;
            }
        }
    };
    assert_eq!(reported.await["change"], json!({"kind": "online", "username": "ana"}));

    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    let (_, reply) = lost.ask(tracker.address, by_key("ana")).await;
    assert_eq!(reply["code"], "INVALID_CREDENTIALS", "{reply}");
    drop(remaining.session(tracker.address, by_key("ana")).await);
}

/// A request that endorses one of ana's devices with another one.
fn endorse(by: &Device, key: &Device) -> Value {
    let signature = Endorsement::sign(&Username::parse("ana").unwrap(), &by.seed, key.key());
    json!({"cmd": "ENDORSE_KEY", "key": key.key(), "signature": signature})
}

#[tokio::test]
async fn endorsement_is_pushed_until_one_of_its_keys_is_revoked() {
    let tracker = TestTracker::start().await;
    let (old, new) = (Device::new(), Device::new());
    let mut session = old.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    ask(&mut session, room("CREATE_ROOM", "sala")).await;
    let mut bob = Device::new().session(tracker.address, sign_in("REGISTER", "bob", 5001)).await;
    ask(&mut bob, room("JOIN_ROOM", "sala")).await;
    drop(new.session(tracker.address, sign_in("LOGIN", "ana", 5000)).await);
    let get_ana = json!({"cmd": "GET_PEER", "peer": "ana"});
    let before = ask(&mut bob, get_ana.clone()).await;
    assert_eq!(before["peer"].get("endorsements"), None, "{before}");

    let mut session = old.session(tracker.address, by_key("ana")).await;
    let request = endorse(&old, &new);
    let endorsements = json!([request["signature"]]);
    for _ in 0..2 {
        let endorsed = ask(&mut session, request.clone()).await;
        assert_eq!(endorsed["status"], "OK", "{endorsed}");
    }
    let reported = async {
        loop {
            let push = receive(&mut bob).await;
            if push["room"]["members"][0].get("endorsements").is_some() {
                return push;
            }
        }
    };
    let reported = reported.await;
    assert_eq!(reported["change"], json!({"kind": "online", "username": "ana"}));
    assert_eq!(reported["room"]["members"][0]["endorsements"], endorsements);
    assert_eq!(reported["room"]["peer_owner"].get("endorsements"), None);
    let listed = ask(&mut session, json!({"cmd": "LIST_KEYS"})).await;
    let both = json!([
        {"key": old.key(), "current": true},
        {"key": new.key(), "current": false, "endorsed_by": old.key()}
    ]);
    assert_eq!(listed["keys"], both);

    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    let mut session = new.session(tracker.address, by_key("ana")).await;
    let found = ask(&mut session, get_ana.clone()).await;
    assert_eq!(found["peer"]["endorsements"], endorsements);
    let (_, login) = new.ask(tracker.address, common::with_id(by_key("ana"))).await;
    assert_eq!(login["rooms"]["sala"]["members"][0].get("endorsements"), None, "one's own");
    let mut session = new.session(tracker.address, by_key("ana")).await;
    let rooms = ask(&mut session, json!({"cmd": "LIST_ROOMS"})).await;
    assert_eq!(rooms["rooms"]["sala"]["members"][0].get("endorsements"), None, "{rooms}");
    let joined = ask(&mut session, room("JOIN_ROOM", "sala")).await;
    assert_eq!(joined["room"]["members"][0]["endorsements"], endorsements);

    let revoked = ask(&mut session, json!({"cmd": "REVOKE_KEY", "key": old.key()})).await;
    assert_eq!(revoked["status"], "OK", "{revoked}");
    let found = ask(&mut session, get_ana).await;
    assert_eq!((&found["peer"]["keys"], found["peer"].get("endorsements")), (&json!([new.key()]), None));
}

#[tokio::test]
async fn only_an_earlier_key_endorses_on_its_own_session() {
    let tracker = TestTracker::start().await;
    let (first, second, third) = (Device::new(), Device::new(), Device::new());
    drop(first.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await);
    drop(second.session(tracker.address, sign_in("LOGIN", "ana", 5000)).await);
    drop(third.session(tracker.address, sign_in("LOGIN", "ana", 5000)).await);
    let mut session = second.session(tracker.address, by_key("ana")).await;
    let mut unsigned = endorse(&second, &third);
    unsigned.as_object_mut().unwrap().remove("signature");
    for (request, code) in [
        (endorse(&first, &third), "FORBIDDEN"),
        (endorse(&third, &first), "FORBIDDEN"),
        (endorse(&second, &first), "FORBIDDEN"),
        (endorse(&second, &second), "FORBIDDEN"),
        (endorse(&second, &Device::new()), "KEY_NOT_FOUND"),
        (unsigned, "MISSING_PARAMETER"),
    ] {
        let refused = ask(&mut session, request.clone()).await;
        assert_eq!(refused["code"], code, "{request}: {refused}");
    }
    let mut plain = tracker.user("bob").await;
    assert_eq!(plain.refused(endorse(&first, &second)).await, "KEY_NOT_FOUND");
    let by = async |session: &mut _| {
        let listed = ask(session, json!({"cmd": "LIST_KEYS"})).await;
        [1, 2].map(|n| listed["keys"][n].get("endorsed_by").cloned())
    };
    assert_eq!(by(&mut session).await, [None, None]);

    // A key has one endorsement: the one by the key that most contacts know.
    for (device, expected) in [(&second, &second), (&first, &first), (&second, &first)] {
        let mut session = device.session(tracker.address, by_key("ana")).await;
        let endorsed = ask(&mut session, endorse(device, &third)).await;
        assert_eq!(endorsed["status"], "OK", "{endorsed}");
        assert_eq!(by(&mut session).await, [None, Some(json!(expected.key()))]);
    }
}

#[tokio::test]
async fn a_session_in_the_clear_has_no_keys_to_list_or_revoke() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    assert_eq!(ana.ok(json!({"cmd": "LIST_KEYS"})).await["keys"], json!([]));
    let revoke = json!({"cmd": "REVOKE_KEY", "key": Device::new().key()});
    assert_eq!(ana.refused(revoke).await, "KEY_NOT_FOUND");
    assert_eq!(ana.refused(json!({"cmd": "REVOKE_KEY", "key": "rubbish"})).await, "MALFORMED");
}

#[tokio::test]
async fn password_change_needs_the_old_password() {
    let tracker = TestTracker::start().await;
    let mut ana = tracker.user("ana").await;
    assert_eq!(ana.refused(change(None, &another())).await, "MISSING_PARAMETER");
    assert_eq!(ana.refused(change(Some(PASSWORD), "short")).await, "MALFORMED");
    assert_eq!(ana.refused(change(Some(WRONG), &another())).await, "INVALID_CREDENTIALS");
    ana.ok(change(Some(PASSWORD), &another())).await;
    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    let mut client = tracker.connect().await;
    assert_eq!(client.refused(login("ana", PASSWORD)).await, "INVALID_CREDENTIALS");
    client.ok(login("ana", &another())).await;
}

#[tokio::test]
async fn a_bound_key_changes_a_password_that_is_forgotten() {
    let tracker = TestTracker::start().await;
    let (device, fresh) = (Device::new(), Device::new());
    drop(device.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await);
    let mut session = device.session(tracker.address, by_key("ana")).await;
    // A request with a password is checked by that password, even on a session with a bound key.
    let refused = ask(&mut session, change(Some(WRONG), &another())).await;
    assert_eq!(refused["code"], "INVALID_CREDENTIALS", "{refused}");
    let changed = ask(&mut session, change(None, &another())).await;
    assert_eq!(changed["status"], "OK", "{changed}");
    drop(session);
    drop(device.session(tracker.address, by_key("ana")).await);
    drop(fresh.session(tracker.address, login("ana", &another())).await);
}

#[tokio::test]
async fn a_session_has_three_guesses_at_its_own_password() {
    for guess in [change(Some(WRONG), WRONG), delete(Some(WRONG))] {
        let tracker = TestTracker::start().await;
        let mut ana = tracker.user("ana").await;
        for _ in 0..3 {
            assert_eq!(ana.refused(guess.clone()).await, "INVALID_CREDENTIALS");
        }
        ana.is_closed().await;
        tracker.back("ana").await;
    }
}

#[tokio::test]
async fn wrong_password_deletes_no_account_of_a_bound_key() {
    let tracker = TestTracker::start().await;
    let device = Device::new();
    let mut session = device.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    let refused = ask(&mut session, delete(Some(WRONG))).await;
    assert_eq!(refused["code"], "INVALID_CREDENTIALS", "{refused}");
    // Control: the correct password deletes it.
    let mut session = device.session(tracker.address, by_key("ana")).await;
    assert_eq!(ask(&mut session, delete(Some(PASSWORD))).await["status"], "OK");
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn guesses_on_a_session_count_like_those_at_a_login() {
    let tracker = TestTracker::start_with(|config| config.limit_loopback = true).await;
    let mut ana = tracker.connect_from([9, 1]).await;
    ana.ok(sign_in("REGISTER", "ana", 5000)).await;
    for _ in 0..3 {
        assert_eq!(ana.refused(change(Some(WRONG), WRONG)).await, "INVALID_CREDENTIALS");
    }
    let mut again = tracker.connect_from([9, 1]).await;
    assert_eq!(again.refused(login("ana", WRONG)).await, "TOO_MANY_ATTEMPTS");
}

#[tokio::test]
async fn a_deleted_account_leaves_nothing_behind() {
    let tracker = TestTracker::start().await;
    let device = Device::new();
    let mut ana = device.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    let mut bob = tracker.user("bob").await;
    for name in ["sala", "left"] {
        ask(&mut ana, room("CREATE_ROOM", name)).await;
    }
    // Ana still owns a room that she has left.
    ask(&mut ana, room("LEAVE_ROOM", "left")).await;
    bob.ok(room("JOIN_ROOM", "sala")).await;
    bob.ok(room("CREATE_ROOM", "quarto")).await;
    receive(&mut ana).await;
    ask(&mut ana, room("JOIN_ROOM", "quarto")).await;
    bob.expect_push("joined", "ana").await;

    let deleted = ask(&mut ana, delete(None)).await;
    assert_eq!(deleted["status"], "OK", "{deleted}");
    assert!(ana.recv_within(common::PATIENCE).await.unwrap().is_none(), "the session is over");
    // The room that bob was in is his, and the one that nobody was in is deleted.
    let sala = bob.expect_push("left", "ana").await;
    assert_eq!((&sala["owner"], common::members(&sala)), (&json!("bob"), vec!["bob"]));
    assert_eq!(common::members(&bob.expect_push("left", "ana").await), ["bob"]);
    let tracker = TestTracker::start_in(tracker.stop().await, |_| ()).await;
    let (mut bob, _) = tracker.back("bob").await;
    assert_eq!(bob.refused(json!({"cmd": "GET_PEER", "peer": "ana"})).await, "PEER_NOT_FOUND");
    let rooms = bob.ok(json!({"cmd": "LIST_ROOMS"})).await["rooms"].take();
    assert_eq!(rooms.as_object().unwrap().keys().collect::<Vec<_>>(), ["quarto", "sala"]);
    for request in [by_key("ana"), sign_in("LOGIN", "ana", 5000)] {
        let (_, reply) = device.ask(tracker.address, request).await;
        assert_eq!(reply["code"], "INVALID_CREDENTIALS", "{reply}");
    }
    // The name is free, and the new account inherits nothing.
    let newcomer = Device::new();
    let mut ana = newcomer.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await;
    let found = ask(&mut ana, json!({"cmd": "GET_PEER", "peer": "ana"})).await;
    assert_eq!((&found["peer"]["keys"], &found["peer"]["room"]), (&json!([newcomer.key()]), &Value::Null));
    // On a plaintext session, only the password verifies the user.
    assert_eq!(bob.refused(delete(None)).await, "MISSING_PARAMETER");
    bob.ok(delete(Some(PASSWORD))).await;
    bob.is_closed().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sign_in_to_an_account_being_deleted_is_refused() {
    let tracker = TestTracker::start().await;
    let mut witness = tracker.user("witness").await;
    for round in 0..30 {
        let name = format!("ana{round}");
        let mut leaving = tracker.user(&name).await;
        for n in 0..8 {
            leaving.ok(room("CREATE_ROOM", &format!("{name} {n}"))).await;
        }
        let mut coming = tracker.connect().await;
        let leave = async {
            let reply = leaving.ask(delete(Some(PASSWORD))).await;
            reply["status"] == "OK"
        };
        let come = async {
            for _ in 0..round {
                tokio::task::yield_now().await;
            }
            coming.send(&login(&name, PASSWORD)).await;
            coming.try_send(&room("CREATE_ROOM", &format!("{name} late"))).await;
            let reply = coming.try_recv().await;
            reply.is_some_and(|reply| reply["status"] == "OK")
        };
        let (left, came) = tokio::join!(leave, come);
        assert!(!(left && came), "{name} is signed in and deleted");
        if left {
            let found = witness.refused(json!({"cmd": "GET_PEER", "peer": name})).await;
            assert_eq!(found, "PEER_NOT_FOUND");
            let rooms = witness.ok(json!({"cmd": "LIST_ROOMS", "prefix": name, "id": 1})).await;
            assert_eq!(rooms["rooms"], json!({}));
        }
    }
}

/// Runs the operator's `reset-password` on a folder.
fn reset(folder: &std::path::Path, name: &str) -> Output {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "another one\n").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_tracker"));
    command.args(["reset-password", name, "--data"]).arg(folder).arg("--password-file").arg(file.path());
    command.output().unwrap()
}

#[tokio::test]
async fn the_operator_gives_another_password_and_forgets_the_keys() {
    let tracker = TestTracker::start().await;
    let device = Device::new();
    drop(device.session(tracker.address, sign_in("REGISTER", "ana", 5000)).await);
    let running = reset(tracker.folder.path(), "ana");
    assert_eq!(running.status.code(), Some(1), "not while a tracker is at work there");
    drop(device.session(tracker.address, by_key("ana")).await);

    let folder = tracker.stop().await;
    let unknown = reset(folder.path(), "nobody");
    assert_eq!(unknown.status.code(), Some(1));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("no user nobody"));
    assert_eq!(reset(folder.path(), "ana").status.code(), Some(0));
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    for request in [by_key("ana"), login("ana", PASSWORD)] {
        let (_, reply) = device.ask(tracker.address, request).await;
        assert_eq!(reply["code"], "INVALID_CREDENTIALS", "{reply}");
    }
    drop(device.session(tracker.address, login("ana", &another())).await);
}

/// Gives a folder and everything in it to a user.
#[cfg(unix)]
fn give(folder: &std::path::Path, user: u32) {
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    for path in files.chain([folder.to_owned()]) {
        std::os::unix::fs::chown(path, Some(user), Some(user)).unwrap();
    }
}

#[cfg(unix)]
#[tokio::test]
async fn root_leaves_the_files_to_the_owner_of_the_folder() {
    use std::os::unix::fs::MetadataExt as _;
    let service = 65534;
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: only root can give files to somebody else");
        return;
    }
    let tracker = TestTracker::start().await;
    drop(Device::new().session(tracker.address, sign_in("REGISTER", "ana", 5000)).await);
    let folder = tracker.stop().await;
    give(folder.path(), service);
    assert_eq!(reset(folder.path(), "ana").status.code(), Some(0));
    for entry in std::fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().uid(), service, "{}", entry.path().display());
    }
    // A planted link is replaced and not followed: the file behind it stays as it was.
    let target = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(target.path(), "untouched").unwrap();
    std::os::unix::fs::symlink(target.path(), folder.path().join("users_db.json.new")).unwrap();
    assert_eq!(reset(folder.path(), "ana").status.code(), Some(0));
    assert_eq!(std::fs::read_to_string(target.path()).unwrap(), "untouched");
}
