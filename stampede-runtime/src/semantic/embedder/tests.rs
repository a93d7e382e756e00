use std::io;

use tokio::sync::Barrier;

use super::*;

fn texts() -> Vec<String> {
    ["a", "bb", "ccc"].map(str::to_owned).into()
}

#[tokio::test]
async fn a_function_of_many_is_asked_once() {
    async fn embed(texts: Vec<String>) -> Result<Vec<Vec<f32>>, io::Error> {
        assert_eq!(texts.len(), 3);
        Ok(texts.iter().map(|text| vec![text.len() as f32]).collect())
    }
    let embedder = embed.into_embedder("my::embed");
    assert_eq!((embedder.model_id(), embedder.dimensions(), embedder.batch_max()), ("my::embed", 0, BATCH_MAX));
    assert_eq!(embedder.embed(&texts()).await.unwrap(), [[1.0], [2.0], [3.0]]);
}

#[tokio::test]
async fn a_function_of_one_is_asked_for_all_at_once_and_the_order_stays() {
    // Nobody passes before all three are there; then the last one goes on first.
    let (all, turns) = (Arc::new(Barrier::new(3)), tokio::sync::watch::channel(3).0);
    let embed = move |text: String| {
        let (all, turns) = (Arc::clone(&all), turns.clone());
        async move {
            all.wait().await;
            turns.subscribe().wait_for(|turn| *turn == text.len()).await.unwrap();
            turns.send_modify(|turn| *turn -= 1);
            Ok::<_, io::Error>(vec![text.len() as f32])
        }
    };
    let embedder = embed.into_embedder("my::embed");
    assert_eq!(embedder.embed(&texts()).await.unwrap(), [[1.0], [2.0], [3.0]]);
}

#[tokio::test]
async fn an_error_of_a_function_is_its_cause() {
    async fn one(_: String) -> Result<Vec<f32>, io::Error> {
        Err(io::Error::other("no"))
    }
    async fn many(_: Vec<String>) -> Result<Vec<Vec<f32>>, io::Error> {
        Err(io::Error::other("no"))
    }
    for embedder in [one.into_embedder("one"), many.into_embedder("many")] {
        let error = embedder.embed(&texts()).await.unwrap_err();
        assert_eq!(error.kind(), EmbedErrorKind::Other);
        assert_eq!(error.source().unwrap().to_string(), "no");
        // All calls of a batch get it.
        assert_eq!(error.clone().to_string(), "the embedder has failed");
    }
}

/// An empty vector is no embedding, of its own text alone.
#[tokio::test]
async fn one_text_that_fails_costs_the_others_nothing() {
    async fn one(text: String) -> Result<Vec<f32>, io::Error> {
        if text == "bb" { Err(io::Error::other("no")) } else { Ok(vec![1.0]) }
    }
    let vectors = one.into_embedder("one").embed(&texts()).await.unwrap();
    assert_eq!(vectors, [vec![1.0], vec![], vec![1.0]]);
}

#[test]
fn kinds_stand_in_their_order() {
    // They are the places of counters.
    for (at, kind) in EmbedErrorKind::ALL.into_iter().enumerate() {
        assert_eq!(kind as usize, at);
    }
}
