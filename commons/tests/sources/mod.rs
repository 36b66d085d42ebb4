//! The source files and pages of the project, as the tests about the code read them.
//! It separates the product's code from tests and comments.

#![allow(dead_code, unreachable_pub, reason = "each test file uses its part of it")]

use std::fs;
use std::path::Path;

const CRATES: [&str; 3] = ["commons", "tracker", "peer"];

/// The top folder of the checkout.
pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap()
}

/// A source file, and its code without tests, comments and blank lines.
pub struct Source {
    /// The path relative to the top folder.
    pub path: String,
    pub whole: String,
    /// The code outside tests.
    pub code: String,
}

impl Source {
    /// Cuts the tests and the comments out of a file.
    pub fn new(path: String, whole: String) -> Self {
        // A simulation is test code too. It lies in `src` because it uses private names.
        let test = path.contains("/simulation/");
        // The tests stand at the end of a file. `mod testing;` in between only declares another file.
        let begins_tests = |at: &usize| whole[*at..].lines().nth(1).is_some_and(|line| line.ends_with('{'));
        let mut tests = whole.match_indices("#[cfg(test)]\nmod ").map(|(at, _)| at);
        let end = if test { 0 } else { tests.find(begins_tests).unwrap_or(whole.len()) };
        let product = &whole[..end];
        let is_code = |line: &&str| !line.trim().is_empty() && !line.trim_start().starts_with("//");
        let code = product.lines().filter(is_code).collect::<Vec<_>>().join("\n");
        Self { path, whole, code }
    }
}

/// The product's source files: those of the three crates without tests, examples and benches.
pub fn sources() -> Vec<Source> {
    let is_product = |source: &Source| source.path.split('/').nth(1) == Some("src");
    all_sources().into_iter().filter(is_product).collect()
}

/// Every Rust file of the three crates, including tests, examples and benches.
pub fn all_sources() -> Vec<Source> {
    let mut found = Vec::new();
    for name in CRATES {
        walk(&root().join(name), "rs", &mut found);
    }
    found.into_iter().map(|(path, whole)| Source::new(path, whole)).collect()
}

/// The path and the text of every documentation page.
pub fn pages() -> Vec<(String, String)> {
    let mut found = vec![("README.md".to_owned(), fs::read_to_string(root().join("README.md")).unwrap())];
    for folder in ["docs", "data"] {
        walk(&root().join(folder), "md", &mut found);
    }
    found
}

fn walk(folder: &Path, extension: &str, found: &mut Vec<(String, String)>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            walk(&path, extension, found);
        } else if path.extension().is_some_and(|it| it == extension) {
            let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
            found.push((name, fs::read_to_string(&path).unwrap()));
        }
    }
}
