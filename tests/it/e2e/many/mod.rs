//! Many processes on one MongoDB, whose server is a test's own: it is killed, stopped and started again, and so are they.

mod kills;
mod outage;

use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use reqwest::StatusCode;
use scrubjay::store::{JobFilter, PageRequest, SharedStore};

use super::books::{Books, assert_one_chain, said};
use super::{Stage, number};
use crate::contract::fixture::phone;
use crate::support::chance::Chance;
use crate::support::eventually;
use crate::support::twilio::{Text, Twilio};

/// How long a sender waits for an answer before it tries again.
const PATIENCE: Duration = Duration::from_secs(5);

fn words(person: usize, index: usize) -> String {
    format!("text {index} of person {person}")
}

fn reply(person: usize, index: usize) -> String {
    format!("you said: {}", words(person, index))
}

/// What senders were answered.
#[derive(Debug, Default)]
struct Answers {
    taken: AtomicUsize,
    refused: AtomicUsize,
    /// Nobody listened, the connection broke, or nothing came in time.
    none: AtomicUsize,
}

/// Sends each text to any of the programs, as a load balancer does that does not look who is well.
struct Balancer {
    addresses: Mutex<Vec<Option<SocketAddr>>>,
    answers: Answers,
    chance: Chance,
}

impl Balancer {
    fn new(addresses: impl IntoIterator<Item = SocketAddr>, chance: &Chance) -> Self {
        let addresses = Mutex::new(addresses.into_iter().map(Some).collect());
        Self { addresses, answers: Answers::default(), chance: chance.clone() }
    }

    /// Behind one of the places there is another program now, or none.
    fn place(&self, place: usize, address: Option<SocketAddr>) {
        self.addresses.lock().unwrap()[place] = address;
    }

    fn choose(&self) -> Option<SocketAddr> {
        let there: Vec<SocketAddr> = self.addresses.lock().unwrap().iter().copied().flatten().collect();
        let count = u64::try_from(there.len()).unwrap();
        (count > 0).then(|| there[usize::try_from(self.chance.between(0, count)).unwrap()])
    }

    /// One attempt at a text: what was answered, if anything was.
    async fn post(&self, twilio: &Twilio, text: &Text) -> Option<StatusCode> {
        let answer = match self.choose() {
            Some(address) => twilio.post(address, text).await.ok(),
            None => None,
        };
        let count = match answer {
            Some(StatusCode::OK) => &self.answers.taken,
            Some(StatusCode::SERVICE_UNAVAILABLE) => &self.answers.refused,
            None => &self.answers.none,
            Some(other) => panic!("the webhook answered {other} to a well-signed text"),
        };
        count.fetch_add(1, Ordering::SeqCst);
        answer
    }

    /// Tries until a text is acknowledged.
    async fn text(&self, twilio: &Twilio, text: &Text, limit: Duration) {
        let begun = Instant::now();
        while self.post(twilio, text).await != Some(StatusCode::OK) {
            assert!(begun.elapsed() < limit, "not acknowledged within {limit:?}: {}", text.body);
            tokio::time::sleep(Duration::from_millis(self.chance.between(20, 100))).await;
        }
    }
}

/// Waits until nothing is unfinished, and says that nothing was given up.
async fn settled(store: &SharedStore, limit: Duration) {
    eventually("an empty list of jobs", limit, || async {
        let jobs = store.list_jobs(JobFilter::Unfinished, PageRequest::first(1)).await.ok()?.items;
        jobs.is_empty().then_some(())
    })
    .await;
    let figures = store.figures().await.unwrap();
    assert_eq!((figures.dead_turns, figures.dead_deliveries), (0, 0), "something was given up");
}

/// A time in which a program stood still, in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Pause {
    from: i64,
    to: i64,
}

/// How long after a pause its program may still hand over what it was about to.
const LATE: i64 = 5_000;

/// Checks that the carrier has each reply of each person, in order and once. A reply may be there twice only where a program stood
/// still between its look at the lease and the carrier's answer: then the first came while it did so, by another program, and the
/// second right after. Returns how often that happened.
async fn assert_each_reply_once_and_in_order(stage: &Stage, store: &SharedStore, texts: &[usize], pauses: &[Pause]) -> usize {
    let sent = stage.carrier.sent();
    let mut doubles = 0;
    for (person, count) in texts.iter().enumerate() {
        let to = number(person);
        let mut first: Vec<(&str, i64)> = Vec::new();
        for record in sent.iter().filter(|record| record.to == to) {
            let Some((_, earlier)) = first.iter().find(|(body, _)| *body == record.body) else {
                first.push((&record.body, record.created_ms));
                continue;
            };
            let explains =
                |pause: &Pause| (pause.from..=pause.to).contains(earlier) && (pause.to..=pause.to + LATE).contains(&record.created_ms);
            if !pauses.iter().any(explains) {
                let user = store.find_user_by_phone(&phone(&to)).await.unwrap().unwrap();
                let outgoing = store.list_outbound(user.id, 100).await.unwrap();
                let outgoing: Vec<_> = outgoing.iter().filter(|message| message.body == record.body).collect();
                let (body, later) = (&record.body, record.created_ms);
                panic!("{body:?} was sent twice, at {earlier} and {later}, and no pause explains it: {pauses:?} {outgoing:#?}");
            }
            doubles += 1;
        }
        let bodies: Vec<&str> = first.into_iter().map(|(body, _)| body).collect();
        let expected: Vec<String> = (0..*count).map(|index| reply(person, index)).collect();
        assert_eq!(bodies, expected, "person {person}: a reply is lost or out of order");
    }
    doubles
}

/// Checks that each person has one conversation, one chain, with each text and its reply once.
async fn assert_stored_once(store: &SharedStore, texts: &[usize]) {
    let books = Books::of(store).await;
    assert_eq!(books.people.len(), texts.len());
    for (person, count) in texts.iter().enumerate() {
        assert_eq!(books.counts[&number(person)], i64::try_from(*count).unwrap(), "person {person}: texts counted");
        let entries = books.only(&number(person));
        assert_one_chain(entries);
        let expected: Vec<(&str, String)> =
            (0..*count).flat_map(|index| [("external", words(person, index)), ("assistant", reply(person, index))]).collect();
        let expected: Vec<(&str, &str)> = expected.iter().map(|(role, text)| (*role, text.as_str())).collect();
        assert_eq!(said(entries), expected, "person {person}");
    }
}
