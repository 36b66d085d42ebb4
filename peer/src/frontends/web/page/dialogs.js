/** Dialogs: one for pages of the program, and small ones that ask for a password or a confirmation. The browser keeps the focus inside, and Escape closes them. */

import { button, buttons, byId, element, on, paragraph } from "./dom.js";
import { PEER_AWAY } from "./state.js";

export class Dialog {
	#dialog = byId("dialog");

	constructor() {
		on("dialog-close", "click", () => this.close());
		on(this.#dialog, "close", () => byId("dialog-body").replaceChildren());
		on(this.#dialog, "click", event => event.target === this.#dialog && this.close());
	}

	/** Shows a page in place of the present one. @param {string} title @param {...Node} content */
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

/** Returns an entry for a password, which takes none while the peer is away. @param {string} autocomplete @param {string} [label] */
export const secret = (autocomplete, label) =>
	element("input", { type: "password", "aria-label": label, placeholder: label, autocomplete, readonly: document.body.dataset.connection === PEER_AWAY });

/**
 * Asks a question in a small dialog. Returns `null` if the user cancels, else the password or an empty text.
 * @param {Question} question
 * @returns {Promise<string | null>}
 */
export function ask({ title, text, action, password = false, code = false, danger = false, problem = "" }) {
	return new Promise(resolve => {
		const entry = code ? secret("off", "Registration code") : secret("current-password", "Password");
		const act = element("button", { class: danger ? "danger" : "primary", text: action });
		const form = element(
			"form",
			{ class: "question" },
			element("h2", { text: title, id: "question-title" }),
			paragraph("", text),
			element("p", { class: "problem", role: "alert", text: problem }),
			password && paragraph("field", entry),
			buttons(act, button("Cancel", () => dialog.close())),
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
		(password ? entry : act).focus();
	});
}
