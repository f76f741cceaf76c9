//! The only file-system calls of the crate: every error carries the path, every write is atomic.
//!
//! Ground floor: imports no room. `clippy.toml` forbids `std::fs` elsewhere.
#![allow(
    clippy::disallowed_methods,
    reason = "this module is where std::fs is allowed"
)]

mod commit;
mod fault;
mod lock;
mod space;

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::budget;

pub use commit::{Commit, sync_dir};
use fault::Call;
pub use lock::FolderLock;
pub use space::free_bytes;

/// A file-system failure, with the path it happened at.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} `{}`", path.display())]
pub struct FsError {
    /// What was tried: `read`, `write`, `create`, ...
    pub action: &'static str,
    /// The path it was tried on.
    pub path: PathBuf,
    /// The operating system's answer.
    #[source]
    pub source: io::Error,
}

impl FsError {
    /// What to try next, where the operating system's answer suggests something.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        match self.source.kind() {
            io::ErrorKind::NotFound => Some("is the path spelled right?".into()),
            io::ErrorKind::PermissionDenied => {
                Some("is the file or folder yours to read and write?".into())
            }
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Some(
                "free some space and run the same command again: it goes on where it stopped"
                    .into(),
            ),
            io::ErrorKind::FileTooLarge => Some(
                "a limit on the size of files is in force (`ulimit -f`): lift it and run the same \
                 command again, it goes on where it stopped"
                    .into(),
            ),
            io::ErrorKind::ResourceBusy => Some(
                "wait for it to end, or give this run a folder of its own: `--results DIR` or \
                 `--output DIR`"
                    .into(),
            ),
            _ => None,
        }
    }

    /// Whether another process holds the folder.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        self.source.kind() == io::ErrorKind::ResourceBusy
    }

    /// Whether the disk (or a quota on it) is full.
    #[must_use]
    pub fn is_full(&self) -> bool {
        matches!(
            self.source.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
        )
    }
}

/// Attaches `action` and `path` to an I/O error.
pub fn at<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> FsError + 'a {
    move |source| FsError {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Reads a whole file of up to [`budget::WHOLE_FILE`] bytes.
///
/// # Errors
/// When the file cannot be opened or read, or is longer.
pub fn read(path: &Path) -> Result<Vec<u8>, FsError> {
    read_up_to(path, budget::WHOLE_FILE)
}

/// Reads a whole file of up to `most` bytes.
///
/// # Errors
/// When the file cannot be opened or read, or is longer.
pub fn read_up_to(path: &Path, most: u64) -> Result<Vec<u8>, FsError> {
    let file = open(path).map_err(|e| at("read", path)(e.source))?;
    // The length of a device or of a file of `/proc` is 0: they are counted while they are read.
    let length = file.metadata().map_or(0, |m| m.len());
    if length > most {
        return Err(at("read", path)(budget::Over { most }.into()));
    }
    let mut bytes = Vec::new();
    let reserved = bytes.try_reserve_exact(usize::try_from(length).unwrap_or(usize::MAX));
    reserved
        .map_err(io::Error::other)
        .and_then(|()| budget::Bounded::new(file, most).read_to_end(&mut bytes))
        .map_err(at("read", path))?;
    Ok(bytes)
}

/// Opens a file for reading.
///
/// # Errors
/// When the file cannot be opened.
pub fn open(path: &Path) -> Result<File, FsError> {
    File::open(path).map_err(at("open", path))
}

/// Opens a file for appending, creating it (and its folder) where missing.
///
/// # Errors
/// When the folder or file cannot be created or opened.
pub fn open_append(path: &Path) -> Result<File, FsError> {
    create_parent(path)?;
    fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(path)
        .map_err(at("open", path))
}

/// Creates a file, truncating what was there, and its folder where missing.
///
/// # Errors
/// When the folder or file cannot be created.
pub fn create(path: &Path) -> Result<File, FsError> {
    create_parent(path)?;
    File::create(path).map_err(at("create", path))
}

/// Whether something exists at `path` (a file, a folder, or a link to one).
#[must_use]
pub fn exists(path: &Path) -> bool {
    path.exists()
}

/// Metadata of `path`, following links.
///
/// # Errors
/// When it cannot be read.
pub fn metadata(path: &Path) -> Result<fs::Metadata, FsError> {
    fs::metadata(path).map_err(at("read", path))
}

/// The absolute path of `path` with every link followed.
///
/// # Errors
/// When it does not exist or cannot be followed.
pub fn canonicalize(path: &Path) -> Result<PathBuf, FsError> {
    fs::canonicalize(path).map_err(at("follow", path))
}

/// The entries of a folder, sorted by path so that results do not depend on the file system.
///
/// # Errors
/// When the folder cannot be listed.
pub fn list(folder: &Path) -> Result<Vec<PathBuf>, FsError> {
    let mut entries = fs::read_dir(folder)
        .and_then(|entries| {
            entries
                .map(|e| e.map(|e| e.path()))
                .collect::<Result<Vec<_>, _>>()
        })
        .map_err(at("list", folder))?;
    entries.sort();
    Ok(entries)
}

/// The files under a folder, at any depth, sorted by path; links are followed, loops refused.
///
/// # Errors
/// When a folder cannot be listed, or there are more than `max_files` files.
pub fn walk(folder: &Path, max_files: usize) -> Result<Vec<PathBuf>, FsError> {
    let mut files = Vec::new();
    for entry in walkdir::WalkDir::new(folder)
        .follow_links(true)
        .sort_by_file_name()
    {
        let entry = entry.map_err(|e| {
            let path = e.path().unwrap_or(folder).to_owned();
            let source = e
                .into_io_error()
                .unwrap_or_else(|| io::Error::other("a link leads back to a folder above it"));
            at("list", &path)(source)
        })?;
        if entry.file_type().is_file() {
            files.push(entry.into_path());
        }
        if files.len() > max_files {
            let reason = format!("there are more than {max_files} files");
            return Err(at("list", folder)(io::Error::other(reason)));
        }
    }
    Ok(files)
}

/// Creates a folder and its parents.
///
/// # Errors
/// When it cannot be created.
pub fn create_dir(folder: &Path) -> Result<(), FsError> {
    fs::create_dir_all(folder).map_err(at("create", folder))
}

/// A folder that goes when it is dropped.
#[derive(Debug)]
pub struct TemporaryDir {
    folder: tempfile::TempDir,
    // Tells it from one that a killed process left.
    _lock: Option<File>,
}

impl TemporaryDir {
    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.folder.path()
    }
}

/// A new folder in `parent` that goes when it is dropped.
///
/// # Errors
/// When it cannot be created.
pub fn temporary_dir_in(parent: &Path) -> Result<TemporaryDir, FsError> {
    let folder = tempfile::Builder::new()
        .prefix(TEMPORARY.0)
        .suffix(TEMPORARY.1)
        .tempdir_in(parent)
        .map_err(at("create a folder in", parent))?;
    let lock = File::open(folder.path()).ok();
    let lock = lock.filter(|file| file.try_lock().is_ok());
    Ok(TemporaryDir {
        folder,
        _lock: lock,
    })
}

/// Removes a file; one that is not there is no error.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_file(path: &Path) -> Result<(), FsError> {
    fault::point(Call::Remove).map_err(at("remove", path))?;
    match fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at("remove", path)(e)),
        _ => Ok(()),
    }
}

/// Removes a folder and all in it; one that is not there is no error.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn remove_dir(folder: &Path) -> Result<(), FsError> {
    match fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(at("remove", folder)(e)),
        _ => Ok(()),
    }
}

/// How the names of unfinished files begin and end.
const TEMPORARY: (&str, &str) = (".korfinsts-", ".tmp");

/// Removes a folder that may not be seen half removed: it loses its name first.
///
/// # Errors
/// When it is there and cannot be removed.
pub fn discard_dir(folder: &Path) -> Result<(), FsError> {
    if !exists(folder) {
        return Ok(());
    }
    let name = format!("{}{}{}", TEMPORARY.0, std::process::id(), TEMPORARY.1);
    let unnamed = folder.with_file_name(name);
    rename(folder, &unnamed)?;
    remove_dir(&unnamed)
}

/// Removes the temporary files and folders that killed processes left in `folder` and in the folders up to
/// two levels below it, as deep as any command writes. What a living process writes is locked by it, and stays.
///
/// # Errors
/// When a folder cannot be listed or a file not removed.
pub fn remove_leftovers(folder: &Path) -> Result<(), FsError> {
    let mut folders = vec![folder.to_owned()];
    let mut level = 0..1;
    for _ in 0..2 {
        for at in level.clone() {
            folders.extend(list(&folders[at])?.into_iter().filter(|p| p.is_dir()));
        }
        level = level.end..folders.len();
    }
    // The deepest first: a folder may be a leftover itself.
    for folder in folders.into_iter().rev() {
        for path in list(&folder)? {
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let ours = name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1);
            if !ours || open(&path)?.try_lock().is_err() {
                continue;
            }
            if path.is_dir() {
                remove_dir(&path)?;
            } else {
                remove_file(&path)?;
            }
        }
    }
    Ok(())
}

/// Writes a file so that readers see the old content or the new, never a part: a temporary file
/// in the same folder is written, synced and renamed.
///
/// # Errors
/// When the folder cannot be made, or the file not written, synced or renamed; then nothing of
/// the new content is left behind.
pub fn write_atomic(path: &Path, content: &[u8]) -> Result<(), FsError> {
    write_atomic_with(path, |file| file.write_all(content))
}

/// Like [`write_atomic`], for content that is streamed by `fill`.
///
/// # Errors
/// As [`write_atomic`], and what `fill` returns.
pub fn write_atomic_with(
    path: &Path,
    fill: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<(), FsError> {
    create_parent(path)?;
    let folder = parent(path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY.0).suffix(TEMPORARY.1);
    readable(&mut builder);
    let mut file = builder.tempfile_in(folder).map_err(at("write", path))?;
    // Tells a file that is being written from one that a killed process left.
    let _ = file.as_file().try_lock();
    let mut writer = io::BufWriter::new(file.as_file_mut());
    fault::point(Call::Write)
        .and_then(|()| fill(&mut writer))
        .and_then(|()| writer.flush())
        .map_err(at("write", path))?;
    drop(writer);
    fault::point(Call::Sync)
        .and_then(|()| file.as_file().sync_all())
        .map_err(at("write", path))?;
    fault::point(Call::Rename).map_err(at("write", path))?;
    file.persist(path).map_err(|e| at("write", path)(e.error))?;
    Ok(())
}

/// Checks that a file can be written at `path`, making its folder where missing, without touching
/// what is there.
///
/// # Errors
/// When the folder cannot be made, no file can be made in it, or `path` is a folder.
pub fn check_writable(path: &Path) -> Result<(), FsError> {
    create_parent(path)?;
    if path.is_dir() {
        return Err(at("write", path)(io::ErrorKind::IsADirectory.into()));
    }
    tempfile::tempfile_in(parent(path))
        .map(drop)
        .map_err(at("write", path))
}

/// Makes `link` a name of `target`: a relative symbolic link where the system allows one, else a
/// copy. What was at `link` is replaced.
///
/// # Errors
/// When neither a link nor a copy can be made.
pub fn link_or_copy(target: &Path, link: &Path) -> Result<(), FsError> {
    create_parent(link)?;
    remove_file(link)?;
    #[cfg(unix)]
    {
        let folder = parent(link);
        let shared = folder
            .components()
            .zip(target.components())
            .take_while(|(a, b)| a == b)
            .count();
        let up = folder.components().count() - shared;
        let relative: PathBuf = std::iter::repeat_n(std::path::Component::ParentDir, up)
            .chain(target.components().skip(shared))
            .collect();
        if std::os::unix::fs::symlink(&relative, link).is_ok() && link.exists() {
            return Ok(());
        }
        remove_file(link)?;
    }
    let mut source = open(target)?;
    write_atomic_with(link, |file| io::copy(&mut source, file).map(drop))
}

/// Opens a file to lock it, creating it (and its folder) where missing, and waits until no other
/// process holds it. The lock is given back when the file is dropped.
///
/// A file system without locks gives no lock and no error.
///
/// # Errors
/// When the file cannot be made or the lock cannot be waited for.
pub fn lock(path: &Path) -> Result<File, FsError> {
    create_parent(path)?;
    let file = fs::OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(path)
        .map_err(at("open", path))?;
    match file.lock() {
        Err(e) if e.kind() != io::ErrorKind::Unsupported => Err(at("lock", path)(e)),
        _ => Ok(file),
    }
}

/// Renames a file or folder within one file system, replacing a file that is there.
///
/// # Errors
/// When the rename fails.
pub fn rename(from: &Path, to: &Path) -> Result<(), FsError> {
    create_parent(to)?;
    fault::point(Call::Rename).map_err(at("rename", from))?;
    fs::rename(from, to).map_err(at("rename", from))
}

/// Streams the SHA-256 of a file, as 64 lower-case hexadecimal digits.
///
/// # Errors
/// When the file cannot be read.
pub fn sha256_file(path: &Path) -> Result<String, FsError> {
    let mut file = open(path)?;
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 1 << 20];
    loop {
        let n = file.read(&mut buffer).map_err(at("read", path))?;
        if n == 0 {
            return Ok(hex(&hasher.finalize()));
        }
        hasher.update(&buffer[..n]);
    }
}

/// The SHA-256 of `bytes`, as 64 lower-case hexadecimal digits.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Lower-case hexadecimal digits of `bytes`.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    base16ct::lower::encode_string(bytes)
}

/// The user's data home of this program, unless `KORFINSTS_DATA` names another.
///
/// Returns `None` only where the platform names no home folder.
#[must_use]
pub fn data_home() -> Option<PathBuf> {
    if let Some(path) = std::env::var_os("KORFINSTS_DATA").filter(|v| !v.is_empty()) {
        return Some(path.into());
    }
    directories::ProjectDirs::from("", "", "korfinsts").map(|d| d.data_dir().to_owned())
}

fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(p) if !p.as_os_str().is_empty() => p,
        _ => Path::new("."),
    }
}

fn create_parent(path: &Path) -> Result<(), FsError> {
    create_dir(parent(path))
}

/// Temporary files are private by default; results are for whom the umask lets read them.
#[cfg(unix)]
fn readable(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt as _;
    builder.permissions(fs::Permissions::from_mode(0o666));
}

#[cfg(not(unix))]
fn readable(_builder: &mut tempfile::Builder<'_, '_>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_atomic_write_leaves_only_the_new_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a/b.txt");
        write_atomic(&path, b"one").expect("first write");
        write_atomic(&path, b"two").expect("second write");
        assert_eq!(read(&path).expect("read"), b"two");
        assert_eq!(list(&folder.path().join("a")).expect("list").len(), 1);
    }

    #[test]
    fn a_failed_fill_leaves_the_old_content() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("b.txt");
        write_atomic(&path, b"old").expect("first write");
        let failed = write_atomic_with(&path, |file| {
            file.write_all(b"half")?;
            Err(io::Error::from(io::ErrorKind::StorageFull))
        });
        assert!(failed.expect_err("fill failed").is_full());
        assert_eq!(read(&path).expect("read"), b"old");
        assert_eq!(list(folder.path()).expect("list").len(), 1);
    }

    #[test]
    fn leftovers_go_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        for (name, stays) in [
            ("a/.korfinsts-x1.tmp", false),
            ("a/record.json", true),
            ("a/.korfinsts-x1.json", true),
            ("a/b/.korfinsts-x1.tmp", false),
            ("a/b/c/.korfinsts-x1.tmp", true),
            (".korfinsts-x1.tmp", false),
        ] {
            let path = folder.path().join(name);
            write_atomic(&path, b"x").expect("written");
            remove_leftovers(folder.path()).expect("swept");
            assert_eq!(exists(&path), stays, "{name}");
        }
        let path = folder.path().join(".korfinsts-x2.tmp");
        write_atomic(&path, b"x").expect("written");
        let writer = open(&path).expect("opened");
        writer.lock().expect("locked");
        remove_leftovers(folder.path()).expect("swept");
        assert!(exists(&path), "a living process writes it");
    }

    #[test]
    fn sha256_is_that_of_the_standard_test_vector() {
        let expected = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(sha256(b"abc"), expected);
    }
}
