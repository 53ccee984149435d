//! Numbers as anybody may write them: refused in few words, or in the one form, which reads as itself.
#![no_main]

use libfuzzer_sys::fuzz_target;
use scrubjay::domain::phone::{NumberCheck, PhoneNumber, PhoneRules, Sender};

fuzz_target!(|text: &str| {
    for region in ["US", "DE", "IT", "NO"] {
        for check in [NumberCheck::E164, NumberCheck::Valid] {
            let rules = PhoneRules::new(region, check).expect("regions that exist");
            match PhoneNumber::parse(text, &rules) {
                Ok(number) => {
                    assert_eq!(PhoneNumber::from_stored(number.as_str()).as_ref(), Ok(&number));
                    assert_eq!(PhoneNumber::parse(number.as_str(), &rules).as_ref(), Ok(&number));
                    assert!(!number.masked().contains(number.digits()));
                    assert!(!matches!(Sender::classify(text, &rules), Sender::OtherChannel | Sender::Alphanumeric));
                }
                Err(error) => assert!(error.to_string().len() < 200),
            }
        }
    }
});
