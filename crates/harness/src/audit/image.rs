//! The audit of an image, in sandboxes of its own that reach nothing.
//!
//! What is trusted: where the image has layers, the programs that look (git, find, grep, diff) are those of this
//! machine, mounted over the image's `/usr`. They hide that folder, so what lies in it is searched in a second sandbox by
//! the image's own programs, which are believed for that folder alone. Where only a container daemon knows the image,
//! its own programs are believed for everything.

use swegym_core::{Failure, Finding, Instance};
use swegym_images::{HostBind, Image, ImageConfig};
use swegym_sandbox::{Sandbox, SandboxError, host_base};

use super::contents::Wanted;
use super::gold_text::GoldText;
use super::installed;
use super::names::PackageNames;
use super::repository::Repository;
use super::search::{self, Found};
use crate::findings::{AUDIT_INCOMPLETE, LEAKS, finding};
use crate::git::TESTBED;

/// Whether a finding says that an image shows the answer, or a part of it.
pub fn is_leak(finding: &Finding) -> bool {
    LEAKS.contains(&finding.kind.as_str())
}

/// Whether a finding says that something could not be looked at.
pub fn is_incomplete(finding: &Finding) -> bool {
    finding.kind == AUDIT_INCOMPLETE
}

/// What says that an audit could not be done, or not whole.
pub fn audit_incomplete(failure: &Failure) -> Finding {
    finding(AUDIT_INCOMPLETE, failure.to_string())
}

/// The audit of the image of one instance: what a solution must not see in it. `docs/formats.md` lists the kinds of
/// findings, and [`is_leak`] says which are leaks.
pub struct ImageAudit<'a> {
    instance: &'a Instance,
    findings: Vec<Finding>,
    /// Known once the repository has been seen.
    package: Option<(PackageNames, GoldText)>,
}

impl<'a> ImageAudit<'a> {
    /// Of nothing yet.
    pub fn new(instance: &'a Instance) -> Self {
        Self { instance, findings: Vec::new(), package: None }
    }

    /// What sandboxes are to be made from, one after the other: each must be fresh and reach nothing, and is given to
    /// [`Self::look`].
    pub fn views(image: &Image) -> Vec<Image> {
        let mut views = vec![as_data(image)];
        views.extend(hides_usr(image).then(|| image.clone()));
        views
    }

    /// Looks through the next view.
    ///
    /// # Errors
    /// [`SandboxError`] when the sandbox cannot be used.
    pub async fn look(&mut self, sandbox: &dyn Sandbox) -> Result<(), SandboxError> {
        if let Some((names, gold)) = self.package.take() {
            self.add_files(sandbox, &["/usr"], &names, &gold).await?;
            self.package = Some((names, gold));
            return Ok(());
        }
        let repository = match Repository::open(sandbox, &self.instance.problem.base_commit).await? {
            Ok(repository) => repository,
            Err(said) => {
                let detail = format!("the repository cannot be read: {said}");
                self.findings.push(finding(AUDIT_INCOMPLETE, detail));
                self.package = Some(Default::default());
                return Ok(());
            }
        };
        let gold = GoldText::of(&self.instance.grading.patch).without_those_in(&repository).await?;
        let names = PackageNames::of(self.instance.problem.repo.as_str(), &repository).await?;
        self.findings.extend(repository.findings(&gold).await?);
        let found = self.add_files(sandbox, &["/"], &names, &gold).await?;
        for folder in found.repositories.iter().filter(|folder| **folder != format!("{TESTBED}/.git")) {
            self.findings.extend(repository.clone_at(folder).await?);
        }
        self.package = Some((names, gold));
        Ok(())
    }

    /// Everything that was found, sorted.
    pub fn findings(mut self) -> Vec<Finding> {
        self.findings.sort_unstable();
        self.findings.dedup();
        self.findings
    }

    async fn add_files(
        &mut self,
        sandbox: &dyn Sandbox,
        roots: &[&str],
        names: &PackageNames,
        gold: &GoldText,
    ) -> Result<Found, SandboxError> {
        let version = &self.instance.environment.version;
        let mut found = search::everything(sandbox, roots, gold).await?;
        let wanted = Wanted::new(names, gold, version);
        wanted.add_archives(sandbox, &mut found).await?;
        wanted.add_blocks(sandbox, roots, &mut found).await?;
        self.findings.extend(installed::findings(sandbox, &found, names, version).await?);
        self.findings.extend(gold.findings(&found.matches));
        self.findings.extend(found.incomplete.iter().map(|why| finding(AUDIT_INCOMPLETE, why)));
        Ok(found)
    }
}

/// The files of an image, as this machine's programs see them. An image that only a daemon knows stays as it is.
fn as_data(image: &Image) -> Image {
    if image.layers.is_empty() {
        return image.clone();
    }
    let env = [("HOME", "/root"), ("PATH", "/usr/local/bin:/usr/bin:/bin")];
    let mut binds = image.config.binds.clone();
    let known = binds.clone();
    binds.extend(host_base().into_iter().filter(|bind: &HostBind| !known.contains(bind)));
    Image {
        layers: image.layers.clone(),
        reference: None,
        config: ImageConfig {
            env: env.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
            workdir: "/".into(),
            binds,
            masks: image.config.masks.clone(),
        },
    }
}

/// Whether this machine's programs stand over those of the image.
fn hides_usr(image: &Image) -> bool {
    !image.layers.is_empty() && !image.config.binds.iter().any(|bind| bind.path.as_os_str() == "/usr")
}
