//! What a reader must know of the machine, and nothing that names it.

use rustix::fs::statfs;
use std::fs::read_to_string;
use std::path::Path;

/// The machine in one paragraph.
pub(crate) fn facts(data: &Path) -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let cpu = field("/proc/cpuinfo", "model name").unwrap_or_else(|| "unknown processor".to_string());
    let memory_kib = field("/proc/meminfo", "MemTotal")
        .and_then(|text| text.split_whitespace().next().and_then(|number| number.parse::<u64>().ok()));
    let memory_gib = memory_kib.unwrap_or_default().div_ceil(1 << 20);
    let kernel = read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    // What follows the numbers may name a provider.
    let kernel = kernel.split(['-', '\n']).next().unwrap_or("?");
    let load = read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or("?");
    let disk = file_system(data);
    format!(
        "{cores} cores ({cpu}), {memory_gib} GiB, Linux {kernel}, data on {disk}, load {load} at the start"
    )
}

/// The file system that the data lies on.
fn file_system(path: &Path) -> String {
    let Ok(found) = statfs(path) else { return "an unknown file system".to_string() };
    let magic = found.f_type as u64 & 0xffff_ffff;
    match magic {
        0xef53 => "ext4".to_string(),
        0x5846_5342 => "xfs".to_string(),
        0x9123_683e => "btrfs".to_string(),
        0x2fc1_2fc1 => "zfs".to_string(),
        0x794c_7630 => "overlayfs".to_string(),
        0x0102_1994 => "tmpfs (memory: nothing here is durable, and no figure means anything)".to_string(),
        other => format!("a file system of type {other:#x}"),
    }
}

fn field(file: &str, name: &str) -> Option<String> {
    let text = read_to_string(file).ok()?;
    let line = text.lines().find(|line| line.starts_with(name))?;
    Some(line.split_once(':')?.1.trim().to_string())
}

/// Today's date, in UTC.
pub(crate) fn today() -> String {
    jiff::Timestamp::now().strftime("%Y-%m-%d").to_string()
}
