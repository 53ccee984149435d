//! Clients at pinned versions, installed once below `target/` and shared by later runs.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const PYTHON_CLIENT: &str = "mcp==2.3.0";

/// Node itself comes as a package: the suite needs a newer one than many machines have.
const NODE: &str = "22.23.3";
const SDK: &str = "1.32.2";
const SUITE: &str = "0.1.16";

/// Makes `folder` by `install` unless that was done before. Test processes that want the same wait for one another.
fn once(name: &str, install: impl FnOnce(&Path)) -> PathBuf {
    let tmp = PathBuf::from(env!("CARGO_TARGET_TMPDIR"));
    let folder = tmp.join(name);
    let done = folder.join("installed");
    let lock = File::create(tmp.join(format!("{name}.lock"))).unwrap();
    lock.lock().unwrap();
    if !done.exists() {
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(&folder).unwrap();
        install(&folder);
        File::create(done).unwrap();
    }
    folder
}

fn run(program: &Path, arguments: &[&str], folder: &Path) {
    let output = Command::new(program).args(arguments).current_dir(folder).stdin(Stdio::null()).output();
    let output = output.unwrap_or_else(|error| panic!("{} is needed for this test: {error}", program.display()));
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{} {arguments:?}: {stdout}{stderr}", program.display());
}

/// A Python with the client.
pub(super) fn python() -> PathBuf {
    let folder = once(&format!("python-{}", PYTHON_CLIENT.replace("==", "-")), |folder| {
        run("python3".as_ref(), &["-m", "venv", "."], folder);
        let python = folder.join("bin").join("python");
        run(&python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTHON_CLIENT], folder);
    });
    folder.join("bin").join("python")
}

/// Node with packages.
pub(super) struct Node {
    pub(super) program: PathBuf,
    /// Below which `node_modules` is.
    pub(super) folder: PathBuf,
}

/// A Node with the SDK and the conformance suite.
pub(super) fn node() -> Node {
    let folder = once(&format!("node-{NODE}-sdk-{SDK}-conformance-{SUITE}"), |folder| {
        std::fs::write(folder.join("package.json"), r#"{"private": true}"#).unwrap();
        let packages =
            [format!("node@{NODE}"), format!("@modelcontextprotocol/sdk@{SDK}"), format!("@modelcontextprotocol/conformance@{SUITE}")];
        let mut arguments = vec!["install", "--no-audit", "--no-fund", "--loglevel=error"];
        arguments.extend(packages.iter().map(String::as_str));
        run("npm".as_ref(), &arguments, folder);
    });
    Node { program: folder.join("node_modules/.bin/node"), folder }
}
