// The end of a session or of the peer: the page asks before, and says afterwards why it came and what to do.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

import {
  PASSWORD, byName, connection, createRoom, openConversation, openPage, operate, registered, resetPassword, say, shows, signIn, startProgram, startTracker,
} from "./harness.js";

const press = (page, name) => byName(page, "button", name).click();
const ended = (page, why) => page.locator("#nothing-open").getByText(why).waitFor();
const AGAIN = /To sign in again, start it and open the link/;

describe("signing out", () => {
  it("asks first where it ends the tracker of others", async () => {
    const host = await startProgram({ address: "127.0.0.1:0" }, "ana", { web: true, more: ["--host"] });
    const page = await openPage(host.url);
    await connection(page).getByText("connected", { exact: true }).waitFor();
    const address = /tracker (\S+)/.exec(await page.locator("#tracker-place").innerText())[1];
    await registered({ address }, "bob");
    await byName(page, "button", "Chat with bob").waitFor();
    await press(page, "Sign out");
    await page.getByText(/^This computer runs the tracker for 1 other person online\./).waitFor();
    await press(page, "Cancel");
    await createRoom(page, "sala");
    await press(page, "Sign out");
    await press(page, "End peer and tracker");
    await ended(page, /^You are signed out\. The tracker on this computer has ended too\./);
    await ended(page, AGAIN);
    assert.deepEqual(page.problems, []);
  });

  it("ends a peer with a terminal, and says how to come back", async () => {
    const program = await startProgram(await startTracker(), "ana", { web: true });
    const [page, other] = [await openPage(program.url), await openPage(program.url)];
    await Promise.all([page, other].map(it => connection(it).getByText("connected", { exact: true }).waitFor()));
    await press(page, "Sign out");
    await ended(page, AGAIN);
    await ended(other, AGAIN);
    await ended(other, /^It was ended on another page/);
  });
});

describe("a session that ends by itself", () => {
  const said = (page, why) => page.locator("#sign-in-problem").getByText(why).waitFor();

  it("says that an admin ended it, banned the user, or removed the account", async () => {
    const tracker = await startTracker();
    const page = await registered(tracker, "ana");
    operate(tracker, "admin", "kick", "ana");
    await said(page, /^An admin of the tracker ended your session/);
    await signIn(page, "ana", { button: "Sign in" });
    await connection(page).getByText("connected", { exact: true }).waitFor();
    operate(tracker, "admin", "ban", "ana", "2h");
    await said(page, /banned from this tracker until/);
    operate(tracker, "admin", "unban", "ana");
    await signIn(page, "ana", { button: "Sign in" });
    await connection(page).getByText("connected", { exact: true }).waitFor();
    operate(tracker, "admin", "remove-user", "ana");
    await said(page, /removed your account/);
  });

  it("says that the password was reset, and takes the new one", async () => {
    const tracker = await startTracker();
    const page = await registered(tracker, "ana");
    await createRoom(page, "sala");
    await say(page, "before the reset");
    await resetPassword(tracker, "ana", "battery-staple");
    await said(page, /^The tracker does not accept this computer any more/);
    await signIn(page, "ana", { button: "Sign in", password: "battery-staple" });
    await said(page, "This password does not open your key on this computer. Type it again.");
    await press(page, "It was changed or reset");
    await page.getByText(/If nobody knows it, close the peer and move \/\S+\/ana away/).waitFor();
    await page.locator(".question").getByLabel("Password").fill(PASSWORD);
    await page.keyboard.press("Enter");
    await openConversation(page, "sala");
    await shows(page, "before the reset");
    assert.deepEqual(page.problems, []);
  });

  it("asks for the new password where the old one is typed", async () => {
    const tracker = await startTracker();
    const page = await registered(tracker, "ana");
    await resetPassword(tracker, "ana", "battery-staple");
    await said(page, /^The tracker does not accept this computer any more/);
    await signIn(page, "ana", { button: "Sign in" });
    // The tracker refuses the key. The focus is on "Cancel".
    await page.locator(".question").getByText(/^The tracker refuses this computer's key/).waitFor();
    assert.equal(await page.evaluate(() => document.activeElement.textContent), "Cancel");
    await byName(page.locator(".question"), "button", "Sign in").click();
    await page.locator(".question").getByText(/^The tracker does not accept this password/).waitFor();
    await page.locator(".question").getByLabel("Password").fill("battery-staple");
    await page.keyboard.press("Enter");
    await connection(page).getByText("connected", { exact: true }).waitFor();
  });

  it("says at the end of a peer with a terminal why it ended", async () => {
    const tracker = await startTracker();
    const program = await startProgram(tracker, "ana", { web: true });
    const page = await openPage(program.url);
    await connection(page).getByText("connected", { exact: true }).waitFor();
    operate(tracker, "admin", "kick", "ana");
    await ended(page, /^An admin of the tracker ended your session/);
    await ended(page, AGAIN);
  });
});

it("another key of the tracker is accepted only after both were seen", async () => {
  const tracker = await startTracker();
  const page = await registered(tracker, "ana");
  const [, old] = /([0-9a-f]{64})/.exec(operate(tracker, "fingerprint"));
  await tracker.stop("SIGKILL");
  const other = await startTracker({ listen: tracker.address });
  const [, found] = /([0-9a-f]{64})/.exec(operate(other, "fingerprint"));
  await page.locator("#banners, #toasts").getByText(/another key/).first().waitFor();
  await press(page, "Sign out");
  await signIn(page, "ana", { button: "Register" });
  const question = page.locator(".question");
  await question.getByText("Key found now", { exact: true }).waitFor();
  const keys = (await question.locator("dd").allInnerTexts()).map(text => text.replaceAll(" ", ""));
  assert.deepEqual(keys, [old, found]);
  await page.keyboard.press("Enter");
  await page.locator("#sign-in-problem").getByText("The tracker has another key than before").waitFor();
  assert.equal(await question.count(), 0, "Enter accepts nothing");
  await connection(page).getByText("signed out", { exact: true }).waitFor();
  await press(page, "Register");
  await press(page, "It is the key found now");
  await connection(page).getByText("connected", { exact: true }).waitFor();
  assert.deepEqual(page.problems, []);
});
