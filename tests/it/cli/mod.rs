//! The commands, by the real executable: what they print, their JSON, their exit codes.

mod archive;
mod chat;
mod data;
mod help;
mod memory;
mod misuse;
mod service;
mod todos;

use crate::support::home::{Home, Settings};

/// A folder whose settings answer offline and let everybody in.
fn offline() -> Home {
    Home::new(&offline_settings())
}

pub(crate) fn offline_settings() -> Settings {
    Settings::default()
        .set("endpoints.default", "demo")
        .set("people.admission", "open")
        .set("conversations.debounce_ms", 0)
        .set("worker.poll_ms", 50)
        .set("log.filter", "warn")
}

/// A folder in which these numbers have each texted once, without a server running now.
async fn texted_by(numbers: &[&str]) -> Home {
    let home = offline();
    for number in numbers {
        let (code, stdout, stderr) = home.run(&["chat", "--from", number, "--once", "hello"]).await;
        assert_eq!(code, 0, "{stderr}");
        assert!(stdout.contains("demo model"), "{stdout}");
    }
    home
}

/// Other settings, for the next start.
fn configure(home: &Home, settings: &Settings) {
    std::fs::write(home.path().join("config.toml"), settings.to_text()).unwrap();
}
