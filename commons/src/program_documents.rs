//! The manual pages and the shell completions of a program, generated from its command line.

use std::fs;
use std::io;
use std::path::Path;

use clap::Command;
use clap_complete::Shell;

/// The shells with a completion script.
const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

/// Writes a manual page for the program and for each of its subcommands to `FOLDER/man`, and a completion script for
/// each shell to `FOLDER/completions`. Replaces older files.
pub fn write(mut program: Command, folder: &Path) -> io::Result<()> {
    let (manual, completions) = (folder.join("man"), folder.join("completions"));
    fs::create_dir_all(&manual)?;
    clap_mangen::generate_to(program.clone(), manual)?;
    fs::create_dir_all(&completions)?;
    let name = program.get_name().to_owned();
    for shell in SHELLS {
        clap_complete::generate_to(shell, &mut program, &name, &completions)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_subcommand_has_a_page_and_each_shell_a_script() {
        let folder = tempfile::tempdir().unwrap();
        let check = Command::new("check").about("Check it");
        let hidden = Command::new("secret").hide(true);
        write(Command::new("tool").subcommand(check).subcommand(hidden), folder.path()).unwrap();
        let names = |part: &str| {
            let entries = fs::read_dir(folder.path().join(part)).unwrap();
            let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name()).collect();
            names.sort();
            names
        };
        assert_eq!(names("man"), ["tool-check.1", "tool.1"]);
        assert_eq!(names("completions"), ["_tool", "tool.bash", "tool.fish"]);
    }
}
