//! Requests: revisions are resolved to commits, files are downloaded once and verified.

use std::ffi::OsString;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use ureq::Agent;
use ureq::http::request::Builder;
use ureq::http::{Request, Response, Uri};

use super::cache::{Cache, hash, is_commit, kind_of_tag};
use super::{HubError, RepoId, Snapshot};
use crate::budget;
use crate::fs;
use crate::http::{self, Patience, header};
use crate::sniff::{self, Kind};

/// Most redirects that are followed.
const MAX_REDIRECTS: usize = 10;
/// Longest wait that a server may ask for; a longer one ends the attempt.
const MAX_WAIT: Duration = Duration::from_mins(1);
/// Longest description of a revision with the list of its files.
const LONGEST_LISTING: u64 = 64 << 20;
/// Longest file whose size the hub does not say; it says that of every file that is large.
const LONGEST_UNDECLARED: u64 = 1 << 30;

/// What a download reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress<'a> {
    /// A file begins.
    Start {
        /// Path in the repository.
        file: &'a str,
        /// Size in bytes, where the hub says so.
        total: Option<u64>,
        /// Bytes that an earlier, cut download left.
        already: u64,
    },
    /// Bytes arrived.
    Advance {
        /// How many.
        bytes: u64,
    },
    /// The file is complete and verified.
    Finish,
}

/// How the hub is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct HubSettings {
    /// Address of the hub, without a slash at the end.
    pub endpoint: String,
    /// Folder of the cache, the one Python users have.
    pub cache: PathBuf,
    /// Access token.
    pub token: Option<String>,
    /// Whether only the cache is read.
    pub offline: bool,
    /// How often a request is tried.
    pub attempts: u32,
    /// Wait before the second attempt; doubles with each further one.
    pub backoff: Duration,
}

impl std::fmt::Debug for HubSettings {
    /// Without the token and the address, which may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HubSettings")
            .field("cache", &self.cache)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("offline", &self.offline)
            .field("attempts", &self.attempts)
            .field("backoff", &self.backoff)
            .finish_non_exhaustive()
    }
}

impl HubSettings {
    /// Settings from the environment, as Python's library reads it: `HF_ENDPOINT`,
    /// `HF_HUB_CACHE`, `HUGGINGFACE_HUB_CACHE`, `HF_HOME`, `XDG_CACHE_HOME`, `HF_TOKEN`,
    /// `HF_TOKEN_PATH`, `HF_HUB_OFFLINE`.
    ///
    /// `variable` looks one up; `home` is the user's folder.
    pub fn from_variables(
        variable: impl Fn(&str) -> Option<OsString>,
        home: Option<&Path>,
    ) -> Self {
        let path = |name: &str| {
            let value = variable(name).filter(|v| !v.is_empty())?;
            let path = PathBuf::from(value);
            Some(match (path.strip_prefix("~"), home) {
                (Ok(rest), Some(home)) => home.join(rest),
                _ => path,
            })
        };
        let text = |name: &str| {
            let value = variable(name)?.to_string_lossy().trim().to_owned();
            (!value.is_empty()).then_some(value)
        };
        let hf_home = path("HF_HOME").unwrap_or_else(|| {
            path("XDG_CACHE_HOME")
                .or_else(|| home.map(|h| h.join(".cache")))
                .unwrap_or_default()
                .join("huggingface")
        });
        let token = text("HF_TOKEN").or_else(|| {
            let file = path("HF_TOKEN_PATH").unwrap_or_else(|| hf_home.join("token"));
            let token = String::from_utf8(fs::read(&file).ok()?)
                .ok()?
                .trim()
                .to_owned();
            (!token.is_empty()).then_some(token)
        });
        let offline = text("HF_HUB_OFFLINE")
            .is_some_and(|v| ["1", "on", "yes", "true"].contains(&v.to_lowercase().as_str()));
        Self {
            endpoint: text("HF_ENDPOINT")
                .unwrap_or_else(|| "https://huggingface.co".to_owned())
                .trim_end_matches('/')
                .to_owned(),
            cache: path("HF_HUB_CACHE")
                .or_else(|| path("HUGGINGFACE_HUB_CACHE"))
                .unwrap_or_else(|| hf_home.join("hub")),
            token,
            offline,
            attempts: 5,
            backoff: Duration::from_millis(500),
        }
    }
}

type ProgressSink = Arc<dyn Fn(Progress<'_>) + Send + Sync>;

/// A client of the hub and its cache.
#[derive(Clone)]
pub struct Hub {
    pub(super) settings: HubSettings,
    pub(super) agent: Agent,
    progress: Option<ProgressSink>,
}

impl std::fmt::Debug for Hub {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Hub")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

/// Something that the hub is asked for.
#[derive(Clone, Copy)]
pub(super) struct Remote<'a> {
    pub url: &'a str,
    /// Its name in messages.
    pub what: &'a str,
    /// The repository that holds it.
    pub id: &'a RepoId,
}

/// What the hub says about a file before it is downloaded.
struct Meta {
    etag: String,
    size: Option<u64>,
}

impl Hub {
    /// A client as the environment says; `offline` also forbids the network.
    #[must_use]
    pub fn from_env(offline: bool) -> Self {
        let folders = directories::BaseDirs::new();
        let home = folders.as_ref().map(directories::BaseDirs::home_dir);
        let mut settings = HubSettings::from_variables(|name| std::env::var_os(name), home);
        settings.offline |= offline;
        Self::new(settings)
    }

    /// A client with these settings.
    #[must_use]
    pub fn new(settings: HubSettings) -> Self {
        let agent = http::agent(Duration::from_secs(15), Duration::from_mins(1));
        Self {
            settings,
            agent,
            progress: None,
        }
    }

    /// The same client, which reports how downloads go.
    #[must_use]
    pub fn with_progress(mut self, sink: impl Fn(Progress<'_>) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(sink));
        self
    }

    /// How the hub is reached.
    #[must_use]
    pub fn settings(&self) -> &HubSettings {
        &self.settings
    }

    /// The commit of a revision (a branch, a tag or a commit) and its files.
    ///
    /// A commit whose files were listed before needs no request. Offline, or where the hub cannot
    /// be reached, the cache answers, with the files that are there.
    ///
    /// # Errors
    /// When the repository or revision does not exist, access is refused, or neither the hub nor
    /// the cache can answer.
    pub fn resolve(&self, id: &RepoId, revision: &str) -> Result<Snapshot, HubError> {
        let cache = Cache::new(&self.settings.cache, id);
        if is_commit(revision)
            && let Some(files) = cache.read_listing(revision)
        {
            return Ok(Snapshot {
                commit: revision.to_owned(),
                files,
            });
        }
        let cached = || -> Result<Option<Snapshot>, HubError> {
            let Some(commit) = cache.commit(revision) else {
                return Ok(None);
            };
            let files = cache.files(&commit)?;
            Ok((!files.is_empty()).then_some(Snapshot { commit, files }))
        };
        if self.settings.offline {
            return cached()?.ok_or_else(|| self.offline(&format!("`{id}` at `{revision}`")));
        }
        let (url, what) = self.revision(id, revision);
        let remote = Remote {
            url: &url,
            what: &what,
            id,
        };
        let listed = match self.get(remote) {
            Ok(mut response) => {
                budget::read_to_end(response.body_mut().as_reader(), LONGEST_LISTING)
                    .map_err(|e| unreachable(&url, &ureq::Error::Io(e)))
            }
            Err(e) => Err(e),
        };
        let body = match listed {
            Ok(body) => body,
            Err(e @ (HubError::Unreachable { .. } | HubError::Status { .. })) => {
                return cached()?.ok_or(e);
            }
            Err(e) => return Err(e),
        };
        let snapshot = parse_listing(&body).map_err(|reason| HubError::Protocol { url, reason })?;
        cache.write_ref(revision, &snapshot.commit)?;
        cache.write_listing(&snapshot.commit, &snapshot.files)?;
        Ok(snapshot)
    }

    /// The path of a file that is in the cache already. No request is made.
    #[must_use]
    pub fn cached(&self, id: &RepoId, commit: &str, path: &str) -> Option<PathBuf> {
        Cache::new(&self.settings.cache, id).file(commit, path)
    }

    /// The path of a file in the cache, downloaded where it is not there yet.
    ///
    /// # Errors
    /// When the file does not exist, access is refused, the hub cannot be reached, its bytes are
    /// not those it names, or the disk fails.
    pub fn file(&self, id: &RepoId, commit: &str, path: &str) -> Result<PathBuf, HubError> {
        let what = format!("`{path}` in {} `{}` at {commit}", noun(id), id.name());
        if !is_inside(path) {
            return Err(HubError::NotFound { what });
        }
        let cache = Cache::new(&self.settings.cache, id);
        if let Some(file) = cache.file(commit, path) {
            return Ok(file);
        }
        if self.settings.offline {
            return Err(self.offline(&what));
        }
        let url = format!(
            "{}/{id}/resolve/{}/{}",
            self.settings.endpoint,
            escape(commit, false),
            escape(path, true)
        );
        let remote = Remote {
            url: &url,
            what: &what,
            id,
        };
        let meta = self.meta(remote)?;
        let _lock = cache.lock(&meta.etag)?;
        // Another process may have finished it while this one waited.
        if cache.blob(&meta.etag).is_file() {
            return cache.link(commit, path, &meta.etag);
        }
        self.download(remote, path, &meta, &cache)?;
        let linked = cache.link(commit, path, &meta.etag)?;
        self.report(Progress::Finish);
        Ok(linked)
    }

    pub(super) fn report(&self, progress: Progress<'_>) {
        if let Some(sink) = &self.progress {
            sink(progress);
        }
    }

    fn offline(&self, what: &str) -> HubError {
        HubError::Offline {
            what: what.to_owned(),
            cache: self.settings.cache.clone(),
        }
    }

    /// Asks for tag and size, without the body: redirects that stay on the host are followed,
    /// one that leaves it is the storage, whose answer says nothing about the repository.
    fn meta(&self, remote: Remote<'_>) -> Result<Meta, HubError> {
        let url = remote.url;
        self.retry(|| {
            let mut at = url.to_owned();
            for _ in 0..MAX_REDIRECTS {
                let response = self.request("HEAD", &at, None, true)?;
                let header = |name: &str| header(&response, name);
                let etag = header("x-linked-etag").or_else(|| header("etag"));
                let redirect = response
                    .status()
                    .is_redirection()
                    .then(|| header("location"))
                    .flatten();
                if let (Some(location), None) = (&redirect, &header("x-linked-etag")) {
                    let next = join(&at, location);
                    if same_host(&next, url) {
                        at = next;
                        continue;
                    }
                }
                if redirect.is_none() {
                    self.check(&response, remote)?;
                }
                let etag = etag
                    .map(|e| e.trim_start_matches("W/").trim_matches('"').to_owned())
                    .filter(|e| {
                        !e.is_empty()
                            && e.bytes()
                                .all(|b| b.is_ascii_alphanumeric() || b"-_".contains(&b))
                    })
                    .ok_or_else(|| HubError::Protocol {
                        url: url.to_owned(),
                        reason: "the answer has no usable ETag".into(),
                    })?;
                let size = header("x-linked-size")
                    .or_else(|| {
                        redirect
                            .is_none()
                            .then(|| header("content-length"))
                            .flatten()
                    })
                    .and_then(|s| s.parse().ok());
                return Ok(Meta { etag, size });
            }
            Err(Attempt::Final(HubError::Protocol {
                url: url.to_owned(),
                reason: format!("more than {MAX_REDIRECTS} redirects"),
            }))
        })
    }

    /// Downloads into `<blob>.incomplete`, going on where an earlier download stopped, and
    /// renames it once size and hash are right.
    fn download(
        &self,
        remote: Remote<'_>,
        path: &str,
        meta: &Meta,
        cache: &Cache,
    ) -> Result<(), HubError> {
        let Remote { url, what, .. } = remote;
        let blob = cache.blob(&meta.etag);
        let incomplete = blob.with_file_name(format!("{}.incomplete", meta.etag));
        let mut started = false;
        self.retry(|| {
            let already = fs::metadata(&incomplete).map_or(0, |m| m.len());
            if meta.size.is_some_and(|size| already > size) {
                fs::remove_file(&incomplete)?;
                return Err(again(url, "a longer file was left by an earlier download"));
            }
            if !std::mem::replace(&mut started, true) {
                self.report(Progress::Start {
                    file: path,
                    total: meta.size,
                    already,
                });
            }
            enough_room(&incomplete, meta.size.unwrap_or(0).saturating_sub(already))?;
            if meta.size != Some(already) || already == 0 {
                let range = (already > 0).then_some(already);
                let mut response = self.get_once(url, range)?;
                match response.status().as_u16() {
                    206 => {}
                    // The range was not understood: begin anew.
                    416 => {
                        fs::remove_file(&incomplete)?;
                        return Err(again(url, "the hub refuses to go on where it stopped"));
                    }
                    _ => {
                        self.check(&response, remote)?;
                        fs::remove_file(&incomplete)?;
                    }
                }
                let mut file = fs::open_append(&incomplete)?;
                let mut written = fs::metadata(&incomplete)?.len();
                let mut body = response.body_mut().as_reader();
                let mut buffer = vec![0_u8; 1 << 16];
                loop {
                    let n = match body.read(&mut buffer) {
                        Ok(n) => n,
                        // What arrived is kept, so another attempt goes on from here.
                        Err(_) if meta.size.is_some() => break,
                        Err(e) => return Err(again(url, &e.to_string())),
                    };
                    if n == 0 {
                        break;
                    }
                    written += n as u64;
                    if written > meta.size.unwrap_or(LONGEST_UNDECLARED) {
                        drop(file);
                        fs::remove_file(&incomplete)?;
                        return Err(Attempt::Final(too_long(url, meta)));
                    }
                    file.write_all(&buffer[..n])
                        .map_err(fs::at("write", &incomplete))?;
                    self.report(Progress::Advance { bytes: n as u64 });
                }
                file.sync_all().map_err(fs::at("write", &incomplete))?;
            }
            let found = fs::metadata(&incomplete)?.len();
            match meta.size {
                Some(size) if found != size => {
                    let cut = HubError::Unreachable {
                        url: url.to_owned(),
                        reason: format!("the connection was cut after {found} of {size} bytes"),
                    };
                    Err(if found > already {
                        Attempt::Moved
                    } else {
                        Attempt::Again(cut, None)
                    })
                }
                _ => Ok(()),
            }
        })?;
        if let Some(kind) = kind_of_tag(&meta.etag) {
            let found = hash(&incomplete, kind)?;
            if found != meta.etag {
                fs::remove_file(&incomplete)?;
                return Err(HubError::Checksum {
                    what: what.to_owned(),
                    kind,
                    expected: meta.etag.clone(),
                    found,
                });
            }
        }
        let (head, _) = sniff::peek(fs::open(&incomplete)?).map_err(fs::at("read", &incomplete))?;
        let kind = sniff::kind(&head);
        let text = [".html", ".htm", ".xml", ".svg", ".md"]
            .iter()
            .any(|e| path.ends_with(e));
        if let Some(kind @ (Kind::LfsPointer | Kind::WebPage)) = kind
            && !text
        {
            fs::remove_file(&incomplete)?;
            return Err(HubError::Foreign {
                what: what.to_owned(),
                kind,
            });
        }
        fs::rename(&incomplete, &blob)?;
        Ok(())
    }

    /// Removes a file of the cache that turned out to be damaged, so that it is downloaded again.
    /// Offline nothing is removed. Whether it was.
    ///
    /// # Errors
    /// When it is there and cannot be removed.
    pub fn forget(&self, file: &Path) -> Result<bool, HubError> {
        let within = file.starts_with(&self.settings.cache);
        if self.settings.offline || !within || !fs::exists(file) {
            return Ok(false);
        }
        let blob = fs::canonicalize(file)?;
        fs::remove_file(file)?;
        if blob
            .parent()
            .is_some_and(|folder| folder.ends_with("blobs"))
        {
            fs::remove_file(&blob)?;
        }
        Ok(true)
    }

    /// The address of a revision, and its name in messages.
    pub(super) fn revision(&self, id: &RepoId, revision: &str) -> (String, String) {
        let url = format!(
            "{}/api/{}/{}/revision/{}",
            self.settings.endpoint,
            id.kind().plural(),
            id.name(),
            escape(revision, false)
        );
        let what = format!("{} `{}` at `{revision}`", noun(id), id.name());
        (url, what)
    }

    /// A GET with retries whose answer is a success.
    pub(super) fn get(&self, remote: Remote<'_>) -> Result<Response<ureq::Body>, HubError> {
        self.retry(|| {
            let response = self.get_once(remote.url, None)?;
            self.check(&response, remote)?;
            Ok(response)
        })
    }

    /// A GET that follows redirects, with the token on the endpoint's host only.
    pub(super) fn get_once(
        &self,
        url: &str,
        range: Option<u64>,
    ) -> Result<Response<ureq::Body>, Attempt> {
        let mut at = url.to_owned();
        for _ in 0..MAX_REDIRECTS {
            let response = self.request("GET", &at, range, same_host(&at, url))?;
            match header(&response, "location") {
                Some(location) if response.status().is_redirection() => at = join(&at, &location),
                _ => return Ok(response),
            }
        }
        Err(Attempt::Final(HubError::Protocol {
            url: url.to_owned(),
            reason: format!("more than {MAX_REDIRECTS} redirects"),
        }))
    }

    fn request(
        &self,
        method: &str,
        url: &str,
        range: Option<u64>,
        with_token: bool,
    ) -> Result<Response<ureq::Body>, Attempt> {
        let mut request = self.begin(method, url, with_token);
        if let Some(from) = range {
            request = request.header("range", format!("bytes={from}-"));
        }
        self.run(url, request.body(()))
    }

    /// The beginning of a request; the token goes along where it is allowed to.
    pub(super) fn begin(&self, method: &str, url: &str, with_token: bool) -> Builder {
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("accept-encoding", "identity");
        match self.settings.token.as_ref().filter(|_| with_token) {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        }
    }

    pub(super) fn run<B: ureq::AsSendBody>(
        &self,
        url: &str,
        request: Result<Request<B>, ureq::http::Error>,
    ) -> Result<Response<ureq::Body>, Attempt> {
        let request = request.map_err(|e| {
            Attempt::Final(HubError::Protocol {
                url: url.to_owned(),
                reason: e.to_string(),
            })
        })?;
        if let Some((reason, hint)) = http::unusable_proxy(url) {
            return Err(Attempt::Final(HubError::Proxy { reason, hint }));
        }
        self.agent
            .run(request)
            .map_err(|e| Attempt::Again(unreachable(url, &e), None))
    }

    /// An answer that is no success as an error: final, or worth another attempt.
    fn check(
        &self,
        response: &Response<ureq::Body>,
        Remote { url, what, id }: Remote<'_>,
    ) -> Result<(), Attempt> {
        let status = response.status().as_u16();
        let gone = header(response, "x-error-code");
        Err(match status {
            200..=299 => return Ok(()),
            // The hub answers 401 for repositories that do not exist when no token is sent.
            401 | 403 if gone.as_deref() == Some("RepoNotFound") => {
                Attempt::Final(HubError::NotFound {
                    what: what.to_owned(),
                })
            }
            401 | 403 => Attempt::Final(HubError::Refused {
                what: what.to_owned(),
                status,
                token: self.settings.token.is_some(),
                page: format!("{}/{id}", self.settings.endpoint),
            }),
            404 | 410 => Attempt::Final(HubError::NotFound {
                what: what.to_owned(),
            }),
            _ if http::may_be_retried(status) => Attempt::Again(
                HubError::Status {
                    url: url.to_owned(),
                    status,
                },
                http::retry_after(response),
            ),
            _ => Attempt::Final(HubError::Status {
                url: url.to_owned(),
                status,
            }),
        })
    }

    /// Tries until it succeeds, fails for good, or the attempts are used up.
    pub(super) fn retry<T>(
        &self,
        mut attempt: impl FnMut() -> Result<T, Attempt>,
    ) -> Result<T, HubError> {
        let patience = Patience {
            attempts: self.settings.attempts,
            first: self.settings.backoff,
            longest: MAX_WAIT,
        };
        let mut tried = 0;
        loop {
            tried += 1;
            match attempt() {
                Ok(value) => return Ok(value),
                Err(Attempt::Final(e)) => return Err(e),
                // A slow, broken connection still gets there: only attempts in vain count.
                Err(Attempt::Moved) => {
                    tried = 0;
                    std::thread::sleep(self.settings.backoff);
                }
                Err(Attempt::Again(e, after)) => {
                    let Some(wait) = patience.wait(tried, after) else {
                        return Err(e);
                    };
                    std::thread::sleep(wait);
                }
            }
        }
    }
}

/// How one attempt failed.
pub(super) enum Attempt {
    /// Another one may succeed, after the wait the server asks for.
    Again(HubError, Option<Duration>),
    /// It brought some bytes, and another one may bring more.
    Moved,
    /// No other one will.
    Final(HubError),
}

impl From<HubError> for Attempt {
    fn from(e: HubError) -> Self {
        Self::Final(e)
    }
}

impl From<fs::FsError> for Attempt {
    fn from(e: fs::FsError) -> Self {
        Self::Final(e.into())
    }
}

pub(super) fn again(url: &str, reason: &str) -> Attempt {
    Attempt::Again(
        HubError::Unreachable {
            url: url.to_owned(),
            reason: reason.to_owned(),
        },
        None,
    )
}

pub(super) fn unreachable(url: &str, error: &ureq::Error) -> HubError {
    HubError::Unreachable {
        url: url.to_owned(),
        reason: error.to_string(),
    }
}

/// Refuses a file of which more is to come than the disk has room for, before a byte of it is written.
fn enough_room(path: &Path, more: u64) -> Result<(), fs::FsError> {
    let free = path.parent().and_then(fs::free_bytes).unwrap_or(u64::MAX);
    if more <= free {
        return Ok(());
    }
    let reason = format!("the hub declares {more} bytes more, and {free} are free on the disk");
    let source = std::io::Error::new(std::io::ErrorKind::StorageFull, reason);
    Err(fs::at("write", path)(source))
}

/// The error of a file that is longer than the hub says, or than is taken without its word.
fn too_long(url: &str, meta: &Meta) -> HubError {
    let reason = match meta.size {
        Some(size) => format!("it sends more than the {size} bytes that it declares"),
        None => format!(
            "it declares no size and sends more than {LONGEST_UNDECLARED} bytes, the most that is taken \
             without one"
        ),
    };
    HubError::Protocol {
        url: url.to_owned(),
        reason,
    }
}

pub(super) fn noun(id: &RepoId) -> &'static str {
    match id.kind() {
        super::RepoKind::Model => "model",
        super::RepoKind::Dataset => "dataset",
    }
}

/// Whether a path stays in its repository, on every system.
pub(super) fn is_inside(path: &str) -> bool {
    path.split('/')
        .all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains('\\'))
}

/// The commit and the files in the hub's description of a revision.
fn parse_listing(body: &[u8]) -> Result<Snapshot, String> {
    let value: serde_json::Value = serde_json::from_slice(body).map_err(|e| e.to_string())?;
    let commit = value["sha"].as_str().unwrap_or_default().to_owned();
    if !is_commit(&commit) {
        return Err("the answer names no commit".to_owned());
    }
    let siblings = value["siblings"]
        .as_array()
        .ok_or_else(|| "the answer lists no files".to_owned())?;
    let mut files: Vec<String> = siblings
        .iter()
        .filter_map(|s| s["rfilename"].as_str().map(ToOwned::to_owned))
        .collect();
    files.sort();
    Ok(Snapshot { commit, files })
}

/// Percent-encodes what a path may not hold; slashes stay where `slashes`.
pub(super) fn escape(text: &str, slashes: bool) -> String {
    text.bytes()
        .map(|b| {
            if b.is_ascii_alphanumeric() || b"-._~".contains(&b) || slashes && b == b'/' {
                char::from(b).to_string()
            } else {
                format!("%{b:02X}")
            }
        })
        .collect()
}

/// The address a redirect leads to.
pub(super) fn join(base: &str, location: &str) -> String {
    if location.contains("://") {
        return location.to_owned();
    }
    let scheme_end = base.find("://").map_or(0, |i| i + 3);
    if let Some(rest) = location.strip_prefix("//") {
        return format!("{}{rest}", &base[..scheme_end]);
    }
    let host_end = base[scheme_end..]
        .find('/')
        .map_or(base.len(), |i| scheme_end + i);
    if location.starts_with('/') {
        return format!("{}{location}", &base[..host_end]);
    }
    let folder = base
        .rfind('/')
        .filter(|i| *i >= host_end)
        .unwrap_or(host_end);
    format!("{}/{location}", &base[..folder])
}

/// Whether two addresses have the same scheme, host and port.
pub(super) fn same_host(a: &str, b: &str) -> bool {
    let parts = |url: &str| {
        let uri: Uri = url.parse().ok()?;
        Some((
            uri.scheme_str()?.to_owned(),
            uri.authority()?.as_str().to_lowercase(),
        ))
    };
    matches!((parts(a), parts(b)), (Some(a), Some(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(variables: &[(&str, &str)]) -> HubSettings {
        let variable = |name: &str| {
            variables
                .iter()
                .find(|(n, _)| *n == name)
                .map(|(_, v)| OsString::from(v))
        };
        HubSettings::from_variables(variable, Some(Path::new("/home/u")))
    }

    #[test]
    fn the_cache_is_where_python_has_it() {
        let all = [
            ("HF_HUB_CACHE", "/a"),
            ("HUGGINGFACE_HUB_CACHE", "/b"),
            ("HF_HOME", "/c"),
            ("XDG_CACHE_HOME", "/d"),
        ];
        for (from, cache) in [
            (0, "/a"),
            (1, "/b"),
            (2, "/c/hub"),
            (3, "/d/huggingface/hub"),
            (4, "/home/u/.cache/huggingface/hub"),
        ] {
            assert_eq!(settings(&all[from..]).cache, PathBuf::from(cache));
        }
        assert_eq!(
            settings(&[("HF_HOME", "~/x")]).cache,
            PathBuf::from("/home/u/x/hub")
        );
        assert_eq!(
            settings(&[("HF_ENDPOINT", "http://h/")]).endpoint,
            "http://h"
        );
        assert!(settings(&[("HF_HUB_OFFLINE", "1")]).offline);
        assert!(!settings(&[("HF_HUB_OFFLINE", "0")]).offline);
    }

    #[test]
    fn the_token_comes_from_the_variable_the_named_file_or_home() {
        let folder = tempfile::tempdir().expect("a folder");
        let home = folder.path().to_str().expect("a UTF-8 path");
        let named = format!("{home}/other");
        fs::write_atomic(&folder.path().join("token"), b"home\n").expect("written");
        fs::write_atomic(&folder.path().join("other"), b"named").expect("written");
        let all = [
            ("HF_TOKEN", "set"),
            ("HF_TOKEN_PATH", &named),
            ("HF_HOME", home),
        ];
        for (from, token) in [(0, "set"), (1, "named"), (2, "home")] {
            assert_eq!(settings(&all[from..]).token.as_deref(), Some(token));
        }
        assert_eq!(settings(&[("HF_HOME", &named)]).token, None);
    }

    #[test]
    fn redirects_are_joined_and_hosts_compared() {
        let base = "https://h:1/a/b";
        for (location, joined, same) in [
            ("/c", "https://h:1/c", true),
            ("c", "https://h:1/a/c", true),
            ("//i/c", "https://i/c", false),
            ("https://H:1/c", "https://H:1/c", true),
            ("https://h:2/c", "https://h:2/c", false),
            ("http://h:1/c", "http://h:1/c", false),
            ("https://h:1@evil/c", "https://h:1@evil/c", false),
        ] {
            assert_eq!(join(base, location), joined);
            assert_eq!(same_host(joined, base), same, "{joined}");
        }
        assert_eq!(escape("refs/pr/1", false), "refs%2Fpr%2F1");
        assert_eq!(escape("a b/ü.json", true), "a%20b/%C3%BC.json");
    }
}
