//! The files of the page, which are a part of the program.

use std::borrow::Cow;

use axum::body::Bytes;

/// A file of the page: its path, and its content.
type File = (&'static str, &'static str);

macro_rules! files {
    ($($name:literal),* $(,)?) => {
        &[$((concat!("/", $name), include_str!(concat!("page/", $name)))),*]
    };
}

const FILES: &[File] = files![
    "account.js",
    "actions.js",
    "admin.js",
    "app.js",
    "banners.js",
    "composer.js",
    "connection.js",
    "dialogs.js",
    "dom.js",
    "events.js",
    "help.js",
    "history.js",
    "icon.svg",
    "index.html",
    "members.js",
    "message_list.js",
    "message_row.js",
    "notices.js",
    "questions.js",
    "rows.js",
    "safe_text.js",
    "search.js",
    "sidebar.js",
    "sign_in.js",
    "snapshot.js",
    "state.js",
    "style.css",
    "view.js",
    "words.js",
];

/// The greatest number of unread messages that the icon shows.
const ICON_MAX: u32 = 9;

/// Finds a file by the path of a request. Returns its content type and its content.
pub(crate) fn find(path: &str, query: Option<&str>) -> Option<(&'static str, Bytes)> {
    let path = if path == "/" { "/index.html" } else { path };
    let (name, content) = FILES.iter().find(|(name, _)| *name == path)?;
    let kind = match name.rsplit_once('.')?.1 {
        "html" => "text/html; charset=utf-8",
        "css" => "text/css; charset=utf-8",
        "js" => "text/javascript; charset=utf-8",
        _ => "image/svg+xml",
    };
    let content = match query.and_then(|query| query.strip_prefix("unread=")) {
        Some(unread) if *name == "/icon.svg" => with_count(content, unread.parse().unwrap_or_default()),
        _ => Cow::Borrowed(*content),
    };
    Some((kind, Bytes::from(content.into_owned())))
}

/// Returns the icon with a number of unread messages in its corner.
fn with_count(icon: &'static str, unread: u32) -> Cow<'static, str> {
    let count = match unread {
        0 => return icon.into(),
        more if more > ICON_MAX => format!(">{ICON_MAX}+<"),
        few => format!(">{few}<"),
    };
    icon.replace("visibility=\"hidden\"", "visibility=\"visible\"").replace(">0<", &count).into()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::*;

    /// The largest size of all files together, in bytes.
    const ALL_MAX: usize = 150 * 1024;

    fn text(path: &str, query: Option<&str>) -> String {
        String::from_utf8(find(path, query).unwrap().1.to_vec()).unwrap()
    }

    #[test]
    fn every_file_of_the_page_is_served_and_all_are_small() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/frontends/web/page");
        let there: BTreeSet<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|entry| format!("/{}", entry.unwrap().file_name().to_str().unwrap()))
            .filter(|name| [".js", ".css", ".html", ".svg"].iter().any(|end| name.ends_with(end)))
            .collect();
        assert_eq!(there, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
        let size: usize = FILES.iter().map(|(_, content)| content.len()).sum();
        assert!(size <= ALL_MAX, "{size} bytes");
        assert_eq!(text("/", None), text("/index.html", None));
        for path in ["", "//", "/page/app.js", "/../mod.rs", "/app.js/"] {
            assert!(find(path, None).is_none(), "{path}");
        }
    }

    #[test]
    fn text_of_others_never_becomes_markup() {
        let doors = [
            "innerHTML",
            "outerHTML",
            "insertAdjacentHTML",
            "document.write",
            "createContextualFragment",
            "setHTMLUnsafe",
            "DOMParser",
            "srcdoc",
            "eval(",
            "new Function",
            "javascript:",
        ];
        for (name, content) in FILES {
            for door in doors {
                assert!(!content.contains(door), "{name} contains {door}");
            }
        }
        assert!(FILES.iter().any(|(_, content)| content.contains("textContent")), "the control");
    }

    #[test]
    fn icon_shows_how_much_is_unread() {
        let icon = text("/icon.svg", None);
        assert_eq!(text("/icon.svg", Some("unread=0")), icon);
        assert_eq!(text("/icon.svg", Some("unread=<script>")), icon);
        assert!(text("/icon.svg", Some("unread=3")).contains(">3<"));
        assert!(text("/icon.svg", Some("unread=4000")).contains(">9+<"));
    }
}
