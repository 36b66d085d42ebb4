#![no_main]

#[path = "../properties/room_log.rs"]
mod room_log;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| room_log::hold(bytes));
