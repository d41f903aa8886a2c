//! What every backend must do. A case gets the backend and a specification of a sandbox with a shell and the
//! usual tools in it.

mod commands;
mod files;
mod forks;
mod isolation;
mod limits;
mod programs;
mod resources;
mod sessions;
mod trees;

use swegym_sandbox::{Backend, ExecOutput, ExecRequest, Limits, Sandbox, SandboxSpec};

pub(crate) use commands::*;
pub(crate) use files::*;
pub(crate) use forks::*;
pub(crate) use isolation::*;
pub(crate) use limits::*;
pub(crate) use programs::*;
pub(crate) use resources::*;
pub(crate) use sessions::*;
pub(crate) use trees::*;

/// What the suite runs against.
pub(crate) struct Subject {
    pub(crate) backend: Box<dyn Backend>,
    pub(crate) spec: SandboxSpec,
    /// What it cannot do, and why.
    pub(crate) lacks: &'static [(Ability, &'static str)],
}

/// What not every backend can.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ability {
    /// Checkpoints can be written and restored.
    Checkpoints,
    /// Changes are found by comparing files, and told by their bytes.
    ExactChanges,
    /// Forks keep the holes of files, fractions of seconds, and the mode of `/`.
    ExactForks,
    /// Files are in memory, where hundreds of thousands of them take little time.
    ManyFiles,
    /// Forks are made in so little time that a test can make dozens of them.
    QuickForks,
}

impl Subject {
    pub(crate) async fn sandbox(&self) -> Box<dyn Sandbox> {
        self.with(|_| ()).await
    }

    /// A sandbox from a changed specification.
    pub(crate) async fn with(&self, change: impl FnOnce(&mut SandboxSpec)) -> Box<dyn Sandbox> {
        let mut spec = self.spec.clone();
        change(&mut spec);
        self.backend.create(&spec).await.unwrap()
    }

    /// Whether it can do it; prints what is skipped when not.
    pub(crate) fn can(&self, ability: Ability) -> bool {
        let lack = self.lacks.iter().find(|(lacked, _)| *lacked == ability);
        if let Some((_, reason)) = lack {
            println!("skipped: {ability:?}: {reason}");
        }
        lack.is_none()
    }

    /// Whether files of the host are in the image: those belong to nobody inside.
    pub(crate) fn shows_the_host(&self) -> bool {
        !self.spec.image.config.binds.is_empty()
    }

    /// Whether a limit holds; prints that the case is skipped when not.
    pub(crate) fn enforces(&self, limit: &str) -> bool {
        self.enforces_of(&self.spec.limits, limit)
    }

    /// As [`Self::enforces`], with other limits than those of the suite.
    pub(crate) fn enforces_of(&self, limits: &Limits, limit: &str) -> bool {
        let unenforced = self.backend.unenforced_of(limits);
        let reason = unenforced.iter().find(|sentence| sentence.contains(limit));
        if let Some(reason) = reason {
            println!("skipped: {reason}");
        }
        reason.is_none()
    }
}

/// Runs a script, and returns all of its output.
pub(crate) async fn sh(sandbox: &dyn Sandbox, script: &str) -> ExecOutput {
    sandbox.exec(&ExecRequest::shell(script).merged()).await.unwrap()
}

/// Runs a script that must succeed, and returns what it printed.
pub(crate) async fn text(sandbox: &dyn Sandbox, script: &str) -> String {
    let output = sh(sandbox, script).await;
    let text = output.stdout.to_text();
    assert!(output.success(), "`{script}` ended with {:?}: {text}", output.status);
    text
}

/// Names every case once, for a backend to run them all.
#[macro_export]
macro_rules! for_each_case {
    ($run:ident) => {
        $run! {
            output_and_exit_code, death_by_signal, streams_merge_in_order, streams_stay_apart, folder_and_environment,
            missing_program, missing_folder, program_that_may_not_run, zero_bytes_in_words, standard_input,
            long_command_line, streams_can_be_opened_by_name, large_output_keeps_both_ends,
            a_side_channel_is_apart_from_the_output, a_side_channel_opens_by_no_name,
            background_process_is_not_waited_for, background_process_outlives_its_command, many_commands_at_once,
            dropped_command_is_killed, times_are_told,
            time_limit_kills_the_whole_tree, time_limit_leaves_other_commands_alone, time_limit_beats_a_fork_bomb,
            disk_limit_holds, memory_limit_is_reported, process_limit_stops_a_fork_bomb,
            processor_limit_holds, use_of_resources_is_told,
            files_make_a_round_trip, files_are_read_up_to_a_limit, written_files_keep_their_mode,
            missing_files_and_wrong_kinds_are_errors, pipes_do_not_hang, links_stay_inside, full_disk_is_an_error,
            unwritable_file_is_an_error,
            only_own_processes_are_seen, no_network_but_loopback, the_system_cannot_be_changed, no_privileges,
            no_new_user_namespaces, process_1_cannot_be_reached, two_sandboxes_do_not_meet, usual_devices_work,
            nothing_of_the_owner_is_inherited, a_destroyed_sandbox_takes_everything_along, helpers_may_be_killed,
            python_uses_processes_and_threads, python_uses_the_network_of_its_own, git_keeps_a_history,
            programs_are_built, the_shell_controls_jobs, files_move_between_folders,
            stat_tells_kinds, stat_of_nothing_is_an_error, folders_are_listed_by_name,
            listing_what_is_no_folder_is_an_error, large_folders_are_listed_up_to_a_limit, a_tree_goes_in,
            an_upload_merges, an_upload_follows_no_link_in_the_target, uploads_that_cannot_be_are_errors,
            an_archive_is_unpacked,
            a_tree_comes_out, what_is_dangerous_stays_inside, downloads_have_limits,
            downloads_that_cannot_be_are_errors, a_tree_makes_a_round_trip, stopped_helpers_hold_nobody_up,
            killed_helpers_hold_nobody_up,
            a_fork_has_the_same_files, a_fork_of_a_busy_sandbox_has_the_same_files, parent_and_fork_change_apart,
            an_untouched_sandbox_can_be_forked, processes_are_not_forked, a_busy_parent_goes_on,
            stopped_processes_stay_stopped, a_command_that_runs_during_a_fork_is_not_disturbed,
            commands_wait_for_a_fork, time_limit_holds_after_a_fork, forks_of_forks_go_on_for_long,
            a_fork_that_nobody_waits_for_does_no_harm,
            one_parent_has_many_forks, parent_and_fork_end_in_any_order, a_fork_outlives_its_killed_parent,
            what_is_deleted_stays_deleted, a_replaced_folder_hides_the_old_one, renames_are_forked,
            a_fork_takes_no_space, disk_limit_holds_after_a_fork, a_fork_has_the_limits_of_its_parent,
            forks_leave_no_mounts, a_forked_sandbox_is_as_closed_as_before, an_unchanged_sandbox_has_no_changes,
            every_kind_of_change_is_listed, changed_links_are_listed, changed_names_are_bytes,
            changes_of_a_hostile_tree_come_to_an_end, a_checkpoint_is_restored,
            a_restored_sandbox_can_do_it_again, a_busy_sandbox_is_checkpointed_at_one_moment,
            what_is_no_checkpoint_is_refused, a_pristine_sandbox_has_nothing_of_the_other, a_session_goes_on_after_a_fork,
            a_session_that_runs_a_command_may_be_forked,
            session_keeps_what_commands_changed, session_tells_exit_code_and_folder,
            session_output_is_one_stream_in_order, session_takes_any_text,
            session_takes_long_commands_and_prints_any_bytes, session_output_is_complete_and_never_late,
            session_ends_by_exit, session_survives_set_e_while_all_is_well, session_shell_may_be_replaced,
            session_functions_and_aliases_may_have_any_name, session_shows_no_prompts,
            session_does_not_wait_for_background_jobs, session_background_flood_is_bounded,
            session_output_keeps_both_ends, session_patience_is_not_a_limit,
            session_goes_on_after_a_dropped_call, session_input_reaches_the_command,
            session_interrupt_is_that_of_a_terminal, session_may_be_interrupted_any_number_of_times, session_commands_may_handle_an_interrupt,
            session_kill_takes_all_of_the_command, session_kill_spares_what_earlier_jobs_start,
            session_kill_ends_loops_and_stopped_shells, session_kill_beats_a_fork_bomb,
            session_memory_limit_spares_the_shell, session_ends_cannot_be_forged,
            session_descriptors_may_be_closed, session_state_can_be_gone_on_from,
            session_that_cannot_start, dropped_session_takes_everything_along,
            session_of_a_destroyed_sandbox_is_gone, sessions_do_not_meet, session_on_a_terminal
        }
    };
}
