/** The banners above the messages: what the user should know or decide before writing. */

import { box, button, byId, icon, keyedList, paragraph } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { openConversation, othersOf } from "./state.js";
import { keyGroups, peerAway, trackerLost } from "./words.js";

export function drawBanners(app) {
	keyedList(
		byId("banners"),
		bannersOf(app),
		banner => banner.key,
		banner => banner.text,
		({ text, bad, actions = [] }) =>
			box(
				bad ? "banner bad" : "banner",
				icon("⚠"),
				paragraph("", text),
				...actions.map(([words, act]) => button(words, act, "quiet small")),
			),
	);
}

function bannersOf({ actions, received, state }) {
	const conversation = openConversation(state);
	/** @type {Banner[]} */
	const banners = [];
	if (!conversation) {
		return banners;
	}
	const { address, loaded, ended } = conversation;
	if (!state.attached) {
		banners.push({ key: "peer", bad: true, text: peerAway });
	} else if (state.tracker === "lost") {
		banners.push({ key: "tracker", text: trackerLost(state.trackerReason) });
	}
	for (const { username } of othersOf(state, conversation)) {
		if (state.users.get(username)?.trust === "changed" && !ended) {
			const name = safeRow(username);
			banners.push({
				key: `key ${username}`,
				bad: true,
				text: `${name} uses another key than before. It may be a new computer, or somebody else. Nothing is sent to ${name} until you accept the key.`,
				actions: [
					["Compare safety numbers", () => actions.showSafetyNumber(username)],
					["Accept the key", () => actions.accept(username)],
				],
			});
		}
	}
	if ("to" in address && state.requests.has(address.to)) {
		const name = safeRow(address.to);
		banners.push({
			key: "request",
			text: `${name}, with whom you share no room, asks for this chat. At most 5 messages come before you accept or answer.`,
			actions: [
				["Accept", () => actions.acceptChat(address.to)],
				["Block", () => actions.block(address.to, true)],
			],
		});
	}
	if (state.newKey) {
		banners.push({
			key: "new key",
			text: `This computer has a new key (${keyGroups(state.newKey.slice(0, 16))} …). To spare your friends a warning, endorse it on a computer that they know.`,
			actions: [["Dismiss", () => received({ event: "new_key", fingerprint: "" })]],
		});
	}
	if (loaded === "locked") {
		banners.push({ key: "locked", text: "Earlier messages are locked, because nobody used the chat for a while.", actions: [["Unlock", () => actions.unlock()]] });
	}
	if (ended && "room" in address) {
		const isThere = state.rooms.some(room => room.name === address.room);
		const enter = () => actions.join(address.room);
		banners.push({
			key: "ended",
			text: "You are not in this conversation any more. Its messages are still on this computer.",
			actions: isThere ? [["Join again", enter]] : [],
		});
	}
	return banners;
}
