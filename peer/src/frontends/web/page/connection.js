/** The WebSocket to the peer that serves this page. */

/** First and longest wait between attempts, in ms */
const BACKOFF = [250, 8000];

/** Close codes: a wrong token; too many pages */
const [REFUSED, TOO_MANY] = [1008, 1013];

/** An answer that is an error, or the loss of the connection. */
export class CommandError extends Error {
	constructor(event) {
		super(event.message);
		this.event = event;
		this.code = event.code ?? "";
	}
}

export class Connection {
	/** @type {WebSocket | null} */
	#socket = null;
	/** True once the present peer has proven itself. */
	#isProven = false;
	/** @type {Map<number, PromiseWithResolvers<PeerEvent>>} */
	#waiting = new Map();
	#lastId = 0;
	#wait = BACKOFF[0];
	#token = "";
	/** True after the first event of the present connection. */
	#isGreeted = false;
	/** @type {ReturnType<typeof setTimeout> | undefined} */
	#opening;

	/** @param {ConnectionListener} to */
	constructor(to) {
		this.to = to;
	}

	start(token) {
		this.stop();
		this.#token = token;
		this.#wait = BACKOFF[0];
		this.#open();
	}

	stop() {
		clearTimeout(this.#opening);
		this.#token = "";
		this.#socket?.close();
		this.#socket = null;
		this.#dropAll();
	}

	/** Tries again at once, if the connection is lost. */
	hurry() {
		if (!this.#socket && this.#token) {
			this.#open();
		}
	}

	/** @returns {Promise<PeerEvent>} */
	request(command, fields) {
		if (!this.#isGreeted) {
			return Promise.reject(lost());
		}
		/** @type {PromiseWithResolvers<PeerEvent>} */
		const answer = Promise.withResolvers();
		this.#lastId += 1;
		this.#waiting.set(this.#lastId, answer);
		this.#socket?.send(JSON.stringify({ id: this.#lastId, command, ...fields }));
		return answer.promise;
	}

	#open() {
		clearTimeout(this.#opening);
		const socket = new WebSocket(`ws://${location.host}/ws`);
		this.#socket = socket;
		this.#isProven = false;
		const nonce = hex(crypto.getRandomValues(new Uint8Array(32)));
		socket.onopen = () => socket.send(JSON.stringify({ nonce }));
		socket.onmessage = ({ data }) => this.#judge(socket, nonce, data);
		socket.onclose = ({ code, reason }) => this.#socket === socket && this.#closed(reason.startsWith("late") ? 0 : code);
	}

	/**
	 * Sends the token if the first message proves that the peer knows it, else ends.
	 * @param {WebSocket} socket
	 * @param {string} nonce
	 * @param {string} data
	 */
	async #judge(socket, nonce, data) {
		socket.onmessage = null;
		const isProof = await proves(this.#token, nonce, data).catch(() => false);
		if (this.#socket !== socket) {
			return;
		}
		if (!isProof) {
			this.stop();
			this.to.onEnded(true);
			return;
		}
		this.#isProven = true;
		socket.onmessage = ({ data }) => this.#socket === socket && this.#received(JSON.parse(data));
		socket.send(JSON.stringify({ token: this.#token }));
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

	#closed(code) {
		const isRefused = code === REFUSED && this.#isProven && !this.#isGreeted;
		this.#socket = null;
		this.#dropAll();
		if (isRefused) {
			this.#token = "";
			this.to.onEnded(false);
			return;
		}
		this.to.onClosed(code === TOO_MANY);
		this.#opening = setTimeout(() => this.#open(), this.#wait);
		this.#wait = Math.min(this.#wait * 2, BACKOFF[1]);
	}

	#dropAll() {
		this.#isGreeted = false;
		const waiting = [...this.#waiting.values()];
		this.#waiting.clear();
		waiting.forEach(({ reject }) => reject(lost()));
	}
}

const hex = bytes => Array.from(bytes, byte => byte.toString(16).padStart(2, "0")).join("");

/** Returns true if a message proves that its sender knows the token (docs/protocol.md). */
async function proves(token, nonce, data) {
	const bytes = text => new TextEncoder().encode(text);
	const key = await crypto.subtle.importKey("raw", bytes(token), { name: "HMAC", hash: "SHA-256" }, false, ["verify"]);
	const proof = Uint8Array.from(JSON.parse(data).proof.match(/../g), digits => parseInt(digits, 16));
	return crypto.subtle.verify("HMAC", key, proof, bytes(`p2p-chat page v1 ${nonce}`));
}

const lost = () => new CommandError({ code: "PEER_LOST", message: "The peer does not answer. Nothing was done." });
