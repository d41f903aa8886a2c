use std::io::Cursor;
use std::process::Command;

use super::*;

fn read_all(archive: &[u8]) -> Result<Vec<(Entry, Vec<u8>)>, UnpackError> {
    let mut reader = TarReader::new(archive);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next_entry()? {
        let mut data = Cursor::new(Vec::new());
        reader.copy_to(&entry, &mut data).map_err(read_failed)?;
        let mut data = data.into_inner();
        data.resize(usize::try_from(entry.size).unwrap(), 0);
        entries.push((entry, data));
    }
    Ok(entries)
}

fn header(kind: u8, name: &[u8], size: u64) -> Vec<u8> {
    let mut header = Header::new_gnu();
    header.as_mut_bytes()[..name.len()].copy_from_slice(name);
    header.set_entry_type(EntryType::new(kind));
    header.set_mode(0o644);
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

fn padded(mut bytes: Vec<u8>) -> Vec<u8> {
    bytes.resize(bytes.len().next_multiple_of(512), 0);
    bytes
}

/// A record of a length of two digits.
fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
    let length = key.len() + value.len() + 5;
    assert!((10..100).contains(&length));
    [length.to_string().as_bytes(), b" ", key, b"=", value, b"\n"].concat()
}

fn pax(records: &[u8]) -> Vec<u8> {
    [header(b'x', b"pax", records.len() as u64), padded(records.to_vec())].concat()
}

/// Archives that another program wrote, of the same tree, in every format that it knows.
#[test]
fn archives_of_gnu_tar_are_read_in_every_format() {
    let folder = tempfile::tempdir().unwrap();
    let long = "l".repeat(200);
    let deep = folder.path().join("deep").join(&long);
    std::fs::create_dir_all(&deep).unwrap();
    std::fs::write(deep.join(&long), b"long").unwrap();
    let holes = std::fs::File::create(folder.path().join("holes")).unwrap();
    for at in 0..40_u64 {
        std::os::unix::fs::FileExt::write_all_at(&holes, &[b'x'; 4096], at * (1 << 20)).unwrap();
    }
    holes.set_len(64 << 20).unwrap();
    for format in [
        vec!["--format=gnu"],
        vec!["--format=gnu", "--sparse"],
        vec!["--format=pax"],
        vec!["--format=pax", "--sparse", "--sparse-version=0.0"],
        vec!["--format=pax", "--sparse", "--sparse-version=0.1"],
        vec!["--format=pax", "--sparse", "--sparse-version=1.0"],
    ] {
        let mut tar = Command::new("tar");
        let tar = tar.args(&format).args(["--sort=name", "-c", "-C"]).arg(folder.path()).arg(".");
        let Ok(output) = tar.output() else {
            println!("skipped: GNU tar does not run");
            return;
        };
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let entries = read_all(&output.stdout).unwrap();
        let names: Vec<String> = entries.iter().map(|(entry, _)| entry.shown().replace(&long, "L")).collect();
        assert_eq!(names.len(), 5, "{format:?} {names:?}");
        let (file, data) = entries.iter().find(|(entry, _)| entry.path.ends_with(b"holes")).unwrap();
        assert_eq!((file.size, data.len()), (64 << 20, 64 << 20), "{format:?}");
        assert_eq!(file.extents.is_some(), format.contains(&"--sparse"), "{format:?}");
        assert!((0..40).all(|at| data[at << 20] == b'x' && data[(at << 20) + 4096] == 0), "{format:?}");
        let path = format!("./deep/{long}/{long}");
        let (_, data) = entries.iter().find(|(entry, _)| entry.path == path.as_bytes()).unwrap();
        assert_eq!(data, b"long");
    }
}

#[test]
fn pax_values_may_hold_anything() {
    let records = [
        record(b"SCHILY.xattr.user.a", b"x\ny=\0 z 12"),
        record(b"mtime", b"1234567890.25"),
        record(b"path", b"\xff\xfe"),
    ];
    let archive = [pax(&records.concat()), header(b'0', b"short", 0)].concat();
    let entries = read_all(&archive).unwrap();
    let (entry, _) = &entries[0];
    assert_eq!(entry.path, b"\xff\xfe");
    assert_eq!(entry.mtime, (1_234_567_890, 250_000_000));
    assert_eq!(entry.attributes, vec![(b"user.a".to_vec(), b"x\ny=\0 z 12".to_vec())]);
}

#[test]
fn damaged_archives_are_refused() {
    let mut wrong_sum = header(b'0', b"x", 0);
    wrong_sum[0] = b'y';
    let huge_name = [header(b'L', b"long", 8 << 30), vec![b'a'; 4096]].concat();
    let huge_pax = header(b'x', b"pax", 2 << 20);
    let cut = [header(b'0', b"x", 1000), vec![0; 512]].concat();
    let volume = header(b'M', b"x", 0);
    for (archive, reason) in [
        (wrong_sum, "checksum"),
        (huge_name, "1 MiB"),
        (huge_pax, "1 MiB"),
        (cut, "read the archive"),
        (volume, "type"),
        (vec![1; 100], "read the archive"),
        (pax(b"99999 path=x\n"), "damaged"),
        (pax(b"0 path=x\n"), "damaged"),
        (pax(&record(b"size", b"-1")), "wrong value"),
        (pax(&record(b"GNU.sparse.numbytes", b"12345")), "wrong value"),
    ] {
        let error = read_all(&archive).unwrap_err().to_string();
        assert!(error.contains(reason), "{reason}: {error}");
    }
}

#[test]
fn maps_that_lie_are_refused() {
    for (map, size, data) in [
        ("0,5,3,5", 100, 10),
        ("0,5,200,5", 100, 10),
        ("18446744073709551615,5", 100, 5),
        ("0,5", 100, 6),
        ("0,5,", 100, 5),
    ] {
        let size = size.to_string();
        let records =
            [record(b"GNU.sparse.size", size.as_bytes()), record(b"GNU.sparse.map", map.as_bytes())];
        let archive = [pax(&records.concat()), header(b'0', b"x", data), vec![0; 512]].concat();
        assert!(read_all(&archive).is_err(), "{map}");
    }
}

proptest::proptest! {
    /// Whatever the bytes, reading ends, and gives no more than there is.
    #[test]
    fn any_bytes_are_read_to_an_end(mut bytes in proptest::collection::vec(0_u8..=255, 0..4096), flips in proptest::collection::vec((0_usize..2048, 0_u8..=255), 0..6)) {
        drop(read_small(&bytes));
        let mut archive = [pax(&record(b"path", b"abc")), header(b'0', b"x", 600), vec![7; 1024], header(b'S', b"s", 0)].concat();
        for (at, value) in flips {
            let at = at % archive.len();
            archive[at] = value;
        }
        drop(read_small(&archive));
        bytes.truncate(512);
    }
}

fn read_small(archive: &[u8]) -> Result<usize, UnpackError> {
    let mut reader = TarReader::new(archive);
    let mut entries = 0;
    while reader.next_entry()?.is_some() {
        entries += 1;
        assert!(entries <= archive.len() / 512 + 1);
    }
    Ok(entries)
}
