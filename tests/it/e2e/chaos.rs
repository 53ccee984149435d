//! Nothing lost, nothing twice: hundreds of texts from fifty numbers (fewer on MongoDB), while the program is killed and restarted,
//! the carrier and the model misbehave, and senders repeat themselves until they are acknowledged.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::books::{Books, assert_one_chain, said};
use super::{Stage, number};
use crate::backends::Ground;
use crate::support::carrier::{Reaction as CarrierReaction, Taken};
use crate::support::chance::Chance;
use crate::support::home::Home;
use crate::support::model::{Asked, Reaction as ModelReaction};
use crate::support::process::Product;
use crate::support::twilio::{Text, Twilio};

/// How much of it.
#[derive(Debug, Clone, Copy)]
struct Size {
    people: usize,
    texts_each: usize,
    kills: usize,
    /// From here on the program is left alive: what has been begun twenty times without an end is given up, and where everything takes
    /// longer one text would get that far.
    most_kills: usize,
}

impl Size {
    fn on(ground: &Ground) -> Self {
        Self { people: ground.size(50, 12), texts_each: ground.size(10, 5), kills: ground.size(20, 10), most_kills: ground.size(60, 14) }
    }

    const fn texts(self) -> usize {
        self.people * self.texts_each
    }
}

/// To the last acknowledgement.
const SEND_LIMIT: Duration = Duration::from_mins(5);
/// From the last acknowledgement to the last job's end; a quiet machine needs seconds.
const SETTLE_LIMIT: Duration = Duration::from_mins(2);

fn words(person: usize, index: usize) -> String {
    format!("text {index} of person {person}")
}

fn reply(person: usize, index: usize) -> String {
    format!("you said: {}", words(person, index))
}

/// About one request in four goes wrong.
fn model_reaction(chance: &Chance, asked: &Asked) -> ModelReaction {
    match chance.between(0, 100) {
        0..6 => ModelReaction::Fail(429, None),
        6..11 => ModelReaction::Fail(500, None),
        11..15 => ModelReaction::BreakOff,
        15..19 => ModelReaction::HangUp,
        19..21 => ModelReaction::Stall,
        21..25 => ModelReaction::Slowly(format!("you said: {}", asked.newest().join(" + ")), Duration::from_millis(30)),
        _ => ModelReaction::Echo,
    }
}

fn carrier_reaction(chance: &Chance) -> CarrierReaction {
    match chance.between(0, 100) {
        0..5 => CarrierReaction::TooMany,
        5..10 => CarrierReaction::Fail,
        10..14 => CarrierReaction::TakeAndBreak,
        14..18 => CarrierReaction::Break,
        18..20 => CarrierReaction::TakeSlowly(Duration::from_millis(1500)),
        _ => CarrierReaction::Take,
    }
}

/// Where the program listens at this moment, and how often it was killed.
#[derive(Default)]
struct Whereabouts {
    address: Mutex<Option<SocketAddr>>,
    kills: AtomicUsize,
    unfinished: AtomicUsize,
}

/// One person's phone: its texts in order, each repeated until acknowledged, now and then once more after that. Each text waits
/// for its share of the kills, so that texts are under way at every kill.
async fn phone(person: usize, size: Size, whereabouts: Arc<Whereabouts>, chance: Chance) -> u32 {
    let twilio = Twilio::new();
    let mut attempts = 0;
    for index in 0..size.texts_each {
        while whereabouts.kills.load(Ordering::SeqCst) < index * size.kills / size.texts_each {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        tokio::time::sleep(Duration::from_millis(chance.between(0, 400))).await;
        let text = Text::new(&number(person), &words(person, index));
        let repeats = u32::from(chance.percent(10)) + 1;
        for _ in 0..repeats {
            attempts += acknowledged(&twilio, &whereabouts, &text).await;
        }
    }
    whereabouts.unfinished.fetch_sub(1, Ordering::SeqCst);
    attempts
}

async fn acknowledged(twilio: &Twilio, whereabouts: &Whereabouts, text: &Text) -> u32 {
    let begun = Instant::now();
    let mut attempts = 0;
    loop {
        let address = *whereabouts.address.lock().unwrap();
        if let Some(address) = address {
            attempts += 1;
            match twilio.post(address, text).await {
                Ok(reqwest::StatusCode::OK) => return attempts,
                Ok(reqwest::StatusCode::SERVICE_UNAVAILABLE) | Err(_) => {}
                Ok(other) => panic!("the webhook answered {other} to a well-signed text"),
            }
        }
        assert!(begun.elapsed() < SETTLE_LIMIT, "never acknowledged: {}", text.body);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Starts, lets live for a moment, kills, and begins again; now and then the kill comes before the program is ready.
async fn kill_and_restart(home: &Home, size: Size, whereabouts: &Whereabouts, chance: &Chance) -> Product {
    let begun = Instant::now();
    loop {
        if chance.percent(15) {
            Product::start_and_kill_within(home, Duration::from_millis(chance.between(5, 150))).await;
            whereabouts.kills.fetch_add(1, Ordering::SeqCst);
        }
        let product = home.serve().await;
        *whereabouts.address.lock().unwrap() = Some(product.address);
        let kills = whereabouts.kills.load(Ordering::SeqCst);
        while kills >= size.most_kills && whereabouts.unfinished.load(Ordering::SeqCst) > 0 {
            assert!(begun.elapsed() < SEND_LIMIT, "a text was not acknowledged within {SEND_LIMIT:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        if kills >= size.kills && whereabouts.unfinished.load(Ordering::SeqCst) == 0 {
            return product;
        }
        tokio::time::sleep(Duration::from_millis(chance.between(30, 600))).await;
        // Taken away first: nobody should text the port after another process got it.
        *whereabouts.address.lock().unwrap() = None;
        product.kill();
        whereabouts.kills.fetch_add(1, Ordering::SeqCst);
    }
}

on_every_backend!(texts_survive_kills_and_each_is_answered_once_and_in_order);

async fn texts_survive_kills_and_each_is_answered_once_and_in_order(ground: Ground) {
    let chance = Chance::new();
    eprintln!("seed {}", chance.seed());
    let size = Size::on(&ground);
    let stage = Stage::on_with(ground, |settings| {
        settings
            .set("endpoints.openAI.first_token_seconds", 1)
            .set("endpoints.openAI.idle_seconds", 1)
            .set("gateways.twilio.timeout_seconds", 1)
    })
    .await;
    let (of_model, of_carrier, of_listing) = (chance.clone(), chance.clone(), chance.clone());
    stage.model.script(move |asked| model_reaction(&of_model, asked));
    stage.carrier.script(move |_| carrier_reaction(&of_carrier));
    stage.carrier.listing_script(move || of_listing.percent(10).then_some(500));

    let whereabouts = Arc::new(Whereabouts { unfinished: AtomicUsize::new(size.people), ..Whereabouts::default() });
    let phones: Vec<_> =
        (0..size.people).map(|person| tokio::spawn(phone(person, size, Arc::clone(&whereabouts), chance.clone()))).collect();
    let begun = Instant::now();
    let product = kill_and_restart(&stage.home, size, &whereabouts, &chance).await;
    let mut attempts = 0;
    for phone in phones {
        attempts += phone.await.unwrap();
    }
    let kills = whereabouts.kills.load(Ordering::SeqCst);
    assert!(kills >= size.kills);
    eprintln!("{} texts acknowledged after {attempts} attempts and {kills} kills in {:?}", size.texts(), begun.elapsed());
    stage.no_job_left(SETTLE_LIMIT).await;
    eprintln!("no job left after {:?}", begun.elapsed());

    assert_carrier_has_each_reply_in_order(&stage, size);
    assert_prompts_hold_what_was_said_before(&stage, size);
    assert_stored_once(&Books::read(&stage.home).await, size);
    product.stop().await;
}

/// Each reply at the carrier once, in order. A reply may be there twice only where the carrier took the first and the
/// program could not know: then it must have been told nothing. Such cases are counted and printed.
fn assert_carrier_has_each_reply_in_order(stage: &Stage, size: Size) {
    let sent = stage.carrier.sent();
    let untold = sent.iter().filter(|record| record.taken == Taken::Untold).count();
    let mut twice = 0;
    for person in 0..size.people {
        let records: Vec<_> = sent.iter().filter(|record| record.to == number(person)).collect();
        let mut expected = (0..size.texts_each).map(|index| reply(person, index));
        let mut last: Option<(&str, Taken)> = None;
        for record in records {
            if let Some((body, taken)) = last
                && body == record.body
            {
                assert_eq!(taken, Taken::Untold, "sent twice although the carrier had said that it took it: {body}");
                twice += 1;
            } else {
                assert_eq!(Some(&record.body), expected.next().as_ref(), "person {person}: a reply is lost or out of order");
            }
            last = Some((&record.body, record.taken));
        }
        assert_eq!(expected.next(), None, "person {person}: a reply is lost");
    }
    let reactions = stage.carrier.reactions();
    eprintln!("carrier: {} requests, {untold} taken without an answer, {twice} replies sent twice for that", reactions.len());
    // Of few requests none may have gone wrong by chance.
    let misbehaved = untold > 0 && reactions.contains(&CarrierReaction::TooMany);
    assert!(misbehaved || size.texts() < 200, "the carrier did not misbehave");
    assert!(twice * 10 <= untold, "most of what the carrier had taken was not found: {twice} of {untold} sent again");
}

/// A prompt holds the earlier turns of its person, whole and in order, and its own text, never a later one.
fn assert_prompts_hold_what_was_said_before(stage: &Stage, size: Size) {
    let asked = stage.model.asked();
    let mut asked_about: BTreeMap<String, usize> = BTreeMap::new();
    for prompt in &asked {
        let newest = prompt.newest();
        assert_eq!(newest.len(), 1, "two turns in one: {newest:?}");
        let rest = newest[0].strip_prefix("text ").unwrap();
        let (index, person) = rest.split_once(" of person ").unwrap();
        let (index, person): (usize, usize) = (index.parse().unwrap(), person.parse().unwrap());
        let mut expected = Vec::new();
        for earlier in 0..index {
            expected.push(("user".to_owned(), words(person, earlier)));
            expected.push(("assistant".to_owned(), reply(person, earlier)));
        }
        expected.push(("user".to_owned(), words(person, index)));
        let dialogue: Vec<(String, String)> =
            prompt.dialogue().into_iter().map(|entry| (entry.role.clone(), entry.content.clone())).collect();
        assert_eq!(dialogue, expected);
        *asked_about.entry(newest[0].to_owned()).or_default() += 1;
    }
    assert_eq!(asked_about.len(), size.texts());
    eprintln!("model: {} requests for {} texts", asked.len(), asked_about.len());
}

fn assert_stored_once(books: &Books, size: Size) {
    assert_eq!(books.people.len(), size.people);
    for person in 0..size.people {
        assert_eq!(books.counts[&number(person)], i64::try_from(size.texts_each).unwrap(), "person {person}: texts counted");
        let entries = books.only(&number(person));
        assert_one_chain(entries);
        let expected: Vec<(&str, String)> =
            (0..size.texts_each).flat_map(|index| [("external", words(person, index)), ("assistant", reply(person, index))]).collect();
        let expected: Vec<(&str, &str)> = expected.iter().map(|(role, text)| (*role, text.as_str())).collect();
        assert_eq!(said(entries), expected, "person {person}");
    }
}
