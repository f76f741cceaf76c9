//! The first table of `eval` and `record show`: one row per encoder, one column per suite, and a
//! sentence per encoder that says what the paired tests found.

use std::collections::BTreeMap;
use std::path::Path;

use super::output::{Format, Table, wrapped};
use super::texts::texts;
use korfinsts_base::text::visible;
use korfinsts_base::texts::Texts;
use korfinsts_bench::run::record::{Timing, TripletPart};
use korfinsts_bench::run::triplets::Compared;
use korfinsts_metric::holm;
use korfinsts_publish::leaderboard::board::{Board, BoardOptions, Inputs, Kind, Row};
use korfinsts_publish::leaderboard::catalogue::Catalogue;
use korfinsts_publish::leaderboard::compare;
use korfinsts_publish::leaderboard::entry::Entry;

/// Most characters of a name in a terminal, where they tell the encoders apart.
const NAME_LENGTH: usize = 24;
/// The narrowest terminal that is served, in characters.
const NARROWEST: usize = 60;
/// Less time than this says nothing of a speed, in seconds.
const SHORTEST: f64 = 1.0;

/// Records as a table with an answer.
pub struct Summary<'a> {
    board: Board,
    entries: &'a [Entry],
    texts: &'a Texts,
}

/// A column of the table: a suite, the mean of a group of suites, or the speed.
struct Column {
    /// Name of the group; empty for the speed.
    group: String,
    head: String,
    cells: Vec<String>,
    /// The row of the highest score, where several are compared.
    best: Option<usize>,
}

impl<'a> Summary<'a> {
    /// Ranks and compares what the records hold, with the resampling that made their intervals.
    ///
    /// # Errors
    /// When a suite on disk is broken.
    pub fn new(entries: &'a [Entry], data_home: &Path) -> anyhow::Result<Self> {
        let catalogue = Catalogue::open(data_home)?;
        let inputs = Inputs {
            reproduced: entries.to_vec(),
            ..Inputs::default()
        };
        let bootstrap = entries.first().map(|e| e.record.bootstrap.options());
        let options = BoardOptions {
            bootstrap: bootstrap.unwrap_or_default(),
            disagreements: 0,
            ..BoardOptions::default()
        };
        let board = Board::new(&inputs, &catalogue, &options)?;
        Ok(Self {
            board,
            entries,
            texts: texts(),
        })
    }

    /// The table in a format. In a terminal it is cut into blocks of at most `width` characters.
    #[must_use]
    pub fn render(&self, format: Format, width: usize) -> String {
        let columns = self.columns();
        let all: Vec<&Column> = columns.iter().collect();
        let mut out = match format {
            Format::Latex => return self.table(&all, false).to_latex(),
            Format::Md => self.table(&all, false).to_markdown() + "\n",
            _ => self.blocks(&columns, width.max(NARROWEST)),
        };
        let earlier = |(row, _)| self.speed(row).is_some_and(|(_, earlier)| earlier);
        let mut notes = self.footnotes();
        if out.contains(self.texts.get("cli_speed")) && self.rows().any(earlier) {
            notes.push(self.texts.get("cli_speed_earlier").to_owned());
        }
        for line in notes.into_iter().chain(self.verdicts()) {
            out.push_str(&match format {
                // A mark, and not the point of a list.
                Format::Md if line.starts_with("* ") => format!("\\{line}"),
                Format::Md => line,
                _ => wrapped(&line),
            });
            out.push_str(if format == Format::Md { "\n\n" } else { "\n" });
        }
        out
    }

    fn rows(&self) -> impl Iterator<Item = (usize, &Row)> {
        let is_encoder = |(_, row): &(usize, &Row)| row.kind == Kind::Encoder;
        self.board.rows.iter().enumerate().filter(is_encoder)
    }

    fn protocols(&self) -> Vec<&str> {
        let mut protocols: Vec<&str> = self.rows().map(|(_, row)| row.protocol.as_str()).collect();
        protocols.sort_unstable();
        protocols.dedup();
        protocols
    }

    fn name(&self, row: &Row) -> String {
        let twins = self.rows().filter(|(_, other)| other.name == row.name);
        match twins.count() {
            1 => row.name.clone(),
            _ => format!("{} ({})", row.name, row.protocol),
        }
    }

    /// The record behind a cell.
    fn entry(&self, row: usize, suite: usize) -> Option<&Entry> {
        let cell = self.board.rows[row].cells[suite].as_ref()?;
        let hash = cell.pairs_sha256.as_ref()?;
        let name = &self.board.rows[row].name;
        self.entries.iter().find(|e| {
            e.record.pairs.as_ref().is_some_and(|p| p.sha256 == *hash)
                && name.starts_with(&e.name())
        })
    }

    /// The score that heads a cell: over the pairs that the model was not trained on.
    fn score(&self, row: usize, suite: usize) -> Option<(f64, Option<[f64; 2]>, bool)> {
        let trained = self.entry(row, suite);
        if let Some(trained) = trained.and_then(|e| e.record.trained_on.as_ref()) {
            let rho = trained.cosine_spearman_of_others?;
            return Some((rho, trained.interval_of_others, true));
        }
        let cell = self.board.rows[row].cells[suite].as_ref()?;
        Some((cell.score?, cell.interval, cell.trained_on))
    }

    /// The score on a data set: on the first of its suites that the row was run on.
    fn score_of(&self, row: usize, set: &[usize]) -> Option<f64> {
        set.iter()
            .find_map(|&suite| Some(self.score(row, suite)?.0))
    }

    fn cell(&self, row: usize, suite: usize) -> String {
        let Some((rho, interval, trained)) = self.score(row, suite) else {
            let there = self.board.rows[row].cells[suite].is_some();
            return if there {
                self.texts.get("cli_none")
            } else {
                ""
            }
            .to_owned();
        };
        // On a suite of triplets the mark is at the figure that is tested.
        let is_headed = self.accuracy(row, suite).is_some();
        let beats = !is_headed && self.beats_baselines(row, suite);
        marked(rho, interval, [(trained, "†"), (beats, "*")])
    }

    /// Whether the figure to read is surely above that of the best baseline, over pairs that the model was not trained on.
    fn beats_baselines(&self, row: usize, suite: usize) -> bool {
        if self.accuracy(row, suite).is_some() {
            let rival = self.best_baseline(suite);
            let found = rival.and_then(|rival| self.triplets_of(suite, [row, rival]));
            return found.is_some_and(|f| f.delta > 0.0 && self.is_sure(f.p_value));
        }
        let cell = self.board.rows[row].cells[suite].as_ref();
        cell.is_some_and(|cell| !cell.trained_on && cell.beats_baselines == Some(true))
    }

    fn is_sure(&self, p: f64) -> bool {
        p <= 1.0 - self.board.level + 1e-12
    }

    /// Triplet accuracy of a row: over the pairs that the model was not trained on.
    fn accuracy(&self, row: usize, suite: usize) -> Option<(TripletPart, bool)> {
        let record = &self.entry(row, suite)?.record;
        match &record.trained_on {
            Some(trained) => Some((trained.triplets_of_others?, true)),
            None => Some((record.triplets.as_ref()?.all, false)),
        }
    }

    /// The triplet accuracies on a suite of triplets, which head its columns.
    fn triplets(&self, at: usize, group: &str) -> Option<Column> {
        let cell = |(row, _)| {
            let (part, trained) = self.accuracy(row, at)?;
            let marks = [(trained, "†"), (self.beats_baselines(row, at), "*")];
            Some(marked(part.accuracy, part.interval, marks))
        };
        let cells = self.rows().map(cell);
        let mut cells: Vec<String> = cells.map(Option::unwrap_or_default).collect();
        if cells.iter().all(String::is_empty) {
            return None;
        }
        let best = self.best_baseline(at).and_then(|row| {
            let value = self.accuracy(row, at)?.0.accuracy;
            Some(format!("{} {}", short(value), self.board.rows[row].name))
        });
        cells.push(best.unwrap_or_default());
        let suite = &self.board.suites[at].key;
        Some(Column {
            group: group.to_owned(),
            head: self.texts.fill("cli_triplets", &[("suite", suite)]),
            cells,
            best: self.best(|row| Some(self.accuracy(row, at)?.0.accuracy)),
        })
    }

    fn columns(&self) -> Vec<Column> {
        let mut columns = Vec::new();
        for subset in &self.board.subsets {
            let key = format!("cli_{}", subset.key);
            let group = self.texts.get(&key);
            let mut suites: Vec<usize> = subset.suites.iter().flatten().copied().collect();
            suites.sort_unstable();
            for at in suites {
                columns.extend(self.triplets(at, group));
                let suite = &self.board.suites[at];
                let mut cells: Vec<String> =
                    self.rows().map(|(row, _)| self.cell(row, at)).collect();
                let best = suite.best_baseline.as_ref();
                cells.push(
                    best.map_or_else(String::new, |(name, rho)| format!("{} {name}", short(*rho))),
                );
                let score = |row: usize| self.score(row, at).map(|s| s.0);
                columns.push(Column {
                    group: group.to_owned(),
                    head: suite.key.clone(),
                    cells,
                    best: self.best(score),
                });
            }
            // Suites of one release are one data set under two names.
            if subset.suites.len() > 1 {
                let mean = |row: usize| {
                    let scores = subset.suites.iter().map(|set| self.score_of(row, set));
                    let scores: Option<Vec<f64>> = scores.collect();
                    scores.map(|s| mean_of(&s))
                };
                let cell = |row: usize| mean(row).map_or_else(String::new, short);
                let mut cells: Vec<String> = self.rows().map(|(row, _)| cell(row)).collect();
                cells.push(String::new());
                columns.push(Column {
                    group: group.to_owned(),
                    head: self.texts.get("cli_mean").into(),
                    cells,
                    best: self.best(mean),
                });
            }
        }
        let speed = |(row, _)| {
            let speed = self.speed(row);
            speed.map_or_else(String::new, |(texts, _)| format!("{texts:.0}"))
        };
        let mut cells: Vec<String> = self.rows().map(speed).collect();
        if cells.iter().any(|cell| !cell.is_empty()) {
            cells.push(String::new());
            columns.push(Column {
                group: String::new(),
                head: self.texts.get("cli_speed").into(),
                cells,
                best: None,
            });
        }
        columns
    }

    /// Which of several encoders has the highest score.
    fn best(&self, score: impl Fn(usize) -> Option<f64>) -> Option<usize> {
        let scores = self.rows().map(|(row, _)| score(row));
        let scores: Vec<(usize, f64)> = scores
            .enumerate()
            .filter_map(|(at, score)| Some((at, score?)))
            .collect();
        let best = scores.iter().max_by(|a, b| a.1.total_cmp(&b.1));
        best.filter(|_| scores.len() > 1).map(|best| best.0)
    }

    /// Texts per second of what this run, or an earlier one, encoded; and whether an earlier one did.
    fn speed(&self, row: usize) -> Option<(f64, bool)> {
        let timings = (0..self.board.suites.len()).filter_map(|suite| {
            let path = self.entry(row, suite)?.path.with_extension("timing.json");
            let bytes = korfinsts_base::fs::read(&path).ok()?;
            let timing = serde_json::from_slice::<Timing>(&bytes).ok()?;
            Some((timing.encoding()?, timing.encoded_by.is_some()))
        });
        let (mut texts, mut seconds, mut earlier) = (0, 0.0, false);
        for (encoding, of_earlier) in timings {
            texts += encoding.texts_encoded;
            seconds += encoding.encode_s;
            earlier |= of_earlier;
        }
        (texts > 0 && seconds >= SHORTEST).then(|| (texts as f64 / seconds, earlier))
    }

    fn table(&self, columns: &[&Column], groups: bool) -> Table {
        let mut head = vec![self.texts.get("cli_encoder").to_owned()];
        let mut last = "";
        for column in columns {
            let group = if column.group == last {
                ""
            } else {
                &column.group
            };
            last = &column.group;
            head.push(if groups {
                format!("#{group}\n{}", column.head)
            } else {
                format!("#{}", column.head)
            });
        }
        let head: Vec<&str> = head.iter().map(String::as_str).collect();
        let mut table = Table::new(&self.title(), &head);
        let mut names = self.names(groups);
        names.push(self.texts.get("best_baseline").into());
        for (at, name) in names.into_iter().enumerate() {
            let cells = columns.iter().map(|column| column.cells[at].clone());
            table.push(std::iter::once(name).chain(cells).collect());
        }
        if self.board.suites.iter().all(|s| s.best_baseline.is_none()) {
            table.rows.pop();
        }
        let best = columns.iter().enumerate();
        table.bold = best
            .filter_map(|(at, column)| Some((column.best?, at + 1)))
            .collect();
        table
    }

    /// The encoders' names, `cut` where that tells them apart.
    fn names(&self, cut: bool) -> Vec<String> {
        let names: Vec<String> = self.rows().map(|(_, row)| self.name(row)).collect();
        let short: Vec<String> = names
            .iter()
            .map(|name| visible(name, NAME_LENGTH))
            .collect();
        let mut distinct = short.clone();
        distinct.sort();
        distinct.dedup();
        if cut && distinct.len() == names.len() {
            short
        } else {
            names
        }
    }

    fn title(&self) -> String {
        let mut title = self.texts.get("cli_title").to_owned();
        let mut cells = self.rows().flat_map(|(_, row)| row.cells.iter().flatten());
        if cells.any(|cell| cell.interval.is_some()) {
            let level = 100.0 * self.board.level;
            let level = format!("{level:.0}");
            title.push_str(&self.texts.fill("cli_title_interval", &[("level", &level)]));
        }
        if let [one] = self.protocols()[..]
            && !one.is_empty()
        {
            let protocol = [("protocol", one)];
            title.push_str(&self.texts.fill("cli_title_protocol", &protocol));
        }
        title
    }

    /// As many columns side by side as fit, then the rest below.
    fn blocks(&self, columns: &[Column], width: usize) -> String {
        let mut blocks: Vec<Table> = Vec::new();
        let mut taken: Vec<&Column> = Vec::new();
        for column in columns {
            taken.push(column);
            if taken.len() > 1 && self.table(&taken, true).width() > width {
                taken.pop();
                blocks.push(self.table(&taken, true));
                taken = vec![column];
            }
        }
        // The speed alone is not worth a block.
        if blocks.is_empty() || taken.iter().any(|column| !column.group.is_empty()) {
            blocks.push(self.table(&taken, true));
        }
        for later in blocks.iter_mut().skip(1) {
            later.title.clear();
        }
        blocks.iter().map(Table::to_terminal).collect()
    }

    fn footnotes(&self) -> Vec<String> {
        let mut notes = Vec::new();
        let cells = || self.rows().flat_map(|(_, row)| row.cells.iter().flatten());
        let of_triplets = |at| self.rows().any(|(row, _)| self.accuracy(row, at).is_some());
        let suites = 0..self.board.suites.len();
        if suites.clone().any(of_triplets) {
            notes.push(self.texts.get("cli_triplets_note").to_owned());
        }
        if self
            .rows()
            .any(|(row, _)| suites.clone().any(|at| self.beats_baselines(row, at)))
        {
            notes.push(self.texts.get("cli_beats").to_owned());
        }
        if cells().any(|cell| cell.trained_on) {
            let seen = self
                .rows()
                .flat_map(|(at, _)| suites.clone().filter_map(move |s| self.entry(at, s)));
            let mut unseen: Vec<usize> = seen
                .filter_map(|e| Some(e.record.trained_on.as_ref()?.other_pairs))
                .collect();
            unseen.dedup();
            notes.push(match unseen[..] {
                [pairs] => self
                    .texts
                    .fill("cli_trained", &[("pairs", &pairs.to_string())]),
                _ => self.texts.get("cli_trained_parts").to_owned(),
            });
        }
        notes
    }

    /// One sentence per encoder: against the best baselines where there is one encoder, else
    /// against the encoder with the highest mean. By triplet accuracy on a suite of triplets, by ρ on
    /// others; by Holm over suites, at 5 %.
    fn verdicts(&self) -> Vec<String> {
        let encoders: Vec<usize> = self.rows().map(|(at, _)| at).collect();
        let mean = |row: usize| {
            let sets = self.board.subsets.iter().flat_map(|s| &s.suites);
            let scores: Vec<f64> = sets.filter_map(|set| self.score_of(row, set)).collect();
            if scores.is_empty() {
                -1.0
            } else {
                mean_of(&scores)
            }
        };
        let Some(&best) = encoders
            .iter()
            .max_by(|a, b| mean(**a).total_cmp(&mean(**b)))
        else {
            return Vec::new();
        };
        match encoders[..] {
            [one] => self.verdict(one, None).into_iter().collect(),
            [a, b] => {
                let verdict = self.verdict(best, Some(if best == a { b } else { a }));
                verdict.into_iter().collect()
            }
            _ => encoders
                .iter()
                .filter(|&&row| row != best)
                .filter_map(|&row| self.verdict(row, Some(best)))
                .collect(),
        }
    }

    fn verdict(&self, row: usize, rival: Option<usize>) -> Option<String> {
        let board = &self.board;
        let name = |row: usize| self.name(&board.rows[row]);
        let mut tested: Vec<(usize, f64, f64)> = Vec::new();
        for at in 0..board.suites.len() {
            let Some(rival) = rival.or_else(|| self.best_baseline(at)) else {
                continue;
            };
            if let Some(found) = self.triplets_of(at, [row, rival]) {
                tested.push((at, found.delta, found.p_value));
                continue;
            }
            let found = board
                .differences
                .iter()
                .find(|d| d.suite == at && [(row, rival), (rival, row)].contains(&(d.a, d.b)));
            if let Some(d) = found {
                let sign = if d.a == row { 1.0 } else { -1.0 };
                tested.push((at, sign * d.delta, d.p_value));
            }
        }
        let p: Vec<f64> = tested.iter().map(|t| t.2).collect();
        let p = holm(&p).unwrap_or_default();
        let mut on: BTreeMap<u8, Vec<&str>> = BTreeMap::new();
        for ((at, delta, _), p) in tested.iter().zip(p) {
            let word = match (self.is_sure(p), *delta > 0.0) {
                (true, true) => 0,
                (true, false) => 1,
                (false, _) => 2,
            };
            on.entry(word).or_default().push(&board.suites[*at].key);
        }
        let rival = rival.map_or_else(|| self.texts.get("cli_the_best_baseline").to_owned(), name);
        let mut said = Vec::new();
        for (word, suites) in &on {
            let key = match (word, said.is_empty()) {
                (0, _) => "cli_better",
                (1, true) => "cli_worse",
                (1, false) => "cli_worse_too",
                (_, true) => "cli_same",
                (_, false) => "cli_same_too",
            };
            let values = [("rival", rival.as_str()), ("suites", &self.list(suites))];
            said.push(self.texts.fill(key, &values));
        }
        let is_tested = |at: usize| tested.iter().any(|t| t.0 == at);
        said.extend(self.unseen(row, is_tested));
        (!said.is_empty()).then(|| format!("{}: {}", name(row), said.join(", ")))
    }

    /// The baseline with the highest figure to read.
    fn best_baseline(&self, at: usize) -> Option<usize> {
        let rows = self.board.rows.iter().enumerate();
        let baselines = rows.filter(|(_, row)| row.kind == Kind::Baseline);
        let accuracy = |row| Some((self.accuracy(row, at)?.0.accuracy, row));
        let by_triplets = baselines.clone().filter_map(|(row, _)| accuracy(row));
        let best = by_triplets.max_by(|a, b| a.0.total_cmp(&b.0)).map(|b| b.1);
        best.or_else(|| {
            let (best, _) = self.board.suites[at].best_baseline.as_ref()?;
            let mut named = baselines.filter(|(_, row)| row.name == *best);
            named.next().map(|(row, _)| row)
        })
    }

    /// Two rows on the triplets of a suite that neither was trained on.
    fn triplets_of(&self, at: usize, rows: [usize; 2]) -> Option<Compared> {
        let [a, b] = rows.map(|row| self.entry(row, at));
        let bootstrap = a?.record.bootstrap.options();
        compare::triplets(a?, b?, &bootstrap).ok().flatten()
    }

    /// What the scores over pairs that a model was not trained on say where no test compares them.
    fn unseen(&self, row: usize, is_tested: impl Fn(usize) -> bool) -> Vec<String> {
        let mut on: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        let suites = self.board.suites.iter().enumerate();
        for (at, suite) in suites.filter(|(at, _)| !is_tested(*at)) {
            if let Some((_, Some([low, high]), true)) = self.score(row, at) {
                let word = match () {
                    () if low > 0.0 => "cli_above_zero",
                    () if high < 0.0 => "cli_below_zero",
                    () => "cli_not_zero",
                };
                on.entry(word).or_default().push(&suite.key);
            }
        }
        let of = |(key, suites): (&str, Vec<&str>)| {
            self.texts.fill(key, &[("suites", &self.list(&suites))])
        };
        on.into_iter().map(of).collect()
    }

    /// `a`, `a and b`, `a, b and c`.
    fn list(&self, items: &[&str]) -> String {
        match items {
            [first @ .., last] if !first.is_empty() => {
                let values = [("list", first.join(", ")), ("last", (*last).to_owned())];
                let values = values
                    .each_ref()
                    .map(|(name, value)| (*name, value.as_str()));
                self.texts.fill("cli_and", &values)
            }
            _ => items.concat(),
        }
    }
}

fn mean_of(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A figure with half of its interval, and the marks that hold.
fn marked(value: f64, interval: Option<[f64; 2]>, marks: [(bool, &str); 2]) -> String {
    let half = interval.map_or_else(String::new, |[low, high]| {
        format!("±{}", short((high - low) / 2.0))
    });
    let marks = marks
        .iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, mark)| *mark);
    format!("{}{half}{}", short(value), marks.collect::<String>())
}

/// Two decimals, without the zero before the point.
fn short(value: f64) -> String {
    let text = format!("{value:.2}");
    match text.strip_prefix("-0.").map(|t| format!("-.{t}")) {
        Some(short) if short == "-.00" => ".00".into(),
        Some(short) => short,
        None => text
            .strip_prefix("0.")
            .map_or(text.clone(), |t| format!(".{t}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        for (value, text) in [
            (0.304, ".30"),
            (-0.05, "-.05"),
            (1.0, "1.00"),
            (-0.001, ".00"),
            (0.999, "1.00"),
        ] {
            assert_eq!(short(value), text);
        }
    }
}
