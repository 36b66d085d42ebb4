//! The log file: only events of our own crates, in a file that only its owner can read.

use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;

use commons::log_target::is_own;
use tracing::info;
use tracing_subscriber::filter::filter_fn;
use tracing_subscriber::layer::{Layer as _, SubscriberExt as _};
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, fmt, registry};

/// Mode of the log file: it reveals which users chat with each other.
const PRIVATE: u32 = 0o600;

/// Starts to log into this file what `RUST_LOG` asks for, without the events of libraries.
pub fn start(path: &Path) -> io::Result<()> {
    let file = open(path)?;
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let own = filter_fn(|metadata| is_own(metadata.target()));
    let layer = fmt::layer().with_writer(file).with_ansi(false).with_filter(filter).with_filter(own);
    registry().with(layer).try_init().map_err(io::Error::other)?;
    info!(version = env!("CARGO_PKG_VERSION"), "started");
    Ok(())
}

/// Opens the file for appending. A file that others can read is narrowed first.
fn open(path: &Path) -> io::Result<File> {
    let file = OpenOptions::new().create(true).append(true).mode(PRIVATE).open(path)?;
    let metadata = file.metadata()?;
    let is_wide = metadata.permissions().mode() & 0o777 & !PRIVATE != 0;
    // A device or a pipe is not ours to change.
    if metadata.is_file() && is_wide {
        file.set_permissions(Permissions::from_mode(PRIVATE))?;
    }
    Ok(file)
}
