//! The layers of the three crates: no file imports from a layer above it, and no files import each other in a cycle.
//! The tests read the imports of all sources.
//!
//! The order is defined only here, and `docs/architecture.md` describes it. Exceptions are listed, and an unnecessary
//! exception fails the test.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod sources;

use std::collections::{BTreeMap, BTreeSet};

use sources::{Source, sources};

/// The modules of each crate from top to bottom. A module may only import from modules in later rows.
const LAYERS: &[(&str, &[&[&str]])] = &[
    (
        "peer",
        &[
            &["main"],
            &["program"],
            &["frontends", "log_file"],
            &["config"],
            &["service"],
            &["engine", "event_bus"],
            &["peer_communication"],
            &["tracker_communication"],
            &["history"],
            &["api", "usual_tracker"],
            &["identity"],
            &["untrusted"],
            &["limits"],
        ],
    ),
    (
        "tracker",
        &[
            &["main"],
            &["operator_task", "backup_task"],
            &["control", "systemd"],
            &["reload"],
            &["args"],
            &["admin_task"],
            &["monitor"],
            &["server", "password_reset", "folder_check", "recovery", "logs"],
            &["session", "liveness", "status", "operator"],
            &["backup"],
            &["admission", "service", "password_input"],
            &["load"],
            &["client", "push", "active_connections"],
            &["legacy_texts"],
            &["handlers"],
            &["code_throttle"],
            &["legacy_views", "login_throttle", "known_networks", "passwords", "policy", "send_queue"],
            &["repositories", "password_queue", "password_proofs"],
            &["config", "login", "rate_limit", "metrics"],
            &["timing", "size", "log_class", "traffic"],
            &["limits"],
        ],
    ),
    (
        "commons",
        &[
            &["tracker_address"],
            &["protocol", "net", "settings", "program_documents"],
            &["room"],
            &["snapshot"],
            &["room_log"],
            &["endorsement", "login_key"],
            &["user", "log_target", "process_memory", "version"],
            &["peer"],
            &["keys", "names", "address_range", "digest", "incarnation"],
            &["nearest", "confusables", "time_forms", "counted", "timestamp"],
            &["limits"],
        ],
    ),
];

/// Remaining imports that point upwards: the importing module and the imported one.
const UPWARDS: &[(&str, &str)] = &[];

/// Remaining cycles of files. A file is in at most one cycle.
const CIRCLES: &[&[&str]] = &[];

/// Finds the source file of a path such as `crate::history::store::Store`, if it is in the project.
fn file_of<'a>(krate: &str, path: &str, files: &BTreeMap<&'a str, &Source>) -> Option<&'a str> {
    let parts: Vec<_> = path.split("::").collect();
    let candidates = (1..=parts.len()).rev().flat_map(|length| {
        let stem = format!("{krate}/src/{}", parts[..length].join("/"));
        [format!("{stem}.rs"), format!("{stem}/mod.rs")]
    });
    candidates.into_iter().find_map(|name| files.get_key_value(name.as_str()).map(|(name, _)| *name))
}

/// The files that each file imports outside its tests.
fn imports(sources: &[Source]) -> BTreeMap<&str, BTreeSet<&str>> {
    let files: BTreeMap<_, _> = sources.iter().map(|source| (source.path.as_str(), source)).collect();
    let mut found = BTreeMap::new();
    for source in sources {
        let own = source.path.split('/').next().unwrap();
        let named: &mut BTreeSet<_> = found.entry(source.path.as_str()).or_default();
        for (start, krate) in [("crate::", own), ("commons::", "commons"), ("tracker::", "tracker")] {
            for (at, _) in source.code.match_indices(start) {
                let before = &source.code[..at];
                // A visibility, as in `pub(in crate::engine)`, imports nothing.
                let is_whole = !before.ends_with(|c: char| c.is_alphanumeric() || "_:".contains(c))
                    && !before.ends_with("(in ");
                let path = source.code[at + start.len()..]
                    .split(|c: char| !c.is_alphanumeric() && !"_:".contains(c));
                let file = path.into_iter().next().and_then(|path| file_of(krate, path, &files));
                named.extend(file.filter(|file| is_whole && *file != source.path));
            }
        }
    }
    found
}

/// The crate and the top module of a file.
fn place(path: &str) -> (&str, &str) {
    let mut parts = path.split('/');
    let krate = parts.next().unwrap();
    (krate, parts.nth(1).unwrap().trim_end_matches(".rs"))
}

/// The row of a module within its crate.
fn row(krate: &str, module: &str) -> Option<usize> {
    let (_, rows) = LAYERS.iter().find(|(name, _)| *name == krate)?;
    rows.iter().position(|row| row.contains(&module))
}

/// The files that are reachable from one file by imports.
fn reached<'a>(from: &'a str, imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> BTreeSet<&'a str> {
    let mut reached = BTreeSet::new();
    let mut next = vec![from];
    while let Some(file) = next.pop() {
        for file in imports.get(file).into_iter().flatten() {
            if reached.insert(*file) {
                next.push(file);
            }
        }
    }
    reached
}

/// The cycles: sets of files that can all reach each other.
fn circles<'a>(imports: &BTreeMap<&'a str, BTreeSet<&'a str>>) -> Vec<BTreeSet<&'a str>> {
    let reach: BTreeMap<_, _> = imports.keys().map(|file| (*file, reached(file, imports))).collect();
    let mut found: Vec<BTreeSet<&str>> = Vec::new();
    for (file, reached) in &reach {
        if reached.contains(file) && !found.iter().any(|circle| circle.contains(file)) {
            found.push(reached.iter().copied().filter(|other| reach[other].contains(file)).collect());
        }
    }
    found
}

#[test]
fn every_module_has_its_row() {
    for source in sources() {
        let (krate, module) = place(&source.path);
        let is_top = ["lib", "simulation"].contains(&module);
        assert!(is_top || row(krate, module).is_some(), "{} stands in no row of the order", source.path);
    }
}

#[test]
fn no_import_points_up() {
    let sources = sources();
    let mut upwards = BTreeMap::new();
    for (file, named) in imports(&sources) {
        let (krate, module) = place(file);
        for (other, below) in named.iter().map(|name| place(name)) {
            let points_up = other == krate
                && module != below
                && row(krate, module).zip(row(krate, below)).is_some_and(|(own, named)| named <= own);
            if points_up {
                upwards.insert((module, below), file);
            }
        }
    }
    let found: Vec<_> = upwards.keys().copied().collect();
    assert_eq!(found, UPWARDS, "the files are {upwards:?}");
}

#[test]
fn no_files_import_in_a_circle() {
    let sources = sources();
    let found: Vec<Vec<_>> =
        circles(&imports(&sources)).into_iter().map(|circle| circle.into_iter().collect()).collect();
    assert_eq!(found, CIRCLES);
}

#[test]
fn control_a_circle_and_a_step_up_are_found() {
    let file = |path: &str, code: &str| Source { path: path.into(), whole: code.into(), code: code.into() };
    let sources = [
        file("peer/src/history/mod.rs", "use crate::history::store::Store;"),
        file("peer/src/history/store.rs", "fn a(x: crate::service::Name) -> crate::history::Handle {}"),
        file("peer/src/service/mod.rs", "use commons::names::Name;"),
        file("commons/src/names.rs", ""),
    ];
    let imports = imports(&sources);
    assert!(imports["peer/src/history/store.rs"].contains("peer/src/service/mod.rs"));
    assert!(imports["peer/src/service/mod.rs"].contains("commons/src/names.rs"));
    let circle = ["peer/src/history/mod.rs", "peer/src/history/store.rs"];
    assert_eq!(circles(&imports), [BTreeSet::from(circle)]);
    assert!(row("peer", "service") < row("peer", "history"));
}

#[test]
fn code_after_a_declared_test_module_is_read() {
    let whole = "#[cfg(test)]\nmod testing;\nuse crate::history::History;\n#[cfg(test)]\nmod tests {\n}\n";
    let code = Source::new("peer/src/engine/mod.rs".into(), whole.into()).code;
    assert!(code.contains("crate::history") && !code.contains("mod tests"), "{code}");
}
