//! The same through TLS, with certificates made for the test.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use axum::serve::Listener;
use stampede_runtime::semantic::EmbedErrorKind;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::{CryptoProvider, ring};
use tokio_rustls::rustls::pki_types::pem::PemObject as _;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::server::TlsStream;

use super::embeddings_api::EmbeddingsApi;
use super::{builder, embed, failure};

/// Makes files in a folder: authorities `ours` and `theirs`, and of ours a server's certificate. Whether there is a program for
/// it.
fn make_certificates(folder: &Path) -> bool {
    let openssl = |line: &str| {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
        match command.status() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            status => {
                assert!(status.expect("openssl runs").success(), "openssl {line}");
                true
            }
        }
    };
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
    std::fs::write(folder.join("names"), "subjectAltName=IP:127.0.0.1\n").expect("a file");
    ["ours", "theirs"]
        .iter()
        .all(|name| openssl(&format!("req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}")))
        && openssl(&format!("req {key} -keyout server.key -out server.csr -subj /CN=server"))
        && openssl(
            "x509 -req -in server.csr -CA ours.pem -CAkey ours.key -CAcreateserial -days 2 -extfile names -out server.pem",
        )
}

struct Encrypted {
    listener: TcpListener,
    acceptor: TlsAcceptor,
}

impl Encrypted {
    fn new(listener: TcpListener, folder: &Path) -> Encrypted {
        let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).expect("a file");
        let chain = chain.map(|certificate| certificate.expect("a certificate")).collect();
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).expect("a key");
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().expect("there are versions").with_no_client_auth();
        let config = config.with_single_cert(chain, key).expect("they belong together");
        Encrypted { listener, acceptor: Arc::new(config).into() }
    }
}

impl Listener for Encrypted {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        loop {
            let (stream, address) = self.listener.accept().await.expect("it listens");
            // One that does not trust us leaves.
            if let Ok(stream) = self.acceptor.accept(stream).await {
                return (stream, address);
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

#[tokio::test]
async fn a_trusted_certificate_will_do_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    if !make_certificates(folder.path()) {
        assert!(
            std::env::var_os("STAMPEDE_TEST_SERVERS").is_none_or(|value| value != "required"),
            "there is no openssl"
        );
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    }
    let api = EmbeddingsApi::behind([], |listener| Encrypted::new(listener, folder.path()));
    let pem = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    let builder = |host: &str| builder(format!("https://{host}:{}/v1", api.port()));
    let trusting = builder("127.0.0.1").root_certificates(pem("ours.pem")).build().unwrap();
    assert_eq!(embed(&trusting, &["a"]).await.unwrap(), [[1.0, 1.0]]);
    let theirs = builder("127.0.0.1").root_certificates(pem("theirs.pem")).build().unwrap();
    // The certificate is of that address, and of no other name.
    let elsewhere = builder("localhost").root_certificates(pem("ours.pem")).build().unwrap();
    let mut refused = vec![theirs, elsewhere];
    // A machine that trusts nobody has no client for it.
    refused.extend(builder("127.0.0.1").build().ok());
    for embedder in refused {
        let (kind, cause) = failure(&embedder).await;
        assert_eq!((kind, cause.as_str()), (EmbedErrorKind::Unreachable, "the server's certificate is not trusted"));
    }
    // Which ciphers the process has is the program's to say.
    assert!(CryptoProvider::get_default().is_none());
}

#[tokio::test]
async fn a_server_that_does_not_encrypt_is_unreachable() {
    let api = EmbeddingsApi::start([]);
    let folder = tempfile::tempdir().unwrap();
    if !make_certificates(folder.path()) {
        eprintln!("skipped: there is no openssl to make certificates with");
        return;
    }
    let pem = std::fs::read(folder.path().join("ours.pem")).unwrap();
    let builder = builder(format!("https://127.0.0.1:{}/v1", api.port())).root_certificates(pem);
    let (kind, cause) = failure(&builder.build().unwrap()).await;
    assert_eq!((kind, cause.as_str()), (EmbedErrorKind::Unreachable, "no encrypted connection"));
}
