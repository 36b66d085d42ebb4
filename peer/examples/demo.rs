//! A demonstration with a real tracker and real peers on loopback, on free ports and in a temporary folder.
//! Three people register, meet in a room, talk, and talk privately. Then one of them and the tracker stop and return.
//! Every line is typed as a person types it, and each person's screen is printed. If an expected event is missing, the
//! demo ends with status 1.

use std::io::Write;
use std::num::NonZeroU32;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::Local;
use commons::names::Username;
use commons::net::plaintext::Plaintext;
use peer::api::sign_in::{Consent, SignIn};
use peer::api::status::LinkState;
use peer::api::status::TrackerState;
use peer::api::{Command, Event};
use peer::event_bus::{Events, Subscription};
use peer::frontends::slash_commands::{ParsedInput, parse};
use peer::frontends::terminal::message_rows::Moment;
use peer::frontends::terminal::style::Style;
use peer::frontends::terminal::view::View;
use peer::identity::password::Password;
use peer::identity::seal::SealCost;
use peer::limits::MEMBER_RATE;
use peer::service::{Keep, PeerConfig, PeerService};
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;
use tracker::config::Config;
use tracker::server::TrackerServer;

/// Longest wait for an expected event. It is only reached on a very busy machine.
const PATIENCE: Duration = Duration::from_secs(10);

/// Width of each person's screen in columns.
const COLUMNS: usize = 72;

type Failed = Box<dyn std::error::Error>;

#[tokio::main]
async fn main() -> ExitCode {
    match demo().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the demo failed: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn demo() -> Result<(), Failed> {
    let started = Instant::now();
    let folder = tempfile::tempdir()?;

    scene("A tracker starts. It will know names, rooms and who is online, and never a word that is said.");
    let mut tracker = Tracker::start(&folder, "127.0.0.1:0").await?;

    scene("Three people register, each with a program of their own.");
    let mut ana = Person::arrives(&folder, &tracker, "ana", true).await?;
    let mut bob = Person::arrives(&folder, &tracker, "bob", true).await?;
    let mut carla = Person::arrives(&folder, &tracker, "carla", true).await?;

    scene("They meet in a room of three.");
    ana.types("/create sala").await?;
    ana.sees("the room", |event| matches!(event, Event::RoomEntered { .. })).await?;
    for guest in [&mut bob, &mut carla] {
        guest.types("/join sala").await?;
        guest.sees("the room", |event| matches!(event, Event::RoomEntered { .. })).await?;
    }
    for (one, others) in
        [(&mut ana, ["bob", "carla"]), (&mut bob, ["ana", "carla"]), (&mut carla, ["ana", "bob"])]
    {
        for other in others {
            one.is_linked(other).await?;
        }
    }

    scene("They talk. Every line goes straight from one to the others.");
    ana.says("olá! who is here?", &mut [&mut bob, &mut carla]).await?;
    bob.says("me, from the kitchen ☕", &mut [&mut ana, &mut carla]).await?;
    carla.says("and me. shall we start, ana?", &mut [&mut ana, &mut bob]).await?;

    scene("A fourth finds the room full.");
    let mut dora = Person::arrives(&folder, &tracker, "dora", true).await?;
    dora.is_refused("/join sala", "ROOM_FULL").await?;
    dora.types("/rooms").await?;
    dora.types("/quit").await?;

    scene("Ana and Bob have a word in private. Carla does not hear it.");
    ana.types("@bob did you bring the cake?").await?;
    bob.receives("did you bring the cake?").await?;
    bob.types("@ana it is in the fridge").await?;
    ana.receives("it is in the fridge").await?;

    scene("Carla's program dies. The others are told; what they say meanwhile waits for her.");
    carla.dies().await;
    for one in [&mut ana, &mut bob] {
        one.sees("carla go offline", |event| is_change(event, "carla", "offline")).await?;
    }
    ana.types("carla? are you there?").await?;
    bob.receives("carla? are you there?").await?;

    scene("Carla starts it again: her seat was kept, and what she missed comes to her without a word.");
    let mut carla = Person::arrives(&folder, &tracker, "carla", false).await?;
    carla.sees("the room again", |event| matches!(event, Event::RoomEntered { .. })).await?;
    carla.receives("carla? are you there?").await?;
    ana.sees(
        "that carla has it",
        |event| matches!(event, Event::Delivered { to, .. } if to.as_str() == "carla"),
    )
    .await?;
    for one in [&mut ana, &mut bob] {
        one.sees("carla come back", |event| is_change(event, "carla", "online")).await?;
        one.is_linked("carla").await?;
    }
    carla.is_linked("ana").await?;
    carla.is_linked("bob").await?;
    carla.says("sorry, the cat sat on the keyboard", &mut [&mut ana, &mut bob]).await?;

    scene("The tracker goes away. The talk goes on; what needs the tracker says so.");
    tracker.stop().await?;
    for one in [&mut ana, &mut bob, &mut carla] {
        one.sees("the tracker lost", |event| {
            matches!(event, Event::Tracker { state: TrackerState::Lost, .. })
        })
        .await?;
    }
    bob.says("is this thing still on?", &mut [&mut ana, &mut carla]).await?;
    bob.is_refused("/rooms", "TRACKER_LOST").await?;

    scene("The tracker returns with all it knew, and everybody signs in again without being asked.");
    let address = tracker.address.clone();
    tracker = Tracker::start(&folder, &address).await?;
    for one in [&mut ana, &mut bob, &mut carla] {
        one.sees("the tracker back", is_connected).await?;
    }
    carla.says("it never went off", &mut [&mut ana, &mut bob]).await?;

    scene("The end: Bob leaves the room, Ana deletes it, everybody quits.");
    bob.types("/leave").await?;
    ana.sees("bob leave", |event| is_change(event, "bob", "left")).await?;
    ana.types("/delete").await?;
    carla.sees("the room deleted", |event| matches!(event, Event::RoomDeleted { .. })).await?;
    for one in [&mut ana, &mut bob, &mut carla] {
        one.types("/quit").await?;
    }
    tracker.stop().await?;
    println!(
        "\nAll of it was real: a tracker, four programs, TCP. It took {:.1} s.",
        started.elapsed().as_secs_f64()
    );
    Ok(())
}

fn scene(text: &str) {
    println!("\n{}", Style::from_env().strong(text));
}

fn is_connected(event: &Event) -> bool {
    matches!(event, Event::Tracker { state: TrackerState::Connected, .. })
}

fn is_change(event: &Event, who: &str, what: &str) -> bool {
    match event {
        Event::RoomUpdate { change, username, .. } => {
            username.as_str() == who && format!("{change:?}").eq_ignore_ascii_case(what)
        }
        _ => false,
    }
}

struct Tracker {
    address: String,
    stop: CancellationToken,
    running: JoinHandle<Result<(), String>>,
}

impl Tracker {
    async fn start(folder: &TempDir, listen: &str) -> Result<Self, Failed> {
        let config =
            Config { listen: listen.to_owned(), data: folder.path().join("tracker"), ..Config::default() };
        let server = TrackerServer::bind(config).await?;
        let address = server.local_addr().to_string();
        println!("  tracker listening on {address}");
        let stop = CancellationToken::new();
        let stopped = stop.clone();
        let running =
            tokio::spawn(async move { server.run(stopped).await.map_err(|error| error.to_string()) });
        Ok(Self { address, stop, running })
    }

    async fn stop(&mut self) -> Result<(), Failed> {
        self.stop.cancel();
        (&mut self.running).await??;
        println!("  tracker stopped");
        Ok(())
    }
}

struct Person {
    service: Arc<PeerService>,
    events: Events,
    view: View,
    name: String,
    seen: Vec<Event>,
}

impl Person {
    async fn arrives(
        folder: &TempDir,
        tracker: &Tracker,
        name: &str,
        register: bool,
    ) -> Result<Self, Failed> {
        let config = PeerConfig {
            tracker: tracker.address.parse()?,
            listen: None,
            data: folder.path().join("peers"),
            plaintext: Plaintext::default(),
            member_rate: NonZeroU32::new(MEMBER_RATE),
            limit_loopback: false,
            seal_cost: SealCost::default(),
            keep: Keep::OnDisk,
        };
        let service = PeerService::start(config).await?;
        let Subscription { snapshot, events } = service.subscribe().await;
        let username = Username::parse(name)?;
        let view = View::new(username.clone(), &snapshot, Style::from_env());
        let password = Password::typed(format!("the secret of {name}"));
        service
            .sign_in(SignIn {
                username,
                password,
                register,
                changed_to: None,
                code: None,
                consent: Consent::default(),
            })
            .await?;
        let mut person = Self { service, events, view, name: name.to_owned(), seen: Vec::new() };
        person.show(&[format!("({} as {name})", if register { "registered" } else { "signed in" })]);
        person.sees("the tracker", is_connected).await?;
        person.sees("the sign-in", |event| matches!(event, Event::LoggedIn { .. })).await?;
        Ok(person)
    }

    /// Prints rows of this person's screen.
    fn show(&self, rows: &[String]) {
        let name = Style::from_env().of_user(&self.name, &format!("{:>7}", self.name));
        let mut out = std::io::stdout().lock();
        for row in rows {
            // The reader may have closed the output; the demo goes on.
            let _ = writeln!(out, "{name} │ {row}");
        }
    }

    /// Types a line and presses Enter.
    async fn types(&mut self, line: &str) -> Result<(), Failed> {
        if line.starts_with(['/', '@']) {
            self.show(&[format!("> {line}")]);
        }
        let ParsedInput::Run(mut command) = parse(line, true)? else {
            return Err(format!("{line} is no command").into());
        };
        self.view.conversations().name_open(&mut command)?;
        let mut answer = timeout(PATIENCE, self.service.execute(command.clone())).await??;
        self.view.conversations().on_answer(&command, &mut answer);
        while let Some(event) = self.events.try_recv() {
            self.note(event);
        }
        let mut rows = self.view.answer(&answer, &command, moment());
        if command == Command::Quit {
            rows.extend(self.view.farewell(moment()));
        }
        self.show(&rows);
        Ok(())
    }

    /// Types a line that must be refused with this code.
    async fn is_refused(&mut self, line: &str, code: &str) -> Result<(), Failed> {
        self.show(&[format!("> {line}")]);
        let ParsedInput::Run(mut command) = parse(line, true)? else {
            return Err(format!("{line} is no command").into());
        };
        self.view.conversations().name_open(&mut command)?;
        match timeout(PATIENCE, self.service.execute(command)).await? {
            Err(error) if error.code() == code => {
                self.show(&self.view.error(&error));
                Ok(())
            }
            other => Err(format!("{} expected {code} for {line}, not {other:?}", self.name).into()),
        }
    }

    /// Sends a message to the room, and waits until each of the others has received it.
    async fn says(&mut self, text: &str, others: &mut [&mut Self]) -> Result<(), Failed> {
        self.types(text).await?;
        for other in others {
            other.receives(text).await?;
        }
        Ok(())
    }

    async fn receives(&mut self, text: &str) -> Result<(), Failed> {
        self.sees(text, |event| matches!(event, Event::Message { content, .. } if content == text)).await
    }

    async fn is_linked(&mut self, to: &str) -> Result<(), Failed> {
        self.sees(
            &format!("a link to {to}"),
            |event| matches!(event, Event::Link { peer, state: LinkState::Up, .. } if peer.as_str() == to),
        )
        .await
    }

    /// Waits for an event on this person's screen, or fails.
    async fn sees(&mut self, what: &str, expected: impl Fn(&Event) -> bool) -> Result<(), Failed> {
        loop {
            if let Some(at) = self.seen.iter().position(&expected) {
                self.seen.remove(at);
                return Ok(());
            }
            match timeout(PATIENCE, self.events.recv()).await {
                Ok(Some(event)) => self.note(event),
                Ok(None) => return Err(format!("{} ended before seeing {what}", self.name).into()),
                Err(_) => return Err(format!("{} did not see {what}", self.name).into()),
            }
        }
    }

    fn note(&mut self, event: Event) {
        let rows = self.view.event(&event, moment());
        self.show(&rows);
        self.seen.push(event);
    }

    /// Stops the program as in a crash, without signing out.
    async fn dies(self) {
        self.show(&["(the program dies)".to_owned()]);
        self.service.stop().await;
    }
}

fn moment() -> Moment {
    Moment { now: Local::now().fixed_offset(), columns: Some(COLUMNS) }
}
