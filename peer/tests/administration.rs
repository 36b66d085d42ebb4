//! Tests of admins, bans, announcements and registration codes at the peer.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod common;

use common::{Peer, Tracker, password_of, peer_config, user};
use commons::protocol::administration::{BanTarget, NewBan};
use peer::api::administration::{AdminAnswer, AdminCommand, AdminEvent};
use peer::api::answer::Answer;
use peer::api::error::CommandError;
use peer::api::sign_in::{Consent, SignIn};
use peer::api::{Command, Event};
use peer::identity::password::Password;
use peer::service::PeerService;
use tracker::config::RegistrationMode;

async fn administer(peer: &Peer, command: AdminCommand) -> Result<Answer, CommandError> {
    peer.run(Command::Admin(command)).await
}

fn ban_of(name: &str) -> AdminCommand {
    let target = BanTarget { user: Some(name.to_owned()), address: None };
    AdminCommand::AdminBan(NewBan { target, seconds: Some(3600) })
}

#[tokio::test(flavor = "multi_thread")]
async fn banned_user_gets_the_reason_and_stays_out() {
    let tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    let refused = administer(&bob, ban_of("ana")).await.unwrap_err();
    assert_eq!(refused.code(), "NOT_ADMIN", "control: bob is no admin");
    let Ok(Answer::Admin(AdminAnswer::Sessions { sessions })) =
        administer(&ana, AdminCommand::Sessions).await
    else {
        panic!("no sessions")
    };
    let names: Vec<_> = sessions.iter().map(|session| session.username.as_str()).collect();
    assert_eq!(names, ["ana", "bob"]);

    assert_eq!(administer(&ana, ban_of("bob")).await, Ok(Answer::Done));
    bob.until(|event| matches!(event, Event::Error { code, .. } if code == "BANNED")).await;
    bob.service.stop().await;
    assert_eq!(bob.try_again().await.err().map(|error| error.code()), Some("BANNED".to_owned()));
    let Ok(Answer::Admin(AdminAnswer::Bans { bans })) = administer(&ana, AdminCommand::AdminBans).await
    else {
        panic!("no bans")
    };
    assert_eq!(bans[0].target.user.as_deref(), Some("bob"));
    let target = BanTarget { user: Some("bob".to_owned()), address: None };
    assert_eq!(administer(&ana, AdminCommand::AdminUnban(target)).await, Ok(Answer::Done));
    assert!(bob.try_again().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn kicked_peer_does_not_reconnect_by_itself() {
    let tracker = Tracker::start().await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    assert_eq!(administer(&ana, AdminCommand::AdminKick { user: user("bob") }).await, Ok(Answer::Done));
    bob.until(|event| matches!(event, Event::Error { code, .. } if code == "KICKED")).await;
    // The user may sign in again, with another start of the program.
    bob.again_after_death().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn announcement_and_message_of_the_day_are_events() {
    let tracker = Tracker::start_with(|config| config.motd = Some("be kind".to_owned())).await;
    let (ana, mut bob) = (tracker.peer("ana").await, tracker.peer("bob").await);
    let is = |from: Option<&'static str>, words: &'static str| {
        move |event: &Event| {
            matches!(event, Event::Admin(AdminEvent::Announcement { from: by, text })
                if by.as_ref().map(|by| by.as_str()) == from && *text == *words)
        }
    };
    bob.until(is(None, "be kind")).await;
    let announce = AdminCommand::AdminAnnounce { text: "restart at noon".to_owned() };
    assert_eq!(administer(&ana, announce).await, Ok(Answer::Done));
    bob.until(is(Some("ana"), "restart at noon")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn room_of_a_removed_user_ends() {
    let tracker = Tracker::start().await;
    let (ana, mut bob, mut carla) =
        (tracker.peer("ana").await, tracker.peer("bob").await, tracker.peer("carla").await);
    bob.create("sala").await;
    carla.join("sala").await;
    let remove = AdminCommand::AdminRemove { user: user("bob") };
    assert_eq!(administer(&ana, remove).await, Ok(Answer::Done));
    // Nobody else can sign that the room has another owner.
    carla.until(|event| matches!(event, Event::RoomDeleted { .. })).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn registration_code_opens_an_account() {
    let folder = tempfile::tempdir().unwrap();
    let codes = folder.path().join("codes");
    std::fs::write(&codes, "spring\n").unwrap();
    #[cfg(unix)]
    std::fs::set_permissions(&codes, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let tracker = Tracker::start_with(|config| {
        config.registration = RegistrationMode::Code;
        config.registration_code_file = Some(codes);
    })
    .await;
    let data = tempfile::tempdir().unwrap();
    let config = peer_config(tracker.address, data.path());
    let service = PeerService::start(config).await.unwrap();
    let register = |code: Option<&str>| {
        let code = code.map(Password::typed);
        service.sign_in(SignIn {
            username: user("ana"),
            password: password_of("ana"),
            register: true,
            changed_to: None,
            code,
            consent: Consent::default(),
        })
    };
    assert_eq!(register(None).await.unwrap_err().code(), "CODE_REQUIRED");
    assert_eq!(register(Some("winter")).await.unwrap_err().code(), "WRONG_CODE");
    assert_eq!(register(Some("spring")).await, Ok(()));
}
