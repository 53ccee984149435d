//! A Python environment below `target/` with the server and the libraries that look at what we wrote.

use std::ffi::OsString;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// What is installed, pinned: the server, a client of another make, and an authority for certificates.
const PACKAGES: [&str; 3] = ["SecantusDB==0.7.0b3", "pymongo==4.20.0", "trustme==1.2.1"];

/// What to do without it.
const WAY_OUT: &str = "the tests of the MongoDB backend need a server: Python 3 with venv and PyPI, or SCRUBJAY_TEST_MONGODB_URI with the address \
    of one; to leave the backend out, test with --no-default-features";

/// The folder of the environment.
fn home() -> &'static Path {
    static HOME: OnceLock<PathBuf> = OnceLock::new();
    HOME.get_or_init(|| {
        let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
        let version = PACKAGES.map(|package| package.replace("==", "-").to_lowercase()).join("-");
        let home = tmp.join(format!("python-{version}"));
        let done = home.join("installed");
        let lock = File::create(tmp.join("python-mongodb.lock")).unwrap();
        lock.lock().unwrap();
        if !done.exists() {
            let _ = std::fs::remove_dir_all(&home);
            let run = |program: &Path, arguments: &[&str]| {
                let output = Command::new(program).args(arguments).stdin(Stdio::null()).output();
                let output = output.unwrap_or_else(|error| panic!("{}: {error}; {WAY_OUT}", program.display()));
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(output.status.success(), "{arguments:?} failed; {WAY_OUT}\n{said}");
            };
            run("python3".as_ref(), &["-m", "venv", home.to_str().unwrap()]);
            let mut install = vec!["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
            install.extend(PACKAGES);
            run(&home.join("bin/python"), &install);
            File::create(done).unwrap();
        }
        home
    })
}

/// A Python that has them.
pub(crate) fn python() -> PathBuf {
    home().join("bin/python")
}

/// Another program of the same server, for those who have one: `secantusd-rs` of the crate `secantus-mdb` bears many times as much.
const PROGRAM: &str = "SCRUBJAY_TEST_SECANTUSD";

/// The server's program, with its first arguments.
pub(super) fn secantusd() -> Vec<OsString> {
    if let Some(program) = std::env::var_os(PROGRAM).filter(|program| !program.is_empty()) {
        // Else each of its stores takes 128 MB from the beginning.
        return vec![program, "--log-file-max".into(), "16MB".into()];
    }
    // The script is named to Python: by itself it would look for that where it was installed, and a checkout may be moved.
    vec![python().into(), home().join("bin/secantusd-py").into(), "--enable-test-commands".into()]
}
