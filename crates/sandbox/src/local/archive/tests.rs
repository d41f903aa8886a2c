use std::fs::{self, File};
use std::io;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use tar::{Builder, EntryType, Header};
use tempfile::TempDir;

use super::*;
use crate::TreeLimits;

const LIMITS: TreeLimits = TreeLimits { bytes: 1 << 20, entries: 1000 };
const DOWNLOAD: Rules = Rules { replace: false, modes: 0o777, closed_folders: false, limits: LIMITS };
const UPLOAD: Rules = Rules { replace: true, modes: 0o7777, closed_folders: true, limits: LIMITS };

/// A folder to unpack into, with something beside it that must stay as it is.
struct Place {
    home: TempDir,
}

impl Place {
    fn new() -> Self {
        let home = tempfile::tempdir().unwrap();
        fs::create_dir(home.path().join("target")).unwrap();
        fs::write(home.path().join("outside"), "untouched").unwrap();
        Self { home }
    }

    fn target(&self) -> std::path::PathBuf {
        self.home.path().join("target")
    }

    fn unpack(&self, archive: &[u8], rules: Rules) -> Result<(), String> {
        let root = File::open(self.target()).unwrap().into();
        let done = unpack(&root, archive, rules).map_err(|error| error.message);
        let around: Vec<_> = fs::read_dir(self.home.path()).unwrap().flatten().collect();
        assert_eq!(around.len(), 2, "nothing was made beside the target: {around:?}");
        assert_eq!(fs::read_to_string(self.home.path().join("outside")).unwrap(), "untouched");
        done
    }
}

/// Entries, each with its name, what it is, and its content or target.
fn archive(entries: &[(&str, EntryType, &str)]) -> Vec<u8> {
    let mut builder = Builder::new(Vec::new());
    for (name, kind, content) in entries {
        let mut header = Header::new_gnu();
        header.set_entry_type(*kind);
        header.set_mode(0o6755);
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        let is_file = *kind == EntryType::Regular;
        if !is_file {
            header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
        }
        header.set_size(if is_file { content.len() as u64 } else { 0 });
        header.set_cksum();
        builder.append(&header, if is_file { content.as_bytes() } else { b"" }).unwrap();
    }
    builder.into_inner().unwrap()
}

const FILE: EntryType = EntryType::Regular;
const FOLDER: EntryType = EntryType::Directory;
const LINK: EntryType = EntryType::Symlink;

#[test]
fn names_that_lead_elsewhere_are_refused() {
    for name in ["../outside", "/outside", "a/../../outside", "..", ".", "./a", "a//b", "", "a/./b"] {
        for kind in [FILE, FOLDER, LINK] {
            let said = Place::new().unpack(&archive(&[(name, kind, "x")]), DOWNLOAD).unwrap_err();
            assert!(said.starts_with("the stream holds the name"), "{name}: {said}");
        }
    }
}

#[test]
fn a_link_is_never_followed() {
    let home = Place::new();
    let there = home.home.path().to_str().unwrap().to_owned();
    for target in ["..", there.as_str(), "../../../../../../../../../tmp"] {
        let place = Place::new();
        let entries = [("link", LINK, target), ("link/outside", FILE, "overwritten")];
        place.unpack(&archive(&entries), DOWNLOAD).unwrap_err();
        place.unpack(&archive(&entries), UPLOAD).unwrap_err();
        assert!(place.target().join("link").is_symlink());
    }
    assert_eq!(fs::read_to_string(home.home.path().join("outside")).unwrap(), "untouched");
}

#[test]
fn a_name_that_comes_twice_is_refused() {
    for second in [FILE, LINK] {
        let place = Place::new();
        let entries = [("name", LINK, "../outside"), ("name", second, "overwritten")];
        assert_eq!(place.unpack(&archive(&entries), DOWNLOAD).unwrap_err(), "`name` comes twice");
    }
    let entries = [("name", LINK, ".."), ("name", FOLDER, ""), ("name/outside", FILE, "overwritten")];
    assert_eq!(Place::new().unpack(&archive(&entries), DOWNLOAD).unwrap_err(), "`name` comes twice");
}

#[test]
fn other_kinds_are_refused() {
    let kinds = [EntryType::Link, EntryType::Char, EntryType::Block, EntryType::Fifo, EntryType::GNUSparse];
    for kind in kinds.into_iter().chain([EntryType::XHeader, EntryType::XGlobalHeader, EntryType::Continuous])
    {
        let place = Place::new();
        let said = place.unpack(&archive(&[("name", kind, "../outside")]), DOWNLOAD).unwrap_err();
        assert!(said.starts_with("the stream holds an entry of kind"), "{kind:?}: {said}");
        assert_eq!(fs::read_dir(place.target()).unwrap().count(), 0);
    }
}

#[test]
fn bombs_stop_at_the_limits() {
    let place = Place::new();
    let limited = |bytes, entries| Rules { limits: TreeLimits { bytes, entries }, ..DOWNLOAD };
    let files = archive(&[("a", FILE, "12345"), ("b", FILE, "12345")]);
    place.unpack(&files, limited(10, 2)).unwrap();
    let said = |bytes, entries| Place::new().unpack(&files, limited(bytes, entries)).unwrap_err();
    assert_eq!(said(9, 2), "the files are larger than 9 bytes together");
    assert_eq!(said(10, 1), "it holds more than 1 entries");
    // A size that nothing stands behind is refused before anything is written.
    let mut header = Header::new_gnu();
    header.set_entry_type(FILE);
    header.as_old_mut().name[0] = b'f';
    header.set_size(1 << 50);
    header.set_cksum();
    assert!(Place::new().unpack(header.as_bytes(), DOWNLOAD).unwrap_err().contains("larger than"));
    header.set_entry_type(EntryType::GNULongName);
    header.set_cksum();
    let endless = io::Read::chain(&header.as_bytes()[..], io::repeat(b'n'));
    let place = Place::new();
    let root = File::open(place.target()).unwrap().into();
    assert_eq!(
        unpack(&root, endless, DOWNLOAD).unwrap_err().message,
        "the stream holds a name that is too long"
    );
}

#[test]
fn a_stream_that_breaks_off_is_an_error() {
    let whole = archive(&[("file", FILE, &"x".repeat(2000))]);
    for length in [100, 511, 513, 1500, 2511] {
        Place::new().unpack(&whole[..length], DOWNLOAD).unwrap_err();
    }
    Place::new().unpack(&[7; 4096], DOWNLOAD).unwrap_err();
}

#[test]
fn set_id_bits_are_dropped_and_folders_stay_open() {
    let place = Place::new();
    let entries = [("folder", FOLDER, ""), ("folder/.wh.file", FILE, "x"), ("Folder", FILE, "another")];
    place.unpack(&archive(&entries), DOWNLOAD).unwrap();
    let mode = |path: &str| fs::metadata(place.target().join(path)).unwrap().permissions().mode() & 0o7777;
    assert_eq!((mode("folder"), mode("folder/.wh.file"), mode("Folder")), (0o755, 0o755, 0o755));
}

#[test]
fn an_upload_replaces_links_and_files_and_fills_folders() {
    let place = Place::new();
    symlink("../outside", place.target().join("file")).unwrap();
    symlink("..", place.target().join("folder")).unwrap();
    fs::create_dir(place.target().join("kept")).unwrap();
    fs::write(place.target().join("kept/old"), "old").unwrap();
    let entries = [
        ("file", FILE, "new"),
        ("folder", FOLDER, ""),
        ("folder/outside", FILE, "inside"),
        ("kept", FOLDER, ""),
        ("kept/new", FILE, "new"),
    ];
    place.unpack(&archive(&entries), UPLOAD).unwrap();
    let read = |path: &str| fs::read_to_string(place.target().join(path)).unwrap();
    assert_eq!([read("file"), read("folder/outside"), read("kept/old")], ["new", "inside", "old"]);
    // A folder does not give way: there may be anything in it.
    assert!(place.unpack(&archive(&[("kept", FILE, "x")]), UPLOAD).is_err());
    assert_eq!(read("kept/new"), "new");
}

#[test]
fn any_tree_makes_a_round_trip() {
    let from = tempfile::tempdir().unwrap();
    let long = "l".repeat(200);
    let deep = from.path().join(&long).join(&long).join(&long);
    fs::create_dir_all(&deep).unwrap();
    fs::write(deep.join("file"), "deep").unwrap();
    symlink(format!("/{long}/..//./x"), from.path().join("link")).unwrap();
    let odd = std::ffi::OsStr::from_bytes(b"\xff\n name\\");
    fs::write(from.path().join(odd), vec![5; 100_000]).unwrap();
    fs::write(from.path().join("closed"), "x").unwrap();
    let closed = from.path().join("folder");
    fs::create_dir(&closed).unwrap();
    fs::write(closed.join("x"), "x").unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o555)).unwrap();

    let mut stream = Vec::new();
    pack(&File::open(from.path()).unwrap().into(), &mut stream, LIMITS).unwrap();
    let place = Place::new();
    place.unpack(&stream, UPLOAD).unwrap();
    let to = |path: &Path| place.target().join(path);
    assert_eq!(fs::read(to(Path::new(odd))).unwrap(), [5; 100_000]);
    assert_eq!(fs::read_link(to(Path::new("link"))).unwrap(), Path::new(&format!("/{long}/..//./x")));
    assert_eq!(fs::read(to(deep.strip_prefix(from.path()).unwrap()).join("file")).unwrap(), b"deep");
    assert_eq!(fs::metadata(to(Path::new("folder"))).unwrap().permissions().mode() & 0o7777, 0o555);
    for folder in [closed, to(Path::new("folder"))] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
    }
    let few = TreeLimits { entries: 3, ..LIMITS };
    let root = File::open(from.path()).unwrap().into();
    assert!(pack(&root, io::sink(), few).unwrap_err().message.contains("more than 3 entries"));
    let small = TreeLimits { bytes: 99_999, ..LIMITS };
    assert!(pack(&root, io::sink(), small).unwrap_err().message.contains("larger than"));
}

#[test]
fn a_silent_pipe_is_not_waited_for_for_ever() {
    let (ours, _theirs) = nix::unistd::pipe().unwrap();
    let mut pipe = PatientPipe::new(ours, std::time::Instant::now()).unwrap();
    assert_eq!(io::Read::read(&mut pipe, &mut [0]).unwrap_err().kind(), io::ErrorKind::TimedOut);
}

use std::os::unix::ffi::OsStrExt;
