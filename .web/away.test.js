// People who look elsewhere, or whose browser does not run the page: notifications, the lock of the history, and a frozen tab.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  PASSWORD, byName, connection, createRoom, joinRoom, log, openChat, openConversation, openPage, registered, say, shows, startProgram, startTracker, until,
} from "./harness.js";

const account = async page => byName(page, "button", "ana account and settings").click();

describe("notifications", () => {
  /** A page that the tests can take the focus from. It keeps the notifications instead of showing them. */
  const prepare = async page => {
    await page.context().grantPermissions(["notifications"]);
    await page.clock.install();
    await page.addInitScript(() => {
      window.shown = [];
      window.isAway = false;
      document.hasFocus = () => !window.isAway;
      window.Notification = class extends Notification {
        constructor(title, options) {
          super(title, options);
          window.shown.push([title, options.body]);
          window.newest = this;
        }
      };
    });
  };
  const look = (page, isAway) =>
    page.evaluate(isAway => {
      window.isAway = isAway;
      window.dispatchEvent(new Event(isAway ? "blur" : "focus"));
    }, isAway);
  const shown = page => page.evaluate(() => window.shown);

  it("come for private messages and mentions, with text only if allowed", async () => {
    const tracker = await startTracker();
    const [ana, bob] = [await registered(tracker, "ana", { prepare }), await registered(tracker, "bob")];
    await createRoom(ana, "sala");
    await joinRoom(bob, "sala");
    await openChat(bob, "ana");
    await look(ana, true);
    await say(bob, "nobody asked for notifications");
    await byName(ana, "list", "Conversations").getByText("bob: nobody asked for notifications").waitFor();
    assert.deepEqual(await shown(ana), [], "the control: they are off at first");
    await look(ana, false);
    await account(ana);
    await byName(ana, "button", "Turn notifications on").click();
    await byName(ana, "button", "Turn notifications off").waitFor();
    await ana.keyboard.press("Escape");

    await say(bob, "you are here");
    await byName(ana, "list", "Conversations").getByText("bob: you are here").waitFor();
    await look(ana, true);
    await say(bob, "a secret");
    await until(async () => (await shown(ana)).length === 1);
    await openConversation(bob, "sala");
    await say(bob, "for everybody");
    await byName(ana, "list", "Conversations").getByText("bob: for everybody").waitFor();
    await ana.clock.fastForward(10_000);
    await say(bob, "ana, look");
    await until(async () => (await shown(ana)).length === 2);
    await look(ana, false);
    await account(ana);
    await ana.getByLabel("Show the text of the message in notifications").check();
    await ana.keyboard.press("Escape");
    await look(ana, true);
    await ana.clock.fastForward(10_000);
    await openConversation(bob, "@ana");
    await say(bob, "with <b>text</b>");
    await until(async () => (await shown(ana)).length === 3);
    assert.deepEqual(await shown(ana), [
      ["Private message from bob", ""],
      ["bob in sala", ""],
      ["Private message from bob", "with <b>text</b>"],
    ]);
    await ana.evaluate(() => window.newest.onclick());
    await byName(ana, "heading", "@bob").waitFor();
    assert.deepEqual(ana.problems, []);
  });
});

describe("the history", () => {
  it("is read again only once somebody uses the page", async () => {
    const commands = [];
    let cut = () => {};
    const prepare = async page => {
      await page.clock.install();
      await page.routeWebSocket(/\/ws$/, socket => {
        const server = socket.connectToServer();
        cut = () => Promise.all([socket.close(), server.close()]);
        server.onMessage(text => socket.send(text));
        socket.onMessage(text => {
          commands.push(JSON.parse(text).command);
          server.send(text);
        });
      });
    };
    const ana = await registered(await startTracker(), "ana", { prepare });
    await createRoom(ana, "sala");
    await say(ana, "before");
    await shows(ana, "before");
    const reconnected = async () => {
      commands.length = 0;
      await cut();
      await until(() => commands.includes("rooms"));
      return commands.includes("history");
    };
    assert.equal(await reconnected(), true, "the control: somebody has just used the page");
    await ana.clock.fastForward(10 * 60_000);
    assert.equal(await reconnected(), false);
    await ana.keyboard.press("Shift");
    await until(() => commands.includes("history"));
  });

  it("wants the password where it is locked, and counts the tries", async () => {
    // The history of a program that types lines starts locked, as after ten idle minutes.
    const program = await startProgram(await startTracker(), "ana", { web: true, input: [] });
    const type = async (line, event) => {
      const done = program.event(it => it.event === event);
      program.child.stdin.write(`${line}\n`);
      await done;
    };
    await type("/create sala", "room_entered");
    await type("said before", "sent");
    const ana = await openPage(program.url);
    await openConversation(ana, "sala");
    await log(ana).getByText("Earlier messages are locked.").waitFor();
    await byName(ana, "button", "Unlock").click();
    await byName(ana, "textbox", "Password").fill("not the password");
    await byName(ana, "textbox", "Password").press("Enter");
    await ana.getByRole("alert").filter({ hasText: "Wrong password: 2 tries left." }).waitFor();
    assert.equal(await log(ana).getByText("said before").count(), 0);
    await byName(ana, "textbox", "Password").fill(PASSWORD);
    await byName(ana, "textbox", "Password").press("Enter");
    await shows(ana, "said before");
    await until(async () => (await byName(ana, "button", "Unlock").count()) === 0);
  });
});

it("a frozen tab goes on where it stopped, and delays nobody", async () => {
  const tracker = await startTracker();
  const ana = await registered(tracker, "ana");
  await createRoom(ana, "sala");
  const frozen = await openPage(ana.peer.url);
  await connection(frozen).getByText("connected").waitFor();
  await openConversation(frozen, "sala");
  const bot = await startProgram(tracker, "bot");
  await bot.ask("join", { room: "sala" });
  const session = await frozen.context().newCDPSession(frozen);
  await session.send("Page.setWebLifecycleState", { state: "frozen" });
  for (let at = 0; at < 400; at++) {
    bot.send({ command: "say", conversation: { room: "sala" }, text: `message ${at} of many` });
  }
  await shows(ana, "message 399 of many");
  await session.send("Page.setWebLifecycleState", { state: "active" });
  await shows(frozen, "message 399 of many");
  const numbers = await frozen.evaluate(() => Array.from(document.querySelectorAll("#log .text"), it => Number(/\d+/.exec(it.textContent)[0])));
  assert.ok(numbers.every((number, at) => at === 0 || number === numbers[at - 1] + 1), String(numbers));
});
