/** The messages of the open conversation on the screen. */

import { box, byId, keyedList, on, paragraph } from "./dom.js";
import { markRead, namesUser } from "./events.js";
import { buildRow, lookOf } from "./message_row.js";
import { trim } from "./rows.js";
import { openConversation } from "./state.js";
import { View } from "./view.js";
import { counted } from "./words.js";

/** Rows in the page at a time: following the newest message, and reading older ones */
const [ROWS_FOLLOWING, ROWS_READING] = [60, 160];

const STEP = 60;

/** Pixels from the end that still count as the end. */
const NEAR_END = 48;

export class MessageList extends View {
	#log = byId("log");
	#edge = paragraph("edge", "");
	#rows = box("log-rows");
	/** The first row in the page, unless the list follows the newest message. @type {Row | null} */
	#top = null;
	/** @type {string | null} */
	#key = null;
	/** The key of a row to show at the next drawing. @type {string | null} */
	#target = null;
	#expanded = new Set();
	#unfolded = new Set();
	#isScrollDue = false;

	constructor(app) {
		super(app);
		this.#log.append(this.#edge, this.#rows);
		on(this.#log, "scroll", () => this.#scrolled());
		on("jump", "click", () => {
			this.follow();
			this.#log.focus({ preventScroll: true });
		});
		new ResizeObserver(() => this.state.following && this.#toEnd()).observe(this.#log);
	}

	follow() {
		const { state } = this;
		const conversation = openConversation(state);
		state.following = true;
		this.#top = null;
		if (conversation?.detached) {
			this.app.history.reload(conversation);
		}
		markRead(state);
		this.app.draw();
	}

	show(key) {
		this.#target = key;
	}

	draw() {
		const { state } = this;
		const conversation = openConversation(state);
		if (this.#key !== state.open) {
			this.#key = state.open;
			this.#top = null;
			this.#rows.replaceChildren();
			this.#expanded.clear();
			this.#unfolded.clear();
			this.#target ??= conversation?.firstUnread ?? null;
			state.following = !conversation?.detached;
		}
		if (!conversation) {
			return;
		}
		const { rows } = conversation;
		const at = this.#target ? rows.findIndex(row => row.key === this.#target) : -1;
		if (at >= 0) {
			this.#top = rows[Math.max(0, at - STEP)];
			state.following = false;
		}
		const first = this.#firstIndex(rows);
		const anchor = state.following ? null : this.#anchor();
		this.#sync(conversation, first);
		this.#drawEdge(conversation, first);
		if (at >= 0) {
			this.#target = null;
			this.#reveal(rows[at].key);
		} else if (state.following) {
			this.#toEnd();
		} else if (anchor) {
			const now = this.#nodeOf(anchor.key)?.getBoundingClientRect().top ?? anchor.top;
			this.#log.scrollTop += now - anchor.top;
		}
		if (!state.following || rows.length < STEP) {
			// There may be nothing to scroll, although there are more rows.
			this.#scrolled();
		}
		byId("jump").hidden = state.following;
		byId("jump-words").textContent = conversation.unread ? counted(conversation.unread, "new message") : "Jump to the newest";
	}

	#firstIndex(rows) {
		const { following } = this.state;
		const last = Math.max(0, rows.length - (following ? ROWS_FOLLOWING : ROWS_READING));
		return following || !this.#top ? last : Math.max(0, Math.min(rows.indexOf(this.#top), last));
	}

	#sync({ address, firstUnread, rows }, first) {
		const actions = {
			toggle: row => this.#toggle(this.#expanded, row),
			unfold: row => this.#toggle(this.#unfolded, row),
			withdraw: row => this.app.actions.withdraw(row.id),
		};
		const now = Date.now();
		const drawn = rows.slice(first, first + ROWS_READING).map((row, at) => {
			const isRoomMessage = row.kind === "message" && !row.own && !row.filtered && "room" in address;
			const around = {
				before: rows[first + at - 1],
				isFirstUnread: firstUnread === row.key,
				isMention: isRoomMessage && namesUser(row.text, this.state.me),
				isExpanded: this.#expanded.has(row.key),
				isUnfolded: this.#unfolded.has(row.key),
				now,
			};
			return { row, around };
		});
		keyedList(this.#rows, drawn, it => it.row.key, it => lookOf(it.row, it.around), it => buildRow(it.row, it.around, actions));
	}

	#drawEdge({ loaded, older, rows }, first) {
		const words = { loading: "Loading earlier messages…", locked: "Earlier messages are locked.", failed: "Earlier messages could not be read." };
		const beginning = rows.length ? "This is the beginning of the conversation." : "No messages yet. Write the first one.";
		this.#edge.textContent = first > 0 || (older && loaded === "yes") ? words.loading : (words[loaded] ?? beginning);
	}

	/** @param {Message} row */
	#toggle(set, row) {
		set.delete(row.key) || set.add(row.key);
		this.app.draw();
	}

	get #nodes() {
		return Array.from(/** @type {HTMLCollectionOf<HTMLElement>} */ (this.#rows.children));
	}

	#nodeOf(key) {
		return this.#nodes.find(node => node.dataset.key === key);
	}

	#anchor() {
		const top = this.#log.getBoundingClientRect().top;
		const node = this.#nodes.find(node => node.getBoundingClientRect().bottom > top);
		return node && { key: node.dataset.key, top: node.getBoundingClientRect().top };
	}

	#toEnd() {
		this.#log.scrollTop = this.#log.scrollHeight;
	}

	#reveal(key) {
		const node = this.#nodeOf(key);
		node?.scrollIntoView({ block: "center" });
		node?.classList.add("target");
		this.#scrolled();
	}

	/** Follows the scrolling, at most once a frame. */
	#scrolled() {
		if (!this.#isScrollDue) {
			this.#isScrollDue = true;
			requestAnimationFrame(() => {
				this.#isScrollDue = false;
				this.#moveWindow();
			});
		}
	}

	#moveWindow() {
		const { state } = this;
		const conversation = openConversation(state);
		if (!conversation || this.#key !== conversation.key) {
			return;
		}
		const { rows } = conversation;
		const { scrollTop, scrollHeight, clientHeight } = this.#log;
		const below = scrollHeight - scrollTop - clientHeight;
		const first = this.#firstIndex(rows);
		const isLast = first + ROWS_READING >= rows.length;
		const following = isLast && !conversation.detached && below < NEAR_END;
		if (following !== state.following) {
			state.following = following;
			this.#top = following ? null : (rows[first] ?? null);
			if (following) {
				markRead(state);
				trim(state, conversation);
			}
			this.app.draw();
		}
		if (scrollTop < clientHeight && first > 0 && !following) {
			this.#top = rows[Math.max(0, first - STEP)];
			this.app.draw();
		} else if (scrollTop < clientHeight && conversation.older) {
			void this.app.history.loadOlder(conversation);
		} else if (below < clientHeight && !isLast) {
			this.#top = rows[Math.min(first + STEP, rows.length - ROWS_READING)];
			this.app.draw();
		}
	}
}
