//! The step in progress, on disk: the system may kill a process (because it uses too much memory,
//! say) before it can name its batch, so the next run names it.

use std::fs::File;
use std::io::{Seek as _, Write as _};
use std::path::{Path, PathBuf};

use super::TrainError;
use korfinsts_base::fs;

const NAME: &str = "doing.txt";

/// The file, open as long as a run trains.
#[derive(Debug)]
pub struct InProgress {
    path: PathBuf,
    file: File,
}

impl InProgress {
    /// Begins; gives the step in which an earlier run was killed, where one was.
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

    /// Writes which step comes next. It is not synced: it survives the process, not the machine.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn set(&mut self, step: &str) -> Result<(), TrainError> {
        let file = &mut self.file;
        file.rewind()
            .and_then(|()| file.set_len(0))
            .and_then(|()| file.write_all(step.as_bytes()))
            .map_err(fs::at("write", &self.path))?;
        Ok(())
    }

    /// Ends: the run is complete, or its error is reported.
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
    fn a_run_that_was_killed_is_reported_once() {
        let folder = tempfile::tempdir().expect("a folder");
        let begin = || InProgress::begin(folder.path()).expect("begun");
        let (mut step, earlier) = begin();
        assert_eq!(earlier, None);
        step.set("step 10, a long line").expect("written");
        step.set("step 11").expect("written");
        drop(step);
        let (step, earlier) = begin();
        assert_eq!(earlier.as_deref(), Some("step 11"));
        drop(step);
        let (step, earlier) = begin();
        assert_eq!(earlier, None);
        step.end().expect("ended");
        assert_eq!(fs::list(folder.path()).expect("listed").len(), 0);
    }
}
