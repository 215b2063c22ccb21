//! What Linux tells about processes under `/proc`, and closing what a helper inherited.

use nix::unistd::close;
use rustix::process::Pid;

/// When a process began, in the kernel's ticks since boot: together with its number it names one process for
/// ever. None if there is no such process (or only its zombie).
pub(crate) fn started(pid: Pid) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
    // The state follows the name in parentheses, and the name may hold anything.
    let mut words = stat.rsplit_once(") ")?.1.split(' ');
    let state = words.next()?;
    // The 22nd field, counted from the state, which is the third.
    let started = words.nth(18)?.parse().ok()?;
    (state != "Z" && state != "X").then_some(started)
}

/// Whether this process was started with the signal ignored, as under nohup.
pub(crate) fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Closes every descriptor but the standard three. For helpers that outlive or outlast the command, before they
/// open anything themselves: whoever reads the other end of an inherited pipe must not wait for us.
pub(crate) fn close_inherited() {
    let Ok(listing) = std::fs::read_dir("/proc/self/fd") else { return };
    let names = listing.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    // Collected first: the listing itself holds a descriptor, which is closed by then.
    let open: Vec<i32> = names.filter(|&fd| fd > 2).collect();
    for fd in open {
        // The listing's own is gone already, which is all that can fail.
        let _ = close(fd);
    }
}
