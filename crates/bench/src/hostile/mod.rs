//! Much of what is hard on each parser of untrusted text: patches, rows, logs, answers of models, files of other
//! programs, templates. What takes time or memory out of proportion shows when this is run at two sizes.

mod cost;
mod files;
mod inputs;
mod patches;
mod texts;

use std::path::Path;

use serde_json::json;

use self::cost::{Cost, cost};
use self::inputs::Input;

type Reader = dyn Fn(&[u8]);

/// Something that makes sense of untrusted bytes, and what is hard on it.
struct Subject {
    name: String,
    inputs: Vec<Input>,
    read: Box<Reader>,
}

impl Subject {
    fn new(name: impl Into<String>, inputs: Vec<Input>, read: impl Fn(&[u8]) + 'static) -> Self {
        Self { name: name.into(), inputs, read: Box::new(read) }
    }

    /// A reader of files of this name.
    fn of_file(name: &str, file: &'static str, inputs: Vec<Input>, read: impl Fn(&Path) + 'static) -> Self {
        let in_file = move |content: &[u8]| {
            let written = tempfile::tempdir().and_then(|folder| {
                let path = folder.path().join(file);
                std::fs::write(&path, content)?;
                Ok((folder, path))
            });
            if let Ok((_folder, path)) = written {
                read(&path);
            }
        };
        Self::new(name, inputs, in_file)
    }
}

/// Prints a line for each parser: processor time over the worst input, what it is in MB/s, and the most memory that any
/// input took, as a multiple of its size. With `only`, for parsers whose name has that in it.
pub(crate) fn run(bytes: usize, only: Option<&str>) -> anyhow::Result<()> {
    let subjects = [patches::subjects(), texts::subjects(), files::subjects()].into_iter().flatten();
    for subject in subjects.filter(|subject| only.is_none_or(|only| subject.name.contains(only))) {
        let mut worst = Cost::default();
        let mut worst_input = "";
        let mut memory = 0;
        for input in &subject.inputs {
            let content = input.content(bytes);
            let cost = cost(|| (subject.read)(&content))?;
            memory = memory.max(cost.memory);
            if cost.seconds >= worst.seconds {
                (worst, worst_input) = (cost, input.name());
            }
        }
        println!(
            "{}",
            json!({
                "bench": "hostile", "parser": subject.name, "bytes": bytes, "inputs": subject.inputs.len(),
                "max_seconds": worst.seconds, "min_mb_per_s": (bytes as f64 / 1e6 / worst.seconds).round(),
                "worst_input": worst_input, "memory_per_byte": memory as f64 / bytes as f64,
            })
        );
    }
    Ok(())
}
