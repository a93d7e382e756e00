//! Where the examples are.

use std::env::consts::EXE_SUFFIX;
use std::path::PathBuf;
use std::process::{Command, Stdio};

/// `cargo test` builds the examples, beside the folder of this test. `cargo test --test NAME` takes what is there.
pub(crate) fn example(name: &str) -> Command {
    let test = std::env::current_exe().expect("a test knows where it is");
    let folder = test.ancestors().nth(2).expect("tests lie in target/PROFILE/deps").join("examples");
    let program: PathBuf = folder.join(format!("{name}{EXE_SUFFIX}"));
    assert!(program.exists(), "{} is missing: run `cargo build --examples` first", program.display());
    let mut command = Command::new(program);
    command.stdin(Stdio::null()).env_remove("STAMPEDE_OFF");
    command
}
