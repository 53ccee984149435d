//! When a summary is due and what it then covers, over whole conversations.

use proptest::prelude::*;
use uuid::Uuid;

use super::*;
use crate::domain::ids::MessageId;
use crate::domain::time::Timestamp;

fn message(sequence: i64, text: &str) -> Message {
    let now = Timestamp::from_millis(0);
    Message {
        id: MessageId::from_uuid(Uuid::from_u128(1)),
        conversation_id: ConversationId::from_uuid(Uuid::from_u128(2)),
        user_id: UserId::from_bytes([3; 12]),
        turn_id: TurnId::from_uuid(Uuid::from_u128(4)),
        sequence: Some(sequence),
        parent_id: Some(MessageId::from_uuid(Uuid::from_u128(5))),
        role: if sequence % 2 == 1 { Role::External } else { Role::Assistant },
        text: text.to_owned(),
        attachments: vec![],
        endpoint: None,
        model: None,
        token_count: 0,
        unfinished: false,
        error: false,
        created_at: now,
        updated_at: now,
    }
}

fn recent(covered: i64, messages: Vec<Message>) -> Recent {
    let summary = (covered > 0).then(|| Summary { up_to_sequence: covered, text: "so far".to_owned(), attempts: 0 });
    Recent { summary, messages }
}

#[test]
fn nothing_is_due_while_everything_fits() {
    let budget = Budget { tokens: 10_000, messages: 10 };
    let of = |count: i64| recent(0, (1..=count).map(|sequence| message(sequence, "hi")).collect());
    assert_eq!(due(&of(0), budget, 4), None);
    assert_eq!(due(&of(10), budget, 4), None);
    // Two have left; four more of the window are covered as well.
    assert_eq!(due(&of(12), budget, 4), Some(6));
    // Half of a window of ten is less than 20, so the rest must have left first: 15 and the five of the window.
    assert_eq!(due(&of(24), budget, 20), None);
    assert_eq!(due(&of(25), budget, 20), Some(20), "an answer without its question is no part of a window");
}

#[test]
fn a_text_is_cut_at_its_tokens_and_at_whole_characters() {
    assert_eq!(cut("short", 10), "short");
    assert_eq!(cut("ééééé", 2), "éé…");
    assert_eq!(cut("long enough", 1), "l…");
}

proptest! {
    /// Talking for long: what no summary covers stands in the prompt, and the model is asked at most once for so many messages.
    #[test]
    fn nothing_is_missing_and_the_model_is_asked_once_a_threshold(
        lengths in prop::collection::vec(1_usize..120, 20..160),
        window_messages in 4_usize..30,
        tokens in 60_usize..600,
        threshold in 1_usize..25,
    ) {
        let budget = Budget { tokens, messages: window_messages };
        let mut all = Vec::new();
        let (mut covered, mut before) = (0, 0);
        for (at, length) in lengths.iter().enumerate() {
            all.push(message(i64::try_from(at).unwrap() + 1, &"x".repeat(*length)));
            if at % 2 == 0 {
                continue;
            }
            let newest = all[all.len().saturating_sub(window_messages)..].to_vec();
            let state = recent(covered, newest.clone());
            if let Some(up_to) = due(&state, budget, threshold) {
                prop_assert!(up_to > covered, "it moves forward");
                prop_assert!(before == 0 || up_to - before >= i64::try_from(threshold).unwrap(), "asked again after {} of {threshold}", up_to - before);
                prop_assert!(up_to < i64::try_from(all.len()).unwrap() + 1);
                covered = up_to;
                before = up_to;
            }
            let window: Vec<&Message> = prompt::window(&newest, budget).collect();
            let first = window.first().map_or(i64::try_from(all.len()).unwrap() + 1, |message| message.sequence.unwrap());
            let missing = usize::try_from(first - 1 - covered).unwrap_or(0);
            // A window that holds twice the threshold misses nothing; a smaller one, less than the threshold.
            prop_assert!(missing < threshold.max(1), "{missing} messages are neither in the prompt nor in the summary");
            if window.len() / 2 >= threshold {
                prop_assert_eq!(missing, 0);
            }
        }
    }
}
