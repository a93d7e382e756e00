//! What identifies a call: the arguments, typed and compared in full; or what `key`, `skip` and `fields` say.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::sync::Arc;

use serde::Serialize;
use serde_json::json;
use stampede_runtime::{coalesce, coalesce_by_content};

use super::help::{World, alone};

/// How many executions a function has had.
macro_rules! executions {
    ($function:ident) => {
        $function::stats().executions
    };
}

#[tokio::test(start_paused = true)]
async fn arguments_are_told_apart_by_position_and_in_full() {
    #[coalesce(ttl = "1h")]
    async fn two(a: &str, b: &str) -> String {
        format!("{a}|{b}")
    }

    alone(async {
        let calls = [("a", "b"), ("b", "a"), ("ab", ""), ("", "ab"), ("a:b", ""), ("a", "b ")];
        for _ in 0..2 {
            for (a, b) in calls {
                assert_eq!(two(a, b).await, format!("{a}|{b}"));
            }
        }
        assert_eq!(executions!(two), 6);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn all_kinds_of_arguments_can_identify_a_call() {
    #[derive(Clone, PartialEq, Eq, Hash)]
    struct Page {
        site: String,
        number: u64,
    }

    #[coalesce(ttl = "1h")]
    async fn many(
        text: &str,
        parts: &[u8],
        page: &Page,
        tag: Option<&str>,
        owned: String,
        flag: bool,
        unit: (),
    ) -> usize {
        let () = unit;
        text.len() + parts.len() + page.site.len() + tag.map_or(0, str::len) + owned.len() + usize::from(flag)
    }

    #[coalesce(ttl = "1h")]
    async fn first_argument_counts(page: Page) -> u64 {
        page.number
    }

    alone(async {
        let page = Page { site: "site".to_owned(), number: 1 };
        let base = || many("text", &[1, 2], &page, Some("tag"), "owned".to_owned(), true, ());
        base().await;
        base().await;
        assert_eq!(executions!(many), 1);
        many("next", &[1, 2], &page, Some("tag"), "owned".to_owned(), true, ()).await;
        many("text", &[1, 3], &page, Some("tag"), "owned".to_owned(), true, ()).await;
        many("text", &[1, 2], &Page { number: 2, ..page.clone() }, Some("tag"), "owned".to_owned(), true, ()).await;
        many("text", &[1, 2], &page, None, "owned".to_owned(), true, ()).await;
        many("text", &[1, 2], &page, Some("tag"), "other".to_owned(), true, ()).await;
        many("text", &[1, 2], &page, Some("tag"), "owned".to_owned(), false, ()).await;
        assert_eq!(executions!(many), 7);

        assert_eq!(first_argument_counts(Page { number: 1, ..page.clone() }).await, 1);
        assert_eq!(first_argument_counts(Page { number: 2, ..page.clone() }).await, 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn floats_are_equal_when_they_ask_the_same() {
    #[coalesce(ttl = "1h")]
    async fn at(temperature: f64, _exact: f32) -> String {
        temperature.to_string()
    }

    alone(async {
        at(0.0, 1.0).await;
        at(-0.0, 1.0).await;
        assert_eq!(executions!(at), 1);
        at(f64::NAN, 1.0).await;
        at(-f64::NAN, 1.0).await;
        assert_eq!(executions!(at), 2);
        at(0.5, 1.0).await;
        at(0.5, 1.5).await;
        assert_eq!(executions!(at), 4);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn skipped_arguments_do_not_identify_a_call() {
    #[coalesce(ttl = "1h", skip(trace, world))]
    async fn traced(key: u32, trace: &str, world: Arc<World>) -> String {
        world.begin();
        format!("{key} {trace}")
    }

    alone(async {
        let world = World::new();
        assert_eq!(traced(1, "first", Arc::clone(&world)).await, "1 first");
        assert_eq!(traced(1, "second", World::new()).await, "1 first");
        assert_eq!(traced(2, "first", Arc::clone(&world)).await, "2 first");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_text_key_formats_its_arguments() {
    #[coalesce(ttl = "1h", key = "user:{id}")]
    async fn user(id: u64, _trace: u64) -> u64 {
        id
    }

    #[coalesce(ttl = "1h", key = "{a}:{b}")]
    async fn pair(a: &str, b: &str) -> String {
        format!("{a}|{b}")
    }

    alone(async {
        user(1, 1).await;
        user(1, 2).await;
        user(2, 1).await;
        assert_eq!(executions!(user), 2);
        assert_eq!(pair("a", "b").await, "a|b");
        assert_eq!(pair("b", "a").await, "b|a");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn a_text_key_never_mixes_different_arguments() {
    #[coalesce(ttl = "1h", key = "{a}:{b}")]
    async fn pair(a: &str, b: &str) -> String {
        format!("{a}|{b}")
    }

    alone(async {
        assert_eq!(pair("a:b", "c").await, "a:b|c");
        assert_eq!(pair("a", "b:c").await, "a|b:c");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn names_of_arguments_clash_with_nothing() {
    #[coalesce(ttl = "1h")]
    async fn names(key: u32, owned: u32, site: &str, boarding: u32, r#type: &str, value: u32, this: u32) -> String {
        format!("{key} {owned} {site} {boarding} {value} {this} ") + r#type
    }

    alone(async {
        assert_eq!(names(1, 2, "3", 4, "5", 6, 7).await, "1 2 3 4 6 7 5");
        assert!(names::peek(1, 2, "3", 4, "5", 6, 7).is_some());
    })
    .await;
}

#[coalesce_by_content(ttl = "1h")]
async fn content(text: &str) -> String {
    text.to_owned()
}

#[tokio::test(start_paused = true)]
async fn content_is_equal_after_normalisation() {
    alone(async {
        let same = [
            "Straße nach Köln",
            "  straße   nach\tköln\n",
            "STRASSE NACH KÖLN",
            // The umlaut as two characters, and full-width letters.
            "Strasse nach Ko\u{308}ln",
            "\u{ff33}trasse nach Köln",
        ];
        for text in same {
            assert_eq!(content(text).await, same[0]);
        }
        for other in ["Strasse nachKöln", "Strasse nach Koln", "Strasse, nach Köln", ""] {
            assert_eq!(content(other).await, other);
        }
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn each_step_of_normalisation_can_be_left_out() {
    #[coalesce_by_content(ttl = "1h", normalize = none)]
    async fn exact(text: &str) -> String {
        text.to_owned()
    }

    #[coalesce_by_content(ttl = "1h", normalize(trim))]
    async fn trimmed(text: &str) -> String {
        text.to_owned()
    }

    #[coalesce_by_content(ttl = "1h", normalize(case, spaces))]
    async fn folded(text: &str) -> String {
        text.to_owned()
    }

    alone(async {
        for text in ["a b", "A b", "a  b", " a b", "\u{ff41} b"] {
            assert_eq!(exact(text).await, text);
        }
        assert_eq!(trimmed("a b").await, trimmed("  a b\n").await);
        for text in ["A b", "a  b", "\u{ff41} b"] {
            assert_eq!(trimmed(text).await, text);
        }
        assert_eq!(folded("a b").await, folded("A  B").await);
        assert_eq!(folded("\u{ff41} b").await, "\u{ff41} b");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fields_choose_what_identifies_a_call() {
    #[coalesce_by_content(ttl = "1h", fields = [topic, context])]
    async fn explain(topic: &str, context: &str, user: u64) -> String {
        format!("{topic}, {context}, {user}")
    }

    #[coalesce_by_content(ttl = "1h", fields = ["topic"])]
    async fn quoted(topic: &str, user: u64) -> String {
        format!("{topic}, {user}")
    }

    #[coalesce_by_content(ttl = "1h", fields(topic))]
    async fn called(topic: &str, user: u64) -> String {
        format!("{topic}, {user}")
    }

    alone(async {
        assert_eq!(explain("Python", "Rust", 1).await, "Python, Rust, 1");
        assert_eq!(explain("python", " rust", 2).await, "Python, Rust, 1");
        assert_eq!(explain("Rust", "Python", 3).await, "Rust, Python, 3", "swapped fields differ");
        assert_eq!(explain("Python Rust", "", 4).await, "Python Rust, , 4");
        assert_eq!(explain("Python", "RustRust", 5).await, "Python, RustRust, 5");
        assert!(explain::peek(" PYTHON", "rust").is_some());
        assert_eq!(quoted("a", 1).await, quoted("A", 2).await);
        assert_eq!(called("a", 1).await, called("A", 2).await);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn content_is_typed() {
    #[coalesce_by_content(ttl = "1h")]
    async fn of(value: serde_json::Value) -> String {
        value.to_string()
    }

    alone(async {
        let different = [
            json!(1),
            json!("1"),
            json!(1.5),
            json!("1.5"),
            json!(true),
            json!("true"),
            json!(null),
            json!("null"),
            json!([]),
            json!({}),
            json!(""),
            json!([1, 2]),
            json!([2, 1]),
            json!([[1], 2]),
            json!(["a", "b"]),
            json!(["a:b"]),
            json!(["ab"]),
            json!({"a": 1, "b": 2}),
            json!({"a": 2, "b": 1}),
            json!({"a": {"b": 1}}),
        ];
        for value in &different {
            assert_eq!(of(value.clone()).await, value.to_string());
        }
        assert_eq!(of(json!({"b": 2, "a": 1})).await, json!({"a": 1, "b": 2}).to_string());
        assert_eq!(of(json!([" A "])).await, of(json!(["a"])).await, "texts inside are normalised too");
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn content_of_structs_and_maps_counts_and_their_order_does_not() {
    #[derive(Clone, Serialize)]
    struct Request {
        topic: String,
        context: Option<String>,
        limits: HashMap<String, u32>,
    }

    #[coalesce_by_content(ttl = "1h")]
    async fn ask(request: &Request) -> usize {
        request.limits.len()
    }

    #[coalesce_by_content(ttl = "1h")]
    async fn ask_map(map: BTreeMap<String, f64>) -> usize {
        map.len()
    }

    alone(async {
        let limits = |range: Range<u32>| range.map(|number| (format!("limit {number}"), number)).collect();
        let request = |topic: &str, context: Option<&str>| Request {
            topic: topic.to_owned(),
            context: context.map(str::to_owned),
            limits: limits(0..50),
        };
        ask(&request("a", Some("b"))).await;
        ask(&request("A ", Some("B"))).await;
        assert_eq!(executions!(ask), 1, "two maps with one content have one key, whatever their order");
        ask(&request("b", Some("a"))).await;
        ask(&request("a", None)).await;
        ask(&request("a", Some(""))).await;
        ask(&Request { limits: limits(0..51), ..request("a", Some("b")) }).await;
        assert_eq!(executions!(ask), 5);

        ask_map([("x".to_owned(), 0.0)].into()).await;
        ask_map([("x".to_owned(), -0.0)].into()).await;
        assert_eq!(executions!(ask_map), 1);
        ask_map([("y".to_owned(), 0.0)].into()).await;
        assert_eq!(executions!(ask_map), 2);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn fields_of_arguments_count_and_the_rest_of_them_does_not() {
    #[derive(Clone)]
    struct Request {
        model: String,
        sampling: (f32, (u64, u64)),
        trace: u64,
    }

    #[coalesce_by_content(ttl = "1h", fields = [request.model, request.sampling.0, request.sampling.1.1, "tenant"])]
    async fn ask(request: &Request, tenant: u32) -> u64 {
        request.trace + request.sampling.1.0
    }

    alone(async {
        let request = |model: &str, temperature, trace| Request {
            model: model.to_owned(),
            sampling: (temperature, (trace, 0)),
            trace,
        };
        assert_eq!(ask(&request("a", 0.5, 1), 7).await, 2);
        assert_eq!(ask(&request(" A", 0.5, 2), 7).await, 2, "only what is not named differs");
        for (other, tenant) in [(request("b", 0.5, 3), 7), (request("a", 0.6, 3), 7), (request("a", 0.5, 3), 8)] {
            assert_eq!(ask(&other, tenant).await, 6);
        }
        ask::invalidate(&request("a", 0.5, 9), 7);
        assert_eq!(ask(&request("a", 0.5, 4), 7).await, 8);
    })
    .await;
}

#[tokio::test(start_paused = true)]
async fn the_owned_form_of_an_argument_is_the_same_key() {
    #[coalesce(ttl = "1h")]
    async fn any(text: Cow<'static, str>) -> usize {
        text.len()
    }

    alone(async {
        any(Cow::Borrowed("text")).await;
        any(Cow::Owned("text".to_owned())).await;
        assert_eq!(executions!(any), 1);
    })
    .await;
}
