//! Redis through TLS, with certificates made for the test.

use std::future::Future;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use stampede_runtime::store::{Backend, BackendErrorKind, RedisBackend, RedisBuilder, conformance};

#[path = "support/redis_server.rs"]
mod redis_server;

use redis_server::{PATIENCE, RedisServer, free_port, in_path, skipped};

async fn soon<T>(what: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, what).await.expect("it ends")
}

/// Makes files in a folder: authorities `ours` and `theirs`, and of ours a server's and a client's certificate.
fn make_certificates(folder: &Path) {
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(folder);
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("openssl runs").success(), "openssl {line}");
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    for name in ["ours", "theirs"] {
        openssl(&format!("req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"));
    }
    std::fs::write(folder.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1\n").expect("a file");
    for name in ["server", "client"] {
        openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
        openssl(&format!(
            "x509 -req -in {name}.csr -CA ours.pem -CAkey ours.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
        ));
    }
}

/// A server with a TLS port besides its own, and that port.
fn start(test: &str) -> Option<(RedisServer, u16)> {
    if in_path("openssl").is_none() {
        skipped(test, "there is no openssl to make certificates with");
        return None;
    }
    let server = RedisServer::start(test)?;
    make_certificates(server.folder());
    let port = free_port();
    let file = |name: &str| server.folder().join(name).display().to_string();
    let settings = [
        ("tls-cert-file", file("server.pem")),
        ("tls-key-file", file("server.key")),
        ("tls-ca-cert-file", file("ours.pem")),
        ("tls-auth-clients", "optional".to_owned()),
        ("tls-port", port.to_string()),
    ];
    let settings: Vec<_> = settings.iter().flat_map(|(name, value)| [*name, value.as_str()]).collect();
    let answer = server.try_asking(&[&["CONFIG", "SET"], &settings[..]].concat());
    if answer.starts_with('-') {
        skipped(test, "the server was built without TLS");
        return None;
    }
    Some((server, port))
}

fn builder(url: &str) -> RedisBuilder {
    RedisBackend::builder(url).connect_timeout(Duration::from_secs(5)).response_timeout(Duration::from_secs(5))
}

#[tokio::test]
async fn a_trusted_certificate_will_do_and_no_other() {
    let Some((server, port)) = start("a_trusted_certificate_will_do_and_no_other") else { return };
    let pem = |name: &str| std::fs::read(server.folder().join(name)).expect("a file");
    let url = format!("rediss://127.0.0.1:{port}");
    let trusting = || builder(&url).root_certificates(pem("ours.pem")).build().unwrap();
    conformance::check(async || trusting()).await;

    let unknown = builder(&url).build().unwrap();
    let theirs = builder(&url).root_certificates(pem("theirs.pem")).build().unwrap();
    for backend in [unknown, theirs] {
        let error = soon(backend.ping()).await.unwrap_err();
        assert_eq!(error.kind(), BackendErrorKind::Unreachable);
        let cause = std::error::Error::source(&error).unwrap().to_string();
        assert_eq!(cause, "the server's certificate is not trusted");
    }
    // The certificate is of `localhost` and of this address, and of no other.
    let elsewhere = builder(&format!("rediss://127.0.0.2:{port}")).root_certificates(pem("ours.pem")).build().unwrap();
    assert!(soon(elsewhere.ping()).await.is_err());
    let by_name = builder(&format!("valkeys://localhost:{port}")).root_certificates(pem("ours.pem")).build().unwrap();
    soon(by_name.ping()).await.unwrap();
}

#[tokio::test]
async fn a_client_shows_its_certificate() {
    let Some((server, port)) = start("a_client_shows_its_certificate") else { return };
    server.ask(&["CONFIG", "SET", "tls-auth-clients", "yes"]);
    let pem = |name: &str| std::fs::read(server.folder().join(name)).expect("a file");
    let url = format!("rediss://127.0.0.1:{port}");
    let nobody = builder(&url).root_certificates(pem("ours.pem")).build().unwrap();
    assert_eq!(soon(nobody.ping()).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
    let known = builder(&url).root_certificates(pem("ours.pem"));
    let known = known.client_certificate(pem("client.pem"), pem("client.key")).build().unwrap();
    soon(known.ping()).await.unwrap();
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_is_an_error() {
    let Some(server) = RedisServer::start("a_server_that_does_not_encrypt_is_an_error") else { return };
    let backend = builder(&format!("rediss://127.0.0.1:{}", server.port())).build().unwrap();
    assert_eq!(soon(backend.ping()).await.unwrap_err().kind(), BackendErrorKind::Unreachable);
}
