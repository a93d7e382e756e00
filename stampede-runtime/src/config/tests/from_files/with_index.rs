//! An index that files and variables name.

use super::*;

#[cfg(not(feature = "pgvector"))]
#[test]
fn an_index_names_the_feature_that_it_needs() {
    assert_toml_refused(
        "[backends.pgvector]\nkind = \"pgvector\"\nurl = \"postgres://ann:hunter2@host\"",
        r"
the configuration has 1 problem:
- stampede.toml: `backends.pgvector.kind`: kind `pgvector` needs the cargo feature `pgvector` of `stampede-runtime`
",
    );
}

#[cfg(feature = "pgvector")]
mod pgvector {
    use super::*;
    use crate::semantic::LexicalEmbedder;
    use crate::store::MemoryBackend;

    #[test]
    fn every_key_from_a_file_and_the_secret_from_a_variable() {
        let text = r#"
            [backends.pgvector]
            kind = "pgvector"
            url = "postgres://database.internal:5432/app"
            username = "ann"
            dimensions = 384
            table = "answers.kept"
            ef_search = 100
            connect_timeout = "2s"
            query_timeout = "250ms"
            connections_max = 4
            [namespaces.llm]
            backend = "pgvector"
        "#;
        let folder = Folder::with(&[("stampede.toml", text)]);
        let config = Config::builder().file(folder.path("stampede.toml"));
        let config = config.variables([("STAMPEDE_BACKENDS__PGVECTOR__PASSWORD", "hunter2")]);
        assert!(!format!("{config:?}").contains("hunter2"));
        let config = config.build().expect("it is right");
        let shown = format!("{config:?}");
        assert!(shown.contains(r#"{"pgvector": "pgvector"}"#) && !shown.contains("hunter2"), "{shown}");
        let index = config.backends.index("pgvector").expect("there is an index");
        assert!(config.backends.get("pgvector").is_none() && config.backends.all().is_empty());
        assert_eq!(index.backend().dimensions(), 384);
        let made = format!("{:?}", index.backend());
        for part in [r#"table: "answers.kept""#, "connect_timeout: 2s", "query_timeout: 250ms"] {
            assert!(made.contains(part), "{made}");
        }
        assert!(!made.contains("hunter2") && !made.contains("database.internal"), "{made}");
    }

    #[test]
    fn everything_that_is_wrong_with_it() {
        assert_toml_refused(
            r#"
            [backends.one]
            kind = "pgvector"
            dimension = 384
            query_timeout = "soon"
            table = "no table"
            [backends.two]
            kind = "pgvector"
            url = "mysql://ann:hunter2@host"
            password = 5
            dimensions = 50_000
            ef_search = 100_000
            connect_timeout = 0
            connections_max = 0
            [backends.redis]
            kind = "pgvector"
            url = "postgres://ann:hunter2@host"
            dimensions = 384
            "#,
            r#"
the configuration has 12 problems:
- stampede.toml: `backends.one.dimension`: unknown key; did you mean `dimensions`?
- stampede.toml: `backends.one`: `url` is missing
- stampede.toml: `backends.one`: `dimensions` is missing
- stampede.toml: `backends.one.query_timeout`: `query_timeout` takes whole seconds, or a duration with units such as "1h30m" or "250ms"
- stampede.toml: `backends.one.table`: a name has letters of ASCII, digits and `_`, does not begin with a digit, and is at most 51 long; a schema may stand before it, with a point between them
- stampede.toml: `backends.redis`: an index is called `redis`, as the backend is that functions find by themselves; give it another name, such as `pgvector`
- stampede.toml: `backends.two.password`: `password` takes a text
- stampede.toml: `backends.two.connect_timeout`: it must be longer than zero
- stampede.toml: `backends.two.connections_max`: it is at least 1
- stampede.toml: `backends.two.ef_search`: it is a number from 1 to 1000
- stampede.toml: `backends.two.dimensions`: pgvector keeps at most 16000, and these are 50000; many models make shorter embeddings if one asks for them
- stampede.toml: `backends.two.url`: it begins with `postgres://` or `postgresql://`
"#,
        );
    }

    #[test]
    fn an_embedder_of_other_dimensions() {
        let index = "[backends.pgvector]\nkind = \"pgvector\"\nurl = \"postgres://host\"\ndimensions =";
        let text = |dimensions: usize| format!("[embedder]\nkind = \"lexical\"\n{index} {dimensions}");
        toml(&text(1024));
        let model = crate::semantic::Embedder::model_id(&LexicalEmbedder::new()).to_owned();
        assert_toml_refused(
            &text(384),
            &format!(
                "\
the configuration has 1 problem:
- the index `pgvector` keeps embeddings of 384 dimensions, and `{model}` makes them of 1024; give the index, and its table, 1024 dimensions, or take another embedder
"
            ),
        );
    }

    #[test]
    fn a_name_that_code_gives_too() {
        let text = "[backends.main]\nkind = \"pgvector\"\nurl = \"postgres://host\"\ndimensions = 3";
        let folder = Folder::with(&[("stampede.toml", text)]);
        let config = Config::builder().backend("main", MemoryBackend::new(1)).file(folder.path("stampede.toml"));
        folder.assert_refused(
            &config,
            "
the configuration has 1 problem:
- stampede.toml: `backends.main`: code gives a backend of that name too
",
        );
    }
}
