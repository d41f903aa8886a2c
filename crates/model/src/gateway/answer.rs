//! Answers of endpoints: what is recorded of them, and what callers do not see of them.

use serde_json::{Map, Value};
use swegym_core::{Answer, CompletionTokens, Usage};

use super::outgoing::Wanted;

/// Reads the choices of a whole answer; none, where it is something else.
pub(super) fn answers(body: &Value) -> Vec<Answer> {
    let prompt = token_ids(body.get("prompt_token_ids"));
    let mut usage = body.get("usage").map(usage).unwrap_or_default();
    let choices = body.get("choices").and_then(Value::as_array).into_iter().flatten();
    let answer = |choice: &Value| {
        Some(Answer {
            message: choice.get("message")?.as_object()?.clone(),
            // All choices together are counted, and told with the first.
            usage: std::mem::take(&mut usage),
            finish_reason: choice.get("finish_reason").and_then(Value::as_str).map(str::to_owned),
            tokens: tokens(&prompt, token_ids(choice.get("token_ids")), logprobs(choice)),
        })
    };
    choices.filter_map(answer).collect()
}

/// Token counts as endpoints write them.
pub(super) fn usage(usage: &Value) -> Usage {
    let count = |place: &str| usage.pointer(place).and_then(Value::as_u64).unwrap_or_default();
    Usage {
        prompt_tokens: count("/prompt_tokens"),
        completion_tokens: count("/completion_tokens"),
        cached_tokens: count("/prompt_tokens_details/cached_tokens"),
    }
}

pub(super) fn token_ids(list: Option<&Value>) -> Vec<u32> {
    let id = |id: &Value| u32::try_from(id.as_u64()?).ok();
    list.and_then(Value::as_array).into_iter().flatten().filter_map(id).collect()
}

pub(super) fn logprobs(choice: &Value) -> Vec<f64> {
    let content = choice.pointer("/logprobs/content").and_then(Value::as_array);
    content.into_iter().flatten().filter_map(|token| token.get("logprob")?.as_f64()).collect()
}

/// The tokens of an answer, if the endpoint gave any. Log probabilities that do not fit the tokens mean nothing.
pub(super) fn tokens(prompt: &[u32], completion: Vec<u32>, logprobs: Vec<f64>) -> Option<CompletionTokens> {
    let logprobs = if logprobs.len() == completion.len() { logprobs } else { Vec::new() };
    let tokens =
        CompletionTokens { prompt_token_ids: prompt.to_vec(), completion_token_ids: completion, logprobs };
    let are_given = !tokens.prompt_token_ids.is_empty() || !tokens.completion_token_ids.is_empty();
    are_given.then_some(tokens)
}

/// Takes out of an answer, or of a part of a stream, what the caller did not ask for.
pub(super) fn strip(body: &mut Value, wanted: Wanted) {
    let Some(body) = body.as_object_mut() else { return };
    if !wanted.token_ids {
        body.shift_remove("prompt_token_ids");
    }
    let choices = body.get_mut("choices").and_then(Value::as_array_mut);
    for choice in choices.into_iter().flatten().filter_map(Value::as_object_mut) {
        strip_choice(choice, wanted);
    }
}

fn strip_choice(choice: &mut Map<String, Value>, wanted: Wanted) {
    if !wanted.token_ids {
        choice.shift_remove("token_ids");
    }
    if !wanted.logprobs
        && let Some(logprobs) = choice.get_mut("logprobs")
    {
        *logprobs = Value::Null;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NOTHING: Wanted = Wanted { stream: false, stream_usage: false, token_ids: false, logprobs: false };

    fn answer() -> Value {
        let content = json!([{"token": "a", "logprob": -0.5}, {"token": "b", "logprob": -1.0}]);
        let choice = json!({"index": 0, "message": {"role": "assistant", "content": "ab"}, "finish_reason": "stop",
            "logprobs": {"content": content}, "token_ids": [3, 4]});
        json!({"choices": [choice], "prompt_token_ids": [1, 2],
            "usage": {"prompt_tokens": 2, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 1}}})
    }

    #[test]
    fn tokens_are_recorded() {
        let answers = answers(&answer());
        let tokens = answers[0].tokens.clone().unwrap();
        assert_eq!((tokens.prompt_token_ids, tokens.completion_token_ids), (vec![1, 2], vec![3, 4]));
        assert_eq!(tokens.logprobs, [-0.5, -1.0]);
        assert_eq!(answers[0].usage, Usage { prompt_tokens: 2, completion_tokens: 2, cached_tokens: 1 });
        assert_eq!(answers[0].finish_reason.as_deref(), Some("stop"));
    }

    #[test]
    fn callers_see_what_they_asked_for() {
        let mut plain = answer();
        strip(&mut plain, NOTHING);
        assert!(plain.get("prompt_token_ids").is_none() && plain["choices"][0].get("token_ids").is_none());
        assert_eq!(plain["choices"][0]["logprobs"], Value::Null);
        let mut all = answer();
        strip(&mut all, Wanted { token_ids: true, logprobs: true, ..NOTHING });
        assert_eq!(all, answer());
    }

    #[test]
    fn nonsense_has_no_answers() {
        for body in [json!(null), json!({}), json!({"choices": 1}), json!({"choices": [1, {"message": "x"}]})]
        {
            assert_eq!(answers(&body), [], "{body}");
            strip(&mut body.clone(), NOTHING);
        }
        let odd =
            json!({"choices": [{"message": {}, "token_ids": [-1, "x", 5], "logprobs": []}], "usage": []});
        assert_eq!(answers(&odd)[0].tokens.clone().unwrap().completion_token_ids, [5]);
    }
}
