//! An ext4 of its own on a loop device, whose power can be cut.

use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

/// `EXT4_IOC_SHUTDOWN` with `EXT4_GOING_FLAGS_NOLOGFLUSH`: from here on nothing reaches the device, neither what is
/// in the page cache nor the journal. In Python, because an ioctl is `unsafe` in Rust.
const SHUTDOWN: &str =
    "import fcntl,os,struct,sys; fcntl.ioctl(os.open(sys.argv[1],os.O_RDONLY),0x8004587d,struct.pack('I',2))";

#[derive(Debug)]
pub(crate) struct LoopDisk {
    dir: TempDir,
}

impl LoopDisk {
    /// A file system of 512 MiB, mounted.
    pub(crate) fn new() -> LoopDisk {
        assert!(rustix::process::geteuid().is_root(), "this test mounts a file system: run it as root");
        let disk = LoopDisk { dir: TempDir::new().unwrap() };
        std::fs::create_dir(disk.path()).unwrap();
        std::fs::File::create(disk.image()).unwrap().set_len(512 << 20).unwrap();
        run(Command::new("mkfs.ext4").args(["-q", "-F"]).arg(disk.image()));
        disk.mount();
        disk
    }

    /// Where it is mounted.
    pub(crate) fn path(&self) -> PathBuf {
        self.dir.path().join("mounted")
    }

    fn image(&self) -> PathBuf {
        self.dir.path().join("image")
    }

    fn mount(&self) {
        run(Command::new("mount").args(["-o", "loop"]).arg(self.image()).arg(self.path()));
    }

    /// The power fails.
    pub(crate) fn cut(&self) {
        let system = Path::new("/usr/bin/python3");
        let python = if system.exists() { system } else { Path::new("python3") };
        run(Command::new(python).args(["-I", "-S", "-c", SHUTDOWN]).arg(self.path()));
    }

    /// The power is back.
    pub(crate) fn mount_again(&self) {
        run(Command::new("umount").arg(self.path()));
        self.mount();
    }
}

impl Drop for LoopDisk {
    /// After a failure the image stays, for whoever looks into it.
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.dir.disable_cleanup(true);
            eprintln!("the disk's image is kept: {}", self.image().display());
        }
        let _ = Command::new("umount").arg("--lazy").arg(self.path()).status();
    }
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}; install it"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
}
