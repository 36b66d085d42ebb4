//! The user's browser, which is asked to open the page.
//!
//! The address of the page contains the token, and other users of this computer can read the arguments of a program. So
//! the browser opens a file that only this user can read, and the file leads to the page.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The file that leads a browser to the page. It is removed when this value is dropped.
#[derive(Debug)]
pub struct Redirect {
    path: PathBuf,
}

impl Redirect {
    /// Writes the file into a folder, in place of one that an earlier run left behind.
    pub fn write(folder: &Path, url: &str) -> io::Result<Self> {
        std::fs::create_dir_all(folder)?;
        let path = folder.join("open_page.html");
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        writeln!(
            file,
            "<!doctype html><meta charset=\"utf-8\"><title>Chat</title>\
             <meta http-equiv=\"refresh\" content=\"0; url={url}\"><a href=\"{url}\">Open the chat</a>"
        )?;
        Ok(Self { path })
    }

    /// Asks the user's browser to open the file.
    pub fn open(&self) -> io::Result<()> {
        open::that_detached(&self.path)
    }
}

impl Drop for Redirect {
    fn drop(&mut self) {
        // A file that stays behind leads to a server that has ended.
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn only_the_user_reads_the_file_with_the_token() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("open_page.html");
        std::fs::write(&path, "left behind, and readable for all").unwrap();
        let redirect = Redirect::write(folder.path(), "http://127.0.0.1:1/#00ff").unwrap();
        assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(std::fs::read_to_string(&path).unwrap().contains("url=http://127.0.0.1:1/#00ff"));
        drop(redirect);
        assert!(!path.exists());
    }
}
