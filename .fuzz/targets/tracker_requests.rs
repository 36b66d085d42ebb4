#![no_main]

#[path = "../properties/tracker_requests.rs"]
mod tracker_requests;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| tracker_requests::hold(bytes));
