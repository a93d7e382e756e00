//! The gateway as a process, and HTTP by hand.

use std::fmt::{self, Write as _};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::example::example;
use super::upstream::{EMBEDDER_KEY, PATIENCE, Upstream};

/// The running gateway; it ends when this is dropped.
pub(crate) struct Gateway {
    child: Child,
    address: String,
}

impl Gateway {
    /// Before an upstream, with its embedder.
    pub(crate) fn before(upstream: &Upstream) -> Gateway {
        Gateway::start(&upstream.url(), &["--embedder-model", "placed"], None)
    }

    pub(crate) fn start(upstream: &str, options: &[&str], redis: Option<&str>) -> Gateway {
        let mut command = example("llm_gateway");
        for proxy in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"] {
            command.env_remove(proxy);
        }
        command.env_remove("STAMPEDE_POSTGRES_URL").env_remove("STAMPEDE_REDIS_URL");
        if let Some(url) = redis {
            command.env("STAMPEDE_REDIS_URL", url);
        }
        command.args(["--listen", "127.0.0.1:0", "--upstream", &format!("{upstream}/v1")]).args(options);
        command.env("OPENAI_API_KEY", EMBEDDER_KEY).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("the example starts");
        let mut line = String::new();
        let stdout = child.stdout.as_mut().expect("it is piped");
        // The rest of what it prints is read at its end, and is no more than a line.
        BufReader::with_capacity(1, stdout).read_line(&mut line).expect("it speaks");
        let address = line.trim().strip_prefix("listening on http://").map(str::to_owned);
        let address = address.unwrap_or_else(|| {
            let mut why = String::new();
            let _ = child.stderr.take().expect("it is piped").read_to_string(&mut why);
            panic!("{line:?}, {why}")
        });
        Gateway { child, address }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/v1", self.address)
    }

    /// Sends a request, and reads the whole answer.
    pub(crate) fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Answer {
        let mut open = self.begin(method, path, headers, body);
        open.rest()
    }

    /// Sends a request.
    pub(crate) fn begin(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Open {
        let mut head = format!("{method} {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n", self.address);
        if !headers.iter().any(|(name, _)| matches!(*name, "content-length" | "transfer-encoding")) {
            let _ = write!(head, "content-length: {}\r\n", body.len());
        }
        for (name, value) in headers {
            let _ = write!(head, "{name}: {value}\r\n");
        }
        self.write(&[head.as_bytes(), b"\r\n", body].concat())
    }

    /// Sends bytes.
    pub(crate) fn write(&self, bytes: &[u8]) -> Open {
        let mut stream = TcpStream::connect(&self.address).expect("the gateway listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("it can be set");
        // It may have said no before all has been written.
        let _ = stream.write_all(bytes);
        Open { stream, read: Vec::new() }
    }

    pub(crate) fn post(&self, path: &str, key: &str, headers: &[(&str, &str)], body: &Value) -> Answer {
        let bearer = format!("Bearer {key}");
        let own = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send("POST", path, &[&own, headers].concat(), body.to_string().as_bytes())
    }

    /// Asks a model a question.
    pub(crate) fn ask(&self, model: &str, question: &str) -> Answer {
        self.ask_with(model, question, &[])
    }

    pub(crate) fn ask_with(&self, model: &str, question: &str, headers: &[(&str, &str)]) -> Answer {
        let body = json!({ "model": model, "messages": [{ "role": "user", "content": question }] });
        self.post("/v1/chat/completions", "sk-secret", headers, &body)
    }

    pub(crate) fn is_alive(&self) {
        assert_eq!(self.send("GET", "/health", &[], b"").body, b"ok");
    }

    /// Asks it to stop, as a service manager does.
    pub(crate) fn terminate(&self) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().expect("there is `kill`").success());
    }

    /// How it ended, and all it has printed since it listens.
    pub(crate) fn wait(mut self) -> (ExitStatus, String) {
        let end = Instant::now() + PATIENCE;
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("it is our child") {
                break status;
            }
            assert!(Instant::now() < end, "it does not end");
            std::thread::sleep(std::time::Duration::from_millis(5));
        };
        let mut said = String::new();
        self.child.stdout.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        self.child.stderr.take().expect("it is piped").read_to_string(&mut said).expect("it is text");
        (status, said)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A request whose answer is being read.
pub(crate) struct Open {
    stream: TcpStream,
    read: Vec<u8>,
}

impl Open {
    /// Reads until some words have come.
    pub(crate) fn until(&mut self, words: &str) {
        let mut buffer = [0; 4096];
        while !String::from_utf8_lossy(&self.read).contains(words) {
            let count = self.stream.read(&mut buffer).expect("it answers");
            assert!(count > 0, "{words:?} did not come: {}", String::from_utf8_lossy(&self.read));
            self.read.extend_from_slice(&buffer[..count]);
        }
    }

    /// Reads to the end.
    pub(crate) fn rest(&mut self) -> Answer {
        // A connection that was reset has said what it had to say.
        let _ = self.stream.read_to_end(&mut self.read);
        Answer::new(&self.read)
    }

    /// The client leaves.
    pub(crate) fn leave(self) {
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// An answer, read by hand.
pub(crate) struct Answer {
    pub(crate) status: u16,
    head: String,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    fn new(bytes: &[u8]) -> Answer {
        let text = String::from_utf8_lossy(bytes);
        let end = text.find("\r\n\r\n").unwrap_or_else(|| panic!("no head: {text:?}"));
        let head = text[..end].to_lowercase();
        let status = head[9..12].parse().expect("a status is a number");
        Answer { status, head, body: bytes[end + 4..].to_vec() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let line = self.head.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
        Some(line.trim())
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// What the model said.
    pub(crate) fn text(&self) -> String {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()["choices"][0]["message"]["content"].as_str().expect("it is text").to_owned()
    }

    /// The gateway's word for what became of the request.
    pub(crate) fn became(&self) -> &str {
        self.header("x-stampede").unwrap_or("")
    }

    /// An error in the shape that clients understand: its status and its code.
    pub(crate) fn error(&self) -> (u16, String) {
        let error = &self.json()["error"];
        assert!(error["message"].is_string(), "{self:?}");
        (self.status, error["code"].as_str().expect("it has a code").to_owned())
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = &self.body[..self.body.len().min(500)];
        write!(f, "{}\n\n{}", self.head, String::from_utf8_lossy(shown))
    }
}
