//! Who is at the other end of the connection, and under which URL they called.
//!
//! A header that anybody can write proves nothing: `X-Forwarded-*` counts only when the connection itself comes from one of
//! `server.trusted_proxies`.

use std::net::{IpAddr, SocketAddr};

use axum::extract::ConnectInfo;
use axum::http::header::HOST;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};
use ipnet::IpNet;

/// Headers that a reverse proxy adds. One of them is enough to know that the peer is not the caller.
const PROXY_HEADERS: [&str; 5] = ["forwarded", "x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-real-ip"];

/// An entry of `server.trusted_proxies` that is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("server.trusted_proxies: {entry:?} is neither an address nor a network such as 10.0.0.0/8")]
pub struct InvalidProxy {
    entry: String,
}

/// The reverse proxies that are believed.
#[derive(Debug, Clone, Default)]
pub(super) struct TrustedProxies {
    networks: Vec<IpNet>,
}

impl TrustedProxies {
    pub(super) fn parse(entries: &[String]) -> Result<Self, InvalidProxy> {
        let networks = entries.iter().map(|entry| {
            let text = entry.trim();
            let network = text.parse::<IpNet>().ok().or_else(|| text.parse::<IpAddr>().ok().map(IpNet::from));
            network.ok_or_else(|| InvalidProxy { entry: entry.clone() })
        });
        Ok(Self { networks: networks.collect::<Result<_, _>>()? })
    }

    fn believes(&self, peer: Option<IpAddr>) -> bool {
        peer.is_some_and(|peer| self.networks.iter().any(|network| network.contains(&peer)))
    }
}

/// The address of the connection's other end; `None` where there is no connection (a router called in process).
pub(super) fn peer(extensions: &Extensions) -> Option<IpAddr> {
    // An IPv4 caller of a dual-stack socket is the same caller.
    extensions.get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(address)| address.ip().to_canonical())
}

/// Whether the caller itself is on this machine: the peer is loopback and no proxy stands between.
pub(super) fn is_local(parts: &Parts) -> bool {
    peer(&parts.extensions).is_some_and(|peer| peer.is_loopback()) && !PROXY_HEADERS.iter().any(|name| parts.headers.contains_key(*name))
}

/// Candidates for the public URL that the sender called, most likely first. Path and query stay as they were sent, byte for byte.
pub(super) fn candidate_urls(parts: &Parts, public_url: &str, proxies: &TrustedProxies) -> Vec<String> {
    let target = parts.uri.path_and_query().map_or("/", |target| target.as_str());
    let mut urls = Vec::with_capacity(2);
    let mut add = |origin: &str| {
        let url = format!("{origin}{target}");
        if !urls.contains(&url) {
            urls.push(url);
        }
    };
    if !public_url.is_empty() {
        add(public_url.trim_end_matches('/'));
    }
    if proxies.believes(peer(&parts.extensions)) {
        for origin in forwarded_origins(&parts.headers) {
            add(&origin);
        }
    }
    if public_url.is_empty()
        && let Some(host) = header(&parts.headers, HOST.as_str())
    {
        add(&format!("http://{host}"));
    }
    urls
}

/// Scheme and host as a believed proxy received them.
fn forwarded_origins(headers: &HeaderMap) -> Vec<String> {
    let Some(host) = header(headers, "x-forwarded-host").or_else(|| header(headers, HOST.as_str())) else { return Vec::new() };
    let scheme = header(headers, "x-forwarded-proto").unwrap_or("http");
    let mut origins = Vec::with_capacity(2);
    let default_port = if scheme == "https" { "443" } else { "80" };
    if let Some(port) = header(headers, "x-forwarded-port").filter(|port| *port != default_port && !host.contains(':')) {
        origins.push(format!("{scheme}://{host}:{port}"));
    }
    origins.push(format!("{scheme}://{host}"));
    origins
}

/// The first value of a header that proxies extend with commas.
fn header<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let value = headers.get(name)?.to_str().ok()?;
    value.split(',').next().map(str::trim).filter(|value| !value.is_empty())
}

#[cfg(test)]
mod tests {
    use axum::http::Request;

    use super::*;

    fn parts(uri: &str, peer: &str, headers: &[(&str, &str)]) -> Parts {
        let mut request = Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        parts.extensions.insert(ConnectInfo::<SocketAddr>(SocketAddr::new(peer.parse().unwrap(), 1)));
        parts
    }

    fn proxies(entries: &[&str]) -> TrustedProxies {
        TrustedProxies::parse(&entries.iter().map(|&entry| entry.to_owned()).collect::<Vec<_>>()).unwrap()
    }

    const FORWARDED: &[(&str, &str)] =
        &[("host", "inner:8080"), ("x-forwarded-proto", "https"), ("x-forwarded-host", "sms.example.org, inner")];

    #[test]
    fn the_public_url_comes_first_and_keeps_every_byte_of_path_and_query() {
        let parts = parts("/webhooks/twilio?a=%2B1&b='x'&c=%e9", "192.0.2.1", FORWARDED);
        let urls = candidate_urls(&parts, "https://public.example.org/", &proxies(&[]));
        assert_eq!(urls, ["https://public.example.org/webhooks/twilio?a=%2B1&b='x'&c=%e9"]);
    }

    #[test]
    fn forwarded_headers_count_only_from_trusted_proxies() {
        let stranger = parts("/webhooks/twilio", "192.0.2.1", FORWARDED);
        assert_eq!(candidate_urls(&stranger, "", &proxies(&["10.0.0.0/8"])), ["http://inner:8080/webhooks/twilio"]);
        for (peer, trusted) in [("10.1.2.3", "10.0.0.0/8"), ("::ffff:10.1.2.3", "10.1.2.3"), ("fd00::1", "fd00::/8")] {
            let proxy = parts("/webhooks/twilio", peer, FORWARDED);
            let urls = candidate_urls(&proxy, "", &proxies(&[trusted]));
            assert_eq!(urls, ["https://sms.example.org/webhooks/twilio", "http://inner:8080/webhooks/twilio"], "{peer}");
        }
        let ported = parts("/x", "10.0.0.1", &[("host", "h"), ("x-forwarded-proto", "https"), ("x-forwarded-port", "8443")]);
        assert_eq!(candidate_urls(&ported, "https://p", &proxies(&["10.0.0.1"])), ["https://p/x", "https://h:8443/x", "https://h/x"]);
    }

    #[test]
    fn a_proxied_caller_is_not_local() {
        assert!(is_local(&parts("/", "127.0.0.1", &[])));
        assert!(is_local(&parts("/", "::ffff:127.0.0.1", &[])));
        assert!(!is_local(&parts("/", "192.0.2.1", &[])));
        assert!(!is_local(&parts("/", "127.0.0.1", &[("x-forwarded-for", "192.0.2.1")])));
    }

    #[test]
    fn a_wrong_network_is_named() {
        let error = TrustedProxies::parse(&["10.0.0.0/33".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/33"), "{error}");
    }
}
