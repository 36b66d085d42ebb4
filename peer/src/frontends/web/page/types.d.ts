/**
 * The types of the page, for its readers and for the check of types, and how its modules work. No browser loads this file.
 * Texts, numbers, views and conversations have no type comment: their names tell.
 *
 * - `app.js`: Path of an event: `connection.js` → `events.js` changes the state → the views draw it, at most once a
 *   frame. Path of a click: view → `actions.js` → `connection.js`.
 * - `connection.js`: Another program may have taken the port of a peer that has ended, so the peer proves first that it
 *   knows the token (docs/protocol.md). A command has an id, and its answer has the same one as `in_reply_to`.
 * - `events.js`: The events are those of `--output json` (docs/protocol.md). `apply` has no clock, no socket and no
 *   document. It returns effects, which `app.js` carries out.
 * - `rows.js`: A message can come twice, as an event and in a page of the history; its key tells. For example, the rows
 *   `a b` and the page `a x b c` become `a x b c`.
 * - `message_list.js`: The page holds few rows: a window into the rows of the state, which moves as one scrolls and asks
 *   for older messages.
 * - `sign_in.js`: The password is typed once, and a button shows it. It goes to the user's own peer and nowhere else.
 */

/** A conversation, as commands name it. */
type Address = { room: string } | { to: string };

/** An event or an answer of the peer (docs/protocol.md). */
type PeerEvent = { event: string; [field: string]: any };

/** The fields of a command. */
type Fields = Record<string, unknown>;

/** A question in a small dialog. */
interface Question {
	title: string;
	text: string;
	/** The words of the button that answers it. */
	action: string;
	/** True if the answer is a password. */
	password?: boolean;
	/** True if the action cannot be undone. */
	danger?: boolean;
	/** True if the password is a registration code, which the browser neither fills in nor keeps. */
	code?: boolean;
	problem?: string;
	/** What to compare before answering: names and texts. */
	facts?: [string, string][];
	/** A checkbox, which the asking function reads. */
	option?: HTMLElement | false;
}

/** What happens to the connection to the peer. */
interface ConnectionListener {
	onEvent(event: PeerEvent): void;
	/** The connection is lost and opens again. `isFull` is true if too many pages are open. */
	onClosed(isFull: boolean): void;
	/** The connection has ended. `isOther` is true if it is not the peer that answers. */
	onEnded(isOther: boolean): void;
}

/** What a user typed to sign in. */
type SignInInput = Record<"host" | "port" | "name" | "password" | "key", string>;

/** A message that arrived, and its place. */
type Received = { conversation: Conversation; message: Message };

/** A member of a room, as the tracker describes it. */
interface Member {
	username: string;
	connected: boolean;
	in_menu?: boolean;
}

/** The complete state of a room. */
interface RoomSnapshot {
	id: string;
	name: string;
	capacity: number;
	owner: string;
	members: Member[];
}

interface Message {
	kind: "message";
	/** Identifies the row. */
	key: string;
	id: string;
	from: string;
	text: string;
	/** Milliseconds since 1970, by the author's clock. */
	at: number;
	own: boolean;
	/** True if it arrived as an event since the history was last read. */
	live: boolean;
	/** True if it was written while one of the two users was away. */
	late: boolean;
	unencrypted: boolean;
	/** True if the word filter of this user hides it. */
	filtered: boolean;
	/** The number of earlier messages of the author that are missing here. */
	missing: number;
	/** `null` for messages of others, and if it is not known. */
	delivery: Delivery | null;
	/** New with each change, so that the page draws the message again. */
	version: number;
}

/** The recipients of an own message, by what is known about each. */
interface Delivery {
	has: string[];
	/** Recipients whose original program acknowledges nothing. */
	written: string[];
	waits: string[];
	failed: { to: string; reason: string }[];
}

/** A row of the program itself. */
interface Note {
	kind: "note";
	key: string;
	text: string;
	at: number;
	live: boolean;
	version: number;
}

type Row = Message | Note;

interface Conversation {
	key: string;
	address: Address;
	title: string;
	snapshot: RoomSnapshot | null;
	/** True if the user takes no part in it any more: it can be read, and not be written to. */
	ended: boolean;
	/** Oldest first. */
	rows: Row[];
	/** The keys of the rows. */
	keys: Set<string>;
	/** Whether the newest messages were read from the history. */
	loaded: "no" | "loading" | "yes" | "locked" | "failed";
	/** True if the history may hold older messages than the rows. */
	older: boolean;
	/** True if the newest messages are not among the rows. */
	detached: boolean;
	unread: number;
	/** Unread messages that are private or name the user. */
	mentions: number;
	/** The key of the message above which the page draws "New messages". */
	firstUnread: string | null;
	/** The note that goes above the next late message, or an empty text. */
	missed: string;
	/** The key of the newest message that was on the screen. */
	read: string | null;
	/** The newest message. */
	last: { from: string; text: string; at: number } | null;
	/** The time at which something last happened. */
	activity: number;
}

/** What is known about another user. */
interface User {
	linked: boolean;
	trust: "verified" | "unverified" | "changed" | "unencrypted" | "unknown";
	/** The text of a user who is away, which may be empty; `null` if the user is there. */
	away: string | null;
}

interface State {
	phase: "connecting" | "refused" | "signed_out" | "signed_in" | "ended";
	/** True while the WebSocket to the peer is open. */
	attached: boolean;
	/** True if the peer also runs the tracker, which ends with it. */
	hosts: boolean;
	/** True if the peer ends when the user signs out. */
	endsAtSignOut: boolean;
	me: string;
	/** True if the session acts as an admin of the tracker. */
	isAdmin: boolean;
	tracker: "connected" | "lost";
	trackerReason: string;
	trackerAddress: string;
	trackerKey: string;
	listening: string;
	/** The own away text. */
	away: string | null;
	/** The users with an account on this computer, while nobody is signed in. */
	accounts: string[];
	/** The name that was given at the start of the peer, while nobody is signed in. */
	givenName: string;
	conversations: Map<string, Conversation>;
	/** The key of the open conversation. */
	open: string | null;
	/** True while somebody can see the page. */
	visible: boolean;
	/** True while the newest message of the open conversation is on the screen. */
	following: boolean;
	users: Map<string, User>;
	/** The users whom the tracker shows as connected, by its latest word. */
	online: Set<string>;
	rooms: RoomSnapshot[];
	blocked: Set<string>;
	/** The users who ask for a private chat. */
	requests: Set<string>;
	/** The users who are muted in rooms. */
	muted: Set<string>;
	/** The fingerprint of this device's key, while contacts are warned of it. */
	newKey: string;
	/** Own messages whose delivery is not complete. */
	waiting: Map<string, Message>;
}

/** What is to be done after an event, besides drawing. */
type Effect =
	| { do: "restart"; words?: string }
	| { do: "ended"; words: string }
	| { do: "signed_in" }
	| { do: "refresh"; after?: number }
	| { do: "members"; conversation: Conversation }
	| { do: "reload"; conversation: Conversation }
	| { do: "alert"; conversation: Conversation; message: Message }
	| { do: "received"; conversation: Conversation; message: Message }
	| { do: "toast"; text: string; bad?: boolean };

/** What surrounds a row on the screen, as far as it changes the look of the row. */
interface Surroundings {
	/** The row above. */
	before: Row | undefined;
	isFirstUnread: boolean;
	isMention: boolean;
	/** True if the details of the delivery are shown. */
	isExpanded: boolean;
	/** True if all of a long text is shown. */
	isUnfolded: boolean;
	now: number;
}

/** What the buttons of a row do. */
type RowActions = Record<"toggle" | "unfold" | "withdraw", (row: Message) => unknown>;

/** What the user should know or decide, with the buttons for it. */
type Banner = { key: string; text: string; bad?: boolean; actions?: [string, () => unknown][] };

type App = import("./app.js").App;

/** The elements that `index.html` always has, by id. */
interface Ids {
	"log": HTMLDivElement;
	"banners": HTMLDivElement;
	"toasts": HTMLDivElement;
	"dialog-body": HTMLDivElement;
	"dialog": HTMLDialogElement;
	"icon": HTMLLinkElement;
	"message": HTMLTextAreaElement;
	"send": HTMLButtonElement;
	"jump": HTMLButtonElement;
	"members-toggle": HTMLButtonElement;
	"show-password": HTMLButtonElement;
	"sign-in-button": HTMLButtonElement;
	"former-password": HTMLButtonElement;
	"register-button": HTMLButtonElement;
	"identity-import": HTMLButtonElement;
	"search-words": HTMLInputElement;
	"room-name": HTMLInputElement;
	"tracker-host": HTMLInputElement;
	"tracker-port": HTMLInputElement;
	"tracker-key": HTMLInputElement;
	"name": HTMLInputElement;
	"password": HTMLInputElement;
	"identity-file": HTMLInputElement;
	"ended": HTMLDetailsElement;
	[id: string]: HTMLElement;
}
