/** The state of the page (types in `types.d.ts`), and answers to the questions of the views. */

/** @returns {State} */
export const newState = () => ({
	phase: "connecting",
	attached: false,
	hosts: false,
	endsAtSignOut: false,
	me: "",
	isAdmin: false,
	tracker: "lost",
	trackerReason: "",
	trackerAddress: "",
	trackerKey: "",
	listening: "",
	accounts: [],
	givenName: "",
	conversations: new Map(),
	open: null,
	visible: true,
	following: true,
	users: new Map(),
	online: new Set(),
	rooms: [],
	blocked: new Set(),
	requests: new Set(),
	muted: new Set(),
	newKey: "",
	away: null,
	waiting: new Map(),
});

/** @param {Address} address */
export const keyOf = address => ("room" in address ? `room:${address.room}` : `to:${address.to}`);

/** @param {Address} address */
export const titleOf = address => ("room" in address ? address.room : `@${address.to}`);

/** The address in an event. @param {Record<string, any>} fields @returns {Address} */
export const addressIn = ({ named, room, to, with: other }) =>
	named ?? room ? { room: named ?? room } : { to: to ?? other };

/** @param {State} state @param {Address} address */
export function conversationOf(state, address) {
	const key = keyOf(address);
	/** @type {Conversation} */
	const found = state.conversations.get(key) ?? {
		key,
		address,
		title: titleOf(address),
		snapshot: null,
		ended: false,
		rows: [],
		keys: new Set(),
		loaded: "no",
		older: false,
		detached: false,
		unread: 0,
		mentions: 0,
		firstUnread: null,
		missed: "",
		read: null,
		last: null,
		activity: 0,
	};
	state.conversations.set(key, found);
	return found;
}

/** @param {State} state */
export function userOf(state, name) {
	/** @type {User} */
	const found = state.users.get(name) ?? { linked: false, trust: "unknown", away: null };
	state.users.set(name, found);
	return found;
}

/** @param {State} state */
export const openConversation = state => state.conversations.get(state.open ?? "") ?? null;

/** True if a user can be reached. @param {State} state */
export const isOnline = ({ tracker, online, users, me }, name) =>
	name === me || users.get(name)?.linked === true || (tracker === "connected" && online.has(name));

/** Takes over who is connected. @param {State} state @param {RoomSnapshot | null} room */
export const readPresence = ({ online }, room) => room?.members.forEach(({ username, connected }) => online[connected ? "add" : "delete"](username));

/** The members of a conversation, with this user. @param {State} state @returns {Member[]} */
export function membersOf(state, { address, snapshot }) {
	const members = "room" in address ? (snapshot?.members ?? []) : [{ username: state.me }, { username: address.to }];
	return members.map(member => ({ ...member, connected: isOnline(state, member.username) }));
}

/** @param {State} state */
export const othersOf = (state, conversation) =>
	membersOf(state, conversation).filter(member => member.username !== state.me);

/** True for a room that this user has left. */
export const hasEnded = ({ address, ended }) => ended && "room" in address;

/** The latest activity comes first. @param {State} state */
export const currentConversations = state =>
	[...state.conversations.values()]
		.filter(it => !hasEnded(it))
		.sort((a, b) => b.activity - a.activity || a.title.localeCompare(b.title));

/** @param {State} state */
export const endedConversations = state =>
	[...state.conversations.values()].filter(hasEnded).sort((a, b) => a.title.localeCompare(b.title));

/** @param {State} state */
export const otherRooms = state =>
	state.rooms.filter(room => state.conversations.get(keyOf({ room: room.name }))?.ended !== false);

/** @param {State} state */
export const onlineUsers = state =>
	[...new Set([...state.online, ...state.users.keys()])].filter(it => it !== state.me && isOnline(state, it)).sort();

/** @param {State} state */
export const unreadOf = state => [...state.conversations.values()].reduce((count, it) => count + it.unread, 0);

/** The state of the connection while no peer answers. */
export const PEER_AWAY = "offline: peer";

/** The state of the connection, for tests and assistive technology. @param {State} state */
export function connectionWords({ phase, attached, tracker }) {
	if (phase !== "signed_in") {
		return "signed out";
	}
	return !attached ? PEER_AWAY : tracker === "connected" ? "connected" : "offline: tracker";
}

/** Returns the reason why nothing can be written now, or an empty text. @param {State} state */
export function writingRefused(state) {
	const conversation = openConversation(state);
	if (state.phase !== "signed_in") {
		return "Sign in to write";
	}
	if (!conversation) {
		return "Open a conversation to write";
	}
	if (!state.attached) {
		return "The peer does not answer; your text is kept";
	}
	return hasEnded(conversation) ? "You are not in this conversation any more" : "";
}
