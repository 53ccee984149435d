//! Phone numbers in E.164 form, and the senders that are no person.
//!
//! [`PhoneNumber::parse`] reads what people and programs write; [`Sender::classify`] reads what a carrier calls a sender.
//! Nothing here prints a number whole: logs and errors see it masked.

use std::fmt::{self, Write};
use std::sync::Arc;

use phonenumber::country;
use phonenumber::metadata::DATABASE;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::Value;

use super::text::beginning;

/// The most digits that E.164 allows.
const MOST_DIGITS: usize = 15;
/// The fewest that we take.
const FEWEST_DIGITS: usize = 7;
/// The longest text that is looked at, in bytes: fifteen digits with generous punctuation, in any script.
const LONGEST_TEXT: usize = 128;

/// A phone number: `+`, then 7 to 15 digits, the first not zero.
///
/// Logs show it masked ([`fmt::Debug`], [`PhoneNumber::masked`]); there is no `Display`, so that it cannot slip into a
/// message. Only data shows it whole.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PhoneNumber(Arc<str>);

/// Which numbers are numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NumberCheck {
    /// Any of the right length.
    E164,
    /// Those that a number plan gives out; fictitious ones (555) are not.
    Valid,
}

/// How numbers are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PhoneRules {
    region: country::Id,
    check: NumberCheck,
}

/// A region that no number plan has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{region:?} is not a region; use two letters of ISO 3166, such as \"US\" or \"DE\"")]
pub struct UnknownRegion {
    region: String,
}

impl PhoneRules {
    /// Rules that complete national forms for `region` (two letters, ISO 3166).
    ///
    /// # Errors
    /// When there is no such region.
    pub fn new(region: &str, check: NumberCheck) -> Result<Self, UnknownRegion> {
        match region.to_ascii_uppercase().parse() {
            Ok(region) => Ok(Self { region, check }),
            Err(_) => Err(UnknownRegion { region: beginning(region, 20).to_owned() }),
        }
    }
}

/// Text that is no phone number. Its message says why and what to write instead, and quotes only a short part.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPhone {
    /// Nothing was given.
    #[error("no number was given; write it like +15550104477")]
    Empty,
    /// Not text at all.
    #[error("a phone number must be text, not {0}; write it in quotes, like \"+15550104477\"")]
    NotText(&'static str),
    /// Longer than any number with its punctuation.
    #[error("{0} bytes are longer than any phone number; write only the number, like +15550104477")]
    TooLong(usize),
    /// A character that is part of no number.
    #[error("{0:?} cannot be part of a phone number; write digits, and + only in front, like +15550104477")]
    Character(char),
    /// A `+` behind the first digit, or a second one.
    #[error("the + stands only in front of a phone number; give one number at a time")]
    PlusInside,
    /// A trunk prefix kept in an international form.
    #[error("(0) is only dialled inside the country; leave it out, like +44123456789")]
    TrunkPrefix,
    /// A number of another channel.
    #[error("{0:?} addresses another channel than SMS; write the number alone, like +15550104477")]
    Channel(&'static str),
    /// Too few digits.
    #[error("{0} digits are too few; write the whole number with its country code, like +15550104477")]
    TooFewDigits(usize),
    /// Too many digits.
    #[error("{0} digits are too many; a phone number has at most 15 with its country code")]
    TooManyDigits(usize),
    /// A country code that begins with zero.
    #[error("no phone number has a country code that begins with 0; write it like +15550104477")]
    LeadingZero,
    /// National, but not complete.
    #[error("{digits} digits are not a whole number in region {region}; write it with its country code, like +15550104477")]
    NotNational {
        /// How many were given.
        digits: usize,
        /// The region it was read in.
        region: String,
    },
    /// Well formed, but no number plan gives it out.
    #[error("no number plan gives this number out (phone.validation is \"valid\"; \"e164\" would take it)")]
    NotAssigned,
    /// A stored value that is not in E.164 form.
    #[error("not a number in E.164 form (+ and 7 to 15 digits)")]
    NotE164,
}

impl PhoneNumber {
    /// Reads a number as people write it: with spaces, dots, dashes, brackets, in any script's digits; national forms are
    /// completed for the region of `rules`.
    ///
    /// # Errors
    /// Says why it is no number and what to write instead.
    pub fn parse(text: &str, rules: &PhoneRules) -> Result<Self, InvalidPhone> {
        let (international, digits) = read_digits(text)?;
        let digits = if international { digits } else { complete(&digits, rules.region)? };
        let number = Self::from_digits(&digits)?;
        if rules.check == NumberCheck::Valid && !is_assigned(&number) {
            return Err(InvalidPhone::NotAssigned);
        }
        Ok(number)
    }

    /// Reads a number out of JSON: only text is one, so that `15551234567` and `{"$gt": ""}` are refused.
    ///
    /// # Errors
    /// As [`PhoneNumber::parse`], and for anything that is not text.
    pub fn parse_json(value: &Value, rules: &PhoneRules) -> Result<Self, InvalidPhone> {
        match value {
            Value::String(text) => Self::parse(text, rules),
            Value::Null => Err(InvalidPhone::Empty),
            Value::Bool(_) => Err(InvalidPhone::NotText("true or false")),
            Value::Number(_) => Err(InvalidPhone::NotText("a JSON number")),
            Value::Array(_) => Err(InvalidPhone::NotText("a list")),
            Value::Object(_) => Err(InvalidPhone::NotText("an object")),
        }
    }

    /// Takes a number that we wrote ourselves: the shape is checked, nothing is completed.
    ///
    /// # Errors
    /// When it is not in E.164 form.
    pub fn from_stored(text: &str) -> Result<Self, InvalidPhone> {
        let digits = text.strip_prefix('+').ok_or(InvalidPhone::NotE164)?;
        let shape = digits.bytes().all(|byte| byte.is_ascii_digit())
            && !digits.starts_with('0')
            && (FEWEST_DIGITS..=MOST_DIGITS).contains(&digits.len());
        if shape { Ok(Self(text.into())) } else { Err(InvalidPhone::NotE164) }
    }

    fn from_digits(digits: &str) -> Result<Self, InvalidPhone> {
        match digits.len() {
            _ if digits.starts_with('0') => Err(InvalidPhone::LeadingZero),
            count if count < FEWEST_DIGITS => Err(InvalidPhone::TooFewDigits(count)),
            count if count > MOST_DIGITS => Err(InvalidPhone::TooManyDigits(count)),
            _ => Ok(Self(format!("+{digits}").into())),
        }
    }

    /// The number, `+` and digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its digits without the `+`.
    #[must_use]
    pub fn digits(&self) -> &str {
        self.0.strip_prefix('+').unwrap_or(&self.0)
    }

    /// For logs: the ends, with the middle left out, such as `+1555•••4567`; of short numbers less.
    #[must_use]
    pub fn masked(&self) -> String {
        let mut text = String::with_capacity(20);
        // Writing to a string does not fail.
        let _written = self.write_masked(&mut text);
        text
    }

    fn write_masked(&self, out: &mut impl Write) -> fmt::Result {
        let digits = self.digits();
        let shown = if digits.len() > 9 { 4 } else { 2 };
        let head = digits.get(..shown).unwrap_or_default();
        let tail = digits.get(digits.len().saturating_sub(shown)..).unwrap_or_default();
        write!(out, "+{head}•••{tail}")
    }
}

impl fmt::Debug for PhoneNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.write_masked(f)
    }
}

impl Serialize for PhoneNumber {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for PhoneNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::from_stored(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// Who a carrier says sent a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sender {
    /// A phone that can be answered.
    Person(PhoneNumber),
    /// A service's number of 3 to 8 digits.
    ShortCode,
    /// A name in place of a number.
    Alphanumeric,
    /// An address of another channel.
    OtherChannel,
    /// Anything else, such as a withheld number.
    Unreadable(InvalidPhone),
}

impl Sender {
    /// Reads the carrier's `From`. Carriers write people's numbers in E.164, so a few bare digits are a short code here, even
    /// in regions where they would be a whole number.
    #[must_use]
    pub fn classify(text: &str, rules: &PhoneRules) -> Self {
        let text = text.trim();
        if other_channel(text).is_some() {
            return Self::OtherChannel;
        }
        if (3..=8).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Self::ShortCode;
        }
        match PhoneNumber::parse(text, rules) {
            Ok(number) => Self::Person(number),
            // Carriers allow a name 11 characters; a longer one is no number either.
            Err(_) if text.chars().any(char::is_alphabetic) => Self::Alphanumeric,
            Err(error) => Self::Unreadable(error),
        }
    }
}

/// The prefix of another channel than SMS, when the address has one.
fn other_channel(text: &str) -> Option<&'static str> {
    ["whatsapp:", "rcs:", "messenger:"]
        .into_iter()
        .find(|prefix| text.get(..prefix.len()).is_some_and(|start| start.eq_ignore_ascii_case(prefix)))
}

/// Takes the punctuation off: whether a `+` stood in front, and the digits in ASCII.
fn read_digits(text: &str) -> Result<(bool, String), InvalidPhone> {
    if text.len() > LONGEST_TEXT {
        return Err(InvalidPhone::TooLong(text.len()));
    }
    let text = text.trim();
    if text.is_empty() {
        return Err(InvalidPhone::Empty);
    }
    if let Some(prefix) = other_channel(text) {
        return Err(InvalidPhone::Channel(prefix));
    }
    let mut international = false;
    let mut digits = String::with_capacity(MOST_DIGITS);
    for character in text.chars() {
        if let Some(digit) = decimal_digit(character) {
            digits.push(digit);
        } else if matches!(character, '+' | '\u{ff0b}') {
            if international || !digits.is_empty() {
                return Err(InvalidPhone::PlusInside);
            }
            international = true;
        } else if !is_punctuation(character) {
            return Err(InvalidPhone::Character(character));
        }
    }
    if international && text.contains("(0)") {
        return Err(InvalidPhone::TrunkPrefix);
    }
    match digits.len() {
        0..3 => Err(InvalidPhone::TooFewDigits(digits.len())),
        // Two more than E.164 has, for a trunk or an international prefix.
        count if count > MOST_DIGITS + 3 => Err(InvalidPhone::TooManyDigits(count)),
        _ => Ok((international, digits)),
    }
}

/// The ASCII form of a decimal digit of the scripts in which phones write numbers.
fn decimal_digit(character: char) -> Option<char> {
    // The first digit of each block of ten: ASCII, Arabic-Indic, its eastern form, Devanagari, Bengali, Thai, full-width.
    const ZEROS: [char; 7] = ['0', '\u{660}', '\u{6f0}', '\u{966}', '\u{9e6}', '\u{e50}', '\u{ff10}'];
    ZEROS.into_iter().find_map(|zero| {
        let value = u32::from(character).checked_sub(u32::from(zero))?;
        char::from_digit(value, 10)
    })
}

/// What people put between digits, and the invisible marks that come with numbers copied from a contact.
fn is_punctuation(character: char) -> bool {
    matches!(character, '-' | '.' | '/' | '(' | ')')
        || (character.is_whitespace() && !character.is_control())
        || matches!(character,
            '\u{2010}'..='\u{2015}' | '\u{2212}' | '\u{ff0d}' | '\u{ff0e}' | '\u{ff08}' | '\u{ff09}'
            | '\u{200b}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

/// Puts the country code in front of a number written as in its own country.
///
/// # Errors
/// When it has not the full length: a number that can be dialled only within a town names no phone.
fn complete(digits: &str, region: country::Id) -> Result<String, InvalidPhone> {
    let incomplete = || InvalidPhone::NotNational { digits: digits.len(), region: region.as_ref().to_owned() };
    let parsed = phonenumber::parse(Some(region), digits).map_err(|_no_number| incomplete())?;
    let (code, national) = (parsed.code().value(), parsed.national().to_string());
    if has_full_length(code, &national) {
        return Ok(format!("{code}{national}"));
    }
    // The crate takes a leading digit for the country code or trunk prefix even where too few remain ("1234567890").
    let code = DATABASE.by_id(region.as_ref()).ok_or_else(incomplete)?.country_code();
    if has_full_length(code, digits) { Ok(format!("{code}{digits}")) } else { Err(incomplete()) }
}

/// Whether phones under that country code have numbers of this length.
fn has_full_length(code: u16, national: &str) -> bool {
    let Ok(length) = u16::try_from(national.len()) else { return false };
    DATABASE.by_code(&code).unwrap_or_default().iter().any(|plan| {
        let kinds = plan.descriptors();
        [kinds.fixed_line(), kinds.mobile()].into_iter().flatten().any(|kind| kind.possible_length().contains(&length))
    })
}

/// Whether a number plan gives it out.
fn is_assigned(number: &PhoneNumber) -> bool {
    phonenumber::parse(None, number.as_str()).is_ok_and(|parsed| phonenumber::is_valid(&parsed))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn us() -> PhoneRules {
        PhoneRules::new("us", NumberCheck::E164).unwrap()
    }

    fn parsed(text: &str) -> Option<String> {
        PhoneNumber::parse(text, &us()).ok().map(|number| number.as_str().to_owned())
    }

    #[test]
    fn the_table_of_numbers_holds() {
        let table: Value = serde_json::from_str(include_str!("../../tests/vectors/phones.json")).unwrap();
        let cases = table["cases"].as_array().unwrap();
        assert!(cases.len() >= 24);
        for case in cases {
            let result = PhoneNumber::parse_json(&case[0], &us()).ok();
            assert_eq!(result.as_ref().map(PhoneNumber::as_str), case[1].as_str(), "{case}");
        }
    }

    #[test]
    fn digits_of_other_scripts_and_copied_marks_are_read() {
        for text in [
            "+١٥٥٥١٢٣٤٥٦٧",
            "＋１５５５１２３４５６７",
            "\u{202a}+1\u{a0}555\u{2011}123.4567\u{202c}",
            " (+1) 555/123-4567\n",
            "+۱۵۵۵۱۲۳۴۵۶۷",
        ] {
            assert_eq!(parsed(text).as_deref(), Some("+15551234567"), "{text:?}");
        }
    }

    #[test]
    fn what_is_no_number_is_refused() {
        let long = "5".repeat(10_240);
        let spaced = " ".repeat(10_240);
        let refused = [
            "555-1234",
            "5551234",
            "+0987654321",
            "+1234567890123456",
            "1234567890123456",
            "+1555+1234567",
            "++15551234567",
            "15551234567+",
            "+1555123456a",
            "+1 555\n1234567",
            "+44 (0)20 7123 4567",
            "whatsapp:+15551234567",
            "RCS:brand",
            "+1;555",
            "Ⅷ55123456",
            "+²55512345",
            "\0",
            "٠١٢٣٤٥",
            "+٠١٢٣٤٥٦٧٨",
            &long,
            &spaced,
        ];
        for text in refused {
            let error = PhoneNumber::parse(text, &us()).expect_err(text).to_string();
            assert!(error.len() < 160 && !error.contains(&"5".repeat(20)), "{error}");
        }
    }

    #[test]
    fn a_region_completes_its_own_national_forms() {
        let in_region = |region: &str, text: &str| {
            let rules = PhoneRules::new(region, NumberCheck::E164).unwrap();
            PhoneNumber::parse(text, &rules).ok().map(|number| number.as_str().to_owned())
        };
        assert_eq!(in_region("DE", "030 1234567").as_deref(), Some("+49301234567"));
        assert_eq!(in_region("DE", "0049 30 1234567").as_deref(), Some("+49301234567"));
        assert_eq!(in_region("US", "011 49 30 1234567").as_deref(), Some("+49301234567"));
        assert!(PhoneRules::new("Utopia", NumberCheck::E164).is_err());
    }

    #[test]
    fn the_number_plan_rules_only_when_asked() {
        let rules = PhoneRules::new("US", NumberCheck::Valid).unwrap();
        assert_eq!(PhoneNumber::parse("+15551234567", &rules), Err(InvalidPhone::NotAssigned));
        assert_eq!(PhoneNumber::parse("+1234567890", &rules), Err(InvalidPhone::NotAssigned));
        assert!(PhoneNumber::parse("(212) 736-5000", &rules).is_ok());
        assert!(PhoneNumber::parse("+442071234567", &rules).is_ok());
    }

    #[test]
    fn senders_that_are_no_person_are_told_apart() {
        let classify = |text: &str| Sender::classify(text, &us());
        assert_eq!(classify("+15551234567"), Sender::Person(PhoneNumber::from_stored("+15551234567").unwrap()));
        for text in ["123", "72345", "12345678"] {
            assert_eq!(classify(text), Sender::ShortCode, "{text}");
        }
        for text in ["whatsapp:+15551234567", "WhatsApp:+15551234567", "rcs:brand_agent", "messenger:1234567"] {
            assert_eq!(classify(text), Sender::OtherChannel, "{text}");
        }
        for text in ["MYBANK", "Taxi 24", "Straße"] {
            assert_eq!(classify(text), Sender::Alphanumeric, "{text}");
        }
        for text in ["", "+", "+464", "12", "🙂"] {
            assert!(matches!(classify(text), Sender::Unreadable(_)), "{text}");
        }
    }

    #[test]
    fn a_number_is_shown_masked() {
        let number = PhoneNumber::from_stored("+15551234567").unwrap();
        assert_eq!(number.masked(), "+1555•••4567");
        assert_eq!(format!("{number:?}"), "+1555•••4567");
        assert_eq!(PhoneNumber::from_stored("+1234567").unwrap().masked(), "+12•••67");
    }

    #[test]
    fn stored_numbers_have_the_one_form() {
        for wrong in ["", "+", "15551234567", "+05551234567", "+123456", "+1234567890123456", "+1555 1234567", "+١٥٥٥١٢٣٤٥٦٧"] {
            assert_eq!(PhoneNumber::from_stored(wrong), Err(InvalidPhone::NotE164), "{wrong}");
        }
        assert!(serde_json::from_str::<PhoneNumber>("\"+15551234567\"").is_ok());
        assert!(serde_json::from_str::<PhoneNumber>("\"5551234567\"").is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_read_has_the_one_form_and_reads_as_itself(text in "\\PC{0,40}|[+0-9 ().-]{1,24}") {
            if let Ok(number) = PhoneNumber::parse(&text, &us()) {
                prop_assert_eq!(&PhoneNumber::from_stored(number.as_str()).unwrap(), &number);
                prop_assert_eq!(PhoneNumber::parse(number.as_str(), &us()).unwrap(), number);
            }
        }
    }
}
