//! The row steps over all corpora: one thread reads, as many as there are cores look, one writes.
//!
//! What a document becomes depends on itself and on the run's setup alone, so the work can be
//! shared out: shard `i` of `n` takes every `n`-th chunk, and what the shards leave joins to what
//! one run leaves.

use std::collections::BTreeMap;
use std::io::{BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use ahash::AHashMap;
use serde::{Deserialize, Serialize};

use super::corpus::{read, read::Part};
use super::histogram::Histogram;
use super::minhash::Signature;
use super::pool::{Group, PooledPassage, Writer};
use super::setup::{Setup, document};
use super::step::contamination::Search;
use super::step::personal::ID as PERSONAL;
use super::step::{Candidate, Drop, INGEST, Measured, ROW_STEPS, RowStep, Verdict};
use super::{MineError, Place, RunFolder};
use korfinsts_base::{fs, json};

/// Which part of the work is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// Its number, from 1.
    pub number: u64,
    /// How many there are.
    pub of: u64,
}

impl Shard {
    /// All of the work.
    pub const WHOLE: Self = Self { number: 1, of: 1 };

    /// Name in paths.
    #[must_use]
    pub fn name(self) -> String {
        format!("{}-of-{}", self.number, self.of)
    }

    /// Where it leaves its documents.
    #[must_use]
    pub fn folder(self, run: &RunFolder) -> PathBuf {
        run.path().join("shards").join(self.name())
    }
}

/// What happened to the rows of one group.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tally {
    /// Rows read.
    pub rows: u64,
    /// Bytes of their texts.
    pub bytes: u64,
    /// Rows in which the clean pass found markup.
    pub cleaned: u64,
    /// Rows dropped, by step and reason.
    pub dropped: BTreeMap<String, BTreeMap<String, u64>>,
    /// Rows in which personal data was overwritten, by reason.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub masked: BTreeMap<String, u64>,
    /// Rows by the power of two of their text's bytes.
    pub lengths: BTreeMap<u32, u64>,
    /// What steps measured of the rows that came so far, by figure.
    #[serde(default)]
    pub measured: BTreeMap<String, Histogram>,
}

impl Tally {
    /// Adds another part.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.bytes += other.bytes;
        self.cleaned += other.cleaned;
        for (step, reasons) in &other.dropped {
            let own = self.dropped.entry(step.clone()).or_default();
            for (reason, n) in reasons {
                *own.entry(reason.clone()).or_default() += n;
            }
        }
        for (reason, n) in &other.masked {
            *self.masked.entry(reason.clone()).or_default() += n;
        }
        for (length, n) in &other.lengths {
            *self.lengths.entry(*length).or_default() += n;
        }
        for (metric, histogram) in &other.measured {
            let own = self.measured.entry(metric.clone()).or_default();
            own.merge(histogram);
        }
    }

    fn measure(&mut self, figures: &[Measured]) {
        for figure in figures {
            if !self.measured.contains_key(figure.metric) {
                let empty = Histogram::new(figure.step);
                self.measured.insert(figure.metric.to_owned(), empty);
            }
            if let Some(own) = self.measured.get_mut(figure.metric) {
                own.add(figure.value, figure.beyond);
            }
        }
    }
}

/// `shard.json`: what a shard did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ShardRecord {
    /// Which shard.
    pub shard: Shard,
    /// blake3 of the plan: shards of one run have the same.
    pub plan: String,
    /// Its groups in the order of their numbers, with what happened to their rows.
    pub groups: Vec<(Group, Tally)>,
    /// Documents that it left.
    pub survivors: u64,
}

/// How far a run is.
#[derive(Debug, Default)]
pub struct Progress {
    /// Rows looked at.
    pub rows: AtomicU64,
    /// Bytes of their texts.
    pub bytes: AtomicU64,
}

/// A chunk on its way to a worker.
struct Task {
    number: u64,
    corpus: usize,
    file: usize,
    chunk: Part,
}

/// What a worker made of a chunk.
#[derive(Default)]
struct Output {
    survivors: Vec<u8>,
    entries: Vec<(PooledPassage, Group)>,
    verdicts: Vec<Vec<u8>>,
    tallies: AHashMap<Group, Tally>,
}

type Outcome = (u64, Result<Output, MineError>);

/// What a run of the row steps needs.
pub struct SiftPlan<'a> {
    /// Corpora and steps.
    pub setup: &'a Setup,
    /// Where it leaves what passed.
    pub folder: &'a RunFolder,
    /// Which part of the corpora.
    pub shard: Shard,
    /// Threads that look at documents.
    pub workers: usize,
    /// Counts what was looked at.
    pub progress: &'a Progress,
    /// Ends the run at the next chunk; what is there then is not a finished shard.
    pub stop: &'a AtomicBool,
}

impl SiftPlan<'_> {
    /// Runs the row steps over a shard of the corpora and leaves what passed in the run folder.
    ///
    /// # Errors
    /// When a corpus cannot be read, a library fails on a text, or the folder cannot be written.
    pub fn run(&self) -> Result<ShardRecord, MineError> {
        let Self {
            setup,
            folder,
            shard,
            workers,
            stop,
            ..
        } = *self;
        let workers = workers.max(1);
        let plan = setup.plan()?.to_toml()?;
        let out = shard.folder(folder);
        fs::remove_file(&out.join("shard.json"))?;
        let mut sink = Sink::create(&out, folder, shard)?;
        let (task_sender, task_receiver) = sync_channel::<Task>(workers * 2);
        let (out_sender, out_receiver) = sync_channel::<Outcome>(workers * 2);
        let task_receiver = Mutex::new(task_receiver);
        let failed = AtomicBool::new(false);
        let halted = || failed.load(Ordering::Relaxed) || stop.load(Ordering::Relaxed);
        let (read, written) = std::thread::scope(|scope| {
            for _ in 0..workers {
                let out_sender = out_sender.clone();
                let (tasks, failed) = (&task_receiver, &failed);
                scope.spawn(move || self.work(tasks, &out_sender, failed));
            }
            drop(out_sender);
            let sink = &mut sink;
            let failed = &failed;
            let writer = scope.spawn(move || {
                let written = write(sink, &out_receiver, failed);
                // Workers that wait to hand over must not wait for ever.
                for _ in out_receiver {}
                written
            });
            let read = self.feed(&task_sender, &halted);
            if read.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            drop(task_sender);
            match writer.join() {
                Ok(written) => (read, written),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        // The reader's error says what is wrong with a file; a worker's comes from an earlier chunk.
        written?;
        read?;
        if stop.load(Ordering::Relaxed) {
            return Err(MineError::Stopped);
        }
        sink.finish(shard, blake3::hash(plan.as_bytes()).to_hex().to_string())
    }

    fn feed(&self, sender: &SyncSender<Task>, halted: &dyn Fn() -> bool) -> Result<(), MineError> {
        let Self { setup, shard, .. } = *self;
        let mut sent = 0;
        // Chunks are dealt over all files, so that many small files are shared out, too.
        let mut before = 0;
        for (corpus, located) in setup.corpora.iter().enumerate() {
            let first = before;
            for (file, at) in located.files.iter().enumerate() {
                let count = std::cell::Cell::new(0);
                let wanted = |number: u64| {
                    count.set(number + 1);
                    (before + number) % shard.of == shard.number - 1
                };
                let mut going = true;
                read::stream(at, &located.manifest.columns, &wanted, &mut |_, chunk| {
                    let task = Task {
                        number: sent,
                        corpus,
                        file,
                        chunk,
                    };
                    sent += 1;
                    going = !halted() && sender.send(task).is_ok();
                    going
                })?;
                if !going {
                    return Ok(());
                }
                before += count.get();
            }
            if before == first {
                let path = located.files.first().map(|f| f.path.as_path());
                return Err(MineError::data(
                    path.unwrap_or(Path::new(&located.manifest.id)),
                    Place::Whole,
                    format!("the corpus `{}` holds no row", located.manifest.id),
                    Some("is the file empty, or cut short behind its header?"),
                ));
            }
        }
        Ok(())
    }

    fn work(
        &self,
        tasks: &Mutex<Receiver<Task>>,
        sender: &SyncSender<Outcome>,
        failed: &AtomicBool,
    ) {
        let setup = self.setup;
        let opened: Result<Vec<Box<dyn RowStep + '_>>, MineError> =
            ROW_STEPS.iter().map(|step| (step.open)(setup)).collect();
        let mut worker = match opened {
            Ok(steps) => Worker {
                setup,
                steps,
                search: Search::default(),
                buffer: Vec::new(),
            },
            Err(e) => {
                failed.store(true, Ordering::Relaxed);
                let _ = sender.send((0, Err(e)));
                return;
            }
        };
        loop {
            let task = tasks.lock().unwrap_or_else(PoisonError::into_inner).recv();
            let Ok(task) = task else {
                return;
            };
            let number = task.number;
            let made = worker.chunk(task, self.progress);
            if made.is_err() {
                failed.store(true, Ordering::Relaxed);
            }
            if sender.send((number, made)).is_err() {
                return;
            }
        }
    }
}

struct Worker<'a> {
    setup: &'a Setup,
    steps: Vec<Box<dyn RowStep + 'a>>,
    search: Search,
    buffer: Vec<u32>,
}

impl Worker<'_> {
    fn chunk(&mut self, task: Task, progress: &Progress) -> Result<Output, MineError> {
        let located = &self.setup.corpora[task.corpus];
        let file = &located.files[task.file];
        let mut out = Output {
            verdicts: vec![Vec::new(); ROW_STEPS.len() + 1],
            ..Output::default()
        };
        let (mut rows, mut bytes) = (0, 0);
        read::rows(file, &located.manifest.columns, task.chunk, &mut |row| {
            rows += 1;
            bytes += row.text.len() as u64;
            let number = row.number;
            let length = row.text.len();
            let (document, marked) = document(&located.manifest, &file.name, row);
            let group = Group {
                corpus: document.corpus.clone(),
                source: document.source.clone(),
                language: document.language.clone(),
                licence: document.licence.clone(),
            };
            if !out.tallies.contains_key(&group) {
                out.tallies.insert(group.clone(), Tally::default());
            }
            let mut candidate = Candidate {
                document,
                tokens: None,
                measured: Vec::new(),
                masked: Vec::new(),
            };
            let drop = self.judge(&mut candidate, &mut out.verdicts)?;
            if let Some(tally) = out.tallies.get_mut(&group) {
                tally.rows += 1;
                tally.bytes += length as u64;
                tally.cleaned += u64::from(marked);
                tally.measure(&candidate.measured);
                for (reason, _) in &candidate.masked {
                    *tally.masked.entry((*reason).to_owned()).or_default() += 1;
                }
                *tally
                    .lengths
                    .entry(usize::BITS - length.leading_zeros())
                    .or_default() += 1;
                if let Some((step, drop)) = &drop {
                    let reasons = tally.dropped.entry((*step).to_owned()).or_default();
                    *reasons.entry(drop.reason.to_owned()).or_default() += 1;
                }
            }
            if drop.is_none() {
                self.keep(
                    &candidate,
                    (task.corpus, task.file, number),
                    group,
                    &mut out,
                );
            }
            Ok(())
        })?;
        progress.rows.fetch_add(rows, Ordering::Relaxed);
        progress.bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(out)
    }

    /// The first step that drops a document.
    fn judge(
        &mut self,
        candidate: &mut Candidate,
        verdicts: &mut [Vec<u8>],
    ) -> Result<Option<(&'static str, Drop)>, MineError> {
        if candidate.document.text.is_empty() {
            let drop = Drop {
                reason: "empty",
                metrics: Vec::new(),
            };
            say(&mut verdicts[0], candidate, Some(&drop));
            return Ok(Some((INGEST, drop)));
        }
        for (i, (step, entry)) in self.steps.iter_mut().zip(ROW_STEPS).enumerate() {
            let drop = step.judge(candidate)?;
            let masked = entry.id == PERSONAL && !candidate.masked.is_empty();
            if drop.is_some() || masked || self.setup.options.keep_verdicts {
                say(&mut verdicts[i + 1], candidate, drop.as_ref());
            }
            if let Some(drop) = drop {
                return Ok(Some((entry.id, drop)));
            }
        }
        Ok(None)
    }

    fn keep(
        &mut self,
        candidate: &Candidate,
        (corpus, file, row): (usize, usize, u64),
        group: Group,
        out: &mut Output,
    ) {
        let document = &candidate.document;
        let signature = Signature::of(&document.text, &mut self.buffer);
        let contact = self
            .setup
            .suites
            .find(&document.text, &signature, &mut self.search);
        let before = out.survivors.len();
        serde_json::to_writer(&mut out.survivors, document)
            .expect("a document is strings, and memory takes them");
        out.survivors.push(b'\n');
        let mut id = [0; 16];
        id.copy_from_slice(&blake3::hash(document.text.as_bytes()).as_bytes()[..16]);
        let entry = PooledPassage {
            id,
            signature,
            corpus: corpus as u16,
            file: file as u32,
            row,
            group: 0,
            tokens: candidate
                .tokens
                .map_or(0, |t| u32::try_from(t.at_most).unwrap_or(u32::MAX)),
            bytes: (out.survivors.len() - before) as u32,
            contact,
        };
        out.entries.push((entry, group));
    }
}

fn say(out: &mut Vec<u8>, candidate: &Candidate, drop: Option<&Drop>) {
    let masked = candidate.masked.iter();
    let verdict = Verdict {
        id: &candidate.document.id,
        verdict: match drop {
            Some(_) => "drop",
            None if !candidate.masked.is_empty() => "mask",
            None => "keep",
        },
        reason: drop.map(|d| d.reason),
        metrics: drop.map_or_else(
            || {
                masked
                    .map(|(reason, n)| (*reason, (*n as f64).into()))
                    .collect()
            },
            |d| d.metrics.clone(),
        ),
        corpus: &candidate.document.corpus,
        origin: &candidate.document.origin,
    };
    serde_json::to_writer(&mut *out, &verdict).expect("strings and numbers become JSON");
    out.push(b'\n');
}

/// Where the results go.
struct Sink {
    folder: PathBuf,
    survivors: File,
    entries: Writer,
    verdicts: Vec<File>,
    groups: Vec<(Group, Tally)>,
    numbers: AHashMap<Group, u32>,
    count: u64,
}

struct File {
    path: PathBuf,
    file: BufWriter<std::fs::File>,
}

impl File {
    fn create(path: &Path) -> Result<Self, MineError> {
        Ok(Self {
            path: path.to_owned(),
            file: BufWriter::with_capacity(1 << 18, fs::create(path)?),
        })
    }

    fn push(&mut self, bytes: &[u8]) -> Result<(), MineError> {
        self.file
            .write_all(bytes)
            .map_err(fs::at("write", &self.path))?;
        Ok(())
    }

    fn finish(mut self) -> Result<(), MineError> {
        self.file.flush().map_err(fs::at("write", &self.path))?;
        Ok(())
    }
}

impl Sink {
    fn create(out: &Path, folder: &RunFolder, shard: Shard) -> Result<Self, MineError> {
        fs::create_dir(out)?;
        let name = |step: &str| {
            let name = if shard == Shard::WHOLE {
                format!("{step}.jsonl")
            } else {
                format!("{step}.{}.jsonl", shard.name())
            };
            folder.verdicts().join(name)
        };
        let steps = std::iter::once(INGEST).chain(ROW_STEPS.iter().map(|s| s.id));
        Ok(Self {
            folder: out.to_owned(),
            survivors: File::create(&out.join("survivors.jsonl"))?,
            entries: Writer::create(&out.join("entries.bin"))?,
            verdicts: steps
                .map(|s| File::create(&name(s)))
                .collect::<Result<_, _>>()?,
            groups: Vec::new(),
            numbers: AHashMap::new(),
            count: 0,
        })
    }

    fn number(&mut self, group: &Group) -> u32 {
        if let Some(number) = self.numbers.get(group) {
            return *number;
        }
        let number = self.groups.len() as u32;
        self.numbers.insert(group.clone(), number);
        self.groups.push((group.clone(), Tally::default()));
        number
    }

    fn take(&mut self, output: Output) -> Result<(), MineError> {
        self.survivors.push(&output.survivors)?;
        for (mut entry, group) in output.entries {
            entry.group = self.number(&group);
            self.entries.push(&entry)?;
            self.count += 1;
        }
        for (file, bytes) in self.verdicts.iter_mut().zip(&output.verdicts) {
            file.push(bytes)?;
        }
        let mut tallies: Vec<(Group, Tally)> = output.tallies.into_iter().collect();
        tallies.sort_by(|a, b| a.0.cmp(&b.0));
        for (group, tally) in tallies {
            let number = self.number(&group);
            self.groups[number as usize].1.merge(&tally);
        }
        Ok(())
    }

    fn finish(self, shard: Shard, plan: String) -> Result<ShardRecord, MineError> {
        self.survivors.finish()?;
        self.entries.finish()?;
        for file in self.verdicts {
            file.finish()?;
        }
        let record = ShardRecord {
            shard,
            plan,
            groups: self.groups,
            survivors: self.count,
        };
        let json = json::pretty(&record);
        fs::write_atomic(&self.folder.join("shard.json"), &json)?;
        Ok(record)
    }
}

/// Writes what workers made in the order of the chunks.
fn write(
    sink: &mut Sink,
    receiver: &Receiver<Outcome>,
    failed: &AtomicBool,
) -> Result<(), MineError> {
    let mut waiting: BTreeMap<u64, Result<Output, MineError>> = BTreeMap::new();
    let mut next = 0;
    while let Ok((number, made)) = receiver.recv() {
        waiting.insert(number, made);
        while let Some(made) = waiting.remove(&next) {
            next += 1;
            if let Err(e) = made.and_then(|output| sink.take(output)) {
                failed.store(true, Ordering::Relaxed);
                return Err(e);
            }
        }
    }
    // A gap is there only where a worker could not begin: its error waits behind it.
    match waiting.into_values().find_map(Result::err) {
        Some(e) => Err(e),
        None => Ok(()),
    }
}
