use super::*;
use crate::semantic::Embedder as _;

fn problems(builder: OpenAiBuilder) -> Vec<String> {
    match builder.build() {
        Err(ConfigError::Invalid(problems)) => problems,
        other => panic!("{other:?}"),
    }
}

#[test]
fn everything_that_is_wrong_is_said_at_once_and_nothing_is_shown() {
    let builder = OpenAiEmbedder::builder("")
        .base_url("ftp://user:secret@host/v1/embeddings#secret")
        .api_key("secret\n")
        .header("not a name secret", "x")
        .header("x", "secret\0")
        .dimensions(0)
        .timeout(Duration::ZERO)
        .retries(11)
        .batch_max(0);
    assert!(!format!("{builder:?}").contains("secret"));
    let problems = problems(builder);
    assert_eq!(
        problems,
        [
            "`model`: it has 1 to 256 bytes, and no control characters",
            "`dimensions`: they are 1 to 65536",
            "`timeout`: it is longer than zero, and an hour at most",
            "`retries`: there are 10 at most",
            "`batch_max`: it is 1 to 2048",
            "`header`: its name is none of a header",
            "`header`: its value has characters that no header has",
            "`api_key`: it has characters that no header has",
            "`base_url`: it begins with `https://` or `http://`",
            "`base_url`: a user and a password have no place in it; there are `api_key` and `header`",
            "`base_url`: it ends before a `#`",
            "`base_url`: it ends before `/embeddings`",
        ]
    );
}

#[test]
fn an_empty_key_is_a_mistake() {
    let builder = OpenAiEmbedder::builder("m").base_url("http://127.0.0.1:1").api_key(" ");
    assert_eq!(problems(builder), ["`api_key`: it is empty"]);
}

#[test]
fn certificates_are_pem_and_for_encrypted_addresses() {
    let builder = |url: &str| OpenAiEmbedder::builder("m").base_url(url);
    for pem in ["", "secret", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"] {
        let problems = problems(builder("https://localhost").root_certificates(pem));
        assert_eq!(problems, ["`root_certificates`: they are no PEM that can be read"]);
    }
    let problems = problems(builder("http://localhost").root_certificates("x"));
    assert_eq!(problems, ["`root_certificates`: they need a `base_url` that begins with `https://`"]);
}

#[test]
fn the_path_is_appended_and_a_query_stays() {
    for (base, whole) in [
        ("http://h/v1", "http://h/v1/embeddings"),
        ("http://h/v1/", "http://h/v1/embeddings"),
        ("http://h", "http://h/embeddings"),
        ("https://h/openai/deployments/d?api-version=1", "https://h/openai/deployments/d/embeddings?api-version=1"),
    ] {
        assert_eq!(address(base).unwrap().as_str(), whole);
    }
}

#[test]
fn the_model_is_its_name_wherever_it_is() {
    let builder = || OpenAiEmbedder::builder("m");
    let (here, there) =
        (builder().base_url("http://127.0.0.1:1"), builder().base_url("http://127.0.0.1:2").dimensions(256));
    let [here, there] = [here, there].map(|builder| builder.build().unwrap());
    assert_eq!((here.model_id(), here.dimensions()), ("m", 0));
    assert_eq!((there.model_id(), there.dimensions()), ("m", 256));
}

#[test]
fn this_machine_is_known_by_its_addresses() {
    let is_own = |url: &str| is_own(&url.parse().unwrap());
    assert!(["http://localhost", "http://127.0.0.9:1", "http://[::1]:1/v1"].map(is_own).into_iter().all(|own| own));
    assert!(
        !["http://localhost.example", "http://10.0.0.1", "http://[2001:db8::1]"].map(is_own).into_iter().any(|own| own)
    );
}
