//! The version of the programs, as `--version` prints it.

/// The version, followed by the commit in a release build, or by the profile in another build.
pub const VERSION: &str = concat!(env!("CARGO_PKG_VERSION"), " (", env!("BUILD_COMMIT"), ")");
