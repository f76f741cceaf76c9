//! `SHA256SUMS`: the list of a container's files with their hashes, in one canonical form, so that
//! the hash of the list names the content whatever packed it.
//!
//! Ground floor: imports `fs` (for the hash alone).
//!
//! Canonical: one line `<64 lower-case hexadecimal digits>␠␠<name>\n` per file, sorted by the bytes of
//! the name. The list itself and its signature are not in it.

use std::collections::BTreeMap;

use crate::fs::sha256;

/// Name of the list.
pub const SUMS: &str = "SHA256SUMS";
/// Name of its signature.
pub const SIGNATURE: &str = "SHA256SUMS.minisig";

/// The files of a container by name.
pub type Files = BTreeMap<String, Vec<u8>>;

/// The canonical list of `files`.
#[must_use]
pub fn write(files: &Files) -> String {
    files
        .iter()
        .filter(|(name, _)| *name != SUMS && *name != SIGNATURE)
        .map(|(name, bytes)| format!("{}  {name}\n", sha256(bytes)))
        .collect()
}

/// Reads a list: hash by name.
///
/// # Errors
/// In words, with the line, where the list is not canonical.
pub fn read(bytes: &[u8]) -> Result<BTreeMap<String, String>, String> {
    let text = std::str::from_utf8(bytes).map_err(|e| format!("not UTF-8: {e}"))?;
    if !text.is_empty() && !text.ends_with('\n') {
        return Err("the last line has no end".to_owned());
    }
    let mut sums = BTreeMap::new();
    let mut last = "";
    for (i, line) in text.split_terminator('\n').enumerate() {
        let at = |what: &str| format!("line {}: {what}", i + 1);
        let (hash, name) = line
            .split_once("  ")
            .ok_or_else(|| at("not `<sha256>  <name>`"))?;
        let digits =
            hash.len() == 64 && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if !digits {
            return Err(at("the hash is not 64 lower-case hexadecimal digits"));
        }
        if name <= last {
            return Err(at(&format!("`{name}` stands twice or out of order")));
        }
        last = name;
        sums.insert(name.to_owned(), hash.to_owned());
    }
    Ok(sums)
}

/// What differs between the list in a container and its files, both ways; empty where nothing does.
#[must_use]
pub fn differences(files: &Files) -> Vec<(Option<String>, String)> {
    let Some(list) = files.get(SUMS) else {
        return vec![(None, format!("there is no `{SUMS}`"))];
    };
    let listed = match read(list) {
        Ok(listed) => listed,
        Err(reason) => return vec![(None, format!("`{SUMS}`: {reason}"))],
    };
    let mut found = Vec::new();
    for (name, hash) in &listed {
        match files.get(name) {
            None => found.push((
                Some(name.clone()),
                format!("`{name}` is listed but not there"),
            )),
            Some(bytes) => {
                let is = sha256(bytes);
                if is != *hash {
                    found.push((
                        Some(name.clone()),
                        format!("`{name}` has sha256 {is}, listed is {hash}"),
                    ));
                }
            }
        }
    }
    for name in files.keys() {
        if !listed.contains_key(name) && name != SUMS && name != SIGNATURE {
            found.push((
                Some(name.clone()),
                format!("`{name}` is there but not listed"),
            ));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> Files {
        [("b", "2"), ("a/c", "1")]
            .map(|(n, b)| (n.to_owned(), b.as_bytes().to_vec()))
            .into()
    }

    #[test]
    fn a_list_written_is_read_and_agrees() {
        let mut files = files();
        let list = write(&files);
        assert!(list.lines().next().expect("a line").ends_with("  a/c"));
        files.insert(SUMS.into(), list.into_bytes());
        files.insert(SIGNATURE.into(), b"any".to_vec());
        assert!(differences(&files).is_empty());
    }

    #[test]
    fn differences_are_found_both_ways() {
        let mut files = files();
        files.insert(SUMS.into(), write(&files).into_bytes());
        let clean = files.clone();
        for (change, message) in [
            (
                (|f: &mut Files| drop(f.remove("b"))) as fn(&mut Files),
                "listed but not there",
            ),
            (
                |f| drop(f.insert("d".into(), vec![])),
                "there but not listed",
            ),
            (|f| drop(f.insert("b".into(), b"3".to_vec())), "has sha256"),
            (|f| drop(f.remove(SUMS)), "there is no"),
            (|f| f.get_mut(SUMS).expect("there").push(b'x'), "no end"),
            (
                |f| f.get_mut(SUMS).expect("there")[66] = b'z',
                "out of order",
            ),
            (
                |f| f.get_mut(SUMS).expect("there")[0] = b'A',
                "64 lower-case",
            ),
            (
                |f| f.get_mut(SUMS).expect("there")[64] = b'\t',
                "not `<sha256>",
            ),
        ] {
            let mut files = clean.clone();
            change(&mut files);
            let found = differences(&files);
            assert!(
                found.iter().any(|(_, m)| m.contains(message)),
                "{message}: {found:?}"
            );
        }
    }
}
