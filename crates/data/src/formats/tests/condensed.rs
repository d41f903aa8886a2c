//! Histories of OpenHands from which events were forgotten: what the model saw at each answer.

use serde_json::{Value, json};
use swegym_core::Trajectory;

use super::toy::read_text;

/// What each answer was made from, as the texts of the messages; those of calls are the names of their tools.
fn seen(trajectory: &Trajectory) -> Vec<Vec<&str>> {
    let prompt = |step| trajectory.prompt_of(step).map(text).collect();
    trajectory.steps.iter().map(prompt).collect()
}

fn text(message: &swegym_core::Message) -> &str {
    message.tool_calls.first().map_or(message.content.as_str(), |call| call.function.arguments.as_str())
}

fn read(history: &Value) -> Trajectory {
    let row = json!({"instance_id": "a__b-1", "test_result": {"git_patch": "x"}, "history": history});
    read_text("output.jsonl", &row.to_string(), "a__b-1").trajectory
}

#[test]
fn version_1() {
    let message = |id: &str, text: &str| {
        let content = json!([{"type": "text", "text": text}]);
        json!({"kind": "MessageEvent", "id": id, "source": "user", "llm_message": {"role": "user", "content": content}})
    };
    let action = |id: &str, response: &str| {
        let function = json!({"name": "terminal", "arguments": id});
        json!({"kind": "ActionEvent", "id": id, "thought": [], "tool_name": "terminal", "tool_call_id": id,
            "tool_call": {"id": id, "function": function}, "llm_response_id": response})
    };
    let result = |id: &str, call: &str| {
        let content = json!([{"type": "text", "text": id}]);
        json!({"kind": "ObservationEvent", "id": id, "tool_name": "terminal", "tool_call_id": call,
            "observation": {"content": content}})
    };
    let condensation = |id: &str, forgotten: &[&str], summary: Option<(&str, usize)>| {
        json!({"kind": "Condensation", "id": id, "forgotten_event_ids": forgotten,
            "summary": summary.map(|(text, _)| text), "summary_offset": summary.map(|(_, offset)| offset)})
    };
    let trajectory = read(&json!([
        message("task", "task"),
        action("a1", "r1"),
        action("a2", "r1"),
        result("o1", "a1"),
        result("o2", "a2"),
        action("a3", "r2"),
        result("o3", "a3"),
        json!({"kind": "CondensationRequest", "id": "q"}),
        condensation("c1", &["a1", "o1"], Some(("first summary", 1))),
        action("a4", "r3"),
        result("o4", "a4"),
        condensation("c2", &["c1-summary", "a3", "o3"], Some(("second summary", 1))),
        action("a5", "r4"),
    ]));
    let expected = [
        vec!["task"],
        vec!["task", "a1", "o1", "o2"],
        vec!["task", "first summary", "a3", "o3"],
        vec!["task", "second summary", "a4", "o4"],
    ];
    assert_eq!(seen(&trajectory), expected, "a call that is forgotten goes with those made at the same time");
    assert_eq!(trajectory.messages.len(), 11, "nothing is lost");
}

#[test]
fn before_version_1() {
    let run = |id: u32| json!({"id": id, "source": "agent", "action": "run", "args": {"command": id.to_string(), "thought": ""}});
    let result = |id: u32, cause: u32| json!({"id": id, "source": "agent", "observation": "run", "cause": cause, "content": format!("o{id}")});
    let condensation = |id: u32, fields: Value| json!({"id": id, "source": "agent", "action": "condensation", "args": fields});
    let trajectory = read(&json!([
        json!({"id": 0, "source": "user", "action": "message", "args": {"content": "task"}}),
        json!({"id": 1, "source": "environment", "observation": "agent_state_changed", "content": "", "extras": {}}),
        run(2),
        result(3, 2),
        run(4),
        result(5, 4),
        json!({"id": 6, "source": "agent", "action": "condensation_request", "args": {}}),
        condensation(
            7,
            json!({"forgotten_events_start_id": 2, "forgotten_events_end_id": 3,
            "forgotten_event_ids": null, "summary": "short", "summary_offset": 2})
        ),
        run(8),
        result(9, 8),
        condensation(10, json!({"forgotten_event_ids": [4, 5], "summary": null})),
        run(11),
    ]));
    let call = |id: u32| format!(r#"{{"command":"{id}"}}"#);
    let [two, four, eight] = [2, 4, 8].map(call);
    let expected = [
        vec!["task"],
        vec!["task", &two, "o3"],
        vec!["task", "short", &four, "o5"],
        vec!["task", "short", &eight, "o9"],
    ];
    assert_eq!(seen(&trajectory), expected);
}
