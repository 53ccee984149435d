//! Small conversations with the offline model.

use super::*;
use std::sync::Mutex;

const SYSTEM: &str = "You are helpful. It is Saturday, 21 November 2026, 09:05 where the person is (UTC).";

/// Says each text in turn and checks that the answer holds the words beside it.
fn talk(lines: &[(&str, &str)]) {
    let mut prompt = vec![PromptMessage { role: Speaker::System, content: SYSTEM.to_owned() }];
    for (text, words) in lines {
        prompt.push(PromptMessage { role: Speaker::User, content: (*text).to_owned() });
        let first = answer(&prompt);
        assert!(first.contains(words), "{text:?} was answered {first:?}, without {words:?}");
        assert_eq!(first, answer(&prompt), "the same prompt has the same answer");
        prompt.push(PromptMessage { role: Speaker::Assistant, content: first });
    }
}

#[test]
fn it_holds_a_small_conversation() {
    talk(&[
        ("hello", "Hello!"),
        ("What's my name?", "not told me"),
        ("my name is Ada Lovelace, and yours?", "Nice to meet you, Ada Lovelace."),
        ("How are you?", "thank you"),
        ("what is 6 * 7?", "6 * 7 = 42"),
        ("what time is it", "Saturday, 21 November 2026, 09:05"),
        ("whats my name", "Your name is Ada Lovelace."),
        ("Hi", "Hello, Ada Lovelace!"),
        ("My name is Bob", "Bob"),
        ("WHO AM I", "Your name is Bob."),
        ("what did I say?", "2. What's my name?"),
        ("say Good grief", "Good grief"),
        ("thanks!", "welcome"),
        ("bye", "Goodbye"),
    ]);
}

#[test]
fn it_says_what_it_is_at_first_contact_and_when_asked() {
    for text in ["hello", "2+2", "the weather is fine", "what did I say?", "my name is Ada", "🙂"] {
        talk(&[(text, "not a language model")]);
    }
    talk(&[("hi", ""), ("are you human?", "not a language model"), ("what can you do", "remember your name"), ("help", "OPENAI_API_KEY")]);
}

#[test]
fn what_it_does_not_understand_is_given_back_with_the_way_to_a_real_model() {
    talk(&[("hi", ""), ("Why is the\nsky blue", "You wrote: \"Why is the sky blue\"."), ("Why is the sky blue", "endpoints.default")]);
    talk(&[("hi", ""), ("look\n[attachment: cat.jpg (image/jpeg), which you cannot see]", "cannot look at it")]);
    talk(&[("hi", ""), ("", "no words"), (&"x".repeat(50_000), "x…\".")]);
}

#[test]
fn a_prompt_without_a_question_or_a_time_is_no_trouble() {
    assert!(answer(&[]).contains("not a language model"));
    let prompt = [PromptMessage { role: Speaker::User, content: "what time is it?".to_owned() }];
    assert!(answer(&prompt).contains("not told"));
    for odd in ["Monday:", "Monday é:é", "Monday, 1:2"] {
        let _ = moment_in(odd);
    }
}

#[test]
fn a_long_story_is_longer_than_three_messages_of_four_segments() {
    assert!(reply("Tell me a long story", &[], "").chars().count() > 3 * 4 * 153);
    assert!(story().is_ascii(), "one other character would halve what fits into a text");
}

#[tokio::test]
async fn it_streams_word_by_word() {
    let prompt = vec![PromptMessage { role: Speaker::User, content: "hello".to_owned() }];
    let request = CompletionRequest::new("demo", prompt, "");
    let pieces = Mutex::new(Vec::new());
    let completion = Demo.complete(&request, &|piece| pieces.lock().unwrap().push(piece.to_owned())).await.unwrap();
    let pieces = pieces.into_inner().unwrap();
    assert!(pieces.len() > 5);
    assert_eq!(pieces.concat(), completion.text);
    assert!(completion.usage.total_tokens > 0 && !completion.cut_short);
    assert!(Demo.check().await.is_ok());
}
