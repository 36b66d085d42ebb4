//! Benchmark of the latency from the standard input of one program to the standard output of two others.
//!
//! A tracker and three peers run as real programs on this machine, with ordinary files. Machines differ and are shared.
//! So each figure is shown beside the time of the same disk, in the same run, to append and sync as many bytes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a benchmark ends by panicking")]

use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

const PASSWORD: &str = "a secret of theirs";

/// Length of a message's text in bytes.
const TEXT: usize = 200;

/// Number of messages on an idle machine, and the pause between two of them.
const AT_REST: (usize, Duration) = (100, Duration::from_millis(50));

/// Number of messages of a fast sender, and the pause between two: 500 per second.
const STEADY: (usize, Duration) = (1_000, Duration::from_millis(2));

/// Number of messages in one paste.
const PASTED: usize = 100_000;

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

/// A peer: it takes commands and yields events with the time at which each was read.
struct Peer {
    _program: Program,
    input: ChildStdin,
    events: Receiver<(Instant, Value)>,
}

/// Starts the tracker and returns its address.
fn start_tracker(data: &Path) -> (Program, String) {
    let cargo = env!("CARGO");
    let build = ["build", "--quiet", "--release", "--package", "tracker"];
    assert!(Command::new(cargo).args(build).status().unwrap().success(), "the tracker does not build");
    let program = Path::new(env!("CARGO_BIN_EXE_peer")).with_file_name("tracker");
    let mut command = Command::new(program);
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data);
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut first).unwrap();
    let address = first.trim().rsplit(' ').next().unwrap().to_owned();
    (Program(child), address)
}

impl Peer {
    fn start(tracker: &str, data: &Path, name: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_peer"));
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
                let event = serde_json::from_str(&line).unwrap();
                if sender.send((read, event)).is_err() {
                    break;
                }
            }
        });
        Self { _program: Program(child), input, events }
    }

    fn command(&mut self, command: &Value) {
        writeln!(self.input, "{command}").and_then(|()| self.input.flush()).unwrap();
    }

    /// Reads events until one of this kind. Returns it with the time at which it was read.
    fn until(&self, kind: &str) -> (Instant, Value) {
        loop {
            let (read, event) = self.events.recv_timeout(Duration::from_secs(300)).expect(kind);
            if event["event"] == kind {
                return (read, event);
            }
        }
    }
}

/// Starts three peers in one room, linked to each other.
fn room(tracker: &str, folder: &Path) -> [Peer; 3] {
    let mut peers = ["ana", "bob", "carla"].map(|name| Peer::start(tracker, &folder.join(name), name));
    for (n, peer) in peers.iter_mut().enumerate() {
        peer.until("logged_in");
        let command = if n == 0 { "create" } else { "join" };
        peer.command(&json!({"command": command, "room": "sala"}));
        peer.until("room_entered");
    }
    // The first message shows that each link is up.
    say(&mut peers[0], 0);
    peers[1].until("message");
    peers[2].until("message");
    peers
}

fn say(peer: &mut Peer, number: usize) {
    let text = format!("{number:0TEXT$}");
    peer.command(&json!({"command": "say", "conversation": {"room": "sala"}, "text": text}));
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
    let told = |peer: &Peer| -> Vec<Instant> { (0..messages).map(|_| peer.until("message").0).collect() };
    let (bob, carla) = (told(&peers[1]), told(&peers[2]));
    let latest = bob.into_iter().zip(carla).map(|(bob, carla)| bob.max(carla));
    latest.zip(typed).map(|(told, typed)| (told - typed).as_secs_f64() * 1e3).collect()
}

/// Messages per second from the first byte of a paste until both others have printed the last message.
fn pasted(peers: &mut [Peer; 3]) -> f64 {
    let begin = Instant::now();
    let [ana, bob, carla] = peers;
    let last = thread::scope(|scope| {
        scope.spawn(|| (0..PASTED).for_each(|n| say(ana, n)));
        let last = |peer: &mut Peer| (0..PASTED).fold(begin, |_, _| peer.until("message").0);
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
    let folder = tempfile::tempdir().unwrap();
    let (_tracker, address) = start_tracker(&folder.path().join("tracker"));
    let mut peers = room(&address, folder.path());
    latencies(&mut peers, (AT_REST.0 / 5, AT_REST.1));

    let mut bare = bare_disk(folder.path());
    let disk = percentile(&mut bare, 50);
    let mut rest = latencies(&mut peers, AT_REST);
    let (rest_50, rest_99) = (percentile(&mut rest, 50), percentile(&mut rest, 99));
    let mut steady = latencies(&mut peers, STEADY);
    let (steady_50, steady_99) = (percentile(&mut steady, 50), percentile(&mut steady, 99));
    let rate = pasted(&mut peers);

    let bar = REST_BAR.max(DISK_FACTOR * disk + DISK_EXTRA);
    let steady_bar = STEADY_FACTOR * rest_50;
    println!("one message of {TEXT} bytes, from stdin of one peer to stdout of both others");
    println!("  bare append and fdatasync      p50 {disk:7.3} ms   p99 {:7.3} ms", percentile(&mut bare, 99));
    println!(
        "  {} messages {:?} apart    p50 {rest_50:7.3} ms   p99 {rest_99:7.3} ms   {:5.1} x disk   bar {bar:.3} ms: {}",
        AT_REST.0,
        AT_REST.1,
        rest_50 / disk,
        verdict(rest_50, bar)
    );
    println!(
        "  {} messages {:?} apart    p50 {steady_50:7.3} ms   p99 {steady_99:7.3} ms   {:5.1} x rest   bar {steady_bar:.3} ms: {}",
        STEADY.0,
        STEADY.1,
        steady_50 / rest_50,
        verdict(steady_50, steady_bar)
    );
    println!("  {PASTED} messages pasted at once: {rate:.0} messages/s");
}
