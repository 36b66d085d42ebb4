#![no_main]

#[path = "../properties/greetings.rs"]
mod greetings;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| greetings::hold(bytes));
