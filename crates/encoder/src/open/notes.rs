//! What is told while a model is found.

use std::fmt;
use std::sync::Arc;

/// Something a user may want to know while a model is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Note<'a> {
    /// A sentence.
    Text(&'a str),
    /// The download of a file begins.
    Download {
        /// Its path in the repository.
        file: &'a str,
        /// Its size in bytes, where the hub says it.
        bytes: Option<u64>,
    },
}

type Sink = dyn Fn(Note<'_>) + Send + Sync;

/// Who is told; the default is nobody.
#[derive(Clone, Default)]
pub struct Notes(Option<Arc<Sink>>);

impl Notes {
    /// Calls `to` with each note.
    #[must_use]
    pub fn new(to: impl Fn(Note<'_>) + Send + Sync + 'static) -> Self {
        Self(Some(Arc::new(to)))
    }

    pub(super) fn tell(&self, note: Note<'_>) {
        if let Some(to) = &self.0 {
            to(note);
        }
    }
}

impl fmt::Debug for Notes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Notes").field(&self.0.is_some()).finish()
    }
}
