use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::python::strip;
use crate::{Message, Role, ToolCall, ToolSpec};

fn tools() -> Vec<ToolSpec> {
    let tool = |name: &str, parameters| ToolSpec {
        name: name.into(),
        description: format!("Does {name}."),
        parameters,
    };
    let bash = json!({"type": "object", "properties": {
        "command": {"type": "string", "description": "What to run."},
        "timeout": {"type": "number"},
        "shown": {"type": "boolean"},
    }, "required": ["command"]});
    let text = json!({"type": "string"});
    let editor = json!({"type": "object", "properties": {
        "command": {"type": "string", "enum": ["view", "create"]},
        "path": text, "file_text": text, "old_str": text, "new_str": text,
        "insert_line": {"type": "integer"},
        "view_range": {"type": "array"},
    }, "required": ["command", "path"]});
    vec![tool("execute_bash", bash), tool("str_replace_editor", editor), tool("finish", Value::Null)]
}

fn read(text: &str) -> Result<Option<CallText>, CallError> {
    read_call(text, &tools())
}

fn arguments(text: &str) -> String {
    read(text).unwrap().expect("it makes a call").arguments
}

#[test]
fn tools_are_described_with_what_they_need() {
    let description = describe_tools(&tools()[1..]);
    assert!(description.starts_with(
        "---- BEGIN FUNCTION #1: str_replace_editor ----\nDescription: Does str_replace_editor.\nParameters:\n  \
         (1) command (string, required): No description provided\nAllowed values: [`view`, `create`]\n  (2) path"
    ));
    assert!(description.ends_with(
        "---- END FUNCTION #1 ----\n\n---- BEGIN FUNCTION #2: finish ----\nDescription: Does finish.\n\
         No parameters are required for this function.\n---- END FUNCTION #2 ----\n"
    ));
}

#[test]
fn missing_ends_are_put_in() {
    let begun = "I look.\n<function=execute_bash>\n<parameter=command>ls</parameter>\n";
    for end in ["", "</", "</function", "</function>", "</function> and more"] {
        let call = read(&format!("{begun}{end}")).unwrap().expect("it makes a call");
        assert_eq!((call.content.as_str(), call.name.as_str()), ("I look.", "execute_bash"), "{end}");
        assert_eq!(call.arguments, r#"{"command": "ls"}"#);
    }
    for (end, sent) in
        [("", "</function>"), ("</", "</function>"), ("</function", "</function>"), ("x", "x</function>")]
    {
        assert_eq!(with_end(&format!("{begun}{end}")), format!("{begun}{sent}"));
    }
    for whole in ["no call", "<function=a>\n</function> and more"] {
        assert_eq!(with_end(whole), whole);
    }
}

#[test]
fn of_several_calls_the_first_is_read() {
    let one = "<function=execute_bash>\n<parameter=command>one</parameter>\n</function>";
    assert_eq!(arguments(&format!("{one}\n{}", one.replace("one", "two"))), r#"{"command": "one"}"#);
    assert_eq!(read("<function=execute_bash><parameter=command>ls</parameter></function>"), Ok(None));
}

#[test]
fn values_are_read_as_the_tool_wants_them() {
    let call = |name: &str, value: &str| {
        format!(
            "<function=str_replace_editor>\n<parameter=command>view</parameter>\n<parameter=path>/a</parameter>\n<parameter={name}>{value}</parameter>\n</function>"
        )
    };
    for (name, value, written) in [
        ("insert_line", " +1_0 ", "10"),
        ("view_range", "[1,\n2]", "[1, 2]"),
        ("old_str", "\n    if é:\n        x\n", r#""if \u00e9:\n        x""#),
        ("path", "/b", r#"/b"#),
    ] {
        assert!(arguments(&call(name, value)).contains(written), "{name}");
    }
    let bash = |name: &str, value: &str| {
        arguments(&format!(
            "<function=execute_bash>\n<parameter=command>ls</parameter>\n<parameter={name}>{value}</parameter>\n"
        ))
    };
    for (name, value, written) in [
        ("timeout", "2.5", "2.5"),
        ("timeout", "soon", "\"soon\""),
        ("timeout", "NaN", "\"NaN\""),
        ("shown", "True", "true"),
        ("shown", "Yes", "\"Yes\""),
    ] {
        assert_eq!(bash(name, value), format!("{{\"command\": \"ls\", \"{name}\": {written}}}"));
    }
}

#[test]
fn calls_that_do_not_fit_are_told_in_the_words_of_upstream() {
    let call = |name: &str, parameters: &str| {
        let error = read(&format!("<function={name}>\n{parameters}\n</function>")).unwrap_err();
        match error {
            CallError::Validation(text) => text,
            other => other.exception(),
        }
    };
    let view = "<parameter=command>view</parameter><parameter=path>/a</parameter>";
    for (name, parameters, told) in [
        (
            "rm",
            "",
            "Function 'rm' not found in available tools: ['execute_bash', 'str_replace_editor', 'finish']",
        ),
        ("execute_bash", "", "Missing required parameters for function 'execute_bash': {'command'}"),
        (
            "execute_bash",
            "<parameter=cmd>ls</parameter>",
            "Parameter 'cmd' is not allowed for function 'execute_bash'. Allowed parameters: {'command', 'timeout', 'shown'}",
        ),
        (
            "str_replace_editor",
            "<parameter=command>open</parameter>",
            "Parameter 'command' is expected to be one of ['view', 'create'].",
        ),
        (
            "str_replace_editor",
            &format!("{view}<parameter=insert_line>1.5</parameter>"),
            "Parameter 'insert_line' is expected to be an integer.",
        ),
        (
            "str_replace_editor",
            &format!("{view}<parameter=view_range>1-2</parameter>"),
            "Parameter 'view_range' is expected to be an array.",
        ),
        ("finish", "<parameter=message>done</parameter>", "KeyError"),
    ] {
        assert_eq!(call(name, parameters), told);
    }
}

#[test]
fn conversations_of_ours_become_text() {
    let call = ToolCall::new("a", "execute_bash", &json!({"command": "ls\npwd", "timeout": 5}));
    let messages = [
        Message::text(Role::System, "You work."),
        Message::text(Role::User, "Fix it."),
        Message::calling("I look.", vec![call.clone()]),
        Message::tool_result(&call, "a.py"),
    ];
    let format = TextFormat::default();
    let text = format.to_text(&messages, &tools()).unwrap();
    assert!(text[0].content.starts_with("You work.\n\nThese functions"), "{}", text[0].content);
    assert!(text[0].content.contains("#3: finish ----"));
    assert!(
        text[1].content.starts_with("This is how") && text[1].content.contains("YOUR TASK ===\n\nFix it.\n")
    );
    assert_eq!(
        text[2].content,
        "I look.\n\n<function=execute_bash>\n<parameter=command>\nls\npwd\n</parameter>\n<parameter=timeout>5</parameter>\n</function>"
    );
    assert_eq!(
        (text[3].role, text[3].content.as_str()),
        (Role::User, "EXECUTION RESULT of [execute_bash]:\na.py")
    );
    assert!(text.iter().all(|message| message.tool_calls.is_empty() && message.name.is_none()));
    let example = format.to_text(&messages[1..2], &tools()[..1]).unwrap_err();
    assert_eq!(example.exception(), "FunctionCallConversionError");
}

#[test]
fn training_text_has_one_call_a_message_and_no_example() {
    let calls = ["a", "b", "c"].map(|id| ToolCall::new(id, "execute_bash", &json!({"command": id})));
    let messages = [
        Message::text(Role::User, "Fix it."),
        Message::calling("All at once.", calls.to_vec()),
        Message::tool_result(&calls[1], "two"),
        Message::tool_result(&calls[0], "one"),
    ];
    let text = TextFormat::default().training_text(&messages, &tools()).unwrap();
    let call =
        |id: &str| format!("<function=execute_bash>\n<parameter=command>{id}</parameter>\n</function>");
    let expected = [
        "Fix it.".to_owned(),
        call("b"),
        "EXECUTION RESULT of [execute_bash]:\ntwo".to_owned(),
        format!("All at once.\n\n{}", call("a")),
        "EXECUTION RESULT of [execute_bash]:\none".to_owned(),
    ];
    assert_eq!(text.iter().map(|message| message.content.clone()).collect::<Vec<_>>(), expected);
}

#[test]
fn words_are_read_from_a_pack() {
    let template = json!({"system_prompt_suffix": "A{description}B"}).to_string();
    let format = TextFormat::from_pack(&template).unwrap();
    assert_eq!(
        (format.tools_prefix.as_str(), format.tools_suffix.as_str(), &format.example),
        ("A", "B", &None)
    );
    assert_eq!(format.stop, ["</function"]);
    let finished = json!({
        "system_prompt_suffix": {"none": "AB", "one": "A-tool-B"},
        "description": {"none": "", "one": "-tool-"},
        "in_context_prefix": "P", "in_context_suffix": "S", "stop_words": ["X"],
    });
    let format = TextFormat::from_pack(&finished.to_string()).unwrap();
    assert_eq!((format.tools_prefix.as_str(), format.tools_suffix.as_str()), ("A", "B"));
    assert_eq!(format.example.as_ref().map(|example| example.suffix.as_str()), Some("S"));
    assert_eq!((format.stop, format.keep_answers), (vec!["X".to_owned()], false));
    for (field, value) in [
        ("stop_words", json!("x")),
        ("in_context_suffix", json!(null)),
        ("system_prompt_suffix", json!("no place")),
    ] {
        let mut pack = finished.clone();
        pack[field] = value;
        let error = TextFormat::from_pack(&pack.to_string()).unwrap_err().to_string();
        assert!(error.contains(&format!("`{field}`")), "{error}");
    }
}

#[test]
fn megabytes_of_tags_are_gone_over_once() {
    let many = |text: &str| text.repeat((10 << 20) / text.len());
    for text in [
        many("<function="),
        many("<function=a>\n"),
        many("<function=a"),
        many("<function=>"),
        many("<function=a>"),
        format!("<function=execute_bash>\n{}", many("<parameter=")),
        format!("<function=execute_bash>\n{}</function>", many("<parameter=>")),
        many("\0"),
    ] {
        assert_eq!(read(&text).unwrap_or(None), None);
    }
    let value = many("<parameter=");
    let call = format!("<function=execute_bash>\n<parameter=command>{value}</parameter>\n</function>");
    assert_eq!(arguments(&call).len(), value.len() + r#"{"command": ""}"#.len());
    let pairs = format!("<function=execute_bash>\n{}</function>", many("<parameter=command>x</parameter>"));
    assert_eq!(arguments(&pairs), r#"{"command": "x"}"#);
    let results = json!([{"role": "user", "content": many("EXECUTION RESULT of [")}]);
    assert!(from_text(results.as_array().unwrap(), &tools(), &TextFormat::default()).is_ok());
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(command in r"(?s)\PC{0,20}[ \n]?.{0,20}", path in r"/[a-z <>=/]{0,9}") {
        // A value that ends itself, or is stripped, or makes the text hold two calls, cannot come back.
        prop_assume!(!command.contains("</parameter>") && !command.contains("</function"));
        let given = json!({"command": strip(&command), "timeout": 3});
        let written = render_call("execute_bash", &given.to_string()).unwrap();
        let call = read(&format!("{path}\n\n{written}")).unwrap().expect("it is a call");
        prop_assert_eq!(serde_json::from_str::<Value>(&call.arguments).unwrap(), given);
        prop_assert_eq!(call.content, strip(&path));
    }

    #[test]
    fn any_answer_is_read_or_refused(
        pieces in prop::collection::vec(prop_oneof![
            Just("<function=execute_bash>".to_owned()), Just("<parameter=command>".to_owned()), Just("</parameter>".to_owned()),
            Just("</function>".to_owned()), Just("\n".to_owned()), Just("</".to_owned()), Just("<function=".to_owned()), ".{0,5}",
        ], 0..12)
    ) {
        let text = pieces.concat();
        if let Ok(Some(call)) = read(&text) {
            prop_assert!(text.contains(&call.content));
            let rendered = render_call(&call.name, &call.arguments);
            prop_assert!(rendered.is_ok(), "{rendered:?}");
        }
    }

    #[test]
    fn any_conversation_is_converted_or_refused(
        role in "system|user|assistant|tool|x", content in r#""[a<]{0,3}"|null|3|\[\]|\[\{"type": "text", "text": "<function=finish>\\n"\}\]|\[1\]|\[\{\}\]"#,
        rest in r#"|, "name": "n"|, "tool_calls": (null|\[\]|\[3\]|\[\{\}\]|7)|, "tool_call_id": 3"#,
    ) {
        let message: Value = serde_json::from_str(&format!(r#"{{"role": "{role}", "content": {content}{rest}}}"#)).unwrap();
        let (messages, format) = ([message], TextFormat::default());
        for converted in [to_text(&messages, &tools(), &format), from_text(&messages, &tools(), &format)].into_iter().flatten() {
            prop_assert_eq!(converted.len(), 1);
            prop_assert!(converted[0]["content"].is_string() || converted[0]["content"].is_array() || content == "3" || content == "null");
        }
        prop_assert!(single_calls(&messages, true).is_ok() || role == "tool");
    }
}
