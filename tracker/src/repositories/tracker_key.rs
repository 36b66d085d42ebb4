//! The tracker's own key: made at the first start, then the same for good, so that peers know the tracker again.

use std::fs;
use std::io::{ErrorKind, Write};
use std::path::Path;

use commons::keys::{PublicKey, Seed};

use crate::repositories::data_folder::{OpenError, private_file, sync_folder_of};

const FILE: &str = "tracker.key";

/// Reads the key of a folder in which a tracker has run.
pub(crate) fn read(folder: &Path) -> Result<Seed, OpenError> {
    let path = folder.join(FILE);
    if is_exposed(&path).map_err(OpenError::at(&path))? {
        return Err(OpenError::Exposed(path));
    }
    let text = fs::read_to_string(&path).map_err(OpenError::at(&path))?;
    // A seed has the form of a public key: 64 hex digits.
    let seed = text.trim_end().parse::<PublicKey>().map(|bytes| Seed::new(*bytes.as_bytes()));
    seed.map_err(|error| OpenError::Damaged { file: path, line: 1, what: error.to_string() })
}

/// Reads the key, or makes it where there is none.
pub(crate) fn open(folder: &Path) -> Result<Seed, OpenError> {
    let path = folder.join(FILE);
    match read(folder) {
        Err(OpenError::Io { source, .. }) if source.kind() == ErrorKind::NotFound => {
            make(&path).map_err(OpenError::at(&path))
        }
        read => read,
    }
}

/// Whether anybody but the owner can read or change the file.
fn is_exposed(path: &Path) -> std::io::Result<bool> {
    #[cfg(unix)]
    let others = {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(path)?.permissions().mode() & 0o077
    };
    #[cfg(not(unix))]
    let others = 0;
    Ok(others != 0)
}

fn make(path: &Path) -> std::io::Result<Seed> {
    let seed = Seed::random()?;
    let mut file = private_file().create_new(true).open(path)?;
    writeln!(file, "{}", PublicKey::new(*seed.as_bytes()))?;
    file.sync_all()?;
    sync_folder_of(path)?;
    Ok(seed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let seed = open(folder.path()).unwrap();
        let file = folder.path().join(FILE);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let refused = open(folder.path()).err().map(|error| error.to_string()).unwrap_or_default();
            let (_, command) = refused.split_once("Run: ").unwrap();
            let mended = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
            assert!(mended.success(), "{command}");
            assert_eq!(open(folder.path()).unwrap().as_bytes(), seed.as_bytes());
        }
    }

    #[test]
    fn is_made_once_and_kept_from_others() {
        let folder = tempfile::tempdir().unwrap();
        let seed = open(folder.path()).unwrap();
        assert_eq!(open(folder.path()).unwrap().as_bytes(), seed.as_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(folder.path().join(FILE), "rubbish").unwrap();
        assert!(matches!(open(folder.path()), Err(OpenError::Damaged { .. })));
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), b"rubbish");
    }
}
