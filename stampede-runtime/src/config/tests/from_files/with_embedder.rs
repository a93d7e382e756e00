use super::*;
use crate::semantic::{Embedder as _, LexicalEmbedder};

fn model(config: &Config) -> String {
    config.embedder.get().expect("there is an embedder").model_id().to_owned()
}

#[test]
fn an_embedder_that_needs_nothing_more() {
    assert_eq!(model(&toml("[embedder]\nkind = \"lexical\"")), LexicalEmbedder::new().model_id());
    assert!(toml("").embedder.get().is_none());
}

#[test]
fn an_embedder_of_variables_alone() {
    let config = Config::builder().variables([("STAMPEDE_EMBEDDER__KIND", "lexical")]).build().expect("it is right");
    assert_eq!(model(&config), LexicalEmbedder::new().model_id());
}

#[test]
fn every_wrong_embedder() {
    assert_toml_refused(
        "[embedder]\nkind = \"lexical\"\nmodel = \"hunter2\"",
        r"
the configuration has 1 problem:
- stampede.toml: `embedder.model`: unknown key; kind `lexical` has none
",
    );
    assert_toml_refused(
        "[embedder]\nmodel = \"hunter2\"",
        r"
the configuration has 1 problem:
- stampede.toml: `embedder`: `kind` is missing; there are `lexical`, `openai`
",
    );
    assert_toml_refused(
        "[embedder]\nkind = \"lexica\"",
        r"
the configuration has 1 problem:
- stampede.toml: `embedder.kind`: unknown kind; did you mean `lexical`?
",
    );
    assert_toml_refused(
        "embedder = \"lexical\"",
        r#"
the configuration has 1 problem:
- stampede.toml: `embedder`: a table of keys belongs here, not "lexical"
"#,
    );
    assert_variables_refused(
        [("STAMPEDE_EMBEDER__KIND", "lexical"), ("STAMPEDE_EMBEDDER_KIND", "lexical")],
        r"
the configuration has 2 problems:
- STAMPEDE_EMBEDDER_KIND: unknown variable; did you mean `STAMPEDE_EMBEDDER__KIND`?
- STAMPEDE_EMBEDER__KIND: unknown variable; did you mean `STAMPEDE_EMBEDDER__KIND`?
",
    );
}

#[test]
fn an_embedder_that_code_and_a_file_give() {
    let folder = Folder::with(&[("stampede.toml", "[embedder]\nkind = \"lexical\"")]);
    let config = Config::builder().embedder(LexicalEmbedder::new()).file(folder.path("stampede.toml"));
    folder.assert_refused(
        &config,
        r"
the configuration has 1 problem:
- stampede.toml: `embedder`: code gives an embedder too
",
    );
}

#[cfg(not(feature = "openai"))]
#[test]
fn an_embedder_whose_feature_is_off() {
    assert_toml_refused(
        "[embedder]\nkind = \"openai\"\nmodel = \"m\"",
        r"
the configuration has 1 problem:
- stampede.toml: `embedder.kind`: kind `openai` needs the cargo feature `openai` of `stampede-runtime`
",
    );
}

#[cfg(feature = "openai")]
mod openai {
    use super::*;

    #[test]
    fn every_key_from_a_file_and_the_secret_from_a_variable() {
        let text = r#"
            [embedder]
            kind = "openai"
            model = "m"
            base_url = "http://127.0.0.1:1/v1"
            dimensions = 256
            timeout = "2s"
            retries = 0
            batch_max = 16
        "#;
        let folder = Folder::with(&[("stampede.toml", text)]);
        let config = Config::builder().file(folder.path("stampede.toml"));
        let config = config.variables([("STAMPEDE_EMBEDDER__API_KEY", "hunter2")]).build().expect("it is right");
        assert!(!format!("{config:?}").contains("hunter2"));
        let embedder = config.embedder.get().expect("there is an embedder");
        assert_eq!((embedder.model_id(), embedder.dimensions(), embedder.batch_max()), ("m", 256, 16));
    }

    #[test]
    fn everything_that_is_wrong_with_it() {
        assert_toml_refused(
            r#"
            [embedder]
            kind = "openai"
            base_url = "http://ann:hunter2@host"
            api_key = "hunter2 \n"
            dimension = 1
            timeout = "soon"
            "#,
            r#"
the configuration has 5 problems:
- stampede.toml: `embedder.dimension`: unknown key; did you mean `dimensions`?
- stampede.toml: `embedder`: `model` is missing
- stampede.toml: `embedder.timeout`: `timeout` takes whole seconds, or a duration with units such as "1h30m" or "250ms"
- stampede.toml: `embedder.api_key`: it has characters that no header has
- stampede.toml: `embedder.base_url`: a user and a password have no place in it; there are `api_key` and `header`
"#,
        );
        assert_toml_refused(
            r#"
            [embedder]
            kind = "openai"
            model = "m"
            base_url = "http://127.0.0.1:1"
            dimensions = 0
            retries = 11
            "#,
            r"
the configuration has 2 problems:
- stampede.toml: `embedder.dimensions`: they are 1 to 65536
- stampede.toml: `embedder.retries`: there are 10 at most
",
        );
    }
}
