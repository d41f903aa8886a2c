//! Folders as upstream's editor shows them.

use std::collections::HashSet;

use super::output::{Kind, cut};
use super::raised::EditorError;
use crate::EditorVersion;
use crate::tools::editor::files::EditorFiles;

/// Lists a folder to depth 2. As upstream does, paths go into the line of shell as they are.
pub(super) async fn list(
    version: EditorVersion,
    files: &dyn EditorFiles,
    path: &str,
) -> Result<String, EditorError> {
    if version >= EditorVersion::Aci033 {
        list_033(files, path).await
    } else {
        list_010(version, files, path).await
    }
}

async fn list_010(
    version: EditorVersion,
    files: &dyn EditorFiles,
    path: &str,
) -> Result<String, EditorError> {
    let script = format!(r"find {path} -maxdepth 2 -not -path '*/\.*'");
    let printed = files.shell(&script).await.map_err(EditorError::Files)?;
    if !printed.stderr.is_empty() {
        return Err(EditorError::Refused(cut(version, Kind::Folder, &printed.stderr)));
    }
    let listing = cut(version, Kind::Folder, &printed.stdout);
    Ok(format!("{}\n{listing}\n", heading(path)))
}

async fn list_033(files: &dyn EditorFiles, path: &str) -> Result<String, EditorError> {
    let version = EditorVersion::Aci033;
    let visible =
        format!(r"find -L {path} -maxdepth 2 -not \( -path '{path}/\.*' -o -path '{path}/*/\.*' \)");
    let shell = async |script: String| files.shell(&script).await.map_err(EditorError::Files);
    let hidden = shell(format!("find -L {path} -mindepth 1 -maxdepth 1 -name '.*'")).await?;
    let printed = shell(format!("{visible} | LC_ALL=C sort")).await?;
    if !printed.stderr.is_empty() {
        return Err(EditorError::Refused(cut(version, Kind::Other, &printed.stderr)));
    }
    let folders = shell(format!("{visible} -type d")).await?.stdout;
    let folders: HashSet<&str> = folders.lines().collect();
    let listing = cut(version, Kind::Folder, &printed.stdout);
    let entries = crate::python::strip(&listing).split('\n').filter(|entry| !entry.is_empty());
    let entries =
        entries.map(|entry| if folders.contains(entry) { format!("{entry}/") } else { entry.to_owned() });
    let mut shown = format!("{}\n{}", heading(path), entries.collect::<Vec<_>>().join("\n"));
    match cut(version, Kind::Other, &hidden.stdout).lines().count() {
        0 => {}
        count => shown.push_str(&format!(
            "\n\n{count} hidden files/directories in this directory are excluded. You can use 'ls -la {path}' to \
             see them."
        )),
    }
    Ok(shown)
}

fn heading(path: &str) -> String {
    format!("Here's the files and directories up to 2 levels deep in {path}, excluding hidden items:")
}
