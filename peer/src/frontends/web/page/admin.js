/** The dialog of an admin. The tracker checks each command. */

import { button, buttons, element, on, paragraph, section } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { fullTime } from "./words.js";

const SECONDS = { m: 60, h: 3600, d: 86_400 };

/** Returns the fields of a ban, or `null` if the time cannot be read. */
export function banOf(who, time) {
	const [, number, unit] = /^(\d{1,6})([mhd])$/.exec(time) ?? [];
	const target = /^[\d.:a-f/]*[.:][\d.:a-f/]*$/i.test(who) ? { address: who } : { user: who.replace(/^@/, "") };
	return time && !unit ? null : { ...target, seconds: unit && Number(number) * SECONDS[unit] };
}

/** @param {App} app */
export function showAdministration(app) {
	const [sessions, bans] = ["Sessions", "Bans"].map(name => element("ul", { class: "keys", "aria-label": name }));
	const done = async (command, fields) => {
		await app.command(command, fields);
		app.notices.toast("Done.");
		await load();
	};
	const row = (text, words, name, command, fields) =>
		element("li", {}, paragraph("", text), buttons(button(words, () => app.tried(() => done(command, fields)), "quiet small", `${words} ${name}`)));
	const load = async () => {
		const listed = (await app.command("sessions")).sessions.map(({ username, address, since, requests }) => {
			const text = `${safeRow(username)} · ${safeRow(address)} · since ${fullTime(Date.parse(since))} · ${requests} requests`;
			return row(text, "Kick", safeRow(username), "admin_kick", { user: username });
		});
		sessions.replaceChildren(...listed);
		const banned = (await app.command("admin_bans")).bans.map(({ user, address, until, by }) => {
			const name = safeRow(user ?? address);
			const text = `${name} · ${until ? `until ${fullTime(Date.parse(until))}` : "for ever"} · by ${by ? safeRow(by) : "the operator"}`;
			return row(text, "Unban", name, "admin_unban", { user, address });
		});
		bans.replaceChildren(...banned);
	};
	const entry = label => element("input", { "aria-label": label, placeholder: label });
	const [what, time] = [entry("User, address, room or text"), entry("Ban time: 30m, 2h, 7d or empty")];
	const act = (words, command, fieldsOf, consequence) =>
		button(words, () => {
			const typed = what.value.trim();
			const fields = typed && fieldsOf(typed);
			const question = { title: `${words}: ${typed}`, text: consequence, action: "Yes", danger: true };
			fields ? app.confirmed(question, () => done(command, fields)) : (typed ? time : what).focus();
		});
	app.dialog.show(
		"Administration",
		section("Sessions", sessions),
		section("Bans", bans),
		section(
			"Act",
			what,
			time,
			buttons(
				act("Ban", "admin_ban", who => banOf(who, time.value.trim()), "The sessions end, and no other begins in this time."),
				act("Announce", "admin_announce", text => ({ text }), "Everybody who is signed in sees this text."),
				act("Delete room", "admin_delete_room", room => ({ room }), "The room ends for all members."),
				act("Remove account", "admin_remove", user => ({ user }), "The name becomes free, and the rooms go on."),
			),
		),
	);
	void app.tried(load);
}
