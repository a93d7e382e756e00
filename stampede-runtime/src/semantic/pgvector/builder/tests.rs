use super::*;

fn wrong(url: &str) -> Vec<String> {
    let problems = PgvectorIndex::builder(url).dimensions(3).make().expect_err(url);
    problems.into_iter().map(|(what, problem)| format!("{what}: {problem}")).collect()
}

#[test]
fn every_form_of_url_is_read() {
    for url in [
        "postgres://h",
        "postgresql://ann:p%23w@h:1/database?application_name=a&sslmode=prefer",
        "POSTGRES://[::1]:5433/d",
        "postgres:///d?host=/tmp&options=-c%20x.y%3D1",
        "postgres://h?options[work_mem]=8MB&statement-cache-capacity=0",
    ] {
        assert!(PgvectorIndex::builder(url).dimensions(3).make().is_ok(), "{url}");
    }
}

#[test]
fn every_problem_is_told_at_once_and_nothing_of_the_url() {
    let url = "postgres://ann:hunter2@database.internal/app?hunter3=hunter4#hunter5";
    let builder = PgvectorIndex::builder(url)
        .table("a b")
        .ef_search(0)
        .m(1)
        .ef_construction(3)
        .connections_max(0)
        .connect_timeout(Duration::ZERO)
        .query_timeout(Duration::ZERO)
        .password("hunter6");
    assert!(!format!("{builder:?}").contains("hunter"));
    let told = builder.build().unwrap_err().to_string();
    assert!(!told.contains("hunter"), "{told}");
    for what in [
        "the configuration has 10 problems",
        "`connect_timeout`",
        "`query_timeout`",
        "`connections_max`",
        "`ef_search`",
        "`table`",
        "`dimensions`: an embedding has at least one",
        "`m`",
        "`ef_construction`",
        "`url`: unknown option after the `?`",
        "`url`: it ends before a `#`",
    ] {
        assert!(told.contains(what), "{what} in {told}");
    }
}

#[test]
fn what_is_no_url_of_ours_is_refused() {
    for url in ["", "database.internal:5432", "mysql://h", "redis://h"] {
        assert_eq!(wrong(url), ["url: it begins with `postgres://` or `postgresql://`"]);
    }
    for url in ["postgres://h:port", "postgres://h?sslmode=secret", "postgres://h?port=x"] {
        assert_eq!(wrong(url), ["url: it cannot be read as a url"]);
    }
}

#[cfg(not(feature = "pgvector-tls"))]
#[test]
fn encryption_that_is_not_built_in_is_not_promised() {
    for mode in ["require", "verify-ca", "verify-full"] {
        let problem = "url: `sslmode` needs the cargo feature `pgvector-tls` of `stampede-runtime`";
        assert_eq!(wrong(&format!("postgres://h?sslmode={mode}")), [problem]);
    }
}

#[test]
fn nothing_secret_is_shown() {
    let index = PgvectorIndex::builder("postgres://ann:hunter2@h/hunter3").dimensions(3).build().unwrap();
    assert!(!format!("{index:?}").contains("hunter"));
}
