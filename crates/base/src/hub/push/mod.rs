//! Uploads: files become one commit of a repository, on its main branch, on another one, or as a pull
//! request.
//!
//! The protocol is that of Python's `huggingface_hub`: [`plan`] reads what the repository holds and asks
//! how each file is stored (`preupload`), `lfs` sends large files to the storage (Git LFS batches, whole
//! or in parts), `commit` sends the rest and names all of them in one commit. The parent commit goes
//! along, so a commit that came in between is never overwritten. What may be pushed of a folder is decided
//! in [`folder`].

mod commit;
mod folder;
mod lfs;
mod plan;
mod wire;

use std::io::{Cursor, Read, Seek};
use std::path::{Path, PathBuf};

use sha1::{Digest as _, Sha1};
use sha2::Sha256;

pub use commit::Pushed;
pub use folder::Folder;
pub use plan::{Head, How, Planned, PushPlan, RemoteFile};

use super::client::is_inside;
use super::{HubError, RepoId};
use crate::fs;

/// Longest file that may go inside the commit itself; the hub stores longer ones apart in any case.
const LONGEST_INLINE: u64 = 10 << 20;

/// Where the bytes of a file are.
#[derive(Debug, Clone)]
enum Content {
    Disk(PathBuf),
    Memory(Vec<u8>),
}

/// Bytes that can be read from any place on.
trait Bytes: Read + Seek {}

impl<T: Read + Seek> Bytes for T {}

/// A file to push: where it goes, and what its bytes were when it was looked at.
#[derive(Debug, Clone)]
pub struct PushFile {
    path: String,
    content: Content,
    size: u64,
    sha256: String,
    /// Hash of the git blob, of a file that may go inside the commit.
    blob: Option<String>,
}

impl PushFile {
    /// A file on disk, which is read once for its hashes and once more when it is sent.
    ///
    /// # Errors
    /// When it cannot be read, or `path` leaves the repository.
    pub fn from_disk(path: &str, file: &Path) -> Result<Self, HubError> {
        Self::new(path, Content::Disk(file.to_owned()))
    }

    /// A file of these bytes.
    ///
    /// # Errors
    /// When `path` leaves the repository.
    pub fn from_bytes(path: &str, bytes: Vec<u8>) -> Result<Self, HubError> {
        Self::new(path, Content::Memory(bytes))
    }

    fn new(path: &str, content: Content) -> Result<Self, HubError> {
        if !is_inside(path) || path.chars().any(char::is_control) {
            return Err(HubError::Unfit {
                path: path.escape_debug().to_string(),
                reason: "a repository has no such path".into(),
                hint: "rename the file: parts joined by `/`, without `\\` and control characters"
                    .into(),
            });
        }
        let mut file = Self {
            path: path.to_owned(),
            content,
            size: 0,
            sha256: String::new(),
            blob: None,
        };
        file.size = match &file.content {
            Content::Disk(at) => fs::metadata(at)?.len(),
            Content::Memory(bytes) => bytes.len() as u64,
        };
        (file.sha256, file.blob) = file.hashes()?;
        Ok(file)
    }

    /// SHA-256, and the hash of the git blob of a file that may go inside the commit.
    fn hashes(&self) -> Result<(String, Option<String>), HubError> {
        let mut reader = self.open()?;
        let mut blob = (self.size <= LONGEST_INLINE).then(Sha1::new);
        if let Some(blob) = &mut blob {
            blob.update(format!("blob {}\0", self.size));
        }
        let (mut sha256, mut read) = (Sha256::new(), 0);
        let mut buffer = vec![0_u8; 1 << 20];
        loop {
            let n = reader.read(&mut buffer).map_err(|e| self.unreadable(e))?;
            if n == 0 {
                break;
            }
            read += n as u64;
            sha256.update(&buffer[..n]);
            if let Some(blob) = &mut blob {
                blob.update(&buffer[..n]);
            }
        }
        if read != self.size {
            return Err(self.changed());
        }
        let blob = blob.map(|blob| fs::hex(&blob.finalize()));
        Ok((fs::hex(&sha256.finalize()), blob))
    }

    /// Path in the repository.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Size in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// SHA-256 of its bytes.
    #[must_use]
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Its bytes, from the first on.
    fn open(&self) -> Result<Box<dyn Bytes + '_>, HubError> {
        Ok(match &self.content {
            Content::Disk(path) => Box::new(fs::open(path)?),
            Content::Memory(bytes) => Box::new(Cursor::new(bytes)),
        })
    }

    /// The first bytes, by which the hub tells text from other files.
    fn sample(&self) -> Result<Vec<u8>, HubError> {
        let mut sample = Vec::new();
        let mut head = self.open()?.take(512);
        head.read_to_end(&mut sample)
            .map_err(|e| self.unreadable(e))?;
        Ok(sample)
    }

    /// All bytes of a file that goes inside the commit, if they are those that were looked at.
    fn bytes(&self) -> Result<Vec<u8>, HubError> {
        let mut bytes = Vec::new();
        let mut all = self.open()?.take(self.size.saturating_add(1));
        all.read_to_end(&mut bytes)
            .map_err(|e| self.unreadable(e))?;
        if fs::sha256(&bytes) == self.sha256 {
            Ok(bytes)
        } else {
            Err(self.changed())
        }
    }

    fn unreadable(&self, error: std::io::Error) -> HubError {
        fs::at("read", Path::new(&self.path))(error).into()
    }

    fn changed(&self) -> HubError {
        HubError::Changed {
            path: self.path.clone(),
        }
    }
}

/// Where a commit goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// The branch `main`.
    Main,
    /// This branch, which is made of `main` where there is none.
    Branch(String),
    /// A new pull request against `main`.
    PullRequest,
}

impl Destination {
    /// The branch that the commit starts from.
    #[must_use]
    pub fn branch(&self) -> &str {
        match self {
            Self::Branch(name) => name,
            _ => MAIN,
        }
    }
}

/// The branch that every repository has.
const MAIN: &str = "main";

/// Who may see a repository.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Those who are given access.
    Private,
    /// Everybody.
    Public,
}

/// One push: files that become a commit.
#[derive(Debug, Clone)]
pub struct PushJob {
    /// The repository.
    pub id: RepoId,
    /// The files, at most one of a path.
    pub files: Vec<PushFile>,
    /// First line of the commit.
    pub message: String,
    /// Where the commit goes.
    pub to: Destination,
    /// Who may see the repository: it is made where there is none, and a public one is refused where
    /// `Private`. `None` takes an existing repository as it is.
    pub visibility: Option<Visibility>,
    /// Whether files of the repository that are not among `files` are removed; hidden ones stay.
    pub delete: bool,
}
