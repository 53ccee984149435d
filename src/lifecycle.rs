//! How a process begins and ends: its name among the holders of leases, and the two signals that stop it.

use std::fs;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::store::Owner;

/// Two steps to the end.
#[derive(Debug, Clone, Default)]
pub struct Stop {
    /// Take nothing new, finish what runs.
    pub drain: CancellationToken,
    /// Finish nothing: give back what is leased.
    pub now: CancellationToken,
}

impl Stop {
    /// Listens for SIGTERM and SIGINT: the first drains, the second stops now. The listener ends with the process.
    ///
    /// # Errors
    /// When the system gives no signal handler.
    pub fn on_signals() -> std::io::Result<Self> {
        let stop = Self::default();
        let (mut terminate, mut interrupt) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let listener = stop.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    _ = terminate.recv() => {}
                    _ = interrupt.recv() => {}
                }
                if listener.drain.is_cancelled() {
                    tracing::info!("second signal: stopping now");
                    listener.now.cancel();
                    return;
                }
                tracing::info!("stopping: running turns are finished first; a second signal stops now");
                listener.drain.cancel();
            }
        });
        Ok(stop)
    }

    /// Gives the drain that long; then it is cut short as by a second signal. Connections that nobody reads are ended by it too.
    /// The timer ends with the process.
    pub fn cut_short_after(&self, limit: Duration) {
        let stop = self.clone();
        tokio::spawn(async move {
            stop.drain.cancelled().await;
            if tokio::time::timeout(limit, stop.now.cancelled()).await.is_err() {
                tracing::info!(seconds = limit.as_secs(), "the time to stop is over: stopping now");
                stop.now.cancel();
            }
        });
    }
}

/// This process among the holders of leases: `machine/boot/namespace/pid/start/nonce`.
#[must_use]
pub fn this_process(clock: &Clock) -> Owner {
    let pid = std::process::id();
    let (place, start) = (Place::here(), start_of(pid).unwrap_or(0));
    Owner(format!("{}/{}/{}/{pid}/{start}/{}", place.machine, place.boot, place.namespace, clock.uuid().simple()))
}

/// Whether a holder of leases is certainly gone: it ran since this machine's last boot in this process namespace, and its process
/// is no more. Anything else may be alive, for machine ids are copied with disk images, and its leases run out by themselves.
#[must_use]
pub fn is_gone(owner: &Owner) -> bool {
    let parts: Vec<&str> = owner.0.split('/').collect();
    let [machine, boot, namespace, pid, start, _nonce] = parts.as_slice() else { return false };
    let here = Place::here();
    if *boot != here.boot || here.boot.is_empty() || *machine != here.machine || *namespace != here.namespace {
        return false;
    }
    match (pid.parse().ok().and_then(start_of), start.parse::<u64>()) {
        // The number of a process is used again; the moment of its start is not.
        (Some(running), Ok(start)) => running != start,
        (None, Ok(_)) => true,
        (_, Err(_not_a_number)) => false,
    }
}

/// Where a process runs.
struct Place {
    machine: String,
    boot: String,
    namespace: String,
}

impl Place {
    fn here() -> Self {
        let read = |path: &str| fs::read_to_string(path).map(|text| text.trim().replace('/', "-")).unwrap_or_default();
        let machine = [read("/etc/machine-id"), read("/etc/hostname")].into_iter().find(|name| !name.is_empty()).unwrap_or_default();
        let namespace = fs::read_link("/proc/self/ns/pid").map(|link| link.to_string_lossy().replace('/', "-")).unwrap_or_default();
        Self { machine, boot: read("/proc/sys/kernel/random/boot_id"), namespace }
    }
}

/// When a process started, in clock ticks since boot (field 22 of `/proc/PID/stat`); `None` when it does not run.
fn start_of(pid: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The second field is the program's name in parentheses and may hold anything, so count from its end.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace();
    // A zombie still has an entry, and does nothing any more.
    if fields.next() == Some("Z") {
        return None;
    }
    fields.nth(18)?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_is_not_gone_and_what_ran_before_it_under_its_number_is() {
        let owner = this_process(&Clock::system());
        assert!(!is_gone(&owner));
        let mut parts: Vec<String> = owner.0.split('/').map(str::to_owned).collect();
        parts[4] = "1".to_owned();
        assert!(is_gone(&Owner(parts.join("/"))));
        for place in 0..3 {
            let mut elsewhere = parts.clone();
            elsewhere[place] = "another".to_owned();
            assert!(!is_gone(&Owner(elsewhere.join("/"))));
        }
        assert!(!is_gone(&Owner("not one of ours".to_owned())));
    }
}
