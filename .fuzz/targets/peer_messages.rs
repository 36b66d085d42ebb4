#![no_main]

#[path = "../properties/peer_messages.rs"]
mod peer_messages;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| peer_messages::hold(bytes));
