//! From what a server answers to what a model reads, within bounds.

use std::fmt::Write as _;

use rmcp::model::{CallToolResult, ContentBlock, ResourceContents};

use crate::service::tools::ToolOutcome;

/// Bytes of one result that are kept. The agent loop cuts further, as its settings say; this keeps a flood out of memory and store.
pub(super) const LARGEST: usize = 128 * 1024;

/// A result as text, with its structured form where that is not too large. What is no text is named and left out.
pub(super) fn outcome(result: CallToolResult) -> ToolOutcome {
    let is_error = result.is_error.unwrap_or(false);
    let structured = result.structured_content.filter(|value| !value.is_null()).map(|value| (value.to_string(), value));
    let mut text = String::new();
    for block in &result.content {
        if text.len() > LARGEST {
            break;
        }
        if !text.is_empty() {
            text.push('\n');
        }
        write_block(&mut text, block);
    }
    if text.trim().is_empty() {
        text = match &structured {
            Some((json, _)) => json.clone(),
            None if is_error => "the tool failed and did not say why".to_owned(),
            None => "done; the tool returned nothing".to_owned(),
        };
    }
    let structured = structured.filter(|(json, _)| json.len() <= LARGEST).map(|(_, value)| value);
    ToolOutcome { structured, text: cut(&text, LARGEST), is_error }
}

fn write_block(text: &mut String, block: &ContentBlock) {
    let _infallible = match block {
        ContentBlock::Text(content) => text.write_str(&content.text),
        ContentBlock::Image(content) => write!(text, "[image, {}, {} bytes, not shown]", content.mime_type, decoded(&content.data)),
        ContentBlock::Audio(content) => write!(text, "[audio, {}, {} bytes, not shown]", content.mime_type, decoded(&content.data)),
        ContentBlock::Resource(content) => match &content.resource {
            ResourceContents::TextResourceContents { uri, text: inner, .. } => write!(text, "[{uri}]\n{inner}"),
            ResourceContents::BlobResourceContents { uri, mime_type, blob, .. } => {
                let kind = mime_type.as_deref().unwrap_or("unknown kind");
                write!(text, "[{uri}, {kind}, {} bytes, not shown]", decoded(blob))
            }
            _ => text.write_str("[resource of another kind, not shown]"),
        },
        ContentBlock::ResourceLink(link) => write!(text, "[link: {} {}]", link.name, link.uri),
        _ => text.write_str("[content of another kind, not shown]"),
    };
}

/// How many bytes that much base64 stands for.
fn decoded(base64: &str) -> usize {
    base64.trim_end_matches('=').len() * 3 / 4
}

/// At most that many bytes of a text; what is missing is said.
pub(super) fn cut(text: &str, most: usize) -> String {
    if text.len() <= most {
        return text.to_owned();
    }
    let (kept, rest) = text.split_at(text.floor_char_boundary(most));
    // A short text is cut with a sign only: it is a title or a description.
    if most < 4_096 { format!("{kept} \u{2026}") } else { format!("{kept}\n[cut here: {} more bytes]", rest.len()) }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn of(result: Value) -> ToolOutcome {
        outcome(serde_json::from_value(result).unwrap())
    }

    #[test]
    fn texts_are_joined_and_what_is_no_text_is_named() {
        let found = of(json!({"content": [
            {"type": "text", "text": "one"},
            {"type": "image", "data": "AAAA", "mimeType": "image/png"},
            {"type": "audio", "data": "AAA=", "mimeType": "audio/wav"},
            {"type": "resource", "resource": {"uri": "file:///a", "text": "two"}},
            {"type": "resource", "resource": {"uri": "file:///b", "mimeType": "application/pdf", "blob": "AAAAAAAA"}},
            {"type": "resource_link", "name": "three", "uri": "file:///c"},
        ]}));
        assert_eq!(
            found.text,
            "one\n[image, image/png, 3 bytes, not shown]\n[audio, audio/wav, 2 bytes, not shown]\n[file:///a]\ntwo\n[file:///b, application/pdf, 6 bytes, not shown]\n[link: three file:///c]"
        );
        assert!(!found.is_error && found.structured.is_none());
    }

    #[test]
    fn a_structured_result_alone_is_its_own_text() {
        let found = of(json!({"content": [], "structuredContent": {"a": 1}}));
        assert_eq!((found.text.as_str(), found.structured), (r#"{"a":1}"#, Some(json!({"a": 1}))));
        assert_eq!(of(json!({"content": []})).text, "done; the tool returned nothing");
        let failed = of(json!({"content": [], "isError": true}));
        assert!(failed.is_error && failed.text.contains("did not say why"));
    }

    #[test]
    fn a_flood_is_cut_and_says_so() {
        let found =
            of(json!({"content": [{"type": "text", "text": "\u{e9}".repeat(LARGEST)}], "structuredContent": {"a": "x".repeat(LARGEST)}}));
        assert!(found.text.len() < LARGEST + 64 && found.text.ends_with("more bytes]"), "{}", found.text.len());
        assert!(found.structured.is_none());
    }
}
