//! `serve` as a service of systemd: when it is ready, that it lives, that it stops.

use std::io::{BufRead as _, BufReader};
use std::os::unix::net::UnixDatagram;
use std::process::{Command, Stdio};
use std::time::Duration;

use super::offline;

/// What the program tells next.
fn told(socket: &UnixDatagram) -> String {
    let mut message = [0_u8; 256];
    let length = socket.recv(&mut message).unwrap();
    String::from_utf8_lossy(&message[..length]).trim().to_owned()
}

#[test]
fn systemd_is_told_of_the_start_the_life_and_the_stop() {
    let home = offline();
    let path = home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = home.executable();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "400000");
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();

    assert_eq!(told(&socket), "READY=1");
    // Nobody is sent here before requests are accepted.
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim().strip_prefix("ready http://").unwrap();
    assert!(std::net::TcpStream::connect(address).is_ok());
    for _ in 0..3 {
        assert_eq!(told(&socket), "WATCHDOG=1");
    }

    let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
    assert!(sent.success());
    loop {
        match told(&socket).as_str() {
            "WATCHDOG=1" => {}
            stopping => {
                assert_eq!(stopping, "STOPPING=1");
                break;
            }
        }
    }
    assert!(child.wait().unwrap().success());
}

#[test]
fn the_watchdog_is_not_fed_while_the_store_takes_no_writes() {
    let home = offline();
    let path = home.path().join("notify.sock");
    let socket = UnixDatagram::bind(&path).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let mut command = home.executable();
    command.env("NOTIFY_SOCKET", &path).env("WATCHDOG_USEC", "200000");
    command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::null()).stderr(Stdio::null());
    let mut child = Killed(command.spawn().unwrap());
    assert_eq!(told(&socket), "READY=1");
    assert_eq!(told(&socket), "WATCHDOG=1");

    let store = rusqlite::Connection::open(home.data().join("scrubjay.db")).unwrap();
    store.busy_timeout(Duration::from_secs(10)).unwrap();
    store.execute_batch("BEGIN IMMEDIATE").unwrap();
    // What was told up to now; one more may have been on its way.
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut message = [0_u8; 256];
    while socket.recv(&mut message).is_ok() {}
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    assert!(socket.recv(&mut message).is_err(), "a process that cannot write was called alive");

    store.execute_batch("COMMIT").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    assert_eq!(told(&socket), "WATCHDOG=1");
    child.0.kill().unwrap();
}

/// A process that does not outlive its test.
struct Killed(std::process::Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn a_log_that_no_terminal_reads_has_no_colours_and_json_is_json() {
    for format in ["text", "json"] {
        let settings = super::offline_settings().set("log.format", format).set("log.filter", "info");
        let home = crate::support::home::Home::new(&settings);
        let log = std::fs::File::create(home.log_file()).unwrap();
        let mut command = home.executable();
        let mut child = command.args(["serve", "--listen", "127.0.0.1:0"]).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let sent = Command::new("sh").args(["-c", &format!("kill -TERM {}", child.id())]).status().unwrap();
        assert!(sent.success() && child.wait().unwrap().success());
        let log = home.log();
        assert!(!log.contains('\u{1b}'), "{log}");
        assert!(log.contains("ready") && log.contains("stopped"), "{log}");
        if format == "json" {
            for line in log.lines() {
                let event: serde_json::Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
                assert!(event["level"].is_string() && event["message"].is_string(), "{event}");
            }
        }
    }
}
