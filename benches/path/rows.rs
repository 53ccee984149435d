//! The rows of the table: what is measured, and against what.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use crate::backends::Wanted;
use crate::connection::Connection;
use crate::fakes::{Controls, FIRST_TOKEN};
use crate::load;
use crate::program::{Program, configure, fresh_folder};
use crate::report::{Bounds, Report, median};
use crate::requests;
use crate::seed;
use crate::yardstick::{fdatasync, kept_in_files, kept_in_journal};

/// What every row stands on.
pub(crate) struct Bench {
    pub(crate) fakes: SocketAddr,
    pub(crate) model: Arc<Controls>,
    /// Rounds of each measurement; the median counts.
    pub(crate) rounds: usize,
    /// Requests of a round are this many times the quick ones.
    pub(crate) scale: usize,
    /// For the table of backends.
    pub(crate) backends: Wanted,
    pub(crate) report: Report,
}

/// People who text in the loads.
pub(crate) const PEOPLE: usize = 1000;
/// The first number that no large store has.
const NEW: usize = 500_000;

impl Bench {
    /// A program on an empty store, which knows `people` numbers after their first messages.
    pub(crate) async fn fresh_program(&self, name: &str, people: usize) -> Program {
        let folder = fresh_folder(name);
        configure(&folder, self.fakes);
        let program = Program::serve(&folder);
        load::closed(program.address, 32, &requests::messages(people, 0, people)).await.expect_only(200);
        program
    }

    /// Signed texts stored and acknowledged, against the bare handler, with the model stalled so that only the intake works;
    /// then the same with every text answered and sent meanwhile; then acknowledgements at half the rate against the disk.
    pub(crate) async fn intake(&mut self) {
        println!("intake: signed texts over 64 connections");
        let count = 10_000 * self.scale;
        let (mut bare, mut ours, mut answering, mut cpu) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        let mut memory = 0.0_f64;
        for round in 0..self.rounds {
            let texts = requests::texts(round, count, 0, PEOPLE);
            let yardstick = Program::yardstick(&fresh_folder("yardstick"));
            bare.push(load::closed(yardstick.address, 64, &texts).await.expect_only(200).rate());
            drop(yardstick);

            let program = self.fresh_program("intake", PEOPLE).await;
            self.model.stall();
            let before = program.cpu();
            ours.push(load::closed(program.address, 64, &texts).await.expect_only(200).rate());
            cpu.push(per(program.cpu().saturating_sub(before), count));
            memory = memory.max(program.memory_mib("VmHWM"));
            drop(program);
            self.model.release();

            let program = self.fresh_program("intake", PEOPLE).await;
            answering.push(load::closed(program.address, 64, &texts).await.expect_only(200).rate());
            memory = memory.max(program.memory_mib("VmHWM"));
        }
        let (bare, ours) = (median(bare), median(ours));
        self.report.plain("bare handler, one row group-committed", bare, "/s");
        self.report.plain("signed texts stored and acknowledged", ours, "/s");
        self.report.plain("the same while the texts are being answered", median(answering), "/s");
        self.report.plain("CPU of ours a text", median(cpu), "ms");
        self.report.bounded("signed texts against the bare handler", ours / bare, "", Bounds::AtLeast { floor: 0.15, aim: 0.3 });
        self.report.bounded("memory at most during the intake", memory, "MiB", Bounds::AtMost { floor: 120.0, aim: 60.0 });
        self.half_rate(ours).await;
    }

    /// Readable files by a journal, or each written whole: why the JSON backend has one.
    pub(crate) fn journal(&mut self) {
        println!("journal");
        let steps = 200 * self.scale;
        for kib in [4, 64, 1024] {
            let (mut journal, mut files) = (Vec::new(), Vec::new());
            for _ in 0..self.rounds {
                let folder = fresh_folder("journal");
                journal.push(millis(&kept_in_journal(&folder, steps), 0.5));
                files.push(millis(&kept_in_files(&folder, steps, kib << 10), 0.5));
            }
            let (journal, files) = (median(journal), median(files));
            self.report.plain("a step kept by a line of a journal, p50", journal, "ms");
            self.report.plain(&format!("the same by three files of {kib} KiB, p50"), files, "ms");
            self.report.plain(&format!("files of {kib} KiB against the journal"), files / journal, "times");
        }
    }

    async fn half_rate(&mut self, rate: f64) {
        let (mut ours, mut bare, mut disk) = (Vec::new(), Vec::new(), Vec::new());
        for round in 0..self.rounds {
            let folder = fresh_folder("disk");
            let probe = || millis(&fdatasync(&folder, 1000), 0.99);
            let yardstick = Program::yardstick(&fresh_folder("yardstick"));
            let texts = requests::texts(150 + round, 5_000 * self.scale, 0, PEOPLE);
            bare.push(load::open(yardstick.address, 64, rate / 2.0, &texts).await.expect_only(200).millis(0.99));
            drop(yardstick);
            let program = self.fresh_program("half-rate", PEOPLE).await;
            let texts = requests::texts(100 + round, 5_000 * self.scale, 0, PEOPLE);
            self.model.stall();
            disk.push(probe());
            let outcome = load::open(program.address, 64, rate / 2.0, &texts).await.expect_only(200);
            disk.push(probe());
            self.model.release();
            ours.push(outcome.millis(0.99));
        }
        let (ours, disk) = (median(ours), median(disk));
        self.report.plain("fdatasync of 4 KiB, p99", disk, "ms");
        self.report.plain("bare handler at that rate, p99", median(bare), "ms");
        self.report.plain("acknowledgement at half the maximal rate, p99", ours, "ms");
        self.report.bounded("p99 against fdatasync", ours / disk, "times", Bounds::AtMost { floor: 5.0, aim: 2.0 });
    }

    /// Acknowledgements and memory while the model says nothing and a thousand texts wait.
    pub(crate) async fn stalled(&mut self) {
        println!("stalled model");
        let program = self.fresh_program("stalled", PEOPLE).await;
        self.model.stall();
        load::closed(program.address, 8, &requests::texts(200, 1000, 0, PEOPLE)).await.expect_only(200);
        let before = program.memory_mib("VmRSS");
        let outcome = load::open(program.address, 64, 500.0, &requests::texts(201, 2_000 * self.scale, 0, PEOPLE)).await.expect_only(200);
        let growth = program.memory_mib("VmRSS") - before;
        self.model.release();
        let p99 = outcome.millis(0.99);
        self.report.bounded("acknowledgement with the model stalled, 500/s, p99", p99, "ms", Bounds::AtMost { floor: 100.0, aim: 100.0 });
        self.report.plain("memory grown meanwhile", growth, "MiB");
    }

    /// Whole turns through the external API.
    pub(crate) async fn turns(&mut self) {
        println!("turns: external API over 32 connections");
        let count = 4_000 * self.scale;
        let (mut rates, mut cpu, mut tail) = (Vec::new(), Vec::new(), Vec::new());
        let mut memory = 0.0_f64;
        for _ in 0..self.rounds {
            let program = self.fresh_program("turns", PEOPLE).await;
            let (rate, cost, p99) = measure_turns(&program, count, 0).await;
            rates.push(rate);
            cpu.push(cost);
            tail.push(p99);
            memory = memory.max(program.memory_mib("VmHWM"));
        }
        self.report.bounded("whole turns through the external API", median(rates), "/s", Bounds::AtLeast { floor: 1500.0, aim: 3000.0 });
        self.report.bounded("CPU of ours a turn", median(cpu), "ms", Bounds::AtMost { floor: 0.6, aim: 0.6 });
        self.report.plain("answer p99 at that rate", median(tail), "ms");
        self.report.bounded("memory at most during the turns", memory, "MiB", Bounds::AtMost { floor: 120.0, aim: 60.0 });
    }

    /// The first streamed token, against asking the model directly. The model pauses after it, so nothing else hides the delay.
    pub(crate) async fn first_token(&mut self) {
        println!("first token");
        let count = 200 * self.scale;
        let program = self.fresh_program("first-token", 10).await;
        self.model.pause_ms.store(3, Ordering::SeqCst);
        let mut through = Connection::open(program.address).await.expect("it listens");
        let mut direct = Connection::open(self.fakes).await.expect("it listens");
        let (mut ours, mut theirs) = (load::histogram(), load::histogram());
        let prompt = requests::prompt();
        for index in 0..count {
            note_first_token(&mut direct, &prompt, &mut theirs).await;
            note_first_token(&mut through, &requests::streamed_message(index % 10, index), &mut ours).await;
        }
        self.model.pause_ms.store(0, Ordering::SeqCst);
        let (ours_p50, theirs_p50) = (millis(&ours, 0.5), millis(&theirs, 0.5));
        self.report.plain("first token from the model itself, p50", theirs_p50, "ms");
        self.report.plain("first token through us, p50", ours_p50, "ms");
        self.report.plain("first token through us, p99", millis(&ours, 0.99), "ms");
        self.report.bounded("added delay of the first token, p50", ours_p50 - theirs_p50, "ms", Bounds::AtMost { floor: 2.0, aim: 0.5 });
    }

    /// A store of `people` with so many turns each, on disk, and nobody using it.
    pub(crate) async fn large_store(&self, name: &str, people: usize, turns: usize) -> PathBuf {
        let folder = fresh_folder(name);
        configure(&folder, self.fakes);
        let program = Program::serve(&folder);
        let answered = self.model.answered.load(Ordering::SeqCst);
        for turn in 0..turns {
            load::closed(program.address, 1, &requests::texts(900 + turn, 1, 0, 1)).await.expect_only(200);
            while self.model.answered.load(Ordering::SeqCst) <= answered + turn {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        drop(program);
        let messages = seed::multiply(&folder.join("data"), people);
        println!("  {messages} messages of {} people in {name}", people + 1);
        folder
    }

    /// From the start of the process to its ready line.
    pub(crate) async fn start(&mut self) {
        println!("start");
        let folder = self.large_store("large", 20_000 * self.scale, 5).await;
        let took = (0..7).map(|_| Program::serve(&folder).start_took.as_secs_f64() * 1000.0).collect();
        self.report.bounded("start to ready, large store", median(took), "ms", Bounds::AtMost { floor: 300.0, aim: 50.0 });
    }

    /// Turns in a large store against a small one: of people who are new in both, and of people with five turns in both.
    pub(crate) async fn large(&mut self) {
        println!("large");
        let count = 4_000 * self.scale;
        let mut costs = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
        for _ in 0..self.rounds {
            for (store, people) in [("small", PEOPLE), ("large", 20_000 * self.scale)] {
                let folder = self.large_store(store, people, 5).await;
                for (index, first) in [NEW, 1].into_iter().enumerate() {
                    let program = Program::serve(&folder);
                    load::closed(program.address, 32, &requests::messages(PEOPLE, first, PEOPLE)).await.expect_only(200);
                    let (rate, cpu, _) = measure_turns(&program, count, first).await;
                    println!("  {store}, {}: {rate:.0}/s, {cpu:.3} ms CPU", ["new people", "known people"][index]);
                    costs[index + 2 * usize::from(store == "large")].push(cpu);
                }
            }
        }
        let [small_new, small_known, large_new, large_known] = costs.map(median);
        let bounds = Bounds::AtMost { floor: 1.5, aim: 1.1 };
        self.report.plain("CPU of a turn in the large store", large_new, "ms");
        self.report.bounded("a turn of new people, large against small store", large_new / small_new, "times", bounds);
        self.report.bounded("a turn of known people, large against small store", large_known / small_known, "times", bounds);
    }

    /// Memory of a program that nobody has used yet.
    pub(crate) fn idle(&mut self) {
        println!("idle");
        let folder = fresh_folder("idle");
        configure(&folder, self.fakes);
        let program = Program::serve(&folder);
        std::thread::sleep(Duration::from_secs(3));
        self.report.plain("start to ready, empty store", program.start_took.as_secs_f64() * 1000.0, "ms");
        let memory = program.memory_mib("VmRSS");
        self.report.bounded("memory idle", memory, "MiB", Bounds::AtMost { floor: 30.0, aim: 20.0 });
    }
}

/// Turns a second, CPU a turn in milliseconds, and the answers' p99 in milliseconds.
pub(crate) async fn measure_turns(program: &Program, count: usize, first: usize) -> (f64, f64, f64) {
    let messages = requests::messages(count, first, PEOPLE);
    let before = program.cpu();
    let outcome = load::closed(program.address, 32, &messages).await.expect_only(200);
    (outcome.rate(), per(program.cpu().saturating_sub(before), outcome.count()), outcome.millis(0.99))
}

async fn note_first_token(connection: &mut Connection, request: &[u8], took: &mut hdrhistogram::Histogram<u64>) {
    let begun = Instant::now();
    let answer = connection.exchange_noting(request, Some(FIRST_TOKEN.as_bytes())).await.expect("an answer");
    assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
    let waited = answer.marked.expect("a first token").duration_since(begun);
    took.record(u64::try_from(waited.as_micros()).expect("short").max(1)).expect("within bounds");
}

#[expect(clippy::cast_precision_loss, reason = "microseconds of a bench are far below 2^52")]
fn millis(histogram: &hdrhistogram::Histogram<u64>, quantile: f64) -> f64 {
    histogram.value_at_quantile(quantile) as f64 / 1000.0
}

#[expect(clippy::cast_precision_loss, reason = "counts of a bench are far below 2^52")]
pub(crate) fn per(cpu: Duration, count: usize) -> f64 {
    cpu.as_secs_f64() * 1000.0 / count as f64
}
