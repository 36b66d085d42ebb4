/** A part of the page, which draws the state or changes it. */

export class View {
	constructor(app) {
		this.app = app;
		this.state = app.state;
	}
}
