/** The dialog of the account and its settings. */

import { showAdministration } from "./admin.js";
import { secret } from "./dialogs.js";
import { box, button, buttons, element, factList, on, paragraph, section, span } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { showOutbox } from "./search.js";
import { tooShort } from "./sign_in.js";
import { keyGroups } from "./words.js";

export function showAccount(app) {
	const { state } = app;
	/** @type {[string, string][]} */
	const facts = [
		["Name", safeRow(state.me)],
		["Tracker", `${safeRow(state.trackerAddress)} (${state.tracker === "connected" ? "connected" : "out of reach"})`],
		["Key of the tracker", keyGroups(state.trackerKey) || "not known"],
		["Takes links at", safeRow(state.listening)],
	];
	app.dialog.show(
		"Account and settings",
		factList(facts),
		buttons(
			button("Waiting messages", () => app.tried(() => showOutbox(app))),
			state.isAdmin && button("Administration", () => showAdministration(app)),
		),
		section("Away", away(app)),
		section("Notifications", notifications(app)),
		section("Devices and keys", devices(app)),
		section("Blocked users", blocked(app)),
		section("Password", passwordForm(app)),
		section(
			"Move to another computer",
			paragraph("hint", "Import the file on the page of the other computer before you sign in there. Your friends then see the same key."),
			buttons(button("Export identity", () => exportIdentity(app))),
		),
		section(
			"End",
			paragraph("hint", "Quit ends the peer that serves this page. At the next start you are in your rooms again."),
			buttons(button("Quit the peer", () => app.actions.end("quit")), button("Delete account", () => deleteAccount(app), "danger")),
		),
	);
}

function away(app) {
	const text = element("input", { type: "text", maxLength: 80, value: app.state.away ?? "" });
	const form = element("form", { class: "field" }, element("label", {}, "Text beside your name, until your next message", text));
	const tell = (command, fields, done) => app.tried(async () => (await app.command(command, fields), app.notices.toast(done)));
	on(form, "submit", () => tell("away", { text: text.value }, "You are away, until your next message."));
	form.append(buttons(element("button", { text: "I am away" }), button("I am back", () => tell("back", {}, "You are back."), "quiet")));
	return form;
}

function notifications({ notices }) {
	const settings = box("settings-body");
	const change = async () => {
		const isOn = !notices.isOn && (await Notification.requestPermission()) === "granted";
		localStorage.setItem("notify", isOn ? "yes" : "no");
		draw();
	};
	const draw = () => {
		const text = element("input", { type: "checkbox", checked: notices.showsText });
		on(text, "change", () => localStorage.setItem("notify-text", text.checked ? "yes" : "no"));
		const isDenied = !("Notification" in window) || Notification.permission === "denied";
		settings.replaceChildren(
			paragraph("hint", "For private messages, and messages with your name, while you look elsewhere."),
			isDenied
				? paragraph("", "This browser blocks notifications. Allow them in its settings.")
				: buttons(button(notices.isOn ? "Turn notifications off" : "Turn notifications on", change)),
			element("label", {}, text, " Show the text of the message in notifications"),
		);
	};
	draw();
	return settings;
}

function devices(app) {
	const list = element("ul", { class: "keys", "aria-label": "My keys" });
	const act = (command, key, done) =>
		app.tried(async () => {
			await app.command(command, { key });
			app.notices.toast(done);
			await load();
		});
	const revoke = key => {
		const text = "A computer that is lost can then no longer sign in with it.";
		return app.confirmed({ title: "Revoke this key?", text, action: "Revoke", danger: true }, () => act("revoke", key, "The key is revoked."));
	};
	const load = async () => {
		const { keys } = await app.command("keys");
		const rows = keys.map(({ key, current, endorsed_by }) => {
			const endorse = button("Endorse", () => act("endorse", key, "The key is endorsed. Friends accept it without a warning."), "quiet small");
			return element(
				"li",
				{},
				paragraph("mono", keyGroups(key)),
				paragraph("hint", current ? "this computer" : endorsed_by ? "endorsed by another of your keys" : "not endorsed"),
				!current && buttons(endorse, button("Revoke", () => revoke(key), "quiet small")),
			);
		});
		list.replaceChildren(...rows);
	};
	void app.tried(load);
	return list;
}

function blocked(app) {
	const list = element("ul", { class: "keys", "aria-label": "Blocked users" });
	const draw = () => {
		const unblock = name => button("Unblock", async () => (await app.actions.block(name, false), draw()), "quiet small");
		const rows = [...app.state.blocked].map(name => element("li", {}, span("", safeRow(name)), " ", unblock(name)));
		list.replaceChildren(...(rows.length ? rows : [element("li", { class: "hint", text: "Nobody is blocked." })]));
	};
	draw();
	return list;
}

function passwordForm(app) {
	const field = (label, autocomplete) => element("label", {}, label, secret(autocomplete));
	const problem = element("p", { class: "problem", role: "alert" });
	const labels = [field("Present password", "current-password"), field("New password", "new-password")];
	const form = element("form", { class: "field" }, ...labels, problem, buttons(element("button", { text: "Change password" })));
	on(form, "submit", async () => {
		const [old, next] = labels.map(label => label.querySelector("input")?.value ?? "");
		problem.textContent = tooShort(next);
		if (problem.textContent) {
			return;
		}
		try {
			await app.command("password", { old, new: next });
			form.reset();
			app.notices.toast("The password is changed, here and at the tracker.");
		} catch (error) {
			problem.textContent = app.words(error);
		}
	});
	return form;
}

function exportIdentity(app) {
	const text = "The file holds your key and those of your friends, encrypted with your password.";
	return app.confirmed({ title: "Export the identity", text, action: "Export", password: true }, async password => {
		const { content } = await app.command("export_identity", { password });
		download(new Blob([content]), `${app.state.me}.identity`);
	});
}

function deleteAccount(app) {
	const { state } = app;
	const ownsRooms = [...state.rooms, ...[...state.conversations.values()].map(it => it.snapshot)].some(room => room?.owner === state.me);
	const rooms = element("input", { type: "checkbox" });
	const question = {
		title: "Delete the account?",
		text: `Your account, your key and all messages on this computer are deleted for ever. Your name becomes free.${ownsRooms ? " Your rooms go to the members who are in them longest." : ""}`,
		option: ownsRooms && element("label", {}, rooms, " Delete my rooms instead, for all their members"),
		action: "Delete for ever",
		password: true,
		danger: true,
	};
	return app.confirmed(question, async password => {
		await app.command("delete_account", { password, rooms: rooms.checked ? "delete" : undefined });
		state.endsAtSignOut ? app.end("The account is deleted.") : app.signIn.say("The account is deleted.");
	});
}

export function download(file, name) {
	const href = URL.createObjectURL(file);
	element("a", { href, download: name }).click();
	setTimeout(() => URL.revokeObjectURL(href), 60_000);
}
