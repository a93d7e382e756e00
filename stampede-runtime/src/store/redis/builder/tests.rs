use super::*;

fn wrong(url: &str) -> Vec<String> {
    let problems = RedisBackend::builder(url).make().expect_err(url);
    problems.into_iter().map(|(what, problem)| format!("{what}: {problem}")).collect()
}

fn right(url: &str) -> ConnectionInfo {
    read(url).unwrap_or_else(|problems| panic!("{url}: {problems:?}"))
}

#[test]
fn every_form_of_url_is_read() {
    for url in ["redis://h", "valkey://h:1/2", "redis://ann:secret@[::1]:6380/0?protocol=resp2", "REDIS://h"] {
        right(url);
    }
    for url in ["unix:///tmp/s", "redis+unix:///tmp/s?db=1&user=ann&pass=secret", "valkey+unix:///tmp/s?protocol=3"] {
        right(url);
    }
    let info = right("redis://ann:p%23w@h/3");
    let settings = info.redis_settings();
    assert_eq!((settings.username(), settings.password(), settings.db()), (Some("ann"), Some("p#w"), 3));
}

#[test]
fn the_newer_protocol_is_spoken_unless_the_url_says_otherwise() {
    let protocol = |url| right(url).redis_settings().protocol();
    assert_eq!(protocol("redis://h"), ProtocolVersion::RESP3);
    assert_eq!(protocol("redis://h?protocol=resp3"), ProtocolVersion::RESP3);
    assert_eq!(protocol("redis://h?protocol=resp2"), ProtocolVersion::RESP2);
    assert_eq!(protocol("unix:///tmp/s"), ProtocolVersion::RESP3);
}

#[test]
fn every_problem_is_told_at_once_and_nothing_of_the_url() {
    let url = "redis://ann:hunter2@cache.internal/x9?protocol=resp7&hunter3=1#hunter4";
    let builder = RedisBackend::builder(url).connect_timeout(Duration::ZERO).response_timeout(Duration::ZERO);
    assert!(!format!("{builder:?}").contains("hunter"));
    let told = builder.build().unwrap_err().to_string();
    let expected = "\
the configuration has 6 problems:
- `connect_timeout`: it must be longer than zero
- `response_timeout`: it must be longer than zero
- `url`: it ends before a `#`; in a password that is `%23`
- `url`: `protocol` is `resp2` or `resp3`
- `url`: unknown option after the `?`; there is `protocol`
- `url`: the database is a number";
    assert_eq!(told, expected);
}

#[test]
fn what_is_no_url_of_ours_is_refused() {
    let schemes = "url: it begins with `redis://`, `rediss://` (encrypted), `valkey://`, `valkeys://`, `unix://`, or \
                   `redis-cluster://`, `redis-sentinel://` and the like";
    for url in ["", "cache.internal:6379", "http://h", "unix-cluster://h", "redis-sentinels://h/m"] {
        assert_eq!(wrong(url), [schemes]);
    }
    assert_eq!(wrong("redis://h:port"), ["url: it cannot be read as a url"]);
    assert_eq!(wrong("redis://h/-1"), ["url: the database is a number"]);
    assert_eq!(wrong("redis://0.0.0.0"), ["url: it cannot be read as a url"]);
    assert_eq!(
        wrong("unix:///tmp/s?database=1"),
        ["url: unknown option after the `?`; there is `db`, `user`, `pass`, `protocol`"]
    );
}

#[test]
#[cfg(feature = "redis-tls")]
fn certificates_are_verified_whatever_the_url_says() {
    assert_eq!(wrong("rediss://h#insecure"), ["url: `#insecure` is not taken: certificates are always verified"]);
    let no_pem = RedisBackend::builder("rediss://h").client_certificate("no", "pem").make();
    assert_eq!(no_pem.unwrap_err(), [("certificates", "they are no PEM that can be read".to_owned())]);
    let unencrypted = RedisBackend::builder("redis://h").root_certificates("pem").make().unwrap_err();
    assert!(unencrypted[0].1.contains("begins with `rediss`"));
}

#[test]
#[cfg(not(feature = "redis-tls"))]
fn encryption_names_the_feature_that_it_needs() {
    assert_eq!(wrong("rediss://h"), ["url: `rediss` needs the cargo feature `redis-tls` of `stampede-runtime`"]);
}

#[test]
fn debug_shows_no_address() {
    let backend = RedisBackend::new("redis://ann:hunter2@cache.internal").unwrap();
    let shown = format!("{backend:?}");
    assert!(shown.contains("is_connected: false"), "{shown}");
    for secret in ["ann", "hunter2", "cache", "internal"] {
        assert!(!shown.contains(secret), "{shown}");
    }
}

fn split(url: &str) -> (Option<String>, Vec<String>) {
    let (kind, urls) = Kind::split(url).unwrap();
    let what = match kind {
        Kind::One => None,
        Kind::Cluster => Some(String::new()),
        Kind::Master(name) => Some(name),
    };
    (what, urls)
}

#[test]
fn a_url_may_name_several_hosts() {
    let own = |text: &str| Some(text.to_owned());
    assert_eq!(
        split("redis-cluster://ann:p%40w@h1:1,h2,[::1]:3?protocol=resp2"),
        (own(""), ["h1:1", "h2", "[::1]:3"].map(|host| format!("redis://ann:p%40w@{host}?protocol=resp2")).to_vec())
    );
    assert_eq!(split("VALKEYS-cluster://h"), (own(""), vec!["valkeys://h".to_owned()]));
    assert_eq!(
        split("rediss-sentinel://:pw@h1,h2:2/mymaster/3"),
        (own("mymaster"), vec!["rediss://:pw@h1/3".to_owned(), "rediss://:pw@h2:2/3".to_owned()])
    );
    assert_eq!(split("redis://h1,h2"), (None, vec!["redis://h1,h2".to_owned()]));
}

#[test]
fn sentinels_have_a_port_of_their_own() {
    let (kind, urls) = Kind::split("redis-sentinel://h1,h2:2/mymaster").unwrap();
    let (infos, problems) = kind.read(&urls);
    assert!(problems.is_empty(), "{problems:?}");
    let ports: Vec<_> = infos.iter().map(|info| format!("{}", info.addr())).collect();
    assert_eq!(ports, ["h1:26379", "h2:2"]);
}

#[test]
fn every_problem_of_several_hosts_is_told_once_and_nothing_of_the_urls() {
    assert_eq!(
        wrong("redis-sentinel://ann:hunter2@h1,h2"),
        ["url: it names no master, as `redis-sentinel://host:26379/master` does"]
    );
    assert_eq!(
        wrong("redis-cluster://ann:hunter2@h1,h2/3?protocol=resp7&hunter3=1"),
        ["url: `protocol` is `resp2` or `resp3`", "url: unknown option after the `?`; there is `protocol`"]
    );
    assert_eq!(wrong("redis-cluster://h1,h2/3"), ["url: a cluster has no databases"]);
    let told = |builder: RedisBuilder| {
        let shown = format!("{builder:?}");
        let text = builder.response_timeout(Duration::ZERO).build().unwrap_err().to_string();
        assert!(!text.contains("hunter") && !shown.contains("hunter"), "{text}\n{shown}");
        text.lines().skip(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(
        told(RedisBackend::cluster(["redis://ann:hunter2@h1", "unix:///tmp/s?pass=hunter2", "rediss://h2:x"])),
        [
            "- `url`: a socket in the file system is no node, and no sentinel",
            "- `url`: it cannot be read as a url",
            "- `url`: several say the same but for their hosts and ports",
        ]
    );
    assert_eq!(told(RedisBackend::cluster([""; 0])), ["- `url`: there has to be one at least"]);
    assert_eq!(
        told(RedisBackend::sentinel("", ["redis://:hunter2@h1", "redis://:hunter3@h2"])),
        ["- `url`: the master has a name", "- `url`: several say the same but for their hosts and ports"]
    );
    assert_eq!(
        told(RedisBackend::cluster(["redis://h1"]).sentinel_password("hunter2")),
        ["- `sentinel_password`: there are no sentinels"]
    );
}
