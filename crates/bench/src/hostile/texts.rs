//! Readers of texts: logs, answers of models, statements, templates.

use std::hint::black_box;

use serde_json::{Value, json};
use swegym_agent::history::{Event, EventKind, Source, conversation_window, stuck};
use swegym_agent::{Behaviour, split_commands, truncate_observation};
use swegym_core::fncall::{TextFormat, from_text, read_call, render_call};
use swegym_core::python::{Json, parse_int};
use swegym_core::{ToolSpec, Trajectory};
use swegym_data::lite;
use swegym_harness::{
    ChannelKey, ChannelSession, ParserName, Profile, RunInstance, RunPrediction, RunReportInput, parse,
    parse_as, run_report,
};
use swegym_model::{ChatTemplate, EventReader, Script};
use swegym_sandbox::Captured;

use super::Subject;
use super::inputs::{Input, repeated};

pub(super) fn subjects() -> Vec<Subject> {
    let mut subjects = logs();
    subjects.extend(answers());
    subjects.extend(others());
    subjects
}

fn logs() -> Vec<Subject> {
    let inputs = || {
        let mut inputs = repeated([
            "[",
            "[1",
            "\u{1b}[31m",
            "FAILED[",
            "FAILED [ ",
            "FAILED a\n",
            "FAILED a - ",
            " - ",
            " ... ",
            "x ... ok\n",
            "x.py: ",
            "\n",
            "\r",
            " PASSED",
            "MouseButton.LEFT",
            "x ... Internal Server Error: /",
            "x ... Testing against Django installed in ",
            "x ... System check identified no issues (0 silenced)",
            "test_a (",
            "\u{ff}",
        ]);
        inputs.extend([
            Input::counted("", "PASSED a%\n", ""),
            Input::counted("", "test_a% (m.C) ... ok\n", ""),
            Input::counted("", "test_a% ok\n", ""),
            Input::within("PASSED ", "a[", ""),
        ]);
        inputs
    };
    let read = |parser: ParserName| {
        Subject::new(format!("log of {}, strict and swebench5", parser.as_str()), inputs(), move |log| {
            black_box(parse(parser, log));
            drop(black_box(str::from_utf8(log).map(|log| parse_as(Profile::Swebench5, parser, log))));
        })
    };
    ParserName::ALL.map(read).into()
}

fn tools() -> Vec<ToolSpec> {
    let properties = json!({"x": {"type": "array"}, "y": {"type": "integer"}, "z": {"type": "string"}});
    let parameters = json!({"type": "object", "properties": properties, "required": ["x"]});
    vec![ToolSpec { name: "f".to_owned(), description: String::new(), parameters }]
}

fn answers() -> Vec<Subject> {
    let calls = || {
        let mut inputs = repeated([
            "<function=",
            "<function=f>",
            "<function=f>\n",
            "<function=f>\n</function>",
            "<function=f>\n<parameter=x>",
            "</function>",
            "<parameter=x>",
            "EXECUTION RESULT of [",
            "]:\n",
            "<",
        ]);
        inputs.extend([
            Input::within("<function=f>\n", "<parameter=x>1</parameter>", "</function>"),
            Input::within("<function=f>\n", "<parameter=z>1</parameter>", "</function>"),
            Input::counted("<function=f>\n", "<parameter=z%>1</parameter>", "</function>"),
            Input::within("<function=f>\n<parameter=x>", "[", "</parameter></function>"),
            Input::within("<function=f>\n<parameter=x>[", "1,", "1]</parameter></function>"),
            Input::within("<function=f>\n<parameter=y>", "1", "</parameter></function>"),
            Input::within("<function=f>\n<parameter=z>", "\u{1}", "</parameter></function>"),
        ]);
        inputs
    };
    let read = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        drop(black_box(read_call(&text, &tools())));
        for role in ["user", "assistant", "system"] {
            let messages = [json!({"role": role, "content": &*text})];
            drop(black_box(from_text(&messages, &tools(), &TextFormat::default())));
        }
    };
    let arguments = || {
        let mut inputs = json_texts();
        inputs.push(Input::counted("{", "\"k%\": 1, ", "\"k\": 1}"));
        inputs
    };
    let as_text = |text: &[u8]| {
        let text = String::from_utf8_lossy(text);
        drop(black_box(render_call("f", &text)));
        drop(black_box(Json::parse(&text).map(|json| (json.to_repr(), json.to_json()))));
        drop(black_box(parse_int(&text)));
    };
    vec![
        Subject::new("calls in text", calls(), read),
        Subject::new("arguments of calls", arguments(), as_text),
        Subject::new("bash commands", shell_texts(), |text| {
            drop(black_box(str::from_utf8(text).map(split_commands)));
        }),
        Subject::new("truncation", repeated(["x", "\u{e9}", "\n"]), |text| {
            let text = String::from_utf8_lossy(text);
            drop(black_box(truncate_observation(&text, 30_000)));
        }),
        Subject::new("stuck and condense", repeated(["x\n", "SyntaxError: incomplete input\n"]), histories),
    ]
}

/// The text as the words of many events, and as those of a few.
fn histories(text: &[u8]) {
    let text = String::from_utf8_lossy(text);
    for parts in [8, 100_000] {
        let size = (text.len() / parts).max(1);
        let words: Vec<&str> =
            text.as_bytes().chunks(size).filter_map(|part| str::from_utf8(part).ok()).collect();
        let events: Vec<Event<'_>> = words
            .iter()
            .enumerate()
            .map(|(number, text)| Event {
                id: number as u64,
                source: Source::Agent,
                cause: None,
                kind: EventKind::Message { text, waits: false },
            })
            .collect();
        for behaviour in [Behaviour::Sane, Behaviour::OpenHands] {
            black_box(stuck(&events, behaviour));
        }
        black_box(conversation_window(&events));
    }
}

fn others() -> Vec<Subject> {
    let statements = repeated([
        "a ",
        "0123456789abcdef",
        "https://",
        "[x](",
        "![",
        "#1 ",
        "issue ",
        "<img src=",
        "```",
        "\n",
        "GH-1",
    ]);
    let events = repeated(["data: x\n", "data:\n\n", "\r", "\n", ":", "event: x\r\n\r\n", "data: "]);
    vec![
        Subject::new("side channel", channels(), side_channel),
        Subject::new("server-sent events", events, |stream| {
            let mut reader = EventReader::default();
            let end = stream
                .chunks(4096)
                .try_for_each(|piece| reader.feed(piece).map(|events| drop(black_box(events))));
            drop(black_box((end, reader.finish())));
        }),
        Subject::new("statements of the Lite filter", statements, |text| {
            let text = String::from_utf8_lossy(text);
            black_box(lite::count_words(&text));
            black_box(lite::has_commit_hash(&text));
            black_box(lite::has_hyperlink(&text, "o/n"));
            black_box(lite::has_image_name(&text));
            black_box(lite::has_issue_reference(&text, "o/n", &mut |_| false));
        }),
        Subject::new("reports of upstream", json_texts(), |text| one_report(&String::from_utf8_lossy(text))),
        Subject::new("scripts", json_texts(), |text| {
            drop(black_box(str::from_utf8(text).map(Script::from_json)));
        }),
        Subject::new("trajectories of ours", json_texts(), |text| {
            drop(black_box(serde_json::from_slice::<Trajectory>(text)));
            drop(black_box(serde_json::from_slice::<Value>(text)));
        }),
        Subject::new("chat templates", templates(), |source| {
            if let Ok(template) = ChatTemplate::new(&String::from_utf8_lossy(source), "", "") {
                drop(black_box(template.render(&[], &[], true)));
            }
        }),
    ]
}

fn templates() -> Vec<Input> {
    let mut inputs = repeated([
        "{{",
        "{%",
        "{{ (",
        "{% if x %}",
        "{{ x }}",
        "{# ",
        "x\n",
        "{{ [[",
        "{{ x|string }}",
        "{{ 'a' ~ ",
    ]);
    inputs.push(Input::within(
        "{% for a in range(99999) %}{% for b in range(99999) %}",
        "x",
        "{% endfor %}{% endfor %}",
    ));
    inputs
}

/// Texts of lines, for each of which the code is made in [`side_channel`].
fn channels() -> Vec<Input> {
    let result = r#"{"n":%,"kind":"result","id":"t%","phase":"call","outcome":"passed","xfail":false,"raised":"","at":"","from":["x"]}"#;
    let collected = r#"{"n":0,"kind":"collected","from":[],"ids":["#;
    let mut inputs = repeated(["\n", "x\n", "{\n", "{}\n"]);
    inputs.extend([
        Input::counted("", &format!("{result}\n"), ""),
        Input::counted("", &format!("{}\n", result.replace("t%", "t")), ""),
        Input::counted(collected, "\"t%\",", "\"t\"]}"),
        Input::within(r#"{"n":0,"kind":"probe","what":"x","from":["#, "[", "]}"),
    ]);
    inputs
}

/// As many bytes of lines that the plugin might have written; the time that their codes take counts twice.
fn side_channel(text: &[u8]) {
    let Ok(key) = ChannelKey::new() else { return };
    let lines = String::from_utf8_lossy(text);
    let mut head = String::with_capacity(text.len());
    for line in lines.split('\n') {
        if head.len() >= text.len() {
            break;
        }
        head += &key.line(line);
        head.push('\n');
    }
    black_box(ChannelSession::read(&key, &Captured { head: head.into_bytes(), ..Captured::default() }));
}

/// JSON, or almost.
pub(super) fn json_texts() -> Vec<Input> {
    let mut inputs = repeated(["[", "{\"a\":", "\"\\u0041", "\"\\ud800", " ", "1", "-", "\u{0}", "[1,"]);
    inputs.extend([
        Input::within("[", "1,", "1]"),
        Input::within("[", "[],", "1]"),
        Input::within("{\"a\": \"", "\\u0001", "\"}"),
        Input::within("{\"a\": ", "9", "}"),
        Input::within("{\"a\": 0.", "9", "}"),
        Input::within("{\"a\": 1e", "9", "}"),
        Input::within("{", "\"a\": 1, ", "\"b\": 1}"),
        Input::counted("{", "\"k%\": 1, ", "\"k\": 1}"),
        Input::within("{\"x__x-1\": {\"resolved\": true}}", " ", ""),
    ]);
    inputs
}

fn shell_texts() -> Vec<Input> {
    let mut inputs = repeated([
        "(",
        "$(",
        "`",
        "{ ",
        "'",
        "\"",
        "\\",
        "a;",
        "a\n",
        "a | ",
        "a && ",
        "if ",
        "for x in ",
        "case x in ",
        "<<E\n",
        "$((",
        "${",
        "a=b ",
        "# ",
        "<(",
        "\n",
        " ",
        "function f ",
        "! ",
        "\u{e9}",
    ]);
    inputs.extend([
        Input::within("cat <<E\n", "x\n", "E\n"),
        Input::within("", "(a", ")"),
        Input::within("\"", "$(\"", ""),
    ]);
    inputs
}

fn one_report(report: &str) {
    let dataset = [RunInstance { instance_id: "x__x-1", image: "", report: Some(report), log: report }];
    let predictions = [RunPrediction { instance_id: "x__x-1", model: "m", has_patch: true }];
    let input = RunReportInput { run_id: "r", dataset: &dataset, predictions: &predictions, leftovers: None };
    Profile::ALL.iter().for_each(|profile| drop(black_box(run_report(*profile, &input))));
}
