//! Twilio's own Python library signs, the program checks: the two must agree on every form, and on every changed byte.

use std::fs::File;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use super::{SOON, Stage, number};
use crate::support::twilio::{ACCOUNT_SID, AUTH_TOKEN, OUR_NUMBER, PUBLIC_URL};

/// The library, pinned.
const LIBRARY: &str = "twilio==9.13.0";

/// A Python with the library, made once below `target/` and shared by later runs.
fn python() -> PathBuf {
    let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let home = tmp.join(format!("python-{}", LIBRARY.replace("==", "-")));
    let python = home.join("bin").join("python");
    let done = home.join("installed");
    let lock = File::create(tmp.join("python-twilio.lock")).unwrap();
    lock.lock().unwrap();
    if !done.exists() {
        let _ = std::fs::remove_dir_all(&home);
        let run = |program: &std::path::Path, arguments: &[&str]| {
            let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
            let output = output.unwrap_or_else(|error| panic!("Python 3 with venv is needed for this test: {error}"));
            assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        };
        run("python3".as_ref(), &["-m", "venv", home.to_str().unwrap()]);
        run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", LIBRARY]);
        File::create(done).unwrap();
    }
    python
}

#[tokio::test(flavor = "multi_thread")]
async fn forms_signed_by_twilios_python_library_are_taken_and_each_changed_byte_is_refused() {
    let stage = Stage::new().await;
    let product = stage.home.serve().await;
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/e2e/twilio_library.py");
    let mut command = Command::new(tokio::task::spawn_blocking(python).await.unwrap());
    command.args([script, &product.address.to_string(), PUBLIC_URL, AUTH_TOKEN, ACCOUNT_SID, OUR_NUMBER, &number(1)]);
    let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let output = tokio::task::spawn_blocking(move || child.wait_with_output().unwrap());
    let output = tokio::time::timeout(Duration::from_secs(90), output).await.expect("the script ends by itself").unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    eprintln!("{report}");

    assert_eq!(report["wrong"], serde_json::json!([]), "the program and the library disagree");
    let taken = usize::try_from(report["taken"].as_u64().unwrap()).unwrap();
    assert!(taken >= 6 && report["refused"].as_u64().unwrap() >= 300, "{report}");
    assert_eq!(stage.bodies_to(&number(1), taken).await.len(), taken);
    stage.no_job_left(SOON).await;
    let asked: Vec<String> = stage.model.asked().iter().map(|asked| asked.newest().join(" + ")).collect();
    for text in report["texts"].as_array().unwrap() {
        let text = text.as_str().unwrap();
        assert!(asked.iter().any(|asked| asked == text), "{text:?} did not reach the model unchanged: {asked:?}");
    }
    assert_eq!(asked.len(), taken, "a refused form was stored");
}
