//! Turns of a conversation.

use crate::{Message, Role};

/// Messages of the user, and of the system, that follow on each other as one, with a line break between their texts: for
/// chat templates that refuse two turns of the same role. OpenHands does this with every conversation.
pub fn merged_turns(messages: impl IntoIterator<Item = Message>) -> Vec<Message> {
    let mut merged: Vec<Message> = Vec::new();
    for message in messages {
        match merged.last_mut() {
            Some(last) if last.role == message.role && matches!(message.role, Role::User | Role::System) => {
                last.content.push('\n');
                last.content.push_str(&message.content);
            }
            _ => merged.push(message),
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_words_to_the_model_are_joined() {
        let roles = [
            Role::System,
            Role::User,
            Role::User,
            Role::Assistant,
            Role::Assistant,
            Role::Tool,
            Role::Tool,
            Role::User,
        ];
        let messages = roles.iter().zip('a'..).map(|(role, text)| Message::text(*role, text.to_string()));
        let merged = merged_turns(messages);
        let texts: Vec<&str> = merged.iter().map(|message| message.content.as_str()).collect();
        assert_eq!(texts, ["a", "b\nc", "d", "e", "f", "g", "h"]);
    }
}
