/** The rows of a conversation: messages in order, and notes of the program between them. */

/** The key of a message: ids are unique per author. @param {{ from: string, id: string }} message */
export const messageKey = ({ from, id }) => `${from} ${id}`;

let versions = 0;

/** Returns a new version of a row: another row of the same key has another one. */
export const newVersion = () => (versions += 1);

/** Rows kept of a conversation that is not open. */
const ROWS_CLOSED = 200;

/** Rows kept while the newest message is on the screen */
const ROWS_FOLLOWING = 1000;

/** Rows kept while one reads older messages */
const ROWS_BROWSING = 4000;

/**
 * Adds a row at the end. Returns false if it is there already, or if the newest rows are not held now.
 * @param {State} state
 * @param {Conversation} conversation
 * @param {Row} row
 */
export function append(state, conversation, row) {
	if (conversation.keys.has(row.key) || conversation.detached) {
		return false;
	}
	conversation.rows.push(row);
	conversation.keys.add(row.key);
	trim(state, conversation);
	return true;
}

/** @param {State} state */
export function mergeNewest(state, conversation, page) {
	const first = page.find(row => conversation.keys.has(row.key));
	if (!first) {
		// Between the old rows and this page there may be others.
		replace(conversation, conversation.rows.filter(row => row.live));
	}
	const { rows } = conversation;
	const places = new Map(rows.map((row, at) => [row.key, at]));
	let next = first ? (places.get(first.key) ?? 0) : 0;
	// Notes belong to the message below them.
	while (rows[next - 1]?.kind === "note") {
		next -= 1;
	}
	const merged = rows.slice(0, next);
	for (const row of page) {
		const place = places.get(row.key);
		if (place === undefined) {
			merged.push(row);
		} else if (place >= next) {
			merged.push(...rows.slice(next, place + 1));
			next = place + 1;
		}
	}
	replace(conversation, [...merged, ...rows.slice(next)]);
	conversation.detached = false;
	trim(state, conversation);
}

export function mergeOlder(conversation, page) {
	const rows = [...page.filter(row => !conversation.keys.has(row.key)), ...conversation.rows];
	conversation.detached ||= rows.length > ROWS_BROWSING;
	replace(conversation, rows.slice(0, ROWS_BROWSING));
}

export function replace(conversation, rows) {
	conversation.rows = rows;
	conversation.keys = new Set(rows.map(row => row.key));
}

/** Removes the oldest rows beyond the bound: the history still has them. @param {State} state */
export function trim(state, conversation) {
	const { rows, keys, key } = conversation;
	const most = state.open !== key ? ROWS_CLOSED : state.following ? ROWS_FOLLOWING : ROWS_BROWSING;
	// Some slack, so that not every message moves all the others.
	if (rows.length > most * 1.25) {
		rows.splice(0, rows.length - most).forEach(row => keys.delete(row.key));
		conversation.older = true;
	}
}
