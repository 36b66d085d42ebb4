//! The membership log of a room: entries that people sign and the tracker orders.
//!
//! Each entry names the digest of the entry before it, so the digest of the last one (the head) fixes the whole log.
//! Everybody who applies the entries of a log in order comes to the same [`RoomState`](state::RoomState), and refuses
//! the same entries. So the tracker can delay a change or refuse it, but it cannot invent one.
//!
//! ```text
//! epoch 1            epoch 2              epoch 3            epoch 4
//! created by ana ◄── invited bob     ◄─── joined by bob ◄─── removed bob     ◄── head, signed by the tracker
//! signed by ana      signed by ana        signed by bob      signed by ana
//! ```
//!
//! Whether an entry is *valid* follows from the log alone. Whether its key is *trusted* is for each reader to decide:
//! the log proves that the holder of a key joined as bob, not that the key is Bob's.

pub mod entry;
pub mod facts;
pub mod head;
pub mod layout;
pub mod log;
pub mod refusal;
mod rules;
pub mod state;
