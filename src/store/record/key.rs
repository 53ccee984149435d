//! What tells a record from the others of its kind.

use super::Kind;

impl Kind {
    /// The fields that tell a record from the others of its kind. They never change.
    #[must_use]
    pub const fn key_fields(self) -> &'static [&'static str] {
        match self {
            Self::Mark | Self::HashKey => &["name"],
            Self::DailyTurns => &["day"],
            Self::ErasedConsent => &["hash"],
            Self::Consent => &["phone"],
            Self::StatusReport => &["gateway", "gatewayMessageId"],
            Self::Person | Self::Activity | Self::Graph | Self::TodoList | Self::ScheduleList => &["userId"],
            Self::Turn | Self::Outbound | Self::Conversation | Self::Todo | Self::Schedule => &["userId", "id"],
            Self::Step => &["userId", "turn", "number"],
            Self::Call => &["userId", "turn", "step", "number"],
            Self::Message => &["userId", "conversationId", "id"],
            Self::Summary => &["userId", "conversationId"],
            Self::Receipt => &["userId", "door", "key"],
            Self::Notice => &["userId", "key"],
            Self::Entity | Self::Observation | Self::Relation => &["userId", "number"],
            Self::Token => &["id"],
        }
    }
}
