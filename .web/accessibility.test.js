// No violation of WCAG 2.2 A and AA that axe-core finds: in light, dark and forced colours, at 200 % and on a phone.

import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { it } from "node:test";

import { byName, conversationButton, createRoom, joinRoom, log, openChat, openConversation, openPage, registered, say, shows, startPeer, startTracker } from "./harness.js";

const AXE = readFileSync(new URL("node_modules/axe-core/axe.min.js", import.meta.url), "utf8");

/** A window of 1280 × 800 at 200 % has half as many CSS pixels. */
const SIZES = [{ width: 1280, height: 800 }, { width: 640, height: 400 }, { width: 360, height: 740 }];
const LOOKS = [{ colorScheme: "light" }, { colorScheme: "dark" }, { forcedColors: "active" }];

/** Checks the page as it is now, in every look and size. */
async function check(page, what) {
  const size = page.viewportSize();
  for (const look of LOOKS) {
    await page.emulateMedia({ colorScheme: "light", forcedColors: "none", ...look });
    for (const viewport of SIZES) {
      await page.setViewportSize(viewport);
      await page.evaluate(AXE);
      const { violations } = await page.evaluate(() => window.axe.run({ runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"] }));
      const found = violations.map(({ id, nodes }) => `${id}: ${nodes.map(node => `${node.html}\n${node.failureSummary}`).join("\n")}`);
      assert.deepEqual(found, [], `${what} ${JSON.stringify([look, viewport])}`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - window.innerWidth);
      assert.ok(overflow <= 0, `${what} ${JSON.stringify(viewport)}: ${overflow} pixels beyond the right edge`);
    }
  }
  await page.emulateMedia({ colorScheme: "light", forcedColors: "none" });
  await page.setViewportSize(size);
}

it("axe finds nothing in the first run and its problems", async () => {
  const page = await openPage((await startPeer(await startTracker())).url);
  await byName(page, "button", "Sign in").click();
  await page.getByText("Type your name.").waitFor();
  await check(page, "first run");
});

it("axe finds nothing in rooms, private chats and dialogs", async () => {
  const tracker = await startTracker();
  const [ana, bob] = [await registered(tracker, "ana"), await registered(tracker, "bob")];
  await check(ana, "nothing open");
  await createRoom(ana, "sala");
  await joinRoom(bob, "sala");
  await say(bob, "hi ana\nthis has two lines");
  await say(ana, "hi");
  await log(ana).getByRole("button", { name: "delivered: 1/1" }).click();
  await log(ana).getByText("Delivered to bob.").waitFor();
  await openChat(bob, "ana");
  await say(bob, "psst");
  await conversationButton(ana, "@bob").waitFor();
  await check(ana, "room");
  await openConversation(ana, "@bob");
  await shows(ana, "psst");
  await byName(ana, "button", "Compare bob").click();
  await byName(ana, "heading", "Safety number with bob").waitFor();
  await check(ana, "safety number");
  await ana.keyboard.press("Escape");
  await byName(ana, "searchbox", "Words to find").fill("hi");
  await byName(ana, "searchbox", "Words to find").press("Enter");
  await byName(ana, "list", "Search results").waitFor();
  await check(ana, "search");
  await ana.keyboard.press("Escape");
  await byName(ana, "button", "ana account and settings").click();
  await byName(ana, "list", "My keys").getByRole("listitem").waitFor();
  await check(ana, "account");
  await ana.keyboard.press("Escape");
  await byName(ana, "button", "Help").click();
  await check(ana, "help");
  await ana.keyboard.press("Escape");
  await tracker.stop("SIGKILL");
  await ana.getByText(/^The tracker is out of reach/).waitFor();
  await check(ana, "tracker lost");
});

it("the keyboard alone reaches everything that a chat needs", async () => {
  const ana = await registered(await startTracker(), "ana");
  const press = async (key, until) => {
    for (let at = 0; at < 60; at++) {
      await ana.keyboard.press(key);
      if (await ana.evaluate(until => document.activeElement?.matches(until), until)) {
        return;
      }
    }
    assert.fail(`${until} was not reached with ${key}`);
  };
  await press("Tab", "#room-name");
  await ana.keyboard.type("sala");
  await ana.keyboard.press("Enter");
  await byName(ana, "heading", "sala").waitFor();
  await ana.waitForFunction(() => document.activeElement?.id === "message");
  await ana.keyboard.type("by keyboard");
  await ana.keyboard.press("Enter");
  await shows(ana, "by keyboard");
  await press("Shift+Tab", "#log");
  await press("Shift+Tab", "#more-button");
  await ana.keyboard.press("Enter");
  await press("Tab", "#export-button");
  await ana.keyboard.press("Escape");
  await press("Shift+Tab", "#conversations button");
  await press("Shift+Tab", "#account-button");
  await ana.keyboard.press("Enter");
  await byName(ana, "heading", "Account and settings").waitFor();
  await ana.keyboard.press("Escape");
  await ana.waitForFunction(() => document.activeElement?.id === "account-button");
});
