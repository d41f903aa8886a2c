//! The shell: one session for the whole rollout, in which directory, variables and background jobs are kept.

use std::time::{Duration, Instant};

use serde_json::json;
use swegym_core::ToolSpec;
use swegym_sandbox::{Sandbox, SandboxError, Session, SessionOutput, SessionSpec, SessionStatus, Terminal};

use super::arguments::Arguments;
use super::command::{kept, with_trailer};
use super::toolbox::{Observed, ToolError};
use crate::bash_split::split_commands;
use crate::clip::clip_output;
use crate::history::{End, Shown, observation_text};
use crate::{Behaviour, ScaffoldConfig};

pub(super) const NAME: &str = "execute_bash";

/// How long a command that was interrupted or killed is waited for.
const END_PATIENCE: Duration = Duration::from_secs(5);
/// How often upstream interrupts a command before it kills it.
const INTERRUPTS: usize = 2;
/// Commands of one input that are run one by one; of more, all are run as one.
const MOST_COMMANDS: usize = 1000;
/// The exit code that upstream gives a command whose time was over.
const INTERRUPTED: i32 = 130;
/// The terminal that upstream's commands see.
const TERMINAL: Terminal = Terminal::Pty { rows: 24, columns: 80 };

pub(super) fn spec(config: &ScaffoldConfig) -> ToolSpec {
    let (repo_dir, patience) = (&config.repo_dir, config.command_patience.as_secs_f64());
    let limit = config.command_time_limit.as_secs_f64();
    let mut description = format!(
        "Runs a command in bash and shows what it printed (standard output and standard error together), its exit \
         code and the directory that the shell is in then.\n\
         All commands run in one shell, which starts in {repo_dir}: a change of directory, variables and activated \
         environments last. The middle of a long output is left out."
    );
    let mut properties = json!({
        "command": {"type": "string", "description": "The command, of one line or several."},
    });
    if config.behaviour == Behaviour::Sane {
        description.push_str(&format!(
            "\nThere is no terminal, so do not start editors and pagers. A command that still runs after {patience} s \
             goes on while you read what it printed until then. As long as it runs, the `command`s are: an empty one \
             to wait longer, `ctrl+c` to interrupt it, `kill` to kill it and everything it started, or, with \
             `is_input`, a line for its standard input. After {limit} s it is killed."
        ));
        properties["is_input"] = json!({
            "type": "boolean",
            "description": "Whether `command` is a line for the command that runs. Default: false.",
        });
        properties["timeout"] = json!({
            "type": "number",
            "description": format!("Seconds to wait for its end. Default: {patience}."),
        });
    } else {
        description.push_str(&format!("\nA command is interrupted after {limit} s."));
    }
    ToolSpec {
        name: NAME.to_owned(),
        description,
        parameters: json!({"type": "object", "properties": properties, "required": ["command"]}),
    }
}

/// The shell of one rollout, started with the first command.
pub(super) struct Shell<'a> {
    sandbox: &'a dyn Sandbox,
    config: &'a ScaffoldConfig,
    session: Option<Box<dyn Session>>,
    /// When the command that runs was started.
    running: Option<Instant>,
}

/// What the policy wants of the command that runs.
enum Wish<'a> {
    Wait,
    Interrupt,
    Kill,
    Input(&'a str),
    /// Something that has to wait until it has ended.
    Command(&'a str),
}

impl<'a> Wish<'a> {
    fn of(command: &'a str, is_input: bool) -> Self {
        match command.trim() {
            _ if is_input => Self::Input(command),
            "" => Self::Wait,
            "ctrl+c" | "Ctrl+C" | "C-c" => Self::Interrupt,
            "kill" => Self::Kill,
            _ => Self::Command(command),
        }
    }
}

impl<'a> Shell<'a> {
    pub(super) fn new(sandbox: &'a dyn Sandbox, config: &'a ScaffoldConfig) -> Self {
        Self { sandbox, config, session: None, running: None }
    }

    /// Does what a call says; the observation is what was printed, and where the command stands.
    pub(super) async fn run(
        &mut self,
        arguments: &Arguments,
        time_left: Duration,
    ) -> Result<Observed, ToolError> {
        let command = arguments.text("command")?;
        if command.contains('\0') {
            return Err(ToolError::refused("the command holds a NUL character"));
        }
        let asked = arguments.optional_positive("timeout")?;
        let wish = Wish::of(command, arguments.optional_flag("is_input")?);
        let patience = asked.map_or(self.config.command_patience, seconds).min(time_left);
        let observed = match self.running {
            Some(begun) => self.go_on(wish, begun, patience).await,
            None => self.begin(wish, patience).await,
        };
        observed.map_err(|error| self.lost(error))
    }

    async fn begin(&mut self, wish: Wish<'_>, patience: Duration) -> Result<Observed, ToolError> {
        let Wish::Command(command) = wish else {
            return Err(ToolError::refused("no command runs"));
        };
        if self.config.behaviour == Behaviour::OpenHands {
            return self.begin_each(command, patience).await;
        }
        let session = self.open().await?;
        let output = session.run(command, patience).await?;
        self.observe(command, output, Instant::now()).await
    }

    /// Upstream runs the commands of an input one by one, up to the first that fails.
    async fn begin_each(&mut self, input: &str, patience: Duration) -> Result<Observed, ToolError> {
        let commands = split_commands(input).ok().filter(|commands| commands.len() <= MOST_COMMANDS);
        let commands = commands.unwrap_or_else(|| vec![input.to_owned()]);
        // What stands in the observation before the output of the command that runs.
        let mut before = String::new();
        let mut left = commands.len();
        for command in &commands {
            let output = self.open().await?.run(command, patience).await?;
            before.push_str(command);
            left -= 1;
            if left == 0 || !matches!(output.status, SessionStatus::Done { exit_code: 0, .. }) {
                return self.observe(&before, output, Instant::now()).await;
            }
            let printed = clip_output(&output.output, self.config.observation_limit);
            before.push_str(&format!("\r\n{}\r\n", printed.trim_end_matches(['\r', '\n'])));
        }
        Err(ToolError::refused("there is no command"))
    }

    async fn go_on(
        &mut self,
        wish: Wish<'_>,
        begun: Instant,
        patience: Duration,
    ) -> Result<Observed, ToolError> {
        let session = self.open().await?;
        let patience = match wish {
            Wish::Wait => patience,
            Wish::Interrupt => {
                session.interrupt().await?;
                END_PATIENCE.min(patience)
            }
            Wish::Kill => {
                session.kill_foreground().await?;
                END_PATIENCE.min(patience)
            }
            Wish::Input(line) => {
                session.send_input(format!("{line}\n").as_bytes()).await?;
                patience
            }
            Wish::Command(_) => Duration::ZERO,
        };
        let output = session.poll(patience).await?;
        let mut observed = self.observe("", output, begun).await?;
        let Wish::Command(command) = wish else { return Ok(observed) };
        if self.running.is_some() {
            observed.text = with_trailer(
                observed.text,
                "[your command was not executed: only one can run at a time, and the one before still does]",
            );
            return Ok(Observed { end: End::Failed, ..observed });
        }
        // The one before has ended meanwhile.
        let patience = self.config.command_patience;
        let output = self.open().await?.run(command, patience).await?;
        let next = self.observe(command, output, Instant::now()).await?;
        Ok(Observed { text: with_trailer(observed.text, &next.text), ..next })
    }

    async fn open(&mut self) -> Result<&dyn Session, ToolError> {
        if self.session.is_none() {
            let is_sane = self.config.behaviour == Behaviour::Sane;
            let spec = SessionSpec {
                cwd: Some(self.config.repo_dir.clone()),
                // Nobody turns pages.
                env: ["PAGER", "GIT_PAGER", "MANPAGER"]
                    .map(|name| (name.to_owned(), "cat".to_owned()))
                    .into(),
                terminal: if is_sane { Terminal::Pipes } else { TERMINAL },
                output_limit: kept(self.config.observation_limit),
            };
            self.session = Some(self.sandbox.open_session(&spec).await?);
            self.running = None;
        }
        match &self.session {
            Some(session) => Ok(&**session),
            None => Err(ToolError::refused("there is no shell")),
        }
    }

    /// Turns where a command stands into what the policy reads of it.
    async fn observe(
        &mut self,
        command: &str,
        output: SessionOutput,
        begun: Instant,
    ) -> Result<Observed, ToolError> {
        let text = clip_output(&output.output, self.config.observation_limit);
        self.running = None;
        match (output.status, self.config.behaviour) {
            (SessionStatus::Running, Behaviour::OpenHands) => self.time_is_over(command, text).await,
            (SessionStatus::Running, Behaviour::Sane) => self.still_runs(text, output.wall, begun).await,
            (SessionStatus::Done { exit_code, cwd }, Behaviour::Sane) => {
                let trailer = format!("[exit code {exit_code} in {cwd}]");
                Ok(Observed { text: with_trailer(text, &trailer), end: End::Exited(exit_code) })
            }
            (SessionStatus::Done { exit_code, cwd }, Behaviour::OpenHands) => {
                self.as_upstream(command, &text, exit_code, &cwd).await
            }
            (SessionStatus::ShellEnded, _) => {
                self.session = None;
                let trailer = format!(
                    "[the shell has ended; the next command starts a new one in {}]",
                    self.config.repo_dir
                );
                Ok(Observed { text: with_trailer(text, &trailer), end: End::Other })
            }
        }
    }

    async fn still_runs(
        &mut self,
        mut text: String,
        wall: Duration,
        begun: Instant,
    ) -> Result<Observed, ToolError> {
        if wall < self.config.command_time_limit {
            self.running = Some(begun);
            let trailer = format!(
                "[it still runs, since {:.1} s; an empty command waits for it, `ctrl+c` interrupts it, `kill` kills it]",
                wall.as_secs_f64()
            );
            return Ok(Observed { text: with_trailer(text, &trailer), end: End::Other });
        }
        let session = self.open().await?;
        session.kill_foreground().await?;
        let output = session.poll(END_PATIENCE).await?;
        text.push_str(&clip_output(&output.output, self.config.observation_limit));
        if !matches!(output.status, SessionStatus::Done { .. }) {
            self.session = None;
        }
        let limit = self.config.command_time_limit.as_secs_f64();
        let trailer = format!("[killed after {limit} s, the longest that a command may take]");
        Ok(Observed { text: with_trailer(text, &trailer), end: End::Other })
    }

    /// Upstream interrupts a command whose time is over, and kills it when that is of no use.
    async fn time_is_over(&mut self, command: &str, mut text: String) -> Result<Observed, ToolError> {
        let (limit, repo_dir) = (self.config.observation_limit, self.config.repo_dir.clone());
        let seconds = self.config.command_time_limit.as_secs();
        let session = self.open().await?;
        let mut folder = None;
        for attempt in 0..=INTERRUPTS {
            match attempt {
                INTERRUPTS => session.kill_foreground().await?,
                _ => session.interrupt().await?,
            }
            let output = session.poll(END_PATIENCE).await?;
            text.push_str(&clip_output(&output.output, limit));
            if let SessionStatus::Done { cwd, .. } = output.status {
                folder = Some(cwd);
                break;
            }
        }
        if folder.is_none() {
            self.session = None;
        }
        let note =
            format!("[Command timed out after {seconds} seconds. SIGINT was sent to interrupt the command.]");
        let text = format!("{}\r\n\r\n{note}", text.trim_end_matches(['\r', '\n']));
        self.as_upstream(command, &text, INTERRUPTED, folder.as_deref().unwrap_or(&repo_dir)).await
    }

    /// The command again, what it printed, and the prompt that follows it.
    async fn as_upstream(
        &mut self,
        command: &str,
        text: &str,
        exit_code: i32,
        cwd: &str,
    ) -> Result<Observed, ToolError> {
        let session = self.open().await?;
        let asked = session.run("command -v python", END_PATIENCE).await?;
        let python = asked.output.to_text();
        let printed = text.trim_end_matches(['\r', '\n']);
        let content = format!("{command}\r\n{printed}\r\n");
        let details = format!("[Python Interpreter: {}]\nroot@openhands-workspace:{cwd} # ", python.trim());
        let shown = Shown::Command { content: &content, details: &details, exit_code: i64::from(exit_code) };
        let text = observation_text(&shown, true, Some(self.config.observation_limit));
        Ok(Observed { text, end: End::Exited(exit_code) })
    }

    /// A shell that cannot be used any more is replaced by the next command.
    fn lost(&mut self, error: ToolError) -> ToolError {
        match error {
            ToolError::Sandbox(SandboxError::Session { message }) => {
                self.session = None;
                self.running = None;
                let repo_dir = &self.config.repo_dir;
                ToolError::Refused(format!(
                    "the shell is lost: {message}; the next command starts a new one in {repo_dir}"
                ))
            }
            error => error,
        }
    }
}

fn seconds(asked: f64) -> Duration {
    Duration::try_from_secs_f64(asked).unwrap_or(Duration::MAX)
}
