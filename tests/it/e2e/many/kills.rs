//! Three programs, any number of people: each program is killed, one stands still for longer than its leases hold, and the database
//! is killed twice. What was acknowledged is answered, in order and once.
//!
//! `SCRUBJAY_TEST_NUMBERS` says how many people. 300 are more than the test server bears on two processors: give the tests its sister
//! program, `SCRUBJAY_TEST_SECANTUSD=…/secantusd-rs`.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use scrubjay::clock::Clock;
use scrubjay::store::{LEASE, SharedStore};

use super::{Balancer, PATIENCE, Pause, assert_each_reply_once_and_in_order, assert_stored_once, settled, words};
use crate::backends::Ground;
use crate::e2e::{SOON, Stage, number};
use crate::support::carrier::Reaction as CarrierReaction;
use crate::support::chance::Chance;
use crate::support::eventually;
use crate::support::knobs::knob;
use crate::support::model::{Asked, Reaction as ModelReaction};
use crate::support::mongo::{Kind, Server};
use crate::support::process::Product;
use crate::support::twilio::{Text, Twilio};

const PROGRAMS: usize = 3;

/// What befalls them, one after the other, each while everybody's next text is being answered.
#[derive(Debug, Clone, Copy)]
enum Event {
    /// A program is killed and soon started again, which frees what it held.
    Kill(usize),
    /// A program is killed and stays away until its leases have run out.
    KillForLong(usize),
    /// A program stands still for longer than its leases hold, and goes on as if nothing had been.
    StandStill(usize),
    /// The database is killed and started again.
    Database,
}

const EVENTS: [Event; 6] = [Event::Kill(0), Event::KillForLong(1), Event::Database, Event::StandStill(2), Event::Kill(2), Event::Database];

/// How long anything may take in the end.
const SETTLE_LIMIT: Duration = Duration::from_mins(5);

/// The programs, and what they are driven by.
struct Fleet<'a> {
    stage: &'a Stage,
    server: &'a mut Server,
    store: SharedStore,
    programs: Vec<Option<Product>>,
    balancer: Arc<Balancer>,
    pauses: Vec<Pause>,
}

impl Fleet<'_> {
    async fn befall(&mut self, event: Event) {
        match event {
            Event::Kill(place) => self.kill(place, Duration::from_secs(1)).await,
            Event::KillForLong(place) => self.kill(place, LEASE + Duration::from_secs(1)).await,
            Event::StandStill(place) => self.stand_still(place).await,
            Event::Database => tokio::task::block_in_place(|| {
                self.server.kill();
                std::thread::sleep(Duration::from_secs(2));
                self.server.run();
            }),
        }
    }

    async fn kill(&mut self, place: usize, away: Duration) {
        self.balancer.place(place, None);
        self.programs[place].take().unwrap().kill();
        tokio::time::sleep(away).await;
        let program = self.stage.home.serve().await;
        self.balancer.place(place, Some(program.address));
        self.programs[place] = Some(program);
    }

    /// Stays behind the load balancer, whose senders give up waiting.
    async fn stand_still(&mut self, place: usize) {
        let program = self.programs[place].as_ref().unwrap();
        let name = format!("/{}/", program.pid());
        let holds = async || self.store.list_owners().await.unwrap().iter().any(|owner| owner.0.contains(&name));
        let begun = Instant::now();
        let from = loop {
            assert!(begun.elapsed() < SOON, "the program never held a lease while it stood still");
            if holds().await {
                let from = Clock::system().now().as_millis();
                program.stand_still();
                // What was on its way has arrived by then: what it holds now it holds to the end.
                tokio::time::sleep(Duration::from_millis(300)).await;
                if holds().await {
                    break from;
                }
                program.go_on();
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        };
        tokio::time::sleep(LEASE + Duration::from_secs(5)).await;
        let to = Clock::system().now().as_millis();
        program.go_on();
        self.pauses.push(Pause { from, to });
        // It is let to find out what was taken from it, which it may not: what it was leased it need not have been told yet.
        let mut looks = 0;
        while lost(self.stage) == 0 && looks < 50 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            looks += 1;
        }
    }
}

/// How many results were dropped, because another program had the work by then.
fn lost(stage: &Stage) -> usize {
    stage.home.log().matches("the lease was lost").count()
}

/// One in four answers takes a while, and each does while a program is to stand still in the middle of it.
fn model_reaction(chance: &Chance, is_slow: bool, asked: &Asked) -> ModelReaction {
    let text = format!("you said: {}", asked.newest().join(" + "));
    if is_slow {
        ModelReaction::Slowly(text, Duration::from_millis(400))
    } else if chance.percent(25) {
        ModelReaction::Slowly(text, Duration::from_millis(80))
    } else {
        ModelReaction::Say(text)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn three_programs_on_one_database_lose_nothing_and_answer_once_whichever_dies() {
    let (numbers, chance) = (knob("SCRUBJAY_TEST_NUMBERS", 24), Chance::new());
    eprintln!("seed {}", chance.seed());
    let mut server = Server::start(Kind { durable: true, ..Kind::default() });
    let stage = Stage::on_with(Ground::at(server.uri()), |settings| {
        settings.set("worker.turns", 12).set("gateways.twilio.lookup_ms", vec![1_000, 3_000])
    })
    .await;
    let (is_slow, of_model, of_carrier) = (Arc::new(AtomicBool::new(false)), chance.clone(), chance.clone());
    let slow = Arc::clone(&is_slow);
    stage.model.script(move |asked| model_reaction(&of_model, slow.load(Ordering::SeqCst), asked));
    stage.carrier.script(move |_| {
        if of_carrier.percent(30) { CarrierReaction::TakeSlowly(Duration::from_millis(300)) } else { CarrierReaction::Take }
    });

    let mut programs = Vec::new();
    for _ in 0..PROGRAMS {
        programs.push(Some(stage.home.serve().await));
    }
    let balancer = Arc::new(Balancer::new(programs.iter().flatten().map(|program| program.address), &chance));
    let store = stage.open();
    let mut fleet = Fleet { stage: &stage, server: &mut server, store, programs, balancer, pauses: Vec::new() };

    // Text `i` of everybody is sent when event `i` is about to come.
    let (round, begun) = (Arc::new(AtomicUsize::new(0)), Instant::now());
    let phones: Vec<_> =
        (0..numbers).map(|person| tokio::spawn(phone(person, Arc::clone(&round), Arc::clone(&fleet.balancer), chance.clone()))).collect();
    for (place, event) in EVENTS.into_iter().enumerate() {
        is_slow.store(matches!(event, Event::StandStill(_)), Ordering::SeqCst);
        let asked = stage.model.asked().len();
        round.store(place, Ordering::SeqCst);
        let some = numbers.div_ceil(8);
        eventually("the model to be asked", SETTLE_LIMIT, || async { (stage.model.asked().len() >= asked + some).then_some(()) }).await;
        eprintln!("{:?}: {event:?}", begun.elapsed());
        fleet.befall(event).await;
    }
    for phone in phones {
        phone.await.unwrap();
    }
    let sent = begun.elapsed();
    settled(&fleet.store, SETTLE_LIMIT).await;

    let texts = vec![EVENTS.len(); numbers];
    let doubles = assert_each_reply_once_and_in_order(&stage, &fleet.store, &texts, &fleet.pauses).await;
    assert_stored_once(&fleet.store, &texts).await;
    let (all, lost, answers) = (numbers * EVENTS.len(), lost(&stage), &fleet.balancer.answers);
    eprintln!(
        "{numbers} numbers, {all} texts acknowledged within {sent:?} and all answered within {:?}; {PROGRAMS} programs, of them killed 3 \
         and paused 1, the database killed 2 times",
        begun.elapsed()
    );
    eprintln!(
        "senders: {} times 200, {} times 503, {} times no answer; the model was asked {} times; {lost} results dropped for a lost lease; \
         {doubles} replies sent twice, explained by the pause",
        answers.taken.load(Ordering::SeqCst),
        answers.refused.load(Ordering::SeqCst),
        answers.none.load(Ordering::SeqCst),
        stage.model.asked().len()
    );
    fleet.store.close().await;
    for program in fleet.programs.into_iter().flatten() {
        program.stop().await;
    }
}

/// One person's phone: a text each round, repeated until acknowledged, now and then once more after that.
async fn phone(person: usize, round: Arc<AtomicUsize>, balancer: Arc<Balancer>, chance: Chance) {
    let twilio = Twilio::with_patience(PATIENCE);
    for index in 0..EVENTS.len() {
        while round.load(Ordering::SeqCst) < index {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        tokio::time::sleep(Duration::from_millis(chance.between(0, 500))).await;
        let text = Text::new(&number(person), &words(person, index));
        for _ in 0..=u32::from(chance.percent(10)) {
            balancer.text(&twilio, &text, SETTLE_LIMIT).await;
        }
    }
}
