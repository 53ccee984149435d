//! `doctor signature`: why a webhook is refused, checked by hand with what the carrier sent.

use std::io::Read as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context as _;
use serde::Serialize;

use super::output::{Output, complain};
use super::{DONE, FAILED, Misuse};
use crate::config::sections;
use crate::gateway::{SignatureError, explain_signature};

/// The longest body that is read, in bytes: longer than any webhook's.
const LONGEST: u64 = 16 * 1024 * 1024;

/// Arguments of `doctor signature`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The carrier
    #[arg(long, value_name = "NAME")]
    gateway: String,
    /// The URL as it is set at the carrier, taken byte for byte
    #[arg(long, value_name = "URL", allow_hyphen_values = true)]
    url: String,
    /// The signature that came with the webhook
    #[arg(long, value_name = "SIGNATURE", allow_hyphen_values = true)]
    signature: String,
    /// The webhook's body as it came; - reads standard input [default: an empty body]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,
    #[command(flatten)]
    output: Output,
}

#[derive(Debug, PartialEq, Eq, Serialize)]
struct Answer {
    valid: bool,
    /// Which form of the URL was signed.
    #[serde(skip_serializing_if = "Option::is_none")]
    matched: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Checks the signature. Of the settings only the gateway's secret is needed, however weak it is.
pub(crate) fn run(args: &Args, settings: &sections::Gateways) -> anyhow::Result<ExitCode> {
    let body = read_body(args.body.as_ref())?;
    let answer = answer(args, settings, &body)?;
    args.output.print(&answer, |answer| match (&answer.matched, &answer.reason) {
        (Some(form), _) => format!("right: the signature is of {form}"),
        (None, reason) => {
            complain(&format!("wrong: {}", reason.as_deref().unwrap_or_default()));
            String::new()
        }
    })?;
    Ok(ExitCode::from(if answer.valid { DONE } else { FAILED }))
}

fn answer(args: &Args, settings: &sections::Gateways, body: &[u8]) -> Result<Answer, Misuse> {
    match explain_signature(&args.gateway, settings, &args.url, &args.signature, body) {
        Ok(form) => Ok(Answer { valid: true, matched: Some(form), reason: None }),
        Err(SignatureError::Wrong { mut reason }) => {
            // An editor's line break is the commonest change to a body.
            if body.ends_with(b"\n") {
                reason.push_str("; the body ends with a line break, which a webhook's does not: was it added when it was saved?");
            }
            Ok(Answer { valid: false, matched: None, reason: Some(reason) })
        }
        Err(error @ (SignatureError::UnknownGateway { .. } | SignatureError::NoSecret { .. })) => Err(Misuse(error.to_string())),
    }
}

fn read_body(path: Option<&PathBuf>) -> anyhow::Result<Vec<u8>> {
    let Some(path) = path else { return Ok(Vec::new()) };
    let mut body = Vec::new();
    if path.as_os_str() == "-" {
        std::io::stdin().lock().take(LONGEST + 1).read_to_end(&mut body).context("standard input cannot be read")?;
    } else {
        let file = std::fs::File::open(path).with_context(|| format!("{} cannot be read", path.display()))?;
        file.take(LONGEST + 1).read_to_end(&mut body).with_context(|| format!("{} cannot be read", path.display()))?;
    }
    anyhow::ensure!(body.len() as u64 <= LONGEST, "the body is longer than {LONGEST} bytes");
    Ok(body)
}

#[cfg(test)]
mod tests {
    use super::*;

    const URL: &str = "https://mycompany.com/myapp.php?foo=1&bar=2";
    const BODY: &[u8] = b"CallSid=CA1234567890ABCDE&Caller=%2B14158675309&Digits=1234&From=%2B14158675309&To=%2B18005551212";

    fn check(gateway: &str, token: &str, signature: &str, body: &[u8]) -> Result<Answer, Misuse> {
        let twilio = sections::Twilio {
            account_sid: String::new(),
            auth_token: token.into(),
            auth_token_secondary: "".into(),
            api_key: String::new(),
            api_secret: "".into(),
            phone_number: String::new(),
            messaging_service_sid: String::new(),
            api_base: String::new(),
            timeout_seconds: 1,
            lookup_ms: Vec::new(),
            confirms_consent: true,
        };
        let settings = sections::Gateways { twilio, simulator: sections::Simulator { enabled: false } };
        let args = Args { gateway: gateway.into(), url: URL.into(), signature: signature.into(), body: None, output: Output::default() };
        answer(&args, &settings, body)
    }

    #[test]
    fn a_right_signature_is_told_from_a_wrong_an_empty_and_a_malformed_one() {
        let right = check("twilio", "12345", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", BODY).unwrap();
        assert_eq!(right, Answer { valid: true, matched: Some("the URL as given".into()), reason: None });
        for wrong in ["", "fake_signature", "RSOYDt4T1cUTdK1PDd93/VVr8B9=", "0ZXoZLH/DfblKGATFgpif+LLRf4="] {
            let answer = check("twilio", "12345", wrong, BODY).unwrap();
            assert!(!answer.valid && answer.matched.is_none(), "{wrong}");
            assert!(!answer.reason.unwrap().contains("RSOYDt4T"), "{wrong}");
        }
        let saved = check("twilio", "12345", "RSOYDt4T1cUTdK1PDd93/VVr8B8=", &[BODY, b"\n"].concat()).unwrap();
        assert!(saved.reason.unwrap().contains("line break"));
    }

    #[test]
    fn an_unknown_gateway_and_a_missing_secret_are_misuse() {
        assert!(check("carrier-pigeon", "12345", "x", BODY).unwrap_err().0.contains("there is: twilio"));
        assert!(check("twilio", "", "x", BODY).unwrap_err().0.contains("gateways.twilio.auth_token"));
    }
}
