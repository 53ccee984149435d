//! Under which names this server may be called, and from which pages.
//!
//! A web page that the person looks at can make their browser call a server on the same machine or network, under a name that its
//! owner points there (DNS rebinding). Such a call names the page's host, in `Host` or in `Origin`: neither is one of ours.

use std::net::IpAddr;

use axum::http::header::{HOST, ORIGIN};
use axum::http::uri::Authority;
use axum::http::{HeaderMap, Uri};
use url::Url;

use crate::config::Config;

/// Names of the machine itself.
const LOOPBACK: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// The allowed names.
#[derive(Debug, Clone)]
pub(super) struct Hosts {
    names: Vec<Name>,
}

/// A host; without a port, at any port.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Name {
    host: String,
    port: Option<u16>,
}

/// Why a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refused {
    /// The name in `Host` is not allowed, or there is none.
    Host,
    /// The page in `Origin` is not allowed.
    Origin,
}

impl Hosts {
    /// The machine itself, the address it listens on, the host of `server.public_url`, and `mcp.allowed_hosts`.
    pub(super) fn of(config: &Config) -> Self {
        let mut names: Vec<Name> = LOOPBACK.iter().map(|host| Name { host: (*host).to_owned(), port: None }).collect();
        let listening: IpAddr = config.server.listen.ip();
        if !listening.is_unspecified() {
            names.push(Name { host: listening.to_string(), port: None });
        }
        let public = Url::parse(&config.server.public_url).ok();
        if let Some(host) = public.as_ref().and_then(Url::host_str) {
            names.push(Name { host: bare(host), port: None });
        }
        names.extend(config.mcp.allowed_hosts.iter().filter_map(|entry| read(entry)));
        Self { names }
    }

    /// Checks the name that was called, and the page that calls, where it is one.
    pub(super) fn check(&self, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
        let mut hosts = headers.get_all(HOST).iter();
        let called = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok().and_then(read),
            (None, _) => uri.authority().map(of_authority),
            (Some(_), Some(_)) => None,
        };
        if !called.is_some_and(|called| self.allow(&called)) {
            return Err(Refused::Host);
        }
        headers
            .get_all(ORIGIN)
            .iter()
            .all(|origin| origin.to_str().is_ok_and(|origin| self.allow_page(origin)))
            .then_some(())
            .ok_or(Refused::Origin)
    }

    fn allow(&self, called: &Name) -> bool {
        self.names.iter().any(|name| name.host == called.host && name.port.is_none_or(|port| called.port == Some(port)))
    }

    fn allow_page(&self, origin: &str) -> bool {
        // `null` and whatever is no web page's origin do not parse, or have no host.
        let Ok(url) = Url::parse(origin) else { return false };
        let Some(host) = url.host_str().filter(|_host| matches!(url.scheme(), "http" | "https")) else { return false };
        self.allow(&Name { host: bare(host), port: url.port_or_known_default() })
    }
}

/// Reads `host` or `host:port`; an IPv6 address in brackets, or bare where no port follows.
fn read(text: &str) -> Option<Name> {
    let text = text.trim();
    if let Ok(address) = text.parse::<IpAddr>() {
        return Some(Name { host: address.to_string(), port: None });
    }
    let authority: Authority = text.parse().ok()?;
    // `user@host` would be a way to make one name look like another.
    (!text.contains('@')).then(|| of_authority(&authority))
}

fn of_authority(authority: &Authority) -> Name {
    Name { host: bare(authority.host()), port: authority.port_u16() }
}

/// A host in the one way in which it is compared.
fn bare(host: &str) -> String {
    host.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hosts() -> Hosts {
        let config = Config::from_toml(
            "server.listen = \"192.0.2.1:8080\"\nserver.public_url = \"https://sms.example.org\"\n\
             mcp.allowed_hosts = [\"scrubjay\", \"inner.example:9000\"]\nendpoints.default = \"demo\"\n",
        );
        Hosts::of(&config.unwrap())
    }

    fn check(headers: &[(&str, &str)]) -> Result<(), Refused> {
        let headers: HeaderMap = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        hosts().check(&Uri::from_static("/mcp"), &headers)
    }

    #[test]
    fn our_own_names_are_allowed_and_no_others() {
        for host in [
            "localhost",
            "LOCALHOST:1",
            "127.0.0.1:8080",
            "[::1]:8080",
            "192.0.2.1:8080",
            "sms.example.org",
            "sms.example.org:443",
            "sms.example.org.",
            "scrubjay:3333",
            "inner.example:9000",
        ] {
            assert_eq!(check(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example",
            "sms.example.org.evil.example",
            "evil-sms.example.org",
            "inner.example",
            "inner.example:9001",
            "0.0.0.0",
            "localhost@evil.example",
            "evil.example@localhost",
            "",
            "a b",
        ] {
            assert_eq!(check(&[("host", host)]), Err(Refused::Host), "{host}");
        }
        assert_eq!(check(&[]), Err(Refused::Host));
    }

    #[test]
    fn a_page_is_allowed_by_its_host() {
        for origin in ["http://localhost:6274", "https://sms.example.org", "http://[::1]:1", "https://inner.example:9000"] {
            assert_eq!(check(&[("host", "localhost"), ("origin", origin)]), Ok(()), "{origin}");
        }
        for origin in [
            "https://evil.example",
            "null",
            "",
            "https://inner.example",
            "file:///etc",
            "https://sms.example.org.evil.example",
            "chrome-extension://abc",
            "localhost",
        ] {
            assert_eq!(check(&[("host", "localhost"), ("origin", origin)]), Err(Refused::Origin), "{origin}");
        }
    }

    #[test]
    fn a_second_host_header_hides_nothing() {
        let mut headers = HeaderMap::new();
        headers.append(HOST, "localhost".parse().unwrap());
        headers.append(HOST, "evil.example".parse().unwrap());
        assert_eq!(hosts().check(&Uri::from_static("/mcp"), &headers), Err(Refused::Host));
        headers.remove(HOST);
        assert_eq!(hosts().check(&Uri::from_static("http://localhost/mcp"), &headers), Ok(()));
    }
}
