//! Files as other programs write them.

use serde_json::{Value, json};
use swegym_core::{ExitStatus, Message, Role, Trajectory};

use super::toy::read_text;
use crate::UNNAMED_MODEL;
use crate::formats::rollout::Imported;

fn row(fields: &Value) -> Imported {
    let mut row = json!({"instance_id": "o__n-1", "test_result": {"git_patch": "diff --git"}});
    let fields = fields.as_object().unwrap().clone();
    row.as_object_mut().unwrap().extend(fields);
    read_text("output.jsonl", &format!("{row}\n"), "o__n-1")
}

/// Role, text and calls of each message: `assistant:Let me look.[execute_bash {"command":"ls"}#c1]`.
fn told(imported: &Imported) -> Vec<String> {
    let tell = |message: &Message| {
        let role = format!("{:?}", message.role).to_lowercase();
        let calls = message
            .tool_calls
            .iter()
            .map(|call| format!("[{} {}#{}]", call.function.name, call.function.arguments, call.id));
        let of = message
            .tool_call_id
            .as_ref()
            .map(|id| format!("<{} {id}>", message.name.as_deref().unwrap_or("-")));
        format!("{role}:{}{}{}", message.content, calls.collect::<String>(), of.unwrap_or_default())
    };
    imported.trajectory.messages.iter().map(tell).collect()
}

/// The response that two actions are from.
fn two_calls() -> Value {
    let call = |id: &str, command: &str| {
        let arguments = json!({"command": command}).to_string();
        json!({"id": id, "type": "function", "function": {"name": "execute_bash", "arguments": arguments}})
    };
    json!({
        "id": "r1", "usage": {"prompt_tokens": 5, "completion_tokens": 3},
        "choices": [{"finish_reason": "tool_calls", "message": {
            "role": "assistant", "content": "Two.", "tool_calls": [call("c1", "a"), call("c2", "b")],
        }}],
    })
}

fn metadata(id: &str, response: &Value) -> Value {
    json!({"function_name": "execute_bash", "tool_call_id": id, "model_response": response, "total_calls_in_response": 2})
}

#[test]
fn the_history_of_openhands_as_pairs_and_as_a_list_is_one() {
    let response = two_calls();
    let task = json!({"id": 0, "source": "user", "action": "message", "args": {"content": "Mend it."}});
    let act = |id: u32, call: &str| {
        let args = json!({"command": "x", "thought": ""});
        json!({"id": id, "source": "agent", "action": "run", "args": args, "tool_call_metadata": metadata(call, &response)})
    };
    let see = |id: u32, call: &str, extras: Value| {
        let metadata = metadata(call, &response);
        json!({"id": id, "source": "agent", "observation": "run", "content": "out", "extras": extras, "cause": id - 1,
            "tool_call_metadata": metadata})
    };
    let nothing = json!({"id": -1, "observation": "null", "content": "", "extras": {}});
    let old = see(2, "c1", json!({"command": "a", "exit_code": 1}));
    let new = see(
        4,
        "c2",
        json!({"command": "b", "metadata": {"exit_code": 0, "suffix": "!", "working_dir": "/w"}}),
    );
    let finish = json!({"id": 5, "source": "agent", "action": "finish", "args": {"thought": "Done."}});
    let pairs = json!([[task, nothing], [act(1, "c1"), old], [act(3, "c2"), new], [finish, nothing]]);
    let flat = json!([task, act(1, "c1"), act(3, "c2"), old, new, finish]);
    let expected = [
        "user:Mend it.",
        "assistant:Two.[execute_bash {\"command\":\"a\"}#c1][execute_bash {\"command\":\"b\"}#c2]",
        "tool:out\n[Command finished with exit code 1]<execute_bash c1>",
        "tool:out!\n[Current working directory: /w]\n[Command finished with exit code 0]<execute_bash c2>",
        "assistant:Done.[finish {}#call_5]",
    ];
    for history in [pairs, flat] {
        let imported = row(&json!({"history": history, "metadata": {"llm_config": {"model": "m"}}}));
        assert_eq!(told(&imported), expected);
        assert_eq!(imported.trajectory.steps.len(), 2);
        assert_eq!(imported.trajectory.usage.prompt_tokens, 5);
        assert_eq!(
            (imported.trajectory.exit_status, imported.trajectory.policy.as_str()),
            (ExitStatus::Finished, "m")
        );
        assert_eq!(imported.verdict, None, "nobody evaluated it");
    }
}

#[test]
fn actions_without_a_call_get_one_and_errors_say_so() {
    let history = json!([
        {"id": 0, "source": "agent", "action": "system", "args": {"content": "Sys", "tools": [
            {"type": "function", "function": {"name": "execute_bash", "description": "d", "parameters": {}}}]}},
        {"id": 1, "source": "user", "action": "message", "args": {"content": "Go"}},
        {"id": 2, "source": "agent", "action": "run", "args": {"command": "ls", "thought": "Look.", "hidden": false}},
        {"id": 3, "source": "agent", "cause": 2, "observation": "error", "content": "0123456789", "extras": {}},
        {"id": 4, "source": "environment", "observation": "agent_state_changed", "content": "", "extras": {}},
        {"id": 5, "source": "agent", "action": "message", "args": {"content": "Well?"}},
    ]);
    let imported = row(&json!({
        "history": history, "metadata": {"llm_config": {"max_message_chars": 4}},
        "error": "RuntimeError: Agent reached maximum iteration in headless mode. Current iteration: 3.00",
    }));
    let clipped = "01\n[... Observation truncated due to length ...]\n89";
    let expected = [
        "system:Sys",
        "user:Go",
        "assistant:Look.[execute_bash {\"command\":\"ls\"}#call_2]",
        &format!("tool:{clipped}\n[Error occurred in processing last action]<execute_bash call_2>"),
        "assistant:Well?",
    ];
    assert_eq!(told(&imported), expected);
    assert_eq!(imported.trajectory.tools[0].name, "execute_bash");
    assert_eq!((imported.trajectory.exit_status, imported.failure), (ExitStatus::StepLimit, None));
}

#[test]
fn completions_in_text_form_are_taken_as_they_are() {
    let call = "Look.\n\n<function=execute_bash>\n<parameter=command>ls</parameter>\n</function>";
    let messages = json!([
        {"role": "system", "content": [{"type": "text", "text": "Sys"}]},
        {"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]},
        {"role": "assistant", "content": call},
        {"role": "user", "content": "EXECUTION RESULT of [execute_bash]:\nout"},
        {"role": "assistant", "content": null},
    ]);
    let imported = row(&json!({
        "raw_completions": {"messages": messages, "tools": []}, "history": null,
        "report": {"resolved": true, "empty_generation": false}, "metrics": {"costs": [0.5, {"cost": 0.25}]},
    }));
    let expected = [
        "system:Sys",
        "user:a\nb",
        &format!("assistant:{call}"),
        "user:EXECUTION RESULT of [execute_bash]:\nout",
        "assistant:",
    ];
    assert_eq!(told(&imported), expected);
    assert_eq!(imported.trajectory.cost(), Some(0.75));
    assert!(imported.verdict.unwrap().resolved);
}

#[test]
fn an_error_in_other_words_is_a_failure_where_there_is_no_patch() {
    let fields = json!({"error": "APIConnectionError: gone", "test_result": {}});
    assert_eq!(row(&fields).failure.unwrap().message, "APIConnectionError: gone");
    let with_patch = row(&json!({"error": "APIConnectionError: gone"}));
    assert_eq!((with_patch.failure, with_patch.trajectory.exit_status), (None, ExitStatus::Unknown));
}

#[test]
fn version_1_of_openhands_is_read_by_kind() {
    let text = |text: &str| json!([{"type": "text", "text": text}]);
    let call = |id: &str| json!({"id": id, "name": "terminal", "arguments": "{\"command\": \"ls\"}", "origin": "completion"});
    let history = json!([
        {"kind": "SystemPromptEvent", "id": "e0", "source": "agent", "system_prompt": {"type": "text", "text": "Sys"},
            "tools": [{"name": "terminal", "description": "d", "inputSchema": {"type": "object"}}]},
        {"kind": "MessageEvent", "source": "user", "llm_message": {"role": "user", "content": text("Go")}},
        {"kind": "ActionEvent", "source": "agent", "thought": text("Hm."), "reasoning_content": "deep", "action": {},
            "tool_name": "terminal", "tool_call_id": "c1", "tool_call": call("c1"), "llm_response_id": "r1"},
        {"kind": "ActionEvent", "source": "agent", "thought": [], "tool_name": "terminal", "tool_call_id": "c2",
            "tool_call": call("c2"), "llm_response_id": "r1"},
        {"kind": "ObservationEvent", "tool_name": "terminal", "tool_call_id": "c1", "action_id": "x",
            "extended_content": text("a rule"),
            "observation": {"kind": "TerminalObservation", "content": text("out"), "is_error": true}},
        {"kind": "AgentErrorEvent", "tool_name": "terminal", "tool_call_id": "c2", "error": "bad"},
        {"kind": "TokenEvent", "source": "agent", "prompt_token_ids": [1, 2], "response_token_ids": [3]},
        {"kind": "ConversationStateUpdateEvent", "key": "k", "value": null},
        {"kind": "ActionEvent", "source": "agent", "thought": [], "tool_name": "finish", "tool_call_id": "c3",
            "tool_call": {"id": "c3", "name": "finish", "arguments": "{}"}, "llm_response_id": "r2"},
        {"kind": "TokenEvent", "source": "agent", "prompt_token_ids": [1, 2, 3, 4], "response_token_ids": [5, 6]},
    ]);
    let imported = row(&json!({"history": history, "attempt": 1, "metadata": {"llm": {"model": "m"}}}));
    let arguments = "{\"command\": \"ls\"}";
    let expected = [
        "system:Sys",
        "user:Go",
        &format!("assistant:Hm.[terminal {arguments}#c1][terminal {arguments}#c2]"),
        "tool:[An error occurred during execution.]\n\nout\na rule<terminal c1>",
        "tool:bad<terminal c2>",
        "assistant:[finish {}#c3]",
    ];
    assert_eq!(told(&imported), expected);
    let trajectory = &imported.trajectory;
    assert_eq!(trajectory.messages[2].reasoning_content.as_deref(), Some("deep"));
    let ids: Vec<Vec<u32>> = trajectory.token_ids().map(|tokens| tokens.unwrap().prompt_token_ids).collect();
    assert_eq!(ids, [vec![1, 2], vec![1, 2, 3, 4]]);
    assert_eq!(
        trajectory.steps[1].tokens.as_ref().unwrap().shared,
        3,
        "what the last step had is not stored twice"
    );
    assert_eq!((trajectory.exit_status, trajectory.policy.as_str()), (ExitStatus::Finished, "m"));
}

#[test]
fn mini_is_read_with_and_without_calls() {
    let document = |exit_status: &str, submission: Value| {
        json!({
            "trajectory_format": "mini-swe-agent-1.1",
            "info": {
                "exit_status": exit_status, "submission": submission, "exception_str": "gone",
                "config": {"model": {"model_name": "m"}, "agent": {"step_limit": 0, "cost_limit": 3.0}},
            },
            "messages": [
                {"role": "system", "content": "Sys"},
                {"role": "user", "content": "Go", "extra": {}},
                {"role": "assistant", "content": null, "function_call": null,
                    "tool_calls": [{"index": 0, "id": "c1", "type": "function",
                        "function": {"name": "bash", "arguments": "{\"command\":\"ls\"}"}}],
                    "extra": {"cost": 0.5, "response": {"usage": {"prompt_tokens": 9}}}},
                {"role": "tool", "tool_call_id": "c1", "content": "out", "extra": {"returncode": 0}},
                {"role": "exit", "content": exit_status, "extra": {}},
            ],
        })
    };
    let read = |document: Value| read_text("o__n-1.traj.json", &document.to_string(), "o__n-1");
    let imported = read(document("Submitted", json!("diff --git a\n")));
    let expected = ["system:Sys", "user:Go", "assistant:[bash {\"command\":\"ls\"}#c1]", "tool:out<- c1>"];
    assert_eq!(told(&imported), expected);
    assert_eq!(imported.patch.unwrap().as_bytes(), b"diff --git a\n");
    assert_eq!((imported.trajectory.cost(), imported.trajectory.usage.prompt_tokens), (Some(0.5), 9));
    assert_eq!(imported.trajectory.exit_status, ExitStatus::Finished);
    assert_eq!(imported.trajectory.steps[0].raw, None);
    let end = |exit_status| read(document(exit_status, json!(""))).trajectory.exit_status;
    assert_eq!([end("LimitsExceeded"), end("TimeExceeded")], [ExitStatus::CostLimit, ExitStatus::TimeLimit]);
    assert_eq!(read(document("APIError", Value::Null)).failure.unwrap().message, "APIError: gone");
}

#[test]
fn swe_agent_is_read_from_its_history_or_its_steps() {
    let config = json!({"agent": {"model": {"name": "m"}}}).to_string();
    let history = json!([
        {"role": "system", "content": "Sys", "agent": "main", "message_type": "system_prompt"},
        {"role": "assistant", "content": "shown", "agent": "main", "is_demo": true},
        {"role": "user", "content": [{"type": "text", "text": "Go"}], "agent": "main"},
        {"role": "assistant", "content": "Look.", "thought": "Look.", "action": "ls", "agent": "main",
            "tool_calls": [{"function": {"arguments": "{}", "name": "ls"}, "id": "c1", "type": "function"}]},
        {"role": "tool", "content": "out", "agent": "main", "tool_call_ids": ["c1"]},
    ]);
    let info = json!({"exit_status": "submitted (exit_cost)", "submission": "diff", "model_stats": {"api_calls": 1}});
    let steps = json!([{"action": "ls", "observation": "out", "response": "Look.", "query": [
        {"role": "system", "content": "Sys"}]}]);
    let whole = json!({"trajectory": steps, "history": history, "info": info, "replay_config": config});
    let imported = read_text("o__n-1.traj", &whole.to_string(), "o__n-1");
    let expected =
        ["system:Sys", "assistant:shown", "user:Go", "assistant:Look.[ls {}#c1]", "tool:out<- c1>"];
    assert_eq!(told(&imported), expected);
    assert_eq!(imported.trajectory.steps.len(), 1, "what was shown was not said by the model");
    assert_eq!(
        (imported.trajectory.exit_status, imported.trajectory.policy.as_str()),
        (ExitStatus::CostLimit, "m")
    );
    let bare = json!({"trajectory": steps, "info": info});
    let imported = read_text("o__n-1.traj", &bare.to_string(), "o__n-1");
    assert_eq!(told(&imported), ["system:Sys", "assistant:Look.", "user:out"]);
    assert_eq!(imported.trajectory.policy, UNNAMED_MODEL);
    assert_eq!(imported.trajectory.messages.last().unwrap().role, Role::User);
}

#[test]
fn atif_of_others_is_read() {
    let document = json!({
        "schema_version": "ATIF-v1.6", "session_id": "django__django-1",
        "agent": {"name": "terminus", "version": "2", "model_name": "m"},
        "steps": [
            {"step_id": 1, "source": "user", "message": [{"type": "text", "text": "Fix"}, {"type": "image"},
                {"type": "text", "text": "it."}]},
            {"step_id": 2, "source": "agent", "message": "an example", "is_copied_context": true},
            {"step_id": 3, "source": "agent", "message": "Look.", "reasoning_content": "hm",
                "tool_calls": [{"tool_call_id": "c", "function_name": "bash", "arguments": {"command": "ls"}}],
                "observation": {"results": [{"source_call_id": "c", "content": "README"}, {"content": null}]},
                "metrics": {"prompt_tokens": 5, "completion_tokens": 2, "completion_token_ids": [1], "cost_usd": 0.5}},
        ],
    });
    let read = read_text("trajectory.json", &document.to_string(), "django__django-1");
    let Trajectory { scaffold, policy, messages, steps, usage, exit_status, .. } = read.trajectory;
    assert_eq!((scaffold.as_str(), policy.as_str(), exit_status), ("terminus", "m", ExitStatus::Unknown));
    let texts: Vec<&str> = messages.iter().map(|message| message.content.as_str()).collect();
    assert_eq!(texts, ["Fix\nit.", "an example", "Look.", "README", ""]);
    assert_eq!(messages[2].tool_calls[0].function.arguments, r#"{"command":"ls"}"#);
    assert_eq!(messages[3].name.as_deref(), Some("bash"));
    assert_eq!((steps.len(), steps[0].message_index, steps[0].cost), (1, 2, Some(0.5)));
    assert_eq!((usage.total(), steps[0].tokens.clone()), (7, None), "ids of an answer alone are of no use");
    assert_eq!((read.verdict, read.patch, read.failure), (None, None, None));
}
