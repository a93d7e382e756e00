//! OpenAI's own Python client.

use std::path::PathBuf;
use std::process::Command;

use super::process::Gateway;
use super::redis_server::skipped;
use super::upstream::Upstream;

/// Where `scripts/test` has put the client.
fn package() -> Option<PathBuf> {
    let named = std::env::var_os("STAMPEDE_OPENAI").map(PathBuf::from);
    let folder = named.unwrap_or_else(|| concat!(env!("CARGO_MANIFEST_DIR"), "/.servers/openai").into());
    folder.join("openai").is_dir().then_some(folder)
}

#[test]
fn the_python_client() {
    let Some(package) = package() else {
        return skipped("the_python_client", "the Python package `openai` is not there (`scripts/test` brings it)");
    };
    let upstream = Upstream::start();
    let gateway = Gateway::before(&upstream);
    // Its streams, not one by one.
    upstream.open(2);
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/gateway/client.py");
    let mut python = Command::new("python3");
    python.arg("-B").arg(script).args([gateway.url(), upstream.url()]).env("PYTHONPATH", package);
    python.env("NO_PROXY", "127.0.0.1").env_remove("PYTHONHOME");
    let output = python.output().expect("there is python3");
    let (said, failed) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{failed}");
    assert_eq!(said.trim(), "137 requests, 44 chats and 14 texts reached the upstream");
    let calls = upstream.calls();
    assert_eq!(calls.iter().filter(|call| call.path == "models").count(), 1);
    // The client's key goes to the upstream, the gateway's own wishes do not.
    assert!(calls.iter().all(|call| call.header("authorization").starts_with("Bearer sk-of-a")), "{calls:?}");
    let ours = calls.iter().flat_map(|call| call.headers.keys()).find(|name| name.as_str().starts_with("x-stampede"));
    assert_eq!(ours, None);
}
