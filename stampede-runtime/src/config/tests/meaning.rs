//! Indexes and embedders, by name.

use super::*;
use crate::semantic::{EmbeddedIndex, Guard, Guards, LexicalEmbedder, from_fn};
use crate::store::MemoryBackend;

fn memory() -> MemoryBackend {
    MemoryBackend::new(1_000)
}

#[test]
fn guards_of_a_namespace_are_stronger_than_those_of_an_attribute_and_these_than_configured_ones() {
    let guards = |config: ConfigBuilder, options: Options| {
        config.build().expect("it is right").policy("a", &options, true).0.guards
    };
    let semantic = || Options::new().semantic();
    let attribute = || semantic().guards(&["negation"]);
    let negation = Guards::of(&[Guard::Negation]);
    assert_eq!(guards(Config::builder(), semantic()), Guards::default());
    assert_eq!(guards(Config::builder(), attribute()), negation);
    assert_eq!(guards(Config::builder(), semantic().guards(&[])), Guards::NONE);
    let defaults = || Config::builder().defaults(Settings::new().guard(Guards::of(&[Guard::Quoted])));
    assert_eq!(guards(defaults(), semantic()), Guards::of(&[Guard::Quoted]));
    assert_eq!(guards(defaults(), attribute()), negation);
    assert_eq!(guards(defaults(), semantic().guards(&[])), Guards::NONE);
    let namespace = |guards| defaults().namespace("a", Settings::new().guard(guards));
    assert_eq!(guards(namespace(Guards::of(&Guard::ALL)), attribute()), Guards::of(&Guard::ALL));
    assert_eq!(guards(namespace(Guards::NONE), attribute()), Guards::NONE);
}

#[test]
fn names_of_indexes() {
    assert_refused(
        &Config::builder()
            .index("main", EmbeddedIndex::new())
            .index("main", EmbeddedIndex::new())
            .backend("main", memory())
            .index("main", EmbeddedIndex::new())
            .index("", EmbeddedIndex::new())
            .index("redis", EmbeddedIndex::new()),
        "\
the configuration has 4 problems:
- in code: index `main` is given twice
- in code: `main` is the name of a backend and of an index
- in code: an index has no name
- in code: an index is called `redis`, as the backend is that functions find by themselves; give it another name, such as `pgvector`
",
    );
}

#[test]
fn embedders() {
    let nameless = from_fn("", 0, |texts: Vec<String>| async move { Ok::<_, String>(vec![vec![1.0]; texts.len()]) });
    assert_refused(
        &Config::builder().embedder(LexicalEmbedder::new()).embedder(nameless),
        "\
the configuration has 2 problems:
- in code: the embedder's model has no name, which keeps its embeddings apart from others
- in code: the embedder is given twice
",
    );
}

#[cfg(feature = "pgvector")]
#[test]
fn an_embedder_and_an_index_of_other_dimensions() {
    use crate::semantic::PgvectorIndex;

    let index =
        |dimensions| PgvectorIndex::builder("postgres://host").dimensions(dimensions).build().expect("it is right");
    let with = |dimensions| Config::builder().embedder(LexicalEmbedder::new()).index("pgvector", index(dimensions));
    let model = crate::semantic::Embedder::model_id(&LexicalEmbedder::new()).to_owned();
    assert_refused(
        &with(384),
        &format!(
            "\
the configuration has 1 problem:
- the index `pgvector` keeps embeddings of 384 dimensions, and `{model}` makes them of 1024; give the index, and its table, 1024 dimensions, or take another embedder
"
        ),
    );
    with(1024).build().expect("both are of 1024");
    // Only its answers tell how many they have.
    let unknown = from_fn("m", 0, |texts: Vec<String>| async move { Ok::<_, String>(vec![vec![1.0]; texts.len()]) });
    Config::builder().embedder(unknown).index("pgvector", index(384)).build().expect("nothing is known to be wrong");
    // Functions that name it may have an embedder of their own.
    let other = Config::builder().embedder(LexicalEmbedder::new()).index("other", index(384));
    other.build().expect("nobody has it by itself");
}

#[test]
fn a_name_that_nothing_has() {
    let wrong = |name| Config::builder().namespace("llm", Settings::new().backend(name)).backend("main", memory());
    assert_refused(
        &wrong("mian").index("pgvector", EmbeddedIndex::new()),
        "\
the configuration has 1 problem:
- in code: namespace `llm`: no backend or index is called `mian`; there are `main`, `pgvector`
",
    );
    for right in ["main", "pgvector"] {
        wrong(right).index("pgvector", EmbeddedIndex::new()).build().expect("there is one");
    }
}

#[test]
fn a_name_is_one_of_a_backend_or_of_an_index() {
    let config = Config::builder().backend("main", memory()).index("pgvector", EmbeddedIndex::new());
    let backends = config.build().expect("it is right").backends;
    assert!(backends.get("main").is_some() && backends.index("main").is_none());
    assert!(backends.index("pgvector").is_some() && backends.get("pgvector").is_none());
    for known in ["main", "pgvector"] {
        assert_eq!(backends.unknown(known), None);
    }
    assert_eq!(backends.no_backend("main"), None);
    let problem = |name: &str| backends.no_backend(name).expect("it is none");
    assert_eq!(problem("pgvector"), "`pgvector` is an index and no backend; there is `main`");
    assert_eq!(problem("pgvectr"), "no backend is called `pgvectr`; there is `main`");
}

#[test]
fn debug_shows_names_kinds_and_the_model() {
    let config = Config::builder().index("pgvector", EmbeddedIndex::new()).embedder(LexicalEmbedder::new());
    let shown = format!("{:?}", config.build().expect("it is right"));
    assert!(shown.contains(&format!("{{\"pgvector\": {:?}}}", std::any::type_name::<EmbeddedIndex>())), "{shown}");
    assert!(shown.contains("Embedder(Some(\"stampede-lexical"), "{shown}");
}
