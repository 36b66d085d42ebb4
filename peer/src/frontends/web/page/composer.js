/** The entry of a message. Unsent text survives a reload, until the user signs out. */

import { byId, on } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { openConversation, writingRefused } from "./state.js";
import { View } from "./view.js";

/** Longest message in bytes of UTF-8, as the peer takes it. */
const TEXT_MAX = 8192;

const ROWS_MAX = 8;

const DRAFT = "draft ";

const bytesOf = text => new TextEncoder().encode(text).length;

export class Composer extends View {
	#entry = byId("message");
	#problem = byId("composer-problem");
	/** The conversation for which the text is. @type {string | null} */
	#key = null;
	/** The text for which the entry has its height. */
	#measured = "";

	constructor(app) {
		super(app);
		on("composer", "submit", () => this.#send());
		on(this.#entry, "keydown", event => {
			if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
				event.preventDefault();
				void this.#send();
			}
		});
		on(this.#entry, "input", () => this.#changed(""));
	}

	focus() {
		this.#entry.focus({ preventScroll: true });
	}

	clear() {
		this.#entry.value = "";
		this.#problem.textContent = "";
		Object.keys(sessionStorage).filter(key => key.startsWith(DRAFT)).forEach(key => sessionStorage.removeItem(key));
	}

	draw() {
		const { state } = this;
		if (this.#key !== state.open) {
			this.#key = state.open;
			this.#problem.textContent = "";
			this.#entry.value = (this.#key && sessionStorage.getItem(DRAFT + this.#key)) || "";
		}
		const refused = writingRefused(state);
		const bytes = bytesOf(this.#entry.value);
		const isTooLong = bytes > TEXT_MAX;
		const size = `${bytes.toLocaleString("en")} of ${TEXT_MAX.toLocaleString("en")} bytes`;
		this.#entry.disabled = refused !== "" && (state.attached || !state.open);
		this.#entry.placeholder = refused || `Write to ${safeRow(openConversation(state)?.title)}`;
		this.#entry.setAttribute("aria-invalid", String(isTooLong));
		byId("send").disabled = refused !== "" || isTooLong || this.#entry.value.trim() === "";
		const hint = byId("composer-hint");
		hint.classList.toggle("problem", isTooLong);
		hint.textContent = refused
			? `${refused}.`
			: isTooLong
				? `This is too long: ${size}. Send it in parts.`
				: /^\/[a-z]/.test(this.#entry.value)
					? "Commands are for the terminal: here this is a message."
					: "Enter sends, Shift-Enter starts a new line.";
		if (this.#measured === this.#entry.value) {
			return;
		}
		this.#measured = this.#entry.value;
		this.#entry.rows = Math.min(ROWS_MAX, this.#measured.split("\n").length);
		while (this.#entry.scrollHeight > this.#entry.clientHeight + 2 && this.#entry.rows < ROWS_MAX) {
			this.#entry.rows += 1;
		}
	}

	/** Keeps the text for a reload, and shows a problem. */
	#changed(problem) {
		this.#problem.textContent = problem;
		if (this.#key) {
			const [key, text] = [DRAFT + this.#key, this.#entry.value];
			text ? sessionStorage.setItem(key, text) : sessionStorage.removeItem(key);
		}
		this.draw();
	}

	async #send() {
		const conversation = openConversation(this.state);
		const text = this.#entry.value;
		if (!conversation || byId("send").disabled || bytesOf(text) > TEXT_MAX) {
			return;
		}
		this.#entry.value = "";
		this.#changed("");
		try {
			await this.app.actions.say(conversation, text);
		} catch (error) {
			if (this.#key === conversation.key) {
				this.#entry.value ||= text;
				this.#changed(this.app.words(error));
			} else {
				this.app.notices.toast(this.app.words(error), true);
				sessionStorage.setItem(DRAFT + conversation.key, text);
			}
		}
	}
}
