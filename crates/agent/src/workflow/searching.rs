//! Searching, identifying and deciding.

use minijinja::context;
use swegym_core::{Message, Role};

use super::actions::{Decision, Identify, Search, read};
use super::context::FileContext;
use super::index::{Hit, SearchRequest};
use super::machine::Machine;
use super::show::Show;
use super::state::{Move, Report, State, StateKind};
use crate::AgentCause;

/// Spans that the first look shows, and of each file. Upstream ignores what it is set up with, and so do we.
const FIRST_SPANS: usize = 50;
const FIRST_SPANS_PER_FILE: usize = 5;
/// What a span that is shown by its first lines only is limited to.
pub(super) const SIGNATURE_ONLY: Option<usize> = Some(1);
const REST: &str = "... rest of the code";

/// Code with ids of spans, without comments.
pub(super) const WITH_IDS: Show<'static> =
    Show { span_ids: true, line_numbers: false, hide_comments: true, placeholder: Some(REST) };
/// The same without ids.
const WITHOUT_IDS: Show<'static> = Show { span_ids: false, ..WITH_IDS };

impl Machine<'_> {
    pub(super) async fn search_prompt(
        &mut self,
        message: Option<&str>,
        prompt: &mut Vec<Message>,
    ) -> Result<(), AgentCause> {
        if self.first_look.is_none() {
            let request = SearchRequest {
                query: Some(self.problem.problem_statement.clone()),
                ..SearchRequest::default()
            };
            let (hits, _) =
                self.files.index.ranked(&request, FIRST_SPANS, Some(FIRST_SPANS_PER_FILE)).await?;
            let mut look = FileContext::default();
            for hit in &hits {
                look.add(&self.files, &hit.file_path, &hit.span_id, SIGNATURE_ONLY);
            }
            self.first_look = Some(look.show(&self.files, Show { hide_comments: true, ..Show::default() }));
        }
        let history = self.history();
        let said: Vec<&str> =
            history.iter().map(|(said, _)| *said).chain([message.unwrap_or_default()]).collect();
        let found = self.context.show(&self.files, WITHOUT_IDS);
        for (index, said) in said.iter().enumerate() {
            let is_last = index == history.len();
            let content = self.prompts.render(
                "search.j2",
                context! {
                    problem_statement => (index == 0).then_some(&self.problem.problem_statement),
                    first_look => self.first_look.as_deref(),
                    message => *said,
                    is_last,
                    file_context => found.as_str(),
                },
            )?;
            prompt.push(Message::text(Role::User, content));
            if let Some((_, action)) = history.get(index) {
                prompt.push(Message::text(Role::Assistant, *action));
            }
        }
        Ok(())
    }

    pub(super) async fn search(&mut self, answer: &str) -> Result<Move, AgentCause> {
        let action: Search = match read(answer) {
            Ok(action) => action,
            Err(complaint) => return Ok(Move::Retry(complaint)),
        };
        self.remember(&action);
        if action.complete == Some(true) {
            return Ok(Move::plan(action.scratch_pad));
        }
        if let Some(complaint) = action.complaint() {
            return Ok(Move::retry(complaint));
        }
        let most = self.config.max_search_results / action.search_requests.len();
        let mut hits = Vec::new();
        for request in &action.search_requests {
            hits.extend(self.files.index.search(request, most).await?.0);
        }
        if hits.is_empty() {
            return Ok(Move::retry("Nothing relevant was found by this search. Try other parameters."));
        }
        Ok(Move::to(State::Identify { hits }))
    }

    pub(super) fn identify_prompt(&mut self, hits: &[Hit]) -> Result<Message, AgentCause> {
        let room = self.room(self.config.max_file_tokens);
        let mut found = FileContext::default();
        found.add_ranked(&self.files, hits, room);
        found.expand_initiating(&self.files);
        found.expand_related(&self.files, room, true);
        found.expand_small_classes(&self.files, room);
        let content = self.prompts.render(
            "identify.j2",
            context! {
                problem_statement => &self.problem.problem_statement,
                file_context => self.context.show(&self.files, WITH_IDS),
                search_results => found.show(&self.files, WITH_IDS),
            },
        )?;
        Ok(Message::text(Role::User, content))
    }

    pub(super) fn identify(&mut self, hits: &[Hit], answer: &str) -> Move {
        let action: Identify = match read(answer) {
            Ok(action) => action,
            Err(complaint) => return Move::Retry(complaint),
        };
        self.remember(&action);
        let identified = action.identified_spans.unwrap_or_default();
        if identified.is_empty() {
            // Upstream lists the parameters of the search and then overwrites the list; so there is none.
            let message = format!(
                "The search found {} spans, but none of them seems to be relevant.\n\n{}",
                hits.len(),
                action.scratch_pad
            );
            return Move::to(State::Search { message: Some(message) });
        }
        for file in &identified {
            for span in &file.span_ids {
                self.context.add(&self.files, &file.file_path, span, None);
            }
        }
        Move::to(State::Decide)
    }

    pub(super) fn decide_prompt(&mut self) -> Result<Message, AgentCause> {
        let room = self.room(self.config.max_file_tokens);
        self.context.expand_initiating(&self.files);
        self.context.expand_related(&self.files, room, false);
        self.context.expand_small_classes(&self.files, room);
        let searches = self.visits.iter().rev().filter(|visit| visit.kind == StateKind::Search);
        let thoughts = searches.filter_map(|visit| visit.action.as_deref()).next();
        let thoughts =
            thoughts.and_then(|action| read::<Search>(action).ok()).map(|action| action.scratch_pad);
        let content = self.prompts.render(
            "decide.j2",
            context! {
                problem_statement => &self.problem.problem_statement,
                thoughts => thoughts.unwrap_or_default(),
                file_context => self.context.show(&self.files, WITHOUT_IDS),
            },
        )?;
        Ok(Message::text(Role::User, content))
    }

    pub(super) fn decide(&mut self, answer: &str) -> Move {
        let action: Decision = match read(answer) {
            Ok(action) => action,
            Err(complaint) => return Move::Retry(complaint),
        };
        self.remember(&action);
        let before = self.visits.iter().filter(|visit| visit.relevant).count();
        if let Some(visit) = self.visits.last_mut() {
            visit.relevant = action.relevant;
        }
        if action.relevant && (action.complete || before >= self.config.relevant_count) {
            return Move::to(State::Plan(Report::default()));
        }
        Move::to(State::Search { message: action.search_suggestions })
    }
}
