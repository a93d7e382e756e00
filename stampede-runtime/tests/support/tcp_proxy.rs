//! A proxy before a server, for what goes wrong on the way: what is asked and what is answered can each be late, held up, lost
//! or spoilt, and connections can end in every way that they have.
//!
//! One thread takes connections, and two pass on what comes through each. A test changes what they do while they run.

// Each test uses a part of it.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    /// To the server.
    Asked,
    /// From it.
    Answered,
}

/// What becomes of bytes on one of the ways.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Passage {
    #[default]
    Free,
    /// They pass so much later.
    Late(Duration),
    /// They wait, and so does the end of a connection, until something else is said. As where cables are pulled.
    Held,
    /// Messages of channels that begin so are lost; all else passes.
    WithoutMessages(&'static str),
    /// One bit of so many bytes is another one.
    Spoilt(usize),
}

/// How much of a question arrives before its connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CutAfter {
    /// Half of it: the server does nothing.
    Half,
    /// All of it, and what is answered does not: the server has done it.
    Whole,
}

pub(crate) struct TcpProxy {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    passages: [Passage; 2],
    cut: Option<(&'static str, CutAfter)>,
    /// New connections end at once.
    refuses: bool,
    is_over: bool,
    attempts: usize,
    /// The most that were open at once.
    most: usize,
    lines: Vec<Arc<Line>>,
}

/// A connection of the client and one to the server.
struct Line {
    client: TcpStream,
    server: TcpStream,
    fate: Mutex<Fate>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    Open,
    /// Cut at the next answer.
    Doomed,
    /// Nothing passes any more, and neither end is told.
    Forgotten,
}

impl Line {
    fn fate(&self) -> MutexGuard<'_, Fate> {
        self.fate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn cut(&self) {
        let _ = self.client.shutdown(Shutdown::Both);
        let _ = self.server.shutdown(Shutdown::Both);
    }
}

impl TcpProxy {
    /// One before the server at this port of this machine, which need not be there.
    pub(crate) fn before(server: u16) -> TcpProxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let shared = Arc::new(Shared { state: Mutex::default(), changed: Condvar::new() });
        let of_thread = Arc::clone(&shared);
        thread::spawn(move || {
            for client in listener.incoming() {
                if of_thread.state().is_over {
                    return;
                }
                if let Ok(client) = client {
                    of_thread.connect(client, server);
                }
            }
        });
        TcpProxy { port, shared }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    /// From now on.
    pub(crate) fn set(&self, way: Way, passage: Passage) {
        self.shared.state().passages[way as usize] = passage;
        self.shared.changed.notify_all();
    }

    pub(crate) fn set_both(&self, passage: Passage) {
        self.set(Way::Asked, passage);
        self.set(Way::Answered, passage);
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        let lines = self.shared.state().lines.clone();
        for line in &lines {
            line.cut();
        }
    }

    /// Cuts the connection of the next question that holds this word.
    pub(crate) fn cut_at(&self, word: &'static str, after: CutAfter) {
        self.shared.state().cut = Some((word, after));
    }

    /// Whether what [`cut_at`](Self::cut_at) said has not happened yet.
    pub(crate) fn is_to_cut(&self) -> bool {
        self.shared.state().cut.is_some()
    }

    /// Connections that are there stay open at both ends, and nothing passes any more.
    pub(crate) fn forget(&self) {
        let lines = self.shared.state().lines.clone();
        for line in &lines {
            *line.fate() = Fate::Forgotten;
        }
    }

    /// The client is told that nothing more will be answered; what it asks still arrives.
    pub(crate) fn end_answers(&self) {
        let lines = self.shared.state().lines.clone();
        for line in lines {
            let _ = line.client.shutdown(Shutdown::Write);
        }
    }

    /// Whether new connections end at once.
    pub(crate) fn refuse(&self, refuses: bool) {
        self.shared.state().refuses = refuses;
    }

    /// How often a client has come.
    pub(crate) fn attempts(&self) -> usize {
        self.shared.state().attempts
    }

    /// The most connections that were open at once.
    pub(crate) fn most_at_once(&self) -> usize {
        self.shared.state().most
    }
}

impl Drop for TcpProxy {
    fn drop(&mut self) {
        self.shared.state().is_over = true;
        self.shared.changed.notify_all();
        self.cut();
        // Ends the thread that waits for the next.
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn connect(self: &Arc<Self>, client: TcpStream, server: u16) {
        let mut state = self.state();
        state.attempts += 1;
        if state.refuses {
            return;
        }
        drop(state);
        let Ok(server) = TcpStream::connect(("127.0.0.1", server)) else { return };
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let line = Arc::new(Line { client, server, fate: Mutex::new(Fate::Open) });
        let mut state = self.state();
        state.lines.push(Arc::clone(&line));
        state.most = state.most.max(state.lines.len());
        drop(state);
        let (of_asked, of_answered, shared) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        let (asked, answered) = (Arc::clone(&line), Arc::clone(&line));
        let asks = thread::spawn(move || of_asked.pass_all(&asked, Way::Asked));
        thread::spawn(move || {
            of_answered.pass_all(&answered, Way::Answered);
            let _ = asks.join();
            shared.state().lines.retain(|other| !Arc::ptr_eq(other, &line));
        });
    }

    /// Passes what comes on one of the ways, to its end.
    fn pass_all(&self, line: &Line, way: Way) {
        let (mut from, mut to) =
            if way == Way::Asked { (&line.client, &line.server) } else { (&line.server, &line.client) };
        let (mut bytes, mut rest, mut passed) = (vec![0; 1 << 16], Vec::new(), 0);
        while let Ok(length @ 1..) = from.read(&mut bytes) {
            let mut bytes = bytes[..length].to_vec();
            let passage = self.when_free(way);
            match *line.fate() {
                Fate::Forgotten => continue,
                Fate::Doomed if way == Way::Answered => {
                    line.cut();
                    break;
                }
                _ => (),
            }
            if way == Way::Asked
                && let Some(after) = self.is_cut_here(&bytes)
            {
                match after {
                    CutAfter::Half => {
                        let _ = to.write_all(&bytes[..length / 2]);
                        line.cut();
                        break;
                    }
                    CutAfter::Whole => *line.fate() = Fate::Doomed,
                }
            }
            match passage {
                Passage::Late(late) => thread::sleep(late),
                Passage::WithoutMessages(channel) => {
                    rest.append(&mut bytes);
                    bytes = without_messages(&mut rest, channel);
                }
                Passage::Spoilt(every) => {
                    for (at, byte) in bytes.iter_mut().enumerate() {
                        if (passed + at) % every == every - 1 {
                            *byte ^= 1 << ((passed + at) / every % 8);
                        }
                    }
                }
                Passage::Free | Passage::Held => (),
            }
            passed += length;
            // What was kept back to be looked at goes first.
            if !rest.is_empty() && !matches!(passage, Passage::WithoutMessages(_)) {
                bytes = [std::mem::take(&mut rest), bytes].concat();
            }
            if to.write_all(&bytes).is_err() {
                break;
            }
        }
        self.when_free(way);
        if *line.fate() == Fate::Forgotten {
            let state = self.state();
            // It stays as it is for as long as the proxy does.
            drop(self.changed.wait_while(state, |state| !state.is_over));
        }
        let _ = to.shutdown(Shutdown::Write);
    }

    /// Waits for as long as a way is held up.
    fn when_free(&self, way: Way) -> Passage {
        let is_held = |state: &mut State| state.passages[way as usize] == Passage::Held && !state.is_over;
        let state = self.changed.wait_while(self.state(), is_held).unwrap_or_else(PoisonError::into_inner);
        state.passages[way as usize]
    }

    fn is_cut_here(&self, bytes: &[u8]) -> Option<CutAfter> {
        let mut state = self.state();
        let (word, after) = state.cut?;
        let is_here = bytes.windows(word.len()).any(|window| window == word.as_bytes());
        is_here.then(|| {
            state.cut = None;
            after
        })
    }
}

/// Takes whole answers from the beginning of these bytes, and leaves out those that are messages of such channels.
fn without_messages(bytes: &mut Vec<u8>, channel: &str) -> Vec<u8> {
    let (mut kept, mut at) = (Vec::new(), 0);
    while let Some(length) = answer(&bytes[at..]) {
        let one = &bytes[at..at + length];
        let is_message = one[0] == b'>' && one.windows(channel.len()).any(|window| window == channel.as_bytes());
        let is_of_channel = is_message && one.windows(7).any(|window| window == b"message");
        if !is_of_channel {
            kept.extend_from_slice(one);
        }
        at += length;
    }
    bytes.drain(..at);
    kept
}

/// The length of the answer (RESP2 or RESP3) that these bytes begin with, if all of it is there.
fn answer(bytes: &[u8]) -> Option<usize> {
    let line = bytes.windows(2).position(|window| window == b"\r\n")?;
    let number: i64 = std::str::from_utf8(bytes.get(1..line)?).ok().and_then(|number| number.parse().ok()).unwrap_or(0);
    let number = usize::try_from(number);
    let head = line + 2;
    let parts = match (bytes[0], number) {
        (b'$' | b'=' | b'!', Ok(length)) => return (bytes.len() >= head + length + 2).then_some(head + length + 2),
        (b'*' | b'>' | b'~', Ok(parts)) => parts,
        (b'%', Ok(pairs)) => 2 * pairs,
        (b'|', Ok(pairs)) => 2 * pairs + 1,
        _ => 0,
    };
    let mut length = head;
    for _ in 0..parts {
        length += answer(&bytes[length..])?;
    }
    Some(length)
}
