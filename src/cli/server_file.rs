//! `DATA/server.json`: where the running server listens and how a simulated phone signs, for `chat` on the same machine.
//!
//! It holds this run's simulator secret, so only its owner may read it. It is written when the server accepts requests and removed
//! at a clean stop; after a crash it is stale, which is why whoever reads it asks the address whether anybody answers.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

/// Its name in the data folder.
const NAME: &str = "server.json";

/// What it says.
#[derive(Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ServerFile {
    /// Base URL on this machine, without a slash at its end.
    pub(crate) address: String,
    /// The server's process.
    pub(crate) process_id: u32,
    /// What signs the simulator's webhook in this run; `None` when the simulator is closed.
    pub(crate) simulator_secret: Option<String>,
}

/// The file as long as the server runs.
pub(crate) struct Written {
    path: PathBuf,
    content: Vec<u8>,
}

impl ServerFile {
    /// For a server of this process. One that listens everywhere is reached on loopback.
    pub(crate) fn new(listens_on: SocketAddr, simulator_secret: Option<String>) -> Self {
        let ip = match listens_on.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
            IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
            ip => ip,
        };
        let address = format!("http://{}", SocketAddr::new(ip, listens_on.port()));
        Self { address, process_id: std::process::id(), simulator_secret }
    }

    /// Writes it whole, readable by its owner alone from the first byte on.
    pub(crate) fn write(&self, data: &Path) -> anyhow::Result<Written> {
        let path = data.join(NAME);
        let content = serde_json::to_vec_pretty(self)?;
        let draft = data.join(format!("{NAME}.{}", self.process_id));
        let failed = || format!("{} cannot be written", path.display());
        // A store that is elsewhere has not made the folder.
        fs::DirBuilder::new().recursive(true).mode(0o700).create(data).with_context(failed)?;
        // A process of the same number may have died here.
        match fs::remove_file(&draft) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error).with_context(failed),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft).with_context(failed)?;
        file.write_all(&content).and_then(|()| fs::rename(&draft, &path)).with_context(failed)?;
        Ok(Written { path, content })
    }

    /// What a server left in this data folder, if one did. It may be dead by now.
    pub(crate) fn read(data: &Path) -> anyhow::Result<Option<Self>> {
        let path = data.join(NAME);
        match fs::read(&path) {
            Ok(content) => {
                let read = serde_json::from_slice(&content);
                read.map(Some).with_context(|| format!("{} is damaged; remove it and start the server again", path.display()))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("{} cannot be read; run this as the server's user", path.display())),
        }
    }
}

impl Written {
    /// Removes it, unless another server has written its own meanwhile.
    pub(crate) fn remove(self) {
        if fs::read(&self.path).is_ok_and(|content| content == self.content)
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(%error, "server.json could not be removed");
        }
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    fn file(port: u16) -> ServerFile {
        ServerFile::new(SocketAddr::from(([0, 0, 0, 0], port)), Some("secret".to_owned()))
    }

    #[test]
    fn only_its_owner_reads_it_and_an_address_of_everywhere_is_loopback() {
        let data = tempfile::tempdir().unwrap();
        assert!(ServerFile::read(data.path()).unwrap().is_none());
        let written = file(8080).write(data.path()).unwrap();
        let mode = fs::metadata(data.path().join(NAME)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let read = ServerFile::read(data.path()).unwrap().unwrap();
        assert_eq!((read.address.as_str(), read.process_id), ("http://127.0.0.1:8080", std::process::id()));
        assert_eq!(ServerFile::new("[::]:1".parse().unwrap(), None).address, "http://[::1]:1");
        written.remove();
        assert!(ServerFile::read(data.path()).unwrap().is_none());
        assert_eq!(fs::read_dir(data.path()).unwrap().count(), 0, "a draft was left behind");
    }

    #[test]
    fn a_server_that_stops_leaves_the_file_of_the_one_that_came_after_it() {
        let data = tempfile::tempdir().unwrap();
        let first = file(1).write(data.path()).unwrap();
        let second = file(2).write(data.path()).unwrap();
        first.remove();
        assert_eq!(ServerFile::read(data.path()).unwrap().unwrap().address, "http://127.0.0.1:2");
        second.remove();
        assert!(ServerFile::read(data.path()).unwrap().is_none());
    }

    #[test]
    fn a_damaged_file_is_named() {
        let data = tempfile::tempdir().unwrap();
        fs::write(data.path().join(NAME), "{").unwrap();
        let error = ServerFile::read(data.path()).err().unwrap();
        assert!(format!("{error:#}").contains("server.json is damaged; remove it"), "{error:#}");
    }
}
