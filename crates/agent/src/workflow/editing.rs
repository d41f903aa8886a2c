//! Writing new code.

use minijinja::context;
use swegym_core::{Message, Role};
use swegym_sandbox::{Sandbox, SandboxError};

use super::context::FileContext;
use super::line_ends::with_line_ends_of;
use super::lint::{findings, new_findings};
use super::machine::Machine;
use super::planning::OTHER_CODE;
use super::show::Show;
use super::state::{Change, Move, Report, State};
use crate::AgentCause;

/// The largest file that is read back to keep the ends of its lines.
const MAX_FILE: u64 = 4 << 20;
/// Characters of what is wrong with a change.
const MAX_COMPLAINT: usize = 8000;

/// What an answer says.
enum Edited<'a> {
    Rejected(&'a str),
    Replaced(&'a str),
    Neither,
}

impl Machine<'_> {
    pub(super) fn edit_prompt(
        &self,
        change: &Change,
        start: usize,
        end: usize,
    ) -> Result<Message, AgentCause> {
        let room = self.room(self.config.max_edit_file_tokens);
        let mut around = FileContext::default();
        around.add(&self.files, &change.file_path, &change.span_id, None);
        around.expand_initiating(&self.files);
        around.expand_related(&self.files, room, false);
        let how = Show { placeholder: OTHER_CODE, ..Show::default() };
        let content = self.files.file(&change.file_path).map(|file| file.content()).unwrap_or_default();
        let lines: Vec<&str> =
            content.split('\n').skip(start - 1).take((end + 1).saturating_sub(start)).collect();
        let content = self.prompts.render(
            "edit.j2",
            context! {
                problem_statement => &self.problem.problem_statement,
                instructions => &change.instructions,
                file_context => around.show(&self.files, how),
                code => lines.join("\n"),
            },
        )?;
        Ok(Message::text(Role::User, content))
    }

    pub(super) async fn edit(
        &mut self,
        change: &Change,
        start: usize,
        end: usize,
        answer: &str,
    ) -> Result<Move, AgentCause> {
        let code = match edited(answer) {
            Edited::Rejected(why) => return Ok(Move::plan(why)),
            Edited::Replaced(code) => code,
            Edited::Neither => {
                return Ok(Move::retry(
                    "There is no code between <replace> tags. To turn the instructions down, use a <reject> tag.",
                ));
            }
        };
        let Some(mut file) = self.files.file(&change.file_path).cloned() else {
            return Ok(Move::plan("The file is gone."));
        };
        let update = file.replace_lines(start - 1, end, code);
        let Some(diff) = update.diff else {
            return Ok(Move::retry(
                "The code between the <replace> tags is what was there before. To turn the instructions down, use a \
                 <reject> tag.",
            ));
        };
        if !update.updated {
            let error = update.error.unwrap_or_default();
            let error = crate::clip::clip(error, MAX_COMPLAINT);
            let diff = crate::clip::clip(diff, MAX_COMPLAINT);
            return Ok(Move::retry(format!(
                "This diff was not applied:\n{diff}\nErrors:\n{error}\nLeave code that is not to change exactly as it \
                 is. To turn the instructions down, use a <reject> tag."
            )));
        }
        let repo_dir = &self.config.scaffold.repo_dir;
        let before = findings(self.sandbox, repo_dir, &change.file_path).await?;
        if let Err(complaint) = save(self.sandbox, repo_dir, &change.file_path, file.content()).await {
            return Ok(Move::plan(complaint));
        }
        let after = findings(self.sandbox, repo_dir, &change.file_path).await?;
        self.files.change(file);
        for id in &update.new_span_ids {
            self.context.add(&self.files, &change.file_path, id, None);
        }
        let mut message = format!("Applied the change to {}.", change.file_path);
        if let Some(thoughts) = thoughts(answer) {
            message += &format!("\n\n<scratch_pad>\n{thoughts}</scratch_pad>");
        }
        let findings = new_findings(&before, after);
        Ok(Move::to(State::Plan(Report { message: Some(message), diff: Some(diff), findings })))
    }
}

/// Writes a file, with the ends of lines that it has. Upstream writes `\n` everywhere.
async fn save(sandbox: &dyn Sandbox, repo_dir: &str, path: &str, content: &str) -> Result<(), String> {
    let path = format!("{}/{path}", repo_dir.trim_end_matches('/'));
    let failed = |error: SandboxError| format!("The change was not saved: failed to {error}");
    let old = sandbox.read_file(&path, MAX_FILE).await.map_err(failed)?;
    let new = with_line_ends_of(&String::from_utf8_lossy(&old), content);
    sandbox.write_file(&path, new.as_bytes()).await.map_err(failed)
}

fn edited(answer: &str) -> Edited<'_> {
    let inside = |text: &'_ str, end: &str| text.find(end).map_or(text.len(), |end| end);
    if let Some((_, after)) = answer.split_once("<reject>") {
        return Edited::Rejected(&after[..inside(after, "</reject>")]);
    }
    match answer.split_once("<replace>") {
        Some((_, after)) => {
            let after = after.split("<replace>").next().unwrap_or_default();
            Edited::Replaced(&after[..inside(after, "</replace>")])
        }
        None => Edited::Neither,
    }
}

/// What the model thought: in its tag, or before the code.
fn thoughts(answer: &str) -> Option<&str> {
    let tagged = answer.split_once("<scratch_pad>").map(|(_, after)| after);
    let tagged = tagged.map(|after| after.split("</scratch_pad>").next().unwrap_or_default());
    let before = answer.split_once("<replace>").map(|(before, _)| before);
    tagged.or(before).filter(|thoughts| !thoughts.is_empty())
}
