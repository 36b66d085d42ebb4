#![no_main]

#[path = "../properties/display.rs"]
mod display;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| display::hold(bytes));
