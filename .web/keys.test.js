// Keys: another computer of the same user, and people whose program has none.

import assert from "node:assert/strict";
import { it } from "node:test";

import {
  byName, connection, createRoom, joinRoom, log, openConversation, openPage, registered, say, shows, signIn, startPeer, startTracker, until,
} from "./harness.js";
import { startLegacyPeer } from "./legacy_peer.js";

const press = (page, name) => byName(page, "button", name).click();
const keys = page => byName(page, "list", "My keys").getByRole("listitem");

it("the key of another computer is endorsed, and later revoked", async () => {
  const tracker = await startTracker();
  const [ana, bob] = [await registered(tracker, "ana"), await registered(tracker, "bob")];
  await createRoom(ana, "sala");
  await joinRoom(bob, "sala");
  await byName(bob, "list", "Members").getByText(/direct link/).waitFor();
  const other = await openPage((await startPeer(tracker)).url);
  await signIn(other, "ana", { tracker, button: "Sign in" });
  await ana.getByText("You signed in elsewhere, so you are signed out here.").waitFor();
  await joinRoom(other, "sala");
  await other.locator(".banner").getByText(/^This computer has a new key/).waitFor();
  await bob.locator(".banner").getByText(/^ana uses another key than before/).waitFor();
  await other.locator(".banner").getByRole("button", { name: "Dismiss" }).click();
  await until(async () => (await other.locator(".banner").count()) === 0);
  await signIn(ana, "ana", { button: "Sign in" });
  await press(ana, "ana account and settings");
  await until(async () => (await keys(ana).count()) === 2);
  await keys(ana).filter({ hasText: "not endorsed" }).getByRole("button", { name: "Endorse" }).click();
  await keys(ana).filter({ hasText: "endorsed by another of your keys" }).waitFor();
  // Endorsed, the key needs nobody to accept it.
  await ana.keyboard.press("Escape");
  await signIn(other, "ana", { button: "Sign in" });
  await openConversation(other, "sala");
  await say(other, "from the other computer");
  await shows(bob, "from the other computer");
  await until(async () => (await bob.locator(".banner").count()) === 0);

  await signIn(ana, "ana", { button: "Sign in" });
  await press(ana, "ana account and settings");
  await until(async () => (await keys(ana).count()) === 2);
  await keys(ana).filter({ hasNotText: "this computer" }).getByRole("button", { name: "Revoke" }).click();
  await ana.locator(".small-dialog").getByRole("button", { name: "Revoke" }).click();
  await until(async () => (await keys(ana).count()) === 1);
  assert.deepEqual([...ana.problems, ...bob.problems, ...other.problems], []);
});

it("an original Python program takes part, and its messages are marked", async () => {
  const tracker = await startTracker();
  const ana = await registered(tracker, "ana");
  await createRoom(ana, "sala");
  const py = await startLegacyPeer(tracker, "py");
  await py.join("sala");
  const member = byName(ana, "list", "Members").getByRole("listitem").filter({ hasText: "py" });
  await member.getByText("not encrypted", { exact: true }).waitFor();
  await say(ana, "olá, py");
  await until(() => py.heard.includes("olá, py"));
  await log(ana).getByRole("button", { name: "delivered: 1/1" }).click();
  await log(ana).getByText("Sent to py, whose program confirms nothing.").waitFor();
  py.say("sala", "oi, ana");
  await shows(ana, "oi, ana");
  await log(ana).getByText("not encrypted", { exact: true }).waitFor();
  assert.equal(await member.getByRole("button", { name: "Compare py" }).count(), 0, "there is no key to compare");
  await connection(ana).getByText("connected").waitFor();
  assert.deepEqual(ana.problems, []);
});
