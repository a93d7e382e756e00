//! Which node has which part of the keys: what a key's slot is, and what the nodes say about slots.

use ::redis::{Value, from_redis_value};

/// A cluster's keys are in so many slots.
pub(super) const SLOTS: u16 = 16_384;
/// Nobody's cluster has more nodes (the specification advises against more than 1,000); what claims to is not believed.
const NODES_MAX: usize = 2_000;

/// The slot of a key: CRC16 (XMODEM) of what stands between its first brace and the next closing one, or of all of it.
/// <https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>
pub(super) fn slot_of(key: &str) -> u16 {
    let tag = key.split_once('{').and_then(|(_, rest)| rest.split_once('}')).map(|(tag, _)| tag);
    crc16(tag.filter(|tag| !tag.is_empty()).unwrap_or(key).as_bytes()) % SLOTS
}

fn crc16(bytes: &[u8]) -> u16 {
    const TABLE: [u16; 256] = {
        let mut table = [0_u16; 256];
        let mut byte = 0_u16;
        while byte < 256 {
            let mut crc = byte << 8;
            let mut bit = 0;
            while bit < 8 {
                crc = if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 };
                bit += 1;
            }
            table[byte as usize] = crc;
            byte += 1;
        }
        table
    };
    bytes.iter().fold(0, |crc, byte| (crc << 8) ^ TABLE[usize::from((crc >> 8) as u8 ^ byte)])
}

/// Where a node is.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct Address {
    pub(super) host: String,
    pub(super) port: u16,
}

impl Address {
    /// Of a redirection, said by a node at `teller`.
    pub(super) fn of_redirection(text: &str, teller: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Address::new(host, port.parse().ok()?, teller)
    }

    /// A node that does not know where it is is where the one that told of it is.
    fn new(host: &str, port: u16, teller: &str) -> Option<Address> {
        let host = if host.is_empty() { teller } else { host };
        (host != "?" && port != 0).then(|| Address { host: host.to_owned(), port })
    }
}

/// First and last slot, and who has these.
pub(super) type Range = (u16, u16, Address);

/// What a node says of all slots, in answer to `CLUSTER SLOTS`. `None`: it is no such answer, or the node knows of none.
pub(super) fn read(answer: &Value, teller: &str) -> Option<Vec<Range>> {
    let Value::Array(ranges) = answer else { return None };
    if ranges.is_empty() || ranges.len() > usize::from(SLOTS) {
        return None;
    }
    let mut all = Vec::with_capacity(ranges.len());
    for range in ranges {
        let Value::Array(range) = range else { return None };
        let [Value::Int(first), Value::Int(last), Value::Array(master), ..] = &range[..] else { return None };
        let (first, last) = (u16::try_from(*first).ok()?, u16::try_from(*last).ok()?);
        if first > last || last >= SLOTS {
            return None;
        }
        let [host, Value::Int(port), ..] = &master[..] else { return None };
        let host = match host {
            Value::Nil => String::new(),
            host => from_redis_value(host.clone()).ok()?,
        };
        // One whose place nobody knows cannot be asked.
        if let Some(address) = Address::new(&host, u16::try_from(*port).ok()?, teller) {
            all.push((first, last, address));
        }
    }
    let mut nodes: Vec<_> = all.iter().map(|(_, _, address)| (&address.host, address.port)).collect();
    nodes.sort_unstable();
    nodes.dedup();
    (!nodes.is_empty() && nodes.len() <= NODES_MAX).then_some(all)
}

/// What a node says of itself in answer to `CLUSTER NODES`, without what changes by itself: who it is, its epoch, its slots,
/// and which of these are moving, in brackets.
pub(super) fn itself(answer: &str) -> Option<String> {
    let line = answer.lines().find(|line| line.split(' ').nth(2).is_some_and(|flags| flags.contains("myself")))?;
    let parts: Vec<_> =
        line.split(' ').enumerate().filter(|(at, _)| ![4, 5].contains(at)).map(|(_, part)| part).collect();
    Some(parts.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_the_specification() {
        assert_eq!(crc16(b"123456789"), 0x31C3);
        // As `CLUSTER KEYSLOT` says.
        for (key, slot) in [("", 0), ("foo", 12182), ("{user1000}.following", 3443), ("foo{}{bar}", 8363), ("{", 4092)]
        {
            assert_eq!(slot_of(key), slot, "{key}");
        }
        assert_eq!(slot_of("stampede:{a}:lease"), slot_of("stampede:{a}"));
        assert_eq!(slot_of("foo{{bar}}zap"), slot_of("{bar"));
    }

    fn node(host: &str, port: i64) -> Value {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        Value::Array(vec![text(host), Value::Int(port), text("id"), Value::Array(Vec::new())])
    }

    fn range(first: i64, last: i64, nodes: &[Value]) -> Value {
        Value::Array([&[Value::Int(first), Value::Int(last)], nodes].concat())
    }

    #[test]
    fn what_a_node_says_is_read_and_what_is_nonsense_is_not() {
        let read = |ranges: &[Value]| read(&Value::Array(ranges.to_vec()), "teller");
        let told = read(&[range(0, 5, &[node("a", 1), node("replica", 2)]), range(6, 16383, &[node("", 3)])]).unwrap();
        let told: Vec<_> = told.iter().map(|(first, last, at)| (*first, *last, &*at.host, at.port)).collect();
        assert_eq!(told, [(0, 5, "a", 1), (6, 16383, "teller", 3)]);
        let unknown = read(&[range(0, 5, &[node("?", 1)]), range(6, 7, &[node("a", 1)])]).unwrap();
        assert_eq!(unknown.len(), 1);

        assert!(read(&[]).is_none());
        for nonsense in [
            range(0, 16384, &[node("a", 1)]),
            range(-1, 5, &[node("a", 1)]),
            range(6, 5, &[node("a", 1)]),
            range(0, 5, &[]),
            range(0, 5, &[node("a", 65536)]),
            range(0, 5, &[node("?", 1)]),
            Value::Nil,
        ] {
            assert!(read(std::slice::from_ref(&nonsense)).is_none(), "{nonsense:?}");
        }
        let many: Vec<_> = (0..=2_000).map(|n| range(n, n, &[node("a", n + 1)])).collect();
        assert!(read(&many).is_none());
        assert!(super::read(&Value::Okay, "teller").is_none());
    }

    #[test]
    fn redirections_are_read() {
        let at = |text| Address::of_redirection(text, "teller").map(|at| (at.host, at.port));
        assert_eq!(at("10.0.0.1:6379"), Some(("10.0.0.1".to_owned(), 6379)));
        assert_eq!(at("::1:6379"), Some(("::1".to_owned(), 6379)));
        assert_eq!(at("[::1]:6379"), Some(("::1".to_owned(), 6379)));
        assert_eq!(at(":6379"), Some(("teller".to_owned(), 6379)));
        assert_eq!([at("a"), at("a:b"), at("?:1"), at("a:0"), at("")], [const { None }; 5]);
    }

    #[test]
    fn what_moves_is_seen() {
        let told = "07c3 127.0.0.1:1@2 master - 0 1 2 connected 5-9\n\
                    67ed 127.0.0.1:3@4 myself,master - 0 1426238316232 3 connected 0-4 [93-<-07c3]\n";
        assert_eq!(itself(told).unwrap(), "67ed 127.0.0.1:3@4 myself,master - 3 connected 0-4 [93-<-07c3]");
        assert_eq!(itself("no"), None);
    }
}
