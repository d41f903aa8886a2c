//! The conversations of a trajectory: what the policy was sent, from the first message to the last answer.

use std::collections::HashMap;

use swegym_core::{Message, Role, Step, Trajectory};

/// Half-open ranges of messages, in order, none empty and no two that touch.
type Ranges = Vec<(usize, usize)>;

/// Every conversation that no other one goes on from, by its last answer, with the results of its last calls. A
/// trajectory whose steps always saw everything has one; one that was shortened or branched has several.
pub(crate) fn conversations(trajectory: &Trajectory) -> Vec<Vec<&Message>> {
    if trajectory.steps.is_empty() && !trajectory.messages.is_empty() {
        return vec![trajectory.messages.iter().collect()];
    }
    let ended = leaves(trajectory);
    ended.into_iter().map(|step| conversation(trajectory, step)).collect()
}

/// The last conversation: what was sent for the last answer, that answer, and the results of its calls.
pub(crate) fn last_conversation(trajectory: &Trajectory) -> Vec<&Message> {
    match trajectory.steps.last() {
        Some(step) => conversation(trajectory, step),
        None => trajectory.messages.iter().collect(),
    }
}

fn conversation<'a>(trajectory: &'a Trajectory, step: &'a Step) -> Vec<&'a Message> {
    let after = trajectory.messages.get(step.message_index..).unwrap_or_default();
    let results = after.iter().skip(1).take_while(|message| message.role == Role::Tool);
    trajectory.prompt_of(step).chain(after.first()).chain(results).collect()
}

fn leaves(trajectory: &Trajectory) -> Vec<&Step> {
    let prompts: Vec<Ranges> = trajectory.steps.iter().map(prompt).collect();
    let by_answer: HashMap<usize, usize> =
        trajectory.steps.iter().enumerate().map(|(number, step)| (step.message_index, number)).collect();
    let mut answers: Vec<usize> = by_answer.keys().copied().collect();
    answers.sort_unstable();
    let mut is_leaf = vec![true; trajectory.steps.len()];
    for prompt in &prompts {
        let Some(parent) = last_answer(&answers, prompt).and_then(|answer| by_answer.get(&answer)) else {
            continue;
        };
        let answer = trajectory.steps[*parent].message_index;
        is_leaf[*parent] &= !goes_on(prompt, &prompts[*parent], answer);
    }
    trajectory.steps.iter().zip(is_leaf).filter_map(|(step, leaf)| leaf.then_some(step)).collect()
}

fn prompt(step: &Step) -> Ranges {
    if step.prompt.is_empty() {
        return merged([(0, step.message_index)]);
    }
    merged(step.prompt.iter().copied())
}

fn merged(ranges: impl IntoIterator<Item = (usize, usize)>) -> Ranges {
    let mut merged = Ranges::new();
    for (start, end) in ranges.into_iter().filter(|(start, end)| start < end) {
        match merged.last_mut() {
            Some(last) if last.1 == start => last.1 = end,
            _ => merged.push((start, end)),
        }
    }
    merged
}

/// The answer that stands last in a prompt.
fn last_answer(answers: &[usize], prompt: &Ranges) -> Option<usize> {
    prompt.iter().rev().find_map(|(start, end)| {
        let before = answers.partition_point(|answer| answer < end);
        answers[..before].last().copied().filter(|answer| answer >= start)
    })
}

/// Whether a prompt begins with an earlier one and its answer.
fn goes_on(prompt: &Ranges, earlier: &Ranges, answer: usize) -> bool {
    // Seen before anything is copied: many short prompts may follow on one of many ranges.
    if prompt.len() < earlier.len() {
        return false;
    }
    let earlier = merged(earlier.iter().copied().chain([(answer, answer + 1)]));
    let Some(((start, end), before)) = earlier.split_last() else {
        return false;
    };
    prompt.starts_with(before)
        && prompt.get(before.len()).is_some_and(|next| next.0 == *start && next.1 >= *end)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// `s` system, `u` user, `a` answer, `t` tool result; a step for each `a`, with these prompts.
    fn trajectory(roles: &str, prompts: &[&[(usize, usize)]]) -> Trajectory {
        let message = |(index, role): (usize, char)| {
            let role = match role {
                's' => "system",
                'a' => "assistant",
                't' => "tool",
                _ => "user",
            };
            json!({"role": role, "content": index.to_string()})
        };
        let messages: Vec<_> = roles.chars().enumerate().map(message).collect();
        let answers = roles.chars().enumerate().filter(|(_, role)| *role == 'a').map(|(index, _)| index);
        let steps: Vec<_> = answers
            .zip(prompts)
            .map(|(index, prompt)| {
                json!({"message_index": index, "prompt": prompt, "usage": {}, "model_ms": 0, "tool_ms": 0})
            })
            .collect();
        serde_json::from_value(json!({
            "schema_version": 2, "instance_id": "a-1", "sample": 0, "scaffold": "s", "policy": "m", "tools": [],
            "messages": messages, "steps": steps, "exit_status": "finished", "usage": {},
        }))
        .unwrap()
    }

    fn texts(trajectory: &Trajectory) -> Vec<String> {
        let text = |messages: Vec<&Message>| messages.iter().map(|m| m.content.as_str()).collect::<String>();
        conversations(trajectory).into_iter().map(text).collect()
    }

    #[test]
    fn one_that_only_grew_is_one_conversation() {
        assert_eq!(texts(&trajectory("suatatatt", &[&[], &[], &[]])), ["012345678"]);
        assert_eq!(texts(&trajectory("suatatatt", &[&[], &[(0, 4)], &[(0, 4), (4, 6)]])), ["012345678"]);
    }

    #[test]
    fn one_that_was_shortened_is_kept_before_and_after() {
        let shortened = trajectory("suatatat", &[&[], &[], &[(0, 2), (4, 6)]]);
        assert_eq!(texts(&shortened), ["012345", "014567"]);
        let shortened = last_conversation(&shortened);
        assert_eq!(shortened.len(), 6);
    }

    #[test]
    fn branches_are_each_whole() {
        let branched = trajectory("suauaua", &[&[], &[(0, 4)], &[(0, 3), (5, 6)]]);
        assert_eq!(texts(&branched), ["01234", "01256"]);
    }

    #[test]
    fn ranges_beyond_the_messages_give_nothing() {
        assert_eq!(texts(&trajectory("ua", &[&[(7, 9), (3, 2)]])), ["1"]);
        assert_eq!(texts(&trajectory("su", &[])), ["01"], "nobody has answered yet");
    }
}
