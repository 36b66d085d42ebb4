/** The right side: the members of the open conversation, and what vouches for each. */

import { avatar, box, button, buttons, byId, element, icon, keyedList, on, paragraph, span, squares } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { hasEnded, membersOf, openConversation } from "./state.js";
import { View } from "./view.js";

/** For each degree of trust: a word, an icon, and what it means. */
const TRUST = {
	verified: ["verified", "✓", "You compared the safety numbers: this is the person you know."],
	unverified: ["not verified", "", "The key is the one of the first meeting. Compare the safety numbers to be sure."],
	changed: ["changed key", "⚠", "Another key than before. Nothing is sent until you accept it."],
	unencrypted: ["not encrypted", "⚠", "An original program without keys: others on the network can read what you write to it."],
	unknown: ["", "", ""],
};

export class MembersPanel extends View {
	#panel = byId("members-panel");
	#isWide = matchMedia("(min-width: 66em)");
	#isShown = this.#isWide.matches;

	constructor(app) {
		super(app);
		const hide = () => {
			this.#show(false);
			byId("members-toggle").focus();
		};
		on("members-toggle", "click", () => this.#show(!this.#isShown));
		on("members-close", "click", hide);
		on(this.#panel, "keydown", event => event.key === "Escape" && !this.#isWide.matches && hide());
		on(this.#isWide, "change", ({ matches }) => this.#show(matches));
	}

	#show(isShown) {
		this.#isShown = isShown;
		this.draw();
		if (isShown && !this.#isWide.matches) {
			byId("members-close").focus();
		}
	}

	hideIfCovering() {
		this.#isShown &&= this.#isWide.matches;
	}

	draw() {
		const { state } = this;
		const conversation = openConversation(state);
		this.#panel.hidden = !conversation || hasEnded(conversation) || !this.#isShown;
		byId("members-toggle").setAttribute("aria-expanded", String(!this.#panel.hidden));
		if (!conversation || this.#panel.hidden) {
			return;
		}
		const { snapshot } = conversation;
		const members = membersOf(state, conversation);
		const free = snapshot ? snapshot.capacity - members.length : 0;
		byId("members-hint").textContent = free > 0 ? `${free} of ${snapshot?.capacity} seats free` : "";
		keyedList(
			byId("members"),
			members,
			({ username }) => username,
			member => JSON.stringify([conversation.key, member, state.users.get(member.username), snapshot?.owner, state.blocked.has(member.username), state.muted.has(member.username), member.username === state.me && state.away]),
			member => this.#member(member, conversation),
		);
	}

	/** @param {Member} member */
	#member({ username, connected, in_menu }, conversation) {
		const { state } = this;
		const isMe = username === state.me;
		const user = state.users.get(username);
		const [word, sign, meaning] = TRUST[(!isMe && user?.trust) || "unknown"];
		const link = user?.linked ? `${user.trust === "unencrypted" ? "plaintext" : "encrypted"} direct link` : connected ? "connecting" : "";
		const away = isMe ? state.away : (user?.away ?? null);
		const words = [
			conversation.snapshot?.owner === username && "owner",
			connected ? "online" : "offline",
			!isMe && link,
			in_menu && "looks elsewhere",
			away !== null && (away ? `away: ${safeRow(away)}` : "away"),
		];
		const text = span(
			"row-text",
			span("row-name", span("", safeRow(username)), isMe && span("row-more", " (you)")),
			span("row-more", words.filter(Boolean).join(" · ")),
			word && element("span", { class: `trust ${user?.trust}`, title: meaning }, sign && icon(sign), span("", word)),
		);
		const top = box("item", avatar(username, connected ? "online" : ""), text);
		return element("li", { class: "member" }, top, !isMe && this.#actions(username, conversation));
	}

	#actions(name, conversation) {
		const { actions } = this.app;
		const isBlocked = this.state.blocked.has(name);
		const isMuted = this.state.muted.has(name);
		const trust = this.state.users.get(name)?.trust;
		const act = (isOffered, words, on) => isOffered && button(words, on, "quiet small", `${words} ${safeRow(name)}`);
		return box(
			"member-actions",
			act(trust !== "unencrypted", "Compare", () => actions.showSafetyNumber(name)),
			act(trust === "changed", "Accept key", () => actions.accept(name)),
			act("room" in conversation.address, "Chat", () => actions.openDirect(name)),
			act("room" in conversation.address, isMuted ? "Unmute" : "Mute", () => actions.mute(name, !isMuted)),
			act(true, isBlocked ? "Unblock" : "Block", () => actions.block(name, !isBlocked)),
		);
	}
}

/**
 * Returns the safety number with another user: digits, a QR code, and what to do with them.
 * @param {PeerEvent} answer
 * @param {string} me
 * @param {() => unknown} verified
 * @param {() => unknown} differ
 */
export function safetyNumber({ user, number, qr, verified: isVerified, changed }, me, verified, differ) {
	const name = safeRow(user);
	const groups = safeRow(number).split(" ").map(group => span("", group));
	const done = paragraph("good", icon("✓"), "You compared this number before, and it was equal.");
	const equal = button(changed ? "The numbers are equal: accept the key" : "The numbers are equal", verified, "primary");
	return box(
		"safety",
		paragraph("", `Ask ${name} to press Compare beside your name, or to type /verify ${me} in a terminal. Compare the numbers by voice or in person: if they are equal, nobody stands between you.`),
		paragraph("digits", ...groups),
		qr.length > 0 && squares(qr, "The safety number as a QR code"),
		changed && paragraph("problem", `This number belongs to a key of ${name} that you have not accepted.`),
		isVerified && !changed && done,
		buttons(...(isVerified && !changed ? [] : [equal]), button("They differ", differ, "danger")),
	);
}
