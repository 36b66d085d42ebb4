/** The large dialog, and small ones that ask. Escape closes them. */

import { button, buttons, byId, element, factList, on, paragraph } from "./dom.js";
import { PEER_AWAY } from "./state.js";

export class Dialog {
	#dialog = byId("dialog");

	constructor() {
		on("dialog-close", "click", () => this.close());
		on(this.#dialog, "close", () => byId("dialog-body").replaceChildren());
		on(this.#dialog, "click", event => event.target === this.#dialog && this.close());
	}

	/** @param {...Node} content */
	show(title, ...content) {
		byId("dialog-title").textContent = title;
		byId("dialog-body").replaceChildren(...content);
		if (!this.#dialog.open) {
			this.#dialog.showModal();
		}
		this.#dialog.scrollTop = 0;
		byId("dialog-title").focus();
	}

	close() {
		this.#dialog.close();
	}
}

/** Returns an entry for a password. */
export const secret = (autocomplete, label) =>
	element("input", { type: "password", "aria-label": label, placeholder: label, autocomplete, readonly: document.body.dataset.connection === PEER_AWAY });

/**
 * Asks a question in a small dialog. Returns `null` if the user cancels, else the password or an empty text.
 * @param {Question} question
 * @returns {Promise<string | null>}
 */
export function ask({ title, text, action, password = false, code = false, danger = false, problem = "", facts = [], option }) {
	return new Promise(resolve => {
		const entry = code ? secret("off", "Registration code") : secret("current-password", "Password");
		const act = element("button", { class: danger ? "danger" : "primary", text: action });
		const cancel = button("Cancel", () => dialog.close());
		const form = element(
			"form",
			{ class: "question" },
			element("h2", { text: title, id: "question-title" }),
			paragraph("", text),
			factList(facts),
			element("p", { class: "problem", role: "alert", text: problem }),
			option,
			password && paragraph("field", entry),
			buttons(act, cancel),
		);
		const dialog = element("dialog", { class: "small-dialog", "aria-labelledby": "question-title" }, form);
		/** @type {string | null} */
		let answer = null;
		on(form, "submit", () => {
			if (!password || entry.value) {
				answer = entry.value;
				dialog.close();
			}
		});
		on(dialog, "close", () => {
			dialog.remove();
			resolve(answer);
		});
		document.body.append(dialog);
		dialog.showModal();
		// Enter must not do what cannot be undone.
		(password ? entry : danger ? cancel : act).focus();
	});
}
