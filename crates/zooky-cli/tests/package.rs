//! The Debian package: made of a static binary, installed into a root in which there is nothing else, and used there.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use tempfile::TempDir;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

/// Runs it to its end; its standard output.
#[track_caller]
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, text(&output.stderr));
    text(&output.stdout)
}

/// The package, and a root with nothing but it.
struct Installed {
    package: PathBuf,
    root: PathBuf,
    _work: TempDir,
}

static INSTALLED: LazyLock<Installed> = LazyLock::new(|| {
    let work = tempfile::tempdir().unwrap();
    // A target directory of its own: the build would wait for the one that has just started this test.
    let target = repository().join("target/package");
    let script = |name: &str| {
        let mut command = Command::new(repository().join("packaging").join(name));
        command.env("CARGO_TARGET_DIR", &target);
        command
    };
    let binary = done(script("static").arg("dev"));
    let deb = done(script("deb").args(["--binary", binary.trim(), "--out"]).arg(work.path()));
    let root = work.path().join("root");
    for directory in ["var/lib/dpkg/info", "var/lib/dpkg/updates", "proc", "dev", "tmp"] {
        std::fs::create_dir_all(root.join(directory)).unwrap();
    }
    for file in ["var/lib/dpkg/status", "var/lib/dpkg/available", "dev/null"] {
        std::fs::write(root.join(file), "").unwrap();
    }
    // As in any Debian system.
    std::fs::create_dir(root.join("etc")).unwrap();
    std::fs::write(root.join("etc/hosts"), "127.0.0.1 localhost\n").unwrap();
    let package = PathBuf::from(deb.trim());
    done(
        as_root("dpkg")
            .arg(format!("--root={}", root.display()))
            .arg("--log=/dev/null")
            .arg("--install")
            .arg(&package),
    );
    Installed { package, root, _work: work }
});

/// The program as root, if need be as root of a user namespace.
fn as_root(program: &str) -> Command {
    if rustix::process::geteuid().is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", program]);
    command
}

/// A shell line's worth of words inside the root, with processes of its own: what it leaves running ends with it.
fn inside(words: &[&str]) -> Command {
    let root = INSTALLED.root.to_str().unwrap();
    let mut command = as_root("unshare");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
    command
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child"])
        .arg(format!("--mount-proc={root}/proc"));
    // The namespace's loopback is down at first.
    command.args(["sh", "-c", "ip link set lo up && exec chroot \"$0\" \"$@\"", root]).args(words);
    command
}

#[test]
#[ignore = "long: builds the static command; `make package-test`"]
fn a_lock_in_a_fresh_root() {
    // No shell there, no libc, no user: the command itself is all that a lock can be held for. Nothing answers at localhost, so the server
    // is of this file, too.
    let locked = done(&mut inside(&["/usr/bin/zooky", "run", "job", "--", "/usr/bin/zooky", "show", "job"]));
    assert!(locked.contains("holds"), "{locked}");
    let version = done(&mut inside(&["/usr/bin/zooky", "--version"]));
    assert_eq!(version, format!("zooky {}\n", env!("CARGO_PKG_VERSION")));
    // The lock was taken on the root's own disk.
    let check = done(&mut inside(&["/usr/bin/zooky", "server", "check", "/root/.local/state/zooky/data"]));
    assert!(check.ends_with("sound\n"), "{check}");
}

#[test]
#[ignore = "long: builds the static command; `make package-test`"]
fn what_is_in_it() {
    let Installed { package, root, .. } = &*INSTALLED;
    for file in [
        "usr/share/man/man1/zooky.1.gz",
        "usr/share/man/man1/zooky-server.1.gz",
        "usr/share/bash-completion/completions/zooky",
        "usr/share/zsh/vendor-completions/_zooky",
        "usr/share/fish/vendor_completions.d/zooky.fish",
        "usr/share/doc/zooky/copyright",
        "etc/default/zooky-server",
    ] {
        assert!(std::fs::metadata(root.join(file)).unwrap().len() > 50, "{file}");
    }
    let field = |name| done(Command::new("dpkg-deb").arg("--field").arg(package).arg(name));
    assert_eq!((field("Package").trim(), field("Depends").trim()), ("zooky", ""));
}

/// Its own sources, as systemd reads them.
#[test]
#[ignore = "long: builds the static command; `make package-test`"]
fn the_unit_is_sound_and_confined() {
    let work = tempfile::tempdir().unwrap();
    let text = std::fs::read_to_string(repository().join("packaging/zooky-server.service")).unwrap();
    // It looks whether the program is there.
    let text = text.replace("/usr/bin/zooky", env!("CARGO_BIN_EXE_zooky"));
    let unit = work.path().join("zooky-server.service");
    std::fs::write(&unit, text).unwrap();
    let output = Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&unit).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && !said.contains("zooky-server"), "{said}");
    // Of 100; what has no limits at all gets 96.
    let security = ["security", "--offline=true", "--threshold=20", "--no-pager"];
    done(Command::new("systemd-analyze").args(security).arg(&unit));
}
