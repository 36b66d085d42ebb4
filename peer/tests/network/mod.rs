//! Virtual computers for tests, each in a network namespace, and a router that can drop all packets between two of
//! them.
//!
//! A namespace lives as long as a process in it: here a `cat` that reads from the test. So namespaces need no names and
//! no cleanup, and none outlives the test. All belong to the router's user namespace. On a system that lets every user
//! create one, the tests need no root.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]
#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::io::{self, Read, Write};
use std::net::Ipv4Addr;
use std::process::{Child, Command, Stdio};

/// Virtual computers that reach each other through a router.
pub struct Network {
    router: Namespace,
    hosts: Vec<Namespace>,
}

impl Network {
    /// Creates this number of connected computers. The error says why the machine cannot have them.
    pub fn of(hosts: usize) -> Result<Self, String> {
        let mut alone = Command::new("unshare");
        let router = Namespace::make(alone.args(["--user", "--map-root-user", "--net"]))?;
        router.run("echo 1 >/proc/sys/net/ipv4/ip_forward")?;
        let mut network = Self { router, hosts: Vec::new() };
        for host in 0..hosts {
            network.plug_in(host)?;
        }
        Ok(network)
    }

    fn plug_in(&mut self, host: usize) -> Result<(), String> {
        let namespace = Namespace::make(self.router.inside().args(["unshare", "--net"]))?;
        let (id, own, gate) = (namespace.0.id(), address(host), gate(host));
        self.router.run(&format!(
            "ip link add name port{host} type veth peer name port netns {id}
             ip address add {gate}/24 dev port{host}
             ip link set port{host} up"
        ))?;
        namespace.run(&format!(
            "ip address add {own}/24 dev port
             ip link set port up
             ip link set lo up
             ip route add default via {gate}"
        ))?;
        self.hosts.push(namespace);
        Ok(())
    }

    /// Returns a command that runs its added program and arguments on this computer.
    pub fn command_on(&self, host: usize) -> Command {
        self.hosts[host].inside()
    }

    /// Drops all packets from the first to the second computer of each pair, silently as a broken router does.
    pub fn cut(&self, ways: &[(usize, usize)]) {
        self.rule("add", ways);
    }

    /// Reverts a cut of these directions.
    pub fn mend(&self, ways: &[(usize, usize)]) {
        self.rule("delete", ways);
    }

    fn rule(&self, what: &str, ways: &[(usize, usize)]) {
        for (from, to) in ways.iter().map(|&(from, to)| (address(from), address(to))) {
            self.router.run(&format!("ip rule {what} from {from} to {to} blackhole")).unwrap();
        }
    }
}

/// Both directions between the two computers of each pair.
pub fn between(pairs: &[(usize, usize)]) -> Vec<(usize, usize)> {
    pairs.iter().flat_map(|&(one, other)| [(one, other), (other, one)]).collect()
}

/// The address of a computer for the others.
pub fn address(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, u8::try_from(host).unwrap(), 2)
}

/// The router's address on the network of this computer.
fn gate(host: usize) -> Ipv4Addr {
    Ipv4Addr::new(10, 77, u8::try_from(host).unwrap(), 1)
}

/// A network namespace, held by its process.
struct Namespace(Child);

impl Namespace {
    fn make(unshare: &mut Command) -> Result<Self, String> {
        unshare.arg("cat").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut keeper = Self(unshare.spawn().map_err(|error| format!("unshare: {error}"))?);
        // An answer shows that the process is inside the namespace.
        keeper.echoes().map_err(|error| keeper.complaint().unwrap_or_else(|| error.to_string()))?;
        Ok(keeper)
    }

    fn echoes(&mut self) -> io::Result<()> {
        let (Some(input), Some(output)) = (&mut self.0.stdin, &mut self.0.stdout) else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        input.write_all(b"\n")?;
        output.read_exact(&mut [0])
    }

    /// The last error output of a process that has ended.
    fn complaint(&mut self) -> Option<String> {
        let mut output = String::new();
        self.0.stderr.take()?.read_to_string(&mut output).ok()?;
        Some(output.trim().to_owned())
    }

    /// Returns a command that enters the namespace and runs its added program and arguments.
    fn inside(&self) -> Command {
        let mut command = Command::new("nsenter");
        let id = self.0.id().to_string();
        command.args(["--target", &id, "--user", "--net", "--preserve-credentials"]);
        command
    }

    fn run(&self, script: &str) -> Result<(), String> {
        let done = self.inside().args(["sh", "-ec", script]).output().map_err(|error| error.to_string())?;
        if done.status.success() {
            Ok(())
        } else {
            Err(String::from_utf8_lossy(&done.stderr).trim().to_owned())
        }
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
