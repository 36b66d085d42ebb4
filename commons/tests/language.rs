//! Language rules that a program can check in sources and documentation.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

mod sources;

use std::collections::BTreeSet;

use sources::{all_sources, pages, sources};

/// Longest name of a test in characters.
const TEST_NAME: usize = 60;

/// Fewest words of a doc comment.
const DOC_WORDS: usize = 3;

/// Words that hide the subject of a sentence, so that no sentence begins with one unless it is a question.
const QUESTION_WORDS: [&str; 6] = ["Who", "Whoever", "Whom", "Whose", "What", "Whatever"];

/// Retired words of the project's former dialect. A word that ends in `*` stands for all words with that beginning.
const RETIRED: [&str; 46] = [
    "hear*",
    "tell",
    "told",
    "said",
    "saying",
    "face",
    "faces",
    "stranger",
    "strangers",
    "manners",
    "hindrance",
    "switchboard",
    "keeper",
    "missed",
    "news",
    "gone",
    "desk",
    "ghost",
    "crowd",
    "doorkeeper",
    "settle*",
    "heed*",
    "reseat*",
    "relink*",
    "knock*",
    "hurry",
    "vacate",
    "whois",
    "guessing",
    "book",
    "door",
    "who",
    "whom",
    "ask",
    "asks",
    "asked",
    "asker*",
    "asking",
    "seek*",
    "sits",
    "seat",
    "seats",
    "seated",
    "kept",
    "listeners",
    "questions",
];

/// Files with a name that still holds a retired word.
const EXCEPTIONS: [(&str, &str); 4] = [
    ("peer/src/history/acks.rs", "gone"),
    ("peer/src/history/batch_assembler.rs", "missed"),
    // The setting `seat_hold`: the time for which the seat of an absent member is reserved.
    ("tracker/src/config.rs", "seat_hold"),
    ("tracker/src/liveness.rs", "seat_hold"),
];

fn is_exception(path: &str, name: &str) -> bool {
    EXCEPTIONS.contains(&(path, name))
}

/// The paragraphs in the comments of a source file.
fn comments(whole: &str) -> Vec<String> {
    let words = |line: &str| {
        let line = line.trim_start();
        line.starts_with("//").then(|| line.trim_start_matches(['/', '!']).trim().to_owned())
    };
    paragraphs(whole.lines().map(|line| words(line).unwrap_or_default()))
}

/// Joins consecutive lines to paragraphs; an empty line ends a paragraph.
fn paragraphs(lines: impl Iterator<Item = String>) -> Vec<String> {
    let mut found = vec![String::new()];
    for line in lines {
        match found.last_mut() {
            Some(last) if !line.is_empty() => {
                last.push_str(&line);
                last.push(' ');
            }
            _ => found.push(String::new()),
        }
    }
    found
}

/// The paragraphs of a page without its code blocks. A list item and a table cell each begin a paragraph.
fn prose(page: &str) -> Vec<String> {
    let text = page.split("```").step_by(2).collect::<Vec<_>>().join("\n\n");
    let starts = |line: &&str| line.starts_with(['-', '*', '|', '#', '>']);
    let mut lines = Vec::new();
    for line in text.lines().map(str::trim) {
        if starts(&line) {
            lines.push(String::new());
        }
        for cell in line.split('|') {
            lines.push(cell.trim_matches(['-', '*', '#', '>', ' ']).to_owned());
            if line.starts_with('|') {
                lines.push(String::new());
            }
        }
    }
    paragraphs(lines.into_iter())
}

/// The texts in double quotation marks.
fn strings(code: &str) -> Vec<String> {
    code.lines().flat_map(|line| line.split('"').skip(1).step_by(2).map(str::to_owned)).collect()
}

/// Finds sentences that begin with a question word and are not questions.
fn hidden_subjects(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for sentence in text.split_inclusive(['.', '!', '?', ':']).map(str::trim_start) {
        let first = sentence.split(|c: char| !c.is_alphabetic()).next().unwrap_or_default();
        if QUESTION_WORDS.contains(&first) && !sentence.ends_with('?') {
            found.push(sentence.to_owned());
        }
    }
    found
}

/// Finds doc comments with fewer than [`DOC_WORDS`] words.
fn short_docs(whole: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut doc = String::new();
    for line in whole.lines().map(str::trim_start) {
        if let Some(text) = line.strip_prefix("///") {
            doc.push_str(text);
        } else {
            if !doc.is_empty() && doc.split_whitespace().count() < DOC_WORDS {
                found.push(format!("///{doc}"));
            }
            doc.clear();
        }
    }
    found
}

/// The names that the code declares: functions, types, modules, fields, parameters and variables.
fn names(code: &str) -> BTreeSet<String> {
    let without_strings = |line: &str| line.split('"').step_by(2).collect::<String>();
    let code: Vec<_> = code.lines().map(without_strings).collect();
    let keywords = ["fn", "struct", "enum", "trait", "type", "mod"];
    let (mut found, mut before) = (BTreeSet::new(), String::new());
    // The characters that end the pattern after `let` or `for`; empty outside a pattern.
    let mut pattern_ends: &[char] = &[];
    for line in code {
        let mut in_closure = false;
        let mut rest = line.as_str();
        while let Some(first) = rest.chars().next() {
            let is_letter = |c: char| c.is_alphanumeric() || c == '_';
            let length = rest.find(|c| !is_letter(c)).unwrap_or(rest.len());
            if length == 0 {
                in_closure ^= first == '|';
                if pattern_ends.contains(&first) {
                    pattern_ends = &[];
                }
                rest = &rest[first.len_utf8()..];
                continue;
            }
            let word = &rest[..length];
            rest = &rest[length..];
            pattern_ends = match word {
                "let" => &['=', ';'],
                "for" => &['{', ';'],
                "in" => &[],
                _ => pattern_ends,
            };
            let has_type = rest.trim_start().starts_with(':') && !rest.trim_start().starts_with("::");
            let is_variable = !pattern_ends.is_empty() || in_closure || has_type;
            if keywords.contains(&before.as_str()) || (is_variable && !word.starts_with(char::is_uppercase)) {
                found.insert(word.to_owned());
            }
            word.clone_into(&mut before);
        }
    }
    found
}

/// Finds a retired word in the name.
fn retired(name: &str) -> Option<&'static str> {
    let mut words = String::new();
    for letter in name.chars() {
        if letter.is_uppercase() {
            words.push('_');
        }
        words.extend(letter.to_lowercase());
    }
    let is = |word: &str, retired: &str| match retired.strip_suffix('*') {
        Some(start) => word.starts_with(start),
        None => word == retired,
    };
    RETIRED.into_iter().find(|retired| words.split('_').any(|word| is(word, retired)))
}

fn none(found: &[String]) {
    assert!(found.is_empty(), "{} places:\n  {}", found.len(), found.join("\n  "));
}

#[test]
fn a_sentence_begins_with_its_subject() {
    assert_eq!(hidden_subjects("It ends. Who was late waits.").len(), 1);
    assert_eq!(hidden_subjects("Who is late? The last one: whose turn is it?"), [""; 0]);
    let page = "| a | What it does. |\n```\nWho\n```\nWhat else. It is";
    assert_eq!(prose(page).iter().flat_map(|text| hidden_subjects(text)).count(), 2);
    let mut found = Vec::new();
    let mut note = |path: &str, texts: Vec<String>| {
        found.extend(texts.iter().flat_map(|text| hidden_subjects(text)).map(|it| format!("{path}: {it}")));
    };
    // This file holds the forbidden words as samples.
    for source in all_sources().into_iter().filter(|source| source.path != "commons/tests/language.rs") {
        note(&source.path, comments(&source.whole));
        note(&source.path, strings(&source.code));
    }
    for (path, page) in pages() {
        note(&path, prose(&page));
    }
    none(&found);
}

#[test]
fn a_comment_says_more_than_the_name() {
    assert_eq!(short_docs("/// Whom.\nfn a();\n/// It has\n/// two lines.\nfn b();"), ["/// Whom."]);
    let found = all_sources().into_iter().flat_map(|source| {
        short_docs(&source.whole).into_iter().map(move |doc| format!("{}: {doc}", source.path))
    });
    none(&found.collect::<Vec<_>>());
}

#[test]
fn names_hold_no_retired_word() {
    assert_eq!(retired("hear_links"), Some("hear*"));
    assert_eq!(retired("StrangersPlace"), Some("strangers"));
    assert_eq!(retired("newspaper"), None);
    let code =
        "pub fn one(a: u8) {}\nstruct Two { b: u8 }\nlet (c, Three(d)) = \"e: \";\nit.map(|f| g(f)); h::i();";
    let declared = ["one", "a", "Two", "b", "c", "d", "f"];
    assert!(declared.iter().all(|name| names(code).contains(*name)), "{:?}", names(code));
    assert!(["e", "g", "h", "i"].iter().all(|name| !names(code).contains(*name)), "{:?}", names(code));
    let found = sources().into_iter().flat_map(|source| {
        let is_wrong = |name: &String| retired(name).is_some() && !is_exception(&source.path, name);
        let names = names(&source.code).into_iter().filter(is_wrong);
        let mut found: Vec<_> = names.map(|name| format!("{}: {name}", source.path)).collect();
        let file = source.path.rsplit('/').next().unwrap().trim_end_matches(".rs").to_owned();
        found.extend(retired(&file).map(|_| source.path.clone()));
        found
    });
    none(&found.collect::<Vec<_>>());
}

#[test]
fn a_test_has_a_short_name() {
    let mut found = Vec::new();
    for source in all_sources() {
        let mut is_test = false;
        for line in source.whole.lines().map(str::trim) {
            if let Some(rest) = line.split("fn ").nth(1).filter(|_| is_test) {
                let name = rest.split('(').next().unwrap();
                found.extend((name.len() > TEST_NAME).then(|| format!("{}: {name}", source.path)));
                is_test = false;
            }
            is_test |= line.starts_with("#[test]") || line.starts_with("#[tokio::test");
        }
    }
    none(&found);
}
