//! What a run is at, on disk: a process that the system ends (for memory, say) cannot name its
//! batch itself, so the next run does.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::TrainError;
use korfinsts_base::fs;

const NAME: &str = "doing.txt";

/// The file, open as long as a run trains.
#[derive(Debug)]
pub struct Doing {
    path: PathBuf,
    file: File,
}

impl Doing {
    /// Begins; gives what an earlier run was at when it ended without a word.
    ///
    /// # Errors
    /// When the file cannot be read or made.
    pub fn begin(folder: &Path) -> Result<(Self, Option<String>), TrainError> {
        let path = folder.join(NAME);
        let earlier = if fs::exists(&path) {
            Some(String::from_utf8_lossy(&fs::read(&path)?).into_owned())
        } else {
            None
        };
        let file = fs::create(&path)?;
        Ok((Self { path, file }, earlier.filter(|e| !e.is_empty())))
    }

    /// Says what comes next. It is not synced: it outlives the process, not the machine.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn next(&mut self, what: &str) -> Result<(), TrainError> {
        let file = &mut self.file;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(what.as_bytes()))
            .map_err(fs::at("write", &self.path))?;
        Ok(())
    }

    /// Ends, well or with an error that was said.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn end(self) -> Result<(), TrainError> {
        drop(self.file);
        Ok(fs::remove_file(&self.path)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_that_ended_without_a_word_is_told_of_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin = || Doing::begin(folder.path()).expect("begun");
        let (mut doing, earlier) = begin();
        assert_eq!(earlier, None);
        doing.next("step 10, a long line").expect("written");
        doing.next("step 11").expect("written");
        drop(doing);
        let (doing, earlier) = begin();
        assert_eq!(earlier.as_deref(), Some("step 11"));
        drop(doing);
        let (doing, earlier) = begin();
        assert_eq!(earlier, None);
        doing.end().expect("ended");
        assert_eq!(fs::list(folder.path()).expect("listed").len(), 0);
    }
}
