//! Memory of idle sessions and of the rooms in which they are.

use serde_json::{Value, json};

use crate::scenarios::Sizes;
use crate::scenarios::client::{Client, User, each, register_all, room};
use crate::scenarios::figures::rounded;
use crate::scenarios::server::{Server, ServerProgram, Settings};

/// The sessions of each kind before the measurement. With them, the tracker has allocated what all sessions share.
const WARM_UP: usize = 100;

/// The memory of an encrypted session that is the goal, in bytes.
const GOAL: f64 = 16.0 * 1024.0;

pub async fn run(sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let Settings::Tracker { data, ping_timeout, .. } = Settings::tracker(folder.path()) else { panic!() };
    let server = Server::start(program, &Settings::Tracker { data, ping_timeout, limited: true });
    let users = |kind: fn(usize) -> User, numbers| -> Vec<User> { Iterator::map(numbers, kind).collect() };
    let mut held = register_all(&users(User::encrypted, 0..WARM_UP), server.address).await;
    held.extend(register_all(&users(User::plaintext, 0..WARM_UP), server.address).await);
    let mut memory = vec![server.memory()];
    let encrypted = users(User::encrypted, WARM_UP..WARM_UP + sizes.encrypted);
    let mut sessions = register_all(&encrypted, server.address).await;
    memory.push(server.memory());
    let plaintext = users(User::plaintext, WARM_UP..WARM_UP + sizes.plaintext);
    sessions.extend(register_all(&plaintext, server.address).await);
    memory.push(server.memory());
    let count = sessions.len();
    let rooms = fill_rooms(sessions).await;
    memory.push(server.memory());
    server.wait_for("p2p_chat_sessions", |sessions| sessions as usize == count + 2 * WARM_UP).await;
    server.wait_for("p2p_chat_rooms", |found| found as usize == rooms.len()).await;
    let each = |from: usize, count: usize| rounded((memory[from + 1] - memory[from]) / count.max(1) as f64);
    let encrypted = each(0, sizes.encrypted);
    json!({
        "encrypted_sessions": sizes.encrypted,
        "plaintext_sessions": sizes.plaintext,
        "rooms_of_three": rooms.len(),
        "bytes_per_encrypted_session": encrypted,
        "bytes_per_plaintext_session": each(1, sizes.plaintext),
        "bytes_per_room_of_three": each(2, rooms.len()),
        "ratio_encrypted_session_to_goal": rounded(encrypted / GOAL),
        "descriptors": server.descriptors(),
    })
}

/// Puts three sessions each into a room. Returns the rooms with their sessions.
async fn fill_rooms(sessions: Vec<Client>) -> Vec<Vec<Client>> {
    let mut trios: Vec<Vec<Client>> = Vec::new();
    for session in sessions {
        match trios.last_mut() {
            Some(trio) if trio.len() < 3 => trio.push(session),
            _ => trios.push(vec![session]),
        }
    }
    trios.retain(|trio| trio.len() == 3);
    each(trios.into_iter().enumerate(), |(number, mut trio)| async move {
        let name = format!("room {number}");
        for (member, cmd) in trio.iter_mut().zip(["CREATE_ROOM", "JOIN_ROOM", "JOIN_ROOM"]) {
            member.ok(room(cmd, &name)).await;
        }
        trio
    })
    .await
}
