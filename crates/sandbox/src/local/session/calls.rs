//! A session, as its owner uses it.

use std::time::{Duration, Instant};

use async_trait::async_trait;
use tokio::time::timeout;

use super::dialog::Phase;
use super::handle::{LocalSession, error, key};
use crate::shell::{self, COMMAND_BYTES, Listener, STATE_BYTES};
use crate::{SandboxError, Session, SessionOutput, SessionState};

/// How long a command may leave its input unread.
const INPUT_PATIENCE: Duration = Duration::from_secs(2);
/// How long a shell may take to tell its state.
const STATE_PATIENCE: Duration = Duration::from_secs(10);
/// How long a command that is to be killed may take to end by an interrupt.
const INTERRUPT_PATIENCE: Duration = Duration::from_millis(100);
/// How often, and how long apart, the processes of a command are killed that does not end by it.
const KILL_ROUNDS: usize = 10;
const KILL_ROUND: Duration = Duration::from_millis(50);

#[async_trait]
impl Session for LocalSession {
    async fn run(&self, command: &str, patience: Duration) -> Result<SessionOutput, SandboxError> {
        if command.contains('\0') {
            return Err(error("a command cannot hold a zero byte"));
        }
        let mut dialog = self.idle().await?;
        // Not while the sandbox is being forked: it gets a new root then.
        let visited = self.roots.visited.lock().await;
        let returns = self.roots.has_switched();
        dialog.commands_begun += 1;
        let number = dialog.commands_begun;
        let key = key(&self.secret, &dialog);
        dialog.reach(Phase::Running);
        dialog.started = Instant::now();
        let question = shell::question(&key, number);
        dialog.listen(Listener::new(&key, COMMAND_BYTES));
        self.speech.say_command(&shell::command(command, &key, number, returns), question);
        drop(visited);
        self.answer(&mut dialog, patience).await
    }

    async fn poll(&self, patience: Duration) -> Result<SessionOutput, SandboxError> {
        let mut dialog = self.dialog.lock().await;
        self.answer(&mut dialog, patience).await
    }

    async fn send_input(&self, input: &[u8]) -> Result<(), SandboxError> {
        if self.running()?.is_none() {
            return Err(error("no command runs"));
        }
        let mut written = 0;
        match timeout(INPUT_PATIENCE, self.write(input, &mut written)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(cause)) => Err(error(format!("its input is closed: {cause}"))),
            Err(_) => Err(error(format!("the command has left input unread after {written} bytes"))),
        }
    }

    async fn interrupt(&self) -> Result<(), SandboxError> {
        match self.running()? {
            Some(command) => self.interrupt_command(command).await,
            None => Ok(()),
        }
    }

    async fn kill_foreground(&self) -> Result<(), SandboxError> {
        let Some(command) = self.running()? else { return Ok(()) };
        // First an interrupt: bash then does not begin the rest of the command.
        self.interrupt_command(command).await?;
        let mut ended = self.ends_within(command, INTERRUPT_PATIENCE).await;
        for _ in 0..KILL_ROUNDS {
            self.kill_command(command, !ended).await?;
            if ended {
                break;
            }
            // Once more then: before the shell heard of it, it may have started something.
            ended = self.ends_within(command, KILL_ROUND).await;
        }
        Ok(())
    }

    async fn state(&self) -> Result<SessionState, SandboxError> {
        let mut dialog = self.idle().await?;
        let number = dialog.commands_begun;
        let key = key(&self.secret, &dialog);
        dialog.listen(Listener::new(&key, STATE_BYTES));
        self.speech.say(&shell::state(&key, number));
        let told = timeout(STATE_PATIENCE, dialog.hear(Listener::state)).await;
        match told {
            Ok(Ok((cwd, env))) => Ok(SessionState { cwd, env }),
            Ok(Err(over)) => {
                self.note(&mut dialog, &over);
                Err(over.into())
            }
            Err(_) => Err(error("the shell does not tell its state")),
        }
    }
}
