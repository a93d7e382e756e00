//! A vector that stands for a meaning, checked before anything is compared with it.

use std::fmt;
use std::sync::Arc;

use super::{EmbedError, EmbedErrorKind};

/// A direction: a vector of length 1.
///
/// How close two of them are is the cosine of the angle between them, from -1 to 1. A vector without a direction (zero), or
/// with a number that is none, is no embedding: comparisons with it would mean nothing.
#[derive(Clone, PartialEq)]
pub struct Embedding(Arc<[f32]>);

impl Embedding {
    /// The direction of an embedder's answer.
    ///
    /// # Errors
    /// [`EmbedErrorKind::Invalid`]: it is empty, zero, holds something that is not a finite number, or has another number
    /// of dimensions than the `dimensions` that are expected (0: any).
    pub fn new(values: Vec<f32>, dimensions: usize) -> Result<Embedding, EmbedError> {
        if values.is_empty() || dimensions != 0 && values.len() != dimensions {
            let problem = format!("an embedding has {} dimensions, and {dimensions} are expected", values.len());
            return Err(EmbedError::new(EmbedErrorKind::Invalid, problem));
        }
        // In `f64`, where no sum of squares of finite numbers overflows.
        let square: f64 = values.iter().map(|&value| f64::from(value) * f64::from(value)).sum();
        if !square.is_finite() || square == 0.0 {
            return Err(EmbedError::new(
                EmbedErrorKind::Invalid,
                "an embedding is zero or holds what is no finite number",
            ));
        }
        let length = square.sqrt();
        #[expect(clippy::cast_possible_truncation, reason = "a part of a vector of length 1")]
        let values = values.into_iter().map(|value| (f64::from(value) / length) as f32).collect();
        Ok(Embedding(values))
    }

    /// Its numbers.
    #[must_use]
    pub fn as_slice(&self) -> &[f32] {
        &self.0
    }

    /// How many there are.
    #[must_use]
    pub fn dimensions(&self) -> usize {
        self.0.len()
    }

    /// The cosine of the angle to another, from -1 to 1. `None`: that has another number of dimensions.
    #[must_use]
    pub fn similarity(&self, other: &Embedding) -> Option<f32> {
        (self.dimensions() == other.dimensions()).then(|| dot(&self.0, &other.0).clamp(-1.0, 1.0))
    }
}

/// Numbers of a meaning say something of the text, so they are not shown.
impl fmt::Debug for Embedding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Embedding").field("dimensions", &self.dimensions()).finish_non_exhaustive()
    }
}

/// The scalar product of two vectors of one length.
pub(crate) fn dot(one: &[f32], other: &[f32]) -> f32 {
    // Independent sums: one after the other, each addition would wait for the last.
    const LANES: usize = 16;
    let (ones, others) = (one.chunks_exact(LANES), other.chunks_exact(LANES));
    let rest: f32 = ones.remainder().iter().zip(others.remainder()).map(|(a, b)| a * b).sum();
    let mut sums = [0.0_f32; LANES];
    for (one, other) in ones.zip(others) {
        for lane in 0..LANES {
            sums[lane] += one[lane] * other[lane];
        }
    }
    sums.iter().sum::<f32>() + rest
}
