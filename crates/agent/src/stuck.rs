//! Whether a rollout goes round in circles: the same calls with the same observations, again and again.

use swegym_core::{Message, Role, Trajectory};

/// Steps in a row that must be equal.
const REPEATS: usize = 4;

/// Whether the last steps made the same calls and saw the same observations. Ids of calls and the text beside
/// them may differ; steps without any call do not count.
pub(crate) fn is_stuck(trajectory: &Trajectory) -> bool {
    let steps = &trajectory.steps;
    if steps.len() < REPEATS {
        return false;
    }
    let start_of = |step: usize| steps.get(step).map_or(trajectory.messages.len(), |s| s.message_index);
    let messages = |step: usize| &trajectory.messages[start_of(step)..start_of(step + 1)];
    let newest = messages(steps.len() - 1);
    newest.first().is_some_and(|answer| !answer.tool_calls.is_empty())
        && (steps.len() - REPEATS..steps.len() - 1).all(|step| same(messages(step), newest))
}

fn same(one: &[Message], other: &[Message]) -> bool {
    calls(one).eq(calls(other)) && observations(one).eq(observations(other))
}

fn calls(step: &[Message]) -> impl Iterator<Item = (&str, &str)> {
    step.iter()
        .flat_map(|message| &message.tool_calls)
        .map(|call| (call.function.name.as_str(), call.function.arguments.as_str()))
}

fn observations(step: &[Message]) -> impl Iterator<Item = &str> {
    step.iter().filter(|message| message.role == Role::Tool).map(|message| message.content.as_str())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use swegym_core::{ExitStatus, InstanceId, Step, TRAJECTORY_SCHEMA_VERSION, ToolCall, Usage};

    /// One step for each (command, observation); an empty command is an answer without a call.
    fn trajectory(steps: &[(&str, &str)]) -> Trajectory {
        let mut trajectory = Trajectory {
            schema_version: TRAJECTORY_SCHEMA_VERSION,
            instance_id: InstanceId::new("a__b-1").unwrap(),
            sample: 0,
            scaffold: "codeact".into(),
            policy: "script".into(),
            tools: Vec::new(),
            tool_format: None,
            messages: vec![Message::text(Role::User, "task")],
            steps: Vec::new(),
            exit_status: ExitStatus::Finished,
            usage: Usage::default(),
        };
        for (number, (command, observation)) in steps.iter().enumerate() {
            trajectory.steps.push(Step { message_index: trajectory.messages.len(), ..Step::default() });
            if command.is_empty() {
                trajectory.messages.push(Message::text(Role::Assistant, "hm"));
                trajectory.messages.push(Message::text(Role::User, *observation));
                continue;
            }
            let call = ToolCall::new(format!("id{number}"), "execute_bash", &json!({"command": command}));
            let result = Message::tool_result(&call, *observation);
            trajectory.messages.push(Message::calling(format!("thought {number}"), vec![call]));
            trajectory.messages.push(result);
        }
        trajectory
    }

    #[test]
    fn four_equal_steps_are_stuck() {
        let step = ("ls", "a b");
        assert!(!is_stuck(&trajectory(&[step; 3])));
        assert!(is_stuck(&trajectory(&[step; 4])));
        assert!(is_stuck(&trajectory(&[("pwd", "/"), step, step, step, step])));
    }

    #[test]
    fn another_action_or_observation_is_progress() {
        let step = ("ls", "a b");
        assert!(!is_stuck(&trajectory(&[step, ("ls -a", "a b"), step, step])));
        assert!(!is_stuck(&trajectory(&[step, step, ("ls", "a b c"), step])));
        assert!(!is_stuck(&trajectory(&[step, step, step, ("", "go on"), step])));
        assert!(!is_stuck(&trajectory(&[("", "go on"); 4])));
    }
}
