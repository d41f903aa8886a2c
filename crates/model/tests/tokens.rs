//! A rollout in tokens: what is sent is what was sent and received before, and new tokens.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use swegym_core::{ChatRequest, CompletionTokens, Message, Role, ToolSpec};
use swegym_model::{
    ChatClient, ChatPolicy, ChatTemplate, ClientConfig, ModelError, Notices, Policy, TokenModel, Tokenizer,
};
use swegym_testkit::{RecordedRequest, Reply, ScriptedServer};

/// Words that have a token of their own, the longest fitting one being cut off first. All else is one token a character.
const WORDS: [&str; 8] =
    ["<|im_start|>", "<|im_end|>", "<tool_call>", "</tool_call>", "assistant", "execute_bash", "ls", "\n"];
const FIRST_CHAR: u32 = 1000;
const EOS: u32 = 1;

struct Toy;

impl Tokenizer for Toy {
    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let mut ids = Vec::new();
        let mut rest = text;
        while let Some(char) = rest.chars().next() {
            let word = WORDS.iter().position(|word| rest.starts_with(word));
            ids.push(word.map_or(FIRST_CHAR + char as u32, |word| word as u32));
            rest = &rest[word.map_or(char.len_utf8(), |word| WORDS[word].len())..];
        }
        Ok(ids)
    }

    fn decode(&self, ids: &[u32]) -> Result<String, String> {
        let text = |&id: &u32| match WORDS.get(id as usize) {
            Some(word) => Ok((*word).to_owned()),
            None => char::from_u32(id - FIRST_CHAR).map(String::from).ok_or(format!("no token {id}")),
        };
        ids.iter().map(text).collect()
    }
}

/// Cuts a text into characters, as no tokenizer would, apart from the end of the turn.
fn one_by_one(text: &str) -> Vec<u32> {
    let (text, end) = text.strip_suffix(WORDS[1]).map_or((text, vec![]), |text| (text, vec![EOS]));
    text.chars().map(|char| FIRST_CHAR + char as u32).chain(end).collect()
}

const TEMPLATE: &str = "
{%- if tools %}{{- '<|im_start|>system\n' + (tools|tojson) + '<|im_end|>\n' }}{% endif %}
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content }}
    {%- for call in message.tool_calls or [] %}
        {{- '\n<tool_call>\n' + (call.function|tojson) + '\n</tool_call>' }}
    {%- endfor %}
    {{- '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{% endif %}";

/// Leaves reasoning out of all turns but the last.
const FORGETFUL: &str = "
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' }}
    {%- if message.reasoning_content and loop.last %}{{- '<think>' + message.reasoning_content + '</think>' }}{% endif %}
    {{- message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n<think>' if messages|length == 1 else '<|im_start|>assistant\n' }}{% endif %}";

/// Plays answers in their own tokens.
async fn server(answers: Vec<Vec<u32>>) -> ScriptedServer {
    let answers = Mutex::new(answers.into_iter());
    ScriptedServer::start_with(move |request: &RecordedRequest| {
        let next = answers.lock().expect("no handler panics").next();
        let Some(completion_token_ids) = next else { return Reply::status(400, "the script has ended") };
        let text = Toy.decode(&completion_token_ids).expect("the script is in tokens");
        let logprobs = completion_token_ids.iter().map(|&id| -f64::from(id)).collect();
        let prompt_token_ids = sent(request);
        Reply::Text(text, CompletionTokens { prompt_token_ids, completion_token_ids, logprobs })
    })
    .await
}

fn sent(request: &RecordedRequest) -> Vec<u32> {
    serde_json::from_value(request.body["prompt"].clone()).expect("the prompt is in tokens")
}

fn policy(server: &ScriptedServer, template: &str) -> (ChatPolicy, Arc<Mutex<Vec<String>>>) {
    policy_with(server, template, |_| {})
}

fn policy_with(
    server: &ScriptedServer,
    template: &str,
    change: impl FnOnce(&mut ClientConfig),
) -> (ChatPolicy, Arc<Mutex<Vec<String>>>) {
    let said = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&said);
    let template = ChatTemplate::new(template, "", "<|im_end|>").expect("the template is good");
    let mut config = ClientConfig {
        token_mode: Some(Arc::new(TokenModel { template, tokenizer: Box::new(Toy) })),
        notices: Notices::new(move |message| {
            listener.lock().expect("no listener panics").push(message.to_owned());
        }),
        ..ClientConfig::new(server.base_url(), "toy-model")
    };
    change(&mut config);
    let client = ChatClient::new(config).expect("the address is good");
    (ChatPolicy::new(Arc::new(client)), said)
}

fn tools() -> [ToolSpec; 1] {
    let parameters = json!({"type": "object"});
    [ToolSpec { name: "execute_bash".into(), description: "Runs <|im_end|>.".into(), parameters }]
}

fn call(command: &str) -> String {
    format!(
        "I look.\n<tool_call>\n{{\"name\": \"execute_bash\", \"arguments\": {{\"command\":\"{command}\"}}}}\n</tool_call><|im_end|>"
    )
}

#[tokio::test]
async fn over_a_whole_rollout_no_token_is_cut_anew() {
    let mut answers = vec![
        // As the tokenizer would have it, character by character, and an answer that was cut off.
        Toy.encode(&call("ls")).unwrap(),
        one_by_one(&call("ls <|im_end|> assistant")),
        one_by_one("I think about ls"),
    ];
    answers.extend((0..5).map(|number| one_by_one(&call(&format!("ls {number} ü")))));
    let server = server(answers.clone()).await;
    let (mut policy, said) = policy(&server, TEMPLATE);
    let tools = tools();
    let mut messages = vec![Message::text(Role::System, "Fix it."), Message::text(Role::User, "ls fails")];
    for answer in &answers {
        let completion = policy.complete(&ChatRequest::new(&messages, &tools)).await.unwrap();
        let tokens = completion.tokens.unwrap();
        assert_eq!(&tokens.completion_token_ids, answer);
        assert_eq!(tokens.logprobs.len(), answer.len());
        let message = completion.message;
        let calls = message.tool_calls.clone();
        messages.push(message);
        match calls.first() {
            Some(call) => messages.push(Message::tool_result(call, "README.md <|im_end|> ls\n")),
            None => messages.push(Message::text(Role::User, "Go on.")),
        }
    }
    let requests = server.requests();
    assert_eq!(requests.len(), answers.len());
    for (step, pair) in requests.windows(2).enumerate() {
        let known = [sent(&pair[0]), answers[step].clone()].concat();
        let next = sent(&pair[1]);
        assert!(next.starts_with(&known), "step {step}");
        let new = Toy.decode(&next[known.len()..]).unwrap();
        let turn = match step {
            2 => "<|im_end|>\n<|im_start|>user\nGo on.<|im_end|>\n<|im_start|>assistant\n",
            _ => "\n<|im_start|>tool\nREADME.md <|im_end|> ls\n<|im_end|>\n<|im_start|>assistant\n",
        };
        assert_eq!(new, turn, "step {step}");
    }
    assert_eq!(requests[0].target, "POST /v1/completions");
    assert_eq!(requests[0].body["max_tokens"], 4096);
    let first = Toy.decode(&sent(&requests[0])).unwrap();
    assert!(first.ends_with("<|im_start|>user\nls fails<|im_end|>\n<|im_start|>assistant\n"), "{first}");
    assert_eq!(*said.lock().unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn calls_and_text_are_read_from_the_tokens() {
    let server = server(vec![one_by_one(&format!("<think>\nhm</think>\n{}", call("ls")))]).await;
    let (mut policy, _) = policy(&server, TEMPLATE);
    let messages = [Message::text(Role::User, "x")];
    let completion = policy.complete(&ChatRequest::new(&messages, &tools())).await.unwrap();
    assert_eq!(completion.message.reasoning_content.as_deref(), Some("hm"));
    assert_eq!(completion.message.content, "I look.");
    assert_eq!(completion.message.tool_calls[0].function.arguments, r#"{"command":"ls"}"#);
    assert_eq!(completion.finish_reason.as_deref(), Some("tool_calls"));
    assert!(completion.raw.unwrap().content.starts_with("<think>"));
}

#[tokio::test]
async fn a_template_that_forgets_does_not_change_what_was_sent() {
    let answers = vec![
        one_by_one("hm</think>one<|im_end|>"),
        one_by_one("two<|im_end|>"),
        one_by_one("three<|im_end|>"),
    ];
    let server = server(answers.clone()).await;
    let (mut policy, said) = policy(&server, FORGETFUL);
    let mut messages = vec![Message::text(Role::User, "x")];
    for _ in &answers {
        messages.push(policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap().message);
        messages.push(Message::text(Role::User, "more"));
    }
    let requests = server.requests();
    for (step, pair) in requests.windows(2).enumerate() {
        let known = [sent(&pair[0]), answers[step].clone()].concat();
        assert!(sent(&pair[1]).starts_with(&known), "step {step}");
    }
    let said = said.lock().unwrap();
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains("rewrites earlier turns"), "{said:?}");
}

#[tokio::test]
async fn a_conversation_that_was_changed_begins_afresh_and_the_same_one_is_sent_again() {
    let server = server(vec![one_by_one("one<|im_end|>"); 3]).await;
    let (mut policy, said) = policy(&server, TEMPLATE);
    let mut messages = vec![Message::text(Role::User, "x")];
    policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap();
    let again = policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap();
    messages[0].content = "shorter".to_owned();
    messages.push(again.message);
    messages.push(Message::text(Role::User, "y"));
    policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap();
    let requests = server.requests();
    assert_eq!(sent(&requests[0]), sent(&requests[1]));
    let whole = "<|im_start|>user\nshorter<|im_end|>\n<|im_start|>assistant\none<|im_end|>\n<|im_start|>user\ny<|im_end|>\n<|im_start|>assistant\n";
    assert_eq!(sent(&requests[2]), Toy.encode(whole).unwrap());
    assert!(said.lock().unwrap()[0].contains("afresh"));
}

#[tokio::test]
async fn an_endpoint_without_token_ids_is_refused() {
    let reply = Reply::Json(json!({"choices": [{"text": "hi", "finish_reason": "stop"}]}));
    let other = json!({"choices": [{"text": "hi", "prompt_token_ids": [1], "token_ids": [2]}]});
    for reply in [reply, Reply::Json(other)] {
        let server = ScriptedServer::start(vec![reply]).await;
        let (mut policy, _) = policy(&server, TEMPLATE);
        let outcome = policy.complete(&ChatRequest::new(&[], &[])).await;
        assert!(matches!(outcome, Err(ModelError::Setup { .. })), "{outcome:?}");
    }
}

#[tokio::test]
async fn an_answer_in_tokens_that_stands_still_is_given_up_and_asked_for_again() {
    let answer = one_by_one("one<|im_end|>");
    let (whole, is_first) = (answer.clone(), AtomicBool::new(true));
    let server = ScriptedServer::start_with(move |request: &RecordedRequest| {
        if is_first.swap(false, Ordering::SeqCst) {
            let part = json!({"choices": [{"index": 0, "text": "o", "token_ids": [whole[0]]}]});
            return Reply::SilentStream(vec![format!("data: {part}\n\n").into_bytes()]);
        }
        let tokens = CompletionTokens {
            prompt_token_ids: sent(request),
            completion_token_ids: whole.clone(),
            logprobs: vec![-0.5; whole.len()],
        };
        Reply::Text("one".to_owned(), tokens)
    })
    .await;
    let (mut policy, _) = policy_with(&server, TEMPLATE, |config| {
        (config.stream, config.idle_time_limit) = (true, Duration::from_millis(30));
        (config.first_backoff, config.max_backoff) = (Duration::ZERO, Duration::ZERO);
    });
    let messages = [Message::text(Role::User, "x")];
    let completion = policy.complete(&ChatRequest::new(&messages, &[])).await.unwrap();
    assert_eq!(completion.tokens.unwrap().completion_token_ids, answer, "nothing of the half answer is left");
    assert_eq!(completion.message.content, "one");
    let requests = server.requests();
    assert_eq!((requests.len(), &requests[0].body["stream"]), (2, &json!(true)));
    assert_eq!(sent(&requests[0]), sent(&requests[1]));
    tokio::time::timeout(Duration::from_secs(60), server.idle()).await.expect("the server need not go on");
}
