//! Tests of the tracker as a service: the socket that a service manager passes, and the notifications that it gets.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

/// Longest wait for a notification. A test that waits this long has failed.
const PATIENCE: Duration = Duration::from_secs(60);

/// A tracker whose service manager is this test. It is killed at the end of the test.
struct Service {
    child: Child,
    address: SocketAddr,
    notified: UnixDatagram,
    _folder: TempDir,
}

impl Service {
    /// Starts a tracker as a service manager does, with standard input as the bound socket.
    fn start(bound: TcpListener, passed: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let notified = UnixDatagram::bind(&path).unwrap();
        notified.set_read_timeout(Some(PATIENCE)).unwrap();
        let script = format!(r#"{passed} exec "$0" --listen 127.0.0.1:0 --data "$1" 3<&0 </dev/null"#);
        let mut command = Command::new("sh");
        command.args(["-c", &script, env!("CARGO_BIN_EXE_tracker")]).arg(folder.path().join("data"));
        command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "3000000");
        command.stdin(Stdio::from(OwnedFd::from(bound))).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut ready).unwrap();
        let address = ready.trim().rsplit(' ').next().unwrap().parse().unwrap();
        Self { child, address, notified, _folder: folder }
    }

    /// Waits for a notification that contains this line.
    fn is_notified(&self, line: &str) -> String {
        let mut buffer = [0; 1024];
        loop {
            let length = self.notified.recv(&mut buffer).expect(line);
            let text = String::from_utf8_lossy(&buffer[..length]);
            if text.lines().any(|found| found == line) {
                return text.into_owned();
            }
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_service_takes_the_bound_socket() {
    let bind = || TcpListener::bind("127.0.0.1:0").unwrap();
    let bound = bind();
    let address = bound.local_addr().unwrap();
    assert_eq!(Service::start(bound, "LISTEN_PID=$$ LISTEN_FDS=1").address, address);
    // Control: without the variables, or with those of another process, the tracker binds its own address.
    for passed in ["", "LISTEN_PID=1 LISTEN_FDS=1"] {
        let bound = bind();
        let other = bound.local_addr().unwrap();
        assert_ne!(Service::start(bound, passed).address, other);
    }
}

#[test]
fn a_service_is_ready_alive_and_stopping() {
    let mut service = Service::start(TcpListener::bind("127.0.0.1:0").unwrap(), "");
    let ready = service.is_notified("READY=1");
    assert!(ready.contains(&format!("STATUS=listening on {}", service.address)), "{ready}");
    service.is_notified("WATCHDOG=1");
    service.is_notified("WATCHDOG=1");
    kill_process(Pid::from_child(&service.child), Signal::TERM).unwrap();
    service.is_notified("STOPPING=1");
    assert!(service.child.wait().unwrap().success());
}
