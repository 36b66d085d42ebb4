// Attacks on the page as a local web server is attacked. Each has a control that succeeds: against a weakened server, or
// with what the attacker lacks.

import assert from "node:assert/strict";
import { createHmac } from "node:crypto";
import { it } from "node:test";

import {
  byName, connection, conversationButton, createRoom, foreignSite, frame, joinRoom, log, openChat, openPage, received, registered, request,
  say, shows, signIn, startImpostor, startPeer, startTracker, upgrade, weakened,
} from "./harness.js";

const SENTENCE = "Open the link that your own peer printed.";
const OTHER_PEER = `Your peer was started again, or another program has taken its place. ${SENTENCE}`;

/** Waits for the first frame of the peer after an opening, and returns everything that came. */
async function opened(host, opening, options) {
  const { status, socket } = await upgrade(host, options);
  if (status !== 101) {
    return { status, text: "" };
  }
  if (opening) {
    socket.write(frame(JSON.stringify(opening)));
  }
  const text = await received(socket, '"snapshot"');
  socket.destroy();
  return { status, text };
}

it("a request for another host is refused, as after DNS rebinding", async () => {
  const peer = await startPeer(await startTracker());
  const { port } = new URL(peer.origin);
  for (const host of [`evil.example:${port}`, "127.0.0.1", `127.0.0.1.evil.example:${port}`, ""]) {
    for (const path of ["/", "/app.js", "/icon.svg", "/nothing"]) {
      assert.equal((await request(peer.host, { path, headers: { Host: host } })).status, 403, `${host} ${path}`);
    }
    assert.equal((await upgrade(peer.host, { hostHeader: host })).status, 403);
  }
  for (const host of [peer.host, `localhost:${port}`]) {
    assert.equal((await request(peer.host, { headers: { Host: host } })).status, 200, "the control");
  }
  const weak = await weakened(peer);
  assert.equal((await request(weak.host, { headers: { Host: "evil.example" } })).status, 200, "the control");
});

it("a page of another site opens no WebSocket", async () => {
  const peer = await startPeer(await startTracker());
  const sameServer = peer.origin.replace("127.0.0.1", "localhost");
  for (const origin of ["http://evil.example", "null", `${peer.origin}0`, `https://${peer.host}`, sameServer, null]) {
    assert.equal((await upgrade(peer.host, { origin })).status, 403, String(origin));
  }
  const { status, text } = await opened(peer.host, { token: peer.token });
  assert.equal(status, 101, "the control");
  assert.match(text, /"snapshot"/);
  const weak = await weakened(peer);
  assert.equal((await upgrade(weak.host, { origin: "http://evil.example" })).status, 101, "the control");
});

it("without the token another user of the computer learns nothing", async () => {
  const ana = await registered(await startTracker(), "ana");
  const { host, origin, token } = ana.peer;
  const wrong = token.replace(/./g, digit => (digit === "0" ? "1" : "0"));
  for (const opening of [{ token: wrong }, { token: "" }, { token: token.slice(1) }, {}, { token, more: 1 }]) {
    const { text } = await opened(host, opening);
    assert.doesNotMatch(text, /snapshot|ana|127/, JSON.stringify(opening));
  }
  const inQuery = await opened(host, { token: "" }, { path: `/ws?token=${token}` });
  assert.doesNotMatch(inQuery.text, /snapshot/);
  for (const [url, sentence] of [[`${origin}/`, SENTENCE], [`${origin}/?token=${token}`, SENTENCE], [`${origin}/#${wrong}`, OTHER_PEER]]) {
    const page = await openPage(url);
    await page.getByText(SENTENCE).waitFor();
    assert.equal((await page.locator("body").innerText()).trim(), sentence, url);
    assert.equal(await page.title(), "p2p-chat");
  }
  const control = await openPage(`${origin}/#${token}`);
  await byName(control, "button", "ana account and settings").waitFor();
  assert.equal(control.url(), `${origin}/`, "the token leaves the address");
});

/** A peer to which nobody is signed in, as an impostor shows it to get a password. */
const signedOut = JSON.stringify({ event: "snapshot", username: null, tracker: "lost", tracker_address: "127.0.0.1:1", listening: "" });
const proofOf = (token, nonce) => JSON.stringify({ proof: createHmac("sha256", token).update(`p2p-chat page v1 ${nonce}`).digest("hex") });

it("another program on the port gets nothing from an open page", async () => {
  const ana = await registered(await startTracker(), "ana");
  const pages = [ana, await openPage(ana.peer.url), await openPage(ana.peer.url)];
  for (const page of pages) {
    await byName(page, "button", "ana account and settings").click();
    await byName(page, "button", "Export identity").click();
    await byName(page, "textbox", "Password").fill("half a sec");
  }
  await ana.peer.stop("SIGKILL");
  for (const page of pages) {
    await page.locator("input[readonly][aria-label=Password]").waitFor();
    await byName(page, "textbox", "Password").press("End");
    await page.keyboard.type("ret");
    assert.equal(await byName(page, "textbox", "Password").inputValue(), "half a sec", "nothing is typed meanwhile");
  }
  const wrong = [() => [signedOut, signedOut], () => "no JSON", nonce => [proofOf(`${ana.peer.token}0`, nonce), signedOut]];
  const texts = await startImpostor(ana.peer, (text, number) => wrong[number](JSON.parse(text).nonce));
  for (const page of pages) {
    await page.getByText("another program has taken its place").waitFor();
    assert.equal((await page.locator("body").innerText()).trim(), OTHER_PEER);
    assert.deepEqual(await page.evaluate(() => [sessionStorage.length, document.querySelectorAll("dialog[open]").length]), [0, 0]);
    assert.equal(await page.title(), "p2p-chat");
  }
  assert.equal(texts.length, pages.length);
  texts.forEach(text => assert.match(text, /^\{"nonce":"[0-9a-f]{64}"\}$/));
  assert.equal(new Set(texts).size, texts.length, "each nonce is new");
});

it("control: a program that knows the token gets the password", async () => {
  const ana = await registered(await startTracker(), "ana");
  await ana.peer.stop("SIGKILL");
  const stolen = new Promise(resolve => {
    void startImpostor(ana.peer, text => {
      const { nonce, token, password } = JSON.parse(text);
      password && resolve(password);
      return nonce ? proofOf(ana.peer.token, nonce) : token ? signedOut : [];
    });
  });
  await signIn(ana, "ana", { button: "Sign in", password: "the password" });
  assert.equal(await stolen, "the password");
});

it("the page is shown in no frame", async () => {
  const peer = await startPeer(await startTracker());
  const framed = async url => {
    const site = await openPage(await foreignSite(`<iframe src="${url}"></iframe>`));
    await site.waitForLoadState("networkidle");
    return site.frames().length > 1 && (await site.frames()[1].locator("#connection").count()) > 0;
  };
  assert.equal(await framed(peer.url), false);
  const weak = await weakened(peer);
  assert.equal(await framed(weak.url), true, "the control");
});

it("every answer forbids what the page does not need", async () => {
  const peer = await startPeer(await startTracker());
  for (const path of ["/", "/app.js", "/style.css", "/icon.svg", "/nothing"]) {
    const { headers } = await request(peer.host, { path, headers: { Host: peer.host } });
    const policy = headers["content-security-policy"];
    for (const rule of ["default-src 'none'", "script-src 'self'", "frame-ancestors 'none'", "require-trusted-types-for 'script'"]) {
      assert.ok(policy.includes(rule), `${path} ${rule}`);
    }
    assert.doesNotMatch(policy, /unsafe|\*|data:|http/);
    assert.equal(headers["x-content-type-options"], "nosniff");
    assert.equal(headers["referrer-policy"], "no-referrer");
    assert.equal(headers["cache-control"], "no-store");
    assert.equal(headers["cross-origin-opener-policy"], "same-origin");
    assert.equal(headers["cross-origin-resource-policy"], "same-origin");
    assert.equal(headers["set-cookie"], undefined);
  }
});

it("text of others becomes no markup and hides nothing", async () => {
  const tracker = await startTracker();
  const image = "<img src=x onerror=document.title='owned'>";
  const bidi = "pay \u{202e}001\u{2066} euros\u{7}";
  const ana = await registered(tracker, "ana");
  await createRoom(ana, image);
  const bob = await registered(tracker, "bob");
  await joinRoom(bob, image);
  await say(bob, image);
  await shows(ana, image);
  await say(bob, bidi);
  await log(ana).getByText("pay \\u{202e}001\\u{2066} euros\\u{7}").waitFor();
  await conversationButton(ana, image).waitFor();
  await openChat(ana, "bob");
  await say(bob, image);
  assert.equal(await ana.evaluate(() => document.querySelectorAll("img[onerror], #log img, #conversations img").length), 0);
  assert.doesNotMatch(await ana.title(), /owned/);

  // The control: a page that reads text as HTML, from a server without the policy.
  const weak = await weakened(ana.peer, answer => ({
    ...answer,
    body: answer.path.startsWith("/dom.js") ? answer.body.replace("made.textContent = text", "made.innerHTML = text") : answer.body,
  }));
  const control = await openPage(weak.url);
  await connection(control).getByText("connected").waitFor();
  await control.waitForFunction(() => document.title.includes("owned") || document.querySelector("img[onerror]"));
});

it("a fifth page is refused until another one is closed", async () => {
  const peer = await startPeer(await startTracker());
  const open = async () => {
    const { socket } = await upgrade(peer.host);
    socket.write(frame(JSON.stringify({ token: peer.token })));
    return { socket, text: await received(socket, '"snapshot"') };
  };
  const pages = [];
  for (let at = 0; at < 4; at++) {
    pages.push(await open());
    assert.match(pages[at].text, /"snapshot"/);
  }
  const fifth = await open();
  assert.doesNotMatch(fifth.text, /"snapshot"/);
  pages[0].socket.destroy();
  // The place is free once the peer has noticed the end of the first.
  for (let text = ""; !text.includes('"snapshot"'); ) {
    ({ text } = await open());
  }
});

it("a frame over 64 KiB ends the connection", async () => {
  const peer = await startPeer(await startTracker());
  const { socket } = await upgrade(peer.host);
  socket.write(frame(JSON.stringify({ token: peer.token })));
  await received(socket, '"snapshot"');
  const closed = new Promise(resolve => socket.once("close", resolve));
  const big = Buffer.alloc(14);
  big.set([0x81, 0xff]);
  big.writeBigUInt64BE(70_000n, 2);
  socket.write(Buffer.concat([big, Buffer.alloc(70_000, 32)]), () => {});
  socket.on("error", () => {});
  await closed;
});
