//! The commit: one request that names every file, and what is done when its answer is lost.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::super::client::{Attempt, Remote, escape, noun};
use super::super::{Hub, HubError, is_commit, without_password};
use super::plan::{Head, How, PushPlan};
use super::wire::Parcel;
use super::{Destination, PushFile, PushJob, Visibility};

/// Open pull requests that are looked at.
const LOOKED_AT: usize = 20;

/// What a push came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pushed {
    /// The commit.
    pub commit: String,
    /// Where people see it: the pull request, or the commit.
    pub url: String,
    /// Whether it was there before, so that nothing was written.
    pub already: bool,
    /// Bytes that went to the storage of large files.
    pub sent: u64,
}

impl Hub {
    /// Pushes files as one commit. The repository and the branch are made where there is none; what is
    /// there with the same bytes is not sent; large files go first.
    ///
    /// A commit that another one came before is refused. One whose answer was lost is looked for before it
    /// is sent again, so that it is not made twice; and a push that was interrupted goes on with what the
    /// storage lacks.
    ///
    /// # Errors
    /// When offline or without a token; when the hub cannot be reached or refuses; when a file changed since it
    /// was looked at; when another commit came in between.
    pub fn push(&self, job: &PushJob) -> Result<Pushed, HubError> {
        if self.settings.offline || self.settings.token.is_none() {
            return Err(HubError::CannotPush {
                offline: self.settings.offline,
            });
        }
        let mut plan = self.plan_push(job)?;
        if plan.head.is_none() {
            self.create(job)?;
            plan = self.plan_push(job)?;
        }
        let Some(head) = &plan.head else {
            return Err(HubError::NotFound { what: whole(job) });
        };
        if plan.is_done() {
            return Ok(self.done(job, &head.commit));
        }
        if job.to == Destination::PullRequest
            && let Some(found) = self.same_pull_request(job)?
        {
            return Ok(found);
        }
        if plan.new_branch {
            self.create_branch(job, head)?;
        }
        let planned = |how| {
            let files = job.files.iter().zip(&plan.files);
            files.filter(move |(_, p)| p.how == how).map(|(f, _)| f)
        };
        let apart: Vec<&PushFile> = planned(How::Lfs).collect();
        let sent = self.upload(job, &apart)?;
        if plan.files.iter().all(|f| f.how == How::Same) {
            // A new branch of what is on `main` already.
            return Ok(self.done(job, &head.commit));
        }
        let body = body(job, &plan, head)?;
        let pushed = self.commit(job, head, &body)?;
        Ok(Pushed { sent, ..pushed })
    }

    /// A request to the repository's interface.
    fn to(&self, job: &PushJob, path: &str) -> String {
        let id = &job.id;
        let endpoint = &self.settings.endpoint;
        format!("{endpoint}/api/{}/{}/{path}", id.kind().plural(), id.name())
    }

    /// A page of the repository that people read.
    fn page(&self, job: &PushJob, path: &str) -> String {
        without_password(&format!("{}/{}/{path}", self.settings.endpoint, job.id))
    }

    /// A push whose outcome is there.
    fn done(&self, job: &PushJob, commit: &str) -> Pushed {
        Pushed {
            commit: commit.to_owned(),
            url: self.page(job, &format!("commit/{commit}")),
            already: true,
            sent: 0,
        }
    }

    fn create(&self, job: &PushJob) -> Result<(), HubError> {
        let what = whole(job);
        let Some(visibility) = job.visibility else {
            return Err(HubError::NotFound { what });
        };
        let (organisation, name) = match job.id.name().split_once('/') {
            Some((organisation, name)) => (Some(organisation), name),
            None => (None, job.id.name()),
        };
        let private = visibility == Visibility::Private;
        let asked = json!({
            "name": name,
            "organization": organisation,
            "type": noun(&job.id),
            "private": private,
            "visibility": if private { "private" } else { "public" },
        });
        let url = format!("{}/api/repos/create", self.settings.endpoint);
        let remote = Remote {
            url: &url,
            what: &what,
            id: &job.id,
        };
        match self.post(remote, &asked) {
            // Another process made it, or an earlier attempt whose answer was lost.
            Ok(_) | Err(HubError::Conflict { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn create_branch(&self, job: &PushJob, head: &Head) -> Result<(), HubError> {
        let url = self.to(job, &format!("branch/{}", escape(job.to.branch(), false)));
        let what = format!("branch `{}` of {}", job.to.branch(), whole(job));
        let remote = Remote {
            url: &url,
            what: &what,
            id: &job.id,
        };
        match self.post(remote, &json!({ "startingPoint": head.commit })) {
            Ok(_) | Err(HubError::Conflict { .. }) => Ok(()),
            Err(e) => Err(e),
        }
    }

    fn commit(&self, job: &PushJob, head: &Head, body: &[u8]) -> Result<Pushed, HubError> {
        let pull_request = job.to == Destination::PullRequest;
        let branch = escape(job.to.branch(), false);
        let asked = if pull_request { "?create_pr=1" } else { "" };
        let url = self.to(job, &format!("commit/{branch}{asked}"));
        let what = whole(job);
        let remote = Remote {
            url: &url,
            what: &what,
            id: &job.id,
        };
        let parcel = Parcel {
            kind: "application/x-ndjson",
            bytes: body,
        };
        self.retry(|| match self.post_once(remote, parcel) {
            Ok(answer) => {
                let shown = if pull_request {
                    "pullRequestUrl"
                } else {
                    "commitUrl"
                };
                let commit = answer["commitOid"].as_str().filter(|c| is_commit(c));
                let (Some(commit), Some(at)) = (commit, answer[shown].as_str()) else {
                    return Err(Attempt::Final(HubError::Protocol {
                        url: url.clone(),
                        reason: format!(
                            "the answer to the commit has no `commitOid` and `{shown}`"
                        ),
                    }));
                };
                Ok(Pushed {
                    commit: commit.to_owned(),
                    url: self.shown(at),
                    already: false,
                    sent: 0,
                })
            }
            // It may have been stored all the same.
            Err(failed @ (Attempt::Again(..) | Attempt::Final(HubError::Conflict { .. }))) => {
                let pushed = self.stored(job, head).ok().flatten();
                pushed.ok_or(failed)
            }
            Err(failed) => Err(failed),
        })
    }

    /// The commit of a push whose answer was lost, where it was stored.
    fn stored(&self, job: &PushJob, before: &Head) -> Result<Option<Pushed>, HubError> {
        let found = if job.to == Destination::PullRequest {
            self.same_pull_request(job)?
        } else {
            let now = self.head(&job.id, job.to.branch())?;
            now.filter(|now| now.commit != before.commit && now.is_after(job))
                .map(|now| self.done(job, &now.commit))
        };
        Ok(found.map(|pushed| Pushed {
            already: false,
            ..pushed
        }))
    }

    /// An open pull request of the same title that holds the same files.
    fn same_pull_request(&self, job: &PushJob) -> Result<Option<Pushed>, HubError> {
        let url = self.to(job, "discussions?type=pull_request&status=open&p=0");
        let what = format!("pull requests of {}", whole(job));
        let remote = Remote {
            url: &url,
            what: &what,
            id: &job.id,
        };
        let listed = match self.get_json(remote) {
            Ok(listed) => listed,
            // Discussions may be switched off.
            Err(HubError::NotFound { .. } | HubError::Denied { .. }) => return Ok(None),
            Err(e) => return Err(e),
        };
        let all = listed["discussions"].as_array();
        let ours = |d: &&Value| d["isPullRequest"] == true && d["title"] == *job.message;
        for found in all.into_iter().flatten().filter(ours).take(LOOKED_AT) {
            let Some(number) = found["num"].as_u64() else {
                continue;
            };
            let head = self.head(&job.id, &format!("refs/pr/{number}"))?;
            if let Some(head) = head.filter(|head| head.is_after(job)) {
                return Ok(Some(Pushed {
                    url: self.page(job, &format!("discussions/{number}")),
                    ..self.done(job, &head.commit)
                }));
            }
        }
        Ok(None)
    }
}

/// The repository, in words.
fn whole(job: &PushJob) -> String {
    format!("{} `{}`", noun(&job.id), job.id.name())
}

/// The lines of a commit: its head, then every file.
fn body(job: &PushJob, plan: &PushPlan, head: &Head) -> Result<Vec<u8>, HubError> {
    let mut body = Vec::new();
    let mut line = |key: &str, value: Value| {
        body.extend(
            json!({ "key": key, "value": value })
                .to_string()
                .into_bytes(),
        );
        body.push(b'\n');
    };
    line(
        "header",
        json!({ "summary": job.message, "description": "", "parentCommit": head.commit }),
    );
    for (at, planned) in plan.files.iter().enumerate() {
        let path = &planned.path;
        match planned.how {
            How::Same => {}
            How::Delete => line("deletedFile", json!({ "path": path })),
            How::Inline => {
                let content = STANDARD.encode(job.files[at].bytes()?);
                line(
                    "file",
                    json!({ "path": path, "encoding": "base64", "content": content }),
                );
            }
            How::Lfs => line(
                "lfsFile",
                json!({ "path": path, "algo": "sha256", "oid": job.files[at].sha256, "size": planned.size }),
            ),
        }
    }
    Ok(body)
}
