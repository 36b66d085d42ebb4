//! A tool that unpacks a stored corpus into a folder of files for the fuzzer, and packs it again.

#[path = "properties/corpus.rs"]
mod kept;

use std::io::Result;
use std::path::Path;
use std::{env, fs};

/// The maximum number of cases in a stored corpus. The tests replay all of them.
const CASES: usize = 300;
const CASE_BYTES: usize = 2048;

fn main() -> Result<()> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["unpack", file, folder] => unpack(file.as_ref(), folder.as_ref()),
        ["pack", folder, file] => pack(folder.as_ref(), file.as_ref()),
        _ => Err(std::io::Error::other("corpus unpack FILE FOLDER, or corpus pack FOLDER FILE")),
    }
}

fn unpack(file: &Path, folder: &Path) -> Result<()> {
    fs::create_dir_all(folder)?;
    let cases = kept::read(&fs::read_to_string(file).unwrap_or_default());
    cases.iter().enumerate().try_for_each(|(n, case)| fs::write(folder.join(format!("kept-{n}")), case))
}

fn pack(folder: &Path, file: &Path) -> Result<()> {
    let files = fs::read_dir(folder)?.map(|entry| fs::read(entry?.path()));
    let mut cases: Vec<_> = files.collect::<Result<_>>()?;
    cases.retain(|case| case.len() <= CASE_BYTES);
    // If there are too many cases, cases of every length are kept.
    cases.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
    let step = cases.len().div_ceil(CASES).max(1);
    let lines = cases.iter().step_by(step).map(|case| format!("{}\n", case.escape_ascii()));
    fs::write(file, lines.collect::<String>())
}
