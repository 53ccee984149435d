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
