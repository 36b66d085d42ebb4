/** The actions of a person: commands to the peer, and their answers on the page. */

import { download } from "./account.js";
import { ask } from "./dialogs.js";
import { paragraph } from "./dom.js";
import { markRead } from "./events.js";
import { safetyNumber } from "./members.js";
import { safeRow } from "./safe_text.js";
import { addressIn, conversationOf, currentConversations, onlineUsers, openConversation } from "./state.js";
import { View } from "./view.js";
import { counted } from "./words.js";

export class Actions extends View {
	/** Opens a conversation, at a message if the key of one is given. */
	open(key, message = null) {
		const { app } = this;
		const { state } = this;
		const before = openConversation(state);
		const conversation = state.conversations.get(key);
		if (!conversation) {
			return;
		}
		if (before && before !== conversation) {
			before.firstUnread = null;
		}
		state.open = key;
		sessionStorage.setItem("open", key);
		app.messages.show(message);
		app.dialog.close();
		app.members.hideIfCovering();
		if (conversation.detached && !message) {
			app.history.reload(conversation);
		} else if (conversation.loaded !== "yes") {
			void app.history.load(conversation);
		}
		conversation.unread = conversation.mentions = 0;
		markRead(state);
		app.focusEntry();
	}

	close() {
		this.state.open = null;
		sessionStorage.removeItem("open");
		this.app.draw();
	}

	openNextUnread() {
		const { state } = this;
		const next = currentConversations(state).find(it => it.unread > 0 && it.key !== state.open);
		next && this.open(next.key);
	}

	openDirect(name) {
		return this.app.tried(async () => {
			const address = { to: name };
			await this.app.command("switch", { conversation: address });
			this.app.received({ event: "conversation_started", ...address });
			this.open(conversationOf(this.state, address).key);
		});
	}

	async enter(command, room) {
		await this.app.command(command, { room });
		this.open(conversationOf(this.state, { room }).key);
		this.app.refresh();
	}

	join(room) {
		return this.app.tried(() => this.enter("join", room));
	}

	leave({ address, key, title, snapshot }) {
		const name = safeRow(title);
		const isOwner = snapshot?.owner === this.state.me;
		const seat = isOwner ? "You stay its owner, and your seat is kept." : "Your seat becomes free, and somebody else may take it.";
		const question = {
			title: `Leave ${name}?`,
			text: `${seat} Your messages that still wait are given up.`,
			action: `Leave ${name}`,
			danger: true,
		};
		if ("to" in address) {
			const text = `${safeRow(address.to)} sees that you left. The chat stays in your list, and goes on with the next message.`;
			Object.assign(question, { title: `Close the chat with ${safeRow(address.to)}?`, text, action: "Close the chat" });
		}
		return this.app.confirmed(question, async () => {
			await this.app.command("leave", { conversation: address });
			if (this.state.open === key) {
				this.close();
			}
			this.app.received({ event: "conversation_ended", by: this.state.me, ...address });
			this.app.notices.toast(`You left ${name}. Its messages are still on this computer.`);
		});
	}

	deleteRoom({ address, title }) {
		const text = "The room ends for all members. Everybody keeps the messages on their own computer.";
		const question = { title: `Delete ${safeRow(title)}?`, text, action: "Delete the room", danger: true };
		return this.app.confirmed(question, () => this.app.command("delete", address));
	}

	forget(conversation) {
		const name = safeRow(conversation.title);
		const text = "All its messages are erased here. Other members keep theirs.";
		return this.app.confirmed({ title: `Erase ${name} on this computer?`, text, action: "Erase", danger: true }, async () => {
			const { state, notices } = this.app;
			const answer = await this.unlocked(() => this.app.command("forget", { conversation: conversation.address }));
			if (!answer) {
				return;
			}
			notices.toast(`${counted(answer.lines, "message")} of ${name} erased on this computer.`);
			if (conversation.ended) {
				state.conversations.delete(conversation.key);
				this.close();
			} else {
				this.app.received({ event: "history_erased", ...conversation.address });
			}
		});
	}

	async say(conversation, text) {
		conversation.firstUnread = null;
		this.app.messages.follow();
		// A private chat begins again with the first message.
		conversation.ended && (await this.app.command("switch", { conversation: conversation.address }));
		await this.app.command("say", { conversation: conversation.address, text });
	}

	withdraw(message) {
		const question = { title: "Withdraw this message?", text: "It is deleted here, and nobody receives it.", action: "Withdraw it", danger: true };
		return this.app.confirmed(question, async () => {
			await this.app.command("withdraw", { message });
			this.app.received({ event: "message_withdrawn", id: message });
			this.app.notices.toast("The message is withdrawn: nobody has confirmed it.");
			return true;
		});
	}

	block(user, isBlocked) {
		return this.app.tried(async () => {
			await this.app.command(isBlocked ? "block" : "unblock", { user });
			this.app.received({ event: "block_changed", user, blocked: isBlocked });
			this.app.notices.toast(`${safeRow(user)} ${isBlocked ? "is blocked: private messages do not arrive any more" : "can write to you in private again"}.`);
		});
	}

	mute(user, isMuted) {
		return this.app.tried(() => this.app.command(isMuted ? "mute" : "unmute", { user }));
	}

	acceptChat(user) {
		return this.app.tried(() => this.app.command("accept_chat", { user }));
	}

	accept(user) {
		const text = "If somebody else uses this name, they can read what you write from now on. Compare the safety numbers first.";
		const question = { title: `Accept the new key of ${safeRow(user)}?`, text, action: "Accept", danger: true };
		return this.app.confirmed(question, () => this.app.command("accept", { user }));
	}

	showSafetyNumber(user) {
		return this.app.tried(async () => {
			const answer = await this.app.command("verify", { user });
			const verified = () =>
				this.app.tried(async () => {
					if (answer.changed) {
						// The dialog ends with the number that it showed, even if the peer refuses.
						this.app.dialog.close();
						await this.app.command("accept", { user });
					}
					await this.app.command("verified", { user });
					this.app.received({ event: "key_verified", peer: user });
					this.app.dialog.close();
				});
			const differ = () => {
				const text = `Somebody may stand between you and ${safeRow(user)}, and read what you write. Nothing was accepted. Write no secrets here, and compare again, by voice or in person.`;
				this.app.dialog.show("The numbers differ", paragraph("", text));
			};
			this.app.dialog.show(`Safety number with ${safeRow(user)}`, safetyNumber(answer, this.state.me, verified, differ));
		});
	}

	/** Does something that may need the password. `null`: the user cancels. @template T @param {() => Promise<T>} action */
	async unlocked(action) {
		try {
			return await action();
		} catch (error) {
			if (error.code !== "PASSWORD_WANTED") {
				throw error;
			}
		}
		return (await this.unlock()) ? action() : null;
	}

	async unlock() {
		const text = "Type your password. The third wrong one ends the peer.";
		for (let problem = ""; ; ) {
			const password = await ask({ title: "Earlier messages are locked", text, action: "Unlock", password: true, problem });
			if (password === null) {
				return false;
			}
			try {
				await this.app.command("unlock", { password });
				this.app.history.loadLocked();
				void this.loadKept();
				return true;
			} catch (error) {
				problem = this.app.words(error);
			}
		}
	}

	export(conversation) {
		return this.app.tried(async () => {
			const { history, notices } = this.app;
			const exported = await this.unlocked(() => history.exported(conversation));
			if (exported) {
				download(exported.file, `${conversation.title.replace(/[^\p{L}\p{N}._-]/gu, "_")}.jsonl`);
				notices.toast(`${counted(exported.count, "message")} exported.`);
			}
		});
	}

	async loadKept() {
		const { conversations } = await this.app.command("conversations");
		for (const kept of conversations.filter(it => it.ended && it.messages)) {
			const conversation = conversationOf(this.state, addressIn(kept));
			conversation.ended = true;
			conversation.activity ||= Date.parse(kept.last);
		}
		this.app.draw();
	}

	/** Signs out or quits, and asks first if others need this tracker. */
	async end(command) {
		const { hosts, endsAtSignOut } = this.state;
		const isEnd = command === "quit" || endsAtSignOut;
		const others = onlineUsers(this.state).length;
		const people = others ? `${counted(others, "other person", "other people")} online` : "others";
		const text = `This computer runs the tracker for ${people}. It ends with this peer: nobody can sign in, or create or join a room, until it runs again.`;
		if (hosts && isEnd && (await ask({ title: "End the tracker too?", text, action: "End peer and tracker", danger: true })) === null) {
			return;
		}
		await this.app.tried(async () => {
			const isLost = await this.app.command(command).catch(error => error.code === "PEER_LOST" || Promise.reject(error));
			isEnd || isLost === true ? this.app.end("You are signed out.") : this.app.received({ event: "signed_out" });
		});
	}
}
