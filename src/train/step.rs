//! One step: loss and gradients of a batch, whole or in parts.
//!
//! In parts (`GradCache`, Gao et al., 2021): embeddings of the whole batch are computed part by part
//! without keeping what led to them, the loss gives a gradient for each embedding, and each part
//! is computed again with that gradient. The gradients equal those of the whole batch, and memory
//! is that of one part. Gradient checkpointing does the same with layers.

use candle_core::{Result, Tensor, Var};

use super::batch::Example;
use super::loss::{self, SameText};
use super::model::Model;
use super::optim::Gradients;
use crate::encoder::{PreparedText, TokenBatch};

/// What one batch is trained for.
#[derive(Debug, Clone)]
pub enum Objective {
    /// Equation 1: roles anchor, positive, negative, each `n` texts.
    Triplet {
        /// Temperature.
        temperature: f64,
    },
    /// Equation 1 with in-batch negatives: anchors, positives and, with `hard`, negatives.
    InBatch {
        /// Temperature.
        temperature: f64,
        /// Whether negatives come with the triplets.
        hard: bool,
        /// Candidates that are copies of a row's own texts.
        same: SameText,
    },
    /// Pairs with gold scores: first and second texts.
    Scored {
        /// Temperature.
        temperature: f64,
        /// Gold scores.
        gold: Vec<f64>,
    },
    /// Texts with a teacher's embeddings; in two languages where `views` is 2: first all texts
    /// in the teacher's language, then their translations.
    Distil {
        /// The teacher's embeddings `[n, dimension]`, rows of length 1.
        teacher: Tensor,
        /// How often the teacher's rows stand in the batch: 1 or 2.
        views: usize,
        /// Rows of the batch, behind the views, with embeddings of their own and no part in the
        /// similarity matrices.
        extra: Option<Tensor>,
        /// Weight of the similarity matrices.
        similarity: f64,
        /// Weight of the similarities of neighbours: rows 0 and 1, 2 and 3, and so on.
        neighbours: f64,
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
            Self::InBatch {
                temperature,
                hard,
                same,
            } => {
                if *hard {
                    let negative = role(2, 3)?;
                    loss::in_batch(
                        &role(0, 3)?,
                        &role(1, 3)?,
                        Some(&negative),
                        same,
                        *temperature,
                    )
                } else {
                    loss::in_batch(&role(0, 2)?, &role(1, 2)?, None, same, *temperature)
                }
            }
            Self::Scored { temperature, gold } => {
                loss::cosent(&role(0, 2)?, &role(1, 2)?, gold, *temperature)
            }
            Self::Distil {
                teacher,
                views,
                extra,
                similarity,
                neighbours,
            } => distil(
                all,
                teacher,
                *views,
                extra.as_ref(),
                [*similarity, *neighbours],
            ),
        }
    }
}

fn distil(
    all: &Tensor,
    teacher: &Tensor,
    views: usize,
    extra: Option<&Tensor>,
    [similarity, neighbours]: [f64; 2],
) -> Result<Tensor> {
    let n = teacher.dim(0)?;
    let mut targets: Vec<&Tensor> = vec![teacher; views];
    targets.extend(extra);
    let mut total = loss::to_teacher(all, &Tensor::cat(&targets, 0)?)?;
    if similarity > 0.0 {
        let view = |i: usize| all.narrow(0, i * n, n);
        for i in 0..views {
            for j in i..views {
                let part = loss::similarities(&view(i)?, &view(j)?, teacher)?;
                total = (total + (part * similarity)?)?;
            }
        }
    }
    if neighbours > 0.0 && n > 1 {
        for i in 0..views {
            for j in 0..views {
                let (first, second) = (all.narrow(0, i * n, n)?, all.narrow(0, j * n, n)?);
                let part = loss::neighbours(&first, &second, teacher)?;
                total = (total + (part * neighbours)?)?;
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
) -> Result<(f64, Gradients)> {
    let (loss, mut gradients) = compute(model, texts, objective, options)?;
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
    Ok((loss, gradients))
}

fn compute(
    model: &Model,
    texts: &[&PreparedText],
    objective: &Objective,
    options: StepOptions<'_>,
) -> Result<(f64, Gradients)> {
    let part = match options.micro_batch {
        0 => texts.len(),
        n => n,
    };
    let mut gradients = Gradients::new();
    if part >= texts.len() && !options.checkpointing {
        let embeddings = model.forward(&model.batch(texts))?;
        let loss = nested(objective, &embeddings, options.widths)?;
        collect(model, &loss, &mut gradients)?;
        return Ok((loss::value(&loss)?, gradients));
    }
    // Texts of like length share a part, so that little is padding.
    let mut order: Vec<usize> = (0..texts.len()).collect();
    order.sort_by_key(|&i| (texts[i].ids.len(), i));
    let parts: Vec<TokenBatch> = order
        .chunks(part.max(1))
        .map(|rows| model.batch(&rows.iter().map(|&i| texts[i]).collect::<Vec<_>>()))
        .collect();
    let embeddings: Result<Vec<Tensor>> = parts
        .iter()
        .map(|batch| embed_without_graph(model, batch))
        .collect();
    let sorted = Tensor::cat(&embeddings?, 0)?;
    let mut back = vec![0_u32; texts.len()];
    for (at, &i) in order.iter().enumerate() {
        back[i] = at as u32;
    }
    let back = Tensor::from_vec(back, texts.len(), sorted.device())?;
    let sorted = Var::from_tensor(&sorted)?;
    let loss = nested(
        objective,
        &sorted.as_tensor().index_select(&back, 0)?,
        options.widths,
    )?;
    let store = loss.backward()?;
    let Some(gradient) = store.get(sorted.as_tensor()) else {
        candle_core::bail!("the loss does not depend on the embeddings");
    };
    let mut start = 0;
    for batch in &parts {
        let gradient = gradient.narrow(0, start, batch.rows)?.detach();
        start += batch.rows;
        if options.checkpointing {
            recompute_layers(model, batch, &gradient, &mut gradients)?;
        } else {
            let surrogate = (model.forward(batch)? * gradient)?.sum_all()?;
            collect(model, &surrogate, &mut gradients)?;
        }
    }
    Ok((loss::value(&loss)?, gradients))
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

/// Which candidates of a batch with in-batch negatives are copies of a row's own texts.
#[must_use]
pub fn same_texts(examples: &[&Example]) -> SameText {
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
    let same = examples
        .iter()
        .flat_map(|row| {
            candidates
                .iter()
                .map(move |c| *c == row.first || *c == row.second)
        })
        .collect();
    SameText { same }
}
