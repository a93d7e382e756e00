//! Texts to vectors.

use std::ops::Range;

use candle_core::{DType, Device, IndexOp, Result, Tensor};
use candle_transformers::models::bert::BertModel;
use stampede_runtime::semantic::{EmbedError, EmbedErrorKind};
use tokenizers::{Encoding, Tokenizer};

/// So many tokens go through the model at once, padding included: more need more memory and are no faster.
const TOKENS_MAX: usize = 2048;

/// How the vectors of a text's tokens become one.
pub(crate) enum Pooling {
    Mean,
    First,
}

pub(crate) struct Model {
    bert: BertModel,
    tokenizer: Tokenizer,
    pooling: Pooling,
    dimensions: usize,
}

impl Model {
    pub(crate) fn new(bert: BertModel, tokenizer: Tokenizer, pooling: Pooling, dimensions: usize) -> Model {
        Model { bert, tokenizer, pooling, dimensions }
    }

    pub(crate) fn dimensions(&self) -> usize {
        self.dimensions
    }

    /// A vector for each text, in their order.
    pub(crate) fn embed(&self, texts: &[String]) -> std::result::Result<Vec<Vec<f32>>, EmbedError> {
        let encodings = texts.iter().map(|text| self.tokenizer.encode(text.as_str(), true));
        let encodings: Vec<_> = encodings
            .collect::<std::result::Result<_, _>>()
            .map_err(|error| EmbedError::new(EmbedErrorKind::Unsuitable, error))?;
        // Those of about one length together: little is padding.
        let mut order: Vec<_> = (0..encodings.len()).collect();
        order.sort_by_key(|at| encodings[*at].len());
        let sorted: Vec<_> = order.iter().map(|at| &encodings[*at]).collect();
        let mut vectors = vec![Vec::new(); texts.len()];
        for some in batches(&sorted) {
            let made =
                self.forward(&sorted[some.clone()]).map_err(|error| EmbedError::new(EmbedErrorKind::Other, error))?;
            for (at, vector) in order[some].iter().zip(made) {
                vectors[*at] = vector;
            }
        }
        Ok(vectors)
    }

    fn forward(&self, encodings: &[&Encoding]) -> Result<Vec<Vec<f32>>> {
        let length = encodings.last().map_or(0, |longest| longest.len());
        let padded = |part: fn(&Encoding) -> &[u32]| {
            let all = encodings.iter().flat_map(|encoding| {
                let padding = length - encoding.len();
                part(encoding).iter().copied().chain(std::iter::repeat_n(0, padding))
            });
            Tensor::from_vec(all.collect::<Vec<_>>(), (encodings.len(), length), &Device::Cpu)
        };
        let mask = padded(Encoding::get_attention_mask)?;
        let states = self.bert.forward(&padded(Encoding::get_ids)?, &padded(Encoding::get_type_ids)?, Some(&mask))?;
        let pooled = match self.pooling {
            Pooling::First => states.i((.., 0))?,
            Pooling::Mean => {
                let mask = mask.to_dtype(DType::F32)?.unsqueeze(2)?;
                states.broadcast_mul(&mask)?.sum(1)?.broadcast_div(&mask.sum(1)?)?
            }
        };
        let lengths = pooled.sqr()?.sum_keepdim(1)?.sqrt()?;
        pooled.broadcast_div(&lengths)?.to_vec2()
    }
}

/// Parts of some encodings, the shortest of which comes first.
fn batches(encodings: &[&Encoding]) -> Vec<Range<usize>> {
    let (mut parts, mut from) = (Vec::new(), 0);
    for at in 0..encodings.len() {
        if at > from && (at + 1 - from) * encodings[at].len() > TOKENS_MAX {
            parts.push(from..at);
            from = at;
        }
    }
    if from < encodings.len() {
        parts.push(from..encodings.len());
    }
    parts
}
