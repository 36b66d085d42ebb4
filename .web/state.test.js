// The page without a browser: the reducer, the rows, the sanitizer and the texts.

import assert from "node:assert/strict";
import { describe, it } from "node:test";

const PAGE = new URL("../peer/src/frontends/web/page/", import.meta.url);
const load = name => import(new URL(name, PAGE).href);
const { apply, markRead, messageRow, namesUser, readReceipts } = await load("events.js");
const { append, mergeNewest, mergeOlder } = await load("rows.js");
const state_ = await load("state.js");
const { safeRow, safeText } = await load("safe_text.js");
const { problemsOf, splitAddress, joinAddress } = await load("sign_in.js");
const words = await load("words.js");
const { HistoryReader } = await load("history.js");
const { Questions } = await load("questions.js");

const member = username => ({ username, connected: true, since: 1, keys: [] });
const room = (...names) => ({ id: "r1", name: "sala", revision: 1, capacity: 3, owner: "ana", members: names.map(member) });
const snapshot = {
  event: "snapshot",
  username: "ana",
  tracker: "connected",
  tracker_address: "127.0.0.1:6060",
  tracker_key: "ab",
  listening: "127.0.0.1:1",
  rooms: [room("ana", "bob", "carla")],
  private_chats: ["bob"],
  users: [{ username: "bob", link: { encrypted: true, verified: false }, trust: "unverified" }],
  blocked: ["mallory"],
  history_locked: false,
};

/** Returns a state after a sign-in, and a function that gives it events and returns the names of the effects. */
function signedIn() {
  const state = state_.newState();
  const give = (event, fields = {}) => apply(state, { event, ...fields }, 1000).map(effect => effect.do);
  give("snapshot", snapshot);
  const sala = state.conversations.get("room:sala");
  const direct = state.conversations.get("to:bob");
  return { state, give, sala, direct };
}

const from = (author, id, content = "hi", more = {}) => ({ id, room: "sala", from: author, content, sent_at: "2026-01-01T12:00:00Z", ...more });

describe("the history", () => {
  it("begins at the newest message if the oldest one was erased", async () => {
    const { state, sala } = signedIn();
    const line = id => from("bob", id);
    const commands = [];
    const answers = [{ lines: [line("m5")], more: true }, { code: "USAGE" }, { lines: [line("m9")] }];
    const command = (_, { before }) => {
      commands.push(before);
      const answer = answers.shift();
      return answer.code ? Promise.reject(answer) : Promise.resolve(answer);
    };
    const reader = new HistoryReader({ state, command, draw: () => {} });
    await reader.load(sala);
    await reader.loadOlder(sala);
    while (sala.loaded === "loading") {
      await Promise.resolve();
    }
    assert.deepEqual(commands, [undefined, "m5", undefined]);
    assert.deepEqual([sala.loaded, sala.rows.map(row => row.id), sala.older], ["yes", ["m9"], false]);
  });
});

describe("events", () => {
  it("take a snapshot over as it is", () => {
    const { state, sala, direct } = signedIn();
    assert.equal(state.me, "ana");
    assert.equal(state.phase, "signed_in");
    assert.deepEqual(state_.othersOf(state, sala).map(it => it.username), ["bob", "carla"]);
    assert.equal(direct.title, "@bob");
    assert.ok(state.users.get("bob").linked && state.blocked.has("mallory"));
    assert.equal(state_.connectionWords(state), "connected");
  });

  it("show a person as online by one rule in all places", () => {
    const { state, give, sala, direct } = signedIn();
    const online = () => [state_.onlineUsers(state), state_.membersOf(state, sala).flatMap(it => (it.connected ? [it.username] : [])), state_.membersOf(state, direct)[1].connected];
    assert.deepEqual(online(), [["bob", "carla"], ["ana", "bob", "carla"], true]);
    assert.deepEqual(give("link", { peer: "bob", state: "down" }), ["refresh"]);
    assert.deepEqual(online(), [["carla"], ["ana", "carla"], false], "a program that was killed");
    give("room_update", { room: "sala", change: "online", username: "bob", room_state: room("ana", "bob", "carla") });
    assert.deepEqual(online(), [["bob", "carla"], ["ana", "bob", "carla"], true]);
    give("link", { peer: "carla", state: "up", encrypted: true });
    give("tracker", { state: "lost" });
    assert.deepEqual(online(), [["carla"], ["ana", "carla"], false], "without a tracker only links count");
  });

  it("forget everything at a sign-out", () => {
    const { state, give } = signedIn();
    give("message", from("bob", "m1"));
    assert.deepEqual(give("signed_out", { code: "SUPERSEDED" }), ["restart"]);
    assert.equal(state.conversations.size, 0);
    assert.equal(state_.connectionWords(state), "signed out");
    assert.notEqual(state_.writingRefused(state), "");
  });

  it("count unread messages of conversations that nobody looks at", () => {
    const { state, give, sala, direct } = signedIn();
    state.open = direct.key;
    assert.deepEqual(give("message", from("bob", "m1")), ["received"]);
    assert.deepEqual(give("message", from("bob", "m2", "dear ana!")), ["alert", "received"]);
    assert.deepEqual(give("message", from("bob", "m1")), [], "a message comes once");
    assert.deepEqual([sala.unread, sala.mentions, sala.firstUnread, sala.rows.length], [2, 1, "bob m1", 2]);
    assert.equal(state_.unreadOf(state), 2);
    give("message", { ...from("bob", "m3"), room: null });
    assert.deepEqual([direct.unread, direct.read], [0, "bob m3"], "the open one is read");
    state.visible = false;
    assert.deepEqual(give("message", { ...from("bob", "m4"), room: null }), ["alert", "received"]);
    state.visible = true;
    markRead(state);
    assert.deepEqual([direct.unread, direct.mentions, direct.read], [0, 0, "bob m4"]);
  });

  it("show who is away, until they are back or a snapshot says otherwise", () => {
    const { state, give } = signedIn();
    const away = () => [state.away, state.users.get("bob").away];
    assert.deepEqual(away(), [null, null]);
    give("presence", { user: "bob", away: "lunch" });
    give("presence", { user: "ana", away: "" });
    assert.deepEqual(away(), ["", "lunch"]);
    give("presence", { user: "ana" });
    give("snapshot", snapshot);
    assert.deepEqual(away(), [null, null]);
  });

  it("alert to no message that the word filter hides", () => {
    const { state, give, sala } = signedIn();
    state.open = "to:bob";
    assert.deepEqual(give("message", from("bob", "m1", "ana, spam", { filtered: true })), []);
    assert.deepEqual([sala.unread, sala.mentions, sala.last.text, sala.rows[0].filtered], [1, 0, words.HIDDEN, true]);
    assert.deepEqual(give("message", from("bob", "m2", "ana, ham")), ["alert", "received"], "the control");
  });

  it("never count own messages as unread", () => {
    const { give, sala, direct } = signedIn();
    give("message", from("ana", "m1"));
    give("message", { ...from("ana", "m2"), room: null, to: "bob" });
    assert.deepEqual([sala.unread, direct.unread, direct.rows.length], [0, 0, 1]);
  });

  it("show who has a message and who does not", () => {
    const { state, give, sala } = signedIn();
    give("sent", { id: "m1", room: "sala", content: "hi" });
    const { delivery } = sala.rows[0];
    const word = () => words.deliveryWord(sala.rows[0].delivery);
    assert.equal(word(), "waiting");
    give("delivered", { id: "m1", to: "bob" });
    assert.equal(word(), "1/2");
    give("undelivered", { id: "m1", to: "carla", reason: "WAITING" });
    assert.equal(word(), "1/2", "it still waits");
    give("delivered", { id: "m1", to: "carla" });
    assert.equal(word(), "2/2");
    assert.equal(state.waiting.size, 0);
    assert.deepEqual(words.deliveryDetails(delivery), ["Delivered to bob and carla."]);
    give("sent", { id: "m2", room: "sala", content: "hi" });
    ["bob", "carla"].forEach(to => give("undelivered", { id: "m2", to, reason: "LEFT" }));
    assert.equal(words.deliveryWord(sala.rows[1].delivery), "not delivered");
    readReceipts(state, sala, [{ id: "m2", has: ["bob"], waits: [] }]);
    assert.equal(words.deliveryWord(sala.rows[1].delivery), "1/3");
    give("sent", { id: "m3", room: "sala", content: "hi", recipients: ["bob"] });
    give("delivered", { id: "m3", to: "bob" });
    assert.equal(words.deliveryWord(sala.rows[2].delivery), "1/1", "carla joined later");
  });

  it("remove a message that was withdrawn", () => {
    const { give, sala } = signedIn();
    give("sent", { id: "m1", room: "sala", content: "hi" });
    give("message_withdrawn", { id: "m1" });
    assert.equal(sala.rows.length, 0);
  });

  it("keep messages of two authors with one id apart", () => {
    const { state, give, sala } = signedIn();
    give("sent", { id: "m1", room: "sala", content: "own" });
    for (const name of ["bob", "carla", "bob"]) {
      give("message", from(name, "m1"));
    }
    assert.deepEqual(sala.rows.map(row => row.from), ["ana", "bob", "carla"]);
    give("delivered", { id: "m1", to: "bob" });
    readReceipts(state, sala, [{ id: "m1", has: ["bob", "carla"], waits: [] }]);
    assert.deepEqual(sala.rows.map(row => row.delivery?.has.length), [2, undefined, undefined]);
    mergeNewest(state, sala, ["ana", "bob", "carla"].map(name => messageRow(state, from(name, "m1"))));
    mergeOlder(sala, [messageRow(state, from("dora", "m1"))]);
    assert.equal(sala.rows.length, 4);
    give("message_withdrawn", { id: "m1" });
    assert.deepEqual(sala.rows.map(row => row.from), ["dora", "bob", "carla"]);
  });

  it("warn of a changed key until it is accepted", () => {
    const { state, give, sala, direct } = signedIn();
    give("key_changed", { peer: "bob", fingerprint: "ff" });
    give("link", { peer: "bob", state: "up", encrypted: true, verified: true });
    assert.equal(state.users.get("bob").trust, "changed", "a link accepts no key");
    assert.deepEqual([sala, direct].map(it => it.rows.at(-1).kind), ["note", "note"]);
    assert.deepEqual(give("key_accepted", { peer: "bob", endorsed: false }), ["members", "members"]);
    assert.equal(state.users.get("bob").trust, "unverified");
  });

  it("mark late, missing and unencrypted messages", () => {
    const { state, give, sala } = signedIn();
    state.users.set("py", { linked: true, trust: "unencrypted" });
    give("missed", { room: "sala", people: 2, lines: 12 });
    give("message", from("py", "m1", "hi", { late: true, missing: 3 }));
    assert.equal(sala.rows[0].text, "12 messages from 2 people while you were away");
    const { late, missing, unencrypted } = sala.rows[1];
    assert.deepEqual([late, missing, unencrypted], [true, 3, true]);
    assert.equal(messageRow(state, { id: "x", from: "py", content: "", sent_at: "", signed: false }).unencrypted, true);
  });

  it("say above the late messages how many were missed", () => {
    const { state, give, sala } = signedIn();
    const texts = () => sala.rows.map(row => row.text);
    give("missed", { room: "sala", people: 1, lines: 2 });
    assert.deepEqual(texts(), [], "the history may be read meanwhile");
    mergeNewest(state, sala, ["read", "late 1"].map((text, n) => messageRow(state, from("bob", `m${n}`, text))));
    give("message", from("bob", "m1", "late 1", { late: true }));
    give("message", from("bob", "m2", "late 2", { late: true }));
    assert.deepEqual(texts(), ["read", "2 messages while you were away", "late 1", "late 2"]);
    give("message", from("bob", "m3", "late 3", { late: true }));
    assert.equal(sala.rows.length, 5, "the note comes once");
  });

  it("never end a private chat", () => {
    const { state, give, direct } = signedIn();
    give("conversation_ended", { to: "bob", by: "bob" });
    state.open = direct.key;
    assert.ok(state_.currentConversations(state).includes(direct) && !state_.endedConversations(state).length);
    assert.equal(state_.writingRefused(state), "");
    give("snapshot", { ...snapshot, private_chats: [] });
    assert.ok(state_.currentConversations(state).includes(direct), "after another sign-in");
    give("snapshot", { ...snapshot, rooms: [] });
    assert.deepEqual(state_.endedConversations(state).map(it => it.key), ["room:sala"], "the control");
  });

  it("keep an ended room readable, and let it begin again", () => {
    const { state, give, sala } = signedIn();
    state.open = sala.key;
    assert.equal(state_.writingRefused(state), "");
    give("room_deleted", { room: "sala" });
    assert.notEqual(state_.writingRefused(state), "");
    assert.deepEqual(state_.endedConversations(state), [sala]);
    give("room_entered", { room: { ...room("ana"), id: "r2" } });
    assert.equal(sala.ended, false);
    assert.equal(sala.rows.length, 0, "another room of the same name has other messages");
  });

  it("are ignored if a later version invented them", () => {
    const { give } = signedIn();
    for (const name of ["brand_new", "constructor", "__proto__", "toString"]) {
      assert.deepEqual(give(name), []);
    }
  });

  it("leave writing possible while the tracker is lost", () => {
    const { state, give, sala } = signedIn();
    state.open = sala.key;
    give("tracker", { state: "lost", reason: "STOPPED" });
    assert.equal(state_.connectionWords(state), "offline: tracker");
    assert.equal(state_.writingRefused(state), "");
    assert.deepEqual(state_.onlineUsers(state), ["bob"], "those who are linked");
    state.attached = false;
    assert.equal(state_.connectionWords(state), "offline: peer");
  });

  it("find a name only where it stands alone", () => {
    for (const [text, found] of [["hey Ana!", true], ["banana", false], ["ana_b", false], ["éana", false], ["", false]]) {
      assert.equal(namesUser(text, "ana"), found, text);
    }
  });
});

describe("rows", () => {
  const ids = conversation => conversation.rows.map(row => row.id).join(" ");
  const page = (state, text) => text.split(" ").map(id => messageRow(state, from("bob", id)));

  it("merge with a page of the history in its order", () => {
    const { state, give, sala } = signedIn();
    for (const [rows, merged] of [["a b", "a x b c"], ["b", "a b"], ["", "a b"]]) {
      const known = rows ? page(state, rows) : [];
      Object.assign(sala, { rows: known, keys: new Set(known.map(row => row.key)) });
      mergeNewest(state, sala, page(state, merged));
      assert.equal(ids(sala), merged);
    }
    give("message", from("bob", "live"));
    mergeNewest(state, sala, page(state, "d e"));
    assert.equal(ids(sala), "d e live", "old rows before a gap go, what just arrived stays");
    mergeOlder(sala, page(state, "b c d"));
    assert.equal(ids(sala), "b c d e live");
  });

  it("keep a note above its message, below what is older", () => {
    const { state, give, sala } = signedIn();
    give("missed", { room: "sala", people: 1, lines: 1 });
    give("message", from("bob", "late", "late", { late: true }));
    mergeNewest(state, sala, page(state, "old1 old2 late"));
    assert.deepEqual(sala.rows.map(row => (row.kind === "note" ? "note" : row.id)), ["old1", "old2", "note", "late"]);
  });

  it("stay bounded however many messages arrive", () => {
    const { state, give, sala, direct } = signedIn();
    state.open = sala.key;
    for (let at = 0; at < 10_000; at++) {
      give("message", from("bob", `m${at}`));
      give("message", { ...from("bob", `p${at}`), room: null });
    }
    assert.ok(sala.rows.length <= 1250 && direct.rows.length <= 250, `${sala.rows.length} ${direct.rows.length}`);
    assert.equal(sala.keys.size, sala.rows.length);
    assert.equal(sala.rows.at(-1).id, "m9999");
    assert.ok(sala.older && direct.older);
    assert.equal(direct.unread, 10_000);
  });

  it("let the newest go while one reads far above", () => {
    const { state, sala } = signedIn();
    mergeNewest(state, sala, page(state, "z"));
    for (let at = 0; at < 5000; at += 50) {
      mergeOlder(sala, page(state, Array.from({ length: 50 }, (_, n) => `m${at + 50 - n}`).join(" ")));
    }
    assert.equal(sala.rows.length, 4000);
    assert.equal(sala.detached, true);
    assert.equal(append(state, sala, page(state, "new")[0]), false);
  });
});

describe("text of others", () => {
  const cases = [
    ["\u{1b}[2J", "\\u{1b}[2J"],
    ["a\rb\u{7}\u{7f}", "a\\u{d}b\\u{7}\\u{7f}"],
    ["\u{9b}31m", "\\u{9b}31m"],
    ["two\nlines\tand tab", "two\\nlines    and tab"],
    ["\u{202e}evil\u{2066}", "\\u{202e}evil\\u{2066}"],
    ["a\u{200b}b\u{feff}", "a\\u{200b}b\\u{feff}"],
    ["a\u{200d}b", "a\\u{200d}b"],
    ["a\u{2028}b\u{2029}", "a\\u{2028}b\\u{2029}"],
    ["\u{e0041}\u{ad}\u{3164}", "\\u{e0041}\\u{ad}\\u{3164}"],
    [`z${"\u{301}".repeat(50)}a`, `z${"\u{301}".repeat(8)}a`],
  ];

  it("is escaped as in the terminal", () => {
    for (const [text, shown] of cases) {
      assert.equal(safeRow(text), shown);
      assert.equal(safeRow(safeRow(text)), shown);
    }
    assert.equal(safeText("two\nlines  \n\n"), "two\nlines");
    assert.equal(safeText("a\r\nb"), "a\nb");
  });

  it("stays as people wrote it", () => {
    for (const text of ["olá, São João", "部屋 한국어", "👩‍👩‍👧 ❤️ 🇧🇷 👋🏿 1️⃣", "می‌خواهم", "e\u{301}", "a\u{a0}b", ""]) {
      assert.equal(safeRow(text), text);
      assert.equal(safeText(text), text);
    }
  });
});

describe("words", () => {
  it("of an error say what to do, and how long to wait", () => {
    assert.equal(words.errorWords({ code: "ROOM_FULL", message: "the room is full" }), "The room is full.");
    assert.equal(words.errorWords({ code: "RATE_LIMITED", message: "x", retry_after_ms: 1200 }), "That was too fast. Try again in 2 seconds.");
    assert.equal(words.errorWords({ code: "NEW", message: "\u202eevil" }), "\\u{202e}evil.");
    assert.equal(words.errorWords({}), "Something went wrong.");
  });

  it("of a day are those of a person", () => {
    const noon = new Date(2026, 10, 28, 12).getTime();
    assert.match(words.dayName(noon, noon), /^Today, Saturday/);
    assert.match(words.dayName(noon - 864e5, noon), /^Yesterday, Friday/);
    assert.match(words.dayName(noon - 2 * 864e5, noon), /^Thursday/);
  });
});

describe("the sign-in", () => {
  const input = { host: "127.0.0.1", port: "6060", name: "ana", password: "correct-horse", key: "" };
  const wrong = (change, isNew = false) => Object.keys(problemsOf({ ...input, ...change }, isNew));

  it("refuses wrong input before it is sent", () => {
    assert.deepEqual(wrong({}), []);
    for (const port of ["", "0", "65536", "x", "-1", "6060x", "1e3"]) {
      assert.deepEqual(wrong({ port }), ["tracker-port"], port);
    }
    for (const name of ["", " ", "Ana", "-ana", "a b", "a".repeat(33)]) {
      assert.deepEqual(wrong({ name }), ["name"], name);
    }
    assert.deepEqual(wrong({ host: " " }), ["tracker-host"]);
    assert.deepEqual(wrong({ password: "short" }, true), ["password"]);
    assert.deepEqual(wrong({ password: "short" }), [], "an old account may have it");
    assert.deepEqual(wrong({ key: "ab" }), ["tracker-key"]);
    assert.deepEqual(wrong({ key: "AB ".repeat(32) }), []);
  });

  it("reads and writes addresses of both kinds", () => {
    for (const address of ["127.0.0.1:6060", "chat.example:1", "[::1]:6060"]) {
      const { host, port } = splitAddress(address);
      assert.equal(joinAddress(host, port), address);
    }
    assert.deepEqual(splitAddress("chat.example"), { host: "chat.example", port: "" });
  });
});

describe("the page's own questions", () => {
  it("are asked one by one, each once however often it is wanted", async context => {
    context.mock.timers.enable({ apis: ["setTimeout"] });
    const [questions, asked] = [new Questions(), []];
    /** Lets time pass until nothing more is asked. */
    const rest = async () => {
      for (let before = -1; before < asked.length; ) {
        before = asked.length;
        await new Promise(setImmediate);
        context.mock.timers.tick(250);
        await new Promise(setImmediate);
      }
    };
    const flood = () => {
      for (let at = 0; at < 1000; at++) {
        ["sala", "equipe"].forEach(name => void questions.ask(name, async () => asked.push(name)));
      }
    };
    flood();
    assert.deepEqual(asked, ["sala"], "the first one at once");
    await rest();
    assert.deepEqual(asked, ["sala", "equipe", "sala"]);
    context.mock.method(console, "error", () => {});
    void questions.ask("fails", () => Promise.reject(new Error("on purpose")));
    void questions.ask("sala", async () => asked.push("after a failure"));
    await rest();
    assert.equal(asked.at(-1), "after a failure");
  });
});

describe("a snapshot", () => {
  it("keeps what is on the page, and tells a gap from a lag", () => {
    const { state, give, sala } = signedIn();
    give("message", from("bob", "m1"));
    sala.loaded = "yes";
    give("lagged");
    assert.deepEqual(give("snapshot", snapshot), ["restart"]);
    assert.deepEqual([sala.loaded, sala.rows.length], ["yes", 1], "missed messages follow as events");
    state.attached = false;
    give("snapshot", snapshot);
    assert.deepEqual([sala.loaded, sala.rows.length], ["no", 1], "missed messages are in the history");
  });
});
