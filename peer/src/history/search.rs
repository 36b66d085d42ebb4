//! The search over stored messages. It filters by words, author, conversation and time.
//!
//! A full-text index finds the words. A message is indexed when the history is idle, or before a search. For example,
//! 1,000 messages arrive while the disk is busy: they cost no index page until the user searches or a moment is idle.

use chrono::{DateTime, Utc};
use commons::names::Username;
use rusqlite::{OptionalExtension, Result, Row, params};
use uuid::Uuid;

use crate::history::answer::StoredMessage;
use crate::history::conversation::ConversationId;
use crate::history::rows::{STORED_COLUMNS, limit, stored_message};
use crate::history::tables::Tables;
use crate::limits::{INDEX_PIECE, SEARCH_WORDS};

/// The filters of a search. An absent filter matches every message.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Search {
    /// Words that the message must contain; the last word may be a prefix.
    pub words: String,
    /// The author of the message.
    pub from: Option<Username>,
    /// The conversation that holds the message.
    pub of: Option<ConversationId>,
    /// The earliest send time, inclusive.
    pub since: Option<DateTime<Utc>>,
    /// The latest send time, exclusive.
    pub until: Option<DateTime<Utc>>,
    /// The upper bound of the row, exclusive.
    pub before: Option<i64>,
}

impl From<&str> for Search {
    fn from(words: &str) -> Self {
        Self { words: words.to_owned(), ..Self::default() }
    }
}

impl From<String> for Search {
    fn from(words: String) -> Self {
        Self { words, ..Self::default() }
    }
}

/// Omits the search words, which must stay out of logs.
impl std::fmt::Debug for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Search").finish_non_exhaustive()
    }
}

/// The control characters with which the index marks matches in its results.
const MARKS: (char, char) = ('\u{2}', '\u{3}');

/// The text with marked matches, the table and the condition of a search for words. The joins follow the index from the
/// newest row, so the query stops as soon as it has enough results.
const WITH_WORDS: (&str, &str, &str) = (
    "highlight(words, 0, char(2), char(3))",
    "words CROSS JOIN messages l ON l.row = words.rowid",
    "words MATCH ?1 AND words.rowid < ?2",
);

/// The same for a search without words.
const WITHOUT_WORDS: (&str, &str, &str) =
    ("NULL", "messages l", "?1 IS NULL AND l.text IS NOT NULL AND l.row < ?2");

impl Tables {
    /// Returns the matching messages, newest first. Messages that are not indexed yet are not found by words.
    pub fn search(&mut self, wanted: &Search, count: usize) -> Result<Vec<StoredMessage>> {
        let expression = expression(&wanted.words);
        let has_filter =
            wanted.from.is_some() || wanted.of.is_some() || wanted.since.is_some() || wanted.until.is_some();
        if expression.is_none() && !(has_filter && wanted.words.trim().is_empty()) {
            return Ok(Vec::new());
        }
        let author = match &wanted.from {
            None => None,
            Some(name) => match self.known_user_key(name)? {
                None => return Ok(Vec::new()),
                known => known,
            },
        };
        let conversation = match &wanted.of {
            None => None,
            Some(of) => match self.known_conversation(of)? {
                None => return Ok(Vec::new()),
                Some(known) => Some(known.key),
            },
        };
        let (marked, messages, condition) = if expression.is_some() { WITH_WORDS } else { WITHOUT_WORDS };
        let mut query = self.db.prepare_cached(&format!(
            "SELECT {STORED_COLUMNS}, {marked}
             FROM {messages} CROSS JOIN users a ON a.id = l.author
             CROSS JOIN conversations c ON c.id = l.conversation LEFT JOIN users p ON p.id = c.peer
             WHERE {condition} AND (?3 IS NULL OR l.author = ?3) AND (?4 IS NULL OR l.conversation = ?4)
                 AND l.sent_at >= ?5 AND l.sent_at < ?6
             ORDER BY l.row DESC LIMIT ?7"
        ))?;
        let found = query.query_map(
            params![
                expression,
                wanted.before.unwrap_or(i64::MAX),
                author,
                conversation,
                wanted.since.map_or(i64::MIN, |since| since.timestamp_millis()),
                wanted.until.map_or(i64::MAX, |until| until.timestamp_millis()),
                limit(count),
            ],
            found,
        )?;
        found.collect()
    }

    /// Indexes at most `INDEX_PIECE` more messages. Returns true if messages remain.
    pub(crate) fn index(&mut self) -> Result<bool> {
        self.write_deferred()?;
        let from = self.meta.indexed;
        let to = (from + INDEX_PIECE).min(self.meta.next_row - 1);
        if to <= from {
            return Ok(false);
        }
        self.db
            .prepare_cached(
                "INSERT INTO words (rowid, text)
                 SELECT row, text FROM messages WHERE row > ?1 AND row <= ?2 AND text IS NOT NULL",
            )?
            .execute([from, to])?;
        self.meta.indexed = to;
        Ok(to < self.meta.next_row - 1)
    }

    /// Removes a message from the index.
    pub(crate) fn unindex(&self, row: i64, text: &str) -> Result<()> {
        if row <= self.meta.indexed {
            self.db
                .prepare_cached("INSERT INTO words (words, rowid, text) VALUES ('delete', ?1, ?2)")?
                .execute(params![row, text])?;
        }
        Ok(())
    }

    /// Returns the row of the message of this author with this id. Without an author it is the message that arrived
    /// first: authors can use the same id.
    pub fn row_of(&self, id: &Uuid, from: Option<&Username>) -> Result<Option<i64>> {
        let mut query = self.db.prepare_cached(
            "SELECT row FROM messages WHERE id = ?1 AND text IS NOT NULL
                 AND author IN (SELECT id FROM users WHERE ?2 IS NULL OR name = ?2)
             ORDER BY row LIMIT 1",
        )?;
        query.query_row(params![id.as_bytes(), from.map(Username::as_str)], |row| row.get(0)).optional()
    }
}

fn found(row: &Row<'_>) -> Result<StoredMessage> {
    let message = stored_message(row)?;
    let marked: Option<String> = row.get(10)?;
    Ok(StoredMessage { hits: marked.map_or_else(Vec::new, |marked| hits(&message.text, &marked)), ..message })
}

/// Returns the marked matches as ranges of characters in the unmarked text. Mark characters that the author wrote
/// count as text.
fn hits(text: &str, marked: &str) -> Vec<(usize, usize)> {
    let (mut hits, mut begun, mut at) = (Vec::new(), None, 0);
    let mut text = text.chars().peekable();
    for c in marked.chars() {
        if text.peek() == Some(&c) {
            text.next();
            at += 1;
        } else if c == MARKS.0 {
            begun = Some(at);
        } else if c == MARKS.1
            && let Some(begin) = begun.take()
        {
            hits.push((begin, at));
        }
    }
    hits
}

/// Converts user input into an FTS5 expression. Each word is quoted, so that it contains no operators. The last
/// word is a prefix because the user may not have finished typing. Returns `None` if the input contains no word.
fn expression(words: &str) -> Option<String> {
    let words = words.split_whitespace().filter(|word| word.contains(char::is_alphanumeric));
    let quoted = words.take(SEARCH_WORDS).map(|word| format!("\"{}\"", word.replace(['"', '\0'], " ")));
    let quoted: Vec<_> = quoted.collect();
    (!quoted.is_empty()).then(|| format!("{} *", quoted.join(" ")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::history_db::HistoryDb;
    use crate::history::testing::*;

    fn texts_with(history: &mut HistoryDb, words: &str) -> Vec<String> {
        search(history, words, 9).into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn words_are_found_without_accents_and_capitals_begun_or_whole() {
        let mut ana = history(ANA);
        let texts = ["O Número do Coração", "número dois", "coracao três", "🎉 Größe", "部屋 で"];
        say(&mut ana, &room(), &texts, &[]);
        assert_eq!(texts_with(&mut ana, "numero coracao"), ["O Número do Coração"]);
        assert_eq!(texts_with(&mut ana, "NUMERO"), ["número dois", "O Número do Coração"], "newest first");
        assert_eq!(texts_with(&mut ana, "cora"), ["coracao três", "O Número do Coração"]);
        assert_eq!(texts_with(&mut ana, "cora dois"), [""; 0], "only the last word may be begun");
        assert_eq!(texts_with(&mut ana, "grosse"), [""; 0]);
        assert_eq!(texts_with(&mut ana, "größ"), ["🎉 Größe"]);
        assert_eq!(texts_with(&mut ana, "部屋"), ["部屋 で"]);
        // A search also finds messages that were appended after the first search.
        say(&mut ana, &room(), &["coração novo"], &[]);
        assert_eq!(search(&mut ana, "coracao", 1).len(), 1);
        assert_eq!(texts_with(&mut ana, "coracao novo"), ["coração novo"]);
    }

    #[test]
    fn no_word_is_an_operator() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["a NEAR b", "text:c AND d*", "\"quoted\" (x)"], &[]);
        for hostile in [
            "\"",
            "* ",
            "NEAR(",
            "a OR",
            "text:",
            "^",
            "- a",
            "(x",
            "\0",
            "\"\"\"",
            "'; DROP TABLE messages",
            "{a b}: c",
            "+",
        ] {
            texts_with(&mut ana, hostile);
        }
        assert_eq!(texts_with(&mut ana, "a NEAR b"), ["a NEAR b"]);
        assert_eq!(texts_with(&mut ana, "\"quoted\""), ["\"quoted\" (x)"]);
        assert_eq!(texts_with(&mut ana, "text:c AND"), ["text:c AND d*"]);
        assert_eq!(texts_with(&mut ana, ""), [""; 0]);
        assert_eq!(texts_with(&mut ana, &"a ".repeat(100_000)).len(), 1);
        assert_eq!(ana.commit(), [], "no search failed");
    }

    fn texts_of(history: &mut HistoryDb, wanted: Search) -> Vec<String> {
        search(history, wanted, 9).into_iter().map(|message| message.text).collect()
    }

    #[test]
    fn filters_narrow_the_search_alone_and_with_words() {
        let (mut ana, mut bob) = (history(ANA), history(BOB));
        let messages = say(&mut ana, &room(), &["plan one", "plan two"], &[BOB]);
        ingest(&mut bob, ANA, &room(), &messages);
        say(&mut bob, &room(), &["plan three"], &[ANA]);
        say(&mut bob, &private(ANA), &["plan four", "else"], &[ANA]);
        let plan = || Search::from("plan");
        assert_eq!(texts_of(&mut bob, plan()), ["plan four", "plan three", "plan two", "plan one"]);
        let from_ana = Search { from: Some(user(ANA)), ..plan() };
        assert_eq!(texts_of(&mut bob, from_ana), ["plan two", "plan one"]);
        let in_private = Search { of: Some(private(ANA)), ..Search::default() };
        assert_eq!(texts_of(&mut bob, in_private), ["else", "plan four"]);
        for nothing in [
            Search { from: Some(user(CARLA)), ..plan() },
            Search { of: Some(private(CARLA)), ..plan() },
            Search { from: Some(user(ANA)), ..Search::from("* \"") },
            Search::default(),
        ] {
            assert_eq!(texts_of(&mut bob, nothing), [""; 0]);
        }
        let row = search(&mut bob, "three", 1)[0].row;
        assert_eq!(texts_of(&mut bob, Search { before: Some(row), ..plan() }), ["plan two", "plan one"]);
    }

    #[test]
    fn a_span_of_time_holds_its_start_and_not_its_end() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["now"], &[]);
        let sent = search(&mut ana, "now", 1)[0].sent_at;
        let later = sent + chrono::TimeDelta::milliseconds(1);
        let mut count =
            |since, until| search(&mut ana, Search { since, until, ..Search::from("now") }, 9).len();
        assert_eq!(count(Some(sent), Some(later)), 1);
        assert_eq!(count(None, Some(sent)), 0);
        assert_eq!(count(Some(later), None), 0);
    }

    #[test]
    fn hits_are_spans_of_characters_of_the_text() {
        let mut ana = history(ANA);
        say(&mut ana, &room(), &["o Coração \u{2}do\u{3} coração"], &[]);
        assert_eq!(search(&mut ana, "coracao", 1)[0].hits, [(2, 9), (15, 22)]);
        assert_eq!(search(&mut ana, "cora", 1)[0].hits.len(), 2);
        assert_eq!(hits("a b", "a \u{2}b\u{3}"), [(2, 3)]);
    }

    #[test]
    fn a_message_is_found_by_its_id_and_author() {
        let mut ana = history(ANA);
        let id = say(&mut ana, &room(), &["here"], &[])[0].id;
        let row = search(&mut ana, "here", 1)[0].row;
        assert_eq!(ana.tables.row_of(&id, None).unwrap(), Some(row));
        assert_eq!(ana.tables.row_of(&id, Some(&user(ANA))).unwrap(), Some(row));
        assert_eq!(ana.tables.row_of(&id, Some(&user(BOB))).unwrap(), None);
        assert_eq!(ana.tables.row_of(&Uuid::nil(), None).unwrap(), None);
    }
}
