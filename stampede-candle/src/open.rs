//! A folder, read.

use std::error::Error as StdError;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use candle_core::{DType, Device};
use candle_nn::VarBuilder;
use candle_transformers::models::bert::{BertModel, Config};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use tokenizers::{Tokenizer, TruncationParams};

use crate::model::{Model, Pooling};

/// Why a folder cannot be used: which file, and what is wrong with it.
#[derive(Debug)]
pub struct OpenError {
    file: PathBuf,
    problem: &'static str,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl OpenError {
    pub(crate) fn new(
        file: &Path,
        problem: &'static str,
        source: impl Into<Box<dyn StdError + Send + Sync>>,
    ) -> OpenError {
        OpenError { file: file.to_owned(), problem, source: Some(source.into()) }
    }

    fn plain(file: &Path, problem: &'static str) -> OpenError {
        OpenError { file: file.to_owned(), problem, source: None }
    }
}

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.problem)
    }
}

impl StdError for OpenError {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

/// What `config.json` says besides what candle reads from it.
#[derive(Deserialize)]
struct Kind {
    model_type: String,
}

#[derive(Deserialize)]
struct Longest {
    max_seq_length: Option<usize>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Pooled {
    pooling_mode_cls_token: bool,
    pooling_mode_mean_tokens: bool,
    pooling_mode_max_tokens: bool,
    pooling_mode_mean_sqrt_len_tokens: bool,
    pooling_mode_weightedmean_tokens: bool,
    pooling_mode_lasttoken: bool,
}

/// The model, and what it is called.
pub(crate) fn read(folder: &Path) -> Result<(Model, String), OpenError> {
    let about = folder.join("config.json");
    let kind: Kind = json(&about)?;
    if kind.model_type != "bert" {
        return Err(OpenError::plain(&about, "is not a BERT (`model_type`), which is what can be run"));
    }
    let config: Config = json(&about)?;
    let pooling = pooling(&folder.join("1_Pooling/config.json"))?;
    let length = longest(&folder.join("sentence_bert_config.json"), config.max_position_embeddings)?;
    let tokenizer = tokenizer(&folder.join("tokenizer.json"), length)?;

    let file = folder.join("model.safetensors");
    let weights = fs::read(&file).map_err(|error| OpenError::new(&file, "cannot be read", error))?;
    let digest = blake3::hash(&weights).to_hex();
    let name = folder.file_name().map_or_else(|| "model".into(), |name| name.to_string_lossy());
    let id = format!("{name}@{}", &digest[..16]);
    let weights = VarBuilder::from_buffered_safetensors(weights, DType::F32, &Device::Cpu)
        .map_err(|error| OpenError::new(&file, "holds no tensors", error))?;
    let bert = BertModel::load(weights, &config)
        .map_err(|error| OpenError::new(&file, "does not hold what `config.json` says", error))?;
    Ok((Model::new(bert, tokenizer, pooling, config.hidden_size), id))
}

fn json<T: DeserializeOwned>(file: &Path) -> Result<T, OpenError> {
    let text = fs::read(file).map_err(|error| OpenError::new(file, "cannot be read", error))?;
    serde_json::from_slice(&text).map_err(|error| OpenError::new(file, "does not say what it should", error))
}

/// A folder without that file is one of mean pooling.
fn pooling(file: &Path) -> Result<Pooling, OpenError> {
    if !file.exists() {
        return Ok(Pooling::Mean);
    }
    let pooled: Pooled = json(file)?;
    let others = pooled.pooling_mode_max_tokens
        || pooled.pooling_mode_mean_sqrt_len_tokens
        || pooled.pooling_mode_weightedmean_tokens
        || pooled.pooling_mode_lasttoken;
    match (pooled.pooling_mode_mean_tokens, pooled.pooling_mode_cls_token, others) {
        (true, false, false) => Ok(Pooling::Mean),
        (false, true, false) => Ok(Pooling::First),
        _ => Err(OpenError::plain(file, "asks for another pooling than that of the mean or of the first token")),
    }
}

/// The most tokens of a text.
fn longest(file: &Path, positions: usize) -> Result<usize, OpenError> {
    let said = if file.exists() { json::<Longest>(file)?.max_seq_length } else { None };
    Ok(said.unwrap_or(positions).min(positions))
}

fn tokenizer(file: &Path, length: usize) -> Result<Tokenizer, OpenError> {
    let mut tokenizer =
        Tokenizer::from_file(file).map_err(|error| OpenError::new(file, "cannot be read as a tokenizer", error))?;
    let cut = TruncationParams { max_length: length, ..TruncationParams::default() };
    tokenizer
        .with_truncation(Some(cut))
        .map_err(|error| OpenError::new(file, "does not go with the longest text", error))?;
    // What the file says is often one fixed length, which costs five times the work.
    tokenizer.with_padding(None);
    Ok(tokenizer)
}
