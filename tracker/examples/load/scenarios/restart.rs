//! Time of a start with many users.

use std::collections::BTreeMap;
use std::fs;
use std::time::Instant;

use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::scenarios::Sizes;
use crate::scenarios::figures::rounded;
use crate::scenarios::server::{Server, ServerProgram, Settings};
use crate::scenarios::users_file::users_file;

pub fn run(sizes: &Sizes, program: &ServerProgram<'_>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let users = folder.path().join("users_db.json");
    fs::write(&users, users_file(sizes.users)).unwrap();
    let settings = Settings::tracker(folder.path());
    // The first start takes over the files.
    drop(Server::start(program, &settings));
    let begin = Instant::now();
    let server = Server::start(program, &settings);
    let ours = begin.elapsed();
    let memory = server.memory();
    drop(server);
    let begin = Instant::now();
    let text = fs::read_to_string(&users).unwrap();
    let entries: BTreeMap<String, Box<RawValue>> = serde_json::from_str(&text).unwrap();
    let bare = begin.elapsed();
    assert_eq!(entries.len(), sizes.users);
    json!({
        "users": sizes.users,
        "seconds": rounded(ours.as_secs_f64()),
        "bare_parse_seconds": rounded(bare.as_secs_f64()),
        "ratio_to_bare_parse": rounded(ours.as_secs_f64() / bare.as_secs_f64()),
        "bytes_per_user": rounded(memory / sizes.users as f64),
    })
}
