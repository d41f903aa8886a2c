use proptest::prelude::*;

use super::*;
use crate::recorder::sent_prompt;
use crate::{CommitId, InstanceId, Problem, RepoName};

type Sent = Map<String, Value>;

fn empty() -> Trajectory {
    let problem = Problem {
        instance_id: InstanceId::new("a__b-1").unwrap(),
        repo: RepoName::new("a/b").unwrap(),
        base_commit: CommitId::new("0".repeat(40)).unwrap(),
        problem_statement: String::new(),
    };
    Trajectory::empty(&problem, 0, "outside", "model")
}

fn message(value: Value) -> Sent {
    value.as_object().unwrap().clone()
}

fn text(role: &str, content: &str) -> Sent {
    message(json!({"role": role, "content": content}))
}

fn call(recorder: &mut Recorder, messages: &[Sent], answer: &Sent) -> Addition {
    recorder.record(Call {
        messages,
        tools: &[],
        model: "model",
        fields: Map::new(),
        answers: vec![Answer { message: answer.clone(), ..Answer::default() }],
        model_ms: 0,
    })
}

#[test]
fn a_conversation_that_grows_is_stored_once() {
    let mut recorder = Recorder::new(empty());
    let mut conversation = vec![text("system", "s"), text("user", "u")];
    for _ in 0..5 {
        // Every answer and every observation says the same.
        call(&mut recorder, &conversation, &text("assistant", "again"));
        conversation.extend([text("assistant", "again"), text("user", "go on")]);
    }
    let trajectory = recorder.finish(ExitStatus::Finished);
    assert_eq!(trajectory.messages.len(), 2 + 5 + 4);
    let indices: Vec<_> = trajectory.steps.iter().map(|step| step.message_index).collect();
    assert_eq!(indices, [2, 4, 6, 8, 10]);
    assert!(trajectory.steps.iter().all(|step| step.prompt.is_empty()));
}

#[test]
fn conversations_side_by_side_share_their_beginning_alone() {
    let mut recorder = Recorder::new(empty());
    let mut two = ["one", "two"].map(|task| vec![text("system", "s"), text("user", task)]);
    for _ in 0..2 {
        for conversation in &mut two {
            call(&mut recorder, conversation, &text("assistant", "ok"));
            conversation.extend([text("assistant", "ok"), text("user", "go on")]);
        }
    }
    let prompts: Vec<_> = recorder.trajectory().steps.iter().map(|step| step.prompt.clone()).collect();
    let expected = [vec![], vec![(0, 1), (3, 4)], vec![(0, 3), (5, 6)], vec![(0, 1), (3, 5), (7, 8)]];
    assert_eq!(prompts, expected);
    assert_eq!(recorder.trajectory().messages.len(), 9);
}

#[test]
fn a_shortened_history_repeats_nothing() {
    let mut recorder = Recorder::new(empty());
    let mut history = vec![text("system", "s")];
    for turn in 0..4 {
        history.push(text("user", &format!("observation {turn}")));
        let answer = text("assistant", &format!("answer {turn}"));
        call(&mut recorder, &history, &answer);
        history.push(answer);
    }
    history.drain(1..5);
    history.insert(1, text("user", "summary"));
    call(&mut recorder, &history, &text("assistant", "done"));
    let step = recorder.trajectory().steps.last().unwrap();
    assert_eq!((&step.prompt[..], step.message_index), (&[(0, 1), (9, 10), (5, 9)][..], 10));
}

#[test]
fn tools_and_other_fields_are_kept() {
    let tool = |name: &str| json!({"type": "function", "function": {"name": name, "description": "", "parameters": {}}});
    let mut recorder = Recorder::new(empty());
    let fields = message(json!({"temperature": 0.5, "new_field": {"x": [1]}}));
    for tools in [vec![tool("a")], vec![tool("a")], vec![tool("b")], vec![]] {
        let answers = vec![Answer::default(), Answer::default()];
        let model = if tools.is_empty() { "other" } else { "model" };
        let call = Call { messages: &[], tools: &tools, model, fields: fields.clone(), answers, model_ms: 1 };
        recorder.record(call);
    }
    let trajectory = recorder.trajectory();
    assert_eq!(trajectory.tools[0].name, "a");
    let request = |step: usize| Value::Object(trajectory.steps[step].request.clone());
    assert_eq!(request(0), json!({"temperature": 0.5, "new_field": {"x": [1]}}));
    assert_eq!((request(1), request(2)), (json!({}), request(0)));
    assert_eq!((&request(4)["tools"], &request(6)["tools"]), (&json!([tool("b")]), &json!([])));
    assert_eq!((&request(4)["model"], &request(6)["model"]), (&Value::Null, &json!("other")));
    assert!(trajectory.steps.iter().all(|step| sent_prompt(trajectory, step).is_empty()));
}

/// What a program does with one of its conversations.
#[derive(Debug, Clone)]
struct Move {
    conversation: usize,
    /// Where something is left out, and how much.
    cut: Option<(usize, usize)>,
    added: Vec<Sent>,
    answer: Sent,
    /// Whether it goes on in a copy.
    branches: bool,
    echo: Echo,
}

#[derive(Debug, Clone, Copy)]
enum Echo {
    AsReceived,
    WithNulls,
    WithMore,
}

fn some_message() -> impl Strategy<Value = Sent> {
    let content = prop_oneof![
        "[ab]".prop_map(Value::from),
        Just(json!([{"type": "text", "text": "a"}])),
        Just(Value::Null)
    ];
    let more = prop_oneof![Just(Value::Null), Just(json!({"a": [null]})), Just(json!([])), Just(json!("x"))];
    (prop_oneof![Just("system"), Just("user"), Just("tool"), Just("odd")], content, more)
        .prop_map(|(role, content, more)| message(json!({"role": role, "content": content, "more": more})))
}

fn some_move() -> impl Strategy<Value = Move> {
    let echo = prop_oneof![Just(Echo::AsReceived), Just(Echo::WithNulls), Just(Echo::WithMore)];
    let cut = proptest::option::weighted(0.2, (0..6_usize, 0..4_usize));
    let answer = "[ab]".prop_map(|content| text("assistant", &content));
    (0..4_usize, cut, proptest::collection::vec(some_message(), 0..3), answer, any::<bool>(), echo).prop_map(
        |(conversation, cut, added, answer, branches, echo)| Move {
            conversation,
            cut,
            added,
            answer,
            branches,
            echo,
        },
    )
}

fn without_silence(messages: &[Sent]) -> Vec<Sent> {
    let says = |value: &Value| !matches!(value, Value::Null) && *value != json!([]) && *value != json!("");
    let telling = |message: &Sent| {
        message.iter().filter(|(_, value)| says(value)).map(|(k, v)| (k.clone(), v.clone())).collect()
    };
    messages.iter().map(telling).collect()
}

proptest! {
    #[test]
    fn every_prompt_is_read_back_in_any_interleaving(
        moves in proptest::collection::vec(some_move(), 1..25),
        restart in 0..25_usize,
    ) {
        let (mut recorder, mut journal) = (Recorder::new(empty()), empty());
        let mut conversations = vec![Vec::new()];
        let mut sent: Vec<(Vec<Sent>, Sent)> = Vec::new();
        for (number, Move { conversation, cut, added, answer, branches, echo }) in moves.into_iter().enumerate() {
            if number == restart {
                recorder = Recorder::new(journal.clone());
            }
            let at = conversation % conversations.len();
            let mut messages: Vec<Sent> = conversations[at].clone();
            if let Some((start, length)) = cut {
                let start = start.min(messages.len());
                messages.drain(start..(start + length).min(messages.len()));
            }
            messages.extend(added);
            journal.add(call(&mut recorder, &messages, &answer));
            sent.push((messages.clone(), answer.clone()));
            let mut echoed = answer;
            match echo {
                Echo::AsReceived => {}
                Echo::WithNulls => drop(echoed.insert("tool_calls".to_owned(), Value::Null)),
                Echo::WithMore => drop(echoed.insert("odd".to_owned(), 1.into())),
            }
            messages.push(echoed);
            if branches && conversations.len() < 4 { conversations.push(messages) } else { conversations[at] = messages }
        }
        let text = serde_json::to_string(&journal).unwrap();
        let trajectory: Trajectory = serde_json::from_str(&text).unwrap();
        prop_assert_eq!(&trajectory, recorder.trajectory());
        prop_assert_eq!(trajectory.steps.len(), sent.len());
        for (step, (messages, answer)) in trajectory.steps.iter().zip(&sent) {
            prop_assert_eq!(sent_prompt(&trajectory, step), without_silence(messages));
            prop_assert_eq!(&trajectory.messages[step.message_index].content, answer["content"].as_str().unwrap());
        }
    }

    #[test]
    fn a_conversation_goes_on_from_its_own_answers(turns in proptest::collection::vec((0..3_usize, "[ab]"), 1..30)) {
        let mut recorder = Recorder::new(empty());
        let mut conversations: Vec<Vec<Sent>> = (0..3).map(|task| vec![text("user", &format!("task {task}"))]).collect();
        let mut steps: Vec<Vec<usize>> = vec![Vec::new(); 3];
        for (which, answer) in turns {
            let conversation = &mut conversations[which];
            let addition = call(&mut recorder, conversation, &text("assistant", &answer));
            let prompt: Vec<usize> = match &addition.steps[0].prompt[..] {
                [] => (0..addition.steps[0].message_index).collect(),
                ranges => ranges.iter().flat_map(|&(start, end)| start..end).collect(),
            };
            for index in &steps[which] {
                prop_assert!(prompt.contains(index), "{:?} lacks {}", prompt, index);
            }
            steps[which].push(addition.steps[0].message_index);
            conversation.extend([text("assistant", &answer), text("user", &answer)]);
        }
    }
}

#[test]
fn a_call_that_failed_is_no_part_of_any_conversation_but_its_prompt_is_kept() {
    let mut recorder = Recorder::new(empty());
    let asked = [text("system", "s"), message(json!({"role": "user", "content": "u", "mark": 1}))];
    let failed = |recorder: &mut Recorder, messages: &[Sent]| {
        let answers = vec![Answer { message: text("assistant", "hal"), ..Answer::default() }];
        let tools =
            [json!({"type": "function", "function": {"name": "f", "description": "", "parameters": {}}})];
        let call = Call { messages, tools: &tools, model: "model", fields: Map::new(), answers, model_ms: 7 };
        let kind = crate::CallFailureKind::Broken;
        recorder.record_failed(call, CallFailure { kind, message: "it broke".into(), status: None })
    };
    let first = failed(&mut recorder, &asked);
    let mut told = empty();
    told.add(first);
    assert_eq!(&told, recorder.trajectory(), "the journal says the same");
    assert_eq!(told.tools[0].name, "f");
    // A restart, the same again, and an answer.
    let mut recorder = Recorder::new(told);
    failed(&mut recorder, &asked);
    call(&mut recorder, &asked, &text("assistant", "half an answer"));
    let trajectory = recorder.finish(ExitStatus::Finished);
    assert_eq!(trajectory.messages.len(), 3);
    assert_eq!(sent_prompt(&trajectory, &trajectory.steps[0]), asked);
    let prompts: Vec<_> =
        trajectory.failed_calls.iter().map(|call| (call.prompt.clone(), call.model_ms)).collect();
    assert_eq!(prompts, [(vec![(0, 2)], 7), (vec![(0, 2)], 7)]);
}
