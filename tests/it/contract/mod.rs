//! What every backend of the store must do: one list of cases, run against each.
//!
//! A case is a function that gets a fresh store and a clock that stands still. A case that is written but not listed is an
//! unused function, which the lints refuse. [`fixture`] has what the cases share.

mod accepting;
mod fixture;
mod turns;

use fixture::Fixture;

/// Runs a case on a backend, in a runtime of its own.
fn run<F: Future<Output = ()>>(backend: &str, case: impl FnOnce(Fixture) -> F) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    runtime.block_on(case(Fixture::open(backend)));
}

/// Lists the cases, and makes each a test on each backend.
macro_rules! contract {
    ($($module:ident { $($case:ident),* $(,)? })*) => {
        contract!(@backend sqlite $($module { $($case),* })*);

        /// The backends that the list runs against.
        const TESTED: &[&str] = &["sqlite"];
    };
    (@backend $backend:ident $($module:ident { $($case:ident),* })*) => {
        mod $backend {
            $(mod $module {
                $(#[test]
                fn $case() {
                    crate::contract::run(stringify!($backend), crate::contract::$module::$case);
                })*
            })*
        }
    };
}

contract! {
    accepting {
        a_first_text_makes_the_person_and_the_conversation,
        a_repeat_gets_the_receipt_of_the_first_time,
        fifty_first_texts_at_once_make_one_person_and_one_chain,
    }
    turns {
        a_turn_is_leased_answered_and_over,
        a_lease_that_ran_out_is_taken_over_and_its_holder_writes_nothing,
    }
}

#[test]
fn every_backend_of_the_build_is_tested() {
    assert_eq!(TESTED, scrubjay::store::BACKENDS);
}
