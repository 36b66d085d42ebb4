//! Tests of admins: their role, their requests and the bans.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test may")]

mod common;

use common::device::{Device, ask, by_key, receive};
use common::{PASSWORD, TestTracker, WRONG, members, room, sign_in, with_id};
use commons::endorsement::Endorsement;
use commons::names::Username;
use commons::net::connection::Connection;
use commons::net::socket::Socket;
use commons::protocol::administration::{AdminRequest, NewBan};
use serde_json::{Value, json};
use tracker::operator::OperatorCommand;

type Session = Connection<Socket>;

/// A tracker with the admin ana on an encrypted session.
struct Place {
    tracker: TestTracker,
    device: Device,
    ana: Session,
}

impl Place {
    async fn new() -> Self {
        let (tracker, device) = (TestTracker::start().await, Device::new());
        let ana = device.session(tracker.address, with_id(sign_in("REGISTER", "ana", 5000))).await;
        Self { tracker, device, ana }
    }

    /// Registers a user on an encrypted session.
    async fn user(&self, name: &str) -> (Device, Session) {
        let device = Device::new();
        let session = device.session(self.tracker.address, with_id(sign_in("REGISTER", name, 5000))).await;
        (device, session)
    }

    /// A request of the admin that must succeed.
    async fn ok(&mut self, mut request: Value) -> Value {
        request["id"] = json!(1);
        let reply = ask(&mut self.ana, request.clone()).await;
        assert_eq!(reply["status"], "OK", "{request} → {reply}");
        reply
    }

    async fn code(&mut self, mut request: Value) -> Value {
        request["id"] = json!(1);
        ask(&mut self.ana, request).await["code"].take()
    }

    async fn operate(&self, command: OperatorCommand) -> Result<Vec<String>, String> {
        self.tracker.operator.perform(command).await.map(|reply| reply.lines)
    }
}

fn requests() -> [Value; 8] {
    [
        json!({"cmd": "SESSIONS"}),
        json!({"cmd": "BANS"}),
        json!({"cmd": "ANNOUNCE", "text": "noon"}),
        json!({"cmd": "KICK", "user": "bob"}),
        json!({"cmd": "BAN", "address": "192.0.2.7"}),
        json!({"cmd": "UNBAN", "address": "192.0.2.7"}),
        json!({"cmd": "ADMIN_DELETE_ROOM", "room": "sala"}),
        json!({"cmd": "REMOVE_USER", "user": "bob"}),
    ]
}

#[tokio::test]
async fn only_an_admin_gets_the_requests_of_admins() {
    let mut place = Place::new().await;
    let (_, _bob) = place.user("bob").await;
    let (_, mut carla) = place.user("carla").await;
    ask(&mut carla, room("CREATE_ROOM", "sala")).await;
    for request in requests() {
        assert_eq!(ask(&mut carla, request.clone()).await["code"], "NOT_ADMIN", "{request}");
    }
    assert!(place.ok(json!({"cmd": "LIST_ROOMS"})).await["rooms"].get("sala").is_some());
    for request in requests() {
        place.ok(request).await;
    }
    assert_eq!(place.ok(json!({"cmd": "LIST_ROOMS"})).await["rooms"], json!({}));
}

#[tokio::test]
async fn first_user_on_loopback_is_admin_and_no_later_one() {
    let tracker = TestTracker::start().await;
    let (ana, bob) = (Device::new(), Device::new());
    let register = |name| with_id(sign_in("REGISTER", name, 5000));
    let (_ana, reply) = ana.ask(tracker.address, register("ana")).await;
    assert!(reply["admin"] == true && reply["msg"].as_str().unwrap().contains("admin"), "{reply}");
    let (_bob, reply) = bob.ask(tracker.address, register("bob")).await;
    assert!(reply.get("admin").is_none() && !reply["msg"].as_str().unwrap().contains("admin"), "{reply}");

    let open = TestTracker::start_with(|config| config.listen = "0.0.0.0:0".to_owned()).await;
    let address = ([127, 0, 0, 1], open.address.port()).into();
    let (_ana, reply) = ana.ask(address, register("ana")).await;
    assert!(reply.get("admin").is_none(), "{reply}");
    let added = open.operator.perform(OperatorCommand::AddAdmin { user: "ana".to_owned(), key: None }).await;
    assert!(added.is_ok());
    let (_ana, reply) = ana.ask(address, with_id(by_key("ana"))).await;
    assert_eq!(reply["admin"], true, "{reply}");
}

#[tokio::test]
async fn first_user_of_a_tracker_inside_a_peer_is_no_admin() {
    let tracker = TestTracker::start_with(|config| config.first_user_is_admin = false).await;
    let (_ana, reply) = Device::new().ask(tracker.address, with_id(sign_in("REGISTER", "ana", 5000))).await;
    assert_eq!((&reply["status"], reply.get("admin")), (&json!("OK"), None), "{reply}");
}

#[tokio::test]
async fn new_account_of_a_freed_name_is_no_admin() {
    let mut place = Place::new().await;
    let (_, _bob) = place.user("bob").await;
    place.ok(json!({"cmd": "DELETE_ACCOUNT"})).await;
    // Even the same device is no admin under the freed name.
    let (_ana, reply) =
        place.device.ask(place.tracker.address, with_id(sign_in("REGISTER", "ana", 5000))).await;
    assert_eq!((&reply["status"], reply.get("admin")), (&json!("OK"), None));
    assert_eq!(place.operate(OperatorCommand::Admins).await.unwrap(), ["there are no admins"]);
}

#[tokio::test]
async fn key_acts_as_admin_only_if_an_admins_key_endorses_it() {
    let mut place = Place::new().await;
    let phone = Device::new();
    let address = place.tracker.address;
    // The password alone binds a key, and gives it no role.
    let (mut session, reply) = phone.ask(address, with_id(sign_in("LOGIN", "ana", 5000))).await;
    assert!(reply["status"] == "OK" && reply.get("admin").is_none(), "{reply}");
    assert_eq!(ask(&mut session, json!({"cmd": "SESSIONS"})).await["code"], "NOT_ADMIN");

    place.ana = place.device.session(address, with_id(by_key("ana"))).await;
    let ana = Username::parse("ana").unwrap();
    let signature = Endorsement::sign(&ana, &place.device.seed, phone.key());
    place.ok(json!({"cmd": "ENDORSE_KEY", "key": phone.key(), "signature": signature})).await;
    let (mut session, reply) = phone.ask(address, with_id(by_key("ana"))).await;
    assert_eq!(reply["admin"], true, "{reply}");
    assert_eq!(ask(&mut session, json!({"cmd": "SESSIONS"})).await["status"], "OK");

    // Without the first key there is no role, also if the key is bound again by the password.
    let revoke = json!({"cmd": "REVOKE_KEY", "key": place.device.key()});
    assert_eq!(ask(&mut session, revoke).await["status"], "OK");
    assert_eq!(ask(&mut session, json!({"cmd": "SESSIONS"})).await["code"], "NOT_ADMIN");
    let (_, reply) = place.device.ask(address, with_id(sign_in("LOGIN", "ana", 5000))).await;
    assert!(reply["status"] == "OK" && reply.get("admin").is_none(), "{reply}");
    let admins = place.operate(OperatorCommand::Admins).await.unwrap();
    assert!(admins[0].starts_with("ana ") && admins[0].contains("without a key"), "{admins:?}");
    // The operator must name the key: anybody with the password may have bound the others.
    assert!(admins[0].contains("another way") && admins[0].contains("--key DIGITS"), "{admins:?}");
    let add =
        |key: Option<&str>| OperatorCommand::AddAdmin { user: "ana".to_owned(), key: key.map(str::to_owned) };
    let digits = &phone.key().to_string()[..16];
    for (key, text) in
        [(None, "--key DIGITS"), (Some(&digits[..15]), "16"), (Some("0000000000000000"), "has no key")]
    {
        let refused = place.operate(add(key)).await.unwrap_err();
        assert!(refused.contains(text), "{refused}");
    }
    let added = place.operate(add(Some(digits))).await.unwrap();
    assert!(added.concat().contains(&phone.key().to_string()), "{added:?}");
    let (_, reply) = place.device.ask(address, with_id(by_key("ana"))).await;
    assert!(reply["status"] == "OK" && reply.get("admin").is_none(), "{reply}");
    let (_, reply) = phone.ask(address, with_id(by_key("ana"))).await;
    assert_eq!(reply["admin"], true, "{reply}");
}

#[tokio::test]
async fn password_alone_neither_revokes_nor_evicts_an_admins_key() {
    let place = Place::new().await;
    let address = place.tracker.address;
    let by_password = || with_id(sign_in("LOGIN", "ana", 5000));
    let (mut session, _) = Device::new().ask(address, by_password()).await;
    let revoke = json!({"cmd": "REVOKE_KEY", "key": place.device.key()});
    assert_eq!(ask(&mut session, revoke.clone()).await["code"], "FORBIDDEN");
    let mut devices = Vec::new();
    for _ in 0..4 {
        let device = Device::new();
        assert_eq!(device.ask(address, by_password()).await.1["status"], "OK");
        devices.push(device);
    }
    let (mut ana, reply) = place.device.ask(address, with_id(by_key("ana"))).await;
    assert_eq!(reply["admin"], true, "{reply}");
    // Control: a key without the role is revoked by anybody, and an admin revokes the others.
    let (mut session, _) = devices[0].ask(address, by_password()).await;
    let of_guest = |device: &Device| json!({"cmd": "REVOKE_KEY", "key": device.key()});
    assert_eq!(ask(&mut session, of_guest(&devices[2])).await["status"], "OK");
    drop(ana);
    (ana, _) = place.device.ask(address, with_id(by_key("ana"))).await;
    assert_eq!(ask(&mut ana, of_guest(&devices[3])).await["status"], "OK");
    // An account that the operator has removed from the admins is like any other.
    place.operate(OperatorCommand::RemoveAdmin { user: "ana".to_owned() }).await.unwrap();
    let (mut session, _) = devices[0].ask(address, by_password()).await;
    assert_eq!(ask(&mut session, revoke).await["status"], "OK");
}

#[tokio::test]
async fn password_binds_no_key_if_all_bound_ones_are_an_admins() {
    let mut place = Place::new().await;
    let address = place.tracker.address;
    let name = Username::parse("ana").unwrap();
    for _ in 0..3 {
        let device = Device::new();
        drop(device.session(address, with_id(sign_in("LOGIN", "ana", 5000))).await);
        place.ana = place.device.session(address, with_id(by_key("ana"))).await;
        let signature = Endorsement::sign(&name, &place.device.seed, device.key());
        place.ok(json!({"cmd": "ENDORSE_KEY", "key": device.key(), "signature": signature})).await;
    }
    let (_, reply) = Device::new().ask(address, with_id(sign_in("LOGIN", "ana", 5000))).await;
    assert_eq!(reply["code"], "FORBIDDEN", "{reply}");
    // Control: a key that is bound already signs in by the password.
    drop(place.device.session(address, with_id(sign_in("LOGIN", "ana", 5000))).await);
}

#[tokio::test]
async fn admin_cannot_act_on_the_own_account() {
    let mut place = Place::new().await;
    for cmd in ["KICK", "BAN", "REMOVE_USER"] {
        assert_eq!(place.code(json!({"cmd": cmd, "user": "ana"})).await, "FORBIDDEN", "{cmd}");
    }
    for address in ["127.0.0.1", "127.0.0.0/8"] {
        assert_eq!(place.code(json!({"cmd": "BAN", "address": address})).await, "FORBIDDEN", "{address}");
    }
    assert_eq!(place.code(json!({"cmd": "KICK", "user": "nobody"})).await, "PEER_NOT_FOUND");
    assert_eq!(place.code(json!({"cmd": "BAN"})).await, "MISSING_PARAMETER");
    assert_eq!(place.code(json!({"cmd": "BAN", "user": "ana", "address": "::1"})).await, "MALFORMED");
    assert_eq!(place.code(json!({"cmd": "BAN", "address": "everywhere"})).await, "MALFORMED");
    assert_eq!(place.code(json!({"cmd": "UNBAN", "user": "bob"})).await, "NOT_BANNED");
}

#[tokio::test]
async fn kicked_user_gets_the_reason_and_may_return() {
    let mut place = Place::new().await;
    let (device, mut bob) = place.user("bob").await;
    place.ok(json!({"cmd": "KICK", "user": "bob"})).await;
    let last = receive(&mut bob).await;
    assert_eq!((&last["status"], &last["code"]), (&json!("ERROR"), &json!("KICKED")), "{last}");
    assert!(bob.recv().await.unwrap().is_none());
    device.session(place.tracker.address, with_id(by_key("bob"))).await;
}

#[tokio::test]
async fn banned_user_gets_the_end_of_the_ban_and_stays_out() {
    let mut place = Place::new().await;
    let (device, mut bob) = place.user("bob").await;
    ask(&mut bob, room("CREATE_ROOM", "sala")).await;
    place.ok(json!({"cmd": "BAN", "user": "bob", "seconds": 7200})).await;
    let last = receive(&mut bob).await;
    assert_eq!(last["code"], "BANNED", "{last}");
    assert!(last["until"].is_string() && last["retry_after_ms"].as_u64().unwrap() <= 7_200_000, "{last}");
    assert!(bob.recv().await.unwrap().is_none());
    let address = place.tracker.address;
    let (_, by_key_reply) = device.ask(address, with_id(by_key("bob"))).await;
    assert_eq!(by_key_reply["code"], "BANNED");
    let (_, by_password) = Device::new().ask(address, with_id(sign_in("LOGIN", "bob", 5000))).await;
    assert_eq!(by_password["code"], "BANNED");
    // A stranger who does not know the password does not learn of the ban.
    let mut wrong = with_id(sign_in("LOGIN", "bob", 5000));
    wrong["password"] = json!(WRONG);
    assert_eq!(Device::new().ask(address, wrong).await.1["code"], "INVALID_CREDENTIALS");
    // The same device is refused under another name. Another device is not.
    let other = with_id(sign_in("REGISTER", "bobby", 5000));
    assert_eq!(device.ask(address, other.clone()).await.1["code"], "BANNED");
    let stranger = with_id(sign_in("REGISTER", "bob", 5000));
    assert_eq!(Device::new().ask(address, stranger).await.1["code"], "USERNAME_TAKEN");
    assert!(place.ok(json!({"cmd": "LIST_ROOMS"})).await["rooms"].get("sala").is_some(), "the room stays");

    let folder = place.tracker.stop().await;
    let tracker = TestTracker::start_in(folder, |_| ()).await;
    assert_eq!(device.ask(tracker.address, with_id(by_key("bob"))).await.1["code"], "BANNED");
    let (mut ana, reply) = place.device.ask(tracker.address, with_id(by_key("ana"))).await;
    assert_eq!(reply["admin"], true, "{reply}");
    let bans = ask(&mut ana, json!({"cmd": "BANS", "id": 2})).await;
    assert_eq!(
        (&bans["bans"]["user bob"]["user"], &bans["bans"]["user bob"]["by"]),
        (&json!("bob"), &json!("ana"))
    );
    let removed = ask(&mut ana, json!({"cmd": "REMOVE_USER", "user": "bob", "id": 3})).await;
    assert_eq!(removed["status"], "OK", "{removed}");
    let again = with_id(sign_in("REGISTER", "bob", 5000));
    assert_eq!(device.ask(tracker.address, other).await.1["code"], "BANNED");
    assert_eq!(Device::new().ask(tracker.address, again.clone()).await.1["code"], "BANNED");
    assert_eq!(ask(&mut ana, json!({"cmd": "UNBAN", "user": "bob", "id": 4})).await["status"], "OK");
    assert_eq!(device.ask(tracker.address, again).await.1["status"], "OK");
}

#[tokio::test]
async fn ban_ends_sessions_of_the_same_key_under_other_names() {
    let mut place = Place::new().await;
    let (device, _bob) = place.user("bob").await;
    let address = place.tracker.address;
    let mut bobby = device.session(address, with_id(sign_in("REGISTER", "bobby", 5000))).await;
    let (_, mut carla) = place.user("carla").await;
    place.ok(json!({"cmd": "BAN", "user": "bob"})).await;
    assert_eq!(receive(&mut bobby).await["code"], "BANNED");
    // Control: another device stays.
    assert_eq!(ask(&mut carla, json!({"cmd": "LIST_ROOMS"})).await["status"], "OK");
}

#[tokio::test]
async fn banned_user_cannot_wash_the_banned_key_away() {
    let mut place = Place::new().await;
    let (device, _bob) = place.user("bob").await;
    let address = place.tracker.address;
    let ban = json!({"cmd": "BAN", "user": "bob"});
    place.ok(ban.clone()).await;
    for _ in 0..4 {
        let (_, reply) = Device::new().ask(address, with_id(sign_in("LOGIN", "bob", 5000))).await;
        assert_eq!(reply["code"], "BANNED");
    }
    // The renewed ban holds for the first key, also after the account is gone.
    place.ok(ban.clone()).await;
    let other = with_id(sign_in("REGISTER", "bobby", 5000));
    assert_eq!(device.ask(address, other.clone()).await.1["code"], "BANNED");
    place.ok(json!({"cmd": "REMOVE_USER", "user": "bob"})).await;
    place.ok(ban).await;
    assert_eq!(device.ask(address, other).await.1["code"], "BANNED");
}

#[tokio::test]
async fn name_without_an_account_can_be_banned() {
    let mut place = Place::new().await;
    let (device, mut carl) = place.user("carl").await;
    assert_eq!(ask(&mut carl, json!({"cmd": "DELETE_ACCOUNT"})).await["status"], "OK");
    let banned = place.ok(json!({"cmd": "BAN", "user": "carl"})).await;
    assert!(banned["msg"].as_str().unwrap().contains("no account"), "{banned}");
    let register = with_id(sign_in("REGISTER", "carl", 5000));
    assert_eq!(device.ask(place.tracker.address, register).await.1["code"], "BANNED");
    assert_eq!(place.code(json!({"cmd": "BAN", "user": "No Name"})).await, "INVALID_NAME");
}

#[tokio::test]
async fn banned_admin_is_no_admin() {
    let mut place = Place::new().await;
    let ban = NewBan {
        target: commons::protocol::administration::BanTarget { user: Some("ana".to_owned()), address: None },
        seconds: None,
    };
    place.ok(json!({"cmd": "SESSIONS"})).await;
    place.operate(OperatorCommand::Admin(AdminRequest::Ban(ban))).await.unwrap();
    assert_eq!(receive(&mut place.ana).await["code"], "BANNED");
    let users =
        place.operate(OperatorCommand::Users(commons::protocol::page::Page::default())).await.unwrap();
    assert!(users[1].starts_with("ana ") && users[1].ends_with("admin, banned"), "{users:?}");
}

#[tokio::test]
async fn banned_address_is_closed_and_refused() {
    let mut place = Place::new().await;
    let mut bob = place.tracker.connect_from([7, 1]).await;
    bob.ok(with_id(sign_in("REGISTER", "bob", 5000))).await;
    let mut waiting = place.tracker.connect_from([7, 2]).await;
    assert_eq!(waiting.refused(json!({"cmd": "PING", "id": 1})).await, "NOT_LOGGED_IN");
    place.ok(json!({"cmd": "BAN", "address": "127.0.7.9/24"})).await;
    let last = bob.recv().await;
    assert_eq!((&last["code"], last.get("until")), (&json!("BANNED"), None), "{last}");
    bob.is_closed().await;
    // A connection from before the ban cannot sign in, and a new one is refused at once.
    assert_eq!(waiting.refused(with_id(sign_in("LOGIN", "bob", 5000))).await, "BANNED");
    let mut new = place.tracker.connect_from([7, 3]).await;
    new.try_send(&json!({"cmd": "PING"})).await;
    assert_eq!(new.recv().await["code"], "BANNED");
    new.is_closed().await;
    let mut control = place.tracker.connect_from([8, 1]).await;
    control.ok(with_id(sign_in("LOGIN", "bob", 5000))).await;
    place.ok(json!({"cmd": "UNBAN", "address": "127.0.7.0/24"})).await;
    place.tracker.connect_from([7, 1]).await.ok(with_id(sign_in("LOGIN", "bob", 5000))).await;
}

#[tokio::test]
async fn announcement_reaches_encrypted_sessions_only() {
    let mut place = Place::new().await;
    let (_, mut bob) = place.user("bob").await;
    let (mut py, mut with_ids) = (place.tracker.original("py").await, place.tracker.user("carla").await);
    place.ok(json!({"cmd": "ANNOUNCE", "text": "restart at noon"})).await;
    let expected = json!({"status": "ANNOUNCEMENT", "from": "ana", "text": "restart at noon"});
    assert_eq!(receive(&mut bob).await, expected);
    py.expect_no_push().await;
    with_ids.expect_no_push().await;
    for bad in ["", "two\nlines", "\u{1b}[2J", "\u{202e}noon", "no\u{200b}on", &"x".repeat(1025)] {
        assert_eq!(place.code(json!({"cmd": "ANNOUNCE", "text": bad})).await, "MALFORMED");
    }
    let request = AdminRequest::Announce { text: "from the shell".to_owned() };
    place.operate(OperatorCommand::Admin(request)).await.unwrap();
    assert_eq!(receive(&mut bob).await["from"], Value::Null);
}

#[tokio::test]
async fn sessions_show_since_address_and_traffic() {
    let mut place = Place::new().await;
    let _py = place.tracker.original("py").await;
    let sessions = place.ok(json!({"cmd": "SESSIONS"})).await["sessions"].take();
    let (ana, py) = (&sessions["ana"], &sessions["py"]);
    assert_eq!((&ana["encrypted"], &py["encrypted"]), (&json!(true), &json!(false)));
    assert_eq!(py["address"], "127.0.0.1");
    assert!(ana["since"].is_string() && ana["requests"] == 2, "{ana}");
    assert!(ana["bytes_in"].as_u64() > Some(100) && ana["bytes_out"].as_u64() > Some(10), "{ana}");
    let page = place.ok(json!({"cmd": "SESSIONS", "limit": 1})).await;
    assert_eq!((page["sessions"].as_object().unwrap().len(), &page["more"]), (1, &json!(true)));
    let page = place.ok(json!({"cmd": "SESSIONS", "after": "ana"})).await;
    assert_eq!(page["sessions"].as_object().unwrap().keys().collect::<Vec<_>>(), ["py"]);
}

#[tokio::test]
async fn room_deleted_by_an_admin_is_announced_in_the_admins_name() {
    let mut place = Place::new().await;
    let mut bob = place.tracker.user("bob").await;
    bob.ok(room("CREATE_ROOM", "sala")).await;
    place.ok(room("JOIN_ROOM", "sala")).await;
    bob.expect_push("joined", "ana").await;
    place.ok(json!({"cmd": "ADMIN_DELETE_ROOM", "room": "sala"})).await;
    bob.expect_push("deleted", "ana").await;
    assert_eq!(place.code(json!({"cmd": "ADMIN_DELETE_ROOM", "room": "sala"})).await, "ROOM_NOT_FOUND");
}

#[tokio::test]
async fn removed_user_hands_rooms_on_and_frees_the_name() {
    let mut place = Place::new().await;
    let mut bob = place.tracker.user("bob").await;
    let mut carla = place.tracker.user("carla").await;
    bob.ok(room("CREATE_ROOM", "sala")).await;
    carla.ok(room("JOIN_ROOM", "sala")).await;
    place.ok(json!({"cmd": "REMOVE_USER", "user": "bob"})).await;
    let sala = carla.expect_push("left", "bob").await;
    assert_eq!((&sala["owner"], members(&sala)), (&json!("carla"), vec!["carla"]));
    let mut seen = bob.recv().await;
    while seen["status"] == "ROOM_UPDATE" {
        seen = bob.recv().await;
    }
    assert_eq!(seen["code"], "KICKED", "{seen}");
    bob.is_closed().await;
    place.tracker.user("bob").await;
}

#[tokio::test]
async fn deleted_account_hands_rooms_on_unless_asked_to_delete() {
    let tracker = TestTracker::start().await;
    for (fate, owner) in [(None, Some("carla")), (Some("hand_on"), Some("carla")), (Some("delete"), None)] {
        let [mut bob, mut carla, mut dora] =
            [tracker.user("bob").await, tracker.user("carla").await, tracker.user("dora").await];
        bob.ok(room("CREATE_ROOM", "sala")).await;
        bob.ok(room("CREATE_ROOM", "alone")).await;
        for guest in [&mut carla, &mut dora] {
            guest.ok(room("JOIN_ROOM", "sala")).await;
        }
        carla.expect_push("joined", "dora").await;
        let delete = json!({"cmd": "DELETE_ACCOUNT", "password": PASSWORD, "rooms": fate, "id": "bye"});
        bob.send(&delete).await;
        let (kind, user, sala) = carla.push().await;
        assert_eq!((&*kind, &*user), (if owner.is_some() { "left" } else { "deleted" }, "bob"));
        assert_eq!(sala["owner"].as_str(), owner);
        if let Some(owner) = owner {
            assert_eq!(members(&sala), ["carla", "dora"]);
            assert_eq!(sala["peer_owner"]["username"], owner);
            carla.ok(room("DELETE_ROOM", "sala")).await;
            dora.expect_push("left", "bob").await;
        }
        dora.expect_push("deleted", owner.unwrap_or("bob")).await;
        assert_eq!(
            carla.ok(json!({"cmd": "LIST_ROOMS"})).await["rooms"],
            json!({}),
            "a room of one is deleted"
        );
        for user in [&mut carla, &mut dora] {
            user.ok(json!({"cmd": "DELETE_ACCOUNT", "password": PASSWORD})).await;
        }
    }
}
