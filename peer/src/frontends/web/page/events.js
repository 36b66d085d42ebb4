/** The reducer of the page: how each event of the peer changes the state. */

import { append, messageKey, newVersion } from "./rows.js";
import { safeRow } from "./safe_text.js";
import { readSnapshot, signOut } from "./snapshot.js";
import { addressIn, conversationOf, keyOf, openConversation, othersOf, readPresence, userOf } from "./state.js";
import { changeNote, endWords, errorWords, HIDDEN, missedNote } from "./words.js";

/** Own messages whose delivery is watched. */
const WAITING_MAX = 10_000;

/** Time in which the tracker notices the end of a program, in ms */
const NOTICED = 2000;

/** Characters of a message that the list of conversations quotes. */
const QUOTED = 120;

/**
 * Changes the state as an event says, and returns what is to be done about it.
 * @param {State} state
 * @param {PeerEvent} event
 * @param {number} now milliseconds since 1970
 * @returns {Effect[]}
 */
export function apply(state, event, now) {
	return (Object.hasOwn(HANDLERS, event.event) && HANDLERS[event.event](state, event, now)) || [];
}

/** @type {Record<string, (state: State, event: PeerEvent, now: number) => Effect[] | void>} */
const HANDLERS = {
	snapshot(state, event) {
		readSnapshot(state, event);
		return [{ do: "restart" }];
	},

	program(state, { hosts_tracker, ends_at_sign_out }) {
		Object.assign(state, { hosts: hosts_tracker, endsAtSignOut: ends_at_sign_out });
	},

	program_ended: (_, event) => [{ do: "ended", words: event.code ? endWords(event) : "It was ended on another page, or in its terminal." }],

	admin(state) {
		state.isAdmin = true;
	},

	logged_in(state, event) {
		const isFirst = state.phase !== "signed_in";
		Object.assign(state, { phase: "signed_in", me: event.username, tracker: "connected" });
		return [{ do: isFirst ? "signed_in" : "refresh" }];
	},

	signed_out(state, event) {
		signOut(state);
		return [{ do: "restart", words: event.code && endWords(event) }];
	},

	tracker(state, event) {
		state.tracker = event.state;
		state.trackerReason = event.reason ?? "";
		return [{ do: "refresh" }];
	},

	tracker_moved: (_, event) => [{ do: "toast", text: `The tracker has moved to ${safeRow(event.to)}.` }],

	room_entered(state, { room }, now) {
		const conversation = begun(state, { room: room.name }, now);
		if (conversation.snapshot && conversation.snapshot.id !== room.id) {
			// Another room of the same name
			Object.assign(conversation, { rows: [], keys: new Set(), loaded: "no", older: false, last: null });
		}
		conversation.snapshot = room;
		readPresence(state, room);
		return [{ do: "members", conversation }, { do: "refresh" }];
	},

	room_update(state, event, now) {
		const conversation = conversationOf(state, { room: event.room });
		conversation.snapshot = event.room_state ?? conversation.snapshot;
		readPresence(state, conversation.snapshot);
		note(state, conversation, changeNote(event.change, event.username), now);
		return [{ do: "members", conversation }, { do: "refresh" }];
	},

	room_owner(state, event, now) {
		const conversation = conversationOf(state, { room: event.room });
		conversation.snapshot = event.room_state;
		note(state, conversation, `${safeRow(event.owner)} owns this room now`, now);
		return [{ do: "members", conversation }, { do: "refresh" }];
	},

	announcement: (_, { from, text }) => [{ do: "toast", text: `${from ? safeRow(from) : "The tracker"} announces: ${safeRow(text)}` }],

	room_left: (state, event, now) => ended(state, event, "You left this room", now),

	room_deleted: (state, event, now) => ended(state, event, "This room was deleted", now),

	room_available: () => [{ do: "refresh" }],

	conversation_started: (state, event, now) => [{ do: "members", conversation: begun(state, addressIn(event), now) }],

	conversation_ended: (state, event, now) => ended(state, event, `${safeRow(event.by)} left this chat`, now),

	history_erased(state, event) {
		const conversation = state.conversations.get(keyOf(addressIn(event)));
		return conversation && [{ do: "reload", conversation }];
	},

	link(state, event) {
		const user = userOf(state, event.peer);
		user.linked = event.state === "up";
		if (user.linked && user.trust !== "changed") {
			user.trust = !event.encrypted ? "unencrypted" : event.verified ? "verified" : "unverified";
		}
		if (!user.linked) {
			// The tracker may notice the end of a program later than the link.
			state.online.delete(event.peer);
			return [{ do: "refresh", after: NOTICED }];
		}
	},

	presence(state, { user, away = null }) {
		if (user === state.me) {
			state.away = away;
		} else {
			userOf(state, user).away = away;
		}
	},

	key_changed(state, { peer }, now) {
		userOf(state, peer).trust = "changed";
		const name = safeRow(peer);
		noteWith(state, peer, `${name} uses another key: nothing is sent to ${name} until you accept it`, now);
	},

	key_accepted(state, { peer, endorsed }, now) {
		userOf(state, peer).trust = "unverified";
		const name = safeRow(peer);
		const text = endorsed ? `${name} uses a new key, which an earlier one endorses` : `The new key of ${name} is accepted`;
		return noteWith(state, peer, text, now).map(conversation => ({ do: "members", conversation }));
	},

	key_verified(state, { peer }) {
		userOf(state, peer).trust = "verified";
	},

	block_changed({ blocked }, event) {
		event.blocked ? blocked.add(event.user) : blocked.delete(event.user);
	},

	mute_changed(state, { user, muted }) {
		muted ? state.muted.add(user) : state.muted.delete(user);
	},

	chat_request(state, { user }, now) {
		state.requests.add(user);
		return [{ do: "members", conversation: begun(state, { to: user }, now) }];
	},

	chat_accepted(state, { user }) {
		state.requests.delete(user);
	},

	new_key(state, event) {
		state.newKey = String(event.fingerprint);
	},

	message(state, event, now) {
		const isOwn = event.from === state.me;
		const address = event.room ? { room: event.room } : { to: isOwn ? event.to : event.from };
		const isNew = !state.conversations.has(keyOf(address));
		const conversation = begun(state, address, now);
		const message = messageRow(state, event);
		Object.assign(message, { live: true, late: event.late === true, missing: event.missing ?? 0 });
		message.unencrypted = state.users.get(event.from)?.trust === "unencrypted";
		if (conversation.missed && (message.late || isOwn)) {
			note(state, conversation, conversation.missed, now, message.key);
			conversation.missed = "";
		}
		const isShown = append(state, conversation, message);
		remember(conversation, message);
		/** @type {Effect[]} */
		const effects = isNew ? [{ do: "members", conversation }] : [];
		if (isOwn || event.muted || !(isShown || conversation.detached)) {
			return effects;
		}
		if (isRead(state, conversation)) {
			conversation.read = message.key;
		} else {
			conversation.firstUnread = conversation.unread ? conversation.firstUnread : message.key;
			conversation.unread += 1;
			if (!message.filtered && !event.request && (!event.room || namesUser(message.text, state.me))) {
				conversation.mentions += 1;
				effects.push({ do: "alert", conversation, message });
			}
		}
		return message.filtered ? effects : [...effects, { do: "received", conversation, message }];
	},

	missed(state, event) {
		conversationOf(state, addressIn(event)).missed = missedNote(event.people, event.lines);
	},

	fork(state, event, now) {
		const name = safeRow(event.author);
		const text = `${name} signed two different messages with one number: not all members see the same`;
		note(state, conversationOf(state, addressIn(event)), text, now);
	},

	sent(state, event, now) {
		const address = addressIn(event);
		const isNew = !state.conversations.has(keyOf(address));
		const conversation = begun(state, address, now);
		const message = messageRow(state, { ...event, from: state.me });
		message.at ||= now;
		message.live = true;
		message.delivery = { has: [], written: [], waits: event.recipients ?? othersOf(state, conversation).map(it => it.username), failed: [] };
		append(state, conversation, message);
		remember(conversation, message);
		if (message.delivery.waits.length && state.waiting.size < WAITING_MAX) {
			state.waiting.set(message.id, message);
		}
		return isNew ? [{ do: "members", conversation }] : [];
	},

	delivered: (state, event) => recorded(state, event, delivery => delivery.has.push(event.to)),

	written: (state, event) => recorded(state, event, delivery => delivery.written.push(event.to)),

	undelivered(state, event) {
		if (event.reason !== "WAITING" && event.reason !== "KEY_CHANGED") {
			recorded(state, event, delivery => delivery.failed.push({ to: event.to, reason: event.reason }));
		}
	},

	message_withdrawn(state, { id }) {
		const key = messageKey({ from: state.me, id });
		state.waiting.delete(id);
		for (const conversation of state.conversations.values()) {
			if (conversation.keys.delete(key)) {
				conversation.rows = conversation.rows.filter(row => row.key !== key);
			}
		}
	},

	error(state, event) {
		if (event.in_reply_to !== undefined) {
			return [];
		}
		if (event.code === "TRACKER_KEY_CHANGED") {
			state.trackerReason = "OTHER_KEY";
		}
		return [{ do: "toast", text: errorWords(event), bad: true }];
	},
};

/** A conversation in which something happens. @param {State} state @param {Address} address */
function begun(state, address, now) {
	const conversation = conversationOf(state, address);
	conversation.ended = false;
	conversation.activity = now;
	return conversation;
}

/** @param {State} state @param {PeerEvent} event @returns {Effect[]} */
function ended(state, event, text, now) {
	const conversation = state.conversations.get(keyOf(addressIn(event)));
	if (conversation && !conversation.ended) {
		Object.assign(conversation, { ended: true, unread: 0, mentions: 0 });
		note(state, conversation, text, now);
	}
	return [{ do: "refresh" }];
}

/** Records the delivery to one recipient. @param {State} state @param {PeerEvent} event @param {(delivery: Delivery) => void} record */
function recorded(state, { id, to }, record) {
	const message = state.waiting.get(id);
	if (message?.delivery) {
		const { delivery } = message;
		const others = list => list.filter(name => name !== to);
		Object.assign(delivery, { has: others(delivery.has), written: others(delivery.written), waits: others(delivery.waits) });
		record(delivery);
		message.version = newVersion();
		if (!delivery.waits.length) {
			state.waiting.delete(id);
		}
	}
}

/** @param {State} state @returns {Message} */
export const messageRow = (state, given) => ({
	kind: "message",
	key: messageKey(given),
	id: given.id,
	from: given.from,
	text: given.content,
	at: Date.parse(given.sent_at) || 0,
	own: given.from === state.me,
	live: false,
	late: false,
	unencrypted: given.signed === false,
	filtered: given.filtered === true || given.muted === true,
	missing: 0,
	delivery: null,
	version: newVersion(),
});

/** Takes over what `receipts` says about this user's last messages. @param {State} state */
export function readReceipts(state, conversation, receipts) {
	const known = new Map(receipts.map(receipt => [receipt.id, receipt]));
	for (const row of conversation.rows) {
		const receipt = row.kind === "message" && row.own && known.get(row.id);
		if (receipt) {
			const { has, written = [], waits } = receipt;
			row.delivery = { has, written, waits, failed: row.delivery?.failed ?? [] };
			row.version = newVersion();
			if (waits.length) {
				state.waiting.set(row.id, row);
			}
		}
	}
}

/** Takes over what `users` says about the keys of members. @param {State} state */
export function readTrust(state, members) {
	for (const { username, trust } of members) {
		if (username !== state.me) {
			userOf(state, username).trust = trust;
		}
	}
}

/** Returns true if new messages of a conversation are on the screen. @param {State} state */
export const isRead = (state, conversation) => state.open === conversation.key && state.visible && state.following;

/** @param {State} state */
export function markRead(state) {
	const conversation = openConversation(state);
	if (conversation && isRead(state, conversation)) {
		conversation.unread = conversation.mentions = 0;
		conversation.read = conversation.rows.findLast(row => row.kind === "message")?.key ?? conversation.read;
	}
}

export function remember(conversation, { from, text, at, live, filtered }) {
	if (live || !conversation.last || at >= conversation.last.at) {
		conversation.last = { from, text: (filtered ? HIDDEN : text).slice(0, QUOTED).replace(/\s+/g, " "), at };
	}
}

export function namesUser(text, name) {
	const [whole, part] = [text.toLowerCase(), name.toLowerCase()];
	const isInWord = c => c !== undefined && /[\p{L}\p{N}_]/u.test(c);
	for (let at = whole.indexOf(part); part && at >= 0; at = whole.indexOf(part, at + 1)) {
		if (!isInWord(whole[at - 1]) && !isInWord(whole[at + part.length])) {
			return true;
		}
	}
	return false;
}

let notes = 0;

/** @param {State} state @param {string} [above] a key */
function note(state, conversation, text, at, above) {
	notes += 1;
	/** @type {Note} */
	const row = { kind: "note", key: `note-${notes}`, text, at, live: true, version: 0 };
	const isThere = append(state, conversation, row);
	const place = conversation.rows.findLastIndex(it => it.key === above);
	if (isThere && place >= 0) {
		conversation.rows.splice(place, 0, ...conversation.rows.splice(-1));
	}
}

/** Adds a note to each conversation with a user. @param {State} state */
function noteWith(state, name, text, at) {
	const shared = [...state.conversations.values()].filter(it => !it.ended && othersOf(state, it).some(member => member.username === name));
	shared.forEach(conversation => note(state, conversation, text, at));
	return shared;
}
