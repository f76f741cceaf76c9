//! R16: a second build, from rows in another order, has the same bytes. That time zone, umask, locale
//! and folder change nothing either is shown by building in other environments.

use super::super::report::Notes;
use super::super::{Subject, build};
use super::{Gate, gate};
use korfinsts_base::archive;

pub(super) const GATE: Gate = gate("R16", "builds are byte-identical", true, run);

fn run(subject: &Subject, notes: &mut Notes) {
    let mut turned = subject.clone();
    for split in &mut turned.splits {
        split.rows.reverse();
    }
    turned.splits.reverse();
    match (build::image(subject), build::image(&turned)) {
        (Ok(a), Ok(b)) => {
            for (name, bytes) in &a {
                if b.get(name) != Some(bytes) {
                    notes.error(
                        None,
                        format!("{name} depends on the order of the rows"),
                        "report it: this is a flaw of korfinsts",
                    );
                }
            }
            if let Some(container) = &subject.container {
                let packed = archive::write(&subject.files);
                if packed.ok().as_ref() != Some(container) {
                    notes.error(
                        None,
                        "the zip file is not byte for byte what `korfinsts release build` writes",
                        "build the release again",
                    );
                }
            }
        }
        (Err(e), _) | (_, Err(e)) => notes.error(
            None,
            format!("it cannot be built: {e}"),
            "mend what the other gates name first",
        ),
    }
}
