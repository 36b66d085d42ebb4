//! The commands of the operator to a running tracker.
//! They have the same rules as the requests of admins, and some that only the operator has.

use std::sync::Arc;

use chrono::{DateTime, Utc};
use commons::protocol::administration::{AdminRequest, ListedBan, ListedSession};
use commons::protocol::page::Page;
use serde::{Deserialize, Serialize};

use crate::handlers::admin::{Actor, key_advice};
use crate::handlers::outcome::{ReplyBody, RequestError};
use crate::log_class::SECURITY;
use crate::policy::Policy;
use crate::service::TrackerService;

/// A command of the operator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "cmd", rename_all = "SCREAMING_SNAKE_CASE")]
pub enum OperatorCommand {
    /// List the accounts.
    Users(Page),
    /// List the admins.
    Admins,
    /// Make a user an admin.
    AddAdmin {
        /// The name of the user.
        user: String,
        /// The first digits of the user's key. They may be absent if the user has one key.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        key: Option<String>,
    },
    /// Take the role of an admin away.
    RemoveAdmin {
        /// The name of the user.
        user: String,
    },
    /// A request that admins can make too.
    #[serde(untagged)]
    Admin(AdminRequest),
}

/// The result of a command.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OperatorReply {
    /// The lines for the operator.
    pub lines: Vec<String>,
    /// The name after which a list continues. `None` at its end.
    pub next: Option<String>,
}

/// A result that is no list.
impl From<Vec<String>> for OperatorReply {
    fn from(lines: Vec<String>) -> Self {
        Self { lines, next: None }
    }
}

/// Carries out the commands of the operator.
#[derive(Debug, Clone)]
pub struct Operator {
    service: Arc<TrackerService>,
}

impl Operator {
    /// Creates the operator of a running service.
    pub(crate) fn new(service: Arc<TrackerService>) -> Self {
        Self { service }
    }

    /// Carries out a command. An error is a text for the operator.
    pub async fn perform(&self, command: OperatorCommand) -> Result<OperatorReply, String> {
        self.try_perform(command).await.map_err(|refused| refused.msg)
    }

    /// Replaces the policy of the tracker. The first-user rule stays as it is.
    pub fn set_policy(&self, policy: Policy) {
        let users = &self.service.users;
        let first_user_is_admin = users.policy().first_user_is_admin;
        users.set_policy(Policy { first_user_is_admin, ..policy });
    }

    async fn try_perform(&self, command: OperatorCommand) -> Result<OperatorReply, RequestError> {
        let service = &self.service;
        let actor = Actor::Operator;
        match command {
            OperatorCommand::Users(page) => Ok(self.users(&page)),
            OperatorCommand::Admins => Ok(self.admins()),
            OperatorCommand::AddAdmin { user, key } => {
                let (username, keys) = service.admin.add(&user, key.as_deref(), Utc::now()).await?;
                tracing::info!(class = SECURITY, %actor, %username, "a user becomes an admin");
                let mut lines =
                    vec![format!("{username} is an admin, by these keys and those that they endorse:")];
                lines.extend(keys.iter().map(ToString::to_string));
                Ok(lines.into())
            }
            OperatorCommand::RemoveAdmin { user } => {
                let username = service.admin.remove(&user).await?;
                tracing::info!(class = SECURITY, %actor, %username, "a user is no admin any more");
                Ok(line(format!("{username} is no admin any more")))
            }
            OperatorCommand::Admin(request) => {
                let outcome = service.administer(&actor, request).await?;
                match outcome.shows {
                    ReplyBody::Sessions(page) => self.sessions(&page),
                    ReplyBody::Bans(page) => self.bans(&page),
                    _ => Ok(line(outcome.msg)),
                }
            }
        }
    }

    fn users(&self, page: &Page) -> OperatorReply {
        let after = page.after.as_deref().unwrap_or_default();
        let users = self.service.users_after(after);
        let rows = users.iter().map(|user| {
            let roles = [(user.admin, "admin"), (user.banned, "banned"), (user.online, "online")];
            let roles: Vec<_> = roles.into_iter().filter_map(|(has, role)| has.then_some(role)).collect();
            format!("{:<32}  {:>4}  {}", user.username.as_str(), user.keys, roles.join(", "))
        });
        let header = format!("{:<32}  {:>4}  {}", "user", "keys", "state");
        list(page, &header, rows, users.last().map(|user| user.username.as_str().to_owned()))
    }

    fn admins(&self) -> OperatorReply {
        let admins = self.service.admin.admins();
        let lines = admins.iter().map(|admin| {
            let state = match admin.keys {
                0 => format!("without a key. {}", key_advice(&admin.username)),
                keys => format!("keys: {keys}"),
            };
            format!("{:<32}  {}  {state}", admin.username, in_utc(Some(admin.since)))
        });
        let lines: Vec<_> = lines.collect();
        match lines.is_empty() {
            true => line("there are no admins".to_owned()),
            false => lines.into(),
        }
    }

    fn sessions(&self, page: &Page) -> Result<OperatorReply, RequestError> {
        let (sessions, more) = self.service.list_sessions(page)?;
        let rows = sessions.iter().map(|(username, session)| {
            let ListedSession { since, address, encrypted, bytes_in, bytes_out, requests } = session;
            let encrypted = if *encrypted { "encrypted" } else { "plaintext" };
            format!(
                "{username:<32}  {:<16}  {address:<39}  {encrypted}  {bytes_in:>12}  {bytes_out:>12}  {requests:>9}",
                in_utc(*since)
            )
        });
        let header = format!(
            "{:<32}  {:<16}  {:<39}  {:<9}  {:>12}  {:>12}  {:>9}",
            "user", "since (UTC)", "address", "transport", "bytes in", "bytes out", "requests"
        );
        let last = sessions.last_key_value().filter(|_| more).map(|(username, _)| username.clone());
        Ok(list(page, &header, rows, last))
    }

    fn bans(&self, page: &Page) -> Result<OperatorReply, RequestError> {
        let (bans, more) = self.service.admin.bans(page, Utc::now())?;
        let rows = bans.iter().map(|(key, ban)| {
            let ListedBan { since, until, by, .. } = ban;
            let until = until.map_or_else(|| "for good".to_owned(), |until| in_utc(Some(until)));
            let by = by.as_deref().unwrap_or("the operator");
            format!("{key:<48}  {:<16}  {until:<16}  {by}", in_utc(*since))
        });
        let header = format!("{:<48}  {:<16}  {:<16}  {}", "banned", "since (UTC)", "until (UTC)", "by");
        let last = bans.last_key_value().filter(|_| more).map(|(key, _)| key.clone());
        Ok(list(page, &header, rows, last))
    }
}

fn line(text: String) -> OperatorReply {
    vec![text].into()
}

/// A page of a list. Its first page begins with the header.
fn list(
    page: &Page,
    header: &str,
    rows: impl Iterator<Item = String>,
    next: Option<String>,
) -> OperatorReply {
    let header = page.after.is_none().then(|| header.to_owned());
    OperatorReply { lines: header.into_iter().chain(rows).collect(), next }
}

fn in_utc(time: Option<DateTime<Utc>>) -> String {
    time.map(|time| time.format("%Y-%m-%d %H:%M").to_string()).unwrap_or_default()
}
