//! Client of OpenAI-compatible endpoints: vLLM, SGLang, a gateway, a vendor.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use swegym_core::{ChatRequest, Completion, Message, Usage};

use crate::budget::RetryBudget;
use crate::dialogue::{self, Dialogue};
use crate::pool::{Pool, Wish};
use crate::problem::{Problem, Sign};
use crate::retry::Backoff;
use crate::transport::{Route, Transport};
use crate::wire::{self, Manner, Read};
use crate::{ClientConfig, ModelError, Notices, Policy, Price, Sampling, TokenModel, tokens, tool_parser};

/// Endpoints of one model and how to use them: one for all rollouts, which share connections, limits and the budget
/// for trying again.
pub struct ChatClient {
    transport: Transport,
    pool: Arc<Pool>,
    budget: RetryBudget,
    model: String,
    sampling: Sampling,
    manner: Manner,
    token_mode: Option<Arc<TokenModel>>,
    price: Option<Price>,
    max_tries: u32,
    backoff: Backoff,
    notices: Notices,
    totals: Mutex<Totals>,
}

/// What a client has come to, over all rollouts.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Totals {
    /// Answers.
    pub answers: u64,
    /// Tries that failed.
    pub failed_tries: u64,
    /// Tokens of the answers.
    pub usage: Usage,
    /// Their price in US dollars, where prices are known.
    pub cost: Option<f64>,
}

impl fmt::Debug for ChatClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChatClient")
            .field("endpoints", &self.transport.shown())
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

impl ChatClient {
    /// Sets the client up; it connects with the first request.
    ///
    /// # Errors
    /// [`ModelError::Setup`] when an address or the key cannot be used, or the system's certificates not be read.
    pub fn new(config: ClientConfig) -> Result<Self, ModelError> {
        let transport = Transport::new(&config)?;
        Ok(Self {
            pool: Arc::new(Pool::new(transport.endpoints(), config.max_concurrency)),
            transport,
            budget: RetryBudget::new(),
            model: config.model,
            sampling: config.sampling,
            manner: Manner { stream: config.stream, token_ids: config.token_ids },
            token_mode: config.token_mode,
            price: config.price,
            max_tries: config.max_tries,
            backoff: Backoff { first: config.first_backoff, max: config.max_backoff },
            notices: config.notices,
            totals: Mutex::default(),
        })
    }

    /// Name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// What it has come to so far.
    pub fn totals(&self) -> Totals {
        *self.totals.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks, as often as it makes sense.
    async fn ask(
        self: &Arc<Self>,
        route: Route,
        body: Vec<u8>,
        rollout: &mut RolloutState,
    ) -> Result<Read, ModelError> {
        self.budget.deposit();
        let mut wish = Wish { home: rollout.home, avoid: None };
        let mut tries = 0;
        loop {
            tries += 1;
            self.check_endpoints();
            let permit = self.pool.acquire(wish).await;
            let endpoint = permit.index();
            let answer = self.transport.ask(endpoint, route, body.clone(), &mut rollout.made_ids).await;
            let problem = match answer {
                Ok(read) => {
                    permit.give_back(Sign::Sound, Duration::ZERO);
                    rollout.home = Some(endpoint);
                    return Ok(read);
                }
                Err(problem) => problem,
            };
            let pause = problem.retry_after().unwrap_or_default().min(self.backoff.max);
            permit.give_back(problem.sign(), pause);
            self.count(|totals| totals.failed_tries += 1);
            if tries >= self.max_tries || !problem.may_pass() {
                return Err(self.transport.error(problem, tries));
            }
            wish = Wish { home: Some(endpoint), avoid: Some(endpoint) };
            tokio::time::sleep(self.delay(&problem, endpoint, tries)).await;
        }
    }

    /// Wait before the next try. Going over from a broken endpoint to another neither waits nor is paid for: the
    /// other one is asked for the first time.
    fn delay(&self, problem: &Problem, endpoint: usize, tries: u32) -> Duration {
        let elsewhere = self.pool.has_alternative(endpoint);
        match problem.sign() {
            Sign::Broken if elsewhere => Duration::ZERO,
            _ => {
                let retry_after = problem.retry_after().filter(|_| !elsewhere);
                self.backoff.delay(tries, retry_after).max(self.budget.withdraw())
            }
        }
    }

    /// Looks after the endpoints, as often as is due.
    fn check_endpoints(self: &Arc<Self>) {
        for endpoint in self.pool.due_checks() {
            let client = Arc::clone(self);
            tokio::spawn(async move {
                let healthy = client.transport.is_healthy(endpoint).await;
                client.pool.checked(endpoint, healthy);
            });
        }
    }

    /// Adds to an answer what follows from the settings of the client.
    fn complete(&self, read: Read) -> Completion {
        let mut completion = read.completion;
        if self.manner.token_ids {
            match read.tokens.checked(&completion.usage) {
                Ok(tokens) => {
                    if tokens.logprobs.is_empty() && !tokens.completion_token_ids.is_empty() {
                        self.notices
                            .say("logprobs", "the endpoint gives token ids, but no log probabilities");
                    }
                    completion.tokens = Some(tokens);
                }
                Err(why) => {
                    let message = format!("token ids of an answer cannot be used, and are left out: {why}");
                    self.notices.say("token ids", &message);
                }
            }
        }
        self.account(completion)
    }

    /// Adds the price of an answer, and the answer to the totals.
    fn account(&self, mut completion: Completion) -> Completion {
        completion.cost = self.price.and_then(|price| price.cost(&completion.usage));
        if self.price.is_some() && completion.cost.is_none() {
            self.notices
                .say("cost", "the endpoint does not count tokens: nothing is known of what answers cost");
        }
        self.count(|totals| {
            totals.answers += 1;
            totals.usage += completion.usage;
            if let Some(cost) = completion.cost {
                *totals.cost.get_or_insert_default() += cost;
            }
        });
        completion
    }

    fn count(&self, change: impl FnOnce(&mut Totals)) {
        change(&mut self.totals.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// What one rollout remembers between its requests.
#[derive(Debug, Default)]
struct RolloutState {
    made_ids: u64,
    home: Option<usize>,
    seed: Option<i64>,
}

/// One rollout's use of a [`ChatClient`].
#[derive(Debug)]
pub struct ChatPolicy {
    client: Arc<ChatClient>,
    state: RolloutState,
    dialogue: Dialogue,
}

impl ChatPolicy {
    /// A policy for one rollout.
    pub fn new(client: Arc<ChatClient>) -> Self {
        Self { client, state: RolloutState::default(), dialogue: Dialogue::default() }
    }

    /// The same with a seed of its own, in place of the client's.
    #[must_use]
    pub fn with_seed(mut self, seed: i64) -> Self {
        self.state.seed = Some(seed);
        self
    }
}

#[async_trait]
impl Policy for ChatPolicy {
    fn name(&self) -> &str {
        &self.client.model
    }

    async fn complete(&mut self, request: &ChatRequest<'_>) -> Result<Completion, ModelError> {
        let client = Arc::clone(&self.client);
        let mut sampling = wire::sampling_of(&client.sampling, request);
        if self.state.seed.is_some() {
            sampling.to_mut().seed = self.state.seed;
        }
        if let Some(model) = &client.token_mode {
            return self.complete_in_tokens(&client, model, &sampling, request).await;
        }
        let body =
            wire::request_body(&client.model, &sampling, client.manner, request).map_err(unwritable)?;
        let read = client.ask(Route::Chat, body, &mut self.state).await?;
        Ok(client.complete(read))
    }
}

impl ChatPolicy {
    async fn complete_in_tokens(
        &mut self,
        client: &Arc<ChatClient>,
        model: &TokenModel,
        sampling: &Sampling,
        request: &ChatRequest<'_>,
    ) -> Result<Completion, ModelError> {
        let prompt = self.dialogue.prompt(model, request, &client.notices)?;
        let body = wire::text_body(&client.model, sampling, client.manner, &prompt, request.json_object);
        let body = body.map_err(unwritable)?;
        let Read { mut completion, tokens } = client.ask(Route::Text, body, &mut self.state).await?;
        let unsuitable = |why: String| ModelError::Setup {
            message: format!("the endpoint cannot be used in tokens, with `return_token_ids`: {why}"),
        };
        let tokens = tokens::checked_answer(tokens, &completion.usage, &prompt).map_err(unsuitable)?;
        let ids = &tokens.completion_token_ids;
        let is_cut = completion.finish_reason.as_deref() == Some("length");
        let end = if is_cut { None } else { dialogue::turn_end(model, ids)? };
        let words = &ids[..ids.len() - usize::from(end.is_some())];
        self.dialogue.answered(ids, end);
        let text = dialogue::decode(model, words)?;
        let parser = model.template.tool_parser();
        completion.message = tool_parser::message(parser, &text, request.tools, &mut self.state.made_ids);
        completion.raw = Some(Box::new(Message::calling(text, Vec::new())));
        if !completion.message.tool_calls.is_empty() && completion.finish_reason.as_deref() == Some("stop") {
            completion.finish_reason = Some("tool_calls".to_owned());
        }
        completion.tokens = Some(tokens);
        Ok(client.account(completion))
    }
}

fn unwritable(error: serde_json::Error) -> ModelError {
    ModelError::Setup { message: error.to_string() }
}
