//! What the model reads of an observation, in the form of OpenHands.

use crate::clip::truncate_observation;

/// What was observed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown<'a> {
    /// A command that has ended.
    Command {
        /// What it printed.
        content: &'a str,
        /// The interpreter and the prompt, which OpenHands keeps apart.
        details: &'a str,
        /// How it ended.
        exit_code: i64,
    },
    /// What an IPython cell printed, which is also how editor calls are answered.
    Cell(&'a str),
    /// What went wrong.
    Error(&'a str),
    /// Why the user turned the action down.
    Rejected(&'a str),
}

/// The text of an observation. `answers_call` says whether the agent's own call led to it. Content of more than `limit`
/// characters loses its middle; `None` is no limit.
pub fn observation_text(shown: &Shown<'_>, answers_call: bool, limit: Option<usize>) -> String {
    match *shown {
        Shown::Command { content, details, exit_code } => {
            let text = match answers_call {
                true => format!("{content}{details}"),
                false => format!("\nObserved result of command executed by user:\n{content}"),
            };
            format!("{}\n[Command finished with exit code {exit_code}]", without_middle(text, limit))
        }
        Shown::Cell(content) => {
            let lines: Vec<&str> = content.split('\n').map(without_image).collect();
            without_middle(lines.join("\n"), limit)
        }
        Shown::Error(content) => {
            let text = without_middle(content.to_owned(), limit);
            format!("{text}\n[Error occurred in processing last action]")
        }
        Shown::Rejected(content) => {
            let text = without_middle(content.to_owned(), limit);
            format!("OBSERVATION:\n{text}\n[Last action has been rejected by the user]")
        }
    }
}

fn without_image(line: &str) -> &str {
    match line.contains("![image](data:image/png;base64,") {
        true => "![image](data:image/png;base64, ...) already displayed to user",
        false => line,
    }
}

fn without_middle(text: String, limit: Option<usize>) -> String {
    match limit.and_then(|limit| i64::try_from(limit).ok()) {
        Some(limit) => truncate_observation(&text, limit),
        None => text,
    }
}
