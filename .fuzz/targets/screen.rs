#![no_main]

#[path = "../properties/screen.rs"]
mod screen;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| screen::hold(bytes));
