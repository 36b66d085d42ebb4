/** The messages that the page reads from the peer's history. */

import { isRead, messageRow, readReceipts, remember } from "./events.js";
import { mergeNewest, mergeOlder, messageKey, replace } from "./rows.js";
import { addressIn, conversationOf, openConversation } from "./state.js";
import { View } from "./view.js";

const PAGE = 60;

/** Messages that an export reads at a time: at most two megabytes. */
const EXPORT_PAGE = 200;

export class HistoryReader extends View {
	/** Conversations of which older messages are on their way. @type {Set<string>} */
	#busy = new Set();
	/** The marks in the session storage, as text. */
	#kept = "{}";
	/** The conversation that is read here. @type {Conversation | null} */
	#read = null;

	/** Reads a page of a conversation, oldest first. */
	#page({ address }, lines, before) {
		return this.app.command("history", { lines, conversation: address, before: before?.id, before_from: before?.from });
	}

	/** Reads the newest messages of a conversation, and who has the user's own ones. */
	async load(conversation) {
		if (conversation.loaded === "loading") {
			return;
		}
		const { state } = this;
		conversation.loaded = "loading";
		try {
			const { lines, more } = await this.#page(conversation, PAGE);
			/** @type {Message[]} */
			const page = lines.map(line => messageRow(state, line));
			const newest = page.at(-1);
			mergeNewest(state, conversation, page);
			if (!newest || conversation.rows.find(row => row.kind === "message")?.key === page[0].key) {
				conversation.older = more === true;
			}
			conversation.loaded = "yes";
			this.#countUnread(conversation, page);
			if (newest) {
				remember(conversation, newest);
				conversation.activity = Math.max(conversation.activity, newest.at);
			}
			if (page.some(message => message.own) && !conversation.ended) {
				await this.readReceipts(conversation);
			}
		} catch (error) {
			this.#failed(conversation, error);
		}
		this.app.draw();
	}

	async readReceipts(conversation) {
		const { lines } = await this.app.command("receipts", { conversation: conversation.address });
		readReceipts(this.state, conversation, lines);
		this.app.draw();
	}

	#failed(conversation, error) {
		/** @type {Record<string, Conversation["loaded"]>} */
		const states = { PASSWORD_WANTED: "locked", NO_CONVERSATION: "yes", PEER_LOST: "no" };
		conversation.loaded = states[error.code] ?? "failed";
	}

	reload(conversation) {
		replace(conversation, []);
		Object.assign(conversation, { detached: false, older: false, loaded: "no", last: null });
		void this.load(conversation);
	}

	loadLocked() {
		[...this.state.conversations.values()].filter(it => it.loaded === "locked").forEach(it => void this.load(it));
	}

	/** Counts what came after the message that was last on the screen. */
	#countUnread(conversation, page) {
		const isOnScreen = isRead(this.state, conversation);
		if (conversation.read === null || isOnScreen) {
			conversation.read = conversation.unread ? conversation.read : (page.at(-1)?.key ?? null);
			return;
		}
		const at = page.findIndex(row => row.key === conversation.read);
		const unread = page.slice(at + 1).filter(row => !row.own);
		if (unread.length > conversation.unread) {
			conversation.unread = unread.length;
			conversation.firstUnread = unread[0].key;
		}
	}

	async loadOlder(conversation) {
		const oldest = conversation.rows.find(row => row.kind === "message");
		if (this.#busy.has(conversation.key) || !conversation.older || !oldest) {
			return;
		}
		this.#busy.add(conversation.key);
		try {
			const { lines, more } = await this.#page(conversation, PAGE, oldest);
			mergeOlder(conversation, lines.map(line => messageRow(this.state, line)));
			conversation.older = more === true;
		} catch (error) {
			// The message was erased meanwhile, for example in another tab.
			error.code === "USAGE" ? this.reload(conversation) : this.#failed(conversation, error);
		} finally {
			this.#busy.delete(conversation.key);
		}
		this.app.draw();
	}

	async show(line) {
		const { state, actions } = this.app;
		const conversation = conversationOf(state, addressIn(line));
		const key = messageKey(line);
		if (!conversation.keys.has(key)) {
			const after = { lines: PAGE, conversation: conversation.address, after: line.id, after_from: line.from };
			const [older, newer] = await Promise.all([this.#page(conversation, PAGE, line), this.app.command("history", after)]);
			const page = [...older.lines, line, ...newer.lines].map(it => messageRow(state, it));
			newer.more ? replace(conversation, page) : mergeNewest(state, conversation, page);
			Object.assign(conversation, { detached: newer.more === true, older: older.more === true, loaded: "yes" });
		}
		actions.open(conversation.key, key);
	}

	/** Returns a whole conversation as a file: one JSON object a line, oldest first. */
	async exported(conversation) {
		const pages = [];
		let count = 0;
		for (let before, more = true; more; ) {
			const answer = await this.#page(conversation, EXPORT_PAGE, before);
			pages.push(answer.lines.map(line => `${JSON.stringify(line)}\n`).join(""));
			count += answer.lines.length;
			before = answer.lines[0];
			more = answer.more === true;
		}
		return { file: new Blob(pages.reverse(), { type: "application/jsonl" }), count };
	}

	readMarks() {
		this.#read = null;
		const marks = JSON.parse(sessionStorage.getItem("read") ?? "{}");
		this.state.conversations.forEach(it => (it.read ??= marks[it.key] ?? null));
	}

	keepMarks() {
		const marks = [...this.state.conversations.values()].flatMap(it => (it.read ? [[it.key, it.read]] : []));
		const kept = JSON.stringify(Object.fromEntries(marks));
		if (marks.length && kept !== this.#kept) {
			this.#kept = kept;
			sessionStorage.setItem("read", kept);
		}
		const open = openConversation(this.state);
		const read = open && isRead(this.state, open) ? open : null;
		if (read !== this.#read) {
			this.#read = read;
			this.app.command("read", { conversation: read?.address }).catch(() => {});
		}
	}
}
