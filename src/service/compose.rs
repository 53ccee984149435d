//! A reply as the model wrote it, made into messages for a phone.
//!
//! Markdown is flattened, typographic marks are written in the cheap alphabet, the text is cut into messages. Start with
//! [`compose`].

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};

use crate::config::sections::Sms;
use crate::domain::segment::{self, Encoding, Part, SplitLimits};

/// Segments that one message may take, whatever is set: Twilio refuses a body of more than 1,600 characters (error 21617), and
/// ten segments hold 1,530 at most.
const MOST_SEGMENTS: usize = 10;

/// The messages of one reply, in order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Composed {
    /// To be sent now: at most `sms.max_messages`. While there are held ones, the last says how to ask for them.
    pub send: Vec<Part>,
    /// To be sent when the person asks for more, `sms.max_messages` at a time; each batch but the last ends with the hint.
    pub held: Vec<Part>,
}

/// Makes messages of a reply. A reply that says nothing makes none.
#[must_use]
pub fn compose(reply: &str, sms: &Sms) -> Composed {
    let flat = flatten(reply);
    let plain = if sms.transliterate { segment::transliterate(&flat) } else { flat.as_str().into() };
    cut(&plain, sms)
}

/// Cuts a text that is plain already, and keeps back what is too much at once.
#[must_use]
pub fn cut(plain: &str, sms: &Sms) -> Composed {
    let limits = SplitLimits { segments_per_part: segments_per_message(sms), parts_at_once: to_usize(sms.max_messages) };
    let mut send = segment::split(plain, limits);
    let held = send.split_off(send.len().min(limits.parts_at_once));
    Composed { send, held }
}

/// About how many characters of plain Latin text reach the phone at once, for telling the model.
#[must_use]
pub fn max_characters(sms: &Sms) -> usize {
    let per_message = match segments_per_message(sms) {
        1 => Encoding::Gsm7.units_alone(),
        segments => segments.saturating_mul(Encoding::Gsm7.units_joined()),
    };
    per_message.saturating_mul(to_usize(sms.max_messages))
}

fn segments_per_message(sms: &Sms) -> usize {
    to_usize(sms.segments_per_message).min(MOST_SEGMENTS)
}

/// At least 1, as [`segment::split`] counts.
fn to_usize(setting: u32) -> usize {
    usize::try_from(setting).unwrap_or(usize::MAX).max(1)
}

/// Writes Markdown as plain text: a link as "text (address)", a list item behind "- " or its number, code as it is, line
/// breaks kept. Text that is no Markdown comes out as it went in, but for white space.
#[must_use]
pub fn flatten(markdown: &str) -> String {
    // Strikethrough stays off: a pair of tildes stands more often between numbers ("5~10 or 6~9") than around a word.
    let mut writer = Writer::new(markdown);
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(tag) => writer.open(&tag, range),
            Event::End(tag) => writer.close(tag, range),
            Event::Text(text) | Event::Code(text) | Event::InlineMath(text) | Event::DisplayMath(text) | Event::FootnoteReference(text) => {
                writer.text(&text);
            }
            Event::Html(html) | Event::InlineHtml(html) => writer.html(&html),
            Event::SoftBreak | Event::HardBreak => writer.text("\n"),
            Event::Rule => writer.gap = 2,
            Event::TaskListMarker(_) => {}
        }
    }
    let flat = writer.out.trim();
    // A lone "---" or "#" is nothing in Markdown, but the person should see that there was an answer.
    if flat.is_empty() { markdown.trim().to_owned() } else { flat.to_owned() }
}

/// Builds the plain text.
struct Writer<'a> {
    source: &'a str,
    out: String,
    /// Line ends owed before the next text: 1 begins a line, 2 leaves one blank.
    gap: usize,
    /// A list marker was just written: its text stands on the same line.
    after_marker: bool,
    /// The open lists, outermost first: the number of the last item, `None` for bullets.
    lists: Vec<Option<u64>>,
    /// The open links and pictures: where their text begins, and their address.
    links: Vec<(usize, String)>,
    /// A cell of this table row has been written.
    in_row: bool,
}

impl<'a> Writer<'a> {
    fn new(source: &'a str) -> Self {
        let out = String::with_capacity(source.len());
        Self { source, out, gap: 0, after_marker: false, lists: Vec::new(), links: Vec::new(), in_row: false }
    }

    fn text(&mut self, text: &str) {
        if !self.out.is_empty() {
            self.out.extend(std::iter::repeat_n('\n', self.gap));
        }
        self.gap = 0;
        self.after_marker = false;
        self.out.push_str(text);
    }

    fn html(&mut self, html: &str) {
        let name = html.trim().trim_start_matches('<').trim_end_matches(['>', '/', ' ']);
        if name.eq_ignore_ascii_case("br") {
            self.text("\n");
        } else {
            // Written as it is: what looks like a tag is as often "<name>" or "Vec<T>".
            self.text(html);
        }
    }

    /// A block begins on a line of its own.
    fn begin_block(&mut self) {
        if !self.after_marker {
            self.gap = self.gap.max(1);
        }
    }

    /// After a block a line is left blank, but within a list.
    fn end_block(&mut self) {
        self.gap = self.gap.max(if self.lists.is_empty() { 2 } else { 1 });
    }

    fn open(&mut self, tag: &Tag<'_>, range: std::ops::Range<usize>) {
        match tag {
            Tag::Emphasis => self.restore_marks("*", range),
            Tag::Strong => self.restore_marks("**", range),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.text("");
                self.links.push((self.out.len(), dest_url.to_string()));
            }
            Tag::List(first) => {
                // Close below its introduction: a blank line there costs more than it tells.
                self.gap = usize::from(!self.after_marker);
                self.lists.push(first.map(|number| number.saturating_sub(1)));
            }
            Tag::Item => self.begin_item(range.start),
            Tag::TableCell if self.in_row => self.text(" - "),
            Tag::TableCell => {
                self.begin_block();
                self.in_row = true;
            }
            Tag::Paragraph | Tag::Heading { .. } | Tag::BlockQuote(_) | Tag::CodeBlock(_) | Tag::HtmlBlock | Tag::Table(_) => {
                self.begin_block();
            }
            _ => {}
        }
    }

    fn close(&mut self, tag: TagEnd, range: std::ops::Range<usize>) {
        match tag {
            TagEnd::Emphasis => self.restore_marks("*", range),
            TagEnd::Strong => self.restore_marks("**", range),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::List(_) => {
                self.lists.pop();
                self.end_block();
            }
            TagEnd::Item => {
                self.after_marker = false;
                self.gap = 1;
            }
            TagEnd::TableHead | TagEnd::TableRow => self.in_row = false,
            TagEnd::Heading(_) => self.gap = 1,
            TagEnd::CodeBlock | TagEnd::HtmlBlock => {
                self.out.truncate(self.out.trim_end_matches('\n').len());
                self.end_block();
            }
            TagEnd::Paragraph | TagEnd::BlockQuote(_) | TagEnd::Table => self.end_block(),
            _ => {}
        }
    }

    /// Emphasis inside a word is arithmetic more often than not: the stars of "2*3*4" stay.
    fn restore_marks(&mut self, marks: &str, range: std::ops::Range<usize>) {
        let before = self.source.get(..range.start).and_then(|text| text.chars().next_back());
        let after = self.source.get(range.end..).and_then(|text| text.chars().next());
        if [before, after].into_iter().all(|neighbour| neighbour.is_some_and(char::is_alphanumeric)) {
            self.text(marks);
        }
    }

    fn begin_item(&mut self, start: usize) {
        let indent = "  ".repeat(self.lists.len().saturating_sub(1));
        let marker = match self.lists.last_mut() {
            Some(Some(last)) => {
                // Markdown counts on from the first number; the author's own number wins where it grows.
                let digits: String =
                    self.source.get(start..).unwrap_or_default().trim_start().chars().take_while(char::is_ascii_digit).collect();
                *last = digits.parse().ok().filter(|number| *number > *last).unwrap_or(last.saturating_add(1));
                format!("{indent}{last}. ")
            }
            _ => format!("{indent}- "),
        };
        self.gap = self.gap.max(1);
        self.text(&marker);
        self.after_marker = true;
    }

    fn end_link(&mut self) {
        let Some((start, address)) = self.links.pop() else { return };
        let text = self.out.get(start..).unwrap_or_default();
        if address.is_empty() || address.starts_with('#') || address.strip_prefix("mailto:") == Some(text) {
            return;
        }
        if text.is_empty() || bare_address(text) == bare_address(&address) {
            self.out.truncate(start);
            self.out.push_str(&address);
        } else {
            self.out.extend([" (", address.as_str(), ")"]);
        }
    }
}

/// An address without what people leave out when they write it.
fn bare_address(address: &str) -> &str {
    let bare = address.strip_prefix("https://").or_else(|| address.strip_prefix("http://")).unwrap_or(address);
    bare.strip_suffix('/').unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sms(segments_per_message: u32, max_messages: u32) -> Sms {
        let text = String::new;
        Sms { segments_per_message, max_messages, transliterate: true, help_text: text(), stop_text: text(), start_text: text() }
    }

    #[test]
    fn marks_go_and_words_stay() {
        assert_eq!(flatten("# Title\n\nSome **bold**, *soft* and `code`.\nNext line."), "Title\nSome bold, soft and code.\nNext line.");
        assert_eq!(flatten("One.\n\n---\n\nTwo\\*.  \nThree &amp; four<br>five"), "One.\n\nTwo*.\nThree & four\nfive");
        assert_eq!(flatten("> said\n\n```rust\nlet x = 1;\n\nlet y = 2;\n```\nafter"), "said\n\nlet x = 1;\n\nlet y = 2;\n\nafter");
    }

    #[test]
    fn lists_keep_their_shape_and_their_numbers() {
        assert_eq!(flatten("Buy:\n* milk\n* bread\n  - rye\n\nDone"), "Buy:\n- milk\n- bread\n  - rye\n\nDone");
        assert_eq!(flatten("1. a\n1. b\n1. c"), "1. a\n2. b\n3. c");
        assert_eq!(flatten("3. a\n\n5. b\n\n   more"), "3. a\n5. b\nmore");
        assert_eq!(flatten("1986. A great year"), "1986. A great year");
        assert_eq!(flatten("- ```\n  x\n  ```\n- y"), "- x\n- y");
    }

    #[test]
    fn a_link_is_its_text_and_its_address() {
        assert_eq!(flatten("See [the guide](https://example.org/g)."), "See the guide (https://example.org/g).");
        assert_eq!(
            flatten("[example.org](https://example.org/) <https://a.example> <me@a.example>"),
            "https://example.org/ https://a.example me@a.example"
        );
        assert_eq!(flatten("![a map](https://a.example/m.png)"), "a map (https://a.example/m.png)");
        assert_eq!(flatten("[up](#top) [](https://a.example)"), "up https://a.example");
        assert_eq!(flatten("para\n\n[t](https://a.example)"), "para\n\nt (https://a.example)");
    }

    #[test]
    fn a_table_is_a_line_a_row() {
        assert_eq!(flatten("| Day | Sun |\n|---|---|\n| Mon | 5 h |\n| Tue | 2 h |\n\nEnd"), "Day - Sun\nMon - 5 h\nTue - 2 h\n\nEnd");
    }

    #[test]
    fn text_that_is_no_markdown_is_not_damaged() {
        for text in [
            "2*3*4 = 24 and 2**3**2",
            "snake_case_name",
            "5~10 or 6~9",
            "a < b > c <3 AT&T",
            "use Vec<T> or <name>",
            "line one\nline two",
            "C# and #1",
            "---",
            "+15551234567",
            "50% * 2 * 3",
            "???",
            "x_1 and x_2",
            "$5 | $6",
            "[ ] todo [x] done",
            "Hello :-)",
            "10:30 - 11:00",
        ] {
            assert_eq!(flatten(text), text);
        }
    }

    #[test]
    fn a_long_reply_is_sent_in_part_and_the_rest_is_held() {
        let composed = compose(&"A sentence of “some” words. ".repeat(200), &sms(4, 3));
        assert_eq!(composed.send.len(), 3);
        assert!(composed.send.iter().chain(&composed.held).all(|part| part.segments <= 4));
        assert!(
            composed.send[2].body.ends_with(segment::MORE_HINT)
                && composed.held.len() > 3
                && composed.held[2].body.ends_with(segment::MORE_HINT)
        );
        assert_eq!(compose(" \n", &sms(4, 3)), Composed { send: vec![], held: vec![] });
        assert_eq!(max_characters(&sms(4, 3)), 1836);
        assert_eq!(max_characters(&sms(1, 1)), 160);
    }

    #[test]
    fn no_message_is_longer_than_the_carrier_takes() {
        let composed = compose(&"x".repeat(5000), &sms(99, 9));
        assert_eq!(composed.send.iter().map(|part| part.body.len()).collect::<Vec<_>>(), [1530, 1530, 1530, 410]);
    }

    #[test]
    fn deep_nesting_and_many_brackets_are_cheap() {
        for text in ["> ".repeat(20_000), "- ".repeat(5000), "[".repeat(50_000), "*a ".repeat(30_000), "[a](".repeat(10_000)] {
            assert!(!compose(&text, &sms(4, 3)).send.is_empty());
        }
    }

    proptest! {
        #[test]
        fn plain_prose_comes_out_as_it_went_in(text in "[A-Za-z]{1,9}([ ,][a-zäöß0-9']{1,9}|[.!?] [A-Z][a-z]{0,8}){0,40}") {
            prop_assert_eq!(flatten(&text), text);
        }

        #[test]
        fn any_reply_that_says_something_makes_messages(text in "[*_`#>\\[\\]()<!|~ \n0-9a-z.-]{0,200}|\\PC{0,100}") {
            let composed = compose(&text, &sms(1, 2));
            prop_assert_eq!(composed.send.is_empty(), segment::transliterate(&text).trim().is_empty());
            prop_assert!(composed.send.len() <= 2 && composed.send.iter().all(|part| part.segments == 1));
        }
    }
}
