//! The scenarios of the load test, and their sizes.
//! The program and the test use them, the test with small sizes.

#[allow(dead_code, reason = "the benchmarks use the rest of it")]
#[path = "../../../../peer/benches/bare_tls/mod.rs"]
mod bare_tls;
mod client;
mod figures;
mod operations;
mod restart;
pub mod server;
mod sessions;
mod soak;
mod storm;
mod sweep;
mod updates;
#[path = "../../../../peer/benches/users_file/mod.rs"]
mod users_file;

use std::time::Duration;

use serde_json::{Value, json};

use crate::scenarios::server::ServerProgram;

/// The sizes of the scenarios. The defaults are those of the goals.
#[derive(Debug, Clone, clap::Args)]
pub struct Sizes {
    /// Encrypted sessions in the scenarios sessions and storm
    #[arg(long, default_value_t = 6000)]
    pub encrypted: usize,
    /// Plaintext sessions in the scenarios sessions and sweep
    #[arg(long, default_value_t = 12_000)]
    pub plaintext: usize,
    /// Numbers of active sessions in the scenario operations
    #[arg(long, default_values_t = [1, 100, 1000])]
    pub active: Vec<usize>,
    /// Room operations for each number of active sessions
    #[arg(long, default_value_t = 20_000)]
    pub operations: usize,
    /// Room operations a second in the scenario updates
    #[arg(long, default_value_t = 1000)]
    pub rate: usize,
    /// Rooms in the scenario updates
    #[arg(long, default_value_t = 300)]
    pub rooms: usize,
    /// Time that a peer has to answer in the scenario sweep
    #[arg(long, default_value = "3s", value_parser = humantime::parse_duration)]
    pub ping_timeout: Duration,
    /// Users in the scenario restart
    #[arg(long, default_value_t = 1_000_000)]
    pub users: usize,
    /// Users at work in the scenario soak
    #[arg(long, default_value_t = 30)]
    pub workers: usize,
    /// Time of the scenarios updates (a twentieth of it) and soak
    #[arg(long, default_value = "10m", value_parser = humantime::parse_duration)]
    pub time: Duration,
}

/// A scenario of the load test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scenario {
    /// Memory of idle sessions and of rooms.
    Sessions,
    /// Room operations a second.
    Operations,
    /// Time of a ROOM_UPDATE at a fixed rate.
    Updates,
    /// Time of a liveness sweep.
    Sweep,
    /// Time in which all sessions are back.
    Storm,
    /// Time of a start with many users.
    Restart,
    /// Memory and descriptors over time.
    Soak,
}

impl Scenario {
    /// All scenarios with their names.
    const ALL: [(&'static str, Self); 7] = [
        ("sessions", Self::Sessions),
        ("operations", Self::Operations),
        ("updates", Self::Updates),
        ("sweep", Self::Sweep),
        ("storm", Self::Storm),
        ("restart", Self::Restart),
        ("soak", Self::Soak),
    ];

    /// Parses names of scenarios. The name "all" stands for all but the soak.
    pub fn parse_all(names: &[String]) -> Result<Vec<Self>, String> {
        let mut found = Vec::new();
        for name in names {
            let named = Self::ALL
                .into_iter()
                .filter(|(known, scenario)| *known == name || (name == "all" && *scenario != Self::Soak));
            let before = found.len();
            found.extend(named.map(|(_, scenario)| scenario));
            if found.len() == before {
                return Err(format!("there is no scenario {name}: see --help"));
            }
        }
        Ok(found)
    }

    /// Runs the scenario and returns its figures.
    pub async fn run(self, sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
        let figures = match self {
            Self::Sessions => sessions::run(sizes, program).await,
            Self::Operations => operations::run(sizes, program).await,
            Self::Updates => updates::run(sizes, program).await,
            Self::Sweep => sweep::run(sizes, program).await,
            Self::Storm => storm::run(sizes, program).await,
            Self::Restart => restart::run(sizes, program),
            Self::Soak => soak::run(sizes, program).await,
        };
        let name = Self::ALL.into_iter().find(|(_, scenario)| *scenario == self).map(|(name, _)| name);
        json!({"scenario": name, "figures": figures})
    }
}
