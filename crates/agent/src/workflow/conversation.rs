//! Every state has a prompt of its own; a trajectory keeps each message once.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};

use swegym_core::{Message, Trajectory};

/// Where each message of a trajectory stands.
#[derive(Debug, Default)]
pub(super) struct Conversation {
    /// By the hash of a message: its text is in the trajectory, and not kept again.
    places: HashMap<u64, Vec<usize>>,
    hashing: RandomState,
    known: usize,
}

impl Conversation {
    /// Adds the messages of a prompt that the trajectory lacks: where they stand, as ranges in their order.
    pub(super) fn ranges(&mut self, trajectory: &mut Trajectory, prompt: &[Message]) -> Vec<(usize, usize)> {
        self.catch_up(trajectory);
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        for message in prompt {
            let place = self.place(trajectory, message).unwrap_or_else(|| {
                trajectory.messages.push(message.clone());
                let place = trajectory.messages.len() - 1;
                self.remember(message, place);
                place
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
            let is_plain = message.tool_calls.is_empty() && message.reasoning_content.is_none();
            if is_plain && self.place(trajectory, message).is_none() {
                self.remember(message, index);
            }
        }
        self.known = trajectory.messages.len();
    }

    fn place(&self, trajectory: &Trajectory, message: &Message) -> Option<usize> {
        let is_same = |place: &&usize| {
            let other = &trajectory.messages[**place];
            other.role == message.role && other.content == message.content
        };
        self.places.get(&self.hash(message))?.iter().find(is_same).copied()
    }

    fn remember(&mut self, message: &Message, place: usize) {
        self.places.entry(self.hash(message)).or_default().push(place);
    }

    fn hash(&self, message: &Message) -> u64 {
        self.hashing.hash_one((message.role as u8, &message.content))
    }
}
