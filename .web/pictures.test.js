// The pictures of the documentation. They are written if they are absent, and anew with `PICTURES=1`.

import assert from "node:assert/strict";
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { it } from "node:test";

import { byName, log, openChat, openConversation, openPage, roomOfThree, say, shows, startPeer, startTracker } from "./harness.js";

const FOLDER = new URL("../docs/pictures/", import.meta.url);

/** Largest picture, in bytes. */
const PICTURE_MAX = 200 * 1024;

async function picture(page, name) {
  const image = await page.screenshot();
  assert.ok(image.length > 5000 && image.length <= PICTURE_MAX, `${name}: ${image.length} bytes`);
  const file = new URL(`${name}.png`, FOLDER);
  if (process.env.PICTURES || !existsSync(file)) {
    mkdirSync(FOLDER, { recursive: true });
    writeFileSync(file, image);
  }
}

it("the pictures show a chat in which people talk", async () => {
  const tracker = await startTracker();
  const first = await openPage((await startPeer(tracker)).url);
  await byName(first, "button", "Register").waitFor();
  await picture(first, "first-run");

  const [ana, bob, carla] = await roomOfThree(tracker, "garden");
  for (const [page, text] of [
    [ana, "Hello, both of you! Who has time on Sunday?"],
    [bob, "hi ana! Me, after ten."],
    [carla, "Me too.\nI can bring:\n – two rakes\n – the big kettle"],
    [bob, "Then I bring the bread. The trees by the river need water, so we should begin there while it is cool."],
    [ana, "Good. Ten o'clock at the gate 🌱"],
    [carla, "ana, do you still have my gloves?"],
  ]) {
    await say(page, text);
    await log(ana).getByText(text).waitFor();
  }
  await log(ana).getByRole("button", { name: "delivered: 2/2" }).nth(1).waitFor();
  await openChat(bob, "ana");
  await say(bob, "It is her birthday. Shall we bake a cake?");
  await byName(ana, "list", "Conversations").getByText("bob: It is her birthday").waitFor();
  await byName(ana, "textbox", "Message").fill("Yes, they are in my ");
  await ana.mouse.move(640, 20);
  await picture(ana, "room-light");
  await ana.emulateMedia({ colorScheme: "dark" });
  await picture(ana, "room-dark");
  await ana.emulateMedia({ colorScheme: "light" });
  await ana.setViewportSize({ width: 390, height: 780 });
  await picture(ana, "phone");
  await byName(ana, "button", "Back to the conversations").click();
  await openConversation(ana, "@bob");
  await shows(ana, "It is her birthday. Shall we bake a cake?");
});
