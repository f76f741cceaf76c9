//! Large files: they go to the storage before the commit that names them, whole or in parts.

use std::cell::Cell;
use std::io::{self, Read, SeekFrom};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::super::client::{Attempt, Progress, Remote, noun};
use super::super::{Hub, HubError};
use super::wire::Parcel;
use super::{Bytes, PushFile, PushJob};
use crate::fs;

/// Files of one batch.
const BATCH: usize = 100;
/// Most parts that a file is sent in, as storages allow.
const MAX_PARTS: u64 = 10_000;
/// The type of what Git LFS sends and answers.
const KIND: &str = "application/vnd.git-lfs+json";

impl Hub {
    /// Sends the files that the storage does not have yet; gives the bytes that were sent.
    pub(super) fn upload(&self, job: &PushJob, files: &[&PushFile]) -> Result<u64, HubError> {
        let url = format!(
            "{}/{}.git/info/lfs/objects/batch",
            self.settings.endpoint, job.id
        );
        let what = format!("{} `{}`", noun(&job.id), job.id.name());
        let remote = Remote {
            url: &url,
            what: &what,
            id: &job.id,
        };
        let mut sent = 0;
        for batch in files.chunks(BATCH) {
            let objects = batch.iter().map(|f| object(f)).collect::<Vec<_>>();
            let asked = json!({
                "operation": "upload",
                "transfers": ["basic", "multipart"],
                "objects": objects,
                "hash_algo": "sha256",
                "ref": { "name": job.to.branch() },
            });
            let bytes = asked.to_string().into_bytes();
            let parcel = Parcel {
                kind: KIND,
                bytes: &bytes,
            };
            let answer = self.retry(|| self.post_once(remote, parcel))?;
            let objects = answer["objects"].as_array();
            for file in batch {
                let own = objects.and_then(|all| all.iter().find(|o| o["oid"] == *file.sha256));
                let wrong = || HubError::Protocol {
                    url: url.clone(),
                    reason: format!("the answer does not speak of `{}`", file.path),
                };
                sent += self.upload_file(remote, file, own.ok_or_else(wrong)?)?;
            }
        }
        Ok(sent)
    }

    /// Sends one file as the storage asks for it; gives the bytes that were sent.
    fn upload_file(
        &self,
        batch: Remote<'_>,
        file: &PushFile,
        answer: &Value,
    ) -> Result<u64, HubError> {
        let what = format!("`{}` in {}", file.path, batch.what);
        if let Some(error) = answer.get("error") {
            return Err(HubError::Denied {
                what,
                status: error["code"].as_u64().map_or(0, |code| code as u16),
                said: self.shown(error["message"].as_str().unwrap_or_default()),
                token: true,
            });
        }
        // The storage has the bytes: an earlier push sent them, or another repository.
        let Some(action) = answer["actions"].get("upload") else {
            return Ok(0);
        };
        let wrong = |reason: &str| HubError::Protocol {
            url: batch.url.to_owned(),
            reason: format!("`{}`: {reason}", file.path),
        };
        let href = self.address(action).map_err(wrong)?;
        let remote = Remote {
            url: href,
            what: &what,
            id: batch.id,
        };
        self.report(Progress::Start {
            file: &file.path,
            total: Some(file.size),
            already: 0,
        });
        let mut headers = Vec::new();
        for (name, value) in action["header"].as_object().into_iter().flatten() {
            headers.push((
                name.clone(),
                value.as_str().map_or(value.to_string(), str::to_owned),
            ));
        }
        let chunk = headers.iter().find(|(name, _)| name == "chunk_size");
        let mut sending = Sending::new(file);
        match chunk {
            None => {
                self.put_part(remote, &headers, (&mut sending, file.size))?;
            }
            Some((_, size)) => {
                let size: u64 = size
                    .parse()
                    .map_err(|_| wrong("`chunk_size` is no number"))?;
                let parts = parts(&headers, file.size, size).map_err(|e| wrong(&e))?;
                self.put_parts(remote, &parts, (&mut sending, size))?;
            }
        }
        if let Some(verify) = answer["actions"].get("verify") {
            let url = self.address(verify).map_err(wrong)?;
            self.post(Remote { url, ..remote }, &object(file))?;
        }
        self.report(Progress::Finish);
        Ok(file.size)
    }

    /// The address of an action. Bytes that are private do not leave an encrypted hub in the clear.
    fn address<'a>(&self, action: &'a Value) -> Result<&'a str, &'static str> {
        let href = action["href"].as_str().ok_or("an action has no `href`")?;
        if self.settings.endpoint.starts_with("https:") && !href.starts_with("https:") {
            return Err("the storage is reached without encryption");
        }
        Ok(href)
    }

    fn put_parts(
        &self,
        completion: Remote<'_>,
        parts: &[&str],
        (sending, chunk): (&mut Sending<'_>, u64),
    ) -> Result<(), HubError> {
        let mut tags = Vec::new();
        for url in parts {
            let size = chunk.min(sending.file.size - sending.at);
            let part = Remote { url, ..completion };
            let tag = self.put_part(part, &[], (&mut *sending, size))?;
            let tag = tag.ok_or_else(|| HubError::Protocol {
                url: (*url).to_owned(),
                reason: "the storage names no tag of a part".into(),
            })?;
            tags.push(json!({ "partNumber": tags.len() + 1, "etag": tag }));
        }
        let done = json!({ "oid": sending.file.sha256, "parts": tags }).to_string();
        let parcel = Parcel {
            kind: KIND,
            bytes: done.as_bytes(),
        };
        self.retry(|| self.post_once(completion, parcel))?;
        Ok(())
    }

    /// Sends the next `size` bytes, from where they begin at each attempt; gives their tag.
    fn put_part(
        &self,
        remote: Remote<'_>,
        headers: &[(String, String)],
        (sending, size): (&mut Sending<'_>, u64),
    ) -> Result<Option<String>, HubError> {
        self.retry(|| {
            let changed = Cell::new(false);
            let mut part = sending.part(size, &changed)?;
            let tag = self.put_once(remote, headers, (size, &mut part));
            let hasher = part.hasher;
            if changed.get() {
                return Err(Attempt::Final(sending.file.changed()));
            }
            let tag = tag?;
            (sending.hasher, sending.at) = (hasher, sending.at + size);
            self.report(Progress::Advance { bytes: size });
            Ok(tag)
        })
    }
}

fn object(file: &PushFile) -> Value {
    json!({ "oid": file.sha256, "size": file.size })
}

/// The addresses of the parts, in order.
fn parts(headers: &[(String, String)], size: u64, chunk: u64) -> Result<Vec<&str>, String> {
    let numbered = headers
        .iter()
        .filter_map(|(name, url)| Some((name.parse::<u64>().ok()?, url.as_str())));
    let mut parts: Vec<(u64, &str)> = numbered.collect();
    parts.sort_unstable();
    let wanted = if chunk == 0 { 0 } else { size.div_ceil(chunk) };
    if wanted == 0 || wanted > MAX_PARTS || parts.len() as u64 != wanted {
        return Err(format!(
            "{size} bytes in parts of {chunk} need {wanted} addresses, the answer has {}",
            parts.len()
        ));
    }
    Ok(parts.into_iter().map(|(_, url)| url).collect())
}

/// A file on its way: how far it is, and the hash of what went.
struct Sending<'a> {
    file: &'a PushFile,
    at: u64,
    hasher: Sha256,
}

impl<'a> Sending<'a> {
    fn new(file: &'a PushFile) -> Self {
        Self {
            file,
            at: 0,
            hasher: Sha256::new(),
        }
    }

    /// The next `size` bytes.
    fn part<'c>(&self, size: u64, changed: &'c Cell<bool>) -> Result<Part<'a, 'c>, HubError> {
        let mut reader = self.file.open()?;
        let at = SeekFrom::Start(self.at);
        reader.seek(at).map_err(|e| self.file.unreadable(e))?;
        Ok(Part {
            reader,
            left: size,
            hasher: self.hasher.clone(),
            expected: (self.at + size == self.file.size).then_some(&*self.file.sha256),
            changed,
        })
    }
}

/// Bytes of a file as they are sent. The last ones are given only if the whole file is as it was when it
/// was looked at: the storage never gets all bytes of a file that changed.
struct Part<'a, 'c> {
    reader: Box<dyn Bytes + 'a>,
    left: u64,
    hasher: Sha256,
    /// SHA-256 of the whole file, for its last part.
    expected: Option<&'a str>,
    changed: &'c Cell<bool>,
}

impl Read for Part<'_, '_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = buffer
            .len()
            .min(usize::try_from(self.left).unwrap_or(usize::MAX));
        if most == 0 {
            return Ok(0);
        }
        let n = self.reader.read(&mut buffer[..most])?;
        self.left -= n as u64;
        self.hasher.update(&buffer[..n]);
        let last = self.left == 0 && self.expected.is_some();
        let longer = last && self.reader.read(&mut [0])? > 0;
        let other = last && self.expected != Some(&fs::hex(&self.hasher.clone().finalize()));
        if n == 0 || longer || other {
            self.changed.set(true);
            return Err(io::Error::other("the file changed while it was sent"));
        }
        Ok(n)
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::HubSettings;
    use super::*;

    #[test]
    fn parts_are_in_order_and_as_many_as_the_file_needs() {
        let headers = |names: &[&str]| -> Vec<(String, String)> {
            let named = names.iter().map(|n| ((*n).to_owned(), format!("u{n}")));
            named.collect()
        };
        let ten = headers(&[
            "10",
            "2",
            "chunk_size",
            "1",
            "3",
            "4",
            "5",
            "6",
            "7",
            "8",
            "9",
        ]);
        let found = parts(&ten, 95, 10).expect("ten parts");
        assert_eq!((found[0], found[1], found[9]), ("u1", "u2", "u10"));
        for (size, chunk) in [(101, 10), (90, 10), (95, 0), (u64::MAX, 1)] {
            assert!(parts(&ten, size, chunk).is_err(), "{size} {chunk}");
        }
    }

    #[test]
    fn a_file_does_not_leave_an_encrypted_hub_in_the_clear() {
        for (endpoint, href, taken) in [
            ("https://hub", "https://storage/x", true),
            ("https://hub", "http://storage/x", false),
            ("http://127.0.0.1:1", "http://127.0.0.1:2/x", true),
        ] {
            let variable = |name: &str| (name == "HF_ENDPOINT").then(|| endpoint.into());
            let hub = Hub::new(HubSettings::from_variables(variable, None));
            let action = json!({ "href": href });
            assert_eq!(hub.address(&action).is_ok(), taken, "{endpoint} {href}");
        }
    }
}
