//! Benchmark of the latency from the standard input of one program to the standard output of two others.
//!
//! A tracker and three peers run as real programs on this machine, with ordinary files. Machines differ and are shared.
//! So each figure is shown beside the time of the same disk, in the same run, to append and sync as many bytes.
//!
//! The variable `OTHER_BUILD` names a folder with the programs of another build. Both builds are then measured in turn.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::{Value, json};

const PASSWORD: &str = "a secret of theirs";

/// Length of a message's text in bytes.
const TEXT: usize = 200;

/// Number of messages on an idle machine, and the pause between two of them.
const AT_REST: (usize, Duration) = (100, Duration::from_millis(50));

/// Number of messages of a fast sender, and the pause between two: 500 per second.
const STEADY: (usize, Duration) = (1_000, Duration::from_millis(2));

/// Number of messages in one paste, and the number of pastes.
const PASTED: usize = 100_000;
const PASTES: usize = 3;

/// Bytes that are written to a program at once during a paste, as a terminal or a pipe would.
const PASTE_BYTES: usize = 64 * 1024;

/// The bar for an idle machine in milliseconds: this value, or four times the bare disk plus a little, whichever is
/// larger.
const REST_BAR: f64 = 0.7;
const DISK_FACTOR: f64 = 4.0;
const DISK_EXTRA: f64 = 0.2;

/// The bar for the median of a steady stream, as a multiple of the idle median.
const STEADY_FACTOR: f64 = 2.0;

/// A child process that is killed when this value is dropped.
struct Program(Child);

impl Drop for Program {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The kind of an event. Its other fields are skipped, so that this program takes little time from the peers.
#[derive(Deserialize)]
struct Event {
    event: String,
}

/// A peer: it takes commands and yields events with the time at which each was read.
struct Peer {
    program: Program,
    input: ChildStdin,
    events: Receiver<(Instant, String)>,
}

/// Three peers in one room, and their tracker.
struct Room {
    peers: [Peer; 3],
    _tracker: Program,
    folder: tempfile::TempDir,
}

/// Clock ticks per second in which Linux counts the processor time of a program.
const TICKS: f64 = 100.0;

/// Milliseconds of a build, and for each paste its messages per second and the processor time of the three peers in
/// microseconds per message.
struct Figures {
    disk: Vec<f64>,
    rest: Vec<f64>,
    steady: Vec<f64>,
    pasted: Vec<f64>,
    busy: Vec<f64>,
}

/// Starts the tracker and returns its address.
fn start_tracker(programs: &Path, data: &Path) -> (Program, String) {
    let mut command = Command::new(programs.join("tracker"));
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.trim().rsplit(' ').next().unwrap().to_owned();
    (Program(child), address)
}

impl Peer {
    fn start(programs: &Path, tracker: &str, data: &Path, name: &str) -> Self {
        let mut command = Command::new(programs.join("peer"));
        command.args(["--tracker", tracker, "--username", name, "--register"]);
        command.args(["--input", "json", "--output", "json", "--data"]).arg(data);
        command.env_clear().env("HOME", "/nonexistent").env("PEER_PASSWORD", PASSWORD);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, events) = channel();
        thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let read = Instant::now();
                let Event { event } = serde_json::from_str(&line).unwrap();
                if sender.send((read, event)).is_err() {
                    break;
                }
            }
        });
        Self { program: Program(child), input, events }
    }

    /// Seconds of processor time so far. Unlike the other figures, it hardly depends on other programs.
    fn busy(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.program.0.id())).unwrap();
        // The fields after the program's name: user and system time are numbers 12 and 13.
        let fields = stat.rsplit(')').next().unwrap().split_whitespace();
        fields.skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap()).sum::<f64>() / TICKS
    }

    fn command(&mut self, command: &Value) {
        writeln!(self.input, "{command}").and_then(|()| self.input.flush()).unwrap();
    }

    /// Reads events until one of this kind. Returns the time at which it was read.
    fn until(&self, kind: &str) -> Instant {
        loop {
            let (read, event) = self.events.recv_timeout(Duration::from_secs(300)).expect(kind);
            if event == kind {
                return read;
            }
        }
    }
}

/// Starts the programs in this folder: three peers in one room, linked to each other.
fn room(programs: &Path) -> Room {
    let folder = tempfile::tempdir().unwrap();
    let (tracker, address) = start_tracker(programs, &folder.path().join("tracker"));
    let start = |name| Peer::start(programs, &address, &folder.path().join(name), name);
    let mut peers = ["ana", "bob", "carla"].map(start);
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.until("logged_in");
        let command = if n == 0 { "create" } else { "join" };
        peer.command(&json!({"command": command, "room": "sala"}));
        peer.until("room_entered");
    }
    // A message that is written before the author knows of a member is not for that member.
    for _ in 1..peers.len() {
        peers[0].until("room_update");
    }
    // The first message shows that each link is up.
    say(&mut peers[0], 0);
    peers[1].until("message");
    peers[2].until("message");
    Room { peers, _tracker: tracker, folder }
}

fn message(number: usize) -> Value {
    let text = format!("{number:0TEXT$}");
    json!({"command": "say", "conversation": {"room": "sala"}, "text": text})
}

fn say(peer: &mut Peer, number: usize) {
    peer.command(&message(number));
}

/// Milliseconds from the input of each message until both others have printed it.
fn latencies(peers: &mut [Peer; 3], (messages, pause): (usize, Duration)) -> Vec<f64> {
    let begin = Instant::now();
    let mut typed = Vec::with_capacity(messages);
    for n in 0..messages {
        let due = pause * u32::try_from(n).unwrap();
        thread::sleep(due.saturating_sub(begin.elapsed()));
        typed.push(Instant::now());
        say(&mut peers[0], n);
    }
    let read = |peer: &Peer| -> Vec<Instant> { (0..messages).map(|_| peer.until("message")).collect() };
    let (bob, carla) = (read(&peers[1]), read(&peers[2]));
    let latest = bob.into_iter().zip(carla).map(|(bob, carla)| bob.max(carla));
    latest.zip(typed).map(|(read, typed)| (read - typed).as_secs_f64() * 1e3).collect()
}

/// Messages per second from the first byte of a paste until both others have printed the last message.
fn pasted(peers: &mut [Peer; 3]) -> f64 {
    let paste: String = (0..PASTED).map(|n| format!("{}\n", message(n))).collect();
    let begin = Instant::now();
    let [ana, bob, carla] = peers;
    let last = thread::scope(|scope| {
        scope.spawn(|| {
            paste.as_bytes().chunks(PASTE_BYTES).for_each(|part| ana.input.write_all(part).unwrap())
        });
        let last = |peer: &mut Peer| (0..PASTED).fold(begin, |_, _| peer.until("message"));
        let ends = [bob, carla].map(|peer| scope.spawn(move || last(peer)));
        ends.into_iter().map(|end| end.join().unwrap()).max().unwrap()
    });
    PASTED as f64 / (last - begin).as_secs_f64()
}

/// Milliseconds of the bare disk for each append of one text.
fn bare_disk(folder: &Path) -> Vec<f64> {
    let mut file = OpenOptions::new().create_new(true).append(true).open(folder.join("bare")).unwrap();
    let text = [b'x'; TEXT];
    let append = |_| {
        let begin = Instant::now();
        file.write_all(&text).and_then(|()| file.sync_data()).unwrap();
        begin.elapsed().as_secs_f64() * 1e3
    };
    (0..AT_REST.0).map(append).collect()
}

fn percentile(figures: &mut [f64], percent: usize) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[(figures.len() - 1) * percent / 100]
}

fn verdict(figure: f64, bar: f64) -> &'static str {
    if figure <= bar { "met" } else { "MISSED" }
}

fn main() {
    let build = ["build", "--quiet", "--release", "--package", "tracker"];
    assert!(
        Command::new(env!("CARGO")).args(build).status().unwrap().success(),
        "the tracker does not build"
    );
    let mut builds = vec![Path::new(env!("CARGO_BIN_EXE_peer")).parent().unwrap().to_owned()];
    builds.extend(std::env::var_os("OTHER_BUILD").map(PathBuf::from));
    let mut rooms: Vec<_> = builds.iter().map(|programs| room(programs)).collect();
    let mut figures: Vec<_> = rooms.iter_mut().map(latency).collect();
    for _ in 0..PASTES {
        for (room, figures) in rooms.iter_mut().zip(&mut figures) {
            let busy = |room: &Room| room.peers.iter().map(Peer::busy).sum::<f64>();
            let before = busy(room);
            figures.pasted.push(pasted(&mut room.peers));
            figures.busy.push((busy(room) - before) * 1e6 / PASTED as f64);
        }
    }
    println!("one message of {TEXT} bytes, from stdin of one peer to stdout of both others");
    for (programs, figures) in builds.iter().zip(&mut figures) {
        if rooms.len() > 1 {
            println!("{}", programs.display());
        }
        print(figures);
    }
}

/// Measures the disk, the latency on an idle machine, and that of a steady stream.
fn latency(room: &mut Room) -> Figures {
    latencies(&mut room.peers, (AT_REST.0 / 5, AT_REST.1));
    Figures {
        disk: bare_disk(room.folder.path()),
        rest: latencies(&mut room.peers, AT_REST),
        steady: latencies(&mut room.peers, STEADY),
        pasted: Vec::new(),
        busy: Vec::new(),
    }
}

fn print(Figures { disk, rest, steady, pasted, busy }: &mut Figures) {
    let (disk_50, disk_99) = (percentile(disk, 50), percentile(disk, 99));
    let (rest_50, rest_99) = (percentile(rest, 50), percentile(rest, 99));
    let (steady_50, steady_99) = (percentile(steady, 50), percentile(steady, 99));
    let rest_bar = REST_BAR.max(DISK_FACTOR * disk_50 + DISK_EXTRA);
    let steady_bar = STEADY_FACTOR * rest_50;
    println!("  bare append and fdatasync      p50 {disk_50:7.3} ms   p99 {disk_99:7.3} ms");
    println!(
        "  {} messages {:?} apart    p50 {rest_50:7.3} ms   p99 {rest_99:7.3} ms   {:5.1} x disk   bar {rest_bar:.3} ms: {}",
        AT_REST.0,
        AT_REST.1,
        rest_50 / disk_50,
        verdict(rest_50, rest_bar)
    );
    println!(
        "  {} messages {:?} apart    p50 {steady_50:7.3} ms   p99 {steady_99:7.3} ms   {:5.1} x rest   bar {steady_bar:.3} ms: {}",
        STEADY.0,
        STEADY.1,
        steady_50 / rest_50,
        verdict(steady_50, steady_bar)
    );
    let rounded =
        |figures: &[f64]| figures.iter().map(|it| format!("{it:.0}")).collect::<Vec<_>>().join(", ");
    println!("  {PASTED} messages pasted at once: {} messages/s", rounded(pasted));
    println!("  processor time of the three peers together: {} µs a message", rounded(busy));
}
