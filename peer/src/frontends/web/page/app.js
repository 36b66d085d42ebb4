/** The start of the page, and what connects its parts. */

import { showAccount } from "./account.js";
import { Actions } from "./actions.js";
import { drawBanners } from "./banners.js";
import { Composer } from "./composer.js";
import { CommandError, Connection } from "./connection.js";
import { ask, Dialog } from "./dialogs.js";
import { byId, hue, initial, on } from "./dom.js";
import { apply, markRead, readTrust } from "./events.js";
import { showHelp } from "./help.js";
import { HistoryReader } from "./history.js";
import { MembersPanel } from "./members.js";
import { MessageList } from "./message_list.js";
import { Notices } from "./notices.js";
import { Questions } from "./questions.js";
import { safeRow } from "./safe_text.js";
import { search, showReceipts } from "./search.js";
import { Sidebar } from "./sidebar.js";
import { SignIn } from "./sign_in.js";
import { connectionWords, currentConversations, hasEnded, newState, openConversation, othersOf } from "./state.js";
import { errorWords, listed } from "./words.js";

/** Time between two looks at the tracker's lists, in ms */
const REFRESH = 10_000;

/** Time for which a key or a click counts as use, in ms. Commands keep the history unlocked. */
const ACTIVE = 60_000;

/** Time between drawings of an unseen page, in ms */
const UNSEEN_PAUSE = 250;

/** Time without a drawing that counts as a rest, in milliseconds. */
const REST = 30;

/** Share of the time that drawing may take */
const DRAWING_SHARE = 0.3;

/** Conversations whose newest messages are read at the start. */
const READ_AHEAD = 8;

export class App {
	state = newState();
	#isDrawDue = false;
	#drawAfter = 0;
	#isFocusDue = false;
	#usedAt = performance.now();
	/** True if the history is to be read once somebody uses the page. */
	#isReadDue = false;
	#questions = new Questions();

	constructor() {
		this.connection = new Connection({
			onEvent: event => this.received(event),
			onClosed: isFull => this.#detached(isFull),
			onEnded: isOther => this.#refused(isOther),
		});
		this.dialog = new Dialog();
		this.notices = new Notices(this);
		this.history = new HistoryReader(this);
		this.actions = new Actions(this);
		this.sidebar = new Sidebar(this);
		this.messages = new MessageList(this);
		this.members = new MembersPanel(this);
		this.composer = new Composer(this);
		this.signIn = new SignIn(this);
		this.#wire();
	}

	/** Connects with the token of the address, or with the one of this tab. */
	start() {
		if (location.hash.length > 1) {
			sessionStorage.setItem("token", location.hash.slice(1));
			history.replaceState(null, "", location.pathname);
		}
		const token = sessionStorage.getItem("token");
		if (token) {
			this.state.phase = this.state.me ? "signed_in" : "connecting";
			this.connection.start(token);
		} else {
			this.#refused(false);
		}
		this.draw();
	}

	command(command, fields) {
		return this.connection.request(command, fields);
	}

	/** @type {(event: PeerEvent) => void} */
	received = event => {
		apply(this.state, event, Date.now()).forEach(effect => this.#effects[effect.do](effect));
		this.draw();
	};

	/** @type {Record<Effect["do"], (effect: any) => unknown>} */
	#effects = {
		restart: ({ words }) => this.#restart(words),
		signed_in: () => this.#signedIn(),
		refresh: ({ after = 0 }) => setTimeout(() => this.refresh(), after),
		reload: ({ conversation }) => this.history.reload(conversation),
		members: ({ conversation }) => this.#askMembers(conversation),
		alert: ({ conversation, message }) => this.notices.alert(conversation, message),
		received: ({ conversation, message }) => this.notices.received(conversation, message),
		ended: ({ words }) => this.end(words),
		toast: ({ text, bad }) => this.notices.toast(text, bad),
	};

	/** Goes on from a snapshot, or from the end of a session for a reason. */
	#restart(words) {
		if (this.state.phase === "signed_in") {
			this.#signedIn();
			return;
		}
		words && this.signIn.say(words);
		this.#clear();
		["open", "read"].forEach(key => sessionStorage.removeItem(key));
	}

	#clear() {
		this.notices.say("");
		this.composer.clear();
		byId("password").value = "";
		byId("toasts").replaceChildren();
		document.querySelectorAll("dialog").forEach(it => it.close());
	}

	#signedIn() {
		const { state } = this;
		this.signIn.say("");
		this.history.readMarks();
		const last = sessionStorage.getItem("open") ?? "";
		const isWide = matchMedia("(min-width: 46em)").matches;
		const first = state.conversations.has(last) ? last : isWide && currentConversations(state)[0]?.key;
		if (!state.open && first) {
			this.actions.open(first);
		}
		this.#isReadDue = true;
		this.#isUsed && this.#read();
		for (const it of currentConversations(state).filter(it => it.loaded === "yes")) {
			void this.#questions.ask(`receipts ${it.key}`, () => this.history.readReceipts(it));
		}
		void this.#questions.ask("kept", async () => {
			await this.actions.loadKept();
			this.#isUsed && this.#read();
		});
		this.refresh();
	}

	get #isUsed() {
		return performance.now() - this.#usedAt < ACTIVE;
	}

	#used() {
		this.#usedAt = performance.now();
		this.#isReadDue && this.#read();
	}

	#read() {
		this.#isReadDue = false;
		const open = openConversation(this.state);
		const likely = [...(open ? [open] : []), ...currentConversations(this.state).slice(0, READ_AHEAD)];
		likely.filter(it => it.loaded !== "yes").forEach(it => void this.history.load(it));
	}

	#askMembers(conversation) {
		void this.#questions.ask(conversation.key, async () => {
			const answer = await this.#asked("users", { conversation: conversation.address });
			readTrust(this.state, answer?.members ?? []);
		});
	}

	refresh() {
		void this.#questions.ask("lists", () => this.#refresh());
	}

	async #refresh() {
		const { state } = this;
		if (connectionWords(state) === "connected") {
			const [peers, rooms] = await Promise.all([this.#asked("peers"), this.#asked("rooms")]);
			state.online = peers ? new Set(peers.peers.flatMap(it => (it.connected ? [it.username] : []))) : state.online;
			state.rooms = rooms?.rooms ?? state.rooms;
		}
	}

	/** Returns an answer, or `null` if there is none now: the next look brings it. */
	async #asked(command, fields) {
		try {
			return await this.command(command, fields);
		} catch (error) {
			return error instanceof CommandError ? null : Promise.reject(error);
		} finally {
			this.draw();
		}
	}

	/** @param {boolean} isFull true if too many pages are open */
	#detached(isFull) {
		this.state.attached = false;
		isFull && this.notices.toast("Too many pages of this peer are open. Close one of them.", true);
		this.draw();
	}

	/** Ends the page, which has no token for the peer. @param {boolean} isOther true if it is not the peer that answers */
	#refused(isOther) {
		byId("other").hidden = !isOther;
		sessionStorage.clear();
		this.#forget("refused");
	}

	/** @param {string} why a sentence */
	end(why) {
		const tracker = this.state.hosts ? " The tracker on this computer has ended too." : "";
		this.connection.stop();
		byId("nothing-title").textContent = "The peer has ended";
		byId("nothing-words").textContent = `${why}${tracker} To sign in again, start it and open the link that it prints.`;
		this.#forget("ended");
	}

	/** @param {State["phase"]} phase */
	#forget(phase) {
		this.#clear();
		Object.assign(this.state, newState(), { phase });
		this.draw();
	}

	/** Does something, and shows a failure to the user. @template T @param {() => Promise<T>} action */
	async tried(action) {
		try {
			return await action();
		} catch (error) {
			this.notices.toast(this.words(error), true);
		} finally {
			this.draw();
		}
	}

	/** Asks a question, and acts on the answer unless the user cancels. @param {Question} question */
	async confirmed(question, action) {
		const answer = await ask(question);
		return answer === null ? undefined : this.tried(() => action(answer));
	}

	words(error) {
		if (!(error instanceof CommandError)) {
			console.error(error);
			return "Something went wrong on this page. Reload it.";
		}
		const left = error.event.tries_left;
		return left === undefined ? errorWords(error.event) : `Wrong password: ${left === 1 ? "one try" : `${left} tries`} left.`;
	}

	/** Puts the focus into the entry; on a touch screen that would open the keyboard. */
	focusEntry() {
		this.#isFocusDue = matchMedia("(hover: hover)").matches;
		this.draw();
	}

	/** Draws the state: at once after a rest, else at the next frame or later. */
	draw() {
		if (!this.#isDrawDue) {
			this.#isDrawDue = true;
			const pause = document.hidden ? UNSEEN_PAUSE : this.#drawAfter - performance.now();
			const draw = () => this.#draw();
			pause > 0 ? setTimeout(draw, pause) : pause < -REST ? queueMicrotask(draw) : requestAnimationFrame(draw);
		}
	}

	#draw() {
		const start = performance.now();
		this.#drawAll();
		const end = performance.now();
		this.#drawAfter = end + (end - start) * (1 / DRAWING_SHARE - 1);
	}

	#drawAll() {
		this.#isDrawDue = false;
		const { state } = this;
		const conversation = openConversation(state);
		const isIn = state.phase === "signed_in";
		const words = connectionWords(state);
		// Nobody types a secret before the peer has proven itself.
		document.querySelectorAll("input").forEach(it => (it.readOnly = !state.attached));
		Object.assign(document.body.dataset, { phase: state.phase, connection: words, pane: conversation ? "chat" : "list" });
		if (byId("connection-words").textContent !== words) {
			byId("connection-words").textContent = words;
		}
		byId("own").hidden = byId("sidebar").hidden = !isIn;
		byId("sign-in").hidden = state.phase !== "signed_out";
		byId("conversation").hidden = !conversation;
		byId("nothing-open").hidden = !(state.phase === "ended" || (isIn && !conversation));
		if (isIn) {
			byId("tracker-place").textContent = `tracker ${safeRow(state.trackerAddress)}`;
			byId("own-name").textContent = state.me;
			byId("own-avatar").textContent = initial(state.me);
			byId("own-avatar").className = `avatar small hue-${hue(state.me)}`;
			this.sidebar.draw();
		}
		if (conversation) {
			this.#drawTop(conversation);
			drawBanners(this);
		}
		this.messages.draw();
		this.members.draw();
		this.composer.draw();
		this.signIn.draw();
		this.notices.draw();
		this.history.keepMarks();
		if (this.#isFocusDue) {
			this.#isFocusDue = false;
			this.composer.focus();
		}
	}

	#drawTop(conversation) {
		const { state } = this;
		const { snapshot, address, ended } = conversation;
		const others = othersOf(state, conversation);
		const online = others.filter(member => member.connected).length;
		const presence = online === others.length ? "online" : `${online} of ${others.length} online`;
		const room = others.length ? `with ${listed(others.map(it => it.username))} · ${presence}` : "nobody else here yet";
		byId("title").textContent = safeRow(conversation.title);
		byId("subtitle").textContent = "to" in address ? `private chat · ${online ? "online" : "offline"}` : snapshot ? room : "";
		byId("delete-button").hidden = snapshot?.owner !== state.me || ended;
		byId("leave").hidden = ended;
		byId("leave-words").textContent = "to" in address ? "Close" : "Leave";
		byId("members-toggle").hidden = hasEnded(conversation);
	}

	#wire() {
		const onClick = (id, act) => on(id, "click", act);
		const onOpen = (id, act) =>
			onClick(id, () => {
				byId("more-menu").hidePopover();
				act(openConversation(this.state));
			});
		onOpen("leave", it => this.actions.leave(it));
		onOpen("delete-button", it => this.actions.deleteRoom(it));
		onOpen("forget-button", it => this.actions.forget(it));
		onOpen("export-button", it => this.actions.export(it));
		onOpen("receipts-button", it => this.tried(() => showReceipts(this, it)));
		onClick("back", () => this.actions.close());
		onClick("help-button", () => showHelp(this));
		onClick("account-button", () => showAccount(this));
		onClick("sign-out", () => this.actions.end("sign_out"));
		// The page handles every form itself.
		on(window, "submit", event => event.preventDefault());
		on("search-form", "submit", () => {
			const entry = byId("search-words");
			const words = entry.value.trim();
			words ? void this.tried(() => search(this, words)) : entry.focus();
		});
		on(window, "hashchange", () => location.hash && this.start());
		on(window, "pointerdown", () => this.#used());
		on(window, "keydown", event => {
			this.#used();
			if (event.altKey && event.key === "n") {
				event.preventDefault();
				this.actions.openNextUnread();
			}
		});
		["visibilitychange", "focus", "blur"].forEach(name => addEventListener(name, () => this.#looked(), true));
		setInterval(() => this.#isUsed && !document.hidden && this.refresh(), REFRESH);
	}

	#looked() {
		const isVisible = !document.hidden && document.hasFocus();
		if (isVisible !== this.state.visible) {
			this.state.visible = isVisible;
			if (isVisible) {
				this.#used();
				this.connection.hurry();
				markRead(this.state);
			}
			this.draw();
		}
	}
}

new App().start();
