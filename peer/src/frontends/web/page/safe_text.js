/**
 * The sanitizer of the page, by the rules of the terminal's. Every text of others passes it on its way to `textContent`.
 *
 * A character that controls the display or cannot be seen becomes a visible escape, such as `\u{202e}`: nobody can
 * reorder, hide or imitate text.
 */

/** Combining marks on one letter: more would cover other rows. */
const COMBINING_MARKS = 8;

/** Letters and marks that Unicode calls ignorable: they leave no trace on the screen. */
const BLANK =
	/[\u{34f}\u{115f}\u{1160}\u{17b4}\u{17b5}\u{180b}-\u{180f}\u{2800}\u{3164}\u{ffa0}\u{fe00}-\u{fe0d}\u{e0100}-\u{e01ef}]/u;

/** Control, format, private and unassigned characters, and line separators. */
const HIDDEN = /[\p{C}\u{2028}\u{2029}]/u;

/** Printable ASCII and line feeds need no look at each character. */
const PLAIN = /^[ -~\n]*$/;

const isHidden = c => HIDDEN.test(c) || BLANK.test(c);

const isMark = c => /\p{M}/u.test(c);

/** True if a joiner may stand here: in an emoji, or between letters of some scripts. @param {string | undefined} c */
const joins = c => c !== undefined && c > "\x7f" && !isHidden(c) && !/\p{Zs}/u.test(c);

/** @param {string} lineFeed the replacement of a line feed */
function sanitized(text, lineFeed) {
	const characters = Array.from(text);
	let safe = "";
	let marks = 0;
	characters.forEach((c, at) => {
		const [before, after] = [characters[at - 1], characters[at + 1]];
		marks = isMark(c) ? marks + 1 : 0;
		if (c === "\t") {
			safe += "    ";
		} else if (c === "\n") {
			safe += lineFeed;
		} else if ((c === "\u200c" || c === "\u200d") && joins(before) && joins(after) && !isMark(after ?? "")) {
			safe += c;
		} else if (isHidden(c)) {
			safe += `\\u{${(c.codePointAt(0) ?? 0).toString(16)}}`;
		} else if (marks <= COMBINING_MARKS) {
			safe += c;
		}
	});
	return safe;
}

/** Returns text on one row, for names and labels. A line feed becomes a visible `\n`. */
export function safeRow(text) {
	return sanitized(String(text ?? ""), "\\n");
}

/** The text of a message, with its line feeds and no white space at its end. */
export function safeText(text) {
	const ends = String(text ?? "").trimEnd().replace(/\r\n/g, "\n");
	return PLAIN.test(ends) ? ends : sanitized(ends, "\n");
}
