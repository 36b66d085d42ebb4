/** The first run and every later sign-in: tracker, name and password. */

import { ask } from "./dialogs.js";
import { byId, element, on } from "./dom.js";
import { safeRow } from "./safe_text.js";
import { View } from "./view.js";
import { keyGroups, peerAway } from "./words.js";

const FIELDS = /** @type {const} */ (["tracker-host", "tracker-port", "name", "password", "tracker-key"]);

const USUAL_PORT = "6060";

/** Shortest new password, in characters. */
const PASSWORD_MIN = 8;

/** Longest identity file that the connection carries, in bytes. */
const IDENTITY_MAX = 60_000;

const digitsOf = key => key.replace(/\s/g, "").toLowerCase();

export class SignIn extends View {
	#problem = byId("sign-in-problem");
	#buttons = [byId("sign-in-button"), byId("register-button"), byId("identity-import")];
	#isBusy = false;
	#filledFor = "";
	#isAttached = false;

	constructor(app) {
		super(app);
		on("sign-in-form", "submit", () => this.#submit("sign_in", "Signing in…"));
		on("register-button", "click", () => this.#submit("register", "Registering…"));
		on("identity-import", "click", () => this.#import());
		on("tracker-host", "change", () => this.#spread());
		on("show-password", "click", () => this.#showPassword(byId("password").type === "password"));
		for (const id of FIELDS) {
			byId(id).setAttribute("aria-describedby", `${id}-problem`);
			byId(id).closest("p")?.append(element("span", { class: "problem", id: `${id}-problem` }));
			on(id, "input", () => this.#mark(id, ""));
		}
	}

	draw() {
		const { attached, trackerAddress, accounts, givenName } = this.state;
		if (trackerAddress !== this.#filledFor) {
			this.#filledFor = trackerAddress;
			const { host, port } = splitAddress(trackerAddress);
			byId("tracker-host").value = host;
			byId("tracker-port").value = port || USUAL_PORT;
			byId("name").value ||= givenName || (accounts.length === 1 ? accounts[0] : "");
		}
		if (attached !== this.#isAttached) {
			this.#isAttached = attached;
			this.say(attached ? "" : peerAway);
		}
		this.#buttons.forEach((button, at) => {
			button.disabled = this.#isBusy || !attached;
			button.classList.toggle("primary", at === (accounts.length ? 0 : 1));
		});
	}

	say(words) {
		this.#problem.textContent = words;
	}

	#showPassword(isShown) {
		byId("password").type = isShown ? "text" : "password";
		byId("show-password").textContent = isShown ? "Hide" : "Show";
		byId("show-password").setAttribute("aria-pressed", String(isShown));
	}

	/** @param {typeof FIELDS[number]} id */
	#mark(id, problem) {
		byId(`${id}-problem`).textContent = problem;
		byId(id).setAttribute("aria-invalid", String(problem !== ""));
	}

	/** @param {"sign_in" | "register"} command */
	async #submit(command, meanwhile) {
		const [host, port, name, password, key] = FIELDS.map(id => byId(id).value);
		this.say("");
		const problems = problemsOf({ host, port, name, password, key }, command === "register");
		FIELDS.forEach(id => this.#mark(id, problems[id] ?? ""));
		const first = FIELDS.find(id => problems[id]);
		if (first) {
			byId(first).focus();
			return;
		}
		const tracker = joinAddress(host.trim(), port.trim());
		await this.#ask(command, { tracker, username: name.trim().normalize("NFC"), password, ...(key.trim() && { tracker_key: digitsOf(key) }) }, meanwhile);
	}

	async #ask(command, fields, meanwhile) {
		this.#isBusy = true;
		this.say("");
		byId("former-password").hidden = true;
		this.app.notices.say(meanwhile);
		this.app.draw();
		try {
			await this.app.command(command, fields);
			byId("password").value = "";
			this.#showPassword(false);
			return true;
		} catch (error) {
			this.say(this.app.words(error));
			void this.#settle(/** @type {any} */ (error).event ?? {}, command, fields);
			return false;
		} finally {
			this.app.notices.say("");
			this.#isBusy = false;
			this.app.draw();
		}
	}

	async #settle({ code, reason, folder, expected_key, found_key }, command, fields) {
		const text = this.#problem.textContent ?? "";
		const again = more => this.#ask("changed_to" in more ? "sign_in" : command, { ...fields, ...more }, "Signing in…");
		const byCode = [{ title: "Registration code", text, action: "Register", password: true, code: true }, code => ({ code })];
		const byPassword = [{ title: "New password", text, action: "Sign in", password: true }, changed_to => ({ changed_to })];
		const consent = (title, action, more) => [{ title, text, action, danger: true }, () => more];
		/** @type {Record<string, any[]>} */
		const ways = {
			CODE_REQUIRED: byCode,
			WRONG_CODE: byCode,
			PASSWORD_CHANGED: byPassword,
			ACCOUNT_UNKNOWN: byPassword,
			KEY_REFUSED: consent("Sign in with the password?", "Sign in", { use_password: true }),
			DIGEST_REQUIRED: consent("Send the digest?", "Send it once", { send_digest: true }),
			TRACKER_KEY_CHANGED: [
				{
					title: "The tracker has another key",
					text: "It was set up anew, or somebody stands between you and it. Ask its operator, by another way, which key it has now.",
					facts: [["Expected key", keyGroups(expected_key)], ["Key found now", keyGroups(found_key)]],
					action: "It is the key found now",
					danger: true,
				},
				() => ({ tracker_key: found_key }),
			],
		};
		const way = ways[reason ?? code];
		const answer = way && (await ask(way[0]));
		if (way && answer !== null) {
			await again(way[1](answer));
		}
		const former = byId("former-password");
		former.hidden = reason !== "LOCAL_PASSWORD";
		former.onclick = async () => {
			const lost = `If nobody knows it, close the peer and move ${safeRow(folder)} away: you begin with a new key and no messages.`;
			const password = await ask({ title: "Password before the change", text: `Type the password that you used on this computer before. ${lost}`, action: "Sign in", password: true });
			password !== null && again({ password, changed_to: fields.password });
		};
	}

	#spread() {
		const [address = "", key] = byId("tracker-host").value.trim().split("#");
		const { host, port } = splitAddress(address);
		if (port) {
			byId("tracker-host").value = host;
			byId("tracker-port").value = port;
			byId("tracker-key").value = key ?? byId("tracker-key").value;
		}
	}

	async #import() {
		const file = byId("identity-file").files?.[0];
		const password = byId("password").value;
		if (!file || !password) {
			this.say(file ? "Type the password of the identity above first." : "Choose the identity file first.");
		} else if (file.size > IDENTITY_MAX) {
			this.say("This file is too large for the page. Import it with `peer identity import` in a terminal.");
		} else if (await this.#ask("import_identity", { content: await file.text(), password }, "Importing…")) {
			this.say("The identity is on this computer now. Sign in with its name and password.");
		}
	}
}

/** @param {SignInInput} input @param {boolean} isNew true for a new account @returns {Record<string, string>} */
export function problemsOf({ host, port, name, password, key }, isNew) {
	const number = /^\s*\d{1,5}\s*$/.test(port) ? Number(port) : 0;
	const isName = /^[\p{L}0-9][\p{L}\p{M}0-9._-]{0,31}$/u.test(name.trim()) && name === name.toLowerCase();
	const found = {
		"tracker-host": !/^\S+$/.test(host.trim()) && "Type the host of the tracker, for example 127.0.0.1.",
		"tracker-port": (number < 1 || number > 65535) && "The port is a number from 1 to 65535.",
		"name": !name.trim() ? "Type your name." : !isName && "A name has small letters, digits, or . _ -",
		"password": !password ? "Type your password." : isNew && tooShort(password),
		"tracker-key": !/^([0-9a-f]{64})?$/.test(digitsOf(key)) && "A key has 64 digits from 0 to 9 and a to f.",
	};
	return Object.fromEntries(Object.entries(found).flatMap(([field, problem]) => (problem ? [[field, problem]] : [])));
}

export const tooShort = password => (Array.from(password).length < PASSWORD_MIN ? `A new password has at least ${PASSWORD_MIN} characters.` : "");

/** Splits an address at its port; an IPv6 address stands in brackets. */
export function splitAddress(address) {
	const [, inner, plain, port] = /^(?:\[([^\]]*)\]|([^:]*)):(\d+)$/.exec(address) ?? ["", "", address, ""];
	return { host: inner || plain || "", port };
}

export const joinAddress = (host, port) => `${host.includes(":") && !host.startsWith("[") ? `[${host}]` : host}:${port}`;
