// What newcomers stumbled over: words and places that mean one thing only.

import assert from "node:assert/strict";
import { it } from "node:test";

import {
  PASSWORD, byName, connection, conversations, createRoom, joinRoom, leave, log, openChat, openPage, registered, say, shows, signIn, startPeer, startTracker,
} from "./harness.js";

const press = (page, name) => byName(page, "button", name).click();
const connected = page => connection(page).getByText("connected", { exact: true }).waitFor();

it("an owner returns to the own room, and a private chat is closed", async () => {
  const tracker = await startTracker();
  const [ana, bob] = [await registered(tracker, "ana"), await registered(tracker, "bob")];
  await createRoom(ana, "sala");
  await leave(ana, "sala");
  await ana.getByText("yours, your seat is kept").waitFor();
  await press(ana, "Join sala");
  await byName(ana, "heading", "sala").waitFor();
  await openChat(ana, "bob");
  await say(ana, "hello");
  await shows(ana, "hello");
  await byName(bob, "list", "Conversations").getByText("ana: hello").waitFor();
  await press(ana, "Close");
  await ana.locator(".question").getByText(/^bob sees that you left\. The chat stays in your list/).waitFor();
  await press(ana, "Close the chat");
  await byName(ana, "heading", "No conversation is open").waitFor();
  await conversations(ana).getByText("@bob").waitFor();
  assert.deepEqual([...ana.problems, ...bob.problems], []);
});

it("a private chat keeps its preview over a restart", async () => {
  const tracker = await startTracker();
  const [ana, bob] = [await registered(tracker, "ana"), await registered(tracker, "bob")];
  await openChat(ana, "bob");
  await say(ana, "hello");
  await byName(bob, "list", "Conversations").getByText("ana: hello").waitFor();
  await bob.peer.stop("SIGTERM");
  const again = await openPage((await startPeer(tracker, { data: bob.peer.data })).url);
  await signIn(again, "bob", { tracker, button: "Sign in" });
  await byName(again, "list", "Conversations").getByText("ana: hello").waitFor();
});

it("a safety number has two rows of six, and may differ", async () => {
  const tracker = await startTracker();
  const [ana] = [await registered(tracker, "ana"), await registered(tracker, "bob")];
  await openChat(ana, "bob");
  await press(ana, "Compare bob");
  for (const width of [1280, 360]) {
    await ana.setViewportSize({ width, height: 800 });
    await ana.locator(".digits").waitFor();
    const tops = await ana.locator(".digits span").evaluateAll(groups => groups.map(group => group.getBoundingClientRect().top));
    assert.deepEqual(tops.map(top => (top === tops[0] ? 0 : 1)).join(""), "000000111111", `${width}`);
    assert.ok(await ana.locator("#dialog").evaluate(it => it.scrollWidth <= it.clientWidth), `${width}`);
  }
  await press(ana, "They differ");
  await ana.locator("#dialog").getByText(/^Somebody may stand between you and bob.* Nothing was accepted\. Write no secrets here/).waitFor();
  await ana.keyboard.press("Escape");
  await ana.setViewportSize({ width: 1280, height: 800 });
  await byName(ana, "button", "Compare bob").waitFor();
  assert.equal(await ana.locator(".trust.verified").count(), 0);
});

it("a problem goes with its cause, and a reload leads to the entry", async () => {
  const tracker = await startTracker();
  const ana = await registered(tracker, "ana");
  const problem = ana.locator("#create-problem");
  await press(ana, "Create room");
  await problem.getByText("Type a name for the room first.").waitFor();
  await byName(ana, "textbox", "Room name").fill("s");
  assert.equal(await problem.innerText(), "");
  await tracker.stop("SIGKILL");
  await connection(ana).getByText("offline: tracker", { exact: true }).waitFor();
  await press(ana, "Create room");
  await problem.getByText("The tracker cannot be reached").waitFor();
  await startTracker({ listen: tracker.address, data: tracker.data });
  await connected(ana);
  assert.equal(await problem.innerText(), "");
  await createRoom(ana, "sala");
  await ana.reload();
  await byName(ana, "heading", "sala").waitFor();
  await ana.waitForFunction(() => document.activeElement?.id === "message");
});

it("the rooms of a deleted account are handed on, or deleted too", async () => {
  const tracker = await startTracker();
  const [ana, bob, carla] = [await registered(tracker, "ana"), await registered(tracker, "bob"), await registered(tracker, "carla")];
  const end = async page => {
    await page.getByRole("button", { name: /account and settings$/ }).click();
    await press(page, "Delete account");
    return page.locator(".question");
  };
  await createRoom(ana, "sala");
  await joinRoom(bob, "sala");
  await joinRoom(carla, "sala");
  const handsOn = await end(ana);
  await handsOn.getByText(/Your rooms go to the members who are in them longest\./).waitFor();
  await handsOn.getByLabel("Password").fill(PASSWORD);
  await press(ana, "Delete for ever");
  await ana.locator("#sign-in-problem").getByText("The account is deleted.").waitFor();
  await log(bob).getByText(/^bob owns this room now/).waitFor();
  const deletes = await end(bob);
  await deletes.getByLabel("Delete my rooms instead").check();
  await deletes.getByLabel("Password").fill(PASSWORD);
  await press(bob, "Delete for ever");
  await carla.locator(".banner").getByText(/^You are not in this conversation/).waitFor();
  const asked = await end(carla);
  await asked.getByText(/Your name becomes free\.$/).waitFor();
  assert.equal(await asked.getByRole("checkbox").count(), 0, "carla owns no room");
  assert.deepEqual([...ana.problems, ...bob.problems, ...carla.problems], []);
});
