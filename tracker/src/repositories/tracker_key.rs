//! The tracker's own Ed25519 key.
//!
//! The tracker creates it at its first start and keeps it, so that peers recognise the tracker. The file holds the seed
//! on line 1 and the public key on line 2. If a digit is damaged, the two no longer match.

use std::path::{Path, PathBuf};

use commons::keys::{PublicKey, Seed};

use crate::repositories::data_files::DataFiles;
use crate::repositories::data_folder::{OpenError, replace_file};

/// The file name of the key in the data folder.
pub(crate) const FILE: &str = "tracker.key";

/// A key that was found in a data folder.
#[derive(Debug)]
pub(crate) struct FoundKey {
    /// The seed of the key.
    pub(crate) seed: Seed,
    /// Whether the file also holds the public key. Earlier versions did not write it.
    with_public_key: bool,
}

/// The path of the key file in a folder.
pub(crate) fn path(folder: &Path) -> PathBuf {
    folder.join(FILE)
}

/// Reads the key of a data folder. Returns `None` if there is no key file.
pub(crate) fn read(files: DataFiles<'_>) -> Result<Option<FoundKey>, OpenError> {
    let path = path(files.path());
    let Some(bytes) = files.read(FILE)? else { return Ok(None) };
    if matches!(files, DataFiles::InFolder(_)) && is_exposed(&path).map_err(OpenError::at(&path))? {
        return Err(OpenError::Exposed(path));
    }
    let damaged = |line, what: &str| OpenError::Damaged { file: path.clone(), line, what: what.to_owned() };
    let text = std::str::from_utf8(&bytes).map_err(|_| damaged(1, "this is not a text file"))?;
    let mut lines = text.lines();
    let mut key = |line| match lines.next() {
        Some(text) => text.parse::<PublicKey>().map(Some).map_err(|error| damaged(line, &error.to_string())),
        None => Ok(None),
    };
    // A seed is written in the same form as a public key: 64 hex digits.
    let seed = key(1)?.ok_or_else(|| damaged(1, "the file is empty"))?;
    let (seed, public) = (Seed::new(*seed.as_bytes()), key(2)?);
    let rest = lines.next().is_some();
    match public {
        Some(public) if public != seed.public_key() || rest || text != written(&seed) => {
            Err(damaged(2, "the public key does not belong to the seed on line 1: a digit is damaged"))
        }
        public => Ok(Some(FoundKey { seed, with_public_key: public.is_some() })),
    }
}

/// Ensures that the key file holds the seed and the public key. Creates a new key if none was found.
pub(crate) fn keep(folder: &Path, found: Option<FoundKey>) -> Result<Seed, OpenError> {
    let path = path(folder);
    let seed = match found {
        Some(FoundKey { seed, with_public_key: true }) => return Ok(seed),
        Some(FoundKey { seed, .. }) => seed,
        None => Seed::random().map_err(OpenError::at(&path))?,
    };
    replace_file(&path, written(&seed).as_bytes()).map_err(OpenError::at(&path))?;
    Ok(seed)
}

/// Whether anyone but the owner can read or change the file.
fn is_exposed(path: &Path) -> std::io::Result<bool> {
    #[cfg(unix)]
    let others = {
        use std::os::unix::fs::PermissionsExt;
        std::fs::metadata(path)?.permissions().mode() & 0o077
    };
    #[cfg(not(unix))]
    let others = 0;
    Ok(others != 0)
}

/// Encodes the key file.
pub(crate) fn written(seed: &Seed) -> String {
    format!("{}\n{}\n", PublicKey::new(*seed.as_bytes()), seed.public_key())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn open(folder: &Path) -> Seed {
        keep(folder, read(DataFiles::InFolder(folder)).unwrap()).unwrap()
    }

    #[cfg(unix)]
    #[test]
    fn a_key_that_others_can_read_is_refused() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let seed = open(folder.path());
        let file = folder.path().join(FILE);
        for mode in [0o640, 0o604, 0o620] {
            fs::set_permissions(&file, fs::Permissions::from_mode(mode)).unwrap();
            let refused = read(DataFiles::InFolder(folder.path()))
                .err()
                .map(|error| error.to_string())
                .unwrap_or_default();
            let (_, command) = refused.split_once("Run: ").unwrap();
            let mended = std::process::Command::new("sh").args(["-c", command]).status().unwrap();
            assert!(mended.success(), "{command}");
            assert_eq!(open(folder.path()).as_bytes(), seed.as_bytes());
        }
    }

    #[test]
    fn key_is_created_once_and_readable_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let seed = open(folder.path());
        assert_eq!(open(folder.path()).as_bytes(), seed.as_bytes());
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt;
            let mode = fs::metadata(folder.path().join(FILE)).unwrap().permissions().mode();
            assert_eq!(mode & 0o777, 0o600);
        }
        fs::write(folder.path().join(FILE), "rubbish").unwrap();
        assert!(matches!(read(DataFiles::InFolder(folder.path())), Err(OpenError::Damaged { .. })));
        assert_eq!(fs::read(folder.path().join(FILE)).unwrap(), b"rubbish");
    }

    #[test]
    fn a_seed_alone_is_taken_and_its_public_key_added() {
        let folder = tempfile::tempdir().unwrap();
        let seed = PublicKey::new([7; 32]);
        replace_file(&path(folder.path()), format!("{seed}\n").as_bytes()).unwrap();
        assert_eq!(open(folder.path()).as_bytes(), seed.as_bytes());
        let text = fs::read_to_string(folder.path().join(FILE)).unwrap();
        assert_eq!(text, format!("{seed}\n{}\n", Seed::new([7; 32]).public_key()));
    }

    #[test]
    fn any_flipped_bit_of_the_key_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        open(folder.path());
        let path = folder.path().join(FILE);
        let good = fs::read(&path).unwrap();
        for at in 0..good.len() {
            for bit in 0..8 {
                let mut bad = good.clone();
                bad[at] ^= 1 << bit;
                fs::write(&path, bad).unwrap();
                assert!(read(DataFiles::InFolder(folder.path())).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
}
