//! Rotary positions: inverse frequencies as transformers computes them, from both forms of the
//! configuration (`rope_theta` and `rope_scaling`, or `rope_parameters`).

use std::f64::consts::PI;

use candle_core::{Device, Result, Tensor};

use super::config::Config;
use super::ops::Rotation;
use crate::{NnError, TokenBatch};

/// Kinds of scaling that are understood.
const KINDS: [&str; 4] = ["default", "linear", "llama3", "yarn"];

/// A kind of layer with rotary positions of its own.
#[derive(Debug, Clone, Copy)]
pub struct LayerKind {
    /// Its name in `layer_types` and `rope_parameters`.
    pub name: &'static str,
    /// The field that holds its theta where there are no `rope_parameters`.
    pub theta: &'static str,
    /// Its theta where nothing says it.
    pub default_theta: f64,
    /// Whether `rope_scaling` is for it.
    pub scaled: bool,
}

/// Rotary positions of one kind of layer.
#[derive(Debug, Clone, PartialEq)]
pub struct Rope {
    /// Angle per position, for each pair of coordinates.
    inverse: Vec<f32>,
    /// Cosines and sines are multiplied by it.
    factor: f32,
}

impl Rope {
    /// Reads the configuration of a network with one kind of layer; heads are `head` wide.
    ///
    /// # Errors
    /// When the scaling is of an unknown kind or a number of it is missing or out of range.
    pub fn read(
        config: &Config<'_>,
        head: usize,
        default_theta: f64,
    ) -> std::result::Result<Self, NnError> {
        let theta = config.positive_or("rope_theta", default_theta)?;
        let parameters = match config.object("rope_parameters")? {
            Some(parameters) => Some(parameters),
            None => config.object("rope_scaling")?,
        };
        if parameters.is_some_and(|p| p.is_nested()) {
            return Err(config.error(
                "`rope_parameters` has rotary parameters per kind of layer, expected the same for all \
                 layers of this architecture"
                    .into(),
            ));
        }
        Self::scaled(config, parameters.as_ref(), head, theta)
    }

    /// Reads the configuration of a network with two kinds of layers.
    ///
    /// # Errors
    /// As [`Self::read`], and when `rope_parameters` are not given for each kind.
    pub fn of_kinds(
        config: &Config<'_>,
        head: usize,
        kinds: [LayerKind; 2],
    ) -> std::result::Result<[Self; 2], NnError> {
        let parameters = config.object("rope_parameters")?;
        let scaling = config.object("rope_scaling")?;
        if let Some(found) = parameters.filter(|p| !p.is_nested()) {
            return Err(found.error(format!(
                "`rope_parameters` holds no `{}` and `{}`",
                kinds[0].name, kinds[1].name
            )));
        }
        let rope = |kind: LayerKind| {
            let theta = config.positive_or(kind.theta, kind.default_theta)?;
            let own = match &parameters {
                Some(parameters) => parameters.object(kind.name)?,
                None => scaling.filter(|_| kind.scaled),
            };
            Self::scaled(config, own.as_ref(), head, theta)
        };
        Ok([rope(kinds[0])?, rope(kinds[1])?])
    }

    /// Reads the configuration of one kind of layer from its own parameters.
    ///
    /// # Errors
    /// As [`Self::read`].
    pub fn scaled(
        config: &Config<'_>,
        parameters: Option<&Config<'_>>,
        head: usize,
        default_theta: f64,
    ) -> std::result::Result<Self, NnError> {
        if !head.is_multiple_of(2) {
            return Err(config.error(format!(
                "heads are {head} wide, expected an even number for rotary positions"
            )));
        }
        for place in [Some(config), parameters].into_iter().flatten() {
            const KEY: &str = "partial_rotary_factor";
            if let Some(found) = place.optional_number(KEY)?.filter(|share| *share != 1.0) {
                return Err(place.invalid(KEY, &found.into(), "1: every position is rotary"));
            }
        }
        let Some(parameters) = parameters else {
            return Ok(Self::plain(head, default_theta));
        };
        let theta = parameters.positive_or("rope_theta", default_theta)?;
        let kind = match parameters.text("rope_type")? {
            Some(kind) => kind,
            None => parameters.text("type")?.unwrap_or("default"),
        };
        let plain = Self::plain(head, theta);
        match kind {
            "default" => Ok(plain),
            "linear" => {
                let factor = parameters.positive("factor")? as f32;
                Ok(Self {
                    inverse: plain.inverse.iter().map(|f| f / factor).collect(),
                    ..plain
                })
            }
            "llama3" => Self::llama3(config, parameters, &plain),
            "yarn" => Self::yarn(config, parameters, head, theta),
            other => Err(config.error(format!(
                "rotary scaling of type `{other}` is not supported, expected one of `{}`",
                KINDS.join("`, `")
            ))),
        }
    }

    fn plain(head: usize, theta: f64) -> Self {
        let inverse = (0..head / 2)
            .map(|i| 1.0 / (theta as f32).powf(2.0 * i as f32 / head as f32))
            .collect();
        Self {
            inverse,
            factor: 1.0,
        }
    }

    /// NTK-aware scaling by a fixed factor (<https://kexue.fm/archives/9706>), of a network whose own
    /// code calls it `ntk`: theta grows by the factor, and all frequencies are divided by its root.
    ///
    /// # Errors
    /// When the factor is missing or below 1, or the scaling is a mixed one.
    pub fn ntk(
        parameters: &Config<'_>,
        head: usize,
        theta: f64,
    ) -> std::result::Result<Self, NnError> {
        let factor = parameters.positive("factor")?;
        if factor < 1.0 {
            let found = serde_json::Value::from(factor);
            return Err(parameters.invalid("factor", &found, "at least 1"));
        }
        if let Some(found) = parameters.get("mixed_b") {
            return Err(parameters.invalid("mixed_b", found, "no mixed scaling"));
        }
        let root = factor.powf(2.0 / head as f64) as f32;
        let plain = Self::plain(head, theta * factor);
        Ok(Self {
            inverse: plain.inverse.iter().map(|f| f / root).collect(),
            ..plain
        })
    }

    fn original_length(
        config: &Config<'_>,
        parameters: &Config<'_>,
    ) -> std::result::Result<f64, NnError> {
        const KEY: &str = "original_max_position_embeddings";
        for config in [config, parameters] {
            if let Some(length) = config.optional_size(KEY)? {
                return Ok(length as f64);
            }
        }
        Ok(config.size("max_position_embeddings")? as f64)
    }

    /// Low frequencies are divided by `factor`, high ones kept, those between interpolated.
    fn llama3(
        config: &Config<'_>,
        parameters: &Config<'_>,
        plain: &Self,
    ) -> std::result::Result<Self, NnError> {
        let factor = parameters.positive("factor")?;
        let low = parameters.positive("low_freq_factor")?;
        let high = parameters.positive("high_freq_factor")?;
        let length = Self::original_length(config, parameters)?;
        let inverse = plain
            .inverse
            .iter()
            .map(|&f| {
                let f = f64::from(f);
                let wavelength = 2.0 * PI / f;
                let scaled = if wavelength > length / low {
                    f / factor
                } else if wavelength < length / high {
                    f
                } else {
                    let smooth = (length / wavelength - low) / (high - low);
                    (1.0 - smooth) * f / factor + smooth * f
                };
                scaled as f32
            })
            .collect();
        Ok(Self { inverse, ..*plain })
    }

    /// `YaRN` (<https://arxiv.org/abs/2309.00071>).
    fn yarn(
        config: &Config<'_>,
        parameters: &Config<'_>,
        head: usize,
        theta: f64,
    ) -> std::result::Result<Self, NnError> {
        let length = Self::original_length(config, parameters)?;
        let factor = match parameters.optional_number("factor")? {
            Some(_) => parameters.positive("factor")?,
            None => config.size("max_position_embeddings")? as f64 / length,
        };
        let scale = |mscale: f64| {
            if factor <= 1.0 {
                1.0
            } else {
                0.1 * mscale * factor.ln() + 1.0
            }
        };
        let nonzero = |key| -> std::result::Result<Option<f64>, NnError> {
            Ok(parameters.optional_number(key)?.filter(|&n| n != 0.0))
        };
        let attention = match parameters.optional_number("attention_factor")? {
            Some(attention) => attention,
            None => match (nonzero("mscale")?, nonzero("mscale_all_dim")?) {
                (Some(a), Some(b)) => scale(a) / scale(b),
                _ => scale(1.0),
            },
        };
        let width = head as f64;
        let dimension =
            |rotations: f64| width * (length / (rotations * 2.0 * PI)).ln() / (2.0 * theta.ln());
        let mut first = dimension(nonzero("beta_fast")?.unwrap_or(32.0));
        let mut last = dimension(nonzero("beta_slow")?.unwrap_or(1.0));
        if parameters.flag_or("truncate", true)? {
            first = first.floor();
            last = last.ceil();
        }
        let first = first.max(0.0);
        let mut last = last.min(width - 1.0);
        if first == last {
            last += 0.001;
        }
        let inverse = (0..head / 2)
            .map(|i| {
                let extrapolated = 1.0 / theta.powf(2.0 * i as f64 / width);
                let ramp = ((i as f64 - first) / (last - first)).clamp(0.0, 1.0);
                (extrapolated / factor * ramp + extrapolated * (1.0 - ramp)) as f32
            })
            .collect();
        Ok(Self {
            inverse,
            factor: attention as f32,
        })
    }

    /// Angle per position of each pair of coordinates.
    #[must_use]
    pub fn angles(&self) -> &[f32] {
        &self.inverse
    }

    /// What cosines and sines are multiplied by.
    #[must_use]
    pub fn factor(&self) -> f32 {
        self.factor
    }

    /// Cosines and sines of a batch; real tokens are counted from 0 in each row.
    ///
    /// # Errors
    /// When the device fails.
    pub fn rotation(&self, batch: &TokenBatch, device: &Device) -> Result<Rotation> {
        let half = self.inverse.len();
        let table = |f: fn(f32) -> f32| -> Vec<f32> {
            (0..batch.width)
                .flat_map(|p| self.inverse.iter().map(move |w| f(p as f32 * w)))
                .map(|v| v * self.factor)
                .collect()
        };
        let positions = batch.positions(0, 0);
        let gather = |table: &[f32]| {
            let mut values = Vec::with_capacity(positions.len() * half);
            for &p in &positions {
                let at = p as usize * half;
                values.extend_from_slice(&table[at..at + half]);
            }
            Tensor::from_vec(values, (batch.rows, batch.width, half), device)
        };
        Ok(Rotation {
            cos: gather(&table(f32::cos))?,
            sin: gather(&table(f32::sin))?,
        })
    }
}
