//! Chance that can be repeated: a seeded generator, whose seed is printed when a test fails.

use std::sync::{Arc, Mutex};

/// The variable that fixes the seed, to repeat a failed run's choices.
const SEED_VARIABLE: &str = "SCRUBJAY_TEST_SEED";

/// A generator (`SplitMix64`) shared by the parts of one test. Dropped while panicking, it prints its seed.
#[derive(Clone)]
pub(crate) struct Chance {
    state: Arc<Mutex<State>>,
}

struct State {
    seed: u64,
    value: u64,
}

impl Drop for State {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("repeat these choices with {SEED_VARIABLE}={}", self.seed);
        }
    }
}

impl Chance {
    /// A fresh seed, or the one that the environment names.
    #[expect(clippy::disallowed_methods, reason = "a test's own knob, not a setting of the program")]
    pub(crate) fn new() -> Self {
        let seed = match std::env::var(SEED_VARIABLE) {
            Ok(text) => text.parse().expect("a whole number"),
            Err(_) => u64::from_le_bytes(scrubjay::clock::Clock::system().secret_bytes::<8>().unwrap()),
        };
        Self::seeded(seed)
    }

    /// That seed.
    pub(crate) fn seeded(seed: u64) -> Self {
        Self { state: Arc::new(Mutex::new(State { seed, value: seed })) }
    }

    /// The seed that began it.
    pub(crate) fn seed(&self) -> u64 {
        self.state.lock().unwrap().seed
    }

    /// Any number.
    pub(crate) fn next(&self) -> u64 {
        let mut state = self.state.lock().unwrap();
        state.value = state.value.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = state.value;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number from `low` up to but not including `high`.
    pub(crate) fn between(&self, low: u64, high: u64) -> u64 {
        assert!(low < high);
        low + self.next() % (high - low)
    }

    /// True `percent` times out of a hundred.
    pub(crate) fn percent(&self, percent: u64) -> bool {
        self.between(0, 100) < percent
    }
}
