//! Conversations for fine-tuning with their calls in text form.

use swegym_core::fncall::{CallError, TextFormat};
use swegym_core::{Message, Trajectory};

/// A conversation of a trajectory in the form in which SWE-Gym trained on it: one call a message, in the order of the
/// results; calls as text; no example; without the calls at the end that have no result. The words around calls are
/// `words`, or those that the trajectory was made with, or ours.
///
/// # Errors
/// [`CallError`] for a conversation that has no such form, as where arguments are no JSON: it is left out of training
/// data.
pub(crate) fn sft_text(
    trajectory: &Trajectory,
    conversation: &[Message],
    words: Option<&TextFormat>,
) -> Result<Vec<Message>, CallError> {
    let ours;
    let words = match words.or(trajectory.tool_format.as_ref()) {
        Some(words) => words,
        None => {
            ours = TextFormat::default();
            &ours
        }
    };
    words.training_text(conversation, &trajectory.tools)
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use swegym_core::{CommitId, InstanceId, Problem, RepoName, Role, ToolCall, ToolSpec};

    use super::*;

    fn trajectory() -> Trajectory {
        let problem = Problem {
            instance_id: InstanceId::new("a__b-1").unwrap(),
            repo: RepoName::new("a/b").unwrap(),
            base_commit: CommitId::new("0".repeat(40)).unwrap(),
            problem_statement: String::new(),
        };
        let mut trajectory = Trajectory::empty(&problem, 0, "codeact", "model");
        let tool =
            |name: &str| ToolSpec { name: name.into(), description: "Works.".into(), parameters: json!({}) };
        trajectory.tools = vec![tool("execute_bash"), tool("finish")];
        let calls = ["one", "two"].map(|id| ToolCall::new(id, "execute_bash", &json!({"command": id})));
        trajectory.messages = vec![
            Message::text(Role::System, "You work."),
            Message::calling("Both.", calls.to_vec()),
            Message::tool_result(&calls[0], "1"),
            Message::tool_result(&calls[1], "2"),
            Message::calling("Done.", vec![ToolCall::new("end", "finish", &json!({}))]),
        ];
        trajectory
    }

    #[test]
    fn a_trajectory_of_calls_becomes_text() {
        let words =
            TextFormat { tools_prefix: "<".into(), tools_suffix: ">".into(), ..TextFormat::default() };
        let trajectory = trajectory();
        let text = sft_text(&trajectory, &trajectory.messages, Some(&words)).unwrap();
        assert!(text[0].content.starts_with("You work.<---- BEGIN FUNCTION #1: execute_bash ----\n"));
        let contents: Vec<&str> = text[1..].iter().map(|message| message.content.as_str()).collect();
        let expected = [
            "Both.\n\n<function=execute_bash>\n<parameter=command>one</parameter>\n</function>",
            "EXECUTION RESULT of [execute_bash]:\n1",
            "<function=execute_bash>\n<parameter=command>two</parameter>\n</function>",
            "EXECUTION RESULT of [execute_bash]:\n2",
            "Done.\n\n<function=finish>\n</function>",
        ];
        assert_eq!(contents, expected);
    }

    #[test]
    fn the_words_of_the_trajectory_come_before_ours() {
        let mut trajectory = trajectory();
        let ours = sft_text(&trajectory, &trajectory.messages, None).unwrap();
        assert!(ours[0].content.contains("These functions are there"));
        trajectory.tool_format = Some(TextFormat { tools_prefix: "own".into(), ..TextFormat::default() });
        assert!(
            sft_text(&trajectory, &trajectory.messages, None).unwrap()[0]
                .content
                .starts_with("You work.own----")
        );
    }

    #[test]
    fn a_call_that_is_no_json_has_no_text() {
        let mut trajectory = trajectory();
        trajectory.messages[4].tool_calls[0].function.arguments = "{".into();
        assert_eq!(
            sft_text(&trajectory, &trajectory.messages, None).unwrap_err().exception(),
            "FunctionCallConversionError"
        );
    }
}
