//! What a reader must know of the machine, and nothing that names it.

use rustix::fs::statfs;
use std::fs::read_to_string;
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

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
    format!("{cores} cores ({cpu}), {memory_gib} GiB, Linux {kernel}, data on {}", file_system(data))
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
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (year, month, day) = civil(seconds / 86_400);
    format!("{year}-{month:02}-{day:02}")
}

/// The date so many days after 1970-01-01.
fn civil(days: u64) -> (u64, u64, u64) {
    // Years are counted from March, so that the leap day comes last.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    (era * 400 + year_of_era + u64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates() {
        assert_eq!(civil(0), (1970, 1, 1));
        assert_eq!(civil(11_016), (2000, 2, 29));
        assert_eq!(civil(11_017), (2000, 3, 1));
        assert_eq!(civil(20_453), (2025, 12, 31));
    }
}
