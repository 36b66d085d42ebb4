/** A message or a note as an element. They differ by place, shape and words, not by colour alone. */

import { avatar, box, button, buttons, element, hue, paragraph, span, unseen } from "./dom.js";
import { safeRow, safeText } from "./safe_text.js";
import { clock, counted, dayKey, dayName, deliveryDetails, deliveryWord, fullTime, HIDDEN } from "./words.js";

/** Messages of one author within this time share one heading, in ms */
const SAME_BREATH = 5 * 60 * 1000;

/** Characters and lines of a message beyond which it is folded. */
const [FOLDED_LENGTH, FOLDED_LINES] = [1500, 20];

/** @param {Row | undefined} before */
const isNewDay = (row, before) => !before || dayKey(before.at) !== dayKey(row.at);

const isContinued = (row, { before, isFirstUnread }) =>
	row.kind === "message" &&
	before?.kind === "message" &&
	before.from === row.from &&
	before.late === row.late &&
	Math.abs(row.at - before.at) < SAME_BREATH &&
	!isNewDay(row, before) &&
	!isFirstUnread;

/** Returns a text that changes whenever the row looks different. */
export function lookOf(row, around) {
	const { before, isFirstUnread, isMention, isExpanded, isUnfolded } = around;
	const flags = [isContinued(row, around), isNewDay(row, before), isFirstUnread, isMention, isExpanded, isUnfolded];
	return `${row.version} ${flags.map(Number).join("")}`;
}

export function buildRow(row, around, actions) {
	const whole = box("row");
	if (isNewDay(row, around.before)) {
		whole.append(paragraph("day", span("", dayName(row.at, around.now))));
	}
	if (around.isFirstUnread) {
		whole.append(paragraph("new-mark", span("", "New messages")));
	}
	if (row.kind === "note") {
		whole.append(paragraph("note-text", row.text, " · ", time(row)));
		return whole;
	}
	const continued = isContinued(row, around);
	whole.className = `row message ${row.own ? "mine" : "other"} ${continued ? "continued" : ""} ${around.isMention ? "mention" : ""}`;
	const picture = continued ? span("avatar-space", "") : avatar(row.from);
	whole.append(box("message-frame", !row.own && picture, bubble(row, around, continued, actions)));
	return whole;
}

/** @param {Message} row */
function bubble(row, around, continued, actions) {
	const name = row.own ? "You" : safeRow(row.from);
	const text = safeText(row.text);
	const isLong = text.length > FOLDED_LENGTH || text.split("\n").length > FOLDED_LINES;
	const canFold = isLong || row.filtered;
	const isFolded = canFold && !around.isUnfolded;
	const shown = isFolded && row.filtered ? HIDDEN : text;
	return box(
		"bubble",
		paragraph(continued ? "hidden" : `author hue-${hue(row.from)}`, name),
		element("p", { class: isFolded ? "text folded" : "text", dir: "auto", text: shown }),
		canFold && button(isFolded ? "Show all" : "Show less", () => actions.unfold(row), "link"),
		row.missing > 0 && paragraph("remark", `${counted(row.missing, "earlier message")} of ${name} not here yet`),
		foot(row, around, actions),
		around.isExpanded && row.delivery && details(row, row.delivery, actions),
	);
}

/** @param {Message} row */
function foot(row, around, actions) {
	const { delivery } = row;
	const mark = (shown, text, title, classes = "mark") => shown && element("span", { class: classes, title, text });
	const state = delivery && element("button", {
		class: delivery.waits.length || delivery.failed.length ? "delivery" : "delivery complete",
		"aria-expanded": String(around.isExpanded),
		on: () => actions.toggle(row),
	}, unseen("delivered: "), deliveryWord(delivery));
	return paragraph(
		"foot",
		mark(around.isMention, "for you", "It names you."),
		mark(row.late, "late", "It was written while one of you was away."),
		mark(row.unencrypted, "not encrypted", "Others on the network could read it, and nothing proves its author.", "mark bad"),
		time(row),
		state,
	);
}

/** @param {Message} row @param {Delivery} delivery */
function details(row, delivery, actions) {
	const isUndelivered = delivery.waits.length && !delivery.has.length && !delivery.written.length;
	const rows = deliveryDetails(delivery).map(text => paragraph("", text));
	return box("details", ...rows, isUndelivered && buttons(button("Withdraw", () => actions.withdraw(row), "quiet small")));
}

const time = ({ at }) => element("time", { datetime: new Date(at).toISOString(), title: fullTime(at), text: clock(at) });
