//! Certificates made for a test, and a server's settings for encryption.

// Each test uses a part of it.
#![allow(dead_code)]

use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::redis_server::{RedisServer, in_path, skipped};

/// Authorities `ours` and `theirs`. Of ours: `server` and `client`, which are for `localhost` and 127.0.0.1, and `named`, which
/// is for `localhost` alone. Of theirs: `stranger`, for both.
pub(crate) struct Certificates(TempDir);

impl Certificates {
    /// Certificates and servers that can make use of them, or a line that says what is skipped for want of either.
    pub(crate) fn make(test: &str) -> Option<Certificates> {
        if in_path("openssl").is_none() {
            skipped(test, "there is no openssl to make certificates with");
            return None;
        }
        if RedisServer::start(test)?.ask(&["CONFIG", "GET", "tls-port"]).is_empty() {
            skipped(test, "the server was built without TLS");
            return None;
        }
        let made = Certificates(TempDir::new().expect("a folder for certificates"));
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes";
        for name in ["ours", "theirs"] {
            made.openssl(&format!("req -x509 {key} -keyout {name}.key -out {name}.pem -days 2 -subj /CN={name}"));
        }
        made.write("both.pem", &[made.pem("ours.pem"), made.pem("theirs.pem")].concat());
        made.write("names", b"subjectAltName=DNS:localhost,IP:127.0.0.1\n");
        made.write("name", b"subjectAltName=DNS:localhost\n");
        let all = [
            ("server", "ours", "names"),
            ("client", "ours", "names"),
            ("named", "ours", "name"),
            ("stranger", "theirs", "names"),
        ];
        for (name, by, names) in all {
            made.openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN={name}"));
            let by = format!("-CA {by}.pem -CAkey {by}.key -CAcreateserial -days 2");
            made.openssl(&format!("x509 -req -in {name}.csr {by} -extfile {names} -out {name}.pem"));
        }
        Some(made)
    }

    fn openssl(&self, line: &str) {
        let mut command = Command::new("openssl");
        command.args(line.split_whitespace()).current_dir(self.0.path());
        let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
        assert!(status.expect("openssl runs").success(), "openssl {line}");
    }

    fn write(&self, file: &str, bytes: &[u8]) {
        std::fs::write(self.0.path().join(file), bytes).expect("the folder can be written to");
    }

    /// What is in a file.
    pub(crate) fn pem(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.0.path().join(file)).expect("a file")
    }

    /// The arguments of a server that shows one of them, at a port besides its own. It trusts both authorities, and wants to be
    /// shown a certificate where that `is_wanted`.
    pub(crate) fn arguments(&self, of: &str, port: u16, is_wanted: bool) -> Vec<String> {
        let file = |name: String| self.0.path().join(name).display().to_string();
        let settings = [
            ("--tls-port", port.to_string()),
            ("--tls-cert-file", file(format!("{of}.pem"))),
            ("--tls-key-file", file(format!("{of}.key"))),
            ("--tls-ca-cert-file", file("both.pem".to_owned())),
            ("--tls-auth-clients", if is_wanted { "yes" } else { "optional" }.to_owned()),
        ];
        settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }
}
