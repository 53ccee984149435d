//! Accounts of LibreChat, and of an earlier program: their heads.

use std::collections::HashMap;

use mongodb::bson::{Document, doc};

use super::{Report, lenient, lenient_moment, lenient_text};
use crate::domain::ids::UserId;
use crate::domain::phone::PhoneNumber;
use crate::domain::user::Preferences;
use crate::store::mongodb::MongoStore;
use crate::store::mongodb::fault;
use crate::store::mongodb::fields::{Fields, object_id};
use crate::store::mongodb::names::Place;
use crate::store::mongodb::staged::VERSION;
use crate::store::mongodb::state::words::JsonText;
use crate::store::mongodb::state::{Person, State};
use crate::store::{Double, StoreResult};

/// The number of an account: where LibreChat's fork keeps it now, or where it was before.
fn number_of(account: &Document) -> Option<Result<PhoneNumber, ()>> {
    let written = lenient_text(account, "phoneNumber").or_else(|| lenient_text(account, "metadata.phoneNumber"))?;
    // People's blanks and dashes are not part of a number.
    let plain: String = written.chars().filter(|character| character.is_ascii_digit() || *character == '+').collect();
    Some(PhoneNumber::from_stored(&plain).map_err(drop))
}

impl MongoStore {
    /// Gives everybody with a phone number their head. Of several with the same number the oldest has it.
    pub(super) async fn take_over_people(&self, report: &mut Report) -> StoreResult<()> {
        let collection = self.collection(Place::Users);
        let mut taken: HashMap<PhoneNumber, UserId> = HashMap::new();
        let with_number = doc! { "$or": [{ "phoneNumber": { "$exists": true } }, { "metadata.phoneNumber": { "$exists": true } }] };
        let found = collection.find(with_number).sort(doc! { "createdAt": 1, "_id": 1 });
        let mut accounts = found.await.map_err(fault::unavailable)?;
        while accounts.advance().await.map_err(fault::unavailable)? {
            let account = accounts.deserialize_current().map_err(fault::unavailable)?;
            let Some(number) = number_of(&account) else { continue };
            // An account whose id is not LibreChat's is nobody's whom we could name.
            let (Ok(phone), Ok(user)) = (number, Fields::new(collection.name(), &account).user("_id")) else {
                report.unreadable += 1;
                continue;
            };
            if taken.get(&phone).is_some_and(|other| *other != user) {
                report.duplicates.push(user);
                continue;
            }
            taken.insert(phone.clone(), user);
            if self.load_by_phone(&phone).await?.is_some() || self.load(user).await?.is_some() {
                continue;
            }
            let (state, threads) = self.state_of_account(user, &account, Some(phone)).await?;
            let mut unit = self.unit_of_new(user, state);
            unit.draft.show_person();
            if unit.commit().await? {
                report.people += 1;
                report.several_threads += u64::from(threads > 1);
            }
        }
        Ok(())
    }

    /// The account that LibreChat, or an earlier program, has for a number, as the state of a person who is new to us.
    pub(in crate::store::mongodb) async fn find_in_librechat(&self, phone: &PhoneNumber) -> StoreResult<Option<(UserId, State)>> {
        let collection = self.collection(Place::Users);
        let either = doc! { "$or": [{ "phoneNumber": phone.as_str() }, { "metadata.phoneNumber": phone.as_str() }] };
        let found = collection.find_one(either).sort(doc! { "createdAt": 1, "_id": 1 }).await.map_err(fault::unavailable)?;
        let Some(account) = found else { return Ok(None) };
        let user = Fields::new(collection.name(), &account).user("_id")?;
        let (state, _threads) = self.state_of_account(user, &account, Some(phone.clone())).await?;
        Ok(Some((user, state)))
    }

    /// Accounts with a number that somebody else has.
    pub(in crate::store::mongodb) async fn find_doubles(&self) -> StoreResult<Vec<Double>> {
        let collection = self.collection(Place::Users);
        let with_number = doc! { "$or": [{ "phoneNumber": { "$exists": true } }, { "metadata.phoneNumber": { "$exists": true } }] };
        let wanted = doc! { "phoneNumber": 1, "metadata.phoneNumber": 1 };
        let found = collection.find(with_number).projection(wanted).sort(doc! { "_id": 1 });
        let mut accounts = found.await.map_err(fault::unavailable)?;
        let mut numbers: HashMap<PhoneNumber, Vec<UserId>> = HashMap::new();
        while accounts.advance().await.map_err(fault::unavailable)? {
            let account = accounts.deserialize_current().map_err(fault::unavailable)?;
            if let Some(Ok(phone)) = number_of(&account)
                && let Ok(user) = Fields::new(collection.name(), &account).user("_id")
            {
                numbers.entry(phone).or_default().push(user);
            }
        }
        let mut doubles = Vec::new();
        for (phone, users) in numbers.into_iter().filter(|(_phone, users)| users.len() > 1) {
            let Some(owner) = self.load_by_phone(&phone).await?.map(|head| head.user_id) else { continue };
            doubles.extend(users.into_iter().filter(|user| *user != owner).map(|account| Double { account, owner }));
        }
        doubles.sort_unstable_by_key(|double| *double.account.as_bytes());
        Ok(doubles)
    }

    /// The person of an account of LibreChat's, without its number, made now where there is none.
    pub(in crate::store::mongodb) async fn person_of_account(&self, user: UserId) -> StoreResult<bool> {
        if self.load(user).await?.is_some() {
            return Ok(true);
        }
        let found = self.collection(Place::Users).find_one(doc! { "_id": object_id(user) }).await.map_err(fault::unavailable)?;
        let Some(account) = found else { return Ok(false) };
        let (state, _threads) = self.state_of_account(user, &account, None).await?;
        let mut unit = self.unit_of_new(user, state);
        unit.draft.show_person();
        unit.commit().await?;
        // Where another process was first, the person is there as well.
        Ok(true)
    }

    /// An account as a person's state, with their conversations by phone and their credits; and how many of those are open.
    async fn state_of_account(&self, user: UserId, account: &Document, phone: Option<PhoneNumber>) -> StoreResult<(State, u64)> {
        let now = self.now();
        let text = |name: &str| lenient_text(account, name).unwrap_or_default().to_owned();
        let created_at = lenient_moment(account.get("createdAt")).unwrap_or(now);
        // What an earlier program wrote as preferences were its defaults, and nobody's choice.
        let ours = account.contains_key(VERSION);
        let chosen = lenient(account, "metadata.preferences").filter(|_value| ours).cloned();
        let person = Person {
            phone,
            email: text("email"),
            name: text("name"),
            username: text("username"),
            provider: lenient_text(account, "provider").unwrap_or("local").to_owned(),
            role: lenient_text(account, "role").unwrap_or("USER").to_owned(),
            email_verified: account.get_bool("emailVerified").unwrap_or(false),
            preferences: chosen.and_then(|value| mongodb::bson::deserialize_from_bson::<Preferences>(value).ok()).unwrap_or_default(),
            caller_metadata: JsonText::default(),
            blocked: false,
            first_contact: lenient_moment(lenient(account, "metadata.firstContact")).unwrap_or(created_at),
            created_at,
            updated_at: lenient_moment(account.get("updatedAt")).unwrap_or(created_at),
        };
        let adopted = self.adopt_threads(user).await?;
        let mut state = State::of(person, created_at);
        state.last_number = adopted.last_number;
        state.message_count = adopted.texts;
        state.last_sms = adopted.last_text.or_else(|| lenient_moment(lenient(account, "metadata.lastSMS"))).unwrap_or(created_at);
        state.more_threads = true;
        // LibreChat itself finds them by its own kind of id only.
        let by_text = doc! { "user": user.to_string() };
        let by_id = doc! { "$set": { "user": object_id(user) } };
        self.collection(Place::Balances).update_many(by_text, by_id).await.map_err(fault::unavailable)?;
        let seen = self.find_credits(user).await?;
        state.see_credits(seen.as_ref(), now);
        Ok((state, adopted.open))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_found_where_it_was_kept_before() {
        let number = |account: Document| number_of(&account).map(|number| number.map(|number| number.as_str().to_owned()));
        assert_eq!(number(doc! { "phoneNumber": "+15550000001" }), Some(Ok("+15550000001".to_owned())));
        assert_eq!(number(doc! { "metadata": { "phoneNumber": "+1 (555) 000-0002" } }), Some(Ok("+15550000002".to_owned())));
        assert_eq!(number(doc! { "phoneNumber": "", "metadata": { "phoneNumber": "+15550000003" } }), Some(Ok("+15550000003".to_owned())));
        assert_eq!(number(doc! { "phoneNumber": "five" }), Some(Err(())));
        assert_eq!(number(doc! { "email": "a@example.org" }), None);
    }
}
