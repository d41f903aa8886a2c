//! Every state has a prompt of its own; a trajectory keeps each message once.

use std::collections::HashMap;

use swegym_core::{Message, Trajectory};

/// Where each message of a trajectory stands.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    places: HashMap<(u8, String), usize>,
    known: usize,
}

impl Conversation {
    /// Adds the messages of a prompt that the trajectory lacks: where they stand, as ranges in their order.
    pub(super) fn ranges(&mut self, trajectory: &mut Trajectory, prompt: &[Message]) -> Vec<(usize, usize)> {
        self.catch_up(trajectory);
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for message in prompt {
            let key = key(message);
            let place = *self.places.entry(key).or_insert_with(|| {
                trajectory.messages.push(message.clone());
                trajectory.messages.len() - 1
            });
            match ranges.last_mut() {
                Some((_, end)) if *end == place => *end += 1,
                _ => ranges.push((place, place + 1)),
            }
        }
        self.known = trajectory.messages.len();
        ranges
    }

    fn catch_up(&mut self, trajectory: &Trajectory) {
        for (index, message) in trajectory.messages.iter().enumerate().skip(self.known) {
            if message.tool_calls.is_empty() && message.reasoning_content.is_none() {
                self.places.entry(key(message)).or_insert(index);
            }
        }
        self.known = trajectory.messages.len();
    }
}

fn key(message: &Message) -> (u8, String) {
    (message.role as u8, message.content.clone())
}
