//! What is said of wrong configurations, read whole, and what right ones come to.

use std::time::Duration;

use super::*;

#[cfg(feature = "semantic")]
mod meaning;

const SECOND: Duration = Duration::from_secs(1);

#[track_caller]
fn assert_refused(config: &ConfigBuilder, report: &str) {
    let error = config.clone().build().expect_err("it is wrong");
    assert_eq!(error.to_string(), report.trim(), "\n--- got:\n{error}\n---");
}

#[test]
fn every_problem_in_code() {
    let config = Config::builder()
        .defaults(Settings::new().capacity(0).timeout(Duration::ZERO))
        .defaults(Settings::new())
        .namespace("a", Settings::new().wait(Duration::ZERO).max_concurrent(0).lease(Duration::ZERO))
        .namespace("a", Settings::new())
        .namespace("b", Settings::new().threshold(1.5).embed_timeout(Duration::ZERO))
        .namespace("c", Settings::new().threshold(f64::NAN))
        .namespace("d", Settings::new().verify_timeout(Duration::ZERO).verify_concurrent(0).shadow(1.5).max_error(0.0))
        .namespace("", Settings::new());
    assert_refused(
        &config,
        "\
the configuration has 15 problems:
- in code: defaults: `capacity` must be at least 1; a `ttl` of zero keeps nothing
- in code: defaults: `timeout` must be longer than zero
- in code: defaults are configured twice
- in code: namespace `a`: `wait` must be longer than zero
- in code: namespace `a`: `max_concurrent` must be at least 1
- in code: namespace `a`: `lease` must be longer than zero
- in code: namespace `a` is configured twice
- in code: namespace `b`: `threshold` must be a cosine similarity from -1 to 1
- in code: namespace `b`: `embed_timeout` must be longer than zero
- in code: namespace `c`: `threshold` must be a cosine similarity from -1 to 1
- in code: namespace `d`: `verify_timeout` must be longer than zero
- in code: namespace `d`: `verify_concurrent` must be at least 1
- in code: namespace `d`: `shadow` must be from 0 to 1
- in code: namespace `d`: `max_error` must be above 0 and below 1
- in code: a namespace has no name
",
    );
}

#[test]
fn one_problem_is_no_plural() {
    assert_refused(
        &Config::builder().namespace("", Settings::new()),
        "the configuration has 1 problem:\n- in code: a namespace has no name",
    );
}

#[test]
fn settings_that_take_the_effect_of_one_another() {
    let config = Config::builder()
        .defaults(Settings::new().stale(60 * SECOND).stale_if_error(60 * SECOND))
        .namespace("a", Settings::new().soft_timeout(2 * SECOND).timeout(SECOND).wait(SECOND))
        .namespace("b", Settings::new().soft_timeout(SECOND).stale_if_error(Duration::ZERO));
    assert_refused(
        &config,
        "\
the configuration has 4 problems:
- defaults: `stale` (60s, in code) must be shorter than `stale_if_error` (60s, in code), or the latter has no effect
- namespace `a`: `soft_timeout` (2s, in code) must be shorter than `timeout` (1s, in code), or the former has no effect
- namespace `a`: `soft_timeout` (2s, in code) must be shorter than `wait` (1s, in code), or the former has no effect
- namespace `b`: `soft_timeout` (1s, in code) needs `stale_if_error` (0ns, in code) to be longer than zero: there is no old value to fall back on
",
    );
}

#[test]
fn what_an_attribute_can_complete_or_a_zero_switches_off_is_no_mistake() {
    let config = Config::builder()
        .defaults(Settings::new().soft_timeout(SECOND).stale(SECOND))
        .namespace("off", Settings::new().ttl(Duration::ZERO).stale(SECOND).stale_if_error(Duration::ZERO))
        .namespace("slow", Settings::new().timeout(SECOND).wait(60 * SECOND));
    config.build().expect("nothing is wrong");
}

#[test]
fn what_a_distributed_function_does_unasked_is_weaker_than_whatever_is_said() {
    let policy = |config: ConfigBuilder, options: Options| {
        let (policy, backend) = config.build().expect("it is right").policy("a", &options, true);
        (policy.ttl, policy.lease, policy.share_errors, backend.as_deref().map(str::to_owned))
    };
    let some = |seconds: u32| Some(seconds * SECOND);
    let nothing = || Config::builder();
    let redis = || Some("redis".to_owned());
    let distributed = || Options::new().distributed();

    assert_eq!(policy(nothing(), Options::new()), (None, 5 * SECOND, true, None));
    assert_eq!(policy(nothing(), distributed()), (some(60), 5 * SECOND, true, redis()));

    let defaults = || nothing().defaults(Settings::new().ttl(SECOND).lease(2 * SECOND).share_errors(false));
    assert_eq!(policy(defaults(), distributed()), (some(1), 2 * SECOND, false, redis()));
    let kept_off = nothing().defaults(Settings::new().ttl(Duration::ZERO));
    assert_eq!(policy(kept_off, distributed()).0, None);

    let attribute = || distributed().ttl(3 * SECOND).lease(4 * SECOND).share_errors(true).backend("main");
    assert_eq!(policy(defaults(), attribute()), (some(3), 4 * SECOND, true, Some("main".to_owned())));
    let none = || distributed().ttl(Duration::ZERO);
    assert_eq!(policy(defaults(), none()).0, None);
    assert_eq!(policy(nothing(), distributed().lease(Duration::ZERO)).1, 5 * SECOND);

    let settings = Settings::new().ttl(6 * SECOND).lease(7 * SECOND).share_errors(false);
    let overridden = || defaults().namespace("a", settings.clone());
    assert_eq!(policy(overridden(), attribute()), (some(6), 7 * SECOND, false, Some("main".to_owned())));
    assert_eq!(policy(overridden(), none()).0, some(6));
}

#[test]
fn what_a_semantic_function_does_unasked_is_weaker_than_whatever_is_said() {
    let policy = |config: ConfigBuilder, options: Options| {
        let (policy, backend) = config.build().expect("it is right").policy("a", &options, true);
        assert!(backend.is_none(), "it finds its places by itself");
        (policy.ttl, policy.capacity, policy.threshold, policy.embed_timeout)
    };
    let some = |seconds: u32| Some(seconds * SECOND);
    let nothing = || Config::builder();
    let semantic = || Options::new().semantic();

    assert_eq!(policy(nothing(), semantic()), (some(300), 500, 0.92, 5 * SECOND));
    let defaults = || nothing().defaults(Settings::new().ttl(SECOND).capacity(3).threshold(0.5).embed_timeout(SECOND));
    assert_eq!(policy(defaults(), semantic()), (some(1), 3, 0.5, SECOND));
    let attribute = || semantic().ttl(2 * SECOND).capacity(4).threshold(0.25);
    assert_eq!(policy(defaults(), attribute()), (some(2), 4, 0.25, SECOND));
    let overridden = defaults().namespace("a", Settings::new().threshold(-1.0).embed_timeout(3 * SECOND));
    assert_eq!(policy(overridden, attribute()), (some(2), 4, -1.0, 3 * SECOND));

    // What an attribute computes nobody has looked at.
    for (computed, least) in [(f64::NAN, 0.92), (7.0, 1.0), (f64::NEG_INFINITY, -1.0)] {
        assert_eq!(policy(nothing(), semantic().threshold(computed)), (some(300), 500, least, 5 * SECOND));
    }
}

#[test]
fn what_may_be_wrong_is_bounded_where_an_attribute_says_so() {
    let policy = |config: ConfigBuilder, options: Options| {
        let (policy, _) = config.build().expect("it is right").policy("a", &options, true);
        (policy.max_error, policy.threshold)
    };
    let nothing = || Config::builder();
    let semantic = || Options::new().semantic();
    assert_eq!(policy(nothing(), semantic()), (None, 0.92));
    // There the threshold is a floor.
    assert_eq!(policy(nothing(), semantic().max_error(0.02)), (Some(0.02), 0.7));
    assert_eq!(policy(nothing(), semantic().max_error(0.02).threshold(0.9)), (Some(0.02), 0.9));
    // Nobody else can learn it, so a configuration alone changes nothing.
    let configured = || nothing().namespace("a", Settings::new().max_error(0.1));
    assert_eq!(policy(configured(), semantic()), (None, 0.92));
    assert_eq!(policy(configured(), semantic().max_error(0.02)), (Some(0.1), 0.7));
    for computed in [0.0, 1.0, -1.0, f64::NAN] {
        assert_eq!(policy(nothing(), semantic().max_error(computed)), (None, 0.92), "{computed}");
    }
}

#[test]
fn what_near_hits_cost_has_limits() {
    let policy = |config: ConfigBuilder, options: Options| {
        let (policy, _) = config.build().expect("it is right").policy("a", &options, true);
        (policy.verify_timeout, policy.verify_concurrent, policy.shadow)
    };
    let semantic = || Options::new().semantic();
    assert_eq!(policy(Config::builder(), semantic()), (2 * SECOND, 16, 0.0));
    let attribute = || semantic().verify_timeout(SECOND).verify_concurrent(3_usize).shadow(0.5);
    assert_eq!(policy(Config::builder(), attribute()), (SECOND, 3, 0.5));
    let settings = Settings::new().verify_timeout(3 * SECOND).verify_concurrent(4_usize).shadow(0.0);
    assert_eq!(policy(Config::builder().namespace("a", settings), attribute()), (3 * SECOND, 4, 0.0));
    // Nothing goes on behind an attached body.
    assert!(policy(Config::builder(), attribute().attached()).2 == 0.0);
    assert_eq!(policy(Config::builder(), semantic().verify_timeout(Duration::ZERO)).0, 2 * SECOND);
}

#[cfg(not(feature = "backends"))]
#[test]
fn a_backend_needs_its_feature() {
    assert_refused(
        &Config::builder().defaults(Settings::new().backend("main")),
        "\
the configuration has 1 problem:
- in code: defaults: `backend` needs the cargo feature `backends` of `stampede-runtime`
",
    );
}

#[cfg(feature = "backends")]
mod backends_by_name {
    use super::*;
    use crate::store::MemoryBackend;

    fn memory() -> MemoryBackend {
        MemoryBackend::new(1_000)
    }

    #[test]
    fn a_name_that_no_backend_has() {
        let wrong = |name| Config::builder().namespace("llm", Settings::new().backend(name));
        assert_refused(
            &wrong("mian").backend("main", memory()).backend("other", memory()),
            "\
the configuration has 1 problem:
- in code: namespace `llm`: no backend is called `mian`; there are `main`, `other`
",
        );
        assert_refused(
            &wrong("remote://ann:secret@host"),
            "\
the configuration has 1 problem:
- in code: namespace `llm`: no backend is called that; there is none
",
        );
        wrong("main").backend("main", memory()).build().expect("there is one");
    }

    #[test]
    fn names_are_given_once() {
        assert_refused(
            &Config::builder().backend("main", memory()).backend("main", memory()).backend("", memory()),
            "\
the configuration has 2 problems:
- in code: backend `main` is given twice
- in code: a backend has no name
",
        );
    }

    #[test]
    fn debug_shows_names_and_kinds_and_no_more() {
        let config = Config::builder().backend("main", memory()).build().expect("it is right");
        let shown = format!("{config:?}");
        assert!(shown.contains(&format!("{{\"main\": {:?}}}", std::any::type_name::<MemoryBackend>())), "{shown}");
    }
}

#[cfg(feature = "config-files")]
mod from_files {
    use std::fs;

    use tempfile::TempDir;

    use super::*;
    use crate::config::keys::{KEYS, OF_ATTRIBUTES};

    /// A folder with files. Reports name them without the folder.
    struct Folder(TempDir);

    impl Folder {
        fn with(files: &[(&str, &str)]) -> Folder {
            let folder = TempDir::new().expect("a folder can be made");
            for (name, text) in files {
                fs::write(folder.path().join(name), text).expect("a file can be written");
            }
            Folder(folder)
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).display().to_string()
        }

        #[track_caller]
        fn assert_refused(&self, config: &ConfigBuilder, report: &str) {
            let error = config.clone().build().expect_err("it is wrong").to_string();
            let error = error.replace(&self.path(""), "");
            assert_eq!(error, report.trim(), "\n--- got:\n{error}\n---");
        }
    }

    #[track_caller]
    fn assert_toml_refused(text: &str, report: &str) {
        let folder = Folder::with(&[("stampede.toml", text)]);
        folder.assert_refused(&Config::builder().file(folder.path("stampede.toml")), report);
    }

    #[track_caller]
    fn assert_variables_refused<const N: usize>(variables: [(&str, &str); N], report: &str) {
        assert_refused(&Config::builder().variables(variables), report);
    }

    #[track_caller]
    fn toml(text: &str) -> Config {
        let folder = Folder::with(&[("stampede.toml", text)]);
        Config::builder().file(folder.path("stampede.toml")).build().expect("it is right")
    }

    const EVERYTHING: &str = r#"
        [defaults]
        ttl = 60
        stale = "1m 30s"
        stale_if_error = "1h"
        early = 1
        jitter = "10%"
        none_ttl = "250ms"
        cache_err = 0
        capacity = 10_000
        timeout = "30s"
        soft_timeout = "2s"
        wait = "5s"
        max_concurrent = 8
        lease = "1500ms"
        share_errors = false
        threshold = 0.95
        embed_timeout = "2s"
        verify_timeout = "3s"
        verify_concurrent = 4
        shadow = "1%"
        max_error = 0.02

        [namespaces."my_app::llm"]
        ttl = "1d"
        jitter = 0.5
    "#;

    fn everything() -> Settings {
        Settings::new()
            .ttl(60 * SECOND)
            .stale(90 * SECOND)
            .stale_if_error(3_600 * SECOND)
            .early(1.0)
            .jitter(0.1)
            .none_ttl(SECOND / 4)
            .cache_err(Duration::ZERO)
            .capacity(10_000)
            .timeout(30 * SECOND)
            .soft_timeout(2 * SECOND)
            .wait(5 * SECOND)
            .max_concurrent(8)
            .lease(SECOND * 3 / 2)
            .share_errors(false)
            .threshold(0.95)
            .embed_timeout(2 * SECOND)
            .verify_timeout(3 * SECOND)
            .verify_concurrent(4_usize)
            .shadow(0.01)
            .max_error(0.02)
    }

    #[test]
    fn every_setting() {
        let config = toml(EVERYTHING);
        assert_eq!(config.defaults, everything());
        assert_eq!(config.namespaces["my_app::llm"], Settings::new().ttl(86_400 * SECOND).jitter(0.5));
    }

    #[test]
    fn yaml_says_the_same() {
        let yaml = r#"
defaults:
  ttl: 60
  stale: 1m 30s
  stale_if_error: 1h
  early: 1.0
  jitter: 10%
  none_ttl: 250ms
  cache_err: 0
  capacity: 10000
  timeout: 30s
  soft_timeout: 2s
  wait: 5s
  max_concurrent: 8
  lease: 1500ms
  share_errors: false
  threshold: 0.95
  embed_timeout: 2
  verify_timeout: 3
  verify_concurrent: 4
  shadow: 1%
  max_error: 2%
namespaces:
  "my_app::llm":
    ttl: 1d
    jitter: 0.5
backends:
  # main:
"#;
        let folder = Folder::with(&[("one.yaml", yaml), ("two.yml", yaml)]);
        for name in ["one.yaml", "two.yml"] {
            let config = Config::builder().file(folder.path(name)).build().expect("it is right");
            assert_eq!(format!("{config:?}"), format!("{:?}", toml(EVERYTHING)));
        }
    }

    #[test]
    fn variables_say_the_same() {
        let variables = [
            ("STAMPEDE_DEFAULTS__TTL", "60"),
            ("STAMPEDE_DEFAULTS__STALE", "1m 30s"),
            ("STAMPEDE_DEFAULTS__STALE_IF_ERROR", "1h"),
            ("STAMPEDE_DEFAULTS__EARLY", "1"),
            ("STAMPEDE_DEFAULTS__JITTER", "10%"),
            ("STAMPEDE_DEFAULTS__NONE_TTL", "250ms"),
            ("STAMPEDE_DEFAULTS__CACHE_ERR", "0"),
            ("STAMPEDE_DEFAULTS__CAPACITY", "10_000"),
            ("STAMPEDE_DEFAULTS__TIMEOUT", "30s"),
            ("STAMPEDE_DEFAULTS__SOFT_TIMEOUT", "2s"),
            ("STAMPEDE_DEFAULTS__WAIT", "5s"),
            ("STAMPEDE_DEFAULTS__MAX_CONCURRENT", "8"),
            ("STAMPEDE_DEFAULTS__LEASE", "1s 500ms"),
            ("STAMPEDE_DEFAULTS__SHARE_ERRORS", "False"),
            ("STAMPEDE_DEFAULTS__THRESHOLD", "0.95"),
            ("STAMPEDE_DEFAULTS__EMBED_TIMEOUT", "2000ms"),
            ("STAMPEDE_DEFAULTS__VERIFY_TIMEOUT", "3"),
            ("STAMPEDE_DEFAULTS__VERIFY_CONCURRENT", "4"),
            ("STAMPEDE_DEFAULTS__SHADOW", "0.01"),
            ("STAMPEDE_DEFAULTS__MAX_ERROR", "2%"),
        ];
        let config = Config::builder().variables(variables).build().expect("it is right");
        assert_eq!(config.defaults, everything());
    }

    #[test]
    fn every_wrong_value() {
        assert_toml_refused(
            r#"
            [defaults]
            ttl = "5 parsecs"
            stale = -1
            stale_if_error = 1.5
            early = 1000
            jitter = 10
            none_ttl = true
            cache_err = ["1m"]
            capacity = "64MiB"
            timeout = 0
            soft_timeout = {}
            wait = ""
            max_concurrent = 0
            backend = 7
            lease = 0
            share_errors = "never"
            threshold = "92%"
            embed_timeout = 0
            verify_timeout = 0
            verify_concurrent = 0
            shadow = 2
            max_error = 0
            "#,
            r#"
the configuration has 21 problems:
- stampede.toml: `defaults.backend`: `backend` takes the name of a backend; not 7
- stampede.toml: `defaults.cache_err`: `cache_err` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not a list
- stampede.toml: `defaults.capacity`: `capacity` takes a whole number, such as 1000; not "64MiB"
- stampede.toml: `defaults.early`: `early` must be from 0 to 100
- stampede.toml: `defaults.embed_timeout`: `embed_timeout` must be longer than zero
- stampede.toml: `defaults.jitter`: `jitter` takes a part from 0 to 1, such as 0.1, or per cent, such as "10%"; not 10
- stampede.toml: `defaults.lease`: `lease` must be longer than zero
- stampede.toml: `defaults.max_concurrent`: `max_concurrent` must be at least 1
- stampede.toml: `defaults.max_error`: `max_error` must be above 0 and below 1
- stampede.toml: `defaults.none_ttl`: `none_ttl` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not true
- stampede.toml: `defaults.shadow`: `shadow` takes a part from 0 to 1, such as 0.1, or per cent, such as "10%"; not 2
- stampede.toml: `defaults.share_errors`: `share_errors` takes true or false; not "never"
- stampede.toml: `defaults.soft_timeout`: `soft_timeout` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not a table
- stampede.toml: `defaults.stale`: `stale` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not -1
- stampede.toml: `defaults.stale_if_error`: `stale_if_error` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not 1.5
- stampede.toml: `defaults.threshold`: `threshold` takes a cosine similarity from -1 to 1, such as 0.92; not "92%"
- stampede.toml: `defaults.timeout`: `timeout` must be longer than zero
- stampede.toml: `defaults.ttl`: `ttl` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not "5 parsecs"
- stampede.toml: `defaults.verify_concurrent`: `verify_concurrent` must be at least 1
- stampede.toml: `defaults.verify_timeout`: `verify_timeout` must be longer than zero
- stampede.toml: `defaults.wait`: `wait` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not ""
"#,
        );
    }

    #[test]
    fn every_unknown_key() {
        assert_toml_refused(
            r#"
            ttl = 60
            namespaces = "llm"

            [default]
            ttl = 60

            [defaults]
            tll = 60
            cache_if = "x"
            zzz = 1

            [elsewhere]
            "#,
            "\
the configuration has 7 problems:
- stampede.toml: `default`: unknown key; did you mean `defaults`?
- stampede.toml: `defaults.cache_if`: unknown key; `cache_if` is for attributes only
- stampede.toml: `defaults.tll`: unknown key; did you mean `ttl`?
- stampede.toml: `defaults.zzz`: unknown key; there are `ttl`, `stale`, `stale_if_error`, `early`, `jitter`, `none_ttl`, `cache_err`, `capacity`, `timeout`, `soft_timeout`, `wait`, `max_concurrent`, `backend`, `backend_timeout`, `codec`, `payload_bytes_max`, `lease`, `share_errors`, `threshold`, `embed_timeout`, `verify_timeout`, `verify_concurrent`, `shadow`, `max_error`, `guard`
- stampede.toml: `elsewhere`: unknown key; there are `defaults`, `namespaces`, `backends`, `embedder`
- stampede.toml: `namespaces`: a table of keys belongs here, not \"llm\"
- stampede.toml: `ttl`: unknown key; settings belong under `[defaults]` or a namespace
",
        );
    }

    #[test]
    fn namespaces_are_one_name() {
        assert_toml_refused(
            r#"
            [namespaces.my_app.llm]
            ttl = 60
            [namespaces."my_app::db"]
            tll = 60
            [namespaces.""]
            "#,
            r#"
the configuration has 3 problems:
- stampede.toml: `namespaces.""`: the name is empty
- stampede.toml: `namespaces.my_app.llm`: unknown key; a namespace is one name, in quotes: "my_app::llm"
- stampede.toml: `namespaces."my_app::db".tll`: unknown key; did you mean `ttl`?
"#,
        );
    }

    #[test]
    fn files_that_cannot_be_read() {
        let folder = Folder::with(&[
            ("broken.toml", "[defaults]\nttl = 60\npassword = \"hunter2\nttl = 1"),
            ("double.toml", "[defaults]\nttl = 60\nttl = 61"),
            ("broken.yaml", "defaults:\n  url: \"redis://ann:hunter2@host\n  ttl: [1"),
            ("double.yaml", "defaults:\n  ttl: 60\n  ttl: 61"),
            ("list.yaml", "- defaults"),
            ("text.yaml", "redis://ann:hunter2@host"),
            ("stampede.json", "{}"),
        ]);
        let names = [
            "missing.toml",
            "broken.toml",
            "double.toml",
            "broken.yaml",
            "double.yaml",
            "list.yaml",
            "text.yaml",
            "stampede.json",
        ];
        let config = names.iter().fold(Config::builder(), |config, name| config.file(folder.path(name)));
        folder.assert_refused(
            &config,
            r#"
the configuration has 8 problems:
- missing.toml: the file cannot be read: No such file or directory (os error 2)
- broken.toml: TOML parse error at line 3, column 20: invalid basic string, expected `"`
- double.toml: TOML parse error at line 3, column 1: duplicate key
- broken.yaml: invalid indentation in quoted scalar at byte 17 line 2 column 8
- double.yaml: String("ttl"): duplicated key in mapping at byte 27 line 3 column 8
- list.yaml: the file is no table of keys
- text.yaml: the file is no table of keys
- stampede.json: the name of a configuration file ends with .toml, .yaml or .yml
"#,
        );
    }

    #[test]
    fn every_wrong_variable() {
        assert_variables_refused(
            [
                ("STAMPEDE_DEFAULTS__TLL", "5m"),
                ("STAMPEDE_DEFAULTS__STALE", "soon"),
                ("STAMPEDE_DEFAULTS__WAIT", ""),
                ("STAMPEDE_DEFAULTS_TTL", "5m"),
                ("STAMPEDE_TTL", "5m"),
                ("STAMPEDE_DEFAULT__TTL", "5m"),
                ("STAMPEDE_NAMESPACES__LLM", "5m"),
                ("STAMPEDE_NAMESPACES__LLM__TIMEOUTS", "5m"),
                ("STAMPEDE_NAMESPACES____TTL", "5m"),
                ("STAMPEDE_OF", "1"),
                ("STAMPEDE_EVERYTHING", "1"),
            ],
            r#"
the configuration has 11 problems:
- STAMPEDE_DEFAULTS_TTL: unknown variable; did you mean `STAMPEDE_DEFAULTS__TTL`?
- STAMPEDE_DEFAULTS__STALE: `stale` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not "soon"
- STAMPEDE_DEFAULTS__TLL: unknown key; did you mean `STAMPEDE_DEFAULTS__TTL`?
- STAMPEDE_DEFAULTS__WAIT: `wait` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not ""
- STAMPEDE_DEFAULT__TTL: unknown variable; did you mean `STAMPEDE_DEFAULTS__TTL`?
- STAMPEDE_EVERYTHING: unknown variable; there are `STAMPEDE_DEFAULTS__KEY`, `STAMPEDE_NAMESPACES__NAME__KEY`, `STAMPEDE_BACKENDS__NAME__KEY`, `STAMPEDE_EMBEDDER__KEY`
- STAMPEDE_NAMESPACES__LLM: unknown variable; there are `STAMPEDE_DEFAULTS__KEY`, `STAMPEDE_NAMESPACES__NAME__KEY`, `STAMPEDE_BACKENDS__NAME__KEY`, `STAMPEDE_EMBEDDER__KEY`
- STAMPEDE_NAMESPACES__LLM__TIMEOUTS: unknown key; did you mean `STAMPEDE_NAMESPACES__LLM__TIMEOUT`?
- STAMPEDE_NAMESPACES____TTL: unknown variable; there are `STAMPEDE_DEFAULTS__KEY`, `STAMPEDE_NAMESPACES__NAME__KEY`, `STAMPEDE_BACKENDS__NAME__KEY`, `STAMPEDE_EMBEDDER__KEY`
- STAMPEDE_OF: unknown variable; did you mean `STAMPEDE_OFF`?
- STAMPEDE_TTL: unknown variable; did you mean `STAMPEDE_DEFAULTS__TTL`?
"#,
        );
    }

    #[test]
    fn variables_that_are_no_configuration() {
        let variables = [
            ("STAMPEDE_OFF", "1"),
            ("STAMPEDE_CONFIG", ""),
            ("STAMPEDE_PORT", "tcp://10.0.0.1:80"),
            ("STAMPEDE_PORT_80_TCP_ADDR", "10.0.0.1"),
            ("STAMPEDE_SERVICE_HOST", "10.0.0.1"),
            ("STAMPEDE_SERVICE_PORT_HTTP", "80"),
            ("STAMPEDE_API_PORT", "tcp://10.0.0.1:80"),
            ("STAMPEDE_API_PORT_80_TCP", "tcp://10.0.0.1:80"),
            ("STAMPEDE_API_SERVICE_HOST", "10.0.0.1"),
            ("MY_STAMPEDE_TTL", "1"),
            ("PATH", "/bin"),
        ];
        let config = Config::builder().variables(variables).build().expect("it is right");
        assert_eq!(format!("{config:?}"), format!("{:?}", Config::default()));
    }

    #[test]
    fn code_is_weaker_than_files_and_files_are_weaker_than_variables_key_by_key() {
        let folder = Folder::with(&[
            ("one.toml", "[defaults]\nttl = 2\nwait = 2\ntimeout = 2\n[namespaces.a]\nttl = 2"),
            ("two.yaml", "defaults: { wait: 3, timeout: 3 }"),
        ]);
        // The order of calls does not matter, only that of files among themselves.
        let config = Config::builder()
            .variables([("STAMPEDE_DEFAULTS__TIMEOUT", "4"), ("STAMPEDE_NAMESPACES__A__STALE", "4")])
            .file(folder.path("one.toml"))
            .file(folder.path("two.yaml"))
            .defaults(Settings::new().stale(SECOND).ttl(SECOND).wait(SECOND).timeout(SECOND))
            .namespace("a", Settings::new().ttl(SECOND).stale(SECOND).capacity(1))
            .build()
            .expect("it is right");
        let expected = Settings::new().stale(SECOND).ttl(2 * SECOND).wait(3 * SECOND).timeout(4 * SECOND);
        assert_eq!(config.defaults, expected);
        assert_eq!(config.namespaces["a"], Settings::new().ttl(2 * SECOND).stale(4 * SECOND).capacity(1));
    }

    #[test]
    fn contradictions_between_places_name_both() {
        let folder = Folder::with(&[("stampede.toml", "[namespaces.llm]\nstale = \"1h\"")]);
        let config = Config::builder()
            .namespace("llm", Settings::new().stale_if_error(60 * SECOND).soft_timeout(SECOND))
            .file(folder.path("stampede.toml"))
            .variables([("STAMPEDE_NAMESPACES__LLM__TIMEOUT", "500ms")]);
        folder.assert_refused(&config, r"
the configuration has 2 problems:
- namespace `llm`: `stale` (3600s, stampede.toml) must be shorter than `stale_if_error` (60s, in code), or the latter has no effect
- namespace `llm`: `soft_timeout` (1s, in code) must be shorter than `timeout` (500ms, STAMPEDE_NAMESPACES__LLM__TIMEOUT), or the former has no effect
");
    }

    #[test]
    fn a_variable_names_every_namespace_that_is_spelt_so() {
        let variables = [
            ("STAMPEDE_NAMESPACES__MY_APP__LLM__TTL", "1"),
            ("STAMPEDE_NAMESPACES__USER_PROFILES__TTL", "2"),
            ("stampede_NAMESPACES__X__TTL", "3"),
        ];
        let config = Config::builder()
            .namespace("user-profiles", Settings::new().capacity(5))
            .variables(variables)
            .build()
            .expect("it is right");
        let ttl = |namespace: &str| config.policy(namespace, &Options::new(), true).0.ttl;
        assert_eq!(ttl("my_app::llm"), Some(SECOND), "no file names it");
        assert_eq!(ttl("My_App::LLM"), Some(SECOND));
        assert_eq!(ttl("my_app"), None);
        assert_eq!(ttl("user-profiles"), Some(2 * SECOND));
        assert_eq!(config.namespaces["user-profiles"], Settings::new().ttl(2 * SECOND).capacity(5));
        assert_eq!(ttl("x"), None);
    }

    #[test]
    fn a_variable_names_the_file() {
        let folder = Folder::with(&[("one.toml", "[defaults]\nttl = 1"), ("two.toml", "[defaults]\nwait = 2")]);
        let config = Config::builder()
            .file(folder.path("one.toml"))
            .variables([("STAMPEDE_CONFIG", folder.path("two.toml"))])
            .build()
            .expect("it is right");
        assert_eq!(config.defaults, Settings::new().wait(2 * SECOND), "the other file is not read");

        let missing = Config::builder().variables([("STAMPEDE_CONFIG", folder.path("three.toml"))]);
        folder.assert_refused(
            &missing,
            r"
the configuration has 1 problem:
- STAMPEDE_CONFIG: three.toml: the file cannot be read: No such file or directory (os error 2)
",
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_variable_that_is_not_unicode() {
        use std::os::unix::ffi::OsStringExt;

        let value = OsString::from_vec(vec![b'5', 0xff]);
        assert_refused(
            &Config::builder().variables([("STAMPEDE_DEFAULTS__TTL", value)]),
            "the configuration has 1 problem:\n- STAMPEDE_DEFAULTS__TTL: it is not Unicode",
        );
    }

    #[cfg(not(feature = "backends"))]
    #[test]
    fn backends_need_their_feature() {
        assert_toml_refused(
            "[backends.main]\nkind = \"memory\"\n[defaults]\nbackend = \"main\"",
            r"
the configuration has 2 problems:
- stampede.toml: `backends.main`: backends need the cargo feature `backends` of `stampede-runtime`
- stampede.toml: defaults: `backend` needs the cargo feature `backends` of `stampede-runtime`
",
        );
    }

    /// The page shows every key, so that none can be forgotten there either.
    #[test]
    fn the_page_names_every_key() {
        let page = include_str!("../../../docs/configuration.md");
        let rows: Vec<_> = page.lines().filter(|line| line.starts_with("| `")).collect();
        for key in KEYS {
            let begins = format!("| `{}` |", key.name);
            assert!(
                rows.iter().any(|row| row.starts_with(&begins)),
                "docs/configuration.md has no row for {}",
                key.name
            );
        }
        #[cfg(feature = "backends")]
        for kind in crate::config::kinds::KINDS.iter().filter(|kind| kind.name != "remote") {
            let row = rows.iter().find(|row| row.starts_with(&format!("| `{}` |", kind.name)));
            let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no row for {}", kind.name));
            for key in kind.keys {
                assert!(row.contains(&format!("`{key}")), "{} misses {key}", kind.name);
            }
        }
        #[cfg(feature = "semantic")]
        for kind in crate::config::kinds::embedders::EMBEDDERS {
            let row = rows.iter().find(|row| row.starts_with(&format!("| `{}` |", kind.name)));
            let row = row.unwrap_or_else(|| panic!("docs/configuration.md has no row for {}", kind.name));
            for key in kind.keys {
                assert!(row.contains(&format!("`{key}")), "{} misses {key}", kind.name);
            }
        }
        for word in OF_ATTRIBUTES {
            assert!(KEYS.iter().all(|key| key.name != *word));
        }
    }

    #[cfg(feature = "semantic")]
    mod with_embedder;
    #[cfg(feature = "semantic")]
    mod with_guards;
    #[cfg(feature = "backends")]
    mod with_index;

    #[cfg(feature = "backends")]
    mod with_backends {
        use super::*;

        #[test]
        fn a_backend_of_a_file() {
            let config = toml(
                r#"
                [backends.main]
                kind = "memory"
                capacity = "64MiB"
                [namespaces.llm]
                backend = "main"
                "#,
            );
            assert!(format!("{config:?}").contains(r#"{"main": "memory"}"#), "{config:?}");
            assert!(config.backends.get("main").is_some());
        }

        #[test]
        fn every_wrong_backend() {
            assert_toml_refused(
                r#"
                [backends]
                five = 5
                [backends.four]
                [backends.one]
                kind = "memory"
                capacity = "hunter2"
                [backends.six]
                kind = "remote"
                url = "wrong://ann:hunter2@host"
                passwort = "hunter2"
                [backends.three]
                kind = "redis://ann:hunter2@host"
                [backends.two]
                kind = "memori"
                url = "redis://ann:hunter2@host"
                [defaults]
                backend = "redis://ann:hunter2@host"
                [namespaces.a]
                backend = "one"
                ttl = "redis://ann:hunter2@host"
                "#,
                r#"
the configuration has 9 problems:
- stampede.toml: `backends.five`: a table of keys belongs here, not 5
- stampede.toml: `namespaces.a.ttl`: `ttl` takes whole seconds, or a duration with units such as "1h30m" or "250ms"; not the text that stands there
- stampede.toml: `backends.four`: `kind` is missing; there are `memory`, `redis`, `pgvector`, `remote`
- stampede.toml: `backends.one.capacity`: `capacity` takes a size, such as "64MiB", or a number of bytes, more than zero
- stampede.toml: `backends.six.passwort`: unknown key; did you mean `password`?
- stampede.toml: `backends.six.url`: a url begins with `remote://`
- stampede.toml: `backends.three.kind`: unknown kind; there are `memory`, `redis`, `pgvector`, `remote`
- stampede.toml: `backends.two.kind`: unknown kind; did you mean `memory`?
- stampede.toml: defaults: no backend is called that; there are `four`, `one`, `six`, `three`, `two`
"#,
            );
        }

        #[cfg(feature = "redis")]
        #[test]
        fn redis_of_a_file_and_what_is_wrong_with_it() {
            let right = r#"
                [backends.main]
                kind = "redis"
                url = "redis://cache.internal/1?protocol=resp3"
                username = "ann"
                password = "hunter2"
                connect_timeout = "1s"
                response_timeout = "250ms"
                "#;
            let config = toml(right);
            let shown = format!("{config:?}");
            assert!(shown.contains(r#"{"main": "redis"}"#) && !shown.contains("hunter2"), "{shown}");
            let made = format!("{:?}", config.backends.get("main").unwrap().backend());
            assert!(made.contains("connect_timeout: 1s") && made.contains("response_timeout: 250ms"), "{made}");
            assert_toml_refused(
                r#"
                [backends.one]
                kind = "redis"
                connect_timeout = "soon"
                [backends.two]
                kind = "redis"
                url = "redis://ann:hunter2@host/x?hunter3=1"
                response_timeout = 0
                "#,
                r#"
the configuration has 5 problems:
- stampede.toml: `backends.one`: `url` is missing
- stampede.toml: `backends.one.connect_timeout`: `connect_timeout` takes whole seconds, or a duration with units such as "1h30m" or "250ms"
- stampede.toml: `backends.two.response_timeout`: it must be longer than zero
- stampede.toml: `backends.two.url`: unknown option after the `?`; there is `protocol`
- stampede.toml: `backends.two.url`: the database is a number
"#,
            );
        }

        #[cfg(not(feature = "redis"))]
        #[test]
        fn redis_names_the_feature_that_it_needs() {
            assert_toml_refused(
                "[backends.main]\nkind = \"redis\"\nurl = \"redis://ann:hunter2@host\"",
                r"
the configuration has 1 problem:
- stampede.toml: `backends.main.kind`: kind `redis` needs the cargo feature `redis` of `stampede-runtime`
",
            );
        }

        #[test]
        fn variables_complete_backends_and_make_them() {
            let folder = Folder::with(&[("stampede.toml", "[backends.My-Store]\nkind = \"remote\"")]);
            let config = Config::builder().file(folder.path("stampede.toml")).variables([
                ("STAMPEDE_BACKENDS__MY_STORE__URL", "remote://ann:hunter2@host"),
                ("STAMPEDE_BACKENDS__OTHER__KIND", "memory"),
                ("STAMPEDE_BACKENDS__OTHER__CAPACITY", "1GB"),
            ]);
            assert!(!format!("{config:?}").contains("hunter2"));
            let config = config.build().expect("it is right");
            let shown = format!("{config:?}");
            assert!(shown.contains(r#"{"My-Store": "remote", "other": "memory"}"#), "{shown}");
            assert!(!shown.contains("hunter2"), "{shown}");
        }

        #[test]
        fn a_name_that_code_and_a_file_give() {
            let folder = Folder::with(&[("stampede.toml", "[backends.main]\nkind = \"memory\"\ncapacity = 1")]);
            let config = Config::builder()
                .backend("main", crate::store::MemoryBackend::new(1))
                .file(folder.path("stampede.toml"));
            folder.assert_refused(
                &config,
                r"
the configuration has 1 problem:
- stampede.toml: `backends.main`: code gives a backend of that name too
",
            );
        }

        #[cfg(feature = "semantic")]
        #[test]
        fn a_name_that_code_gives_to_an_index() {
            let folder = Folder::with(&[("stampede.toml", "[backends.main]\nkind = \"memory\"\ncapacity = 1")]);
            let config = Config::builder()
                .index("main", crate::semantic::EmbeddedIndex::new())
                .file(folder.path("stampede.toml"));
            folder.assert_refused(
                &config,
                r"
the configuration has 1 problem:
- stampede.toml: `backends.main`: code gives an index of that name too
",
            );
        }

        #[test]
        fn a_file_that_cannot_be_read_is_all_that_is_said_of_what_it_would_name() {
            let config = Config::builder().defaults(Settings::new().backend("main")).file("missing.toml");
            let error = config.build().expect_err("it is wrong").to_string();
            assert!(error.starts_with("the configuration has 1 problem:"), "{error}");
        }
    }
}
