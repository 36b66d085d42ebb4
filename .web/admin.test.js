// Admins of the tracker: what their page offers, and what it does to others.

import assert from "node:assert/strict";
import { it } from "node:test";

import { byName, connection, createRoom, operate, registered, signIn, startTracker, until } from "./harness.js";

const press = (page, name) => byName(page, "button", name).click();
const account = page => page.getByRole("button", { name: /account and settings$/ }).click();
const connected = page => connection(page).getByText("connected", { exact: true }).waitFor();
const said = (page, why) => page.locator("#sign-in-problem").getByText(why).waitFor();

it("an admin kicks, bans, announces and deletes on the page, and others do not", async () => {
  const tracker = await startTracker();
  const [ana, bob] = [await registered(tracker, "ana"), await registered(tracker, "bob")];
  operate(tracker, "admin", "add", "ana");
  await press(ana, "Sign out");
  await signIn(ana, "ana", { button: "Sign in" });
  await connected(ana);
  await account(bob);
  await byName(bob, "button", "Waiting messages").waitFor();
  assert.equal(await byName(bob, "button", "Administration").count(), 0);
  await bob.keyboard.press("Escape");
  await createRoom(bob, "sala");

  await account(ana);
  await press(ana, "Administration");
  await byName(ana, "list", "Sessions").getByText(/^bob · 127\.0\.0\.1/).waitFor();
  await ana.screenshot({ path: "/tmp/shots9-admin.png" });
  const act = async (words, what, time = "") => {
    await byName(ana, "textbox", "User, address, room or text").fill(what);
    await byName(ana, "textbox", "Ban time: 30m, 2h, 7d or empty").fill(time);
    await press(ana, words);
  };
  await act("Announce", "restart at noon");
  await press(ana, "Yes");
  await bob.locator(".toast").getByText("ana announces: restart at noon").waitFor();
  await press(ana, "Kick bob");
  await said(bob, /^An admin of the tracker ended your session/);
  await signIn(bob, "bob", { button: "Sign in" });
  await connected(bob);
  await act("Ban", "bob", "soon");
  await until(() => ana.evaluate(() => document.activeElement?.ariaLabel?.startsWith("Ban time")));
  assert.equal(await ana.locator(".question").count(), 0, "this is no time");
  await act("Ban", "bob", "2h");
  await press(ana, "Yes");
  await said(bob, /banned from this tracker until/);
  await byName(ana, "list", "Bans").getByText(/^bob · until .* by ana$/).waitFor();
  await press(ana, "Unban bob");
  await until(async () => (await byName(ana, "list", "Bans").getByRole("listitem").count()) === 0);
  await signIn(bob, "bob", { button: "Sign in" });
  await connected(bob);
  await act("Delete room", "sala");
  await press(ana, "Yes");
  await bob.getByText("Ended conversations").click();
  await byName(bob, "list", "Ended conversations").getByText("sala").waitFor();
  await act("Remove account", "bob");
  await press(ana, "Yes");
  await said(bob, /removed your account/);
  assert.deepEqual([...ana.problems, ...bob.problems], []);
});
