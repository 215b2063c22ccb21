//! The bodies of the fuzz targets with bytes from a seed, so that they run without a fuzzer too: good inputs
//! with bytes changed, cut out, doubled, and numbers made extreme. `fuzz/run` lets a real fuzzer do it.
//!
//! `ZOOKY_FUZZ_CASES=N` runs N inputs for each target instead of 4,000.
// Helpers of a test fail it by panicking, too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

#[allow(unreachable_pub)]
mod fuzz_bodies;

use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

use fuzz_bodies::{TARGETS, seeds};
use zooky_testkit::Rng;

fn mutated(rng: &mut Rng, inputs: &[bytes::Bytes]) -> Vec<u8> {
    let mut bytes = rng.pick(inputs).to_vec();
    for _ in 0..1 + rng.below(4) {
        let at = rng.below(bytes.len().max(1));
        let end = (at + 1 + rng.below(16)).min(bytes.len());
        match rng.below(6) {
            _ if at >= bytes.len() => bytes.push(rng.next() as u8),
            0 => bytes[at] ^= 1 << rng.below(8),
            1 => bytes[at] = rng.next() as u8,
            2 => _ = bytes.drain(at..end),
            3 => {
                let again = bytes[at..end].to_vec();
                bytes.splice(at..at, again);
            }
            4 => bytes.truncate(at),
            _ => {
                let extreme = *rng.pick(&[-1, 0, 1, i32::MAX, i32::MIN, 1 << 20, 107]);
                let number = extreme.to_be_bytes();
                for (to, from) in bytes[at..].iter_mut().zip(number) {
                    *to = from;
                }
            }
        }
    }
    bytes
}

fn corpus(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus").join(name)
}

#[test]
fn the_corpus_breaks_nothing() {
    for (name, body) in TARGETS {
        seeds(name).iter().for_each(|bytes| body(bytes));
        let files: Vec<_> = fs::read_dir(corpus(name)).unwrap().map(|file| file.unwrap().path()).collect();
        assert!(!files.is_empty());
        files.iter().for_each(|file| body(&fs::read(file).unwrap()));
    }
}

#[test]
#[ignore = "writes the good inputs into fuzz/corpus"]
fn write_corpus() {
    for (name, _) in TARGETS {
        fs::create_dir_all(corpus(name)).unwrap();
        for (number, bytes) in seeds(name).iter().enumerate() {
            fs::write(corpus(name).join(format!("good-{number:02}")), bytes).unwrap();
        }
    }
}

#[test]
fn no_bytes_break_a_target() {
    let cases = std::env::var("ZOOKY_FUZZ_CASES").map_or(4_000, |n| n.parse().unwrap());
    for (name, body) in TARGETS {
        let inputs = seeds(name);
        for case in 0..cases {
            let bytes = mutated(&mut Rng::new(case), &inputs);
            if catch_unwind(|| body(&bytes)).is_err() {
                panic!("{name}, case {case}: {bytes:?}");
            }
        }
    }
}
