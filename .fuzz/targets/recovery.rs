#![no_main]

#[path = "../properties/recovery.rs"]
mod recovery;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| recovery::hold(bytes));
