// Real trackers, real peers and a real browser, and what users do with them.
//
// `BIN` names the folder of the programs (default: `../target/debug`), `CHROMIUM` the browser.

import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import net from "node:net";
import { tmpdir } from "node:os";
import path from "node:path";
import readline from "node:readline";
import { after } from "node:test";
import { fileURLToPath } from "node:url";

import { chromium } from "playwright-core";

const BIN = process.env.BIN ?? fileURLToPath(new URL("../target/debug", import.meta.url));
const CHROMIUM = process.env.CHROMIUM ?? "/usr/bin/chromium";

/** Longest wait for anything, in milliseconds: two loaded cores are slow, and a failure is rare. */
export const PATIENCE = 60_000;

export const PASSWORD = "correct-horse";

/** What must end with the test file, the latest first. */
const endings = [];

after(async () => {
  for (const end of endings.reverse()) {
    await end();
  }
});

/** Returns a folder that is removed at the end. */
export function folder() {
  const made = mkdtempSync(path.join(tmpdir(), "web-test-"));
  endings.push(() => rmSync(made, { recursive: true, force: true, maxRetries: 5 }));
  return made;
}

/** Starts a program and waits for a row of its output. */
async function start(name, args, pattern, stdin = "ignore") {
  const child = spawn(path.join(BIN, name), args, { stdio: [stdin, "pipe", "pipe"], env: { PATH: process.env.PATH, HOME: process.env.HOME } });
  const ended = new Promise(resolve => child.once("exit", resolve));
  const errors = [];
  readline.createInterface({ input: child.stderr }).on("line", row => errors.push(row));
  const stop = async signal => {
    child.kill(signal);
    await ended;
  };
  endings.push(() => stop("SIGKILL"));
  const rows = readline.createInterface({ input: child.stdout });
  const found = await new Promise((resolve, reject) => {
    rows.on("line", row => pattern.test(row) && resolve(pattern.exec(row)));
    ended.then(code => reject(new Error(`${name} ended with ${code}: ${errors.join("\n")}`)));
  });
  return { child, rows, found, stop, ended };
}

/** Starts a tracker. */
export async function startTracker({ listen = "127.0.0.1:0", data = folder() } = {}) {
  const { found, stop } = await start("tracker", ["--listen", listen, "--data", data], /listening on (\S+)/);
  return { address: found[1], data, stop };
}

/** Carries out a task of the tracker program on its data folder, as its operator does. */
export const operate = (tracker, ...task) => execFileSync(path.join(BIN, "tracker"), ["--data", tracker.data, ...task], { encoding: "utf8", stdio: "pipe" });

/** Gives a user another password, as the operator does: the tracker must be stopped. Returns the tracker, which runs again. */
export async function resetPassword(tracker, username, password) {
  await tracker.stop("SIGTERM");
  const file = path.join(folder(), "password");
  writeFileSync(file, password);
  operate(tracker, "reset-password", username, "--password-file", file);
  return startTracker({ listen: tracker.address, data: tracker.data });
}

/** Starts a peer that serves its page, and nothing else. */
export async function startPeer(tracker, { data = folder(), web } = {}) {
  const args = ["--tracker", tracker.address, "--data", data, "--web", ...(web ? [web] : [])];
  const { found, stop } = await start("peer", args, /web page on (http:\S+)/);
  const url = found[1];
  return { url, data, stop, origin: new URL(url).origin, host: new URL(url).host, token: new URL(url).hash.slice(1) };
}

/** Starts a peer that takes JSON commands and prints events, with or without a page. */
export async function startProgram(tracker, username, { data = folder(), web = false, input = ["--input", "json"], more = [] } = {}) {
  const passwordFile = path.join(data, "password");
  writeFileSync(passwordFile, PASSWORD);
  const account = ["--username", username, "--password-file", passwordFile, "--register"];
  const args = ["--tracker", tracker.address, "--data", data, ...account, ...input, "--output", "json", ...(web ? ["--web"] : []), ...more];
  const { child, rows, found, stop } = await start("peer", args, web ? /"event":"web".*"url":"([^"]+)"/ : /"event":"logged_in"/, "pipe");
  const listeners = new Set();
  rows.on("line", row => {
    const event = JSON.parse(row);
    listeners.forEach(listener => listener(event));
  });
  /** Waits for an event. Ask before causing it. */
  const event = matches =>
    new Promise(resolve => {
      const listener = event => matches(event) && (listeners.delete(listener), resolve(event));
      listeners.add(listener);
    });
  let last = 0;
  const send = command => child.stdin.write(`${JSON.stringify(command)}\n`);
  const ask = async (command, fields = {}) => {
    last += 1;
    const id = last;
    const answer = event(it => it.in_reply_to === id);
    send({ id, command, ...fields });
    return answer;
  };
  return { url: found[1], send, ask, event, stop, child };
}

let browser;

/** Returns the browser of this test file. */
export async function theBrowser() {
  browser ??= chromium.launch({
    executablePath: CHROMIUM,
    args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  }).then(it => {
    endings.push(() => it.close());
    return it;
  });
  return browser;
}

/** Opens a page in a browser profile of its own, after `prepare` has changed it. Errors of the page are in `problems`. */
export async function openPage(url, { width = 1280, height = 800, prepare, ...options } = {}) {
  const context = await (await theBrowser()).newContext({ viewport: { width, height }, acceptDownloads: true, ...options });
  context.setDefaultTimeout(PATIENCE);
  const page = await context.newPage();
  page.problems = [];
  page.on("pageerror", error => page.problems.push(String(error.stack)));
  await prepare?.(page);
  await page.goto(url);
  return page;
}

/** Waits until something is true. Each look lets the other programs go on. */
export async function until(isTrue) {
  while (!(await isTrue())) {
    await new Promise(resolve => setTimeout(resolve, 20));
  }
}

export const byName = (page, role, name, exact = true) => page.getByRole(role, { name, exact });
export const connection = page => byName(page, "status", "Connection");
export const log = page => byName(page, "log", "Messages");
export const conversations = page => byName(page, "list", "Conversations");
export const conversationButton = (page, name) => conversations(page).getByRole("button", { name, exact: true });

/** Fills the sign-in and presses one of its buttons. */
export async function signIn(page, username, { tracker, button = "Register", password = PASSWORD } = {}) {
  await byName(page, "button", button).waitFor();
  if (tracker) {
    const [host, port] = tracker.address.split(":");
    await byName(page, "textbox", "Tracker host").fill(host);
    await byName(page, "textbox", "Tracker port").fill(port);
  }
  await byName(page, "textbox", "Name").fill(username);
  await byName(page, "textbox", "Password").fill(password);
  await byName(page, "button", button).click();
}

/** Starts a peer with a page, and registers a user by the page alone. */
export async function registered(tracker, username, options) {
  const peer = await startPeer(tracker, options);
  const page = await openPage(peer.url, options);
  await signIn(page, username, { tracker });
  await connection(page).getByText("connected").waitFor().catch(async error => {
    throw new Error(`${username} is not signed in: ${await page.locator("body").innerText()}`, { cause: error });
  });
  return Object.assign(page, { peer });
}

export async function createRoom(page, name) {
  await byName(page, "textbox", "Room name").fill(name);
  await byName(page, "button", "Create room").click();
  await byName(page, "heading", name).waitFor();
}

export async function joinRoom(page, name) {
  // The list of rooms is read again while somebody uses the page.
  const join = byName(page, "button", `Join ${name}`);
  await page.keyboard.press("Shift");
  await join.click();
  await byName(page, "heading", name).waitFor();
}

export async function openChat(page, name) {
  await byName(page, "button", `Chat with ${name}`).click();
  await byName(page, "heading", `@${name}`).waitFor();
}

export async function openConversation(page, name) {
  await conversationButton(page, name).click();
  await byName(page, "heading", name).waitFor();
}

/** Leaves the open room, and answers the question. */
export async function leave(page, name) {
  await byName(page, "button", "Leave").click();
  await byName(page, "button", `Leave ${name}`).click();
}

export async function say(page, text) {
  await byName(page, "textbox", "Message").fill(text);
  await byName(page, "textbox", "Message").press("Enter");
}

/** Waits until a message is on the screen. */
export const shows = (page, text) => log(page).getByText(text, { exact: true }).last().waitFor();

/** Three users in one room, by their pages alone. */
export async function roomOfThree(tracker, name, users = ["ana", "bob", "carla"]) {
  const pages = [];
  for (const user of users) {
    pages.push(await registered(tracker, user));
  }
  await createRoom(pages[0], name);
  await joinRoom(pages[1], name);
  await joinRoom(pages[2], name);
  for (const page of pages) {
    const members = byName(page, "list", "Members");
    for (const user of users) {
      await members.getByText(user, { exact: true }).waitFor();
    }
    await members.getByText(/direct link/).nth(1).waitFor();
  }
  return pages;
}

/** Sends one HTTP request as a program that is not a browser. Returns the status, the headers and the body. */
export function request(host, { path = "/", headers = {} } = {}) {
  const { hostname, port } = new URL(`http://${host}`);
  return new Promise((resolve, reject) => {
    const sent = http.request({ host: hostname, port, path, headers, setHost: false }, response => {
      const body = [];
      response.on("data", piece => body.push(piece));
      response.on("end", () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(body).toString() }));
    });
    sent.on("upgrade", (response, socket, head) => resolve({ status: response.statusCode, headers: response.headers, socket, head }));
    sent.on("error", reject);
    sent.end();
  });
}

/** Opens a WebSocket as any program can. Returns the status of the answer, and the socket if it was accepted. */
export const upgrade = (host, { path = "/ws", origin = `http://${host}`, hostHeader = host } = {}) =>
  request(host, {
    path,
    headers: {
      Host: hostHeader,
      ...(origin ? { Origin: origin } : {}),
      Connection: "Upgrade",
      Upgrade: "websocket",
      "Sec-WebSocket-Version": "13",
      "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    },
  });

/** Returns a text as a masked frame of a client. */
export function frame(text) {
  const payload = Buffer.from(text);
  const [mask, size] = [Buffer.from([1, 2, 3, 4]), payload.length];
  const head = size < 126 ? Buffer.from([0x81, 0x80 | size]) : Buffer.from([0x81, 0xfe, size >> 8, size & 255]);
  return Buffer.concat([head, mask, payload.map((byte, at) => byte ^ mask[at % 4])]);
}

/** Returns everything that a socket receives until it is closed, or until it contains a text. */
export function received(socket, until) {
  return new Promise(resolve => {
    const pieces = [];
    const done = () => resolve(Buffer.concat(pieces).toString("latin1"));
    socket.on("data", piece => {
      pieces.push(piece);
      if (until && Buffer.concat(pieces).includes(until)) {
        done();
      }
    });
    socket.on("close", done);
    socket.on("error", done);
  });
}

/**
 * Starts a weakened server in front of a peer: it names itself as the peer's own page in every request, and may change
 * the answers. Attacks must succeed against it, else their tests prove nothing.
 */
export async function weakened(peer, change = answer => answer) {
  const own = headers => ({ ...headers, host: peer.host, ...(headers.origin ? { origin: peer.origin } : {}) });
  const server = http.createServer(async (asked, reply) => {
    const answer = change({ path: asked.url, ...(await request(peer.host, { path: asked.url, headers: own(asked.headers) })) });
    const headers = { "content-type": answer.headers["content-type"] ?? "text/plain" };
    reply.writeHead(answer.status, headers).end(answer.body);
  });
  server.on("upgrade", (asked, socket, head) => {
    const { hostname, port } = new URL(peer.origin);
    const far = net.connect(Number(port), hostname, () => {
      const headers = Object.entries(own(asked.headers)).map(([name, value]) => `${name}: ${value}\r\n`);
      far.write(`GET ${asked.url} HTTP/1.1\r\n${headers.join("")}\r\n`);
      far.write(head);
      far.pipe(socket).pipe(far);
    });
    // A side that ends takes the other one along: a half-open connection would keep the tests from ending.
    for (const [one, other] of [[far, socket], [socket, far]]) {
      one.on("error", () => other.destroy());
      one.on("close", () => other.destroy());
    }
    endings.push(() => far.destroy());
  });
  await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => server.closeAllConnections() ?? server.close());
  const host = `127.0.0.1:${server.address().port}`;
  return { host, url: `http://${host}/#${peer.token}`, origin: `http://${host}` };
}

/** Returns a text as a frame of a server. */
function serverFrame(text) {
  const payload = Buffer.from(text);
  assert.ok(payload.length < 65536);
  const head = payload.length < 126 ? [0x81, payload.length] : [0x81, 126, payload.length >> 8, payload.length & 255];
  return Buffer.concat([Buffer.from(head), payload]);
}

/**
 * Takes the port of a peer that has ended, as another user of the computer can. It answers each short text frame of a
 * page by `answer(text, number of the connection)`, and keeps all that it gets.
 */
export async function startImpostor(peer, answer) {
  const server = http.createServer((_, reply) => reply.writeHead(404).end());
  const texts = [];
  let connections = 0;
  server.on("upgrade", ({ headers }, socket) => {
    const number = connections++;
    const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest("base64");
    socket.write(`HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n\r\n`);
    let unread = Buffer.alloc(0);
    socket.on("error", () => socket.destroy());
    socket.on("data", piece => {
      unread = Buffer.concat([unread, piece]);
      while (unread.length >= 6 && unread.length >= 6 + (unread[1] & 127)) {
        const [size, mask] = [unread[1] & 127, unread.subarray(2, 6)];
        const text = unread.subarray(6, 6 + size).map((byte, at) => byte ^ mask[at % 4]);
        if ((unread[0] & 15) === 1) {
          texts.push(text.toString());
          [answer(text.toString(), number)].flat().forEach(it => socket.write(serverFrame(it)));
        }
        unread = unread.subarray(6 + size);
      }
    });
    endings.push(() => socket.destroy());
  });
  const { hostname, port } = new URL(peer.origin);
  await new Promise(resolve => server.listen(Number(port), hostname, resolve));
  endings.push(() => server.closeAllConnections() ?? server.close());
  return texts;
}

/** Serves one HTML text, as any site of the web does. */
export async function foreignSite(html) {
  const server = http.createServer((_, reply) => reply.writeHead(200, { "content-type": "text/html" }).end(html));
  await new Promise(resolve => server.listen(0, "127.0.0.1", resolve));
  endings.push(() => server.closeAllConnections() ?? server.close());
  return `http://127.0.0.1:${server.address().port}/`;
}
