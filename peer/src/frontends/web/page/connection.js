/**
 * The WebSocket to the peer that serves this page.
 *
 * The first frame carries the token. Then the peer sends a snapshot and events, and this page sends commands. A
 * command has an id, and its answer has the same one as `in_reply_to`.
 */

/** First and longest wait between attempts to reach the peer, in milliseconds. */
const BACKOFF = [250, 8000];

/** Close codes of the peer: the token is wrong; too many pages are open. */
const [REFUSED, TOO_MANY] = [1008, 1013];

/** An answer that is an error, or the loss of the connection. */
export class CommandError extends Error {
	/** @param {Record<string, any>} event */
	constructor(event) {
		super(event.message);
		this.event = event;
		this.code = event.code ?? "";
	}
}

/** The connection, which opens again by itself. */
export class Connection {
	/** @type {WebSocket | null} */
	#socket = null;
	/** @type {Map<number, { resolve: (event: PeerEvent) => void, reject: (error: CommandError) => void }>} */
	#waiting = new Map();
	#lastId = 0;
	#wait = BACKOFF[0];
	#token = "";
	/** True after the first event of the present connection. */
	#isGreeted = false;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#opening;

	/** @param {{ onEvent: (event: PeerEvent) => void, onClosed: () => void, onRefused: (isToken: boolean) => void }} to */
	constructor(to) {
		this.to = to;
	}

	/** Connects with a token, now and whenever the connection is lost. @param {string} token */
	start(token) {
		this.stop();
		this.#token = token;
		this.#wait = BACKOFF[0];
		this.#open();
	}

	/** Closes the connection for good. */
	stop() {
		clearTimeout(this.#opening);
		this.#token = "";
		this.#socket?.close();
		this.#socket = null;
		this.#dropAll();
	}

	/** Closes the connection and opens it again, for a new snapshot. */
	again() {
		this.#socket?.close();
	}

	/** Tries again at once, if the connection is lost. */
	hurry() {
		if (!this.#socket && this.#token) {
			this.#open();
		}
	}

	/**
	 * Sends a command and returns its answer.
	 * @param {string} command
	 * @param {Record<string, unknown>} [fields]
	 * @returns {Promise<PeerEvent>}
	 */
	request(command, fields) {
		return new Promise((resolve, reject) => {
			if (!this.#isGreeted) {
				reject(lost());
				return;
			}
			this.#lastId += 1;
			this.#waiting.set(this.#lastId, { resolve, reject });
			this.#socket?.send(JSON.stringify({ id: this.#lastId, command, ...fields }));
		});
	}

	#open() {
		clearTimeout(this.#opening);
		const socket = new WebSocket(`ws://${location.host}/ws`);
		this.#socket = socket;
		socket.onopen = () => socket.send(JSON.stringify({ token: this.#token }));
		socket.onmessage = ({ data }) => this.#socket === socket && this.#received(JSON.parse(data));
		socket.onclose = ({ code }) => this.#socket === socket && this.#closed(code);
	}

	/** @param {PeerEvent} event */
	#received(event) {
		this.#isGreeted = true;
		this.#wait = BACKOFF[0];
		this.to.onEvent(event);
		const waiting = this.#waiting.get(event.in_reply_to);
		this.#waiting.delete(event.in_reply_to);
		if (event.event === "error") {
			waiting?.reject(new CommandError(event));
		} else if (event.event === "password_wanted") {
			waiting?.reject(new CommandError({ ...event, code: "PASSWORD_WANTED" }));
		} else {
			waiting?.resolve(event);
		}
	}

	/** @param {number} code */
	#closed(code) {
		const isRefused = code === REFUSED && !this.#isGreeted;
		this.#socket = null;
		this.#dropAll();
		if (isRefused) {
			this.#token = "";
			this.to.onRefused(true);
			return;
		}
		code === TOO_MANY ? this.to.onRefused(false) : this.to.onClosed();
		this.#opening = setTimeout(() => this.#open(), this.#wait);
		this.#wait = Math.min(this.#wait * 2, BACKOFF[1]);
	}

	/** Fails every command that waits for its answer. */
	#dropAll() {
		this.#isGreeted = false;
		const waiting = [...this.#waiting.values()];
		this.#waiting.clear();
		waiting.forEach(({ reject }) => reject(lost()));
	}
}

const lost = () => new CommandError({ code: "PEER_LOST", message: "The peer does not answer. Nothing was done." });
