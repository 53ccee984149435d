//! The three configuration files, separated by zero bytes: loaded, or refused with reasons that tell no secret.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| scrubjay::config::robustness::check(data));
