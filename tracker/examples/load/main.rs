//! A load test of the tracker: `cargo run --release -p tracker --example load -- --help`.
//! It prints one JSON object for each scenario. Each ratio is one of two figures of the same run.

#![allow(
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a load test ends by panicking"
)]

mod scenarios;

use std::process::Command;

use clap::Parser;
use scenarios::server::{self, ServerProgram};
use scenarios::{Scenario, Sizes};

/// Puts load on a tracker in a process of its own, and prints JSON
#[derive(Parser)]
struct Args {
    /// The scenarios: sessions, operations, updates, sweep, storm, restart, soak, or all for all but soak
    #[arg(value_name = "SCENARIO", default_value = "all")]
    scenarios: Vec<String>,
    /// The sizes of the scenarios.
    #[command(flatten)]
    sizes: Sizes,
}

fn main() {
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if server::is_server() {
        return runtime.block_on(server::serve());
    }
    let args = Args::parse();
    let own_program = || Command::new(std::env::current_exe().unwrap());
    for scenario in Scenario::parse_all(&args.scenarios).unwrap_or_else(|error| panic!("{error}")) {
        let figures = runtime.block_on(scenario.run(&args.sizes, &ServerProgram(&own_program)));
        println!("{figures}");
    }
}

/// Raises the soft limit on file descriptors to the hard limit.
fn raise_descriptor_limit() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
}
