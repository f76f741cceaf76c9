//! The state of a run on disk, from which a stopped run continues, bit for bit.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device, Tensor, Var};
use serde::{Deserialize, Serialize};

use super::TrainError;
use super::best::{Best, BestStep};
use super::error::computing;
use super::model::Model;
use super::optim::{AdamW, AdamWOptions, Moments};
use super::recipe::Number;
use super::save::{self, Values};
use super::soup::Soup;
use korfinsts_base::{fs, json};
use korfinsts_nn::safetensors::Checkpoint;

/// How the names of states begin; the step follows.
const PREFIX: &str = "state-";

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Position {
    /// Names the recipe, its data and the base model: a state serves no other run.
    pub run: String,
    /// Steps done, over all stages.
    pub step: usize,
    /// Stage of the next step.
    pub stage: usize,
    /// Runs of that stage that are done.
    pub lap: usize,
    /// Steps done in the next one.
    pub in_lap: usize,
    /// The best step so far, where a dev split chooses one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub best: Option<BestStep>,
}

/// What a state keeps next to the weights as they are.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kept<'a> {
    /// Moments of the parameters.
    pub optimiser: &'a AdamW,
    /// Of a stage of several runs.
    pub soup: Option<&'a Soup>,
    /// Of a run that is chosen by a dev split.
    pub best: Option<&'a Best>,
}

/// What a state puts back.
#[derive(Debug)]
pub(super) struct Restored {
    pub optimiser: AdamW,
    pub soup: Option<Soup>,
    pub best: Option<Best>,
}

fn values(name: &str, tensor: &Tensor) -> Result<Values, TrainError> {
    Ok(Values {
        name: name.to_owned(),
        shape: tensor.dims().to_vec(),
        values: tensor
            .to_dtype(DType::F32)
            .and_then(|t| t.to_device(&Device::Cpu)?.flatten_all()?.to_vec1())
            .map_err(computing("reading the state"))?,
    })
}

/// Writes a state as a folder that is there whole or not at all, then removes older ones.
///
/// # Errors
/// When a file cannot be written.
pub(super) fn write(
    folder: &Path,
    position: &Position,
    model: &Model,
    kept: Kept<'_>,
) -> Result<(), TrainError> {
    fs::create_dir(folder)?;
    let unfinished = fs::temporary_dir_in(folder)?;
    let mut parameters = Vec::new();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for parameter in model.parameters() {
        parameters.push(values(&parameter.name, parameter.variable.as_tensor())?);
        if let Some(moments) = kept.optimiser.moments().get(&parameter.name) {
            first.push(values(&parameter.name, moments.first.as_tensor())?);
            second.push(values(&parameter.name, moments.second.as_tensor())?);
        }
    }
    let mut files = vec![
        ("parameters", parameters),
        ("first", first),
        ("second", second),
    ];
    let lists = [
        ("start", kept.soup.map(|s| &s.start)),
        ("sum", kept.soup.map(|s| &s.sum)),
        ("best", kept.best.map(|b| &b.weights)),
    ];
    for (name, tensors) in lists {
        let Some(tensors) = tensors else { continue };
        let tensors = model
            .parameters()
            .iter()
            .zip(tensors)
            .map(|(parameter, tensor)| values(&parameter.name, tensor))
            .collect::<Result<_, _>>()?;
        files.push((name, tensors));
    }
    for (name, tensors) in &files {
        let bytes = save::safetensors(tensors, Number::Float32)?;
        let path = unfinished.path().join(format!("{name}.safetensors"));
        fs::write_atomic(&path, &bytes)?;
    }
    let text = json::pretty(position);
    fs::write_atomic(&unfinished.path().join("position.json"), &text)?;
    let target = folder.join(format!("{PREFIX}{:09}", position.step));
    fs::discard_dir(&target)?;
    fs::rename(unfinished.path(), &target)?;
    for other in states(folder)? {
        if other != target {
            fs::discard_dir(&other)?;
        }
    }
    Ok(())
}

/// States in a folder, the last one last.
fn states(folder: &Path) -> Result<Vec<PathBuf>, TrainError> {
    if !fs::exists(folder) {
        return Ok(Vec::new());
    }
    let mut found = fs::list(folder)?;
    found.retain(|p| {
        p.file_name()
            .is_some_and(|n| n.to_string_lossy().starts_with(PREFIX))
    });
    Ok(found)
}

/// Whether an earlier run kept a state.
///
/// # Errors
/// When the folder cannot be listed.
pub fn any(folder: &Path) -> Result<bool, TrainError> {
    Ok(!states(folder)?.is_empty())
}

/// Where an earlier run stopped, if it kept a state.
///
/// # Errors
/// When the state belongs to another run or cannot be read.
pub fn find(folder: &Path, run: &str) -> Result<Option<(PathBuf, Position)>, TrainError> {
    let Some(path) = states(folder)?.pop() else {
        return Ok(None);
    };
    let broken = |reason: String| TrainError::State {
        path: path.clone(),
        reason,
    };
    let text = fs::read(&path.join("position.json"))?;
    let position: Position =
        serde_json::from_slice(&text).map_err(|e| broken(format!("it is damaged: {e}")))?;
    if position.run != run {
        return Err(broken(
            "it belongs to a run with another recipe, other data or another base model".into(),
        ));
    }
    Ok(Some((path, position)))
}

/// Removes every state.
///
/// # Errors
/// When one cannot be removed.
pub fn clear(folder: &Path) -> Result<(), TrainError> {
    for path in states(folder)? {
        fs::discard_dir(&path)?;
    }
    Ok(())
}

/// Puts a state back: parameters into the model, moments into the optimiser that is returned, with
/// what was kept next to them.
///
/// # Errors
/// When the state does not fit the model.
pub(super) fn restore(
    path: &Path,
    position: &Position,
    model: &Model,
    options: AdamWOptions,
) -> Result<Restored, TrainError> {
    let open = |name: &str| Checkpoint::open(&[path.join(format!("{name}.safetensors"))]);
    let (parameters, first, second) = (open("parameters")?, open("first")?, open("second")?);
    let mut moments = BTreeMap::new();
    for parameter in model.parameters() {
        let (name, variable) = (&parameter.name, &parameter.variable);
        let values = tensor(path, &parameters, name, variable)?;
        variable.set(&values).map_err(reading)?;
        if first.get(name).is_some() && second.get(name).is_some() {
            let moment =
                |from| Var::from_tensor(&tensor(path, from, name, variable)?).map_err(reading);
            let (first, second) = (moment(&first)?, moment(&second)?);
            moments.insert(name.clone(), Moments { first, second });
        }
    }
    let optimiser = AdamW::resumed(options, position.in_lap, moments);
    let of = |name: &str| -> Result<Vec<Tensor>, TrainError> {
        let file = open(name)?;
        model
            .parameters()
            .iter()
            .map(|p| tensor(path, &file, &p.name, &p.variable))
            .collect()
    };
    let soup = if fs::exists(&path.join("sum.safetensors")) {
        let (start, sum) = (of("start")?, of("sum")?);
        Some(Soup { start, sum })
    } else {
        None
    };
    let best = match position.best.clone() {
        Some(at) => {
            let weights = of("best")?;
            Some(Best { at, weights })
        }
        None => None,
    };
    Ok(Restored {
        optimiser,
        soup,
        best,
    })
}

/// A tensor of a state, as `like` is: shape, number type, device.
fn tensor(path: &Path, from: &Checkpoint, name: &str, like: &Var) -> Result<Tensor, TrainError> {
    let wrong = |reason: String| TrainError::State {
        path: path.to_owned(),
        reason,
    };
    let Some(found) = from.get(name) else {
        return Err(wrong(format!("it holds no `{name}`")));
    };
    if found.shape != like.dims() {
        return Err(wrong(format!("`{name}` has the shape {:?}", found.shape)));
    }
    Tensor::from_raw_buffer(&found.bytes(), DType::F32, found.shape, &Device::Cpu)
        .and_then(|t| t.to_dtype(like.dtype())?.to_device(like.device()))
        .map_err(reading)
}

fn reading(error: candle_core::Error) -> TrainError {
    computing("reading the state")(error)
}
