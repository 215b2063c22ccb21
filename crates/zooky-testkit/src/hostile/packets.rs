//! ZooKeeper's packets, written down by hand: bad ones cannot be made with a library that makes good ones.

/// The longest packet a server takes by default.
pub(super) const LONGEST: usize = 1_048_575;

pub(super) mod op {
    pub(crate) const CREATE: i32 = 1;
    pub(crate) const EXISTS: i32 = 3;
    pub(crate) const GET_DATA: i32 = 4;
    pub(crate) const GET_CHILDREN: i32 = 8;
    pub(crate) const MULTI: i32 = 14;
    pub(crate) const MULTI_READ: i32 = 22;
    pub(crate) const SET_WATCHES2: i32 = 105;
    pub(crate) const ADD_WATCH: i32 = 106;
}

/// A packet being put together.
#[derive(Debug, Clone, Default)]
pub(super) struct Packet(Vec<u8>);

impl Packet {
    /// A request's beginning.
    pub(super) fn request(xid: i32, op: i32) -> Packet {
        Packet::default().int(xid).int(op)
    }

    pub(super) fn int(mut self, number: i32) -> Packet {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn long(mut self, number: i64) -> Packet {
        self.0.extend(number.to_be_bytes());
        self
    }

    pub(super) fn byte(mut self, byte: u8) -> Packet {
        self.0.push(byte);
        self
    }

    pub(super) fn bytes(self, bytes: &[u8]) -> Packet {
        let mut packet = self.int(bytes.len() as i32);
        packet.0.extend(bytes);
        packet
    }

    pub(super) fn text(self, text: &str) -> Packet {
        self.bytes(text.as_bytes())
    }

    /// What is there so far, without a length in front.
    pub(super) fn bare(self) -> Vec<u8> {
        self.0
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// The whole packet, its length in front.
    pub(super) fn framed(self) -> Vec<u8> {
        let mut all = (self.0.len() as i32).to_be_bytes().to_vec();
        all.extend(self.0);
        all
    }
}

/// A new session's first packet.
pub(super) fn hello() -> Vec<u8> {
    Packet::default().int(0).long(0).int(4_000).long(0).bytes(&[0; 16]).byte(0).framed()
}

/// A node for everybody.
pub(super) fn create(path: &str, data: &[u8]) -> Vec<u8> {
    let packet = Packet::request(1, op::CREATE).text(path).bytes(data);
    packet.int(1).int(31).text("world").text("anyone").int(0).framed()
}

/// A read; `watch` sets a watch, too.
pub(super) fn read(op: i32, path: &str, watch: bool) -> Vec<u8> {
    Packet::request(2, op).text(path).byte(watch.into()).framed()
}

/// The same node many times in one request.
pub(super) fn read_many(path: &str, times: usize) -> Vec<u8> {
    let part = |packet: Packet| packet.int(op::GET_DATA).byte(0).int(-1).text(path).byte(0);
    let packet = (0..times).fold(Packet::request(3, op::MULTI_READ), |packet, _| part(packet));
    packet.int(-1).byte(1).int(-1).framed()
}

/// A watch that stays, on everything below a path.
pub(super) fn add_watch(path: &str) -> Vec<u8> {
    Packet::request(4, op::ADD_WATCH).text(path).int(1).framed()
}

/// As many watches as go into one packet, each on another path below `top`.
pub(super) fn watch_bomb(top: &str) -> Vec<u8> {
    let mut paths = Packet::default();
    let mut count = 0;
    while paths.len() + top.len() + 64 < LONGEST {
        paths = paths.text(&format!("{top}{count}"));
        count += 1;
    }
    // None that must exist, many that must not, and no others.
    let head = Packet::request(-8, op::SET_WATCHES2).long(0).int(0).int(count);
    let mut all = head.bare();
    all.extend(paths.bare());
    all.extend([0; 12]);
    let mut packet = (all.len() as i32).to_be_bytes().to_vec();
    packet.extend(all);
    packet
}
