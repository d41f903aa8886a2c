//! Planning a change, and choosing the lines of it.

use minijinja::{Value, context};
use swegym_core::{ExitStatus, Message, Role};

use super::actions::{ApplyChange, SpecifyLines, read};
use super::code::{Group, Kind, Module, Span};
use super::context::FileContext;
use super::file::CodeFile;
use super::lines::{line_after, line_before};
use super::lint::Finding;
use super::machine::Machine;
use super::searching::{SIGNATURE_ONLY, WITH_IDS};
use super::show::Show;
use super::state::{Change, Move, State};
use crate::AgentCause;

/// Ranges with fewer lines between their ends are widened.
const SHORT: i64 = 4;
/// A range that ends this near the end of a definition goes to the end; so does its beginning.
const NEAR: i64 = 5;
/// Code around an edit.
pub(super) const OTHER_CODE: Option<&str> = Some("... other code");

impl Machine<'_> {
    /// What later prompts show of the beginning of a stay.
    pub(super) fn opening(&self, state: &State) -> Result<String, AgentCause> {
        Ok(match state {
            State::Search { message } => message.clone().unwrap_or_default(),
            State::Plan(report) => {
                let facts = |finding: &Finding| {
                    let Finding { code, line, message } = finding;
                    context! { code => code.as_str(), line => *line, message => message.as_str() }
                };
                self.prompts.render(
                    "plan.j2",
                    context! {
                        problem_statement => None::<&str>,
                        message => report.message.as_deref().unwrap_or_default(),
                        diff => report.diff.as_deref(),
                        findings => report.findings.iter().map(facts).collect::<Vec<Value>>(),
                        is_last => false,
                        file_context => "",
                    },
                )?
            }
            _ => String::new(),
        })
    }

    pub(super) fn plan_prompt(&self, prompt: &mut Vec<Message>) -> Result<(), AgentCause> {
        let history = self.history();
        let opening = self.visits.last().map_or("", |visit| visit.opening.as_str());
        let found = self.context.show(&self.files, WITH_IDS);
        let said: Vec<&str> = history.iter().map(|(said, _)| *said).chain([opening]).collect();
        for (index, said) in said.iter().enumerate() {
            let content = self.prompts.render(
                "plan.j2",
                context! {
                    problem_statement => (index == 0).then_some(&self.problem.problem_statement),
                    message => *said,
                    diff => None::<&str>,
                    findings => Vec::<String>::new(),
                    is_last => index == history.len(),
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

    pub(super) fn plan(&mut self, report: &super::state::Report, answer: &str) -> Move {
        let action: ApplyChange = match read(answer) {
            Ok(action) => action,
            Err(complaint) => return Move::Retry(complaint),
        };
        self.remember(&action);
        let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        if action.action == "review" {
            return if report.diff.is_some() {
                Move::End(ExitStatus::Finished)
            } else {
                Move::retry(
                    "A review is not possible. If the change is done, finish the task; else reject it.",
                )
            };
        }
        if given(&action.finish).is_some() {
            return Move::End(ExitStatus::Finished);
        }
        if given(&action.reject).is_some() {
            return Move::End(ExitStatus::Rejected);
        }
        let (Some(file_path), Some(span_id)) = (given(&action.file_path), given(&action.span_id)) else {
            return Move::retry("Ask for a change with file_path and span_id, or finish the task.");
        };
        match action.instructions {
            Some(instructions) => self.change(Change { instructions, file_path, span_id }),
            None => Move::retry("Say in instructions what is to change."),
        }
    }

    fn change(&self, change: Change) -> Move {
        let (Some(known), Some(file)) =
            (self.context.span_ids(&change.file_path), self.files.file(&change.file_path))
        else {
            let files: String = self.context.paths().map(|path| format!(" * {path}\n")).collect();
            return Move::retry(format!(
                "The file {} is not in the file context. Only these files can be changed:\n{files}",
                change.file_path
            ));
        };
        let module = file.module();
        let span = module.span(&change.span_id);
        // A span whose code is shown because of others in it counts, too.
        let shown =
            |span: &&Span| known.contains(&span.id.as_str()) || module.has_span_inside(span.block, &known);
        let Some(span) = span.filter(shown) else {
            let known = known.join(", ");
            return Move::retry(format!("There is no span {}. These are available: {known}", change.span_id));
        };
        let is_class = module.blocks[span.block].kind == Kind::Class;
        let (tokens, end_line) = if is_class {
            (module.tokens(span.block), module.blocks[span.block].end_line)
        } else {
            (span.tokens, span.end_line)
        };
        if tokens > self.config.max_span_tokens {
            return Move::to(State::Clarify(change));
        }
        Move::to(State::Edit { start_line: span.start_line, end_line, change })
    }

    pub(super) fn clarify_prompt(&self, change: &Change) -> Result<Message, AgentCause> {
        let mut code = FileContext::default();
        code.add(&self.files, &change.file_path, &change.span_id, None);
        if let Some((module, span)) = self.target(change)
            && module.blocks[span.block].kind == Kind::Class
        {
            for (_, member) in module.children(span.block) {
                let id = member.span.map(|span| module.spans[span].id.as_str());
                if let Some(id) = id.filter(|id| member.kind.group() == Group::Structure && *id != span.id) {
                    code.add(&self.files, &change.file_path, id, SIGNATURE_ONLY);
                }
            }
        }
        let how = Show { line_numbers: true, placeholder: OTHER_CODE, ..Show::default() };
        let content = self.prompts.render(
            "clarify.j2",
            context! { instructions => &change.instructions, code => code.show(&self.files, how) },
        )?;
        Ok(Message::text(Role::User, content))
    }

    fn target(&self, change: &Change) -> Option<(&Module, &Span)> {
        let module = self.files.file(&change.file_path)?.module();
        Some((&**module, module.span(&change.span_id)?))
    }

    pub(super) fn clarify(&mut self, change: &Change, answer: &str) -> Move {
        let action: SpecifyLines = match read(answer) {
            Ok(action) => action,
            Err(complaint) => return Move::Retry(complaint),
        };
        self.remember(&action);
        if action.reject == Some(true) {
            return Move::plan(action.scratch_pad);
        }
        let (Some((module, span)), Some(file)) = (self.target(change), self.files.file(&change.file_path))
        else {
            return Move::plan("The span is gone.");
        };
        let lines: Vec<&str> = file.content().split('\n').collect();
        if let Some(complaint) = self.line_complaint(&action, module, span, &lines) {
            return Move::Retry(complaint);
        }
        let widened = if action.end_line - action.start_line < SHORT {
            self.widened(&action, file, &lines)
        } else {
            Some((action.start_line, action.end_line))
        };
        let range =
            widened.and_then(|(start, end)| Some((usize::try_from(start).ok()?, usize::try_from(end).ok()?)));
        let Some((start_line, end_line)) = range.filter(|(start, end)| *start >= 1 && start <= end) else {
            return Move::retry("There is no code at these lines.");
        };
        let mut change = change.clone();
        if !action.scratch_pad.is_empty() {
            change.instructions += &format!("\n\n{}", action.scratch_pad);
        }
        Move::to(State::Edit { change, start_line, end_line })
    }

    fn line_complaint(
        &self,
        action: &SpecifyLines,
        module: &Module,
        span: &Span,
        lines: &[&str],
    ) -> Option<String> {
        let number = |line: usize| i64::try_from(line).unwrap_or(i64::MAX);
        let (start, end) = (action.start_line, action.end_line);
        if start < 1 || end < start || end > number(lines.len()) {
            return Some(format!("The lines {start} to {end} are no range of lines of the file."));
        }
        if start <= number(span.start_line) && end >= number(span.end_line) {
            return Some(format!(
                "The lines {start} to {end} are the whole span. Choose only those that are to change."
            ));
        }
        let block = &module.blocks[span.block];
        let head_end = block.children.first().map(|child| module.blocks[*child].start_line.saturating_sub(1));
        let only_head = block.kind.group() == Group::Structure
            && start == number(block.start_line)
            && head_end.is_some_and(|head| number(head) >= end)
            && module.tokens(span.block) > self.config.max_line_tokens;
        let vague = "Choose the lines that are to change.";
        if only_head {
            return Some(format!(
                "The lines {start} to {end} are only the head of the {}. {vague}",
                block.kind.label()
            ));
        }
        let of = |line: i64| usize::try_from(line).unwrap_or_default();
        let tokens = self.tokens.count(&lines[of(start) - 1..of(end)].join("\n"));
        (tokens > self.config.max_line_tokens).then(|| {
            format!(
                "The lines {start} to {end} have {tokens} tokens, more than the limit of {}. {vague} If that is not \
                 possible, reject the instructions.",
                self.config.max_line_tokens
            )
        })
    }

    /// A short range, widened to the definition that it is in, or to lines nearby where that is too large.
    fn widened(&self, action: &SpecifyLines, file: &CodeFile, lines: &[&str]) -> Option<(i64, i64)> {
        let module = file.module();
        let number = |line: usize| i64::try_from(line).unwrap_or(i64::MAX);
        let (start, end) = (action.start_line, action.end_line);
        let first = module.block_from_line(Module::ROOT, usize::try_from(start).ok()?)?;
        let is_structure = |kind: Kind| kind.group() == Group::Structure;
        let covers = is_structure(module.blocks[first].kind) && number(module.blocks[first].end_line) > end;
        let outer = if covers { first } else { module.around(first, is_structure)? };
        let (outer_start, outer_end) =
            (number(module.blocks[outer].start_line), number(module.blocks[outer].end_line));
        if module.tokens(outer) < self.config.max_line_tokens {
            return Some((outer_start, outer_end));
        }
        let end = if outer_end - end < NEAR { outer_end } else { line_after(end, outer_end, lines).ok()? };
        let start = if start - outer_start < NEAR {
            outer_start
        } else {
            line_before(start, outer_start, lines).ok()?
        };
        Some((start, end))
    }
}
