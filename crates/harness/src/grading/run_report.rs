//! The report of a run over many instances: `MODEL.RUN.json` and what upstream prints with it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value, json};

use super::infra::{InfraFailure, InfraTier};
use crate::{GradeError, Profile};

/// An instance of the data set, and what its evaluation left.
#[derive(Debug, Clone, Copy)]
pub struct RunInstance<'a> {
    /// Its id.
    pub instance_id: &'a str,
    /// The name of its image.
    pub image: &'a str,
    /// Text of `report.json`, where there is one.
    pub report: Option<&'a str>,
    /// What was printed, joined: only [`Profile::Swebench5`] and [`Profile::Strict`] look into it.
    pub log: &'a str,
}

/// A prediction, in the order of the file.
#[derive(Debug, Clone, Copy)]
pub struct RunPrediction<'a> {
    /// The instance that it is for; it need not be one of the data set.
    pub instance_id: &'a str,
    /// `model_name_or_path`.
    pub model: &'a str,
    /// Whether the patch is neither null nor empty.
    pub has_patch: bool,
}

/// What a container daemon still holds.
#[derive(Debug, Clone, Copy)]
pub struct RunLeftovers<'a> {
    /// Names of all containers.
    pub containers: &'a [String],
    /// Names of all images.
    pub images: &'a [String],
}

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct RunReportInput<'a> {
    /// The name of the run.
    pub run_id: &'a str,
    /// The data set.
    pub dataset: &'a [RunInstance<'a>],
    /// The predictions; one an instance.
    pub predictions: &'a [RunPrediction<'a>],
    /// None without a container daemon. The fork cannot do without one: there, none is one that holds nothing.
    pub leftovers: Option<RunLeftovers<'a>>,
}

/// The report of a run.
#[derive(Debug, Clone, PartialEq)]
pub struct RunReport {
    /// The name of its file.
    pub file_name: String,
    /// What the file holds; see [`json_text`](crate::json_text).
    pub report: Value,
    /// What is printed.
    pub stdout: String,
}

/// Makes the report of a run as a version of upstream does; the strict one has the form of SWE-bench 5.
///
/// Nothing leaves the count: an instance without a report is an error, and one with an unreadable report is too, but
/// for the fork, which crashes on it.
///
/// # Errors
/// [`GradeError::NoPrediction`], and [`GradeError::BadReport`] under [`Profile::Swegym`].
pub fn run_report(profile: Profile, input: &RunReportInput<'_>) -> Result<RunReport, GradeError> {
    let first = input.predictions.first().ok_or(GradeError::NoPrediction)?;
    let file_name = format!("{}.{}.json", first.model.replace('/', "__"), input.run_id);
    let outcomes = Outcomes::new(profile, input)?;
    let counts = Counts { profile, input, outcomes: &outcomes, left: Left::new(input) };
    let stdout = format!("{}Report written to {file_name}\n", counts.stdout());
    Ok(RunReport { file_name, report: counts.report().into(), stdout })
}

/// Ids by what became of them.
#[derive(Default)]
struct Outcomes<'a> {
    submitted: BTreeSet<&'a str>,
    completed: BTreeSet<&'a str>,
    resolved: BTreeSet<&'a str>,
    unresolved: BTreeSet<&'a str>,
    incomplete: BTreeSet<&'a str>,
    empty_patch: BTreeSet<&'a str>,
    error: BTreeSet<&'a str>,
    infra: BTreeMap<&'a str, InfraFailure>,
}

impl<'a> Outcomes<'a> {
    fn new(profile: Profile, input: &RunReportInput<'a>) -> Result<Self, GradeError> {
        let predictions: HashMap<&str, bool> = input
            .predictions
            .iter()
            .map(|prediction| (prediction.instance_id, prediction.has_patch))
            .collect();
        let submitted = predictions.keys().copied().collect();
        let mut outcomes = Self { submitted, ..Self::default() };
        for instance in input.dataset {
            let id = instance.instance_id;
            match predictions.get(id) {
                None => outcomes.incomplete.insert(id),
                Some(false) => outcomes.empty_patch.insert(id),
                Some(true) => outcomes.add_result(profile, instance)?,
            };
        }
        if looks_for_infra(profile) {
            outcomes.classify(input.dataset);
        }
        Ok(outcomes)
    }

    fn add_result(&mut self, profile: Profile, instance: &RunInstance<'a>) -> Result<bool, GradeError> {
        let id = instance.instance_id;
        let Some(report) = instance.report else {
            return Ok(self.error.insert(id));
        };
        self.completed.insert(id);
        match is_resolved(id, report) {
            Ok(true) => Ok(self.resolved.insert(id)),
            Ok(false) => Ok(self.unresolved.insert(id)),
            Err(message) if profile == Profile::Swegym => {
                Err(GradeError::BadReport { instance_id: id.to_owned(), message })
            }
            Err(_) => Ok(self.error.insert(id)),
        }
    }

    fn classify(&mut self, dataset: &[RunInstance<'a>]) {
        for RunInstance { instance_id, log, .. } in dataset {
            if (self.unresolved.contains(instance_id) || self.error.contains(instance_id))
                && let Some(failure) = InfraFailure::in_log(log)
            {
                self.infra.insert(instance_id, failure);
            }
        }
    }

    fn of_tier(&self, tier: InfraTier) -> Vec<&'a str> {
        self.infra.iter().filter(|(_, failure)| failure.tier == tier).map(|(id, _)| *id).collect()
    }
}

fn is_resolved(instance_id: &str, report: &str) -> Result<bool, String> {
    let report: Value = serde_json::from_str(report).map_err(|error| error.to_string())?;
    let resolved = report.get(instance_id).and_then(|report| report.get("resolved")).and_then(Value::as_bool);
    resolved.ok_or_else(|| "it does not say whether the instance is resolved".to_owned())
}

fn looks_for_infra(profile: Profile) -> bool {
    matches!(profile, Profile::Swebench5 | Profile::Strict)
}

/// What of the run is still there.
#[derive(Default)]
struct Left<'a> {
    containers: BTreeSet<&'a str>,
    images: BTreeSet<&'a str>,
}

impl<'a> Left<'a> {
    fn new(input: &RunReportInput<'a>) -> Self {
        let Some(RunLeftovers { containers, images }) = input.leftovers else {
            return Self::default();
        };
        let all: BTreeSet<&str> = images.iter().map(String::as_str).collect();
        let of_run = containers.iter().map(String::as_str).filter(|name| name.contains(input.run_id));
        let of_dataset =
            input.dataset.iter().map(|instance| instance.image).filter(|image| all.contains(image));
        Self { containers: of_run.collect(), images: of_dataset.collect() }
    }
}

struct Counts<'a> {
    profile: Profile,
    input: &'a RunReportInput<'a>,
    outcomes: &'a Outcomes<'a>,
    left: Left<'a>,
}

impl Counts<'_> {
    fn has_daemon(&self) -> bool {
        self.profile == Profile::Swegym || self.input.leftovers.is_some()
    }

    fn stdout(&self) -> String {
        let Outcomes { submitted, completed, resolved, unresolved, incomplete, empty_patch, error, .. } =
            self.outcomes;
        let known: BTreeSet<&str> = self.input.dataset.iter().map(|instance| instance.instance_id).collect();
        let mut lines = vec![
            ("Total instances", self.input.dataset.len()),
            ("Instances submitted", submitted.intersection(&known).count()),
            ("Instances completed", completed.len()),
            ("Instances incomplete", incomplete.len()),
            ("Instances resolved", resolved.len()),
            ("Instances unresolved", unresolved.len()),
        ];
        if looks_for_infra(self.profile) {
            let count = |tier| self.outcomes.of_tier(tier).len();
            lines.push(("Instances with likely infrastructure failures", count(InfraTier::Environment)));
            lines.push(("Instances with ambiguous failures", count(InfraTier::Ambiguous)));
        }
        lines.push(("Instances with empty patches", empty_patch.len()));
        lines.push(("Instances with errors", error.len()));
        if self.has_daemon() {
            lines.push(("Unstopped containers", self.left.containers.len()));
            lines.push(("Unremoved images", self.left.images.len()));
        }
        lines.into_iter().map(|(what, count)| format!("{what}: {count}\n")).collect()
    }

    /// In the order of keys of each version.
    fn report(&self) -> Map<String, Value> {
        let Outcomes { submitted, completed, resolved, unresolved, incomplete, empty_patch, error, .. } =
            self.outcomes;
        let infra = looks_for_infra(self.profile);
        let is_fork = self.profile == Profile::Swegym;
        let (sure, unsure) =
            (self.outcomes.of_tier(InfraTier::Environment), self.outcomes.of_tier(InfraTier::Ambiguous));
        let mut report = Map::new();
        let mut put = |key: &str, value: Value| report.insert(key.to_owned(), value);
        put("total_instances", self.input.dataset.len().into());
        put("submitted_instances", submitted.len().into());
        put("completed_instances", completed.len().into());
        put("resolved_instances", resolved.len().into());
        put("unresolved_instances", unresolved.len().into());
        if infra {
            put("infra_failure_instances", sure.len().into());
            put("ambiguous_failure_instances", unsure.len().into());
        }
        put("empty_patch_instances", empty_patch.len().into());
        put("error_instances", error.len().into());
        if is_fork {
            put("unstopped_instances", self.left.containers.len().into());
        }
        put("completed_ids", json!(completed));
        put("incomplete_ids", json!(incomplete));
        put("empty_patch_ids", json!(empty_patch));
        put("submitted_ids", json!(submitted));
        put("resolved_ids", json!(resolved));
        put("unresolved_ids", json!(unresolved));
        if infra {
            let reasons: BTreeMap<_, _> =
                self.outcomes.infra.iter().map(|(id, found)| (id, found.reason)).collect();
            put("infra_failure_ids", json!(sure));
            put("ambiguous_failure_ids", json!(unsure));
            put("failure_reasons", json!(reasons));
        }
        put("error_ids", json!(error));
        if is_fork {
            put("unstopped_containers", json!(self.left.containers));
            put("unremoved_images", json!(self.left.images));
        }
        put("schema_version", 2.into());
        // A slip of SWE-bench 4: it has these where there is no daemon that could hold anything.
        let appends = if self.profile == Profile::Swebench4 { !self.has_daemon() } else { self.has_daemon() };
        if !is_fork && appends {
            put("unstopped_instances", self.left.containers.len().into());
            put("unstopped_containers", json!(self.left.containers));
            put("unremoved_images", json!(self.left.images));
        }
        report
    }
}

#[cfg(test)]
mod tests;
