//! Connections to a server past what is tested, which stay.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;

use super::redis_server::{PATIENCE, RedisServer};

pub(super) struct Wire(BufReader<TcpStream>);

/// What a server answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Said {
    Text(Vec<u8>),
    Number(i64),
    Many(Vec<Said>),
    Nothing,
    /// Its first word.
    Error(String),
}

impl Said {
    /// Of texts, numbers and lists of them, one a line.
    pub(super) fn text(&self) -> String {
        match self {
            Said::Text(text) => String::from_utf8(text.clone()).expect("text"),
            Said::Number(number) => number.to_string(),
            Said::Many(all) => all.iter().map(Said::text).collect::<Vec<_>>().join("\n"),
            Said::Nothing => String::new(),
            Said::Error(error) => panic!("the server says {error}"),
        }
    }
}

impl Wire {
    pub(super) fn new(server: &RedisServer) -> Wire {
        let stream = TcpStream::connect(("127.0.0.1", server.port())).expect("the server listens");
        stream.set_read_timeout(Some(PATIENCE)).expect("a socket has a timeout");
        Wire(BufReader::new(stream))
    }

    pub(super) fn ask(&mut self, command: &[&str]) -> String {
        let parts: Vec<_> = command.iter().map(|part| part.as_bytes()).collect();
        self.call(&parts).text()
    }

    pub(super) fn call(&mut self, command: &[&[u8]]) -> Said {
        let mut bytes = format!("*{}\r\n", command.len()).into_bytes();
        for part in command {
            bytes.extend_from_slice(format!("${}\r\n", part.len()).as_bytes());
            bytes.extend_from_slice(part);
            bytes.extend_from_slice(b"\r\n");
        }
        self.0.get_mut().write_all(&bytes).expect("the server goes on");
        self.read()
    }

    fn read(&mut self) -> Said {
        let mut line = String::new();
        self.0.read_line(&mut line).expect("the server goes on");
        let (kind, line) = line.trim_end().split_at(1);
        match (kind, line.parse::<i64>()) {
            ("$", Ok(length)) if length >= 0 => {
                let length = usize::try_from(length).expect("it fits");
                let mut text = vec![0; length + 2];
                self.0.read_exact(&mut text).expect("the server goes on");
                text.truncate(length);
                Said::Text(text)
            }
            ("*", Ok(count)) if count >= 0 => Said::Many((0..count).map(|_| self.read()).collect()),
            ("$" | "*", _) => Said::Nothing,
            (":", Ok(number)) => Said::Number(number),
            ("-", _) => Said::Error(line.split(' ').next().unwrap_or_default().to_owned()),
            _ => Said::Text(line.as_bytes().to_vec()),
        }
    }
}

/// Who hears all messages of a server.
pub(super) struct Subscriber {
    wire: Wire,
    marks: u64,
}

const MARK: &str = "stampede:mark";

impl Subscriber {
    pub(super) fn new(server: &RedisServer) -> Subscriber {
        let mut wire = Wire::new(server);
        wire.call(&[b"PSUBSCRIBE", b"stampede:*"]);
        Subscriber { wire, marks: 0 }
    }

    /// What was published since, channel and text, sorted.
    pub(super) fn heard(&mut self, through: &mut Wire) -> Vec<(String, String)> {
        self.marks += 1;
        let mark = self.marks.to_string();
        through.ask(&["PUBLISH", MARK, &mark]);
        let mut heard = Vec::new();
        loop {
            let Said::Many(parts) = self.wire.read() else { panic!("a message is a list") };
            let (channel, text) = (parts[2].text(), parts[3].text());
            if channel == MARK {
                assert_eq!(text, mark);
                heard.sort();
                return heard;
            }
            heard.push((channel, text));
        }
    }
}
