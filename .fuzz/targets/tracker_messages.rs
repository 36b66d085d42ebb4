#![no_main]

#[path = "../properties/tracker_messages.rs"]
mod tracker_messages;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tracker_messages::hold(bytes));
