//! What users of the store rely on.

use std::fs::{self, File};
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::{Duration, UNIX_EPOCH};

use nix::sys::stat::{Mode, SFlag, mknod};
use tempfile::TempDir;

use super::scan::mark_opaque;
use super::*;
use crate::{Image, Layer};

fn store() -> (TempDir, LayerStore) {
    let folder = TempDir::new().unwrap();
    let store = LayerStore::open(folder.path(), None).unwrap();
    (folder, store)
}

fn recipe(text: &str) -> Recipe {
    Recipe::new("test", &text).unwrap()
}

fn begin(store: &LayerStore, text: &str) -> LayerBuild {
    match store.begin(&recipe(text)).unwrap() {
        Begin::Build(build) => build,
        Begin::Ready(layer) => panic!("{layer:?} should not be there"),
    }
}

fn write(root: &Path, files: &[(&str, &str)]) {
    for (path, content) in files {
        let path = root.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }
}

fn layer(store: &LayerStore, text: &str, files: &[(&str, &str)]) -> Layer {
    let build = begin(store, text);
    write(&build.files(), files);
    build.commit().unwrap()
}

fn inode(path: PathBuf) -> u64 {
    fs::symlink_metadata(path).unwrap().ino()
}

/// How many entries the folders of the store have.
fn count(store: &LayerStore, folder: &str) -> usize {
    fs::read_dir(store.root.join(folder)).unwrap().count()
}

fn assert_sound(store: &LayerStore) {
    let report = store.verify(false).unwrap();
    assert_eq!((report.faults, report.pool), (Vec::new(), Vec::new()));
}

#[test]
fn a_layer_is_there_once_it_is_committed() {
    let (_folder, store) = store();
    let build = begin(&store, "a");
    fs::write(build.files().join("x"), "1").unwrap();
    assert_eq!(store.find(&recipe("a")), None);
    let layer = build.commit().unwrap();
    assert_eq!(fs::read(layer.path.join("x")).unwrap(), b"1");
    assert_eq!(store.find(&recipe("a")), Some(layer));
    assert_eq!(store.find(&recipe("b")), None);
    assert!(matches!(store.begin(&recipe("a")).unwrap(), Begin::Ready(_)));
    assert_sound(&store);
}

#[test]
fn an_abandoned_build_leaves_nothing() {
    let (folder, store) = store();
    drop(begin(&store, "a"));
    // As a killed builder would have left it.
    let dead = folder.path().join("building").join(format!("{}.dead/fs/x", recipe("a").id()));
    fs::create_dir_all(&dead).unwrap();
    fs::set_permissions(dead.parent().unwrap(), fs::Permissions::from_mode(0o500)).unwrap();
    drop(begin(&store, "a"));
    assert_eq!(count(&store, "building"), 0);
}

#[test]
fn concurrent_builders_build_once() {
    let (_folder, store) = store();
    let built = std::sync::atomic::AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                if let Begin::Build(build) = store.begin(&recipe("a")).unwrap() {
                    built.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
                    build.commit().unwrap();
                }
            });
        }
    });
    assert_eq!(built.into_inner(), 1);
}

#[test]
fn equal_content_is_one_layer_whatever_led_to_it() {
    let (_folder, store) = store();
    let first = layer(&store, "a", &[("d/x", "1"), ("y", "2")]);
    let build = begin(&store, "b");
    write(&build.files(), &[("y", "2"), ("d/x", "1")]);
    File::open(build.files().join("y")).unwrap().set_modified(UNIX_EPOCH).unwrap();
    let second = build.commit().unwrap();
    assert_eq!(first, second);
    assert_eq!((count(&store, "layers"), count(&store, "recipes"), count(&store, "building")), (1, 2, 0));
    let mtime = |path: &str| fs::symlink_metadata(first.path.join(path)).unwrap().mtime();
    assert_eq!([mtime("."), mtime("d"), mtime("d/x"), mtime("y")], [FIXED_TIME; 4]);
    assert_ne!(layer(&store, "c", &[("y", "2"), ("d/x", "3")]).id, first.id);
}

#[test]
fn concurrent_builders_of_equal_content_share_it() {
    let (_folder, store) = store();
    let names: Vec<String> = (0..8).map(|index| index.to_string()).collect();
    std::thread::scope(|scope| {
        for name in &names {
            scope.spawn(|| layer(&store, name, &[("x", "1"), ("y", "2"), ("z/x", "1")]));
        }
    });
    assert_eq!((count(&store, "layers"), count(&store, "recipes"), count(&store, "building")), (1, 8, 0));
    assert_sound(&store);
}

#[test]
fn a_time_of_the_fixed_day_is_kept() {
    let (_folder, store) = store();
    let build = begin(&store, "a");
    write(&build.files(), &[("index", "1"), ("x", "1")]);
    let later = UNIX_EPOCH + Duration::from_secs(FIXED_TIME as u64 + 60);
    File::open(build.files().join("index")).unwrap().set_modified(later).unwrap();
    let layer = build.commit().unwrap();
    assert_eq!(fs::metadata(layer.path.join("index")).unwrap().mtime(), FIXED_TIME + 60);
    assert_eq!(fs::metadata(layer.path.join("x")).unwrap().mtime(), FIXED_TIME);
    assert_sound(&store);
}

#[test]
fn equal_files_of_layers_are_one_file_and_those_of_one_layer_are_not() {
    let (_folder, store) = store();
    let a = layer(&store, "a", &[("x/__init__.py", ""), ("y/__init__.py", ""), ("z", "content")]);
    let b =
        layer(&store, "b", &[("p/__init__.py", ""), ("q/__init__.py", ""), ("r", "content"), ("s", "more")]);
    // Otherwise `cp x/__init__.py y/__init__.py` would say that they are the same file.
    assert_ne!(inode(a.path.join("x/__init__.py")), inode(a.path.join("y/__init__.py")));
    assert_eq!(inode(a.path.join("x/__init__.py")), inode(b.path.join("p/__init__.py")));
    assert_eq!(inode(a.path.join("y/__init__.py")), inode(b.path.join("q/__init__.py")));
    assert_eq!(inode(a.path.join("z")), inode(b.path.join("r")));
    assert_sound(&store);
}

#[test]
fn mode_tells_files_apart() {
    let (_folder, store) = store();
    let a = layer(&store, "a", &[("x", "1")]);
    let build = begin(&store, "b");
    write(&build.files(), &[("x", "1")]);
    fs::set_permissions(build.files().join("x"), fs::Permissions::from_mode(0o755)).unwrap();
    let b = build.commit().unwrap();
    assert_ne!(a.id, b.id);
    assert_ne!(inode(a.path.join("x")), inode(b.path.join("x")));
    assert_eq!(fs::metadata(b.path.join("x")).unwrap().mode() & 0o777, 0o755);
}

#[test]
fn links_to_one_file_stay_links_to_one_file() {
    let (_folder, store) = store();
    layer(&store, "before", &[("x", "1")]);
    let build = begin(&store, "a");
    write(&build.files(), &[("a", "1"), ("c", "1")]);
    fs::hard_link(build.files().join("a"), build.files().join("b")).unwrap();
    let layer = build.commit().unwrap();
    assert_eq!(inode(layer.path.join("a")), inode(layer.path.join("b")));
    assert_ne!(inode(layer.path.join("a")), inode(layer.path.join("c")));
    assert_sound(&store);
}

/// Everything that a hostile program can leave in a layer.
fn strange(build: &LayerBuild) {
    let files = build.files();
    write(
        &files,
        &[("secret", "1"), ("closed/inner/x", "2"), ("set", "3"), ("new\nline %", "4"), ("mark/x", "5")],
    );
    symlink("/etc/passwd", files.join("link")).unwrap();
    symlink("loop", files.join("loop")).unwrap();
    mknod(&files.join("pipe"), SFlag::S_IFIFO, Mode::from_bits_truncate(0o600), 0).unwrap();
    mknod(&files.join("gone"), SFlag::S_IFCHR, Mode::empty(), 0).unwrap();
    let set =
        |path: &str, mode| fs::set_permissions(files.join(path), fs::Permissions::from_mode(mode)).unwrap();
    set("secret", 0o000);
    set("set", 0o4711);
    let is_root = nix::unistd::geteuid().is_root();
    mark_opaque(&files.join("mark"), [is_root, !is_root])
        .unwrap_or_else(|error| println!("skipped: {error}"));
    rustix::fs::lsetxattr(files.join("set"), "user.note", b"x", rustix::fs::XattrFlags::empty())
        .unwrap_or_else(|error| println!("skipped: attributes: {error}"));
    set("closed/inner", 0o000);
    set("closed", 0o400);
}

#[test]
fn what_hostile_programs_leave_is_kept_and_removed() {
    let (_folder, store) = store();
    let build = begin(&store, "a");
    strange(&build);
    let before = fs::metadata("/etc/passwd").unwrap().mtime();
    let layer = build.commit().unwrap();
    assert_eq!(fs::metadata("/etc/passwd").unwrap().mtime(), before, "no link is followed");
    let mode = |path: &str| fs::symlink_metadata(layer.path.join(path)).unwrap().mode() & 0o7777;
    assert_eq!([mode("secret"), mode("set"), mode("closed"), mode("pipe")], [0, 0o4711, 0o400, 0o600]);
    assert_eq!(fs::read_link(layer.path.join("link")).unwrap(), Path::new("/etc/passwd"));
    let is_root = nix::unistd::geteuid().is_root();
    assert_eq!(scan::opaque_marks(&layer.path.join("mark")).unwrap(), [is_root, !is_root]);
    let mut none = [0; 8];
    assert!(rustix::fs::lgetxattr(layer.path.join("set"), "user.note", &mut none).is_err());
    assert_sound(&store);
    let again = begin(&store, "again");
    strange(&again);
    assert_eq!(again.commit().unwrap(), layer, "the same content has the same name");
    drop(layer);
    let report = store.collect(0, false).unwrap();
    assert_eq!((report.layers.len(), report.bytes_after), (1, 0));
    assert_eq!(["layers", "recipes", "locks", "trash"].map(|folder| count(&store, folder)), [0; 4]);
}

#[test]
fn a_file_with_as_many_links_as_can_be_gets_a_successor() {
    let (folder, store) = store();
    let first = layer(&store, "a", &[("x", "1")]);
    let full = (0..70_000).any(|index| {
        fs::hard_link(first.path.join("x"), folder.path().join(format!("trash/{index}"))).is_err()
    });
    if !full {
        println!("skipped: this file system has no limit below 70000 links");
        return;
    }
    let second = layer(&store, "b", &[("x", "1"), ("y", "")]);
    let third = layer(&store, "c", &[("x", "1"), ("z", "")]);
    assert_ne!(inode(first.path.join("x")), inode(second.path.join("x")));
    assert_eq!(inode(second.path.join("x")), inode(third.path.join("x")));
    assert_sound(&store);
}

#[test]
fn a_broken_file_of_the_pool_is_not_shared() {
    let (_folder, store) = store();
    let first = layer(&store, "a", &[("x", "content")]);
    // As a crash of a file system may leave it.
    File::options().write(true).open(first.path.join("x")).unwrap().set_len(0).unwrap();
    let second = layer(&store, "b", &[("x", "content"), ("y", "")]);
    assert_eq!(fs::read(second.path.join("x")).unwrap(), b"content");
}

#[test]
fn what_is_in_use_is_not_collected() {
    let (_folder, store) = store();
    let used = layer(&store, "a", &[("x", "1")]);
    drop(layer(&store, "b", &[("x", "2")]));
    // Another process sees the same leases.
    let other = LayerStore::open(&store.root, None).unwrap();
    let report = other.collect(0, false).unwrap();
    assert_eq!((report.layers.len(), &report.in_use[..]), (1, &[used.id.clone()][..]));
    assert_eq!(store.find(&recipe("b")), None);
    let clone = used.clone();
    drop(used);
    assert_eq!(other.collect(0, false).unwrap().layers.len(), 0, "a clone is a use");
    drop(clone);
    assert_eq!(other.collect(0, false).unwrap().layers.len(), 1);
    assert_eq!(store.find(&recipe("a")), None);
    assert!(matches!(store.begin(&recipe("a")).unwrap(), Begin::Build(_)));
}

#[test]
fn the_layer_that_was_not_used_for_longest_goes_first() {
    let (_folder, store) = store();
    let content = "x".repeat(100_000);
    for (name, text) in [("a", "1"), ("b", "2"), ("c", "3")] {
        drop(layer(&store, name, &[("x", &format!("{text}{content}"))]));
    }
    drop(store.find(&recipe("a")).unwrap());
    let whole = store.usage().unwrap().bytes();
    let plan = store.collect(whole - 1, true).unwrap();
    assert!(store.find(&recipe("b")).is_some(), "a dry run removes nothing");
    drop(store.find(&recipe("a")).unwrap());
    drop(store.find(&recipe("c")).unwrap());
    let report = store.collect(whole - 1, false).unwrap();
    assert_eq!((&plan.layers, plan.recipes, plan.files), (&report.layers, report.recipes, report.files));
    assert_eq!(report.layers.len(), 1);
    assert_eq!((report.layers, report.bytes_after), (plan.layers, plan.bytes_after));
    let there = ["a", "b", "c"].map(|name| store.find(&recipe(name)).is_some());
    assert_eq!(there, [true, false, true]);
    assert_eq!(store.usage().unwrap().bytes(), report.bytes_after);
    assert_eq!(store.collect(u64::MAX, false).unwrap().layers, Vec::<String>::new());
}

#[test]
fn what_leads_nowhere_is_collected() {
    let (folder, store) = store();
    let kept = layer(&store, "kept", &[("x", "1")]);
    store.record_image("kept", "a/b", &Image { layers: vec![kept], ..Image::default() }).unwrap();
    let lost = layer(&store, "lost", &[("x", "2")]);
    store.record_image("lost", "a/b", &Image { layers: vec![lost], ..Image::default() }).unwrap();
    fs::remove_file(folder.path().join("recipes").join(recipe("lost").id())).unwrap();
    let broken = folder.path().join("recipes").join(recipe("broken").id());
    fs::write(broken, "{").unwrap();
    write(folder.path(), &[("files/00/00aa-644", "no layer has it"), ("trash/x/y", "left by a crash")]);
    let former = folder.path().join("layers").join(recipe("former").id());
    write(&former, &[("layer.json", "{}"), ("fs/x", "1")]);
    assert_eq!(store.find(&recipe("former")), None, "layers of the former format are not used");
    let dry = store.collect(u64::MAX, true).unwrap();
    assert!(former.exists());
    let report = store.collect(u64::MAX, false).unwrap();
    assert_eq!((report.layers.len(), report.recipes, report.leftovers), (1, 2, 2));
    assert_eq!((report.layers, report.recipes), (dry.layers, dry.recipes));
    assert_eq!(store.image_records().unwrap().len(), 1);
    assert_eq!((count(&store, "layers"), count(&store, "trash")), (1, 0));
    assert!(!folder.path().join("files/00/00aa-644").exists());
    assert!(store.find(&recipe("kept")).is_some());
    assert_sound(&store);
}

#[test]
fn collections_and_builders_do_not_get_into_each_others_way() {
    let (_folder, store) = store();
    let stop = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                    store.collect(0, false).unwrap();
                }
            });
        }
        let builder = |number: usize| {
            for round in 0..60 {
                // Every round others build equal files, equal layers, and the same recipes.
                let name = (round + number / 2).to_string();
                let files = [("x", "same"), ("y/x", "same"), ("z", name.as_str())];
                let layer = match store.begin(&recipe(&name)).unwrap() {
                    Begin::Ready(layer) => layer,
                    Begin::Build(build) => {
                        write(&build.files(), &files);
                        build.commit().unwrap()
                    }
                };
                for (path, content) in files {
                    assert_eq!(fs::read_to_string(layer.path.join(path)).unwrap(), content, "it is in use");
                }
            }
        };
        let builders: Vec<_> = (0..4).map(|number| scope.spawn(move || builder(number))).collect();
        builders.into_iter().for_each(|builder| builder.join().unwrap());
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
    });
    assert_sound(&store);
    store.collect(0, false).unwrap();
    assert_eq!(["layers", "recipes", "trash", "building"].map(|folder| count(&store, folder)), [0; 4]);
}

#[test]
fn verify_names_what_is_wrong_and_repair_lets_it_be_built_again() {
    let (_folder, store) = store();
    let files = [("changed", "1"), ("missing", "2"), ("fine", "3")];
    let broken = layer(&store, "a", &files);
    drop(layer(&store, "b", &[("x", "fine")]));
    let sharing = layer(&store, "c", &[("shares", "1")]);
    fs::write(broken.path.join("changed"), "0").unwrap();
    fs::remove_file(broken.path.join("missing")).unwrap();
    fs::write(broken.path.join("extra"), "0").unwrap();
    let report = store.verify(false).unwrap();
    let fault = |layer: &Layer, path: &str, kind| Fault { layer: layer.id.clone(), path: path.into(), kind };
    let mut expected = vec![
        fault(&broken, "changed", FaultKind::Changed),
        fault(&broken, "extra", FaultKind::Extra),
        fault(&broken, "missing", FaultKind::Missing),
        fault(&sharing, "shares", FaultKind::Changed),
    ];
    expected.sort_by(|a, b| (&a.layer, &a.path).cmp(&(&b.layer, &b.path)));
    assert_eq!(report.faults, expected);
    assert_eq!((report.layers, report.pool.len()), (3, 1));
    assert_eq!(store.verify(true).unwrap().in_use.len(), 2, "what is in use stays");
    drop((broken, sharing));
    let report = store.verify(true).unwrap();
    assert_eq!((report.dropped.len(), report.in_use.len()), (2, 0));
    layer(&store, "a", &files);
    layer(&store, "c", &[("shares", "1")]);
    assert_sound(&store);
}

#[test]
fn a_manifest_that_was_changed_is_found() {
    let (_folder, store) = store();
    let layer = layer(&store, "a", &[("x", "1")]);
    let manifest = store.layer_folder(&layer.id).join("manifest");
    let text = fs::read_to_string(&manifest).unwrap().replace("f 644", "f 755");
    fs::write(&manifest, text).unwrap();
    let report = store.verify(false).unwrap();
    assert_eq!(report.faults.len(), 1);
    assert_eq!(report.faults[0].kind, FaultKind::Manifest);
}

#[test]
fn a_store_can_be_moved() {
    let (folder, store) = store();
    let id = layer(&store, "a", &[("x", "1")]).id;
    drop(store);
    let elsewhere = TempDir::new().unwrap();
    let moved = elsewhere.path().join("moved");
    fs::rename(folder.path(), &moved).unwrap();
    let store = LayerStore::open(&moved, None).unwrap();
    let found = store.find(&recipe("a")).unwrap();
    assert_eq!((&found.id, &found.path), (&id, &moved.join("layers").join(&id).join("fs")));
    drop(found);
    assert_sound(&store);
    drop(layer(&store, "b", &[("x", "1"), ("y", "2")]));
    assert_eq!(store.collect(0, false).unwrap().layers.len(), 2);
}

/// A store that only its maker may write to.
fn read_only(root: &Path) {
    for folder in ["layers", "recipes", "files", "locks", "building", "trash", "images", "."] {
        fs::set_permissions(root.join(folder), fs::Permissions::from_mode(0o555)).unwrap();
    }
}

#[test]
fn layers_of_a_shared_store_are_used_in_place() {
    let (shared_folder, shared) = store();
    let theirs = layer(&shared, "a", &[("x", "1")]);
    read_only(shared_folder.path());
    let (_folder, store) = store();
    let store = store.with_shared(vec!["/nonexistent".into(), shared_folder.path().into()]);
    let found = store.find(&recipe("a")).unwrap();
    assert_eq!((&found.path, found.is_leased()), (&theirs.path, false));
    assert!(matches!(store.begin(&recipe("a")).unwrap(), Begin::Ready(layer) if layer == theirs));
    layer(&store, "b", &[("x", "2")]);
    assert_eq!((count(&store, "layers"), count(&shared, "layers")), (1, 1), "new ones are built here");
    assert_eq!(store.collect(0, false).unwrap().layers.len(), 1);
    assert!(theirs.path.join("x").exists(), "a collection never touches the shared store");

    let image = Image { layers: vec![theirs.clone()], ..Image::default() };
    store.record_image("image", "repository", &image).unwrap();
    assert_eq!(store.collect(0, false).unwrap().recipes, 0, "it leads somewhere");
    let record = store.image_records().unwrap().remove(0);
    assert_eq!(store.recorded_image(&record).unwrap().unwrap().layers[0].path, theirs.path);
    let equal = layer(&store, "equal", &[("x", "1")]);
    assert_eq!((equal.path, count(&store, "layers")), (theirs.path, 0), "what is there is not kept twice");
}

#[test]
fn layers_of_a_shared_store_are_copied_on_first_use_where_asked() {
    let (shared_folder, shared) = store();
    let build = begin(&shared, "a");
    strange(&build);
    // A file that even its owner may not read could only be copied by writing to the shared store.
    fs::set_permissions(build.files().join("secret"), fs::Permissions::from_mode(0o400)).unwrap();
    let theirs = build.commit().unwrap();
    read_only(shared_folder.path());
    let (folder, store) = store();
    let store = store.with_shared(vec![shared_folder.path().into()]).copying_shared(true);
    assert_eq!(store.find(&recipe("a")), None);
    let Begin::Ready(copy) = store.begin(&recipe("a")).unwrap() else { panic!("it is in the shared store") };
    assert_eq!(copy.id, theirs.id);
    assert!(copy.path.starts_with(folder.path()) && copy.is_leased());
    assert_sound(&store);
    assert_eq!(store.find(&recipe("a")), Some(copy));
}

#[test]
fn a_broken_layer_of_a_shared_store_is_not_copied() {
    let (shared_folder, shared) = store();
    let theirs = layer(&shared, "a", &[("x", "1")]);
    fs::write(theirs.path.join("x"), "2").unwrap();
    let (_folder, store) = store();
    let store = store.with_shared(vec![shared_folder.path().into()]).copying_shared(true);
    let error = store.begin(&recipe("a")).unwrap_err();
    assert!(matches!(&error, StoreError::Corrupt { id, .. } if *id == theirs.id), "{error}");
    assert_eq!(count(&store, "building"), 0);
}

#[test]
fn layers_that_others_made_keep_times_and_attributes_of_users() {
    let (folder, store) = store();
    let make = |name: &str, note: &[u8]| {
        let build = begin(&store, name);
        write(&build.files(), &[("d/f", "same"), ("d/plain", "same")]);
        for path in ["d", "d/f"] {
            xattr::set(build.files().join(path), "user.note", note).unwrap();
        }
        File::options()
            .append(true)
            .open(build.files().join("d/f"))
            .unwrap()
            .set_modified(UNIX_EPOCH)
            .unwrap();
        build.commit_as_made().unwrap()
    };
    let (one, same, other) = (make("one", b"a, b=c"), make("same", b"a, b=c"), make("other", b""));
    assert_eq!(one.id, same.id);
    assert_ne!(inode(one.path.join("d/f")), inode(other.path.join("d/f")), "other attributes, other file");
    assert_eq!(inode(one.path.join("d/plain")), inode(other.path.join("d/plain")));
    assert_sound(&store);

    let copies = TempDir::new().unwrap();
    let copying = LayerStore::open(copies.path(), None).unwrap();
    let copying = copying.with_shared(vec![folder.path().to_owned()]).copying_shared(true);
    let Begin::Ready(copy) = copying.begin(&recipe("one")).unwrap() else { panic!("it is there") };
    assert_eq!(copy.id, one.id);
    let note = |path: &str| xattr::get(copy.path.join(path), "user.note").unwrap().unwrap();
    assert_eq!((note("d"), note("d/f")), (b"a, b=c".to_vec(), b"a, b=c".to_vec()));
    assert_eq!(fs::metadata(copy.path.join("d/f")).unwrap().mtime(), 0);

    xattr::set(other.path.join("d"), "user.note", b"changed").unwrap();
    let faults = store.verify(false).unwrap().faults;
    assert_eq!(
        (faults.len(), &faults[0].path, &faults[0].kind),
        (1, &PathBuf::from("d"), &FaultKind::Changed)
    );
}
