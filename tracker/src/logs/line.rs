//! One line of the log.
//! It holds an event as text for people, or as a JSON object for programs.

use std::fmt::{Debug, Write as _};

use chrono::{DateTime, SecondsFormat, Utc};
use serde_json::Value;
use tracing::field::{Field, Visit};
use tracing::{Event, Level};

use crate::config::LogFormat;
use crate::limits::LOG_VALUE_CHARS;

/// A line of the log without its newline.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Line {
    /// The time and the level of a text, which a terminal shows in colour. Empty in JSON.
    head: String,
    /// The rest of the line.
    rest: String,
    /// The level of the event.
    pub(crate) level: Level,
    /// The class of the event, if it names one.
    pub(crate) class: Option<String>,
}

/// The fields of an event.
#[derive(Debug, Default)]
struct Fields {
    message: String,
    class: Option<String>,
    others: Vec<(&'static str, Value)>,
}

impl Line {
    /// Writes an event as a line.
    pub(crate) fn of(event: &Event<'_>, format: LogFormat, now: DateTime<Utc>) -> Self {
        let mut fields = Fields::default();
        event.record(&mut fields);
        let (level, target) = (*event.metadata().level(), event.metadata().target());
        Self::new(level, target, fields, format, now)
    }

    /// Writes the line that begins a session of the tracker in a file.
    pub(crate) fn header(format: LogFormat, now: DateTime<Utc>) -> Self {
        let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
        let others = vec![("version", version.into()), ("pid", pid.into())];
        let fields = Fields { message: "a session of the tracker begins".to_owned(), class: None, others };
        let mut line = Self::new(Level::INFO, module_path!(), fields, format, now);
        if format == LogFormat::Text {
            line.rest = format!("=== tracker {version} starts, process {pid}, {} ===", time(now));
            line.head.clear();
        }
        line
    }

    /// Writes a text for the operator, which may have several lines.
    pub(crate) fn console(text: String, format: LogFormat, now: DateTime<Utc>) -> Self {
        let fields = Fields { message: text, class: None, others: Vec::new() };
        match format {
            LogFormat::Text => {
                Self { head: String::new(), rest: fields.message, level: Level::INFO, class: None }
            }
            LogFormat::Json => Self::new(Level::INFO, module_path!(), fields, format, now),
        }
    }

    /// Writes a line that says how many lines were dropped.
    pub(crate) fn dropped(count: u64, format: LogFormat, now: DateTime<Utc>) -> Self {
        let message = "lines were dropped, because the log could not be written fast enough".to_owned();
        let fields = Fields { message, class: None, others: vec![("dropped", count.into())] };
        Self::new(Level::WARN, module_path!(), fields, format, now)
    }

    fn new(level: Level, target: &str, fields: Fields, format: LogFormat, now: DateTime<Utc>) -> Self {
        let (head, rest) = match format {
            LogFormat::Text => (format!("{} {level:>5} ", time(now)), text(target, &fields)),
            LogFormat::Json => (String::new(), json(level, target, &fields, now)),
        };
        Self { head, rest, level, class: fields.class }
    }

    /// The line with its newline, in colour if the output is a terminal.
    pub(crate) fn written(&self, in_colour: bool) -> String {
        let Self { head, rest, .. } = self;
        let colour = match self.level {
            _ if !in_colour || head.is_empty() => return format!("{head}{rest}\n"),
            Level::ERROR => 31,
            Level::WARN => 33,
            Level::INFO => 32,
            _ => 34,
        };
        format!("\u{1b}[{colour}m{head}\u{1b}[0m{rest}\n")
    }
}

fn time(now: DateTime<Utc>) -> String {
    now.to_rfc3339_opts(SecondsFormat::Millis, true)
}

fn text(target: &str, fields: &Fields) -> String {
    let mut text = format!("{target}: {}", escaped(&fields.message));
    let class = fields.class.iter().map(|class| ("class", Value::from(class.as_str())));
    for (name, value) in fields.others.iter().cloned().chain(class) {
        let _ = match value {
            Value::String(value) => write!(text, " {name}={}", word(&value)),
            value => write!(text, " {name}={value}"),
        };
    }
    text
}

fn json(level: Level, target: &str, fields: &Fields, now: DateTime<Utc>) -> String {
    let level = level.to_string();
    let first = [("time", time(now)), ("level", level), ("target", target.to_owned())];
    let class = fields.class.iter().map(|class| ("class", class.clone()));
    let texts = first.into_iter().chain([("message", fields.message.clone())]).chain(class);
    let all = texts.map(|(name, value)| (name, Value::from(value))).chain(fields.others.iter().cloned());
    let pairs: Vec<_> = all.map(|(name, value)| format!("{}:{value}", Value::from(name))).collect();
    format!("{{{}}}", pairs.join(","))
}

/// A value as one word of a text line, in quotation marks if it could be taken for something else.
fn word(value: &str) -> String {
    let is_plain = |c: char| c.is_alphanumeric() || (c.is_ascii_graphic() && !"\"=\\".contains(c));
    if !value.is_empty() && value.chars().all(is_plain) { value.to_owned() } else { format!("{value:?}") }
}

/// A message in which control characters are escaped, so that it stays on its line.
fn escaped(message: &str) -> String {
    let mut text = String::with_capacity(message.len());
    for c in message.chars() {
        // `escape_debug` also escapes characters that reorder or hide text. Quotation marks may stay.
        match c {
            '\'' | '"' => text.push(c),
            c => text.extend(c.escape_debug()),
        }
    }
    text
}

fn shortened(mut text: String) -> String {
    if let Some((end, _)) = text.char_indices().nth(LOG_VALUE_CHARS) {
        text.truncate(end);
        text.push('…');
    }
    text
}

impl Fields {
    fn add(&mut self, field: &Field, value: Value) {
        match (field.name(), value) {
            ("message", Value::String(message)) => self.message = message,
            ("class", Value::String(class)) => self.class = Some(class),
            (name, value) => self.others.push((name, value)),
        }
    }
}

impl Visit for Fields {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.add(field, shortened(format!("{value:?}")).into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, shortened(value.to_owned()).into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value.into());
    }
}
