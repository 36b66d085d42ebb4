/** The left side: conversations, rooms and users. */

import { avatar, button, byId, element, keyedList, on, span, unseen } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { connectionWords, currentConversations, endedConversations, membersOf, onlineUsers, openConversation, otherRooms, othersOf } from "./state.js";
import { View } from "./view.js";
import { counted, listed, shortTime } from "./words.js";

/** Rows of a list: nobody reads thousands. */
const LISTED = 200;

export class Sidebar extends View {
	/** The state of the connection when the problem was shown */
	#said = "";

	constructor(app) {
		super(app);
		on("create-form", "submit", () => this.#create());
		on("room-name", "input", () => this.#say(""));
		on("ended", "toggle", () => byId("ended").open && this.app.tried(() => this.app.actions.loadKept()));
	}

	#say(problem) {
		byId("create-problem").textContent = problem;
		this.#said = connectionWords(this.state);
	}

	async #create() {
		const entry = byId("room-name");
		const room = entry.value.trim();
		this.#say(room ? "" : "Type a name for the room first.");
		if (!room) {
			entry.focus();
			return;
		}
		try {
			await this.app.actions.enter("create", room);
			entry.value = "";
		} catch (error) {
			this.#say(this.app.words(error));
		}
	}

	draw() {
		const { state } = this;
		this.#said !== connectionWords(state) && this.#say("");
		const fill = (id, items, keyOf, lookOf, build) => {
			keyedList(byId(id), items.slice(0, LISTED), keyOf, lookOf, build);
			byId(`no-${id}`).hidden = items.length > 0;
		};
		const conversations = (id, items) => fill(id, items, it => it.key, it => this.#look(it), it => this.#conversation(it));
		conversations("conversations", currentConversations(state));
		fill("rooms", otherRooms(state), room => room.id, room => JSON.stringify(room), room => this.#room(room));
		fill("people", onlineUsers(state), name => name, name => String(state.blocked.has(name)), name => this.#person(name));
		conversations("ended-list", endedConversations(state));
	}

	/** @param {RoomSnapshot} room */
	#room({ name, members, capacity, owner }) {
		const isFull = members.length >= capacity;
		const people = members.length ? listed(members.map(it => it.username)) : `owner ${safeRow(owner)}`;
		const isOwn = owner === this.state.me;
		const join = button("Join", () => this.app.actions.join(name), "quiet", `Join ${safeRow(name)}`);
		return element(
			"li",
			{ class: "item" },
			span("row-text", span("row-name", safeRow(name)), span("row-more", `${members.length}/${capacity} · ${isOwn ? "yours, your seat is kept" : people}`)),
			isFull && !isOwn ? span("row-more", "full") : join,
		);
	}

	#person(name) {
		const chat = button("Chat", () => this.app.actions.openDirect(name), "quiet", `Chat with ${safeRow(name)}`);
		const blocked = this.state.blocked.has(name) && span("row-more", "blocked");
		return element("li", { class: "item" }, avatar(name, "small online"), span("row-text", span("row-name", safeRow(name)), blocked), chat);
	}

	/** Returns a text that changes with the look of a row. */
	#look(it) {
		const { state } = this;
		const present = membersOf(state, it).map(({ username, connected }) => [username, connected, state.users.get(username)?.trust]);
		return JSON.stringify([it === openConversation(state), it.unread, it.mentions, it.last, it.last && shortTime(it.last.at, Date.now()), present]);
	}

	#conversation(it) {
		const { state } = this;
		const id = `of-${it.key.replace(/\s/g, "_")}`;
		const { address, last, snapshot } = it;
		const isDirect = "to" in address;
		const others = othersOf(state, it);
		const isOnline = others.some(member => member.connected);
		const isWarned = others.some(member => state.users.get(member.username)?.trust === "changed");
		const place = isDirect ? (isOnline ? "online" : "offline") : snapshot ? `${snapshot.members.length}/${snapshot.capacity} in the room` : "";
		const under = last ? `${last.from === state.me ? "You" : safeRow(last.from)}: ${safeRow(last.text)}` : place;
		const badge = element(
			"span",
			{ class: it.mentions ? "badge mentioned" : "badge" },
			it.mentions > 0 && unseen(`${counted(it.mentions, "message")} for you, `),
			it.unread > 999 ? "999+" : String(it.unread),
			unseen(" unread"),
		);
		const open = element(
			"button",
			{
				class: "conversation-button item",
				"aria-current": state.open === it.key && "true",
				"aria-describedby": id,
				on: () => this.app.actions.open(it.key),
			},
			isDirect ? avatar(address.to, isOnline ? "online" : "") : element("span", { class: "avatar room", "aria-hidden": "true", text: "#" }),
			span("row-text", span("row-name", safeRow(it.title)), element("span", { class: "row-more", "aria-hidden": "true", text: under })),
			element("span", { class: "row-end", "aria-hidden": "true", id }, isWarned && span("mark bad", "key"), last && span("row-more", shortTime(last.at, Date.now())), it.unread > 0 && badge),
		);
		return element("li", {}, open);
	}
}
