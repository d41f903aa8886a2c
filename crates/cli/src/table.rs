//! The table of runs: one line a policy.

use swegym_core::{ExitStatus, RolloutRecord, RolloutStatus};

/// One line of the table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    /// Name of the policy.
    pub(crate) policy: String,
    /// Records of its run.
    pub(crate) records: Vec<RolloutRecord>,
}

impl Row {
    fn cells(&self) -> [String; 8] {
        let of =
            |test: &dyn Fn(&RolloutRecord) -> bool| self.records.iter().filter(|record| test(record)).count();
        let total = self.records.len();
        let share = |count: usize| match total {
            0 => "-".to_owned(),
            _ => format!("{count} ({:.0} %)", 100.0 * count as f64 / total as f64),
        };
        let mean = |sum: u64| if total == 0 { 0.0 } else { sum as f64 / total as f64 };
        let turns: u64 = self.records.iter().map(|record| record.turns as u64).sum();
        let ms: u64 = self.records.iter().map(|record| record.timings.total_ms()).sum();
        let ran = |record: &RolloutRecord| record.status == RolloutStatus::Completed;
        [
            self.policy.clone(),
            total.to_string(),
            share(of(&RolloutRecord::resolved)),
            share(of(&|record| ran(record) && record.empty_patch)),
            share(of(&|record| record.exit_status == Some(ExitStatus::StuckInLoop))),
            of(&|record| !ran(record)).to_string(),
            format!("{:.1}", mean(turns)),
            format!("{:.1}", mean(ms) / 1000.0),
        ]
    }
}

const HEADER: [&str; 8] =
    ["policy", "rollouts", "resolved", "empty patch", "stuck in loop", "not executed", "turns", "seconds"];

/// The table as text: rates are over all rollouts, turns and seconds are means.
pub(crate) fn render(rows: &[Row]) -> String {
    let mut lines = vec![HEADER.map(str::to_owned)];
    lines.extend(rows.iter().map(Row::cells));
    let width = |column: usize| lines.iter().map(|cells| cells[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..HEADER.len()).map(width).collect();
    let render_line = |cells: &[String; 8]| {
        let padded = cells.iter().zip(&widths).enumerate().map(|(column, (cell, width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("{cell:>width$}"),
        });
        padded.collect::<Vec<_>>().join("  ")
    };
    lines.iter().map(render_line).collect::<Vec<_>>().join("\n")
}
