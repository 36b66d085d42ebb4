/** The page of help. */

import { element } from "./dom.js";

const TOPICS = [
	["Rooms", "A room holds three people. If you leave it, your seat becomes free, unless you own it. If you only sign out, it is kept."],
	["Private chats", "Choose a person under Online, or in the list of members. Only you two read it."],
	["Delivery", "Each of your messages shows how many members have it, as 1/2. Press it for their names. A message to an absent member waits, and members who have it pass it on. A late message was written while one of you was away."],
	["Keys", "Compare the safety numbers once, by voice or in person. If a key changes, nothing is sent until you accept it."],
	["History", "All messages are encrypted on your own computer. After ten idle minutes your password unlocks them. The third wrong one ends the peer."],
	["Keyboard", "The arrow keys scroll the messages, Escape closes a dialog, and Alt-N opens the next conversation with unread messages."],
];

export function showHelp(app) {
	const list = element("dl", { class: "help" });
	TOPICS.forEach(([topic, answer]) => list.append(element("dt", { text: topic }), element("dd", { text: answer })));
	app.dialog.show("Help", list);
}
