//! What the machine itself costs: a durable write, and a round trip over loopback.

use crate::failure::Failure;
use crate::stats::median;
use rustix::fs::fdatasync;
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::time::Instant;

/// About what one transaction takes in a log.
const RECORD: [u8; 200] = [0x5a; 200];
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];
const PREALLOCATED: usize = 1 << 20;

/// The limits, each the median of one round, in microseconds.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Limits {
    /// fdatasync after a small append, which changes the file's length.
    pub(crate) append_us: Option<f64>,
    /// fdatasync after a small write over zeros that were there and synced before.
    pub(crate) overwrite_us: Option<f64>,
    /// There and back over TCP, both ends on one core.
    pub(crate) one_core_us: Option<f64>,
    /// There and back over TCP, the ends on two cores.
    pub(crate) two_cores_us: Option<f64>,
}

/// Measures all limits once, with so many repetitions each.
pub(crate) fn measure(directory: &Path, count: usize) -> Result<Limits, Failure> {
    let cores = our_cores();
    let pair = |first: Option<&usize>, second: Option<&usize>| match (first, second) {
        (Some(&first), Some(&second)) => ping_pong(first, second, count * 10),
        _ => Ok(None),
    };
    Ok(Limits {
        append_us: sync_after(directory, count, 0)?,
        overwrite_us: sync_after(directory, count, PREALLOCATED)?,
        one_core_us: pair(cores.first(), cores.first())?,
        two_cores_us: pair(cores.first(), cores.get(1))?,
    })
}

/// Small writes at the start of a file of `zeros` zeros, each followed by an fdatasync.
fn sync_after(directory: &Path, count: usize, zeros: usize) -> Result<Option<f64>, Failure> {
    let wrong = || Failure::io("measuring the disk");
    let mut file = tempfile::tempfile_in(directory).map_err(wrong())?;
    for _ in 0..zeros / ZEROS.len() {
        file.write_all(&ZEROS).map_err(wrong())?;
    }
    file.sync_all().map_err(wrong())?;
    file.seek(SeekFrom::Start(0)).map_err(wrong())?;
    let mut took = Vec::with_capacity(count);
    for _ in 0..count {
        took.push(write_and_sync(&mut file).map_err(wrong())?);
    }
    Ok(median(&took))
}

fn write_and_sync(file: &mut File) -> std::io::Result<f64> {
    let start = Instant::now();
    file.write_all(&RECORD)?;
    fdatasync(&*file)?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

fn our_cores() -> Vec<usize> {
    let Ok(set) = sched_getaffinity(None) else { return Vec::new() };
    (0..CpuSet::MAX_CPU).filter(|&core| set.is_set(core)).take(2).collect()
}

/// The median round trip of a small message between two threads; `None` where threads cannot be bound to
/// cores.
fn ping_pong(first: usize, second: usize, count: usize) -> Result<Option<f64>, Failure> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let addr = listener.local_addr()?;
    std::thread::scope(|scope| {
        let echo = scope.spawn(move || -> Result<(), Failure> {
            let (mut stream, _) = listener.accept()?;
            stream.set_nodelay(true)?;
            bind_to(second);
            let mut message = [0; 64];
            while stream.read_exact(&mut message).is_ok() {
                stream.write_all(&message)?;
            }
            Ok(())
        });
        let caller = scope.spawn(move || -> Result<Option<f64>, Failure> {
            let mut stream = TcpStream::connect(addr)?;
            stream.set_nodelay(true)?;
            let bound = bind_to(first);
            let (mut message, mut took) = ([0; 64], Vec::with_capacity(count));
            for _ in 0..count {
                let start = Instant::now();
                stream.write_all(&message)?;
                stream.read_exact(&mut message)?;
                took.push(start.elapsed().as_secs_f64() * 1e6);
            }
            Ok(median(&took).filter(|_| bound))
        });
        let dead = || Failure::Refused("a thread of the loopback measurement died".to_string());
        let result = caller.join().map_err(|_| dead())?;
        echo.join().map_err(|_| dead())??;
        result
    })
}

/// Binds this thread to a core.
fn bind_to(core: usize) -> bool {
    let mut set = CpuSet::new();
    set.set(core);
    sched_setaffinity(None, &set).is_ok()
}
