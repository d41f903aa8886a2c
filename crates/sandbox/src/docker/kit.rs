//! Our program for containers whose image may hold nothing at all: with the loader and the libraries of this
//! host, in a folder that is mounted into every container.
//!
//! The files are copies, so that what an upgrade of the host does to the originals changes nothing.

use std::fs::{self, Permissions};
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where the kit is seen in a container.
pub(super) const INSIDE: &str = "/.swegym";
/// The folder in it where the control socket of a container is mounted.
pub(super) const CONTROL: &str = "control";
const PROGRAM: &str = "guest";
const LIBRARIES: &str = "lib";

/// The kit of an owner.
#[derive(Debug)]
pub(super) struct Kit {
    pub(super) folder: PathBuf,
    /// What a container runs, but for the arguments that differ.
    pub(super) command: Vec<String>,
}

impl Kit {
    /// Fills a new folder.
    pub(super) fn make(folder: PathBuf, program: &Path, arguments: &[String]) -> io::Result<Self> {
        make_folder(&folder)?;
        make_folder(&folder.join(CONTROL))?;
        copy(program, &folder.join(PROGRAM))?;
        let mut command = Vec::new();
        if let Some(loader) = interpreter(program)? {
            make_folder(&folder.join(LIBRARIES))?;
            let libraries = format!("{INSIDE}/{LIBRARIES}");
            let name = file_name(&loader)?;
            for (name, path) in needed(&loader, program)? {
                copy(&path, &folder.join(LIBRARIES).join(name))?;
            }
            copy(&loader, &folder.join(LIBRARIES).join(name))?;
            command.extend([format!("{libraries}/{name}"), "--library-path".to_owned(), libraries]);
        }
        command.push(format!("{INSIDE}/{PROGRAM}"));
        command.extend(arguments.iter().cloned());
        Ok(Self { folder, command })
    }
}

/// Whoever is root inside must be able to read it, whatever this process's mask.
fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir(folder)?;
    fs::set_permissions(folder, Permissions::from_mode(0o755))
}

fn copy(from: &Path, to: &Path) -> io::Result<()> {
    let describe =
        |error: io::Error| io::Error::new(error.kind(), format!("copy `{}`: {error}", from.display()));
    fs::copy(from, to).map_err(describe)?;
    fs::set_permissions(to, Permissions::from_mode(0o755)).map_err(describe)
}

fn file_name(path: &Path) -> io::Result<&str> {
    path.file_name().and_then(|name| name.to_str()).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// The libraries of a program, by the names under which it asks for them. The loader itself knows.
fn needed(loader: &Path, program: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let listed = Command::new(loader).arg("--list").arg(program).env_clear().stdin(Stdio::null()).output()?;
    if !listed.status.success() {
        let said = String::from_utf8_lossy(&listed.stderr).trim().to_owned();
        return Err(io::Error::other(format!("`{} --list`: {said}", loader.display())));
    }
    parse_list(&String::from_utf8_lossy(&listed.stdout))
}

/// Reads lines such as `libc.so.6 => /lib/libc.so.6 (0x7f…)`. What has no path is no file.
fn parse_list(list: &str) -> io::Result<Vec<(String, PathBuf)>> {
    let mut libraries = Vec::new();
    for line in list.lines() {
        let Some((name, found)) = line.trim().split_once(" => ") else { continue };
        let path = found.rsplit_once(" (").map_or(found, |(path, _)| path);
        if !path.starts_with('/') {
            return Err(io::Error::other(format!("its library `{name}` is not there")));
        }
        libraries.push((file_name(Path::new(name))?.to_owned(), PathBuf::from(path)));
    }
    Ok(libraries)
}

// elf.h
const PT_INTERP: u32 = 3;
const CLASS_64: u8 = 2;
const LITTLE_ENDIAN: u8 = 1;

/// The loader that a program asks for; `None` when it is linked statically.
fn interpreter(program: &Path) -> io::Result<Option<PathBuf>> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::FileExt;
    let file = fs::File::open(program)?;
    let unknown = || io::Error::other(format!("`{}` is no program of this machine", program.display()));
    let mut header = [0_u8; 64];
    file.read_exact_at(&mut header, 0).map_err(|_| unknown())?;
    if header[..4] != *b"\x7fELF" || header[4] != CLASS_64 || header[5] != LITTLE_ENDIAN {
        return Err(unknown());
    }
    let (offset, size) = (word(&header, 32, 8), word(&header, 54, 2));
    let mut entry = vec![0_u8; usize::try_from(size).unwrap_or_default().max(56)];
    for index in 0..word(&header, 56, 2) {
        file.read_exact_at(&mut entry, offset + index * size)?;
        if word(&entry, 0, 4) == u64::from(PT_INTERP) {
            let mut path =
                vec![0_u8; usize::from(u16::try_from(word(&entry, 32, 8)).map_err(|_| unknown())?)];
            file.read_exact_at(&mut path, word(&entry, 8, 8))?;
            path.pop();
            return Ok(Some(std::ffi::OsStr::from_bytes(&path).into()));
        }
    }
    Ok(None)
}

/// A number of a header, little-endian.
fn word(bytes: &[u8], at: usize, length: usize) -> u64 {
    bytes[at..at + length].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kit_runs_with_nothing_but_itself() {
        let this = std::env::current_exe().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let kit = Kit::make(folder.path().join("kit"), &this, &["--list".to_owned()]).unwrap();
        let outside = |word: &String| word.replace(INSIDE, kit.folder.to_str().unwrap());
        let words: Vec<String> = kit.command.iter().map(outside).collect();
        let output = Command::new(&words[0]).args(&words[1..]).env_clear().output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(said.contains("the_kit_runs_with_nothing_but_itself"), "{output:?}");
    }

    #[test]
    fn a_static_program_needs_nothing_else() {
        let busybox = Path::new("/bin/busybox");
        if !matches!(busybox.exists().then(|| interpreter(busybox)), Some(Ok(None))) {
            println!("skipped: there is no statically linked program here");
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let kit = Kit::make(folder.path().join("kit"), busybox, &["true".to_owned()]).unwrap();
        assert_eq!(kit.command, ["/.swegym/guest", "true"]);
        assert!(!kit.folder.join(LIBRARIES).exists());
    }

    #[test]
    fn only_programs_are_taken() {
        let text = tempfile::NamedTempFile::new().unwrap();
        fs::write(text.path(), "#!/bin/sh\n".repeat(20)).unwrap();
        assert!(interpreter(text.path()).is_err());
    }

    #[test]
    fn lists_of_both_loaders_are_understood() {
        let glibc = "\tlinux-vdso.so.1 (0x7ffd)\n\tlibc.so.6 => /lib/x86_64-linux-gnu/libc.so.6 (0x7f)\n\
                     \t/lib64/ld-linux-x86-64.so.2 (0x7f)\n";
        let expected = vec![("libc.so.6".to_owned(), PathBuf::from("/lib/x86_64-linux-gnu/libc.so.6"))];
        assert_eq!(parse_list(glibc).unwrap(), expected);
        let musl = "\t/lib/ld-musl-x86_64.so.1 (0x7f)\n\tlibz.so.1 => /lib/libz.so.1 (0x7f)\n";
        assert_eq!(parse_list(musl).unwrap()[0].0, "libz.so.1");
        assert!(parse_list("\tlibx.so => not found\n").is_err());
    }
}
