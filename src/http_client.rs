//! How every outgoing HTTP client is begun: one TLS provider, no redirects, our name, a limit on connecting.

use std::time::Duration;

use reqwest::ClientBuilder;
use reqwest::redirect::Policy;

/// A builder with what all clients share. The caller adds its own limits for reading.
///
/// Redirects are not followed: the addresses are configured, and a redirect would carry credentials or a person's text to
/// a host that nobody chose.
pub fn http_client(connect_timeout: Duration) -> ClientBuilder {
    // reqwest is built without a TLS provider of its own, so that one alone (ring) is linked. The first caller installs it;
    // an error means that somebody already has, which is as good.
    let _already_installed = rustls::crypto::ring::default_provider().install_default();
    ClientBuilder::new()
        .connect_timeout(connect_timeout)
        .redirect(Policy::none())
        .user_agent(concat!("scrubjay/", env!("CARGO_PKG_VERSION")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_are_built_twice_in_one_process() {
        assert!(http_client(Duration::from_secs(1)).build().is_ok());
        assert!(http_client(Duration::from_secs(1)).build().is_ok());
    }
}
