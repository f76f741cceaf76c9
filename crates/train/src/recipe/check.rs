//! What the types of a recipe cannot say.

use korfinsts_base::hub::is_commit;

use super::{DataKind, DataRecipe, First, Negatives, Recipe, Rows, SCHEMA, Stage, StaticBase};

/// The key at fault, and what is wrong.
type Checked = Result<(), (&'static str, String)>;

fn need(holds: bool, key: &'static str, reason: impl Into<String>) -> Checked {
    if holds {
        return Ok(());
    }
    Err((key, reason.into()))
}

fn positive(key: &'static str, value: f64) -> Checked {
    let reason = format!("`{key}` is {value}, expected a number above 0");
    need(value > 0.0 && value.is_finite(), key, reason)
}

fn share(key: &'static str, value: f64) -> Checked {
    let reason = format!("`{key}` is {value}, expected a number from 0 to 1");
    need((0.0..=1.0).contains(&value), key, reason)
}

fn dropped(value: f64) -> Checked {
    let reason = format!("`dropout` is {value}, expected a number from 0 to below 1");
    need((0.0..1.0).contains(&value), "dropout", reason)
}

fn check_objective(stage: &Stage) -> Checked {
    let all = |wanted: fn(&DataKind) -> bool| stage.data.iter().all(|d| wanted(&d.kind));
    let contrasts = all(|k| {
        matches!(
            k,
            DataKind::Triplets(_) | DataKind::Shift(_) | DataKind::Pairs(_)
        )
    });
    need(
        stage.warmup_steps.is_none() || stage.warmup == super::tenth(),
        "warmup_steps",
        "`warmup` and `warmup_steps` both say how long the learning rate grows",
    )?;
    need(
        stage.accumulation == 1 || contrasts,
        "accumulation",
        "`accumulation` is for triplets and pairs; for other data, `batch` is that of a step and \
         `micro_batch` cuts it",
    )?;
    need(
        stage.anchor_prompt.is_none() || contrasts,
        "anchor_prompt",
        "`anchor_prompt` is for triplets and pairs, which have an anchor",
    )?;
    check_guide(stage)?;
    let Some(margin) = stage.margin else {
        return Ok(());
    };
    positive("margin", margin)?;
    need(
        !all(|k| !matches!(k, DataKind::Triplets(_) | DataKind::Shift(_))),
        "margin",
        "`margin` is for triplets, and the stage has none",
    )?;
    need(
        stage.negatives == Negatives::Hard,
        "margin",
        "`margin` compares a triplet with itself, so `negatives` stays `hard`",
    )?;
    let alone = all(|k| matches!(k, DataKind::Triplets(_) | DataKind::Shift(_)));
    need(
        !alone || stage.temperature == super::twentieth(),
        "temperature",
        "`temperature` has no part in a margin loss",
    )
}

fn check_guide(stage: &Stage) -> Checked {
    let Some(guide) = &stage.guide else {
        return Ok(());
    };
    let in_batch = |kind: &DataKind| match kind {
        DataKind::Pairs(_) => true,
        DataKind::Triplets(_) | DataKind::Shift(_) => stage.negatives == Negatives::HardAndBatch,
        _ => false,
    };
    need(
        stage.data.iter().any(|d| in_batch(&d.kind)),
        "guide",
        "`guide` is for in-batch negatives: of pairs, or of triplets with `negatives = \"hard+batch\"`",
    )?;
    let most = if guide.relative { 1.0 } else { 2.0 };
    need(
        (0.0..=most).contains(&guide.margin),
        "guide",
        format!(
            "`margin` of `guide` is {}, expected a number from 0 to {most}",
            guide.margin
        ),
    )
}

/// What is wrong with a revision that is no commit.
pub(super) fn no_commit(found: &str) -> String {
    format!("`revision` is `{found}`, expected a commit: 40 hexadecimal digits")
}

/// Labels of an example, which `columns` may name too.
const LABELS: [&str; 5] = ["language", "source", "pattern", "variant", "origin"];

fn check_data(data: &DataRecipe) -> Checked {
    positive("passes", data.passes)?;
    positive("limit", data.limit.unwrap_or(1) as f64)?;
    let roles = data.kind.roles();
    for key in data.columns.keys().map(String::as_str) {
        let known: Vec<String> = roles
            .iter()
            .chain(&LABELS)
            .map(|k| format!("`{k}`"))
            .collect();
        need(
            !roles.is_empty(),
            "columns",
            "`columns` are of `triplets`, `pairs`, `scored` rows and `texts`",
        )?;
        need(
            roles.contains(&key) || LABELS.contains(&key),
            "columns",
            format!(
                "`columns` names `{key}`, expected one of {}",
                known.join(", ")
            ),
        )?;
    }
    let rows = data.kind.rows();
    need(
        rows.is_some() || data.limit.is_none(),
        "limit",
        "`limit` is of `triplets`, `pairs`, `scored` rows and `texts`",
    )?;
    if let Some(Rows::Hub(hub)) = rows {
        let revision = hub.revision.as_deref().unwrap_or_default();
        need(
            hub.revision.is_none() || is_commit(revision),
            "triplets",
            no_commit(revision),
        )?;
    }
    let scored = matches!(data.kind, DataKind::ScoredRows(_));
    need(
        scored == data.scale.is_some_and(|[low, high]| low < high),
        "scale",
        if scored {
            "`scored` rows need the lowest and the highest score, as in `scale = [0, 5]`"
        } else {
            "`scale` is of `scored` rows that are no suite"
        },
    )
}

impl Recipe {
    pub(super) fn check(&self) -> Checked {
        let found = format!("`schema` is {}, expected {SCHEMA}", self.schema);
        need(self.schema == SCHEMA, "schema", found)?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let name = &self.name;
        need(
            !name.is_empty() && !name.starts_with('.') && name.chars().all(plain),
            "name",
            format!("`name` is `{name}`, expected letters, digits, `-`, `_` and `.`"),
        )?;
        need(
            self.base.model.is_some() != self.base.fresh.is_some(),
            "base",
            "`base` needs exactly one of `model` and `static`",
        )?;
        if let Some(fresh) = &self.base.fresh {
            self.check_fresh(fresh)?;
        }
        self.check_augment()?;
        need(
            self.base.prune.is_none() || self.base.model.is_some() && self.base.augment.is_none(),
            "base.prune",
            "`base.prune` leaves tokens of a `model` out; it goes neither with `base.static` nor with \
             `base.augment`",
        )?;
        let stages = "a recipe needs at least one `[[stage]]`";
        need(!self.stages.is_empty(), "stage", stages)?;
        share("average_with_base", self.average_with_base)?;
        need(
            self.average_with_base == 0.0 || self.base.fresh.is_none(),
            "average_with_base",
            "a new static embedding has no base weights to average with",
        )?;
        if let Some(lora) = &self.lora {
            positive("alpha", lora.alpha)?;
            positive("rank", lora.rank as f64)?;
            dropped(lora.dropout)?;
        }
        self.check_best()?;
        let order = self.teachers.windows(2);
        if let Some([a, b]) = order
            .into_iter()
            .find(|w| w[0].reads_translations && !w[1].reads_translations)
        {
            let (a, b) = (&a.model, &b.model);
            let reason = format!("`{b}` reads no translations: it comes before `{a}`, which does");
            return Err(("teacher", reason));
        }
        self.stages.iter().try_for_each(|s| self.check_stage(s))
    }

    fn check_best(&self) -> Checked {
        let evaluate = &self.evaluate;
        need(
            evaluate.patience == 0 || evaluate.best.is_some(),
            "patience",
            "`patience` needs `best`, the dev split whose score must become better",
        )?;
        if evaluate.best.is_none() {
            return Ok(());
        }
        need(
            evaluate.every > 0,
            "best",
            "`best` needs `every`, the steps between evaluations",
        )?;
        need(
            self.stages.iter().all(|s| s.soup == 1),
            "best",
            "`best` chooses a step of one run, and a stage with `soup` ends with the mean of several",
        )
    }

    fn check_fresh(&self, fresh: &StaticBase) -> Checked {
        need(
            fresh.vocabulary >= 100 && fresh.dimension > 0 && fresh.projection > 0,
            "base",
            "`base.static` needs a vocabulary of 100 or more and widths above 0",
        )?;
        positive("deviation", fresh.deviation)?;
        for (key, wanted) in [
            ("first", fresh.first == First::Teacher),
            ("teacher_words", fresh.teacher_words),
        ] {
            need(
                !wanted || !self.teachers.is_empty(),
                key,
                format!("`{key}` of `base.static` needs a `teacher`, and the recipe has none"),
            )?;
        }
        let (dimension, projection) = (fresh.dimension, fresh.projection);
        need(
            fresh.first != First::Teacher || dimension <= projection,
            "dimension",
            format!(
                "`dimension` is {dimension}: a teacher of `projection` {projection} has no more \
                 directions"
            ),
        )
    }

    fn check_augment(&self) -> Checked {
        let Some(augment) = &self.base.augment else {
            return Ok(());
        };
        positive("tokens", augment.tokens as f64)?;
        positive("min_count", augment.min_count as f64)?;
        positive("max_characters", augment.max_characters as f64)?;
        need(
            self.base.model.is_some(),
            "base.augment",
            "`base.augment` adds tokens to a `model`; a new static embedding learns its own \
             vocabulary",
        )?;
        need(
            self.lora.is_none(),
            "base.augment",
            "`base.augment` adds rows to the embedding matrix, which low-rank adapters do not train",
        )
    }

    fn check_stage(&self, stage: &Stage) -> Checked {
        positive("batch", stage.batch as f64)?;
        positive("epochs", stage.epochs as f64)?;
        positive("soup", stage.soup as f64)?;
        need(
            stage.soup == 1 || self.lora.is_none(),
            "soup",
            "`soup` takes the mean of weights, and that of low-rank factors is not the factors of \
             a mean",
        )?;
        positive("learning_rate", stage.learning_rate)?;
        positive("temperature", stage.temperature)?;
        for (key, value) in [("weight_decay", stage.weight_decay), ("clip", stage.clip)] {
            let reason = format!("`{key}` is {value}, allowed are 0 and more");
            need(value >= 0.0 && value.is_finite(), key, reason)?;
        }
        positive("accumulation", stage.accumulation as f64)?;
        check_objective(stage)?;
        share("warmup", stage.warmup)?;
        dropped(stage.dropout)?;
        share("token_dropout", stage.token_dropout)?;
        let nothing = format!("stage `{}` has no data", stage.name);
        need(!stage.data.is_empty(), "data", nothing)?;
        for data in &stage.data {
            check_data(data)?;
            need(
                !matches!(data.kind, DataKind::Texts(_))
                    || self.teachers.iter().any(|t| t.reads_translations),
                "teacher",
                "data of kind `texts` need a `[[teacher]]` with `reads_translations = true`",
            )?;
            need(
                !data.kind.distils() || !self.teachers.is_empty(),
                "teacher",
                "data of kind `parallel` need a `teacher`",
            )?;
        }
        Ok(())
    }
}
