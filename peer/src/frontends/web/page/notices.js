/** Calls to a person who looks elsewhere: title, icon, notifications and live regions. */

import { box, byId, element, paragraph } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { openConversation, unreadOf } from "./state.js";
import { View } from "./view.js";
import { counted } from "./words.js";

/** Time for which messages are gathered for one announcement, in milliseconds. */
const GATHERING = 1500;

const READ_OUT = 3;

/** Time between two notifications, in milliseconds: many are noise. */
const ALERT_PAUSE = 5000;

/** Characters of a message in a notification or an announcement. */
const QUOTED = 200;

/** Notices on the screen at a time, and the time for which one stays, in milliseconds. */
const [TOASTS_MAX, TOAST_TIME] = [4, 8000];

export class Notices extends View {
	/** @type {Received[]} */
	#gathered = [];
	#alertedAt = -Infinity;
	#icon = "";

	get isOn() {
		return localStorage.getItem("notify") === "yes" && "Notification" in window && Notification.permission === "granted";
	}

	get showsText() {
		return localStorage.getItem("notify-text") === "yes";
	}

	draw() {
		const { state } = this;
		const unread = unreadOf(state);
		const conversation = openConversation(state);
		const title = `${unread ? `(${unread}) ` : ""}${conversation ? `${safeRow(conversation.title)} – ` : ""}p2p-chat`;
		if (document.title !== title) {
			document.title = title;
		}
		const icon = unread ? `/icon.svg?unread=${Math.min(unread, 10)}` : "/icon.svg";
		if (this.#icon !== icon) {
			this.#icon = icon;
			byId("icon").href = icon;
		}
	}

	/** @param {Message} message */
	alert(conversation, message) {
		const now = performance.now();
		if (!this.isOn || document.hasFocus() || now - this.#alertedAt < ALERT_PAUSE) {
			return;
		}
		this.#alertedAt = now;
		const from = safeRow(message.from);
		const title = "to" in conversation.address ? `Private message from ${from}` : `${from} in ${safeRow(conversation.title)}`;
		const body = this.showsText ? safeRow(message.text).slice(0, QUOTED) : "";
		const notification = new Notification(title, { body, tag: conversation.key, icon: "/icon.svg" });
		notification.onclick = () => {
			window.focus();
			this.app.actions.open(conversation.key);
		};
	}

	/** Reads messages out to assistive technology, some at a time. @param {Message} message */
	received(conversation, message) {
		if (this.#gathered.push({ conversation, message }) === 1) {
			setTimeout(() => this.#readOut(this.#gathered.splice(0)), GATHERING);
		}
	}

	/** @param {Received[]} gathered */
	#readOut(gathered) {
		const places = Map.groupBy(gathered, it => it.conversation);
		const parts = [...places].flatMap(([conversation, list]) =>
			conversation.key === this.state.open && list.length <= READ_OUT
				? list.map(({ message }) => `${safeRow(message.from)}: ${safeRow(message.text).slice(0, QUOTED)}`)
				: [`${counted(list.length, "new message")} in ${safeRow(conversation.title)}`],
		);
		this.say(parts.join(". "));
	}

	say(words) {
		byId("announcer").textContent = words;
	}

	toast(text, isBad = false) {
		const toast = box(isBad ? "toast bad" : "toast", paragraph("", text));
		toast.append(element("button", { class: "icon-button", "aria-label": "Dismiss", text: "×", on: () => toast.remove() }));
		const toasts = byId("toasts");
		toasts.append(toast);
		Array.from(toasts.children).slice(0, -TOASTS_MAX).forEach(old => old.remove());
		setTimeout(() => toast.remove(), TOAST_TIME);
	}
}
