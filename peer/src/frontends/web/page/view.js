/** A part of the page, which draws the state or changes it. */

export class View {
	/** @param {App} app */
	constructor(app) {
		this.app = app;
		this.state = app.state;
	}
}
