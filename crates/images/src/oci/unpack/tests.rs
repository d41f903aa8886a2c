use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

use tar::{EntryType, Header};
use tempfile::TempDir;

use super::super::layer::unpack;
use super::super::tree::{is_opaque, is_whiteout_file};
use super::*;

/// Writes archives that no honest tool would.
#[derive(Default)]
struct Archive(Vec<u8>);

impl Archive {
    fn add(mut self, kind: EntryType, name: &str, target: &str, data: &[u8]) -> Self {
        self.push(kind, name.as_bytes(), target, data, 0o644);
        self
    }

    fn push(&mut self, kind: EntryType, name: &[u8], target: &str, data: &[u8], mode: u32) {
        let mut header = Header::new_gnu();
        header.as_mut_bytes()[..name.len()].copy_from_slice(name);
        header.as_mut_bytes()[157..157 + target.len()].copy_from_slice(target.as_bytes());
        header.set_entry_type(kind);
        header.set_mode(mode);
        header.set_uid(1000);
        header.set_gid(1000);
        header.set_mtime(1_500_000_000);
        header.set_size(data.len() as u64);
        header.set_cksum();
        self.0.extend_from_slice(header.as_bytes());
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
    }

    fn file(self, name: &str, data: &str) -> Self {
        self.add(EntryType::Regular, name, "", data.as_bytes())
    }

    fn folder(self, name: &str) -> Self {
        self.add(EntryType::Directory, name, "", b"")
    }

    fn link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Symlink, name, target, b"")
    }

    fn hard_link(self, name: &str, target: &str) -> Self {
        self.add(EntryType::Link, name, target, b"")
    }

    /// Extended attributes for the next entry.
    fn attribute(mut self, name: &str, value: &str) -> Self {
        let rest = format!(" SCHILY.xattr.{name}={value}\n");
        let digits = (1..6).find(|digits| (rest.len() + digits).to_string().len() == *digits).unwrap();
        let record = format!("{}{rest}", rest.len() + digits);
        self.push(EntryType::XHeader, b"pax", "", record.as_bytes(), 0o644);
        self
    }

    fn unpack(&self) -> Result<(TempDir, LeftOut), UnpackError> {
        self.unpack_upon(&[], &UnpackLimits::default())
    }

    fn unpack_upon(
        &self,
        below: &[PathBuf],
        limits: &UnpackLimits,
    ) -> Result<(TempDir, LeftOut), UnpackError> {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("fs")).unwrap();
        let archive = folder.path().join("layer.tar");
        fs::write(&archive, &self.0).unwrap();
        let unpacked = unpack(&archive, &folder.path().join("fs"), below, limits);
        let beside: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(beside.len(), 2, "nothing may be made outside of the tree: {beside:?}");
        assert_eq!(fs::read(&archive).unwrap(), self.0, "nothing outside of the tree may be written to");
        unpacked.map(|(_, left_out)| (folder, left_out))
    }

    fn tree(&self) -> (TempDir, PathBuf) {
        let (folder, _) = self.unpack().unwrap();
        let tree = folder.path().join("fs");
        (folder, tree)
    }

    fn error(&self) -> String {
        let error = self.unpack().map(|_| ()).unwrap_err();
        let cause = std::error::Error::source(&error).map(|cause| format!(": {cause}"));
        format!("{error}{}", cause.unwrap_or_default())
    }
}

fn archive() -> Archive {
    Archive::default()
}

#[test]
fn a_plain_tree_is_unpacked_as_it_is() {
    let mut plain =
        archive().folder("./").folder("a/").file("/a/file", "content").link("a/link", "../../../etc");
    plain.push(EntryType::Regular, b"a/raw\xff\xfe", "", b"raw", 0o755);
    plain.push(EntryType::Directory, b"closed", "", b"", 0);
    plain.push(EntryType::Regular, b"closed/file", "", b"x", 0);
    let plain = plain.hard_link("a/again", "a/file").add(EntryType::Fifo, "a/fifo", "", b"");
    let (_folder, tree) = plain.tree();
    assert_eq!(fs::read(tree.join("a/file")).unwrap(), b"content");
    assert_eq!(fs::read_link(tree.join("a/link")).unwrap(), Path::new("../../../etc"));
    use std::os::unix::ffi::OsStrExt;
    let raw = fs::metadata(tree.join("a").join(std::ffi::OsStr::from_bytes(b"raw\xff\xfe"))).unwrap();
    assert_eq!((raw.mode() & 0o7777, raw.mtime()), (0o755, 1_500_000_000));
    let inode = |name: &str| fs::metadata(tree.join(name)).unwrap().ino();
    assert_eq!(inode("a/file"), inode("a/again"));
    assert!(fs::symlink_metadata(tree.join("a/fifo")).unwrap().file_type().is_fifo());
    let mode = |name: &str| fs::symlink_metadata(tree.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("closed"), mode("closed/file")), (0o700, 0o400), "its owner has to come in");
    assert_eq!(fs::symlink_metadata(tree.join("a")).unwrap().mtime(), 1_500_000_000);
    assert_eq!(fs::symlink_metadata(tree.join("a/link")).unwrap().mtime(), 1_500_000_000);
}

#[test]
fn nothing_leads_out_of_the_tree() {
    for (archive, reason) in [
        (archive().file("../x", ""), "leads upwards"),
        (archive().file("a/../../x", ""), "leads upwards"),
        (archive().file("/../x", ""), "leads upwards"),
        (archive().link("out", "/").file("out/../x", ""), "leads upwards"),
        (archive().folder("a").hard_link("x", "../layer.tar"), "leads upwards"),
        (archive().link("out", "..").hard_link("x", "out/layer.tar"), "layer.tar"),
        (archive().link("out", "nowhere").file("out/x", ""), "no folder"),
        (archive().link("a", "b").link("b", "a").file("a/x", ""), "symbolic links"),
        (archive().file("a", "").file("a/x", ""), "no folder"),
        (archive().file(".", ""), "replace the root"),
        (archive().file("", ""), "replace the root"),
        (archive().link("/", "/"), "replace the root"),
        (archive().hard_link("x", "."), "leads to the root"),
        (archive().folder("a").hard_link("x", "a"), "leads to a folder"),
        (archive().link("x", ""), "no path"),
    ] {
        let error = archive.error();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn links_are_followed_within_the_tree_alone() {
    // Both lead to the root of the image, where a program inside would be led, and not further up.
    let (_folder, tree) =
        archive().link("out", "../../..").link("abs", "/").file("out/x", "1").file("abs/y", "2").tree();
    assert_eq!(fs::read(tree.join("x")).unwrap(), b"1");
    assert_eq!(fs::read(tree.join("y")).unwrap(), b"2");
    let (_folder, tree) = archive().folder("usr/lib").link("lib", "usr/lib").file("lib/x", "1").tree();
    assert_eq!(fs::read(tree.join("usr/lib/x")).unwrap(), b"1");
}

#[test]
fn what_is_there_is_replaced_and_not_written_through() {
    let folder = tempfile::tempdir().unwrap();
    let outside = folder.path().join("outside");
    fs::write(&outside, b"kept").unwrap();
    let target = outside.to_str().unwrap();
    let (_folder, tree) = archive().link("f", target).file("f", "new").tree();
    assert_eq!(
        (fs::read(tree.join("f")).unwrap(), fs::read(&outside).unwrap()),
        (b"new".to_vec(), b"kept".to_vec())
    );
    let (_folder, tree) = archive().file("a/b/c", "").file("a", "file").tree();
    assert_eq!(fs::read(tree.join("a")).unwrap(), b"file");
    let (_folder, tree) = archive().folder("real").link("f", "real").folder("f").file("f/x", "").tree();
    assert!(fs::symlink_metadata(tree.join("f")).unwrap().is_dir());
    assert!(!tree.join("real/x").exists());
    let (_folder, tree) = archive().file("f", "same").hard_link("f", "f").hard_link("f", "./f").tree();
    assert_eq!(fs::read(tree.join("f")).unwrap(), b"same");
    // A file shared by a link does not change with it.
    let (_folder, tree) = archive().file("f", "one").hard_link("g", "f").file("g", "two").tree();
    assert_eq!(fs::read(tree.join("f")).unwrap(), b"one");
    assert!(archive().file("d/f", "").hard_link("d", "d/f").error().contains("what it replaces"));
}

#[test]
fn what_is_dangerous_is_left_out() {
    let mut bad = archive().add(EntryType::Char, "null", "", b"").add(EntryType::Block, "disk", "", b"");
    bad.push(EntryType::Regular, b"su", "", b"x", 0o6755);
    bad.push(EntryType::Directory, b"shared", "", b"", 0o3777);
    let bad = bad
        .attribute("user.overlay.opaque", "y")
        .folder("opaque")
        .attribute("trusted.overlay.opaque", "y")
        .folder("trusted")
        .attribute("security.capability", "x")
        .file("ping", "")
        .attribute("user.note", "x")
        .file("noted", "");
    let (folder, left_out) = bad.unpack().unwrap();
    let tree = folder.path().join("fs");
    assert_eq!(left_out, LeftOut { devices: 2, set_id_bits: 2, attributes: 3 });
    assert!(!tree.join("null").exists() && !tree.join("disk").exists());
    let mode = |name: &str| fs::symlink_metadata(tree.join(name)).unwrap().mode() & 0o7777;
    assert_eq!((mode("su"), mode("shared")), (0o755, 0o1777));
    assert!(!is_opaque(&tree.join("opaque")) && !is_opaque(&tree.join("trusted")));
    assert_eq!(xattr::get(tree.join("ping"), "security.capability").unwrap(), None);
}

#[test]
fn attributes_of_users_are_kept_as_far_as_there_is_room() {
    let upper = archive()
        .attribute("user.note", "of a folder")
        .folder("d")
        .attribute("user.big", &"x".repeat(3000))
        .file("d/big", "")
        .attribute("user.note", "of a closed file");
    let mut upper = upper;
    upper.push(EntryType::Regular, b"d/closed", "", b"", 0o400);
    let lower = archive().attribute("user.note", "from below").file("f", "").tree();
    let (folder, left_out) =
        upper.hard_link("copy", "f").unpack_upon(&[lower.1], &UnpackLimits::default()).unwrap();
    let tree = folder.path().join("fs");
    let note = |name: &str| {
        xattr::get(tree.join(name), "user.note").unwrap().map(|value| String::from_utf8(value).unwrap())
    };
    assert_eq!(note("d").as_deref(), Some("of a folder"));
    assert_eq!(note("d/closed").as_deref(), Some("of a closed file"));
    assert_eq!(note("copy").as_deref(), Some("from below"));
    assert_eq!(xattr::get(tree.join("d/big"), "user.big").unwrap(), None);
    assert_eq!(left_out, LeftOut { attributes: 1, ..LeftOut::default() });
}

#[test]
fn whiteouts_hide_what_lies_below() {
    let (_folder, tree) =
        archive().file("a/.wh.gone", "").file("b/.wh..wh..opq", "").file(".wh.top", "").tree();
    let whiteout = |name: &str| is_whiteout_file(&fs::symlink_metadata(tree.join(name)).unwrap());
    assert!(whiteout("a/gone") && whiteout("top"));
    assert!(is_opaque(&tree.join("b")) && !is_opaque(&tree.join("a")));
    assert_eq!(fs::read_dir(tree.join("b")).unwrap().count(), 0);
}

#[test]
fn a_whiteout_never_hides_what_its_own_layer_brings() {
    for layer in [archive().file(".wh.x", "").file("x", "new"), archive().file("x", "new").file(".wh.x", "")]
    {
        let (_folder, tree) = layer.tree();
        assert_eq!(fs::read(tree.join("x")).unwrap(), b"new");
    }
    for layer in [
        archive().file(".wh.d", "").folder("d").file("d/x", "new"),
        archive().file(".wh.d", "").file("d/x", "new"),
        archive().file("d/x", "new").file(".wh.d", ""),
        archive().file("d/x", "new").file("d/.wh..wh..opq", ""),
    ] {
        let (_folder, tree) = layer.tree();
        assert_eq!(fs::read(tree.join("d/x")).unwrap(), b"new");
        assert!(is_opaque(&tree.join("d")));
    }
}

#[test]
fn markers_below_what_replaces_their_folder_mean_nothing() {
    let layers = [
        archive().file("d", "new").file("d/.wh.x", "").file("d/.wh..wh..opq", ""),
        archive().file("d/.wh.x", "").file("d", "new"),
        archive().folder("e").link("d", "e").file("d/.wh.x", "").file("d/deeper/.wh.x", ""),
        archive().file(".wh.d", "").file("d/.wh.x", "").file("d/.wh..wh..opq", ""),
    ];
    for layer in layers {
        let (_folder, tree) = layer.tree();
        assert!(!fs::symlink_metadata(tree.join("d")).unwrap().is_dir());
        assert!(
            fs::read_dir(tree.join("e")).is_ok_and(|mut e| e.next().is_none()) || !tree.join("e").exists()
        );
    }
}

#[test]
fn whiteouts_of_nothing_are_refused() {
    for (name, reason) in [
        (".wh.", "of nothing"),
        (".wh..", "of nothing"),
        (".wh...", "of nothing"),
        ("a/.wh...", "of nothing"),
        (".wh.a/b", "below a whiteout"),
        ("a/.wh.b/.wh.c", "below a whiteout"),
    ] {
        let error = archive().file(name, "").error();
        assert!(error.contains(reason), "{name}: {error}");
    }
    let (_folder, tree) =
        archive().folder(".wh..wh.plnk").file(".wh..wh.plnk/1.2", "").file(".wh..wh.aufs", "").tree();
    assert_eq!(fs::read_dir(tree).unwrap().count(), 0, "AUFS kept these for itself");
}

#[test]
fn hard_links_to_lower_layers_become_copies() {
    let (_low, low) = archive().file("d/f", "below").file("d/g", "below").file("e/f", "hidden").tree();
    let (_high, high) = archive().file("d/g", "above").file("e/.wh..wh..opq", "").file("d/.wh.h", "").tree();
    let layers = [low, high];
    let limits = UnpackLimits::default();
    let links = archive().hard_link("x/f", "d/f").hard_link("x/g", "/d/g");
    assert!(matches!(links.unpack(), Err(UnpackError::NoLinkTarget { .. })));
    let (folder, _) = links.unpack_upon(&layers, &limits).unwrap();
    let read = |name: &str| fs::read_to_string(folder.path().join("fs").join(name)).unwrap();
    assert_eq!((read("x/f"), read("x/g")), ("below".to_owned(), "above".to_owned()));
    for hidden in ["e/f", "d/h", "nowhere", "d"] {
        let unpacked = archive().hard_link("x", hidden).unpack_upon(&layers, &limits);
        assert!(matches!(unpacked, Err(UnpackError::NoLinkTarget { .. })), "{hidden}");
    }
}

#[test]
fn bombs_are_stopped() {
    let limits =
        UnpackLimits { bytes: 1 << 20, entries: 10, name_bytes: 50, depth: 5, ..UnpackLimits::default() };
    let many = (0..11).fold(archive(), |many, number| many.file(&number.to_string(), ""));
    let implied = archive().file("a/b/c/d/1", "").file("b/c/d/e/1", "").file("c/d/e/f/1", "");
    for bomb in [
        archive().add(EntryType::Regular, "x", "", &[0; 2 << 20]),
        many,
        implied,
        archive().file(&"x".repeat(51), ""),
        archive().file("1/2/3/4/5/6", ""),
        archive().folder("1/2/3/4/5").link("l", "1/2/3/4").folder("l/5/6").file("l/5/6/x", ""),
    ] {
        assert!(bomb.unpack_upon(&[], &limits).is_err());
    }
    let zeros = archive().add(EntryType::Regular, "x", "", &[0; 4 << 20]);
    let limits = UnpackLimits { free_bytes: 1 << 20, ..UnpackLimits::default() };
    for packed in [zstd::encode_all(&zeros.0[..], 3).unwrap(), gzip(&zeros.0)] {
        let error = Archive(packed).unpack_upon(&[], &limits).map(|_| ()).unwrap_err().to_string();
        assert!(error.contains("unpacks to more than"), "{error}");
    }
}

#[test]
fn sparse_files_keep_their_holes() {
    let folder = tempfile::tempdir().unwrap();
    let file = File::create(folder.path().join("holes")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"end", (32 << 20) - 3).unwrap();
    let mut tar = std::process::Command::new("tar");
    let Ok(output) = tar.args(["--sparse", "-c", "-C"]).arg(folder.path()).arg("holes").output() else {
        println!("skipped: GNU tar does not run");
        return;
    };
    let (_folder, tree) = Archive(output.stdout).tree();
    let about = fs::metadata(tree.join("holes")).unwrap();
    assert_eq!(about.len(), 32 << 20);
    assert!(about.blocks() * 512 < 1 << 20, "{} blocks", about.blocks());
    assert!(fs::read(tree.join("holes")).unwrap().ends_with(b"\0end"));
}

#[test]
fn permissions_do_not_depend_on_the_umask() {
    let (_folder, tree) = archive().file("implied/x", "").tree();
    let mode = fs::metadata(tree.join("implied")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o755);
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
