//! What can go wrong with the hub.

use std::path::PathBuf;

use crate::failure::FailureClass;
use crate::fs::FsError;
use crate::sniff::Kind;

/// An error of the hub room: nothing that the hub, the network or its cache could give.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HubError {
    /// A file-system call failed.
    #[error(transparent)]
    Fs(#[from] FsError),
    /// A name that cannot be a repository on the hub.
    #[error("`{name}` is no repository name; it must be `organisation/name`")]
    Name {
        /// What was given.
        name: String,
    },
    /// Offline mode, and the cache does not hold it.
    #[error("{what} is not in the cache `{}`, and the network is not to be used", cache.display())]
    Offline {
        /// What was wanted.
        what: String,
        /// The cache folder.
        cache: PathBuf,
    },
    /// The endpoint cannot be reached.
    #[error("cannot reach {}: {}", without_password(url), reason.replace(url.as_str(), &without_password(url)))]
    Unreachable {
        /// What was asked for.
        url: String,
        /// What the network said.
        reason: String,
    },
    /// The environment names a proxy that cannot be used.
    #[error("{reason}")]
    Proxy {
        /// The variable, and what is wrong with it.
        reason: String,
        /// What to do.
        hint: &'static str,
    },
    /// The hub wants a token, or one with more rights (401, 403).
    #[error("the hub refuses access to {what} (status {status})")]
    Refused {
        /// What was wanted.
        what: String,
        /// HTTP status.
        status: u16,
        /// Whether a token was sent.
        token: bool,
        /// Where people ask for access.
        page: String,
    },
    /// There is no such repository, revision or file (404).
    #[error("the hub has no {what}")]
    NotFound {
        /// What was wanted.
        what: String,
    },
    /// The hub answers with an error, after all retries.
    #[error("{} answers with status {status}", without_password(url))]
    Status {
        /// What was asked for.
        url: String,
        /// HTTP status.
        status: u16,
    },
    /// The hub's answer is not what its protocol promises.
    #[error("{}: {reason}", without_password(url))]
    Protocol {
        /// What was asked for.
        url: String,
        /// What is missing or wrong.
        reason: String,
    },
    /// What was downloaded is another kind of file; it is not kept.
    #[error("{what}: the hub gave {kind}")]
    Foreign {
        /// The file.
        what: String,
        /// What came.
        kind: Kind,
    },
    /// A push without a token, or offline.
    #[error("{}", if *offline { "a push uses the network, which is not to be used" } else { "a push needs a token of the hub" })]
    CannotPush {
        /// Whether the network is not to be used.
        offline: bool,
    },
    /// A file that is not pushed.
    #[error("{path}: {reason}: nothing was pushed")]
    Unfit {
        /// The file, with its line where there is one.
        path: String,
        /// What was found.
        reason: String,
        /// What to do.
        hint: String,
    },
    /// A file is not as it was when the push began.
    #[error("{path}: the file changed while it was sent: nothing was committed")]
    Changed {
        /// Path in the repository.
        path: String,
    },
    /// A push that is private, to a repository that everybody can see.
    #[error("{what} is public: nothing was pushed")]
    Public {
        /// The repository.
        what: String,
    },
    /// Something came before this push (409, 412).
    #[error("{what}: the hub refuses the commit: {said}")]
    Conflict {
        /// What was to be written.
        what: String,
        /// What the hub says.
        said: String,
    },
    /// The hub does not take what is pushed.
    #[error("the hub does not take {what} (status {status}): {said}")]
    Denied {
        /// What was to be written.
        what: String,
        /// HTTP status.
        status: u16,
        /// What the hub says.
        said: String,
        /// Whether a token was sent.
        token: bool,
    },
    /// The downloaded bytes are not those the hub names.
    #[error("{what}: expected {kind} {expected}, found {found}")]
    Checksum {
        /// The file.
        what: String,
        /// `sha256` or `git blob`.
        kind: &'static str,
        /// The hash the hub names.
        expected: String,
        /// The hash of the bytes.
        found: String,
    },
}

/// An address without the user and password that `HF_ENDPOINT` may hold.
#[must_use]
pub fn without_password(url: &str) -> String {
    let start = url.find("://").map_or(0, |i| i + 3);
    let end = url[start..].find('/').map_or(url.len(), |i| start + i);
    match url[start..end].rfind('@') {
        Some(at) => format!("{}***{}", &url[..start], &url[start + at..]),
        None => url.to_owned(),
    }
}

impl HubError {
    /// What to type next, where something helps.
    #[must_use]
    pub fn hint(&self) -> Option<String> {
        Some(match self {
            Self::Fs(e) => return e.hint(),
            Self::Name { .. } => "names look like `sentence-transformers/all-MiniLM-L6-v2`".into(),
            Self::Offline { .. } => {
                "leave out `--offline` (and `HF_HUB_OFFLINE`), or name a folder".into()
            }
            Self::Unreachable { .. } => {
                "is there a network? `HF_ENDPOINT` names another hub, `HTTPS_PROXY` a proxy, and \
                 files that are on disk can be named by path"
                    .into()
            }
            Self::Refused {
                token: false, page, ..
            } => format!(
                "ask for access at {}, then put a token into `HF_TOKEN` (or `hf auth login`)",
                without_password(page)
            ),
            Self::Refused {
                token: true, page, ..
            } => format!(
                "the token was sent and does not suffice: is access granted at {}?",
                without_password(page)
            ),
            Self::NotFound { .. } => {
                "are the name and the revision spelled right? A private repository needs `HF_TOKEN`"
                    .into()
            }
            Self::Status { status: 429, .. } => {
                "the hub asks for patience: try again in a few minutes".into()
            }
            Self::Status { .. } => "try again later".into(),
            Self::Proxy { hint, .. } => (*hint).into(),
            Self::CannotPush { offline: true } => {
                "leave out `--offline` (and `HF_HUB_OFFLINE`), or add `--dry-run`".into()
            }
            Self::CannotPush { offline: false } | Self::Denied { token: false, .. } => {
                "put a token that may write into `HF_TOKEN` (or `hf auth login`)".into()
            }
            Self::Unfit { hint, .. } => hint.clone(),
            Self::Changed { .. } => {
                "run the same command again once nothing writes to the file".into()
            }
            Self::Public { .. } => {
                "everybody would see what is pushed: say so with `--public`, or name another repository"
                    .into()
            }
            Self::Conflict { .. } => {
                "another commit came in between: look at it, then run the same command again".into()
            }
            Self::Denied { status: 401, .. } => {
                "is the token in `HF_TOKEN` still valid? `hf auth login` writes a new one".into()
            }
            Self::Denied { status: 403, .. } => {
                "does the token have the right to write there? A limit of storage is refused in this way too".into()
            }
            Self::Denied {
                status: 402 | 413 | 507,
                ..
            } => "there is no room for it: remove old files there, or name another repository".into(),
            Self::Denied { .. } => "run the same command again: what was sent already is not sent again".into(),
            Self::Protocol { .. } => "does `HF_ENDPOINT` name a hub?".into(),
            Self::Foreign { .. } => {
                "nothing was kept: does a proxy or a sign-in page answer in place of the hub? Then \
                 run the same command again"
                    .into()
            }
            Self::Checksum { .. } => {
                "the damaged file was removed: run the same command again".into()
            }
        })
    }

    /// The class of the failure.
    #[must_use]
    pub fn class(&self) -> FailureClass {
        match self {
            Self::Fs(_) => FailureClass::Runtime,
            Self::Name { .. } | Self::Proxy { .. } | Self::Public { .. } => FailureClass::Usage,
            Self::Unfit { .. } | Self::Changed { .. } => FailureClass::Data,
            _ => FailureClass::Network,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_in_the_address_is_never_without_password() {
        let url = "https://user:hunter2@hub.example:8443/api/models/a@b/revision/main".to_owned();
        let plain = "https://***@hub.example:8443/api/models/a@b/revision/main";
        assert_eq!(without_password(&url), plain);
        assert_eq!(without_password("https://hub/a@b"), "https://hub/a@b");
        for error in [
            HubError::Unreachable {
                url: url.clone(),
                reason: format!("bad uri: {url}"),
            },
            HubError::Status {
                url: url.clone(),
                status: 500,
            },
            HubError::Protocol {
                url: url.clone(),
                reason: "x".into(),
            },
            HubError::Refused {
                what: "x".into(),
                status: 401,
                token: false,
                page: url.clone(),
            },
            HubError::Refused {
                what: "x".into(),
                status: 403,
                token: true,
                page: url,
            },
        ] {
            let said = format!("{error} {:?}", error.hint());
            assert!(!said.contains("hunter2"), "{said}");
            assert!(said.contains("hub.example"), "{said}");
        }
    }
}
