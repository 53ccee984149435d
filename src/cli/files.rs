//! Files that a command takes in or gives out; `-` is standard input or output.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::Context as _;

use super::output::write_text;

/// Whether it stands for standard input or output.
pub(crate) fn is_stream(file: &Path) -> bool {
    file == Path::new("-")
}

/// Reads a file whole, as UTF-8.
pub(crate) fn read(file: &Path) -> anyhow::Result<String> {
    let mut bytes = Vec::new();
    if is_stream(file) {
        std::io::stdin().lock().read_to_end(&mut bytes).context("standard input could not be read")?;
    } else {
        bytes = std::fs::read(file).with_context(|| format!("{} could not be read", file.display()))?;
    }
    String::from_utf8(bytes).with_context(|| format!("{} is no UTF-8 text", file.display()))
}

/// Writes a file whole, for its owner alone: what a person told us is in it. It takes its place when it is complete.
pub(crate) fn write(file: Option<&Path>, text: &str) -> anyhow::Result<()> {
    let Some(file) = file.filter(|file| !is_stream(file)) else { return write_text(text) };
    let mut name = file.as_os_str().to_owned();
    name.push(".part");
    let part = Path::new(&name);
    let written = (|| {
        // What an earlier try left there may be readable by others.
        match std::fs::remove_file(part) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut output = OpenOptions::new().write(true).create_new(true).mode(0o600).open(part)?;
        output.write_all(text.as_bytes())?;
        output.sync_all()?;
        std::fs::rename(part, file)
    })();
    if written.is_err() {
        let _not_there = std::fs::remove_file(part);
    }
    written.with_context(|| format!("{} could not be written", file.display()))
}

/// An empty file that goes away by itself: it has no name any more.
pub(crate) fn nameless() -> std::io::Result<File> {
    let folder = std::env::temp_dir();
    for number in 0..u32::MAX {
        let path = folder.join(format!("scrubjay-{}-{number}", std::process::id()));
        match OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&path) {
            Ok(file) => {
                std::fs::remove_file(&path)?;
                return Ok(file);
            }
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
    }
    Err(std::io::ErrorKind::AlreadyExists.into())
}
