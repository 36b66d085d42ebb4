//! The peer as a child process, behind pipes or in a pseudo-terminal with a readable screen.
//! Tests type and read as a script or a person does.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::collections::VecDeque;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::num::NonZeroU16;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use serde_json::Value;

/// Longest wait for an expected event. It is only reached on a very busy machine.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// The password of every user of a program. It has the length that a new password needs.
pub const PASSWORD: &str = "a secret of theirs";

const PROGRAM: &str = env!("CARGO_BIN_EXE_peer");

/// The flags of every run: the tracker and the data folder.
pub fn flags(tracker: SocketAddr, data: &Path) -> Vec<String> {
    vec!["--tracker".into(), tracker.to_string(), "--data".into(), data.to_str().unwrap().into()]
}

/// A peer behind pipes.
pub struct Piped {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    errors: Receiver<String>,
    passed: VecDeque<String>,
}

impl Piped {
    /// Starts a peer with these flags, in an environment without this process's variables.
    pub fn start(flags: &[String], password: Option<&str>) -> Self {
        Self::start_as(Command::new(PROGRAM), flags, password)
    }

    /// As [`Self::start`], with further environment variables.
    pub fn start_in(flags: &[String], password: Option<&str>, environment: &[(&str, &str)]) -> Self {
        let mut command = Command::new("/usr/bin/env");
        command.args(environment.iter().map(|(name, value)| format!("{name}={value}"))).arg(PROGRAM);
        Self::start_as(command, flags, password)
    }

    /// Starts a peer with this command, which may enter another computer first.
    pub fn start_as(mut command: Command, flags: &[String], password: Option<&str>) -> Self {
        command.args(flags).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.env_clear().env("HOME", "/nonexistent");
        password.map(|password| command.env("PEER_PASSWORD", password));
        let mut child = command.spawn().unwrap();
        let (input, lines) = (child.stdin.take(), lines_of(child.stdout.take().unwrap()));
        let errors = lines_of(child.stderr.take().unwrap());
        Self { child, input, lines, errors, passed: VecDeque::new() }
    }

    /// Starts a user who signs in with JSON output.
    pub fn bot(tracker: SocketAddr, data: &Path, name: &str, register: bool) -> Self {
        let mut flags = flags(tracker, data);
        flags.extend(["--username", name, "--output", "json"].map(Into::into));
        flags.extend(register.then(|| "--register".into()));
        Self::start(&flags, Some(PASSWORD))
    }

    /// Starts a user who registers with JSON output, on the computer that `entering` leads to.
    pub fn bot_elsewhere(
        mut entering: Command,
        tracker: SocketAddr,
        data: &Path,
        name: &str,
        more: &[&str],
    ) -> Self {
        let mut flags = flags(tracker, data);
        flags.extend(["--username", name, "--output", "json", "--register"].map(Into::into));
        flags.extend(more.iter().copied().map(Into::into));
        entering.arg(PROGRAM);
        Self::start_as(entering, &flags, Some(PASSWORD))
    }

    /// Starts a user who registers with JSON output, on a disk that [`limit_files`] may fill. Further writes fail, and
    /// no signal ends the program.
    pub fn bot_with_a_small_disk(tracker: SocketAddr, data: &Path, name: &str) -> Self {
        Self::bot_with_a_small_disk_and(tracker, data, name, &[])
    }

    /// As [`Self::bot_with_a_small_disk`], with more flags.
    pub fn bot_with_a_small_disk_and(tracker: SocketAddr, data: &Path, name: &str, more: &[&str]) -> Self {
        let mut flags = flags(tracker, data);
        flags.extend(["--username", name, "--output", "json", "--register"].map(Into::into));
        flags.extend(more.iter().copied().map(Into::into));
        let mut shell = Command::new("/bin/sh");
        shell.args(["-c", r#"trap "" XFSZ; exec "$0" "$@""#, PROGRAM]);
        Self::start_as(shell, &flags, Some(PASSWORD))
    }

    pub fn id(&self) -> u32 {
        self.child.id()
    }

    pub fn write(&mut self, bytes: &[u8]) {
        let input = self.input.as_mut().unwrap();
        input.write_all(bytes).and_then(|()| input.flush()).unwrap();
    }

    pub fn line(&mut self, line: &str) {
        self.write(format!("{line}\n").as_bytes());
    }

    pub fn close_input(&mut self) {
        self.input = None;
    }

    /// Reads output lines until one matches. Earlier lines are kept in [`Self::passed`].
    pub fn until(&mut self, wanted: impl Fn(&str) -> bool) -> String {
        loop {
            match self.lines.recv_timeout(PATIENCE) {
                Ok(line) if wanted(&line) => return line,
                Ok(line) => self.passed.push_back(line),
                Err(why) => panic!(
                    "{why}; it said {:#?}, {:#?}",
                    self.passed,
                    self.errors.try_iter().collect::<Vec<_>>()
                ),
            }
        }
    }

    /// Reads events until one of this kind.
    pub fn event(&mut self, kind: &str) -> Value {
        let line = self.until(|line| json(line)["event"] == kind);
        json(&line)
    }

    pub fn passed(&self) -> Vec<&str> {
        self.passed.iter().map(String::as_str).collect()
    }

    pub fn error_line(&mut self) -> String {
        self.errors.recv_timeout(PATIENCE).unwrap()
    }

    /// Reads the next output line, if it arrives within `wait`.
    pub fn next(&mut self, wait: Duration) -> Option<String> {
        match self.lines.recv_timeout(wait) {
            Ok(line) => Some(line),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                panic!("it ended: {:#?}", self.errors.iter().collect::<Vec<_>>())
            }
        }
    }

    /// Kills the program. Returns the output before the end that no call has read.
    pub fn kill(mut self) -> Vec<String> {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
        self.lines.iter().collect()
    }

    /// Waits for the end. Returns the exit status, the remaining output and the error output. The input is left as it
    /// is.
    pub fn end(mut self) -> End {
        let status = end_of(&mut self.child);
        End { status, stdout: self.lines.iter().collect(), stderr: self.errors.iter().collect() }
    }
}

/// Waits for the end of a program that must end now. Returns its exit status.
pub fn end_of(child: &mut Child) -> Option<i32> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        if Instant::now() > deadline {
            child.kill().unwrap();
            panic!("it does not end");
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Kills the program, so that it does not outlive the test.
impl Drop for Piped {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Exit status and remaining output of a program.
#[derive(Debug)]
pub struct End {
    pub status: Option<i32>,
    pub stdout: Vec<String>,
    pub stderr: Vec<String>,
}

pub fn json(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"))
}

fn lines_of(stream: impl Read + Send + 'static) -> Receiver<String> {
    let (sender, lines) = channel();
    thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            if sender.send(line).is_err() {
                return;
            }
        }
    });
    lines
}

fn size_of(length: u16) -> NonZeroU16 {
    NonZeroU16::new(length).unwrap()
}

/// A peer in a pseudo-terminal.
pub struct Screen {
    child: Box<dyn portable_pty::Child + Send + Sync>,
    master: Box<dyn MasterPty + Send>,
    keys: Box<dyn Write + Send>,
    seen: Arc<Mutex<Seen>>,
    news: Receiver<()>,
}

struct Seen {
    parser: vt100::Parser,
    bytes: Vec<u8>,
}

impl Screen {
    /// Starts a peer on a screen of this size.
    pub fn start(flags: &[String], environment: &[(&str, &str)], rows: u16, columns: u16) -> Self {
        let size = PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 };
        Self::start_by(CommandBuilder::new(PROGRAM), flags, environment, size)
    }

    /// Starts a peer by a command that enters another computer first.
    pub fn start_elsewhere(entering: &Command, flags: &[String], environment: &[(&str, &str)]) -> Self {
        let mut command = CommandBuilder::new(entering.get_program());
        command.args(entering.get_args());
        command.arg(PROGRAM);
        let size = PtySize { rows: 24, cols: 80, pixel_width: 0, pixel_height: 0 };
        Self::start_by(command, flags, environment, size)
    }

    fn start_by(
        mut command: CommandBuilder,
        flags: &[String],
        environment: &[(&str, &str)],
        size: PtySize,
    ) -> Self {
        let (rows, columns) = (size.rows, size.cols);
        let pair = native_pty_system().openpty(size).unwrap();
        command.args(flags);
        command.env_clear();
        command.env("HOME", "/nonexistent");
        // The path for a command that enters another computer.
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.cwd(env!("CARGO_MANIFEST_DIR"));
        command.env("TERM", "xterm-256color");
        for (name, value) in environment {
            command.env(name, value);
        }
        let child = pair.slave.spawn_command(command).unwrap();
        drop(pair.slave);
        let (mut output, keys) =
            (pair.master.try_clone_reader().unwrap(), pair.master.take_writer().unwrap());
        let seen = Arc::new(Mutex::new(Seen {
            parser: vt100::Parser::new(size_of(rows), size_of(columns), 1000),
            bytes: Vec::new(),
        }));
        let (sender, news) = channel();
        let reading = Arc::clone(&seen);
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(read @ 1..) = output.read(&mut buffer) {
                let mut seen = reading.lock().unwrap();
                seen.parser.process(&buffer[..read]);
                seen.bytes.extend(&buffer[..read]);
                drop(seen);
                if sender.send(()).is_err() {
                    return;
                }
            }
        });
        Self { child, master: pair.master, keys, seen, news }
    }

    /// Starts a user who registers with a password from the environment, at the first screen.
    pub fn user(tracker: SocketAddr, data: &Path, name: &str, rows: u16, columns: u16) -> Self {
        let mut flags = flags(tracker, data);
        flags.extend(["--username", name, "--register"].map(Into::into));
        let mut screen = Self::start(&flags, &[("PEER_PASSWORD", PASSWORD)], rows, columns);
        screen.shows("lobby");
        screen
    }

    /// Answers the questions of a first start, up to the welcome.
    pub fn creates_account(&mut self, name: &str) {
        for (question, answer) in [
            ("Your name:", name),
            ("Password:", PASSWORD),
            ("Make one? [Y/n]", "y"),
            ("The same again:", PASSWORD),
        ] {
            self.shows(question);
            self.line(answer);
        }
        self.shows(&format!("Welcome, {name}."));
    }

    pub fn id(&self) -> u32 {
        self.child.process_id().unwrap()
    }

    /// Types keys as a terminal sends them.
    pub fn keys(&mut self, keys: &str) {
        self.keys.write_all(keys.as_bytes()).and_then(|()| self.keys.flush()).unwrap();
    }

    /// Types a line and presses Enter.
    pub fn line(&mut self, line: &str) {
        self.keys(&format!("{line}\r"));
    }

    /// Pastes a text, marked as a terminal does.
    pub fn paste(&mut self, text: &str) {
        self.keys(&format!("\x1b[200~{}\x1b[201~", text.replace('\n', "\r")));
    }

    pub fn resize(&mut self, rows: u16, columns: u16) {
        self.seen.lock().unwrap().parser.screen_mut().set_size(size_of(rows), size_of(columns));
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Resizes the window as tmux and most terminals do: a row that is too long continues in the next one, and the
    /// cursor stays at its character. The content must fit on the screen.
    pub fn resize_and_rewrap(&mut self, rows: u16, columns: u16) {
        let mut seen = self.seen.lock().unwrap();
        let screen = seen.parser.screen();
        let (cursor_row, cursor_column) = screen.cursor_position();
        let shown: Vec<_> = screen.rows(0, screen.size().1.get()).collect();
        let last = shown.iter().rposition(|row| !row.trim_end().is_empty()).unwrap_or(0);
        let mut rewrapped = vt100::Parser::new(size_of(rows), size_of(columns), 1000);
        if screen.bracketed_paste() {
            rewrapped.process(b"\x1b[?2004h");
        }
        let mut cursor = (0, 0);
        for (n, row) in shown.iter().enumerate() {
            let is_cursors = n == usize::from(cursor_row);
            if n > last && !is_cursors {
                break;
            }
            if n > 0 && !screen.row_wrapped(u16::try_from(n - 1).unwrap()) {
                rewrapped.process(b"\r\n");
            }
            let begun = rewrapped.screen().cursor_position();
            rewrapped.process(row.trim_end().as_bytes());
            if is_cursors {
                let column = begun.1 + cursor_column;
                cursor = (begun.0 + column / columns, column % columns);
            }
        }
        rewrapped.process(format!("\x1b[{};{}H", cursor.0 + 1, cursor.1 + 1).as_bytes());
        seen.parser = rewrapped;
        drop(seen);
        self.master.resize(PtySize { rows, cols: columns, pixel_width: 0, pixel_height: 0 }).unwrap();
    }

    /// Writes to the screen as if the program did.
    pub fn print(&self, bytes: &str) {
        self.seen.lock().unwrap().parser.process(bytes.as_bytes());
    }

    /// The screen as text.
    pub fn text(&self) -> String {
        self.seen.lock().unwrap().parser.screen().contents()
    }

    /// The rows of the screen that are not empty.
    pub fn rows(&self) -> Vec<String> {
        let seen = self.seen.lock().unwrap();
        let screen = seen.parser.screen();
        let columns = screen.size().1.get();
        screen.rows(0, columns).map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }

    /// All bytes that were ever written to the terminal.
    pub fn bytes(&self) -> Vec<u8> {
        self.seen.lock().unwrap().bytes.clone()
    }

    /// The row and the column of the cursor.
    pub fn cursor(&self) -> (u16, u16) {
        self.seen.lock().unwrap().parser.screen().cursor_position()
    }

    pub fn marks_pastes(&self) -> bool {
        self.seen.lock().unwrap().parser.screen().bracketed_paste()
    }

    /// Waits until the screen satisfies `wanted`.
    pub fn wait(&mut self, what: &str, wanted: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !wanted(self) {
            let left = deadline.saturating_duration_since(Instant::now());
            match self.news.recv_timeout(left.min(Duration::from_millis(100))) {
                Err(RecvTimeoutError::Timeout) if left.is_zero() => {
                    panic!("{what} never came; the screen is\n{}\n", self.text())
                }
                // The last output may still be unread.
                Err(RecvTimeoutError::Disconnected) if !wanted(self) && left.is_zero() => {
                    panic!("{what} never came before the end; the screen is\n{}\n", self.text())
                }
                Err(RecvTimeoutError::Disconnected) => thread::sleep(Duration::from_millis(10)),
                _ => {}
            }
        }
    }

    /// Waits until a text is on the screen.
    pub fn shows(&mut self, text: &str) {
        self.wait(text, |screen| screen.text().contains(text));
    }

    /// Waits until the screen has exactly this row.
    pub fn shows_row(&mut self, row: &str) {
        self.wait(row, |screen| screen.rows().iter().any(|shown| shown == row));
    }

    /// Waits until the screen ends with these rows.
    pub fn ends_with(&mut self, rows: &[&str]) {
        self.wait(&rows.join(" / "), |screen| {
            let shown = screen.rows();
            let last = shown.iter().skip(shown.len().saturating_sub(rows.len()));
            last.eq(rows.iter().copied())
        });
    }

    /// Waits for the end and returns the exit status.
    pub fn end(&mut self) -> u32 {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                // The last output may still be on its way. The reader ends when the program's side is closed.
                while self.news.recv_timeout(deadline.saturating_duration_since(Instant::now())).is_ok() {}
                return status.exit_code();
            }
            assert!(Instant::now() < deadline, "it does not end; the screen is\n{}\n", self.text());
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the terminal echoes and takes whole lines, as it does for a shell.
    pub fn is_cooked(&self) -> bool {
        let modes = format!("{:?}", self.master.get_termios().unwrap().local_flags);
        let set = |mode: &str| modes.split(|c: char| !c.is_ascii_uppercase()).any(|set| set == mode);
        set("ECHO") && set("ICANON")
    }

    /// Sets the modes that a shell leaves when it continues a stopped program.
    pub fn cook(&self) {
        use rustix::fs::{Mode, OFlags, open};
        use rustix::termios::{LocalModes, OptionalActions, tcgetattr, tcsetattr};

        let path = self.master.tty_name().unwrap();
        let terminal = open(&path, OFlags::RDWR | OFlags::NOCTTY, Mode::empty()).unwrap();
        let mut modes = tcgetattr(&terminal).unwrap();
        modes.local_modes |= LocalModes::ECHO | LocalModes::ICANON;
        tcsetattr(&terminal, OptionalActions::Now, &modes).unwrap();
    }

    /// Waits until the terminal neither echoes nor takes whole lines.
    pub fn is_raw_again(&self) {
        let deadline = Instant::now() + PATIENCE;
        while self.echoes() || self.is_cooked() {
            assert!(Instant::now() < deadline, "the terminal echoes");
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Whether the terminal echoes the input.
    pub fn echoes(&self) -> bool {
        let modes = format!("{:?}", self.master.get_termios().unwrap().local_flags);
        modes.split(|c: char| !c.is_ascii_uppercase()).any(|set| set == "ECHO")
    }
}

/// Kills the program, so that it does not outlive the test.
impl Drop for Screen {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Sends a signal to a program that a test has started.
pub fn signal(id: u32, signal: rustix::process::Signal) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap()).unwrap();
    rustix::process::kill_process(id, signal).unwrap();
}

/// Limits the size of every file of a program that a test has started, in bytes. `None` removes the limit.
pub fn limit_files(id: u32, bytes: Option<u64>) {
    let id = rustix::process::Pid::from_raw(i32::try_from(id).unwrap());
    let limit = rustix::process::Rlimit { current: bytes, maximum: None };
    rustix::process::prlimit(id, rustix::process::Resource::Fsize, limit).unwrap();
}
