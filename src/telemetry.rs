//! What the program says about itself: log lines on standard error, figures for Prometheus.
//!
//! Standard output belongs to the commands. Nothing here decides what is logged; it must never be made to log more of a person than
//! its caller wrote into the event, and callers write neither numbers nor texts nor secrets at info or above.

use std::io::{self, IsTerminal as _};

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::ParseError;
use tracing_subscriber::util::TryInitError;

use crate::config::sections::LogFormat;

/// Why logs or figures could not be set up.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `log.filter` is no filter.
    #[error("log.filter is {filter:?}, which is no filter; write a level (error, warn, info, debug, trace) or target=level pairs")]
    Filter {
        /// As configured.
        filter: String,
        /// What is wrong with it.
        #[source]
        source: ParseError,
    },
    /// Logs were set up before in this process.
    #[error("logs were already set up in this process")]
    Twice(#[source] TryInitError),
    /// Figures were set up before in this process, or their buckets are wrong.
    #[error("figures could not be set up")]
    Figures(#[source] BuildError),
}

/// Begins to log to standard error, as `log.filter` and `log.format` say.
///
/// # Errors
/// [`TelemetryError::Filter`]; [`TelemetryError::Twice`].
pub fn init_logs(filter: &str, format: LogFormat) -> Result<(), TelemetryError> {
    let mut parsed = EnvFilter::builder().parse(filter).map_err(|source| TelemetryError::Filter { filter: filter.to_owned(), source })?;
    // rmcp logs whole messages at info, what somebody remembers among them, and at error what an outside server answered and the
    // URL that it was asked at, keys and all. Whoever wants that names it; what matters of it is logged here in our own words.
    if !filter.contains("rmcp")
        && let Ok(quiet) = "rmcp=off".parse()
    {
        parsed = parsed.add_directive(quiet);
    }
    let subscriber = tracing_subscriber::fmt().with_env_filter(parsed).with_writer(io::stderr).with_ansi(io::stderr().is_terminal());
    // A line that cannot be written (the log's disk is full) is lost. To tell of that on standard error, as it would, panics where that is
    // the log itself, and with it ends whatever had something to say.
    let subscriber = subscriber.log_internal_errors(false);
    match format {
        LogFormat::Text => tracing_subscriber::util::SubscriberInitExt::try_init(subscriber.finish()),
        LogFormat::Json => {
            tracing_subscriber::util::SubscriberInitExt::try_init(subscriber.json().flatten_event(true).with_current_span(true).finish())
        }
    }
    .map_err(TelemetryError::Twice)
}

/// Upper bounds, in seconds, of what is counted by duration: from a tenth of a millisecond (a stored webhook) to minutes (a slow model).
const SECONDS: [f64; 16] = [0.0001, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0, 60.0, 300.0];

/// Begins to count. The handle renders what was counted, and wants `run_upkeep` called every few seconds.
///
/// # Errors
/// [`TelemetryError::Figures`].
pub fn init_figures() -> Result<PrometheusHandle, TelemetryError> {
    PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".to_owned()), &SECONDS)
        .and_then(PrometheusBuilder::install_recorder)
        .map_err(TelemetryError::Figures)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_is_none_is_refused_with_its_text() {
        let error = init_logs("info,=,", LogFormat::Text).unwrap_err();
        assert!(matches!(&error, TelemetryError::Filter { filter, .. } if filter == "info,=,"), "{error}");
        assert!(error.to_string().contains("target=level"), "{error}");
    }
}
