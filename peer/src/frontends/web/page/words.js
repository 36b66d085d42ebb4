/** The sentences of the page. A sentence says what happened, then what to do. */

import { safeRow } from "./safe_text.js";

export const counted = (count, one, many = `${one}s`) => `${count.toLocaleString("en")} ${count === 1 ? one : many}`;

/** Lists names: "ana, bob and carla". */
export const listed = names => new Intl.ListFormat("en-GB").format(names.map(safeRow).sort());

const format = options => new Intl.DateTimeFormat("en-GB", options);
const CLOCK = format({ hour: "2-digit", minute: "2-digit" });
const DAY = format({ weekday: "long", day: "numeric", month: "long", year: "numeric" });
const SHORT_DAY = format({ day: "numeric", month: "short" });

export const clock = at => CLOCK.format(at);

export const fullTime = at => new Date(at).toString().slice(0, 24);

export const dayKey = at => new Date(at).toDateString();

export function dayName(at, now) {
	const yesterday = new Date(now);
	yesterday.setDate(yesterday.getDate() - 1);
	const words = dayKey(at) === dayKey(now) ? "Today, " : dayKey(at) === yesterday.toDateString() ? "Yesterday, " : "";
	return words + DAY.format(at);
}

export const shortTime = (at, now) => (dayKey(at) === dayKey(now) ? CLOCK : SHORT_DAY).format(at);

const CHANGES = { joined: "joined", left: "left", offline: "went offline; the seat is kept", online: "is back" };

export const changeNote = (change, user) => `${safeRow(user)} ${CHANGES[change] ?? safeRow(change)}`;

export function missedNote(people, messages) {
	const count = counted(messages, "message");
	if (people === 0) {
		return `You wrote ${count} on another computer`;
	}
	return `${count}${people > 1 ? ` from ${people} people` : ""} while you were away`;
}

/** Returns the state of delivery in a word: `waiting`, `1/2`, `2/2`. @param {Delivery} delivery */
export function deliveryWord({ has, written, waits, failed }) {
	const count = has.length + written.length;
	if (!waits.length && failed.length) {
		return count ? `${count}/${count + failed.length}` : "not delivered";
	}
	return count ? `${count}/${count + waits.length}` : waits.length ? "waiting" : "nobody else here";
}

const FAILURES = {
	LEFT: "no longer in this conversation",
	TEXT_TOO_LONG: "the text is too long for that program",
	FORGOTTEN: "erased here before it arrived",
	QUEUE_FULL: "too many newer messages waited",
};

/** Lists who has a message, and who not. @param {Delivery} delivery */
export function deliveryDetails({ has, written, waits, failed }) {
	const rows = [
		has.length && `Delivered to ${listed(has)}.`,
		written.length && `Sent to ${listed(written)}, whose program confirms nothing.`,
		waits.length && `Waiting for ${listed(waits)}.`,
		...failed.map(({ to, reason }) => `Not delivered to ${safeRow(to)}: ${FAILURES[reason] ?? safeRow(reason)}.`),
	].filter(row => typeof row === "string");
	return rows.length ? rows : ["There were no recipients when it was sent."];
}

/** Sentences for codes whose own text says less */
const ERRORS = {
	USERNAME_TAKEN: "This name is taken. Sign in with its password, or choose another name.",
	INVALID_CREDENTIALS: "The name or the password is wrong. Correct it, or register a new account.",
	UNREACHABLE: "This user is not connected. Try again when the name is online.",
	KEY_CHANGED: "The key of this user has changed, so nothing is sent. Compare the safety numbers, then accept the key.",
	TOO_MANY_ATTEMPTS: "There were too many wrong passwords.",
	RATE_LIMITED: "That was too fast.",
	LOCAL_PASSWORD: "This password does not open your key on this computer. Type it again.",
	ACCOUNT_UNKNOWN: "The tracker does not accept this password either. Type the new one, or register again.",
	KEY_REFUSED: "The tracker refuses this computer's key: it was revoked, or the account is gone, or the tracker is not what it was.",
	DIGEST_REQUIRED: "An original program or an earlier version made this account. The tracker needs the digest of the password once. Its operator can guess a weak password from it.",
	PASSWORD_CHANGED: "The password was changed or reset elsewhere. Type the new one.",
	TRACKER_KEY_CHANGED: "The tracker has another key than before, so you are not signed in there.",
	SUPERSEDED: "You signed in elsewhere, so you are signed out here. Only one computer can be signed in at a time.",
};

const ENDS = {
	KICKED: "An admin of the tracker ended your session, or removed your account. Sign in again, or ask the admin.",
	INVALID_CREDENTIALS: "The tracker does not accept this computer any more: your password was reset, or your account or key was removed. Sign in with your new password.",
};

export const endWords = reason => ENDS[reason.code] ?? errorWords(reason);

/** @param {Record<string, any>} error */
export function errorWords({ code = "", message = "", retry_after_ms, reason }) {
	const words = ERRORS[reason ?? code] ?? safeRow(message || code || "Something went wrong");
	const again = retry_after_ms ? ` Try again in ${counted(Math.ceil(retry_after_ms / 1000), "second")}.` : "";
	return words.charAt(0).toUpperCase() + words.slice(1) + (/[.!?]$/.test(words) ? "" : ".") + again;
}

const LOSSES = {
	STOPPED: ": it was stopped",
	CLOSED: ": it closed the connection",
	RESET: ": the connection was reset",
	TIMED_OUT: ": it does not answer",
	REFUSED: ": nothing answers at its address",
	TURNED_AWAY: ": it has no free place",
	OTHER_KEY: ": what answers has another key. Sign out and in again to compare the keys",
};

/** What stands in place of a message that the word filter hides. */
export const HIDDEN = "Hidden: your filter, or muted.";

export const peerAway = "The peer does not answer: it may have crashed. Start it again and open its new link.";

export const trackerLost = reason =>
	`The tracker is out of reach${LOSSES[reason] ?? ""}. Messages still travel between you and the others.`;

/** Groups the digits of a key, so that people can compare it. */
export const keyGroups = key => (safeRow(key).match(/.{1,8}/g) ?? []).join(" ");
