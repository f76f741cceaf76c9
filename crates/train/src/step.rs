//! One step: loss and gradients of a batch, whole or in parts.
//!
//! In parts (`GradCache`, Gao et al., 2021): embeddings of the whole batch are computed part by part
//! without keeping what led to them, the loss gives a gradient for each embedding, and each part
//! is computed again with that gradient. The gradients equal those of the whole batch, and memory
//! is that of one part. Gradient checkpointing does the same with layers.

use candle_core::{DType, Device, Result, Tensor, Var};

use super::TrainError;
use super::batch::Example;
use super::error::computing;
use super::loss::{self, SameText};
use super::model::Model;
use super::optim::Gradients;
use super::ranks::{self, Alone, Ranks};
use korfinsts_encoder::{PreparedText, TokenBatch};
use korfinsts_nn::dropout::Draw;

type Outcome<T> = std::result::Result<T, TrainError>;

/// What one batch is trained for.
#[derive(Debug, Clone)]
pub enum Objective {
    /// Equation 1: roles anchor, positive, negative, each `n` texts.
    Triplet {
        /// Temperature.
        temperature: f64,
    },
    /// The triplet margin loss: the same roles.
    Margin {
        /// The margin.
        margin: f64,
    },
    /// Equation 1 with in-batch negatives: anchors, positives and, with `hard`, negatives.
    InBatch {
        /// Temperature.
        temperature: f64,
        /// Whether negatives come with the triplets.
        hard: bool,
        /// Candidates that are no negatives of a row.
        same: SameText,
    },
    /// Pairs with gold scores: first and second texts.
    Scored {
        /// Temperature.
        temperature: f64,
        /// Gold scores.
        gold: Vec<f64>,
    },
    /// Texts with the embeddings that they are to have.
    Distil {
        /// Embeddings `[n, dimension]` of each view, rows of length 1: of all texts in the first
        /// language, then of their translations, or of texts of one language alone.
        views: Vec<Tensor>,
        /// Rows of the batch, after the views, with no part in the similarity matrices.
        extra: Option<Tensor>,
        /// The first component of the student's embedding that is to be like them; its end is.
        from: usize,
        /// Weight of the similarity matrices.
        similarity: f64,
    },
}

impl Objective {
    /// The loss of embeddings of all texts of a batch, in the order of their roles.
    ///
    /// # Errors
    /// When the shapes do not fit or the device fails.
    pub fn loss(&self, all: &Tensor) -> Result<Tensor> {
        let rows = all.dim(0)?;
        let role = |i: usize, of: usize| all.narrow(0, i * (rows / of), rows / of);
        match self {
            Self::Triplet { temperature } => {
                loss::triplet(&role(0, 3)?, &role(1, 3)?, &role(2, 3)?, *temperature)
            }
            Self::Margin { margin } => {
                loss::margin(&role(0, 3)?, &role(1, 3)?, &role(2, 3)?, *margin)
            }
            Self::InBatch {
                temperature,
                hard,
                same,
            } => {
                let roles = if *hard { 3 } else { 2 };
                let candidates: Result<Vec<Tensor>> = (1..roles).map(|r| role(r, roles)).collect();
                loss::in_batch(&role(0, roles)?, &candidates?, same, *temperature)
            }
            Self::Scored { temperature, gold } => {
                loss::cosent(&role(0, 2)?, &role(1, 2)?, gold, *temperature)
            }
            Self::Distil {
                views,
                extra,
                from,
                similarity,
            } => {
                let like = match from {
                    0 => all.clone(),
                    from => all.narrow(1, *from, all.dim(1)? - from)?,
                };
                distil(&like, views, extra.as_ref(), *similarity)
            }
        }
    }
}

fn distil(
    all: &Tensor,
    views: &[Tensor],
    extra: Option<&Tensor>,
    similarity: f64,
) -> Result<Tensor> {
    let targets: Vec<&Tensor> = views.iter().chain(extra).collect();
    let mut total = loss::to_teacher(all, &Tensor::cat(&targets, 0)?)?;
    if similarity > 0.0 {
        let view = |i: usize| -> Result<[Tensor; 2]> {
            let n = views[i].dim(0)?;
            Ok([all.narrow(0, i * n, n)?, views[i].clone()])
        };
        for i in 0..views.len() {
            for j in i..views.len() {
                let part = loss::similarities(&view(i)?, &view(j)?)?;
                total = (total + (part * similarity)?)?;
            }
        }
    }
    Ok(total)
}

/// The loss on each of several widths of the embeddings (Kusupati et al., 2022), their mean; on
/// the whole width where `widths` is empty.
fn nested(objective: &Objective, all: &Tensor, widths: &[usize]) -> Result<Tensor> {
    if widths.is_empty() {
        return objective.loss(all);
    }
    let mut total: Option<Tensor> = None;
    for &width in widths {
        let part = objective.loss(&all.narrow(1, 0, width)?)?;
        total = Some(match total {
            Some(total) => (total + part)?,
            None => part,
        });
    }
    match total {
        Some(total) => total / widths.len() as f64,
        None => objective.loss(all),
    }
}

/// How a step is computed.
#[derive(Debug, Clone, Copy, Default)]
pub struct StepOptions<'a> {
    /// Texts at once; 0 = all.
    pub micro_batch: usize,
    /// Whether layers are computed again in the backward pass instead of kept.
    pub checkpointing: bool,
    /// Widths of a Matryoshka objective; empty = the whole width.
    pub widths: &'a [usize],
    /// What is dropped.
    pub draw: Draw,
}

impl StepOptions<'_> {
    /// How many of `texts` texts go through the network at once.
    fn at_once(&self, texts: usize) -> usize {
        match self.micro_batch {
            0 => texts,
            n => n,
        }
    }
}

/// Loss and gradients of one batch.
///
/// # Errors
/// When the shapes do not fit or the device fails.
pub fn step(
    model: &Model,
    texts: &[&PreparedText],
    objective: &Objective,
    options: StepOptions<'_>,
) -> Outcome<(f64, Gradients)> {
    step_of(
        model,
        TrainingBatch { texts, objective },
        options,
        &mut Alone,
    )
}

/// What a batch is: its texts, and what they are to learn.
#[derive(Debug, Clone, Copy)]
pub struct TrainingBatch<'a> {
    /// Tokens of the texts, in the order that the objective has.
    pub texts: &'a [&'a PreparedText],
    /// The loss of their embeddings.
    pub objective: &'a Objective,
}

/// Loss and gradients of one batch that several ranks compute together: `batch` is that of the whole batch, and so are
/// the loss and the gradients.
///
/// # Errors
/// When the shapes do not fit, the device fails, or another rank does.
pub fn step_of(
    model: &Model,
    batch: TrainingBatch<'_>,
    options: StepOptions<'_>,
    ranks: &mut dyn Ranks,
) -> Outcome<(f64, Gradients)> {
    let outcome = dropping(model, batch, options, ranks);
    model.draws().end();
    let (loss, mut gradients) = outcome?;
    keep_still(model, batch.texts, &mut gradients).map_err(computing("a step"))?;
    Ok((loss, gradients))
}

/// [`step_of`], which leaves the draws of dropout as those of the last part.
fn dropping(
    model: &Model,
    batch: TrainingBatch<'_>,
    options: StepOptions<'_>,
    ranks: &mut dyn Ranks,
) -> Outcome<(f64, Gradients)> {
    let TrainingBatch { texts, objective } = batch;
    let failed = computing("a step");
    let part = options.at_once(texts.len());
    if ranks.count() > 1 {
        shared(model, batch, options, ranks)
    } else if part >= texts.len() && !options.checkpointing {
        whole(model, batch, options).map_err(failed)
    } else {
        let own: Vec<usize> = (0..texts.len()).collect();
        let parts = Parts::new(model, texts, &own, part);
        let embeddings = parts.embeddings(model, options).map_err(&failed)?;
        let (loss, gradient) = learn(objective, &embeddings, options).map_err(&failed)?;
        let gradients = parts.backward(model, &gradient, options).map_err(&failed)?;
        Ok((loss, gradients))
    }
}

/// The row of the word table that never moves has no gradient.
fn keep_still(model: &Model, texts: &[&PreparedText], gradients: &mut Gradients) -> Result<()> {
    if let Some((name, id)) = model.still_row()
        && texts.iter().any(|t| t.ids.contains(&id))
        && let Some(gradient) = gradients.get_mut(name)
    {
        let rows = gradient.dim(0)?;
        let mut keep = vec![1_f32; rows];
        if let Some(row) = keep.get_mut(id as usize) {
            *row = 0.0;
        }
        let keep = Tensor::from_vec(keep, (rows, 1), gradient.device())?;
        *gradient = gradient.broadcast_mul(&keep.to_dtype(gradient.dtype())?)?;
    }
    Ok(())
}

/// The whole batch at once.
fn whole(
    model: &Model,
    TrainingBatch { texts, objective }: TrainingBatch<'_>,
    options: StepOptions<'_>,
) -> Result<(f64, Gradients)> {
    let all: Vec<usize> = (0..texts.len()).collect();
    let batch = model.batch(texts);
    model.draws().of(options.draw, &all, &batch);
    let embeddings = model.forward(&batch)?;
    let loss = nested(objective, &embeddings, options.widths)?;
    let mut gradients = Gradients::new();
    collect(model, &loss, &mut gradients)?;
    Ok((loss::value(&loss)?, gradients))
}

/// The loss of embeddings, and its gradient for each of them.
fn learn(
    objective: &Objective,
    embeddings: &Tensor,
    options: StepOptions<'_>,
) -> Result<(f64, Tensor)> {
    let variable = Var::from_tensor(&embeddings.detach())?;
    let loss = nested(objective, variable.as_tensor(), options.widths)?;
    let mut store = loss.backward()?;
    match store.remove(variable.as_tensor()) {
        Some(gradient) => Ok((loss::value(&loss)?, gradient.detach())),
        None => candle_core::bail!("the loss does not depend on the embeddings"),
    }
}

/// Some texts of a batch, cut into parts. Texts of like length share a part, so that little is
/// padding.
struct Parts {
    batches: Vec<TokenBatch>,
    /// Index in the batch of each embedding, in the order of the parts.
    order: Vec<usize>,
}

impl Parts {
    fn new(model: &Model, texts: &[&PreparedText], own: &[usize], part: usize) -> Self {
        let mut order = own.to_vec();
        order.sort_by_key(|&i| (texts[i].ids.len(), i));
        let batches = order
            .chunks(part.max(1))
            .map(|rows| model.batch(&rows.iter().map(|&i| texts[i]).collect::<Vec<_>>()))
            .collect();
        Self { batches, order }
    }

    /// Embeddings in the order of `own`, which is ascending; nothing that led to them is kept.
    fn embeddings(&self, model: &Model, options: StepOptions<'_>) -> Result<Tensor> {
        let mut start = 0;
        let embeddings: Result<Vec<Tensor>> = self
            .batches
            .iter()
            .map(|batch| {
                self.draw(model, options, start, batch);
                start += batch.rows;
                embed_without_graph(model, batch)
            })
            .collect();
        let sorted = Tensor::cat(&embeddings?, 0)?;
        let mut back: Vec<u32> = (0..self.order.len() as u32).collect();
        back.sort_by_key(|&at| self.order[at as usize]);
        let back = Tensor::from_vec(back, self.order.len(), sorted.device())?;
        sorted.index_select(&back, 0)
    }

    /// The draws of dropout are those of the part that begins at `start` from now on.
    fn draw(&self, model: &Model, options: StepOptions<'_>, start: usize, batch: &TokenBatch) {
        let texts = &self.order[start..start + batch.rows];
        model.draws().of(options.draw, texts, batch);
    }

    /// Gradients of the model from those of the whole batch's embeddings.
    fn backward(
        &self,
        model: &Model,
        gradient: &Tensor,
        options: StepOptions<'_>,
    ) -> Result<Gradients> {
        let rows: Vec<u32> = self.order.iter().map(|&i| i as u32).collect();
        let rows = Tensor::from_vec(rows, self.order.len(), gradient.device())?;
        let gradient = gradient.index_select(&rows, 0)?;
        let mut gradients = Gradients::new();
        let mut start = 0;
        for batch in &self.batches {
            let gradient = gradient.narrow(0, start, batch.rows)?.detach();
            self.draw(model, options, start, batch);
            start += batch.rows;
            if options.checkpointing {
                recompute_layers(model, batch, &gradient, &mut gradients)?;
            } else {
                let surrogate = (model.forward(batch)? * gradient)?.sum_all()?;
                collect(model, &surrogate, &mut gradients)?;
            }
        }
        Ok(gradients)
    }
}

/// A batch that several ranks embed, each its share.
fn shared(
    model: &Model,
    TrainingBatch { texts, objective }: TrainingBatch<'_>,
    options: StepOptions<'_>,
    ranks: &mut dyn Ranks,
) -> Outcome<(f64, Gradients)> {
    let failed = computing("a step");
    let costs: Vec<usize> = texts.iter().map(|t| t.ids.len()).collect();
    let shares = ranks::shares(&costs, ranks.count());
    let own = &shares[ranks.rank()];
    let at_once = options.at_once(own.len());
    let keeps_graph = at_once >= own.len() && !options.checkpointing && !own.is_empty();
    let parts = Parts::new(model, texts, own, at_once);
    // The graph of a share that fits at once is kept until its gradient is known.
    let graph = if keeps_graph {
        let batch = model.batch(&own.iter().map(|&i| texts[i]).collect::<Vec<_>>());
        model.draws().of(options.draw, own, &batch);
        Some(model.forward(&batch).map_err(&failed)?)
    } else {
        None
    };
    let values = match &graph {
        Some(embeddings) => embedded(embeddings),
        None if own.is_empty() => Ok(Vec::new()),
        None => parts.embeddings(model, options).and_then(|e| embedded(&e)),
    };
    let all = ranks.gather(&values.map_err(&failed)?)?;
    let together = side_by_side(model, &all, &shares).map_err(&failed)?;
    let (loss, gradient) = learn(objective, &together, options).map_err(&failed)?;
    let gradients = match graph {
        Some(embeddings) => (|| -> Result<Gradients> {
            let rows: Vec<u32> = own.iter().map(|&i| i as u32).collect();
            let rows = Tensor::from_vec(rows, own.len(), gradient.device())?;
            let surrogate = (embeddings * gradient.index_select(&rows, 0)?)?.sum_all()?;
            let mut gradients = Gradients::new();
            collect(model, &surrogate, &mut gradients)?;
            Ok(gradients)
        })(),
        None => parts.backward(model, &gradient, options),
    };
    let gradients = gradients.map_err(failed)?;
    Ok((loss, summed(model, &gradients, ranks)?))
}

fn embedded(embeddings: &Tensor) -> Result<Vec<f32>> {
    embeddings
        .detach()
        .to_dtype(DType::F32)?
        .flatten_all()?
        .to_vec1()
}

/// The embeddings of all ranks in the order of the batch.
fn side_by_side(model: &Model, all: &[Vec<f32>], shares: &[Vec<usize>]) -> Result<Tensor> {
    let texts: usize = shares.iter().map(Vec::len).sum();
    let width = all.iter().map(Vec::len).sum::<usize>() / texts.max(1);
    let mut values = vec![0.0; texts * width];
    for (rows, share) in all.iter().zip(shares) {
        if rows.len() != share.len() * width || width == 0 {
            candle_core::bail!(
                "a rank gave {} values for {} texts",
                rows.len(),
                share.len()
            );
        }
        for (row, &text) in rows.chunks_exact(width).zip(share) {
            values[text * width..(text + 1) * width].copy_from_slice(row);
        }
    }
    let options = model.options();
    Tensor::from_vec(values, (texts, width), &Device::Cpu)?
        .to_dtype(options.dtype)?
        .to_device(&options.device)
}

/// The sums of gradients over ranks. A parameter that has a gradient nowhere gets none.
fn summed(model: &Model, gradients: &Gradients, ranks: &mut dyn Ranks) -> Outcome<Gradients> {
    let failed = computing("summing gradients");
    let parameters = model.parameters();
    let mut there: Vec<u8> = Vec::with_capacity(parameters.len());
    let mut flat = Vec::with_capacity(parameters.len());
    for parameter in parameters {
        let variable = parameter.variable.as_tensor();
        let found = gradients.get(&parameter.name);
        there.push(u8::from(found.is_some()));
        let values = match found {
            Some(gradient) => gradient.to_dtype(DType::F32).and_then(|g| g.flatten_all()),
            None => Tensor::zeros(variable.elem_count(), DType::F32, variable.device()),
        };
        flat.push(values.map_err(&failed)?);
    }
    let anywhere = ranks.exchange(&there)?;
    let flat = Tensor::cat(&flat, 0).map_err(&failed)?;
    let sum = ranks.sum(&flat)?;
    let mut start = 0;
    let mut sums = Gradients::new();
    for (i, parameter) in parameters.iter().enumerate() {
        let variable = &parameter.variable;
        let n = variable.elem_count();
        if anywhere
            .iter()
            .any(|rank| rank.get(i).is_some_and(|&there| there != 0))
        {
            let gradient = sum
                .narrow(0, start, n)
                .and_then(|g| g.reshape(variable.shape())?.to_dtype(variable.dtype()))
                .map_err(&failed)?;
            sums.insert(parameter.name.clone(), gradient);
        }
        start += n;
    }
    Ok(sums)
}

/// Embeddings of which nothing that led to them is kept.
fn embed_without_graph(model: &Model, batch: &TokenBatch) -> Result<Tensor> {
    let Some(layers) = model.layers(batch)? else {
        return Ok(model.forward(batch)?.detach());
    };
    let mut hidden = layers.transformer.embed(&layers.prepared)?.detach();
    for index in 0..layers.transformer.layers() {
        hidden = layers
            .transformer
            .layer(index, &hidden, &layers.prepared)?
            .detach();
    }
    Ok(model
        .finish(&layers.transformer.finish(hidden)?, batch)?
        .detach())
}

/// Gradients of one part, with one layer's inner values in memory at a time.
fn recompute_layers(
    model: &Model,
    batch: &TokenBatch,
    gradient: &Tensor,
    gradients: &mut Gradients,
) -> Result<()> {
    let Some(layers) = model.layers(batch)? else {
        let surrogate = (model.forward(batch)? * gradient)?.sum_all()?;
        return collect(model, &surrogate, gradients);
    };
    let (transformer, prepared) = (layers.transformer, &layers.prepared);
    let mut inputs = vec![transformer.embed(prepared)?.detach()];
    for index in 0..transformer.layers() {
        inputs.push(transformer.layer(index, &inputs[index], prepared)?.detach());
    }
    let mut through = |input: Option<Tensor>,
                       run: &dyn Fn(Option<&Tensor>) -> Result<Tensor>,
                       gradient: &Tensor|
     -> Result<Option<Tensor>> {
        let input = input.map(|i| Var::from_tensor(&i)).transpose()?;
        let output = run(input.as_ref().map(Var::as_tensor))?;
        let surrogate = (output * gradient)?.sum_all()?;
        let mut store = surrogate.backward()?;
        take(model, &mut store, gradients)?;
        Ok(input
            .and_then(|i| store.remove(i.as_tensor()))
            .map(|g| g.detach()))
    };
    let missing = || candle_core::Error::Msg("a layer's input has no gradient".into());
    let mut gradient = through(
        inputs.pop(),
        &|x| {
            let hidden = x.ok_or_else(missing)?.clone();
            model.finish(&transformer.finish(hidden)?, batch)
        },
        gradient,
    )?
    .ok_or_else(missing)?;
    for index in (0..transformer.layers()).rev() {
        gradient = through(
            inputs.pop(),
            &|x| transformer.layer(index, x.ok_or_else(missing)?, prepared),
            &gradient,
        )?
        .ok_or_else(missing)?;
    }
    through(None, &|_| transformer.embed(prepared), &gradient)?;
    Ok(())
}

fn collect(model: &Model, loss: &Tensor, gradients: &mut Gradients) -> Result<()> {
    let mut store = loss.backward()?;
    take(model, &mut store, gradients)
}

/// Adds the gradients of the model's parameters.
fn take(
    model: &Model,
    store: &mut candle_core::backprop::GradStore,
    gradients: &mut Gradients,
) -> Result<()> {
    for parameter in model.parameters() {
        let Some(found) = store.remove(parameter.variable.as_tensor()) else {
            continue;
        };
        let sum = match gradients.remove(&parameter.name) {
            Some(sum) => (sum + found)?.detach(),
            None => found.detach(),
        };
        gradients.insert(parameter.name.clone(), sum);
    }
    Ok(())
}

/// Which candidates of a step with in-batch negatives are no negatives of a row: copies of its own
/// texts, and texts that are not among the `batch` examples of its batch.
#[must_use]
pub fn same_texts(examples: &[&Example], batch: usize) -> SameText {
    let hard = examples.iter().all(|e| e.negative.is_some());
    let candidates: Vec<&str> = examples
        .iter()
        .map(|e| e.second.as_str())
        .chain(
            examples
                .iter()
                .filter(|_| hard)
                .filter_map(|e| e.negative.as_deref()),
        )
        .collect();
    let rows = examples.len().max(1);
    let mut same = Vec::with_capacity(rows * candidates.len());
    for (row, example) in examples.iter().enumerate() {
        same.extend(candidates.iter().enumerate().map(|(column, candidate)| {
            let other = column % rows / batch != row / batch;
            other || *candidate == example.first || *candidate == example.second
        }));
    }
    SameText { same, by_guide: 0 }
}
