//! Packets as a broken client would send them: opcodes nobody knows, bodies cut short, lengthened or overwritten.
//!
//! Compared are the error, the length of the answer and whether the connection lives on.

use bytes::BytesMut;
use zooky_testkit::Apache;
use zooky_wire::{OpCode, ReplyHeader, Request, Writer, xid};

use super::requests::{self, Dice};
use super::support::{Lost, Raw};
use super::{compare_with, ours};

/// Opcodes of all kinds: served, of servers among themselves, and none at all.
const OPS: &[i32] = &[
    1,
    2,
    3,
    4,
    5,
    6,
    7,
    8,
    9,
    11,
    12,
    13,
    14,
    15,
    16,
    17,
    18,
    19,
    20,
    21,
    22,
    100,
    101,
    102,
    103,
    104,
    105,
    106,
    107,
    -1,
    -10,
    0,
    10,
    23,
    99,
    108,
    1000,
    i32::MIN,
];

/// What stands in place of some four bytes.
const NUMBERS: &[i32] = &[-1, -2, 0, 1, 2, 7, 0x1_0000, 0x10_0000, i32::MAX, i32::MIN];

const MARSHALLING: i32 = -5;
const UNIMPLEMENTED: i32 = -6;
const AUTH_FAILED: i32 = -115;
const NO_WATCHER: i32 = -121;
const RECONFIG_DISABLED: i32 = -123;

/// Each reply: its xid, its error, the length of its body. The last one is the ping's, unless the connection was closed.
type Answers = Vec<(i32, i32, usize)>;

#[test]
fn broken_packets_get_the_answers_of_apache() {
    compare(0..400);
}

/// Neither of the two has SASL.
#[test]
fn sasl_gets_the_answers_of_apache() {
    let dir = tempfile::TempDir::new().unwrap();
    let tokens: [&[u8]; 7] = [
        &[0, 0, 0, 0],
        &[0, 0, 0, 3, b'a', b'b', b'c'],
        &[0, 0, 0, 1, b'a', b'b'],
        &[0, 0, 0, 2, b'a'],
        &[0xff; 4],
        &[0xff, 0xff, 0xff, 0xfe],
        &[],
    ];
    compare_with(ours(dir.path()), Apache::builder(), 0..tokens.len() as u64, |seed, _, addrs| {
        let token = tokens[seed as usize];
        let length = 8 + u32::try_from(token.len()).unwrap();
        let packet =
            [&length.to_be_bytes()[..], &[0, 0, 0, 2], &OpCode::SASL.0.to_be_bytes(), token].concat();
        let [we, they] = addrs.map(|addr| answers(&mut Raw::connect(addr), &packet));
        (we != they).then(|| format!("{token:?}\n  we   {we:?}\n  they {they:?}"))
    });
}

#[test]
#[ignore = "ten minutes"]
fn soak_broken_packets_get_the_answers_of_apache() {
    compare(1_000..5_000);
}

fn compare(seeds: std::ops::Range<u64>) {
    let dir = tempfile::TempDir::new().unwrap();
    compare_with(ours(dir.path()), Apache::builder(), seeds, |seed, dice, addrs| {
        let top = format!("/p{seed}");
        let made = frame(1, &requests::any(dice, &top, 0));
        let packet = broken(dice, &top);
        let [we, they] = addrs.map(|addr| {
            let mut client = Raw::connect(addr);
            client.next_xid = 3;
            let first = answers(&mut client, &made);
            (first, answers(&mut client, &packet))
        });
        let differ = we != they && !on_purpose(&packet, &we.1, &they.1);
        differ.then(|| format!("{:02x?}\n  we   {we:?}\n  they {they:?}", &packet[4..]))
    });
}

/// Differences that `docs/server.md` gives reasons for.
fn on_purpose(packet: &[u8], we: &Answers, they: &Answers) -> bool {
    let op = OpCode(i32::from_be_bytes(packet[8..12].try_into().unwrap()));
    let (answered, code) = (codes(we), we.first().map_or(0, |(_, err, _)| *err));
    match op {
        // Its answers to create2 in a multi are shorter.
        OpCode::MULTI if answered == codes(they) => true,
        // Alone, one that holds just closes the connection there; an answer to what stands behind it may slip out.
        OpCode::CHECK if answered == [UNIMPLEMENTED] => they.iter().all(|(number, ..)| *number == xid::PING),
        // Behind the end of a session, too.
        OpCode::CLOSE_SESSION if !we.is_empty() && they.starts_with(we) => true,
        // Served here, as by an ensemble of one.
        OpCode::RECONFIG if codes(they).first() == Some(&RECONFIG_DISABLED) => true,
        // Any session's watch is found there, and none at a path without a slash.
        OpCode::CHECK_WATCHES if code == NO_WATCHER => true,
        // Among all nodes are those whose names are no UTF-8, from other seeds.
        OpCode::GET_CHILDREN | OpCode::GET_CHILDREN2 if is_of_root(packet) => answered == codes(they),
        // Of servers among themselves: they ask no ACL.
        OpCode(-10 | 20) => answered == [UNIMPLEMENTED],
        // Text that is no UTF-8 is read as something else there.
        _ if std::str::from_utf8(&packet[12..]).is_ok() => false,
        OpCode::AUTH => we.is_empty() && codes(they) == [AUTH_FAILED],
        _ => code == MARSHALLING,
    }
}

/// Whether the path in front is the root's.
fn is_of_root(packet: &[u8]) -> bool {
    packet[12..].starts_with(&[0; 4]) || packet[12..].starts_with(&[0, 0, 0, 1, b'/'])
}

fn codes(answers: &Answers) -> Vec<i32> {
    answers.iter().map(|(_, err, _)| *err).collect()
}

fn frame(number: i32, request: &Request) -> Vec<u8> {
    let mut w = Writer::new();
    let mark = w.begin_frame();
    request.encode(request.fixed_xid().unwrap_or(number), &mut w);
    w.end_frame(mark);
    w.as_slice().to_vec()
}

/// A frame that is wrong in one or two ways.
fn broken(dice: &mut Dice, top: &str) -> Vec<u8> {
    let step = 1 + dice.below(15);
    let mut packet = frame(2, &requests::any(dice, top, step));
    for _ in 0..=dice.below(2) {
        let body = packet.len() - 12;
        match dice.below(5) {
            0 => packet[8..12].copy_from_slice(&OPS[dice.below(OPS.len())].to_be_bytes()),
            1 => packet.truncate(12 + dice.below(body + 1)),
            2 => packet.extend(std::iter::repeat_n(0, dice.below(9))),
            3 if body >= 4 => {
                let at = 12 + dice.below(body - 3);
                packet[at..at + 4].copy_from_slice(&NUMBERS[dice.below(NUMBERS.len())].to_be_bytes());
            }
            _ if body > 0 => packet[12 + dice.below(body)] ^= 1 << dice.below(8),
            _ => {}
        }
    }
    let length = u32::try_from(packet.len() - 4).unwrap();
    packet[..4].copy_from_slice(&length.to_be_bytes());
    packet
}

/// Sends the packet and a ping behind it, and takes all that is answered to both.
fn answers(client: &mut Raw, packet: &[u8]) -> Answers {
    let mut bytes = BytesMut::from(packet);
    bytes.extend_from_slice(&frame(0, &Request::Ping));
    let mut answers = Vec::new();
    if client.raw(&bytes).is_err() {
        return answers;
    }
    loop {
        let (ReplyHeader { xid, err, .. }, body) = match client.reply() {
            Ok(reply) => reply,
            Err(Lost::Closed) => return answers,
        };
        answers.push((xid, err.0, body.len()));
        // With some errors it closes the connection; what stands behind such an end may slip out all the same.
        if xid == xid::PING || [UNIMPLEMENTED, AUTH_FAILED].contains(&err.0) {
            return answers;
        }
    }
}
