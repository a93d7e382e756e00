//! A real model, beside what it should say.
//!
//! `STAMPEDE_MODEL` names the folder of all-MiniLM-L6-v2; else it is looked for in `.servers`, where `scripts/candle` puts it.
//! Where there is none, a test says so in one line and is over, unless `STAMPEDE_TEST_SERVERS=required`.

use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use stampede_candle::SentenceTransformer;
use stampede_runtime::semantic::{EmbedErrorKind, Embedder};
use stampede_runtime::testing::isolate_with;
use stampede_runtime::{Config, outcome, semantic_coalesce};

/// A text, and its vector by the same model in double precision.
#[derive(Deserialize)]
struct Reference {
    text: String,
    tokens: usize,
    vector: Vec<f32>,
}

fn references() -> Vec<Reference> {
    serde_json::from_str(include_str!("all-MiniLM-L6-v2.json")).expect("it is a list of them")
}

fn folder(test: &str) -> Option<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.servers/all-MiniLM-L6-v2");
    let folder = std::env::var_os("STAMPEDE_MODEL").map_or(here, PathBuf::from);
    if folder.join("model.safetensors").exists() {
        return Some(folder);
    }
    let is_required = std::env::var_os("STAMPEDE_TEST_SERVERS").is_some_and(|what| what == "required");
    assert!(!is_required, "{test}: there is no model in {}", folder.display());
    eprintln!("skipped: {test}: there is no model in {}", folder.display());
    None
}

/// The largest difference of a number.
fn difference(one: &[f32], other: &[f32]) -> f32 {
    assert_eq!(one.len(), other.len());
    one.iter().zip(other).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max)
}

#[tokio::test]
async fn vectors_are_those_of_the_reference() {
    let Some(folder) = folder("vectors_are_those_of_the_reference") else { return };
    let references = references();
    assert!(references.iter().any(|reference| reference.tokens == 256), "one is cut");
    let texts: Vec<_> = references.iter().map(|reference| reference.text.clone()).collect();
    for threads in [1, 3] {
        let model = SentenceTransformer::builder().threads(threads).open(&folder).expect("a model");
        let together = model.embed(&texts).await.expect("vectors");
        let mut most = 0.0_f32;
        for (reference, together) in references.iter().zip(&together) {
            let alone = model.embed(std::slice::from_ref(&reference.text)).await.expect("a vector");
            for vector in [&alone[0], together] {
                let difference = difference(vector, &reference.vector);
                assert!(difference < 1e-5, "{:?} on {threads} threads: {difference:e}", reference.text);
                most = most.max(difference);
            }
        }
        println!("{threads} threads: at most {most:e} from the reference");
    }
}

#[tokio::test]
async fn a_model_says_which_it_is() {
    let Some(folder) = folder("a_model_says_which_it_is") else { return };
    let model = SentenceTransformer::open(&folder).expect("a model");
    assert_eq!((model.dimensions(), model.batch_max()), (384, 64));
    assert!(model.model_id().starts_with("all-MiniLM-L6-v2@") || std::env::var_os("STAMPEDE_MODEL").is_some());
    assert_eq!(model.model_id(), SentenceTransformer::open(&folder).expect("a model").model_id());
    let named = SentenceTransformer::builder().model_id("mine").open(&folder).expect("a model");
    assert_eq!(named.model_id(), "mine");
    assert!(named.embed(&[]).await.expect("no vectors").is_empty());
}

/// Who leaves frees the place, and who comes when all are taken is told so at once.
#[tokio::test(flavor = "multi_thread")]
async fn batches_that_nobody_waits_for_are_not_made() {
    let Some(folder) = folder("batches_that_nobody_waits_for_are_not_made") else { return };
    let model = SentenceTransformer::open(&folder).expect("a model");
    let long: Vec<String> = vec!["word ".repeat(30); 64];
    let mut waiting = Vec::new();
    let refused = loop {
        let mut one = Box::pin(model.embed(&long));
        match futures_poll(&mut one) {
            Some(answer) => break answer,
            None => waiting.push(one),
        }
        assert!(waiting.len() <= 64);
    };
    assert_eq!(refused.expect_err("all places are taken").kind(), EmbedErrorKind::RateLimited);
    drop(waiting);
    let one = ["short".to_owned()];
    loop {
        match model.embed(&one).await {
            Ok(vectors) => break assert_eq!(vectors[0].len(), 384),
            Err(error) => assert_eq!(error.kind(), EmbedErrorKind::RateLimited),
        }
        tokio::task::yield_now().await;
    }
}

fn futures_poll<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    let polled = std::pin::Pin::new(future).poll(&mut std::task::Context::from_waker(std::task::Waker::noop()));
    match polled {
        std::task::Poll::Ready(output) => Some(output),
        std::task::Poll::Pending => None,
    }
}

#[semantic_coalesce(threshold = 0.7)]
async fn answer(question: &str) -> String {
    format!("about {question}")
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_mean_the_same_become_one() {
    let Some(folder) = folder("calls_that_mean_the_same_become_one") else { return };
    let model = SentenceTransformer::open(&folder).expect("a model");
    let _isolated = isolate_with(Config::builder().embedder(model).build().expect("a configuration"));
    answer("How do I reset my password?").await;
    let (said, how) = outcome(answer("How can I reset my password?")).await;
    assert_eq!(said, "about How do I reset my password?", "{how:?}");
    assert_eq!(answer("How do I bake a cake?").await, "about How do I bake a cake?");
}

/// A folder with some of a model's files, and others in their place.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str, files: &[(&str, &[u8])]) -> Folder {
        let folder = std::env::temp_dir().join(format!("stampede-candle-{name}-{}", std::process::id()));
        fs::create_dir_all(folder.join("1_Pooling")).expect("a folder");
        for (file, content) in files {
            fs::write(folder.join(file), content).expect("a file");
        }
        Folder(folder)
    }

    fn problem(&self) -> String {
        SentenceTransformer::open(&self.0).expect_err("it is no model").to_string()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

#[test]
fn what_is_no_model_is_said_of_its_file() {
    let config = br#"{"model_type": "bert", "vocab_size": 10, "hidden_size": 4, "num_hidden_layers": 1,
        "num_attention_heads": 2, "intermediate_size": 8, "hidden_act": "gelu", "hidden_dropout_prob": 0.1,
        "max_position_embeddings": 16, "type_vocab_size": 2, "initializer_range": 0.02, "layer_norm_eps": 1e-12,
        "pad_token_id": 0}"#;
    let tokenizer = br#"{"version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": null, "post_processor": null, "decoder": null,
        "model": {"type": "WordLevel", "vocab": {"[UNK]": 0, "a": 1}, "unk_token": "[UNK]"}}"#;
    let sure: &[(&str, &[u8])] = &[("config.json", config), ("tokenizer.json", tokenizer)];
    let with =
        |name: &str, file: &str, content: &[u8]| Folder::new(name, &[sure, &[(file, content)]].concat()).problem();

    let none = Folder::new("none", &[]).problem();
    assert!(none.ends_with("config.json: cannot be read"), "{none}");
    let other = with("other", "config.json", br#"{"model_type": "t5"}"#);
    assert!(other.ends_with("config.json: is not a BERT (`model_type`), which is what can be run"), "{other}");
    let broken = with("broken", "config.json", b"{\"model_type\": \"bert\"}");
    assert!(broken.ends_with("config.json: does not say what it should"), "{broken}");
    let pooled = with("pooled", "1_Pooling/config.json", br#"{"pooling_mode_max_tokens": true}"#);
    assert!(pooled.ends_with("asks for another pooling than that of the mean or of the first token"), "{pooled}");
    let words = with("words", "tokenizer.json", b"[]");
    assert!(words.ends_with("tokenizer.json: cannot be read as a tokenizer"), "{words}");
    let absent = Folder::new("absent", sure).problem();
    assert!(absent.ends_with("model.safetensors: cannot be read"), "{absent}");
    let empty = with("empty", "model.safetensors", b"");
    assert!(empty.ends_with("model.safetensors: holds no tensors"), "{empty}");
    let less = with("less", "model.safetensors", b"\x02\0\0\0\0\0\0\0{}");
    assert!(less.ends_with("model.safetensors: does not hold what `config.json` says"), "{less}");
}
