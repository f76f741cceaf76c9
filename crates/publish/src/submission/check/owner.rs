//! A name belongs to whoever handed in the first bundle of it: a later one proves that it is of the same
//! submitter, and no other name may be taken for it.

use unicode_security::skeleton;

use super::super::verify::Examined;
use korfinsts_bench::run::record::file_name;

pub(super) fn run(examined: &Examined<'_>) -> Result<String, String> {
    let manifest = &examined.bundle.manifest;
    let name = &manifest.model.id;
    let mut same = 0;
    for entry in examined.entries {
        let theirs = entry.name.escape_debug();
        let replaces = manifest.resubmission_of.as_ref() == Some(&entry.sha256);
        if replaces && entry.name != *name {
            return Err(format!(
                "it replaces the bundle of `{theirs}`; a bundle replaces one of the same name, and this is `{}`",
                name.escape_debug()
            ));
        }
        if entry.name == *name {
            same += 1;
        } else if alike(&entry.name, name) && !entry.vouched {
            return Err(format!(
                "the name `{}` can be taken for `{theirs}`, which is the name of the bundle {}: choose another \
                 with `submit --name`",
                name.escape_debug(),
                &entry.sha256[..8]
            ));
        }
    }
    let mut of_name = examined.entries.iter().filter(|e| e.name == *name);
    let proven = examined
        .entries
        .iter()
        .any(|e| e.name == *name && e.is_of_submitter(manifest));
    if let (Some(entry), false) = (of_name.next(), proven) {
        return Err(format!(
            "the name `{}` is that of the bundle {}, and nothing proves that this one is of the same submitter \
             ({}): sign bundles with `submit --secret-key`, or choose another name; a maintainer who knows the \
             submitter takes it in with `leaderboard add --vouch`",
            name.escape_debug(),
            &entry.sha256[..8],
            match (&entry.public_key, &manifest.public_key) {
                (None, _) => "that bundle is not signed",
                (Some(_), None) => "this bundle is not signed",
                (Some(_), Some(_)) => "another key signed this bundle",
            }
        ));
    }
    Ok(match same {
        0 => "no bundle of this name was taken in".into(),
        n => format!("{n} bundles of this name are of the same submitter"),
    })
}

/// Whether readers or a file system may take one name for the other, in any letter case.
fn alike(a: &str, b: &str) -> bool {
    let looks = |text: &str| skeleton(text).collect::<String>();
    let form = |name: &str| looks(&file_name(&looks(name))).to_lowercase();
    form(a) == form(b) || form(&a.to_lowercase()) == form(&b.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::alike;

    #[test]
    fn names_that_look_alike_are_told_from_others() {
        for (a, b) in [
            ("org-a/bert-tiny", "org-a__bert-tiny"),
            ("org-a/bert-tiny", "Org-A/Bert-Tiny"),
            ("org-a/bert-tiny", "ORG-A/BERT-TINY"),
            ("org-a/bert-tlny", "org-a/bert-tIny"),
            ("org-a/bert_tiny", "org-a/bert tiny"),
            ("ace", "\u{430}\u{441}\u{435}"),
            ("org/model-l", "org/model-1"),
        ] {
            assert!(alike(a, b), "{a} {b}");
        }
        for (a, b) in [
            ("org-a/bert-tiny", "org-b/bert-tiny"),
            ("e5-base", "e5-large"),
            ("bge-m3", "bge-m2"),
            ("모델", "모댈"),
        ] {
            assert!(!alike(a, b), "{a} {b}");
        }
    }
}
