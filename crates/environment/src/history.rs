//! The past of a repository in segments that many instances share.
//!
//! Along the first-parent line of a base commit some commits are boundaries, by their depth alone, so that two base
//! commits of one line have the boundaries that both have passed in common. A segment holds what its boundary
//! reaches and the boundary before it does not; what the base commit adds to the last boundary is its own. All
//! segments of a base commit and its own pack together are what the base commit and its past tags reach, and
//! nothing else: a boundary is an ancestor of the base commit.

use std::path::Path;

use swegym_core::CommitId;
use swegym_images::{Layer, LayerBuild};

use crate::EnvironmentError;
use crate::git::GitRepository;
use crate::layers::{OBJECTS, io_error};

/// Distances of boundaries, longest first: few packs for each instance, and packs that many instances have.
const STEPS: [usize; 3] = [4096, 512, 64];

/// Part of a history: what `to` reaches and `from` does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) from: Option<String>,
    pub(crate) to: String,
}

impl Segment {
    /// Revisions that `git pack-objects` takes.
    fn revisions(&self) -> Vec<String> {
        [self.to.clone()].into_iter().chain(self.from.iter().map(|from| format!("^{from}"))).collect()
    }

    /// Writes the pack of the segment to where it lies in every image.
    pub(crate) async fn build(
        &self,
        source: &GitRepository,
        build: &LayerBuild,
    ) -> Result<(), EnvironmentError> {
        let objects = build.files().join(OBJECTS);
        std::fs::create_dir_all(objects.join("pack")).map_err(io_error("make", &objects))?;
        source.pack_into(&self.revisions(), &objects).await
    }
}

/// The segments of a commit, oldest first. The last ends at or before the commit.
pub(crate) async fn segments(
    source: &GitRepository,
    commit: &CommitId,
) -> Result<Vec<Segment>, EnvironmentError> {
    let line = source.first_parents(commit).await?;
    let mut from = None;
    let boundaries = boundaries(line.len()).into_iter().filter_map(|depth| line.get(depth - 1));
    Ok(boundaries.map(|to| Segment { from: from.replace(to.clone()), to: to.clone() }).collect())
}

/// Depths of the boundaries of a line of `length` commits, counted from 1 at its root.
fn boundaries(length: usize) -> Vec<usize> {
    let mut depths = Vec::new();
    let mut depth = 0;
    for step in STEPS {
        while depth + step <= length {
            depth += step;
            depths.push(depth);
        }
    }
    depths
}

/// Gives the files of the segments to a repository; they stay one on disk where the file system allows it.
pub(crate) fn link_segments(segments: &[Layer], files: &Path) -> Result<(), EnvironmentError> {
    let packs = files.join(OBJECTS).join("pack");
    require_folders(files, &packs)?;
    for segment in segments {
        let theirs = segment.path.join(OBJECTS).join("pack");
        for entry in std::fs::read_dir(&theirs).map_err(io_error("read", &theirs))? {
            let entry = entry.map_err(io_error("read", &theirs))?;
            let target = packs.join(entry.file_name());
            let linked = std::fs::hard_link(entry.path(), &target);
            linked
                .or_else(|_| std::fs::copy(entry.path(), &target).map(drop))
                .map_err(io_error("write", &target))?;
        }
    }
    Ok(())
}

/// No folder on the way may be a link: it could lead anywhere.
fn require_folders(root: &Path, folder: &Path) -> Result<(), EnvironmentError> {
    for path in folder.ancestors().take_while(|path| *path != root) {
        let about = std::fs::symlink_metadata(path).map_err(io_error("find", path))?;
        if !about.is_dir() {
            return Err(io_error("enter", path)(std::io::ErrorKind::NotADirectory.into()));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::git::tests::{Toy, objects_of_packs};

    #[test]
    fn boundaries_follow_from_the_depth_alone() {
        assert_eq!(boundaries(63), Vec::<usize>::new());
        assert_eq!(boundaries(64), [64]);
        assert_eq!(boundaries(700), [512, 576, 640]);
        assert_eq!(boundaries(5309), [4096, 4608, 5120, 5184, 5248]);
        for length in 1..9000 {
            let depths = boundaries(length);
            assert!(depths.len() <= 17, "{length} has {} packs", depths.len());
            assert!(length - depths.last().copied().unwrap_or(0) < 64, "{length} has a long rest");
        }
    }

    /// Packs of the segments of a commit and of its own rest, in a fresh repository.
    async fn pack_all(toy: &Toy, commit: &CommitId, name: &str) -> (GitRepository, Vec<Segment>) {
        let target = GitRepository::init_bare(&toy.folder.path().join(name)).await.unwrap();
        let segments = segments(&toy.repository, commit).await.unwrap();
        let objects = target.path().join("objects");
        for segment in &segments {
            toy.repository.pack_into(&segment.revisions(), &objects).await.unwrap();
        }
        let tags = toy.repository.past_tags(commit).await.unwrap();
        let roots = crate::layers::own_roots(commit, &tags, segments.last());
        toy.repository.pack_into(&roots, &objects).await.unwrap();
        (target, segments)
    }

    #[tokio::test]
    async fn segments_hold_the_past_alone_and_are_shared() {
        let toy = Toy::with_history(150).await;
        let mut shared = Vec::new();
        for depth in [10, 64, 130, 140] {
            let commit = toy.commit(depth).await;
            let (target, segments) = pack_all(&toy, &commit, &depth.to_string()).await;
            let packed = objects_of_packs(&target).await;
            let tags = toy.repository.past_tags(&commit).await.unwrap();
            let roots = tags.into_iter().map(|(object, _)| object).chain([commit.to_string()]).collect();
            let reached: BTreeSet<String> = toy.repository.reachable(roots).await.into_iter().collect();
            assert!(reached.len() > 2 * depth, "commits, trees and files");
            assert_eq!(packed, reached, "depth {depth}: exactly what the commit and its past tags reach");
            shared.push(segments);
        }
        assert_eq!(shared.iter().map(Vec::len).collect::<Vec<_>>(), [0, 1, 2, 2]);
        assert_eq!(shared[2], shared[3]);
        assert_eq!(shared[1][0], shared[2][0]);
    }

    #[tokio::test]
    async fn packs_are_the_same_every_time() {
        let toy = Toy::with_history(70).await;
        let commit = toy.commit(70).await;
        let names = |repository: &GitRepository| -> BTreeSet<(String, Vec<u8>)> {
            let packs = std::fs::read_dir(repository.path().join("objects/pack")).unwrap();
            let packs = packs.map(|entry| entry.unwrap().path());
            packs
                .map(|path| {
                    (path.file_name().unwrap().to_string_lossy().into(), std::fs::read(path).unwrap())
                })
                .collect()
        };
        let (first, _) = pack_all(&toy, &commit, "first").await;
        let (second, _) = pack_all(&toy, &commit, "second").await;
        assert!(names(&first) == names(&second), "the same bytes under the same names");
    }

    #[test]
    fn a_link_on_the_way_to_the_packs_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let outside = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(outside.path().join("objects/pack")).unwrap();
        std::fs::create_dir(folder.path().join("testbed")).unwrap();
        std::os::unix::fs::symlink(outside.path(), folder.path().join("testbed/.git")).unwrap();
        assert!(link_segments(&[], folder.path()).is_err());
    }
}
