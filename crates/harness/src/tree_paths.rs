//! Where paths of a repository lie to each other. Pure, on bytes.

use crate::patch_paths::Paths;

/// The folder that a file is in; empty at the top.
pub(crate) fn folder_of(path: &[u8]) -> &[u8] {
    path.iter().rposition(|byte| *byte == b'/').map_or(b"", |slash| &path[..slash])
}

/// The folders that a path lies in, within the repository, the highest first.
pub(crate) fn parents(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
    slashes.map(|(place, _)| &path[..place])
}

/// Those of the paths that lie below `folder`.
pub(crate) fn below<'a>(paths: &'a Paths, folder: &[u8]) -> impl Iterator<Item = &'a Vec<u8>> {
    let inside = [folder, b"/"].concat();
    paths.range(inside.clone()..).take_while(move |path| path.starts_with(&inside))
}

/// Whether any of the paths lies below `folder`.
pub(crate) fn has_below(paths: &Paths, folder: &[u8]) -> bool {
    below(paths, folder).next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_below_a_folder_is_told_from_its_neighbours() {
        let paths: Paths = [&b"a-b/c"[..], b"a/b/c", b"a0"].map(<[u8]>::to_vec).into();
        for (folder, expected) in
            [("a", true), ("a/b", true), ("a-b", true), ("a0", false), ("a/b/c", false), ("", false)]
        {
            assert_eq!(has_below(&paths, folder.as_bytes()), expected, "{folder}");
        }
    }

    #[test]
    fn folders_of_a_path() {
        assert_eq!(parents(b"a/b/c").collect::<Vec<_>>(), [&b"a"[..], b"a/b"]);
        assert_eq!((folder_of(b"a/b/c"), folder_of(b"c")), (&b"a/b"[..], &b""[..]));
    }
}
