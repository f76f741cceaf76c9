//! What a push would do: what the repository holds, and how each file would be stored.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::client::{Remote, escape, noun};
use super::super::{Hub, HubError, RepoId, is_commit};
use super::{Destination, LONGEST_INLINE, MAIN, PushFile, PushJob, Visibility};

/// Files that one `preupload` asks about.
const ASKED_AT_ONCE: usize = 256;
/// Endings that a new repository stores apart, by the `.gitattributes` that the hub puts into it.
const APART: &str = "7z arrow bin bz2 ckpt ftz gz h5 joblib mlmodel model msgpack npy npz onnx ot parquet pb \
                     pickle pkl pt pth rar safetensors tar tflite tgz wasm xz zip zst";

/// A file of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemoteFile {
    /// Size in bytes.
    pub size: u64,
    /// SHA-256 of a file that is stored apart (64 digits), else the hash of the git blob (40 digits).
    pub hash: String,
}

/// A commit of a repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The commit.
    pub commit: String,
    /// Whether the repository is private.
    pub private: bool,
    /// Its files by path.
    pub files: BTreeMap<String, RemoteFile>,
}

impl Head {
    /// Whether the file is there with the same bytes.
    fn holds(&self, file: &PushFile) -> bool {
        self.files.get(&file.path).is_some_and(|there| {
            there.size == file.size
                && (there.hash == file.sha256 || Some(&there.hash) == file.blob.as_ref())
        })
    }

    /// Whether every file of a push is there, and none that it removes.
    pub(super) fn is_after(&self, job: &PushJob) -> bool {
        job.files.iter().all(|f| self.holds(f)) && (!job.delete || self.others(job).is_empty())
    }

    /// The files that are not among those of a push. Hidden ones, which no folder brings, are not counted.
    fn others(&self, job: &PushJob) -> Vec<String> {
        let ours: BTreeSet<&str> = job.files.iter().map(|f| f.path.as_str()).collect();
        let names = self.files.keys();
        names
            .filter(|name| !is_hidden(name) && !ours.contains(name.as_str()))
            .cloned()
            .collect()
    }
}

/// How a file goes into the commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// Inside the commit.
    Inline,
    /// Through the storage of large files.
    Lfs,
    /// Not at all: it is there with the same bytes.
    Same,
    /// It is removed.
    Delete,
}

/// A file of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Planned {
    /// Path in the repository.
    pub path: String,
    /// Size in bytes.
    pub size: u64,
    /// How it goes.
    pub how: How,
}

/// What a push would do.
#[derive(Debug, Clone)]
pub struct PushPlan {
    /// The commit it starts from; `None` where there is no repository, or the hub was not asked.
    pub head: Option<Head>,
    /// Whether the hub was asked what it has.
    pub asked: bool,
    /// Whether the destination is a branch that has to be made.
    pub new_branch: bool,
    /// Files in the order of the push, then those that are removed.
    pub files: Vec<Planned>,
    /// Whether the hub has not said how files are stored, so that it may decide otherwise.
    pub guessed: bool,
    /// Files of the repository that are not pushed and stay.
    pub others: Vec<String>,
}

impl PushPlan {
    /// Whether the repository is as it would be after the push.
    #[must_use]
    pub fn is_done(&self) -> bool {
        !self.new_branch && self.files.iter().all(|f| f.how == How::Same)
    }
}

impl Hub {
    /// What a push would do. Nothing is written: offline nothing is asked either, and without a token
    /// how files are stored is guessed from their names and sizes.
    ///
    /// # Errors
    /// When the hub cannot be reached or refuses, the repository is public and the push is not, its
    /// `.gitignore` excludes a file, or a file changed.
    pub fn plan_push(&self, job: &PushJob) -> Result<PushPlan, HubError> {
        let (mut head, mut new_branch) = (None, false);
        if !self.settings.offline {
            head = self.head(&job.id, job.to.branch())?;
            if head.is_none() && job.to.branch() != MAIN {
                head = self.head(&job.id, MAIN)?;
                new_branch = head.is_some();
            }
        }
        if job.visibility == Some(Visibility::Private) && head.as_ref().is_some_and(|h| !h.private)
        {
            return Err(HubError::Public {
                what: format!("{} `{}`", noun(&job.id), job.id.name()),
            });
        }
        let there = |file: &&PushFile| head.as_ref().is_some_and(|h| h.holds(file));
        let new: Vec<&PushFile> = job.files.iter().filter(|f| !there(f)).collect();
        let guessed = head.is_none() || self.settings.token.is_none();
        let branch = if new_branch { MAIN } else { job.to.branch() };
        let modes = if guessed {
            new.iter().map(|f| (f.path.clone(), guess(f))).collect()
        } else {
            self.modes(job, &new, branch)?
        };
        let how = |file: &PushFile| modes.get(&file.path).copied().unwrap_or(How::Same);
        let files = job.files.iter().map(|file| Planned {
            path: file.path.clone(),
            size: file.size,
            how: how(file),
        });
        let mut files: Vec<Planned> = files.collect();
        let mut others = head.as_ref().map_or_else(Vec::new, |h| h.others(job));
        if job.delete {
            files.extend(others.drain(..).map(|path| Planned {
                size: head.as_ref().map_or(0, |h| h.files[&path].size),
                how: How::Delete,
                path,
            }));
        }
        Ok(PushPlan {
            asked: !self.settings.offline,
            guessed,
            new_branch,
            files,
            others,
            head,
        })
    }

    /// The newest commit of a branch with the hashes of its files, asked of the hub and never of the cache;
    /// `None` where the repository or the branch does not exist.
    ///
    /// # Errors
    /// When the hub cannot be reached or refuses, or its answer names no commit.
    pub fn head(&self, id: &RepoId, revision: &str) -> Result<Option<Head>, HubError> {
        let (url, what) = self.revision(id, revision);
        let url = format!("{url}?blobs=true");
        let remote = Remote {
            url: &url,
            what: &what,
            id,
        };
        match self.get_json(remote) {
            Ok(value) => head(&value).map(Some).map_err(|reason| HubError::Protocol {
                url: url.clone(),
                reason,
            }),
            Err(HubError::NotFound { .. }) => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// Asks how each file is stored.
    fn modes(
        &self,
        job: &PushJob,
        new: &[&PushFile],
        branch: &str,
    ) -> Result<BTreeMap<String, How>, HubError> {
        let pull_request = if job.to == Destination::PullRequest {
            "?create_pr=1"
        } else {
            ""
        };
        let url = format!(
            "{}/api/{}/{}/preupload/{}{pull_request}",
            self.settings.endpoint,
            job.id.kind().plural(),
            job.id.name(),
            escape(branch, false)
        );
        let what = format!("{} `{}`", noun(&job.id), job.id.name());
        let remote = Remote {
            url: &url,
            what: &what,
            id: &job.id,
        };
        let mut modes = BTreeMap::new();
        for part in new.chunks(ASKED_AT_ONCE) {
            let mut asked = Vec::new();
            for file in part {
                let sample = STANDARD.encode(file.sample()?);
                asked.push(json!({ "path": file.path, "sample": sample, "size": file.size }));
            }
            let answer = self.post(remote, &json!({ "files": asked }))?;
            let said = answer["files"].as_array().map_or(&[][..], Vec::as_slice);
            for file in part {
                let own = said.iter().find(|said| said["path"] == *file.path);
                if own.is_some_and(|own| own["shouldIgnore"] == true) {
                    return Err(HubError::Unfit {
                        path: file.path.clone(),
                        reason: "the `.gitignore` of the repository excludes it".into(),
                        hint: "change `.gitignore` there, or leave the file out".into(),
                    });
                }
                let how = match own.and_then(|own| own["uploadMode"].as_str()) {
                    // The storage takes no empty file, a commit no long one.
                    Some("lfs") if file.size > 0 => How::Lfs,
                    Some("regular") if file.size > LONGEST_INLINE => How::Lfs,
                    Some("lfs" | "regular") => How::Inline,
                    _ => {
                        return Err(HubError::Protocol {
                            url: url.clone(),
                            reason: format!(
                                "the answer does not say how `{}` is stored",
                                file.path
                            ),
                        });
                    }
                };
                modes.insert(file.path.clone(), how);
            }
        }
        Ok(modes)
    }
}

/// Whether a file or one of its folders is hidden, as `.gitattributes`, which belongs to the hub.
fn is_hidden(path: &str) -> bool {
    path.split('/').any(|part| part.starts_with('.'))
}

/// How a new repository would store a file.
fn guess(file: &PushFile) -> How {
    let ending = file.path.rsplit_once('.').map_or("", |(_, ending)| ending);
    let apart = APART.split_ascii_whitespace().any(|a| a == ending);
    if file.size > 0 && (apart || file.size > LONGEST_INLINE) {
        How::Lfs
    } else {
        How::Inline
    }
}

/// The hub's description of a revision.
fn head(value: &Value) -> Result<Head, String> {
    let commit = value["sha"].as_str().unwrap_or_default();
    if !is_commit(commit) {
        return Err("the answer names no commit".into());
    }
    let listed = value["siblings"]
        .as_array()
        .ok_or("the answer lists no files")?;
    let file = |file: &Value| {
        let hash = file["lfs"]["sha256"].as_str().or(file["blobId"].as_str());
        let size = file["lfs"]["size"].as_u64().or(file["size"].as_u64());
        let remote = RemoteFile {
            size: size.unwrap_or_default(),
            hash: hash.unwrap_or_default().to_owned(),
        };
        Some((file["rfilename"].as_str()?.to_owned(), remote))
    };
    Ok(Head {
        commit: commit.to_owned(),
        // What does not say that it is private may be seen by everybody.
        private: value["private"] == true,
        files: listed.iter().filter_map(file).collect(),
    })
}
