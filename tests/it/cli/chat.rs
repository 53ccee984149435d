//! The demo, and a phone in a terminal.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};

use super::offline;
use crate::support::carrier::{Carrier, Reaction};
use crate::support::eventually;
use crate::support::home::{Home, Settings};
use crate::support::model::ModelServer;
use crate::support::twilio::{OUR_NUMBER, Text, Twilio};

/// A running `scrubjay demo`, killed when dropped.
struct Demo {
    child: Child,
    /// What it printed when it was ready.
    welcome: String,
}

impl Demo {
    /// Starts it and reads its welcome.
    fn start(home: &Home) -> Self {
        let log = std::fs::File::create(home.log_file()).unwrap();
        let mut command = home.executable();
        let mut child = command.args(["demo", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let (mut welcome, mut lines) = (String::new(), BufReader::new(child.stdout.take().unwrap()));
        while !welcome.contains("Ctrl-C ends it.") {
            assert_ne!(lines.read_line(&mut welcome).unwrap(), 0, "the demo ended:\n{welcome}\n{}", home.log());
        }
        Self { child, welcome }
    }

    /// What stands behind `before` in the welcome, up to a blank or quote.
    fn word_after(&self, before: &str) -> &str {
        let (_, rest) = self.welcome.split_once(before).unwrap_or_else(|| panic!("no {before:?} in {}", self.welcome));
        rest.split([' ', '\'', '\n']).next().unwrap()
    }

    /// SIGTERM, and waits for a clean end.
    fn stop(mut self) {
        let told = Command::new("sh").args(["-c", &format!("kill -TERM {}", self.child.id())]).status().unwrap();
        assert!(told.success());
        assert!(self.child.wait().unwrap().success());
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_answers_chat_and_the_request_that_it_prints() {
    // Settings that a demo must not follow: a carrier, and nobody let in.
    let home = Home::new(&Settings::default().set("conversations.debounce_ms", 100).set("people.admission", "allowlist"));
    let demo = Demo::start(&home);
    let mode = std::fs::metadata(home.data().join("server.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    let (code, stdout, stderr) = home.run(&["chat", "--once", "hello"]).await;
    assert_eq!((code, stderr.as_str()), (0, ""));
    assert!(stdout.starts_with("Hello!"), "{stdout}");

    let (base, key) = (demo.word_after("ready "), demo.word_after("'x-api-key: "));
    let body: Value = json!({"role": "external", "from": "+15550100001", "content": "hello"});
    assert!(demo.welcome.contains(&body["content"].to_string()), "{}", demo.welcome);
    let request = crate::support::http_client().post(format!("{base}/api/messages/new")).header("x-api-key", key).json(&body);
    let answer: Value = request.send().await.unwrap().error_for_status().unwrap().json().await.unwrap();
    assert_eq!(answer["isNewUser"], false, "{answer}");
    assert!(answer["reply"]["text"].as_str().unwrap().starts_with("Hello!"), "{answer}");

    demo.stop();
    assert!(!home.data().join("server.json").exists(), "a clean stop left server.json");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_demo_beside_a_real_carrier_leaves_its_data_alone() {
    let twilio = Settings::default()
        .set("server.public_url", "https://sms.example.org")
        .set("gateways.twilio.account_sid", "AC00000000000000000000000000000001")
        .set("gateways.twilio.auth_token", "0a1b2c3d4e5f60718293a4b5c6d7e8f9")
        .set("gateways.twilio.phone_number", "+15550100000");
    let home = Home::new(&twilio);
    let demo = Demo::start(&home);
    assert!(home.data().join("demo/scrubjay.db").exists());
    assert!(!home.data().join("scrubjay.db").exists());
    let data = home.data().join("demo");
    assert!(demo.welcome.contains(&format!("--data-dir {}", data.display())), "{}", demo.welcome);
    let url = format!("{}/webhooks/twilio", demo.word_after("ready "));
    let answer = crate::support::http_client().post(url).header("content-type", "application/x-www-form-urlencoded").send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 404, "the demo opened the door to a real carrier");
    demo.stop();
}

#[tokio::test(flavor = "multi_thread")]
async fn each_line_of_a_pipe_is_a_text_answered_before_the_next() {
    let home = offline();
    let mut command = home.executable();
    command.args(["chat", "--from", "+15550100003"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(b"hello\n\n/status\n").unwrap();
    drop(input);
    let task = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_mins(1), task).await.unwrap().unwrap();
    let (stdout, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.success(), "{stderr}");
    assert!(stdout.starts_with("Hello!"), "{stdout}");
    assert!(stdout.lines().count() >= 2, "{stdout}");
    assert!(stderr.contains("no server runs on"), "{stderr}");

    let people = home.list(&["users", "list"]).await;
    assert_eq!(people[0]["metadata"]["messageCount"], 2, "{people:?}");
    assert!(home.list(&["jobs", "list"]).await.is_empty());
    assert!(!home.data().join("server.json").exists(), "a chat of its own announced itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chat_without_a_server_leaves_a_real_carriers_work_alone() {
    const ANNA: &str = "+15550100011";
    const STRANGER: &str = "+15550100012";
    const ME: &str = "+15550100013";
    let (carrier, model) = (Carrier::start().await, ModelServer::start().await);
    let home = Home::new(
        &Settings::new(&carrier, &model).set("people.admission", "allowlist").set("people.allow", vec![ANNA]).set("catch_up.minutes", 5),
    );
    // A reply that the carrier does not take, and a text that comes while nobody listens.
    carrier.always(Reaction::Fail);
    let server = home.serve().await;
    Twilio::new().text(server.address, ANNA, "hello").await;
    eventually("an attempt to deliver", Duration::from_secs(20), || async { (!carrier.reactions().is_empty()).then_some(()) }).await;
    server.kill();
    // Twilio's dates are whole seconds: before and after can only be told apart a second away.
    tokio::time::sleep(Duration::from_millis(1100)).await;
    let missed = Text::new(ANNA, "while you slept");
    carrier.receive(&missed.sid, ANNA, OUR_NUMBER, &missed.body);
    carrier.receive("SM00000000000000000000000000000001", STRANGER, OUR_NUMBER, "let me in");
    carrier.always(Reaction::Take);
    let (attempts, listings) = (carrier.reactions().len(), Arc::new(AtomicUsize::new(0)));
    carrier.listing_script({
        let listings = Arc::clone(&listings);
        move || {
            listings.fetch_add(1, Ordering::Relaxed);
            None
        }
    });

    let (code, stdout, stderr) = home.run(&["chat", "--from", ME, "--once", "is anybody there?"]).await;
    assert_eq!((code, stdout.as_str()), (0, "you said: is anybody there?\n"), "{stderr}");
    assert_eq!(carrier.reactions().len(), attempts, "something was sent by the real carrier");
    assert_eq!(listings.load(Ordering::Relaxed), 0, "the real carrier was asked for missed texts");
    let open = home.list(&["jobs", "list"]).await;
    assert_eq!(open.iter().map(|job| job["kind"].as_str().unwrap()).collect::<Vec<_>>(), ["deliver"], "{open:?}");
    let people = home.list(&["users", "list"]).await;
    assert_eq!(people.iter().map(|user| user["phoneNumber"].as_str().unwrap()).collect::<Vec<_>>(), [ANNA, ME]);

    // The server goes on where it was.
    let server = home.serve().await;
    let bodies =
        eventually("both replies", Duration::from_secs(20), || async { Some(carrier.bodies_to(ANNA)).filter(|bodies| bodies.len() == 2) });
    assert_eq!(bodies.await, ["you said: hello", "you said: while you slept"]);
    assert!(carrier.bodies_to(STRANGER).is_empty() && carrier.bodies_to(ME).is_empty());
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_whose_simulator_is_closed_says_so() {
    let home = offline();
    let server = home.serve().await;
    let (code, _, stderr) = home.run(&["chat", "--once", "hello"]).await;
    assert_eq!(code, 1);
    assert!(stderr.contains("gateways.simulator.enabled = true"), "{stderr}");
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stale_server_json_is_passed_over() {
    let home = Home::new(&super::offline_settings().set("gateways.simulator.enabled", true));
    let server = home.serve().await;
    server.kill();
    assert!(home.data().join("server.json").exists());
    let (code, stdout, stderr) = home.run(&["chat", "--once", "hello"]).await;
    assert_eq!(code, 0, "{stderr}");
    assert!(stdout.starts_with("Hello!"), "{stdout}");
}

#[test]
fn the_mailbox_of_a_phone_opens_to_its_signature_only() {
    let home = Home::new(&super::offline_settings());
    let demo = Demo::start(&home);
    let file: Value = serde_json::from_slice(&std::fs::read(home.data().join("server.json")).unwrap()).unwrap();
    assert_eq!(file["address"], demo.word_after("ready "));
    let mut stream = std::net::TcpStream::connect(demo.word_after("ready http://")).unwrap();
    stream.write_all(b"GET /simulator/messages?phone=%2B15550100001&after=0 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403"), "{answer}");
}
