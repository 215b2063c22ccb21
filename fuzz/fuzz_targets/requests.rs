//! Fuzzes `requests` of crates/zooky-server/tests/fuzz_bodies.
#![no_main]

#[allow(dead_code, unreachable_pub)]
#[path = "../../crates/zooky-server/tests/fuzz_bodies/mod.rs"]
mod fuzz_bodies;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| fuzz_bodies::requests(bytes));
