//! The settings file of a program.
//! Its keys are the program's long flags, so that clap's declaration of the flags stays the only one.
//!
//! - [`error`]: an error in the file, with its line.
//! - [`mod@file`]: the keys and values of a file, in TOML.
//! - [`load`]: turns the values into defaults of the flags, so that the environment and the command line override them.
//! - [`effective`]: the values in force, and the origin of each.
//! - [`task`]: the tasks `config check` and `config show`.

pub mod effective;
pub mod error;
pub mod file;
pub mod load;
pub mod task;
