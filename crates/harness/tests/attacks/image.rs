//! Images that show the answer, and sandboxes that evaluations leave in disorder.

use std::path::Path;
use std::process::Command;

use swegym_core::{Finding, Instance, Patch};
use swegym_harness::{ImageAudit, RunAudit, is_leak};
use swegym_images::{HostBind, Image};
use swegym_sandbox::ExecRequest;

use crate::lab::Lab;

/// A gold line, as an image would hold it elsewhere.
const GOLD_LINE: &str = "return sum(values) / len(values) if values else 0";
const FIX: &str = "sed -i 's:/ len(values)$:/ len(values) if values else 0:' toy/calc.py";

/// What is found in the lab's image after this script, run in its root, has changed it.
async fn findings(lab: &Lab, script: &str) -> Vec<Finding> {
    let layer = lab.layer_after(|root| sh(root, script));
    audited(lab, &lab.image_of(layer.path())).await
}

async fn audited(lab: &Lab, image: &Image) -> Vec<Finding> {
    audited_for(lab, image, &lab.instance()).await
}

async fn audited_for(lab: &Lab, image: &Image, instance: &Instance) -> Vec<Finding> {
    let mut audit = ImageAudit::new(instance);
    for view in ImageAudit::views(image) {
        let sandbox = lab.sandbox_of(view).await;
        audit.look(&*sandbox).await.unwrap();
        sandbox.destroy().await.unwrap();
    }
    audit.findings()
}

fn sh(root: &Path, script: &str) {
    let mut command = Command::new("bash");
    command.args(["-euc", script]).current_dir(root);
    command.envs([
        ("GIT_CONFIG_GLOBAL", "/dev/null"),
        ("GIT_CONFIG_NOSYSTEM", "1"),
        ("GIT_CONFIG_COUNT", "1"),
        ("GIT_CONFIG_KEY_0", "safe.directory"),
        ("GIT_CONFIG_VALUE_0", "*"),
    ]);
    for who in ["AUTHOR", "COMMITTER"] {
        command.env(format!("GIT_{who}_NAME"), "x").env(format!("GIT_{who}_EMAIL"), "x@example.com");
        command.env(format!("GIT_{who}_DATE"), "2024-06-01T00:00:00Z");
    }
    assert!(command.status().unwrap().success(), "{script}");
}

fn kinds(findings: &[Finding]) -> Vec<&str> {
    findings.iter().map(|finding| finding.kind.as_str()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn images_that_show_the_answer_are_found() {
    let Some(lab) = Lab::start().await else { return };
    let future =
        format!("cd testbed; {FIX}; git commit -qam fix; git branch later; git reset -q --hard HEAD~1");
    let commits = ["future_commits", "future_refs", "gold_in_objects"];
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("nothing", "true".to_owned(), &[]),
        ("a later branch", future.clone(), &commits),
        ("a reflog", format!("{future}; git branch -qD later"), &commits),
        (
            "objects alone",
            format!("{future}; git branch -qD later; rm -rf .git/logs .git/ORIG_HEAD"),
            &["future_commits", "gold_in_objects"],
        ),
        (
            "packed objects",
            format!("{future}; git repack -qad; git branch -qD later; git tag v9 ORIG_HEAD"),
            &commits,
        ),
        ("a stash", format!("cd testbed; {FIX}; git stash -q"), &commits),
        (
            "an object that no commit has",
            format!("cd testbed; {FIX}; git add .; git reset -q --hard"),
            &["gold_in_objects"],
        ),
        (
            "alternates",
            "cd testbed; echo /opt/objects > .git/objects/info/alternates".to_owned(),
            &["git_alternates"],
        ),
        (
            "a remote",
            "cd testbed; git remote add origin https://example.org/toy".to_owned(),
            &["git_remotes"],
        ),
        ("a copy of the repository", "cp -r testbed/.git opt/mirror.git".to_owned(), &["repository_copy"]),
        (
            "a backup",
            format!("cp -r testbed/toy opt/; cd opt; {FIX}; mv toy/calc.py x.orig; rm -r toy"),
            &["gold_text"],
        ),
        (
            "a build folder",
            format!("cd testbed; mkdir -p build/lib; cp -r toy build/lib/; cd build/lib; {FIX}"),
            &["gold_text"],
        ),
        ("the fix itself", format!("cd testbed; {FIX}"), &["gold_text"]),
        ("an old copy", "cp -r testbed/toy opt/lib/site-packages/".to_owned(), &["installed_copy"]),
        (
            "a later copy",
            format!("cd opt/lib/site-packages; cp -r ../../../testbed/toy .; mkdir toy-2.1.dist-info; {FIX}"),
            &["gold_text", "installed_copy_differs", "later_version"],
        ),
        (
            "a later archive",
            "mkdir -p root/.cache; touch root/.cache/toy-2.0-py3-none-any.whl".to_owned(),
            &["later_version"],
        ),
    ];
    for (name, script, expected) in cases {
        let found = findings(&lab, &script).await;
        assert_eq!(kinds(&found), expected, "{name}: {found:#?}");
        let harmless = ["installed_copy", "git_remotes"];
        for finding in &found {
            assert_eq!(is_leak(finding), !harmless.contains(&finding.kind.as_str()), "{name}: {finding:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lies_in_archives_and_large_files_is_found() {
    let Some(lab) = Lab::start().await else { return };
    let copy = format!("cp -r testbed/toy opt/; cd opt; {FIX}");
    let zip = |name: &str, entry: &str, text: &str| {
        format!(
            "python3 -c 'import zipfile; zipfile.ZipFile(\"{name}\", \"w\", 8).writestr(\"{entry}\", \"{text}\")'"
        )
    };
    let metadata = |version: &str| format!("Metadata-Version: 2.1\\nName: toy\\nVersion: {version}\\n");
    let large = |before: usize| {
        format!(
            "head -c {before} /dev/zero > opt/large; echo '    {GOLD_LINE}' >> opt/large; head -c 9000000 /dev/zero >> opt/large"
        )
    };
    let cases: Vec<(&str, String, &[&str])> = vec![
        ("a source archive", format!("{copy}; tar -czf x-1.tar.gz toy; rm -r toy"), &["gold_text"]),
        ("a tar file", format!("{copy}; tar -cf data.tar toy; rm -r toy"), &["gold_text"]),
        ("one file", format!("{copy}; gzip -c toy/calc.py > data.gz; rm -r toy"), &["gold_text"]),
        ("bzip2", format!("{copy}; tar -cjf x.tar.bz2 toy; rm -r toy"), &["gold_text"]),
        ("xz", format!("{copy}; tar -cJf x.tar.xz toy; rm -r toy"), &["gold_text"]),
        (
            "an archive in an archive",
            format!(
                "{copy}; {}; tar -czf all.tgz x.whl; rm -r toy x.whl",
                zip("x.whl", "toy/calc.py", GOLD_LINE)
            ),
            &["gold_text"],
        ),
        (
            "a later package in the cache of pip",
            zip("opt/0a1b.body", "toy-2.0.dist-info/METADATA", &metadata("2.0")),
            &["later_version"],
        ),
        ("one that says so inside alone", zip("opt/x.zip", "PKG-INFO", &metadata("2.0")), &["later_version"]),
        ("the same version", zip("opt/x.zip", "PKG-INFO", &metadata("1.0")), &[]),
        ("what is no archive", "echo text > opt/x.zip; printf 'PK\\003\\004' > opt/y.whl".to_owned(), &[]),
        ("an archive that is too large", "truncate -s 140M opt/x.gz".to_owned(), &["audit_incomplete"]),
        ("a large file", large(20_000_000), &["gold_text"]),
        ("a line across two windows", large((16 << 20) - 20), &["gold_text"]),
    ];
    for (name, script, expected) in cases {
        let found = findings(&lab, &script).await;
        assert_eq!(kinds(&found), expected, "{name}: {found:#?}");
    }
}

/// One line of twelve bytes, which many programs have.
#[tokio::test(flavor = "multi_thread")]
async fn a_short_fix_is_found_by_the_code_around_it() {
    let Some(lab) = Lab::start().await else { return };
    let mut instance = lab.instance();
    instance.grading.patch = Patch::from(
        "--- a/toy/calc.py\n+++ b/toy/calc.py\n@@ -3,7 +3,7 @@\n \n def add(a, b):\n     \"\"\"Sum of both.\"\"\"\n\
         -    return a + b\n+    return b + a\n \n \n def mean(values):\n",
    );
    let fix = "sed -i 's/return a + b/return b + a/' toy/calc.py";
    for (name, script, expected) in [
        ("nothing", "true".to_owned(), &[][..]),
        ("the line alone", "printf 'def f(a, b):\\n    return b + a\\n' > opt/x.py".to_owned(), &[]),
        ("the old code", "cp testbed/toy/calc.py opt/x.py".to_owned(), &[]),
        ("the new code", format!("cp -r testbed/toy opt/; cd opt; {fix}"), &["gold_text"]),
        ("the fix itself", format!("cd testbed; {fix}"), &["gold_text"]),
        (
            "an archive",
            format!("cp -r testbed/toy opt/; cd opt; {fix}; tar -czf x.tgz toy; rm -r toy"),
            &["gold_text"],
        ),
    ] {
        let layer = lab.layer_after(|root| sh(root, &script));
        let found = audited_for(&lab, &lab.image_of(layer.path()), &instance).await;
        assert_eq!(kinds(&found), expected, "{name}: {found:#?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_commit_that_an_image_is_made_with_and_the_past_are_no_leak() {
    let Some(lab) = Lab::start().await else { return };
    let setup = "cd testbed; echo x > setup.log; git add .; git commit -qm 'set up'; git tag v0.9 HEAD~1";
    assert_eq!(findings(&lab, setup).await, []);
    let fixed = findings(&lab, &format!("cd testbed; {FIX}; git commit -qam 'set up'")).await;
    assert_eq!(kinds(&fixed), ["gold_in_objects", "gold_text"], "what it holds counts: {GOLD_LINE}");
    let past = "cd testbed; git checkout -q --orphan old; GIT_COMMITTER_DATE=2020-01-01T00:00:00Z git commit -qm old; \
                git checkout -q main";
    assert_eq!(kinds(&findings(&lab, past).await), ["side_commits"]);
}

/// An image of another tool brings its own `/usr`, which this machine's programs are mounted over.
#[tokio::test(flavor = "multi_thread")]
async fn what_lies_below_the_programs_of_an_image_is_found_too() {
    let Some(lab) = Lab::start().await else { return };
    let script = format!("mkdir -p usr/share/x; cp -r testbed/toy usr/share/x/; cd usr/share/x; {FIX}");
    let layer = lab.layer_after(|root| sh(root, &script));
    let mut image = lab.image_of(layer.path());
    image.config.binds.retain(|bind| bind.path != Path::new("/usr"));
    let programs = audited(&lab, &image).await;
    assert_eq!(kinds(&programs), ["audit_incomplete"], "it has no `find`: {programs:#?}");
    for folder in
        ["/usr/bin", "/usr/lib", "/usr/lib64"].map(Path::new).into_iter().filter(|path| path.exists())
    {
        image.config.binds.push(HostBind { path: folder.to_owned() });
    }
    let found = audited(&lab, &image).await;
    assert_eq!(kinds(&found), ["gold_text"]);
    assert!(found[0].detail.ends_with(": `/usr/share/x/toy/calc.py`"), "{found:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tests_leave_is_found() {
    let Some(lab) = Lab::start().await else { return };
    for (script, expected) in [
        ("touch /testbed/x /tmp/x", &[][..]),
        ("echo > /opt/lib/site-packages/x.pth", &["writes_outside"]),
        ("setsid sleep 1000 > /dev/null 2>&1 &", &["processes_left"]),
    ] {
        let sandbox = lab.sandbox().await;
        let audit = RunAudit::begin(&*sandbox).await;
        assert!(sandbox.exec(&ExecRequest::shell(script)).await.unwrap().success());
        let found = audit.end(&*sandbox).await.unwrap();
        assert_eq!(kinds(&found), expected, "{script}: {found:?}");
        sandbox.destroy().await.unwrap();
    }
}
