/** The page's own questions, one after the other, because the peer limits commands. */

/** Time between two questions, in milliseconds. */
const PAUSE = 250;

export class Questions {
	/** @type {Map<string, () => Promise<unknown>>} */
	#waiting = new Map();
	#isAsking = false;

	/** Asks a question, now or after those that wait. */
	async ask(name, ask) {
		this.#waiting.set(name, ask);
		if (this.#isAsking) {
			return;
		}
		this.#isAsking = true;
		for (const [name, ask] of this.#waiting) {
			this.#waiting.delete(name);
			await ask().catch(console.error);
			await new Promise(rested => setTimeout(rested, PAUSE));
		}
		this.#isAsking = false;
	}
}
