/** Helpers to build elements. Text becomes a text node, and no string is ever read as HTML. */

/** @template {keyof Ids} K @param {K} id @returns {Ids[K]} */
export function byId(id) {
	const found = document.getElementById(String(id));
	if (!found) {
		throw new Error(`the page has no element "${id}"`);
	}
	return found;
}

/**
 * Returns a new element. `text` is its text, `on` is called on a click, other names are attributes; attributes and
 * children that are false or absent are left out.
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag
 * @param {Record<string, any>} [given]
 * @param {any[]} children
 */
export function element(tag, { text = "", on: act, ...attributes } = {}, ...children) {
	const made = document.createElement(tag);
	for (const [name, value] of Object.entries(attributes)) {
		if (value !== false && value != null) {
			made.setAttribute(name, value === true ? "" : String(value));
		}
	}
	made.textContent = text;
	act && on(made, "click", act);
	made.append(...children.filter(Boolean));
	return made;
}

/** @param {string} [classes]
 * @param {string} [label] a longer name, which begins with the text */
export const button = (text, on, classes, label) =>
	element("button", { type: "button", text, on, class: classes, "aria-label": label });

export const paragraph = (classes, ...children) => element("p", { class: classes }, ...children);

export const span = (classes, ...children) => element("span", { class: classes }, ...children);

export const box = (classes, ...children) => element("div", { class: classes }, ...children);

/** @param {string | EventTarget} of */
export const on = (of, name, act) => (typeof of === "string" ? byId(of) : of).addEventListener(name, act);

/** Returns text for screen readers only. */
export const unseen = text => span("hidden", text);

export const section = (title, ...content) => element("section", { class: "settings" }, element("h3", { text: title }), ...content);

/** @param {[string, string][]} facts */
export const factList = facts =>
	element("dl", { class: "facts" }, ...facts.flatMap(([name, text]) => [element("dt", { text: name }), element("dd", { text })]));

/** @param {...(HTMLElement | false)} buttons */
export const buttons = (...buttons) => paragraph("buttons", ...buttons);

function svgElement(tag, attributes) {
	const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
	Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
	return made;
}

/** Returns a sign that goes before words which say the same. */
export const icon = sign => element("span", { class: "sign", "aria-hidden": "true", text: sign });

/** @param {string[]} rows with `#` for a dark square */
export function squares(rows, label) {
	const size = rows.length + 8;
	const d = rows.flatMap((row, y) => [...row].map((square, x) => (square === "#" ? `M${x + 4} ${y + 4}h1v1h-1z` : ""))).join("");
	const svg = svgElement("svg", { viewBox: `0 0 ${size} ${size}`, class: "qr", role: "img", "aria-label": label });
	svg.append(svgElement("rect", { width: size, height: size, fill: "#fff" }), svgElement("path", { d, fill: "#000" }));
	return svg;
}

export const avatar = (name, classes = "") =>
	element("span", { class: `avatar hue-${hue(name)} ${classes}`, "aria-hidden": "true", text: initial(name) });

export const initial = name => (Array.from(name)[0] ?? "?").toUpperCase();

export const hue = name => Array.from(name).reduce((sum, c) => (sum * 131 + (c.codePointAt(0) ?? 0)) % 65521, 7) % 8;

/**
 * Makes a list show these items. Unchanged elements stay, so that focus and clicks survive.
 * `lookOf` changes whenever an item looks different.
 */
export function keyedList(list, items, keyOf, lookOf, build) {
	const kept = new Set(items.map(keyOf));
	/** @type {Map<string | undefined, HTMLElement>} */
	const nodes = new Map();
	for (const node of Array.from(/** @type {NodeListOf<HTMLElement>} */ (list.childNodes))) {
		// What goes is removed first, so that what stays need not move.
		kept.has(node.dataset.key ?? "") ? nodes.set(node.dataset.key, node) : node.remove();
	}
	let place = list.firstChild;
	for (const item of items) {
		const [key, look] = [keyOf(item), lookOf(item)];
		const old = nodes.get(key);
		/** @type {any} */
		let node = old;
		if (old?.dataset.look !== look) {
			node = build(item);
			Object.assign(node.dataset, { key, look });
			if (old) {
				place = place === old ? node : place;
				replaceKeepingFocus(old, node);
			}
		}
		if (node === place) {
			place = node.nextSibling;
			continue;
		}
		const focused = node.contains(document.activeElement) && /** @type {HTMLElement} */ (document.activeElement);
		list.insertBefore(node, place);
		focused && focused.focus();
	}
}

/** Replaces an element, and puts the focus on the button that stands for the focused one. */
function replaceKeepingFocus(old, node) {
	const at = Array.from(old.querySelectorAll("button")).findIndex(it => it === document.activeElement);
	old.replaceWith(node);
	node.querySelectorAll("button")[at]?.focus({ preventScroll: true });
}
