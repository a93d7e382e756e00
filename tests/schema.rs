//! `stampede schema`, run as a person or a script would.

use std::process::{Command, Output};

use stampede_runtime::semantic::PgvectorSchema;

fn schema(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stampede"));
    command.arg("schema").args(arguments).output().expect("the binary was built for this test")
}

fn text(bytes: &[u8]) -> &str {
    str::from_utf8(bytes).expect("the output is UTF-8")
}

#[test]
fn it_prints_the_sql_that_the_index_makes_its_table_with() {
    let printed = schema(&["--dimensions", "384"]);
    assert!(printed.status.success(), "{}", text(&printed.stderr));
    assert_eq!(text(&printed.stdout), PgvectorSchema::new(384).sql().unwrap());
    let printed = schema(&["--dimensions", "3072", "--table", "app.answers"]);
    assert_eq!(text(&printed.stdout), PgvectorSchema::new(3_072).table("app.answers").sql().unwrap());
    let printed = schema(&["--dimensions", "4096"]);
    assert_eq!(text(&printed.stdout), PgvectorSchema::new(4_096).sql().unwrap());
    assert!(text(&printed.stdout).contains("each look-up compares all entries of its"));
}

#[test]
fn what_cannot_be_is_refused_in_a_sentence() {
    for (arguments, said) in [
        (&[][..], "--dimensions <N>"),
        (&["--dimensions", "0"], "0 is not in 1..=16000"),
        (&["--dimensions", "16001"], "16001 is not in 1..=16000"),
        (&["--dimensions", "3", "--table", "a b"], "error: `table`: a name has letters of ASCII, digits and `_`"),
    ] {
        let refused = schema(arguments);
        assert_eq!(refused.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&refused.stdout), "");
        assert!(text(&refused.stderr).contains(said), "{}", text(&refused.stderr));
    }
}
