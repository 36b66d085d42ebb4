// People who use the chat by its page: three peers, a real tracker and a real browser.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";

import {
  PASSWORD, byName, connection, conversationButton, conversations, createRoom, folder, frame, joinRoom, leave, log, openChat, openConversation, openPage,
  received, registered, roomOfThree, say, shows, signIn, startPeer, startProgram, startTracker, until, upgrade,
} from "./harness.js";

const exists = locator => locator.waitFor();
const hint = page => page.locator("#composer-hint");

describe("first run", () => {
  it("refuses a wrong port and an empty name with a message", async () => {
    const tracker = await startTracker();
    const peer = await startPeer(tracker);
    const page = await openPage(peer.url);
    await exists(connection(page).getByText("signed out", { exact: true }));
    const message = byName(page, "textbox", "Message");
    assert.ok(await message.isDisabled());
    assert.match(await message.getAttribute("placeholder"), /Sign in/);
    await byName(page, "textbox", "Tracker port").fill("70000");
    await byName(page, "button", "Sign in").click();
    await exists(page.getByText("The port is a number from 1 to 65535."));
    await exists(page.getByText("Type your name."));
    await signIn(page, "ana", { tracker, password: "short" });
    await exists(page.getByText(/at least 8 characters\.$/));
    await signIn(page, "ana", { tracker, button: "Sign in" });
    await exists(page.getByRole("alert").filter({ hasText: "register a new account" }));
    assert.deepEqual(page.problems, []);
  });

  it("shows the password while its button is pressed in", async () => {
    const page = await openPage((await startPeer(await startTracker())).url);
    const password = page.locator("#password");
    await password.fill("correct-horse");
    assert.equal(await password.getAttribute("type"), "password");
    await byName(page, "button", "Show").click();
    assert.equal(await password.getAttribute("type"), "text");
    await byName(page, "button", "Hide").click();
    assert.equal(await password.getAttribute("type"), "password");
  });

  it("tells that no tracker answers", async () => {
    const gone = await startTracker();
    const peer = await startPeer(gone);
    await gone.stop("SIGKILL");
    const page = await openPage(peer.url);
    await signIn(page, "ana", { tracker: gone });
    await exists(page.getByRole("alert").filter({ hasText: "--host" }));
  });
});

describe("a room of three", () => {
  it("delivers to all, and shows who has a message", async () => {
    const tracker = await startTracker();
    const [ana, bob, carla] = await roomOfThree(tracker, "sala");
    await say(ana, "hello, both of you");
    await Promise.all([ana, bob, carla].map(page => shows(page, "hello, both of you")));
    await log(ana).getByRole("button", { name: "delivered: 2/2" }).click();
    await exists(log(ana).getByText("Delivered to bob and carla."));
    await byName(bob, "textbox", "Message").fill("two");
    await byName(bob, "textbox", "Message").press("Shift+Enter");
    await bob.keyboard.type("lines, ana");
    await bob.keyboard.press("Enter");
    await exists(log(ana).getByText("two\nlines, ana"));
    await exists(log(ana).getByText("for you", { exact: true }));

    await openChat(bob, "ana");
    await say(bob, "psst, just between us");
    await exists(conversationButton(ana, "@bob").locator(".badge"));
    assert.match(await ana.title(), /^\(1\) /);
    await openConversation(ana, "@bob");
    await shows(ana, "psst, just between us");
    assert.doesNotMatch(await ana.title(), /^\(/);
    assert.equal(await conversations(carla).getByRole("listitem").count(), 1, "carla has the room only");
    await say(ana, "a private answer");
    await shows(bob, "a private answer");

    await byName(ana, "searchbox", "Words to find").fill("hello");
    await byName(ana, "button", "Search").click();
    const results = byName(ana, "list", "Search results");
    await results.getByRole("button").first().click();
    await exists(byName(ana, "heading", "sala"));
    await exists(log(ana).locator(".target").getByText("hello, both of you"));

    await byName(ana, "button", "More actions").click();
    const download = ana.waitForEvent("download");
    await byName(ana, "button", "Export as a file").click();
    const lines = readFileSync(await (await download).path(), "utf8").trimEnd().split("\n").map(line => JSON.parse(line).content);
    assert.deepEqual(lines, ["hello, both of you", "two\nlines, ana"]);

    await byName(carla, "button", "Leave").click();
    await exists(carla.getByText(/^Your seat becomes free/));
    await byName(carla, "button", "Cancel").click();
    await exists(byName(carla, "heading", "sala"));
    await leave(carla, "sala");
    await exists(log(bob).or(byName(bob, "list", "Conversations")).first());
    await exists(byName(ana, "list", "Members").getByText("ana", { exact: true }));
    await openConversation(bob, "sala");
    await exists(log(bob).getByText(/^carla left/));
    await exists(byName(carla, "button", "Join sala"));
    for (const page of [ana, bob, carla]) {
      assert.deepEqual(page.problems, []);
    }
  });

  it("shows each person as online or offline, and nobody as both", async () => {
    const tracker = await startTracker();
    const [ana, bob, carla] = await roomOfThree(tracker, "sala");
    await openChat(ana, "bob");
    await say(ana, "hello");
    await shows(ana, "hello");
    const online = () => ana.locator(".avatar.online").evaluateAll(found => found.map(it => it.closest("li").querySelector(".row-name").innerText.split(" ")[0]).sort().join(" "));
    const subtitle = words => ana.locator("#subtitle").getByText(words).waitFor();
    await until(async () => (await online()) === "@bob ana bob bob carla");
    await bob.peer.stop("SIGKILL");
    await until(async () => (await online()) === "ana carla");
    await subtitle("private chat · offline");
    await tracker.stop("SIGKILL");
    await exists(connection(ana).getByText("offline: tracker", { exact: true }));
    await carla.peer.stop("SIGKILL");
    await until(async () => (await online()) === "ana");
    await openConversation(ana, "sala");
    await subtitle("with bob and carla · 0 of 2 online");
  });

  it("goes on without the tracker, and notices its return", async () => {
    const tracker = await startTracker();
    const [ana, bob] = await roomOfThree(tracker, "sala");
    await tracker.stop("SIGKILL");
    await exists(connection(ana).getByText("offline: tracker", { exact: true }));
    assert.ok(await byName(ana, "textbox", "Message").isEnabled());
    await say(ana, "still there?");
    await shows(bob, "still there?");
    await startTracker({ listen: tracker.address, data: tracker.data });
    await exists(connection(ana).getByText("connected", { exact: true }));
  });
});

describe("an open page", () => {
  it("survives the end of its peer, and goes on with the next one", async () => {
    const tracker = await startTracker();
    const ana = await registered(tracker, "ana");
    await createRoom(ana, "sala");
    await say(ana, "before");
    await shows(ana, "before");
    await byName(ana, "textbox", "Message").fill("not sent yet");
    await ana.peer.stop("SIGKILL");
    await exists(connection(ana).getByText("offline: peer", { exact: true }));
    assert.equal(await byName(ana, "textbox", "Message").inputValue(), "not sent yet");
    assert.ok(await byName(ana, "button", "Send").isDisabled());
    const again = await startPeer(tracker, { data: ana.peer.data, web: ana.peer.host });
    await exists(ana.getByText("Open the link that your own peer printed."));
    await ana.goto(again.url);
    await signIn(ana, "ana", { tracker, button: "Sign in" });
    await openConversation(ana, "sala");
    await shows(ana, "before");
  });

  it("keeps typed text over a reload, until the sign-out", async () => {
    const tracker = await startTracker();
    const ana = await registered(tracker, "ana");
    await createRoom(ana, "sala");
    await byName(ana, "textbox", "Message").fill("half a sent");
    await ana.reload();
    await exists(byName(ana, "heading", "sala"));
    assert.equal(await byName(ana, "textbox", "Message").inputValue(), "half a sent");
    await byName(ana, "button", "Sign out").click();
    await exists(connection(ana).getByText("signed out", { exact: true }));
    assert.equal(await ana.evaluate(() => Object.keys(sessionStorage).join()), "token");
    await signIn(ana, "ana", { tracker, button: "Sign in" });
    await openConversation(ana, "sala");
    assert.equal(await byName(ana, "textbox", "Message").inputValue(), "");
  });

  it("tells that a text is too long before it is sent", async () => {
    const ana = await registered(await startTracker(), "ana");
    await createRoom(ana, "sala");
    const message = byName(ana, "textbox", "Message");
    await message.fill("é".repeat(4097));
    await exists(hint(ana).getByText(/too long: 8,194 of 8,192 bytes/));
    assert.ok(await byName(ana, "button", "Send").isDisabled());
    await message.fill("   ");
    assert.ok(await byName(ana, "button", "Send").isDisabled(), "nothing to send");
    await message.fill("é".repeat(4096));
    await message.press("Enter");
    await exists(log(ana).getByRole("button", { name: "Show all" }));
  });

  it("shows the same as a second one and a program of the same user", async () => {
    const tracker = await startTracker();
    const program = await startProgram(tracker, "ana", { web: true });
    const [one, two] = [await openPage(program.url), await openPage(program.url)];
    await exists(connection(one).getByText("connected", { exact: true }));
    await createRoom(one, "sala");
    await openConversation(two, "sala");
    const event = program.event(it => it.event === "sent" && it.content === "by the first page");
    await say(one, "by the first page");
    await event;
    await shows(two, "by the first page");
    await program.ask("say", { conversation: { room: "sala" }, text: "by the program" });
    await Promise.all([one, two].map(page => shows(page, "by the program")));
    await leave(two, "sala");
    await exists(one.locator(".banner").getByText(/^You are not in this conversation/));
  });

  it("keeps messages of two authors with one id apart", async () => {
    const tracker = await startTracker();
    const [ana, bob] = [await startProgram(tracker, "ana", { web: true }), await startProgram(tracker, "bob")];
    const say = text => ({ command: "say", conversation: { room: "sala" }, text });
    await ana.ask("create", { room: "sala" });
    const linked = ana.event(it => it.event === "link" && it.state === "up");
    await bob.ask("join", { room: "sala" });
    await linked;
    const [atAna, atBob] = [ana, bob].map(program => program.event(it => it.event === "message"));
    const { id: own } = await ana.ask("say", say("by ana"));
    await atBob;
    bob.send(say("by bob"));
    const { id: other } = await atAna;
    for (let at = 1; at < 199; at++) {
      ana.send(say(`${at}`));
    }
    await ana.ask("say", say("the last"));
    // As if bob had used ana's id. The peer itself knows the message by its author too.
    const prepare = page => page.routeWebSocket(/\/ws$/, socket => {
      const server = socket.connectToServer();
      server.onMessage(text => socket.send(text.replaceAll(other, own)));
      socket.onMessage(text => server.send(text.includes('"before_from":"bob"') ? text.replaceAll(own, other) : text));
    });
    const page = await openPage(ana.url, { prepare });
    await openConversation(page, "sala");
    // An export reads 200 messages at a time, so bob's is the first one of its page.
    const download = page.waitForEvent("download");
    await byName(page, "button", "More actions").click();
    await byName(page, "button", "Export as a file").click();
    const texts = readFileSync(await (await download).path(), "utf8").trimEnd().split("\n").map(line => JSON.parse(line).content);
    assert.deepEqual([texts.length, ...texts.slice(0, 3)], [201, "by ana", "by bob", "1"]);
    while (!(await log(page).getByText("by ana", { exact: true }).count())) {
      await page.evaluate(() => new Promise(drawn => {
        document.querySelector("#log").scrollTop = 0;
        requestAnimationFrame(drawn);
      }));
    }
    await shows(page, "by bob");
  });

  it("is not delayed by one that reads nothing", async () => {
    const tracker = await startTracker();
    const ana = await registered(tracker, "ana");
    await createRoom(ana, "sala");
    const { socket } = await upgrade(ana.peer.host);
    socket.pause();
    socket.write(frame(JSON.stringify({ token: ana.peer.token })));
    const bot = await startProgram(tracker, "bot");
    await bot.ask("join", { room: "sala" });
    const text = "x".repeat(2000);
    for (let at = 0; at < 2000; at++) {
      bot.send({ command: "say", conversation: { room: "sala" }, text: `${text} ${at}` });
    }
    await exists(log(ana).getByText(/ 1999$/));
    socket.destroy();
  });

  it("warns of a changed key, and sends again once it is accepted", async () => {
    const tracker = await startTracker();
    const ana = await registered(tracker, "ana");
    await createRoom(ana, "sala");
    const bob = await registered(tracker, "bob");
    await joinRoom(bob, "sala");
    await exists(byName(ana, "list", "Members").getByText(/direct link/));
    await bob.peer.stop("SIGTERM");
    const other = await startPeer(tracker, { data: folder() });
    const stranger = await openPage(other.url);
    await signIn(stranger, "bob", { tracker, button: "Sign in" });
    await exists(ana.getByText(/bob uses another key than before\. It may be/));
    await exists(byName(ana, "list", "Members").getByText("changed key", { exact: true }));
    await joinRoom(stranger, "sala");
    await say(ana, "only for the old key");
    await exists(log(ana).getByRole("button", { name: "delivered: waiting" }));
    await byName(ana, "button", "Accept the key").click();
    await exists(ana.getByText(/^If somebody else uses this name/));
    await byName(ana, "button", "Accept").click();
    await exists(log(ana).getByRole("button", { name: "delivered: 1/1" }));
    await shows(stranger, "only for the old key");
    await byName(ana, "button", "Compare bob").click();
    await exists(byName(ana, "img", "The safety number as a QR code"));
    await exists(ana.getByText("/verify ana"));
    const digits = await ana.locator(".digits span").allTextContents();
    assert.match(digits.join(" "), /^(\d{5} ){11}\d{5}$/);
    await byName(ana, "button", "The numbers are equal").click();
    await exists(byName(ana, "list", "Members").getByText("verified", { exact: true }));
  });
});

describe("all that the terminal can do", () => {
  it("is there in the page too", async () => {
    const tracker = await startTracker();
    const [ana, bob] = [await registered(tracker, "ana"), await registered(tracker, "bob")];
    const press = (page, name) => byName(page, "button", name).click();
    const notice = text => exists(ana.locator(".toast").filter({ hasText: text }));
    const account = () => press(ana, "ana account and settings");
    await createRoom(ana, "sala");
    await say(ana, "alone");
    await exists(log(ana).getByText("nobody else here"));
    await joinRoom(bob, "sala");
    await exists(byName(ana, "list", "Members").getByText(/direct link/));

    // A message that waits is listed with its recipient, and can be withdrawn.
    await bob.peer.stop("SIGTERM");
    await exists(byName(ana, "list", "Members").getByText(/offline/));
    await say(ana, "wait for bob");
    await shows(ana, "wait for bob");
    await account();
    await press(ana, "Waiting messages");
    const waiting = byName(ana, "list", "Waiting messages");
    await exists(waiting.getByText("Waiting for bob."));
    await waiting.getByRole("button", { name: "Withdraw" }).click();
    await press(ana, "Withdraw it");
    await notice("withdrawn");
    assert.equal(await log(ana).getByText("wait for bob").count(), 0);
    await ana.keyboard.press("Escape");
    const again = await startPeer(tracker, { data: bob.peer.data });
    await bob.goto(again.url);
    await signIn(bob, "bob", { tracker, button: "Sign in" });
    await openConversation(bob, "sala");

    await press(ana, "Block bob");
    await notice("is blocked");
    await press(ana, "Unblock bob");
    await notice("can write to you in private again");

    // The identity, with its password, is enough on another computer; then the password changes.
    await account();
    const download = ana.waitForEvent("download");
    await press(ana, "Export identity");
    await byName(ana, "textbox", "Password").fill(PASSWORD);
    await press(ana, "Export");
    const identity = await (await download).path();
    await ana.getByLabel("Present password").fill(PASSWORD);
    await ana.getByLabel("New password").fill("battery-staple");
    await press(ana, "Change password");
    await notice("The password is changed");
    await ana.keyboard.press("Escape");
    const elsewhere = await openPage((await startPeer(tracker)).url);
    await elsewhere.getByText("Bring your account from another computer").click();
    await byName(elsewhere, "textbox", "Password").fill(PASSWORD);
    await elsewhere.getByLabel("Identity file").setInputFiles(identity);
    await press(elsewhere, "Import identity");
    await exists(elsewhere.getByText("The identity is on this computer now."));

    // A room that was left is still here, until it is erased.
    await leave(ana, "sala");
    await exists(byName(ana, "heading", "No conversation is open"));
    await ana.getByText("Ended conversations").click();
    await byName(ana, "list", "Ended conversations").getByRole("button", { name: "sala" }).click();
    await shows(ana, "alone");
    assert.ok(await byName(ana, "textbox", "Message").isDisabled());
    await press(ana, "More actions");
    await press(ana, "Erase on this computer");
    await press(ana, "Erase");
    await notice("erased on this computer");
    await joinRoom(ana, "sala");
    await press(ana, "More actions");
    await press(ana, "Delete room");
    await press(ana, "Delete the room");
    await exists(bob.locator(".banner").getByText(/^You are not in this conversation/));

    await account();
    await press(ana, "Delete account");
    await byName(ana, "textbox", "Password").fill("battery-staple");
    await press(ana, "Delete for ever");
    await exists(ana.getByText("The account is deleted."));
    await press(bob, "bob account and settings");
    await press(bob, "Quit the peer");
    await exists(byName(bob, "heading", "The peer has ended"));
    await exists(connection(bob).getByText("signed out", { exact: true }));
    assert.deepEqual([...ana.problems, ...bob.problems], []);
  });
});

describe("ten thousand messages", () => {
  it("leave few rows in the page, all in order, and no memory behind", async () => {
    const tracker = await startTracker();
    const ana = await registered(tracker, "ana");
    await createRoom(ana, "sala");
    const bot = await startProgram(tracker, "bot");
    await bot.ask("join", { room: "sala" });
    const heap = async () => {
      const session = await ana.context().newCDPSession(ana);
      await session.send("HeapProfiler.collectGarbage");
      return (await session.send("Runtime.getHeapUsage")).usedSize;
    };
    const flood = async (from, to) => {
      for (let at = from; at < to; at++) {
        bot.send({ command: "say", conversation: { room: "sala" }, text: `message ${at} of many` });
      }
      await shows(ana, `message ${to - 1} of many`);
    };
    await flood(0, 2000);
    const before = await heap();
    await flood(2000, 10_000);
    const grown = (await heap()) - before;
    assert.ok(grown < 3_000_000, `${grown} bytes more than after 2,000 messages`);
    const numbers = () => ana.evaluate(() => Array.from(document.querySelectorAll(".text"), text => Number(/\d+/.exec(text.textContent ?? "")?.[0])));
    const inOrder = list => list.every((number, at) => at === 0 || number === list[at - 1] + 1);
    assert.ok(inOrder(await numbers()));
    // Upwards page by page, beyond what the page has kept.
    for (let top = Infinity; top > 8500; ) {
      await ana.evaluate(() => (document.querySelector("#log").scrollTop = 0));
      await ana.waitForFunction(top => Number(/\d+/.exec(document.querySelector(".text").textContent)[0]) < top, top);
      const shown = await numbers();
      top = shown[0];
      assert.ok(inOrder(shown) && shown.length <= 500, `${shown.length} rows from ${top}`);
    }
    // The search shows the oldest message in its place.
    await byName(ana, "searchbox", "Words to find").fill("0 from:bot until:2100-01-01");
    await byName(ana, "button", "Search").click();
    await byName(ana, "list", "Search results").getByRole("button").filter({ hasText: "message 0 of many" }).click();
    await exists(log(ana).locator(".target").getByText("message 0 of many"));
    await exists(log(ana).getByText("This is the beginning of the conversation."));
    await shows(ana, "message 60 of many");
    await byName(ana, "button", "Jump to the newest").click();
    await shows(ana, "message 9999 of many");
  });
});
