//! Room operations a second with different numbers of active sessions.

use std::time::Instant;

use serde_json::{Value, json};

use crate::scenarios::Sizes;
use crate::scenarios::client::{User, register_all, room};
use crate::scenarios::figures::{bare_write, milliseconds, quantiles, rounded};
use crate::scenarios::server::{Server, ServerProgram, Settings};

pub async fn run(sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let server = Server::start(program, &Settings::tracker(folder.path()));
    let bare = bare_write();
    let mut figures = Vec::new();
    for active in &sizes.active {
        let users = (0..*active)
            .map(|number| User { name: format!("a{active}-{number}"), ..User::plaintext(number) });
        let clients = register_all(&users.collect::<Vec<_>>(), server.address).await;
        let rounds = (sizes.operations / 2).div_ceil(*active).max(1);
        let begin = Instant::now();
        let work = clients.into_iter().enumerate().map(|(number, mut client)| {
            tokio::spawn(async move {
                let (name, mut times) = (format!("room {number}"), Vec::new());
                for _ in 0..rounds {
                    for cmd in ["CREATE_ROOM", "DELETE_ROOM"] {
                        let begin = Instant::now();
                        client.ok(room(cmd, &name)).await;
                        times.push(begin.elapsed());
                    }
                }
                times
            })
        });
        let mut times = Vec::new();
        for done in work.collect::<Vec<_>>() {
            times.extend(done.await.unwrap());
        }
        let rate = times.len() as f64 / begin.elapsed().as_secs_f64();
        figures.push(json!({
            "active_sessions": active,
            "operations": times.len(),
            "operations_per_second": rounded(rate),
            "ratio_to_bare_writes_per_second": rounded(rate * bare.as_secs_f64()),
            "time": quantiles(&mut times),
        }));
    }
    json!({"bare_write_ms": milliseconds(bare), "active": figures})
}
