//! Names that a host may write as an endpoint: whatever they are, `external` is never among them.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scrubjay::domain::endpoint::Endpoint;

fuzz_target!(|text: &str| {
    if let Ok(endpoint) = Endpoint::parse(text) {
        assert!(!endpoint.as_str().eq_ignore_ascii_case("external"));
    }
});
