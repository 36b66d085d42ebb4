/** The state of the peer when a page connects, without messages. Events continue from there. */

import { addressIn, conversationOf, readPresence, userOf } from "./state.js";

/**
 * Takes over a snapshot. Messages that are on the page stay. After a connection was lost they are completed from the
 * history. While it lasts, those that the page was too slow for follow as events.
 * @param {State} state
 * @param {PeerEvent} snapshot
 */
export function readSnapshot(state, snapshot) {
	const { username, rooms = [], private_chats = [], users = [], blocked = [], requests, muted } = snapshot;
	if (!username || username !== state.me) {
		signOut(state);
	}
	const isGap = !state.attached;
	Object.assign(state, {
		attached: true,
		me: username ?? "",
		phase: username ? "signed_in" : "signed_out",
		tracker: snapshot.tracker,
		trackerReason: snapshot.tracker_reason ?? "",
		trackerAddress: snapshot.tracker_address,
		trackerKey: snapshot.tracker_key ?? "",
		listening: snapshot.listening,
		accounts: snapshot.accounts ?? [],
		givenName: snapshot.given_name ?? "",
		blocked: new Set(blocked),
		requests: new Set(requests),
		muted: new Set(muted),
		away: snapshot.away ?? null,
	});
	state.users.forEach(user => Object.assign(user, { linked: false, away: null }));
	for (const { username: name, link, trust, away = null } of users) {
		Object.assign(userOf(state, name), { linked: Boolean(link), trust, away });
	}
	const present = new Set(private_chats.map(name => conversationOf(state, { to: name })));
	for (const room of rooms) {
		const conversation = conversationOf(state, { room: room.name });
		conversation.snapshot = room;
		readPresence(state, room);
		present.add(conversation);
	}
	for (const it of snapshot.unread ?? []) {
		const conversation = conversationOf(state, addressIn(it));
		conversation.unread = conversation.key === state.open ? conversation.unread : it.messages;
	}
	for (const conversation of state.conversations.values()) {
		conversation.ended = !present.has(conversation);
		if (isGap) {
			conversation.loaded = "no";
			conversation.rows.forEach(row => (row.live = false));
		}
	}
}

/** @param {State} state */
export function signOut(state) {
	const { conversations, users, blocked, requests, waiting } = state;
	[conversations, users, blocked, requests, waiting].forEach(part => part.clear());
	Object.assign(state, { phase: "signed_out", me: "", isAdmin: false, open: null, newKey: "", away: null, online: new Set(), rooms: [] });
}
