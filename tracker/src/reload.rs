//! The reload of the settings while the tracker runs.
//! It takes over what can change, and says what needs a restart. If the file has an error, nothing changes.

use std::ffi::OsString;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use commons::settings::effective::Effective;
use commons::settings::load::LoadError;
use tokio::sync::{oneshot, watch};
use tracker::config::{Config, RELOADABLE};
use tracker::logs::start::LogControl;
use tracker::operator::Operator;
use tracker::policy::Policy;

use crate::args::{Loaded, load};

/// Reads the settings again.
pub(crate) struct Reloader {
    arguments: Vec<OsString>,
    in_force: Mutex<Vec<Effective>>,
    settings: watch::Sender<Config>,
    logs: LogControl,
    operator: Operator,
}

impl Reloader {
    /// Creates the reloader of a tracker that was started with these arguments.
    pub(crate) fn new(
        arguments: Vec<OsString>,
        in_force: Vec<Effective>,
        settings: watch::Sender<Config>,
        logs: LogControl,
        operator: Operator,
    ) -> Self {
        Self { arguments, in_force: Mutex::new(in_force), settings, logs, operator }
    }

    /// Reloads in a thread of its own. If the disk hangs, neither the other tasks nor the end of the tracker wait.
    pub(crate) async fn reload_apart(self: Arc<Self>) -> Result<Vec<String>, Vec<String>> {
        let (done, reloaded) = oneshot::channel();
        let reload = move || drop(done.send(self.reload()));
        if let Err(error) = thread::Builder::new().name("reload".to_owned()).spawn(reload) {
            tracing::error!(%error, "there is no thread for a reload");
        }
        let failed = "the reload did not end in order: look into the log, and try again";
        reloaded.await.unwrap_or_else(|_| Err(vec![failed.to_owned()]))
    }

    /// Reads the settings again and takes them over. Returns one line for each setting that differs, or the errors.
    fn reload(&self) -> Result<Vec<String>, Vec<String>> {
        let reloaded = self.try_reload();
        match &reloaded {
            Ok(lines) => lines.iter().for_each(|line| tracing::info!("settings: {line}")),
            Err(errors) => {
                errors.iter().for_each(|error| tracing::error!("the settings stay as they are: {error}"));
            }
        }
        reloaded
    }

    fn try_reload(&self) -> Result<Vec<String>, Vec<String>> {
        // A second reload waits, so that the last one wins.
        let mut in_force = self.in_force.lock().unwrap_or_else(PoisonError::into_inner);
        let Loaded { args, effective } = load(&self.arguments).map_err(|error| match error {
            LoadError::File(errors) => errors.iter().map(ToString::to_string).collect(),
            LoadError::Flags(error) => vec![error.to_string()],
        })?;
        if args.settings_file.is_none() {
            return Ok(vec!["there is no settings file to read again".to_owned()]);
        }
        let policy = Policy::read(&args.config).map_err(|error| vec![error.to_string()])?;
        self.logs.set(&args.config.logs).map_err(|error| vec![error.to_string()])?;
        self.operator.set_policy(policy);
        self.settings.send_replace(args.config);
        let mut lines = Vec::new();
        for (old, new) in in_force.iter_mut().zip(effective).filter(|(old, new)| old.value != new.value) {
            let (key, value) = (&new.key, shown(&new));
            if RELOADABLE.contains(&key.as_str()) {
                lines.push(format!("{key} = {value}, before: {}", shown(old)));
                *old = new;
            } else {
                lines.push(format!("{key} = {value} needs a restart, until then: {}", shown(old)));
            }
        }
        if lines.is_empty() {
            lines.push("nothing has changed".to_owned());
        }
        Ok(lines)
    }
}

fn shown(setting: &Effective) -> &str {
    setting.value.as_deref().unwrap_or("not set")
}
