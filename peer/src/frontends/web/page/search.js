/** Lists of messages in a dialog: results of a search, and the delivery of own messages. */

import { button, buttons, element, paragraph, span } from "./dom.js";
import { safeRow, safeText } from "./safe_text.js";
import { addressIn, titleOf } from "./state.js";
import { deliveryDetails, fullTime, HIDDEN } from "./words.js";

const QUOTED = 500;

export async function search(app, words) {
	const list = element("ol", { class: "found", "aria-label": "Search results" });
	const more = buttons();
	const find = last => app.actions.unlocked(() => app.command("search", { words, before: last?.id, before_from: last?.from }));
	const load = async last => {
		const answer = await find(last).catch(error => {
			if (!last || error.code !== "USAGE") {
				throw error;
			}
			// The last message was erased meanwhile: the list begins again.
			list.replaceChildren();
			return find(undefined);
		});
		if (answer) {
			list.append(...answer.lines.map(line => foundRow(app, line)));
			more.replaceChildren(...(answer.more ? [button("Older results", () => app.tried(() => load(answer.lines.at(-1))))] : []));
		}
		return answer;
	};
	if (await load(undefined)) {
		const hint = list.children.length ? "" : "Nothing was found. A word is found by its beginning: coff finds coffee. ";
		const filters = "Filters: from:bob in:room in:@bob since:2026-11-01 until:2026-11-30.";
		app.dialog.show(`Search: ${safeRow(words)}`, list, more, paragraph("hint", hint + filters));
	}
}

function foundRow(app, line) {
	const top = `${safeRow(line.from)} in ${safeRow(titleOf(addressIn(line)))} · ${fullTime(Date.parse(line.sent_at))}`;
	const text = span("found-text", ...(line.filtered ? [HIDDEN] : highlighted(line.excerpt ?? line.content)));
	const show = () => app.tried(() => app.history.show(line));
	return element("li", {}, element("button", { class: "found-button", on: show }, span("row-more", top), text));
}

/** Returns an excerpt with its hits marked. */
function highlighted(excerpt) {
	const parts = safeRow(excerpt).slice(0, QUOTED).split("*");
	// With an odd number of asterisks the text itself has some: nothing is marked.
	return parts.length % 2 ? parts.map((part, at) => (at % 2 ? element("mark", { text: part }) : part)) : [parts.join("*")];
}

export async function showOutbox(app) {
	const { lines } = await app.command("outbox");
	showOwn(app, "Waiting messages", lines, "Nothing waits: everybody has your messages.");
}

export async function showReceipts(app, { address, title }) {
	const { lines } = await app.command("receipts", { conversation: address });
	showOwn(app, `Delivery in ${safeRow(title)}`, lines, "You have written nothing here yet.");
}

function showOwn(app, title, lines, none) {
	const rows = lines.map(line => {
		const { has, written = [], waits } = line;
		const isNamed = line.room || line.with;
		const withdraw = async () => (await app.actions.withdraw(line.id)) && row.remove();
		const row = element(
			"li",
			{ class: "own-row" },
			paragraph("row-more", `${isNamed ? `${safeRow(titleOf(addressIn(line)))} · ` : ""}${fullTime(Date.parse(line.sent_at))}`),
			paragraph("", safeText(line.content).slice(0, QUOTED)),
			...deliveryDetails({ has, written, waits, failed: [] }).map(text => paragraph("hint", text)),
			waits.length > 0 && !has.length && !written.length && button("Withdraw", withdraw, "quiet small"),
		);
		return row;
	});
	app.dialog.show(title, rows.length ? element("ol", { class: "found", "aria-label": title }, ...rows) : paragraph("", none));
}
