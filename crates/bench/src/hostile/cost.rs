//! What a piece of work takes: processor time of this thread and memory of this process, as the kernel counts them.

use std::fs;

use anyhow::Context;

/// What a piece of work took.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Cost {
    /// On a processor.
    pub(super) seconds: f64,
    /// Bytes beyond those that were held before.
    pub(super) memory: u64,
}

/// Does the work, on the first thread of the process.
pub(super) fn cost(work: impl FnOnce()) -> anyhow::Result<Cost> {
    // Sets the highest mark back to what is held now.
    fs::write("/proc/self/clear_refs", "5").context("forget the peak of memory")?;
    let (memory, time) = (peak_memory()?, processor_time()?);
    work();
    let seconds = (processor_time()? - time) as f64 / 1e9;
    Ok(Cost { seconds, memory: peak_memory()?.saturating_sub(memory) })
}

/// Nanoseconds.
fn processor_time() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/thread-self/schedstat").context("read the processor time")?;
    Ok(text.split(' ').next().unwrap_or_default().parse()?)
}

fn peak_memory() -> anyhow::Result<u64> {
    let text = fs::read_to_string("/proc/self/status").context("read the peak of memory")?;
    let line =
        text.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("find the peak of memory")?;
    let kilobytes: u64 = line.trim().trim_end_matches("kB").trim_end().parse()?;
    Ok(kilobytes * 1024)
}
