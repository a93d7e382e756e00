//! What the server answers, and which vector is of which text.

use serde::Deserialize;

use super::failure::Failure;

#[derive(Deserialize)]
struct Answer {
    data: Vec<Item>,
}

#[derive(Deserialize)]
struct Item {
    index: Option<usize>,
    embedding: Vec<f32>,
}

/// How many bytes the answer to so many texts may have: 8,192 numbers of 24 digits each are less than a text's share.
pub(super) fn bytes_max(texts: usize) -> usize {
    const FOR_ALL: usize = 1 << 20;
    const FOR_EACH: usize = 256 << 10;
    FOR_ALL.saturating_add(FOR_EACH.saturating_mul(texts))
}

/// The vectors in the order of the texts: that of their `index`, or where they have none, theirs.
pub(super) fn read(bytes: &[u8], texts: usize) -> Result<Vec<Vec<f32>>, Failure> {
    // Why it cannot be read is not told: that would quote the answer.
    let Answer { data } =
        serde_json::from_slice(bytes).map_err(|_| Failure::invalid("the answer is no list of embeddings"))?;
    if data.len() != texts {
        return Err(Failure::invalid(format!("the answer has {} embeddings for {texts} texts", data.len())));
    }
    if data.iter().all(|item| item.index.is_none()) {
        return Ok(data.into_iter().map(|item| item.embedding).collect());
    }
    let mut vectors: Vec<Option<Vec<f32>>> = vec![None; texts];
    for Item { index, embedding } in data {
        if let Some(place) = index.and_then(|index| vectors.get_mut(index)) {
            *place = Some(embedding);
        }
    }
    vectors
        .into_iter()
        .collect::<Option<_>>()
        .ok_or_else(|| Failure::invalid("the answer leaves a text without an embedding"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(json: &str, texts: usize) -> Result<Vec<Vec<f32>>, Failure> {
        read(json.as_bytes(), texts)
    }

    #[test]
    fn the_index_decides_and_without_one_the_order() {
        let turned = r#"{"data": [{"index": 1, "embedding": [2]}, {"index": 0, "embedding": [1.5]}], "model": "m"}"#;
        assert_eq!(of(turned, 2).unwrap(), [[1.5], [2.0]]);
        let plain = r#"{"data": [{"embedding": [2]}, {"index": null, "embedding": [1.5]}]}"#;
        assert_eq!(of(plain, 2).unwrap(), [[2.0], [1.5]]);
    }

    #[test]
    fn an_index_that_is_missing_twice_there_or_too_large_is_an_error() {
        for (one, other) in [("0", "0"), ("0", "2"), ("0", "null"), ("1", "18446744073709551615"), ("0", "-1")] {
            let json = format!(
                r#"{{"data": [{{"index": {one}, "embedding": [1]}}, {{"index": {other}, "embedding": [1]}}]}}"#
            );
            assert!(of(&json, 2).is_err(), "{json}");
        }
    }

    #[test]
    fn what_is_no_list_of_embeddings_is_an_error_that_quotes_nothing() {
        let embeddings = ["\"AACAPw==\"", "[\"secret\"]", "[null]", "[NaN]", "{}", "[[1]]"];
        let items = embeddings.map(|embedding| format!(r#"{{"data": [{{"index": 0, "embedding": {embedding}}}]}}"#));
        let others = ["", "secret", "[]", "{}", r#"{"data": {}}"#, r#"{"data": [{}]}"#, r#"{"data": []}"#, "<html>"];
        for json in items.iter().map(String::as_str).chain(others) {
            let failure = of(json, 1).unwrap_err();
            assert!(!failure.cause().contains("secret"), "{json}");
        }
    }
}
