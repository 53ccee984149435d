//! `X-Twilio-Signature`: whether the carrier signed a request.
//!
//! # Source
//! Twilio, "Webhooks security": base64 of HMAC-SHA1 under the auth token over the exact URL, then the sorted parameters; for
//! other bodies the URL alone, with the body's SHA-256 in its query. Its libraries also try the URL with and without the
//! port, and the query as older encoders wrote it.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac::{Hmac, KeyInit, Mac};
use secrecy::{ExposeSecret, SecretString};
use sha1::Sha1;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;

use super::form::Form;

/// How the signed URL was written, compared with the one that was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct UrlForm {
    port: Port,
    legacy_query: bool,
    pub(super) secondary_token: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Port {
    AsGiven,
    Added,
    Removed,
}

impl fmt::Display for UrlForm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.port {
            Port::AsGiven => "the URL as given",
            Port::Added => "the URL with its default port added",
            Port::Removed => "the URL without its port",
        })?;
        if self.legacy_query {
            f.write_str(", ' in the query as %27")?;
        }
        f.write_str(if self.secondary_token { ", under the secondary token" } else { "" })
    }
}

/// Why a signature was not believed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Mismatch {
    #[error("no auth token is configured")]
    NoToken,
    #[error("the signature is empty")]
    Empty,
    #[error("the signature is not base64 of 20 bytes")]
    Malformed,
    #[error("the body has more parameters than a webhook")]
    TooManyParameters,
    #[error("the body is not the one whose SHA-256 the URL names")]
    OtherBody,
    #[error("no form of the URL matches")]
    NoMatch,
}

/// Checks a signature over a body and one of some URLs.
///
/// The first token is the primary one. URLs are taken byte for byte; only a `#…` is cut off, which the carrier keeps to itself.
pub(super) fn verify(tokens: &[SecretString], urls: &[impl AsRef<str>], signature: &str, body: &[u8]) -> Result<UrlForm, Mismatch> {
    if tokens.iter().all(|token| token.expose_secret().is_empty()) {
        return Err(Mismatch::NoToken);
    }
    if signature.is_empty() {
        return Err(Mismatch::Empty);
    }
    let claimed = STANDARD.decode(signature).map_err(|_invalid| Mismatch::Malformed)?;
    if claimed.len() != 20 {
        return Err(Mismatch::Malformed);
    }
    let parameters = Form::decode(body).map(|form| form.signed_bytes());
    let mut mismatch = Mismatch::NoMatch;
    for url in urls {
        let url = without_fragment(url.as_ref());
        let signed_body = match body_hash(url) {
            Some(hash) if is_hash_of(hash, body) => &[],
            Some(_) => {
                mismatch = Mismatch::OtherBody;
                continue;
            }
            None => parameters.as_deref().ok_or(Mismatch::TooManyParameters)?,
        };
        for (candidate, mut form) in url_forms(url) {
            for (index, token) in tokens.iter().enumerate().filter(|(_, token)| !token.expose_secret().is_empty()) {
                if code(token, &candidate, signed_body).is_some_and(|code| bool::from(code.as_slice().ct_eq(&claimed))) {
                    form.secondary_token = index > 0;
                    return Ok(form);
                }
            }
        }
    }
    Err(mismatch)
}

fn code(token: &SecretString, url: &str, signed_body: &[u8]) -> Option<[u8; 20]> {
    // HMAC takes keys of any length; `None` is never seen, and would verify nothing.
    let mut mac = Hmac::<Sha1>::new_from_slice(token.expose_secret().as_bytes()).ok()?;
    mac.update(url.as_bytes());
    mac.update(signed_body);
    Some(mac.finalize().into_bytes().into())
}

fn without_fragment(url: &str) -> &str {
    url.split_once('#').map_or(url, |(before, _)| before)
}

/// The value of `bodySHA256` in the query.
fn body_hash(url: &str) -> Option<&str> {
    let (_, query) = url.split_once('?')?;
    query.split('&').find_map(|pair| pair.strip_prefix("bodySHA256="))
}

fn is_hash_of(hash: &str, body: &[u8]) -> bool {
    let actual = Sha256::digest(body).iter().fold(String::with_capacity(64), |mut text, byte| {
        text.extend([byte >> 4, byte & 15].into_iter().filter_map(|digit| char::from_digit(u32::from(digit), 16)));
        text
    });
    bool::from(actual.as_bytes().ct_eq(hash.to_ascii_lowercase().as_bytes()))
}

/// The ways in which the carrier may have written this URL, the likeliest first.
fn url_forms(url: &str) -> Vec<(String, UrlForm)> {
    let mut ports = vec![(url.to_owned(), Port::AsGiven)];
    ports.extend(with_other_port(url));
    let mut forms = Vec::with_capacity(4);
    for legacy_query in [false, true] {
        for (candidate, port) in &ports {
            let form = UrlForm { port: *port, legacy_query, secondary_token: false };
            match candidate.split_once('?') {
                Some((path, query)) if legacy_query && query.contains('\'') => {
                    forms.push((format!("{path}?{}", query.replace('\'', "%27")), form));
                }
                _ if legacy_query => {}
                _ => forms.push((candidate.clone(), form)),
            }
        }
    }
    forms
}

/// The URL without its port or, when it has none, with the one of its scheme.
fn with_other_port(url: &str) -> Option<(String, Port)> {
    let (scheme, rest) = url.split_once("://")?;
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, path) = rest.split_at_checked(end)?;
    let host_start = authority.rfind('@').map_or(0, |at| at + 1);
    let host_end = authority.rfind(']').map_or(host_start, |bracket| bracket + 1);
    let (host, port) = match authority.get(host_end..)?.rfind(':') {
        Some(colon) => authority.split_at_checked(host_end + colon)?,
        None => (authority, ""),
    };
    if !port.is_empty() {
        return Some((format!("{scheme}://{host}{path}"), Port::Removed));
    }
    let default = if scheme.eq_ignore_ascii_case("https") { 443 } else { 80 };
    Some((format!("{scheme}://{host}:{default}{path}"), Port::Added))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;

    use super::*;

    #[derive(Deserialize)]
    struct Vector {
        id: String,
        token: String,
        url: String,
        params: Vec<(String, String)>,
        body: Option<String>,
        signature: Option<String>,
        valid: bool,
    }

    impl Vector {
        fn body(&self) -> Vec<u8> {
            let form = || form_urlencoded::Serializer::new(String::new()).extend_pairs(&self.params).finish();
            self.body.clone().unwrap_or_else(form).into_bytes()
        }

        fn verify(&self, url: &str, body: &[u8]) -> Result<UrlForm, Mismatch> {
            verify(&[self.token.clone().into()], &[url], self.signature.as_deref().unwrap_or_default(), body)
        }
    }

    fn vectors() -> Vec<Vector> {
        let vectors: Vec<Vector> = serde_json::from_str(include_str!("../../../tests/vectors/twilio_signatures.json")).unwrap();
        assert!(vectors.len() >= 24);
        vectors
    }

    #[test]
    fn published_signatures_are_told_right_from_wrong() {
        for vector in vectors() {
            let result = vector.verify(&vector.url, &vector.body());
            assert_eq!(result.is_ok(), vector.valid, "{}: {result:?}", vector.id);
        }
    }

    #[test]
    fn a_change_of_one_byte_is_noticed_everywhere() {
        for vector in vectors().into_iter().filter(|vector| vector.valid) {
            let body = vector.body();
            for index in 0..body.len() {
                let mut changed = body.clone();
                changed[index] = if changed[index] == b'x' { b'y' } else { b'x' };
                assert!(vector.verify(&vector.url, &changed).is_err(), "{}: body byte {index}", vector.id);
            }
            for (index, byte) in vector.url.bytes().enumerate() {
                let changed = format!("{}{}{}", &vector.url[..index], if byte == b'x' { 'y' } else { 'x' }, &vector.url[index + 1..]);
                assert!(vector.verify(&changed, &body).is_err(), "{}: {changed}", vector.id);
            }
        }
    }

    #[test]
    fn the_fragment_is_not_signed_and_the_form_that_matched_is_told() {
        let find = |id: &str| vectors().into_iter().find(|vector| vector.id == id).unwrap();
        let told = |id: &str| {
            let vector = find(id);
            vector.verify(&format!("{}#rc=5&rp=all", vector.url), &vector.body()).unwrap().to_string()
        };
        assert_eq!(told("base"), "the URL as given");
        assert_eq!(told("http-80-added"), "the URL with its default port added");
        assert_eq!(told("legacy-querystring"), "the URL as given, ' in the query as %27");
        let base = find("base");
        let ported = base.url.replace("mycompany.com", "mycompany.com:8443");
        assert_eq!(base.verify(&ported, &base.body()).unwrap().to_string(), "the URL without its port");
    }

    #[test]
    fn the_secondary_token_counts_and_an_empty_one_never_does() {
        let base = vectors().remove(0);
        let signature = base.signature.clone().unwrap();
        let verify = |tokens: &[&str]| {
            let tokens: Vec<SecretString> = tokens.iter().map(|token| (*token).into()).collect();
            verify(&tokens, &[&base.url], &signature, &base.body())
        };
        assert!(verify(&["other", "12345"]).unwrap().secondary_token);
        assert!(!verify(&["12345", ""]).unwrap().secondary_token);
        assert_eq!(verify(&["", ""]), Err(Mismatch::NoToken));
        let empty_key = STANDARD.encode(code(&"".into(), &base.url, &Form::decode(&base.body()).unwrap().signed_bytes()).unwrap());
        assert_eq!(super::verify(&["a".into(), "".into()], &[&base.url], &empty_key, &base.body()), Err(Mismatch::NoMatch));
    }

    #[test]
    fn what_is_no_signature_is_told_apart() {
        let verify = |signature: &str| verify(&["12345".into()], &["https://example.org/"], signature, b"");
        assert_eq!(verify(""), Err(Mismatch::Empty));
        for malformed in ["fake_signature", "RSOYDt4T1cUTdK1PDd93/VVr8B8", " RSOYDt4T1cUTdK1PDd93/VVr8B8=", "AAAA", "é"] {
            assert_eq!(verify(malformed), Err(Mismatch::Malformed), "{malformed}");
        }
        assert_eq!(verify("RSOYDt4T1cUTdK1PDd93/VVr8B8="), Err(Mismatch::NoMatch));
    }

    #[test]
    fn an_address_in_brackets_has_its_port_behind_them() {
        assert_eq!(with_other_port("http://[::1]:8080/a?b").unwrap().0, "http://[::1]/a?b");
        assert_eq!(with_other_port("https://[::1]?b:c").unwrap().0, "https://[::1]:443?b:c");
        assert_eq!(with_other_port("https://u:p@host/a:b").unwrap().0, "https://u:p@host:443/a:b");
    }

    proptest! {
        #[test]
        fn whatever_is_signed_is_believed(
            path in "[a-z/]{0,12}(\\?[a-z=&'%0-9]{0,12})?",
            form in proptest::collection::vec(("[A-Za-z]{1,5}", "\\PC{0,8}"), 0..6),
        ) {
            let url = format!("https://example.org/{path}");
            let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(&form).finish();
            let token = SecretString::from("token");
            let signature = STANDARD.encode(code(&token, &url, &Form::decode(body.as_bytes()).unwrap().signed_bytes()).unwrap());
            prop_assert!(verify(&[token], &[url], &signature, body.as_bytes()).is_ok());
        }
    }
}
