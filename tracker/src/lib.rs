//! The tracker: users, rooms, who is online.
