//! The property of untrusted text on a screen.
//! Sanitised text contains no character that controls the terminal, changes the text direction or is invisible. A
//! second pass changes nothing.

use peer::frontends::terminal::sanitize::{display_safe_lines, sanitize};
use peer::untrusted::UntrustedText;

/// The maximum number of combining marks on one letter.
const MARKS: usize = 8;

pub fn hold(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let safe = sanitize(text.as_ref());
    assert_eq!(sanitize(&safe), safe);
    is_harmless(&safe);
    for line in display_safe_lines(&UntrustedText::from(text.as_ref())) {
        is_harmless(&line);
    }
}

fn is_harmless(safe: &str) {
    let mut marks = 0;
    for c in safe.chars() {
        let code = u32::from(c);
        let steers = c.is_control()
            || matches!(code, 0x61c | 0x200b | 0x200e | 0x200f | 0x2028..=0x202e | 0x2060..=0x206f | 0xfeff | 0xe0000..=0xe0fff);
        assert!(!steers, "{c:?} in {safe:?}");
        // These ranges hold the marks for letters of many scripts. They are enough to detect a stack of marks.
        marks = if matches!(code, 0x300..=0x34e | 0x350..=0x36f | 0x20d0..=0x20f0) { marks + 1 } else { 0 };
        assert!(marks <= MARKS, "a tower in {safe:?}");
    }
}
