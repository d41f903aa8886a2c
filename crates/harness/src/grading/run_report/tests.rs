use super::*;

const GOOD: &str = r#"{"a": {"resolved": true}}"#;

fn instance<'a>(instance_id: &'a str, report: Option<&'a str>) -> RunInstance<'a> {
    RunInstance { instance_id, image: "image", report, log: "Killed" }
}

fn made(profile: Profile, dataset: &[RunInstance<'_>], has_daemon: bool) -> Result<RunReport, GradeError> {
    let prediction = |id| RunPrediction { instance_id: id, model: "org/m", has_patch: id != "e" };
    let predictions = ["b", "a", "e", "other"].map(prediction);
    let (containers, images) = (["x.run.a".to_owned(), "y".to_owned()], ["image".to_owned()]);
    let leftovers = has_daemon.then_some(RunLeftovers { containers: &containers, images: &images });
    let input = RunReportInput { run_id: "run", dataset, predictions: &predictions, leftovers };
    run_report(profile, &input)
}

#[test]
fn every_instance_is_counted() {
    let dataset = [instance("a", Some(GOOD)), instance("b", None), instance("c", None), instance("e", None)];
    let made = made(Profile::Swebench5, &dataset, true).unwrap();
    assert_eq!(made.file_name, "org__m.run.json");
    let ids = |key: &str| made.report[key].to_string();
    assert_eq!(ids("resolved_ids"), r#"["a"]"#);
    assert_eq!(ids("error_ids"), r#"["b"]"#);
    assert_eq!(ids("incomplete_ids"), r#"["c"]"#);
    assert_eq!(ids("empty_patch_ids"), r#"["e"]"#);
    assert_eq!(ids("submitted_ids"), r#"["a","b","e","other"]"#);
    assert_eq!(ids("failure_reasons"), r#"{"b":"out_of_memory"}"#);
    assert_eq!(ids("infra_failure_ids"), r#"["b"]"#);
    assert_eq!(ids("unstopped_containers"), r#"["x.run.a"]"#);
    assert_eq!(ids("unremoved_images"), r#"["image"]"#);
    assert!(made.stdout.starts_with("Total instances: 4\nInstances submitted: 3\n"), "{}", made.stdout);
    assert!(made.stdout.ends_with("Unremoved images: 1\nReport written to org__m.run.json\n"));
}

#[test]
fn an_unreadable_report_is_an_error_that_the_fork_does_not_survive() {
    for bad in ["", "[]", "{\"a\": {}}", "{\"b\": {\"resolved\": true}}"] {
        let dataset = [instance("a", Some(bad))];
        let made_by = |profile| made(profile, &dataset, false);
        assert!(made_by(Profile::Swegym).is_err(), "{bad}");
        let report = made_by(Profile::Swebench4).unwrap().report;
        assert_eq!(report["completed_ids"], report["error_ids"], "{bad}");
    }
}

#[test]
fn what_a_daemon_holds_is_told_where_upstream_tells_it() {
    let told = |profile, has_daemon| {
        let report = made(profile, &[instance("a", Some(GOOD))], has_daemon).unwrap();
        (report.report.get("unremoved_images").is_some(), report.stdout.contains("Unremoved"))
    };
    assert_eq!(told(Profile::Swegym, false), (true, true));
    assert_eq!(
        (told(Profile::Swebench4, true), told(Profile::Swebench4, false)),
        ((false, true), (true, false))
    );
    assert_eq!(
        (told(Profile::Swebench5, true), told(Profile::Swebench5, false)),
        ((true, true), (false, false))
    );
}

#[test]
fn without_predictions_there_is_no_name() {
    let input = RunReportInput { run_id: "run", dataset: &[], predictions: &[], leftovers: None };
    assert_eq!(run_report(Profile::Strict, &input), Err(GradeError::NoPrediction));
}
