//! Accounts that are asked for before their first message.

use scrubjay::domain::ids::UserId;
use scrubjay::domain::ledger::Credits;
use scrubjay::domain::user::SHARED_ACCOUNT;
use scrubjay::store::{NewAccount, NewPerson, PageRequest};

use super::fixture::{ANN, Fixture, phone};

fn account(number: Option<&str>, id: UserId) -> NewAccount {
    let person = NewPerson { id, email_domain: "sms.librechat.ai".to_owned(), start_credits: Some(Credits(7)) };
    NewAccount { phone: number.map(phone), person }
}

pub(super) async fn an_account_is_opened_once_and_its_first_text_finds_it(f: Fixture) {
    let opened = f.store.open_account(account(Some(ANN), f.clock.user_id())).await.unwrap();
    assert_eq!((opened.phone.as_ref(), opened.message_count, opened.balance), (Some(&phone(ANN)), 0, Some(Credits(7))));
    assert_eq!((opened.username.as_str(), opened.email.as_str()), ("sms_15550000001", "+15550000001@sms.librechat.ai"));
    let again = f.open_again().open_account(account(Some(ANN), f.clock.user_id())).await.unwrap();
    assert_eq!(again, opened);
    let receipt = f.texted(ANN, "hello").await;
    assert_eq!((receipt.user_id, receipt.is_new_user), (opened.id, false));
}

pub(super) async fn many_who_ask_at_once_get_one_account(f: Fixture) {
    let asking = (0..20).map(|_| f.store.open_account(account(Some(ANN), f.clock.user_id())));
    let ids: std::collections::BTreeSet<UserId> =
        futures::future::join_all(asking).await.into_iter().map(|opened| opened.unwrap().id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(f.store.list_users(PageRequest::first(10)).await.unwrap().items.len(), 1);
}

pub(super) async fn the_shared_account_has_no_phone_and_one_id(f: Fixture) {
    let opened = f.store.open_account(account(None, SHARED_ACCOUNT)).await.unwrap();
    assert_eq!((opened.id, opened.phone.as_ref(), opened.username.as_str()), (SHARED_ACCOUNT, None, "default"));
    assert_eq!(opened.id.to_string(), "64656661756c740000000000");
    assert_eq!(f.store.open_account(account(None, SHARED_ACCOUNT)).await.unwrap(), opened);
    assert_eq!(f.store.find_user(SHARED_ACCOUNT).await.unwrap(), Some(opened));
}
