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
    let mut script = Command::new(repository().join("packaging/deb"));
    let deb =
        done(script.env("CARGO_TARGET_DIR", &target).args(["--profile", "quick", "--out"]).arg(work.path()));
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
fn what_is_in_it() {
    let Installed { package, root, .. } = &*INSTALLED;
    for file in
        ["usr/share/doc/zooky/copyright", "usr/share/doc/zooky/changelog.gz", "etc/default/zooky-server"]
    {
        assert!(std::fs::metadata(root.join(file)).unwrap().len() > 50, "{file}");
    }
    manual_pages(root);
    completions(root);
    let field = |name| done(Command::new("dpkg-deb").arg("--field").arg(package).arg(name));
    assert_eq!((field("Package").trim(), field("Depends").trim()), ("zooky", ""));
}

/// Each verb that the help names has its page, and groff finds nothing wrong with any.
fn manual_pages(root: &Path) {
    let pages = root.join("usr/share/man/man1");
    let help = done(Command::new(root.join("usr/bin/zooky")).arg("--help"));
    let verbs: Vec<&str> = help
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| line.strip_prefix("  ")?.split(' ').next().filter(|verb| !verb.is_empty()))
        .collect();
    assert!(verbs.len() > 15, "{help}");
    for verb in verbs {
        assert!(pages.join(format!("zooky-{verb}.1.gz")).exists(), "{verb} has no page");
    }
    for page in std::fs::read_dir(pages).unwrap() {
        let page = page.unwrap().path();
        let text = done(Command::new("gzip").args(["--decompress", "--stdout"]).arg(&page));
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let mut groff = Command::new("groff");
        let output =
            groff.args(["-Kutf8", "-man", "-Tutf8", "-ww", "-P", "-cbou"]).arg(file.path()).output().unwrap();
        let warnings = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && warnings.is_empty(), "{}: {warnings}", page.display());
        assert!(String::from_utf8_lossy(&output.stdout).contains("SYNOPSIS"), "{}", page.display());
    }
}

/// Where each shell looks for them, and in its own eyes.
fn completions(root: &Path) {
    let file = |name: &str| root.join("usr/share").join(name).display().to_string();
    let bash = format!(
        ". {}; COMP_WORDS=(zooky rev); COMP_CWORD=1; _zooky zooky rev zooky; echo ${{COMPREPLY[*]}}",
        file("bash-completion/completions/zooky")
    );
    assert_eq!(done(Command::new("bash").args(["-c", &bash])), "revoke\n");
    let fish = format!("source {}; complete -C 'zooky rev'", file("fish/vendor_completions.d/zooky.fish"));
    let said = done(Command::new("fish").args(["--no-config", "-c", &fish]).env("HOME", root));
    assert!(said.starts_with("revoke\t"), "{said}");
    // Its answers need a terminal; that it takes the file, and for which command, does not.
    let directory = file("zsh/vendor-completions");
    let zsh = format!(
        "fpath=({directory} $fpath); autoload -Uz compinit; compinit -u -D; echo $_comps[zooky]; autoload +X _zooky"
    );
    assert_eq!(done(Command::new("zsh").args(["-f", "-c", &zsh]).env("HOME", root)), "_zooky\n");
}

/// Its own sources, as systemd reads them.
#[test]
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
