//! Ctrl-C: the first asks the run to stop after the batches at hand, the second ends at once.

use std::sync::atomic::{AtomicBool, Ordering};

static STOP: AtomicBool = AtomicBool::new(false);

/// The flag that the first Ctrl-C sets. Installs the handler on the first call.
pub fn flag() -> &'static AtomicBool {
    // A handler that is already there (a second call in one process) is the same one.
    let _ = ctrlc::set_handler(|| {
        if STOP.swap(true, Ordering::SeqCst) {
            std::process::exit(130);
        }
        super::output::say(
            "\nstopping after the current batches; press Ctrl-C again to stop at once",
        );
    });
    &STOP
}
