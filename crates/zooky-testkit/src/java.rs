//! Programs in Java against Debian's jars, above all Curator: compiled once, kept, and run.

use crate::talk::Talk;
use std::ffi::OsString;
use std::fs;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

const HINT: &str = "run `make peers` (default-jdk-headless, libcurator-recipes-java, zookeeper)";
const NEEDED: [&str; 9] = [
    "curator-recipes",
    "zookeeper-recipes-lock",
    "curator-framework",
    "curator-client",
    "zookeeper",
    "zookeeper-jute",
    "guava",
    "slf4j-api",
    "slf4j-simple",
];
/// Only some releases ship these apart from the others.
const OPTIONAL: [&str; 2] = ["failureaccess", "guava-failureaccess"];

/// A Java program in one source file, given as its text.
#[derive(Debug, Clone)]
pub struct JavaProgram {
    class: String,
    source: String,
    args: Vec<OsString>,
}

impl JavaProgram {
    /// The program whose public class `class` is what `source` defines (without a package).
    pub fn new(class: &str, source: &str) -> JavaProgram {
        JavaProgram { class: class.to_string(), source: source.to_string(), args: Vec::new() }
    }

    /// One more argument for `main`.
    pub fn arg(mut self, argument: impl Into<OsString>) -> Self {
        self.args.push(argument.into());
        self
    }

    /// Several more arguments for `main`.
    pub fn args<A: Into<OsString>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.args.extend(arguments.into_iter().map(Into::into));
        self
    }

    /// Compiles it, unless the same text has been compiled before, and runs it.
    ///
    /// # Panics
    /// When a jar or the compiler is missing, or the text does not compile.
    pub fn spawn(self) -> Talk {
        self.spawn_with(&["-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"])
    }

    /// The same with the caller's own options for the virtual machine, for measuring.
    ///
    /// # Panics
    /// As [`spawn`](JavaProgram::spawn).
    pub fn spawn_with(self, jvm: &[&str]) -> Talk {
        let jars = class_path();
        let classes = self.compile(&jars);
        let work = tempfile::Builder::new().prefix("zooky-java-").tempdir().expect("a temporary directory");
        let mut command = Command::new("java");
        command.args(jvm).arg("-Djava.net.preferIPv4Stack=true");
        command.arg("-cp").arg(format!("{}:{jars}", classes.display())).arg(&self.class).args(&self.args);
        Talk::spawn(command, work, HINT)
    }

    /// The directory of its classes. It is compiled aside and renamed into place: parallel tests may do so at
    /// the same moment, and the first one wins.
    fn compile(&self, jars: &str) -> PathBuf {
        let mut hasher = DefaultHasher::new();
        (&self.class, &self.source, jars).hash(&mut hasher);
        let cache = crate::workspace().join(".peers/java");
        let done = cache.join(format!("{}-{:016x}", self.class, hasher.finish()));
        if done.exists() {
            return done;
        }
        fs::create_dir_all(&cache).unwrap_or_else(|error| panic!("cannot make {}: {error}", cache.display()));
        let aside = tempfile::tempdir_in(&cache).expect("a directory beside the cached ones");
        let file = aside.path().join(format!("{}.java", self.class));
        fs::write(&file, &self.source).expect("the source is written");
        let javac =
            Command::new("javac").arg("-cp").arg(jars).arg("-d").arg(aside.path()).arg(&file).output();
        let javac = javac.unwrap_or_else(|error| panic!("cannot run javac: {error}; {HINT}"));
        let complaint = String::from_utf8_lossy(&javac.stderr);
        assert!(javac.status.success(), "{} does not compile:\n{complaint}", self.class);
        let aside = aside.keep();
        if fs::rename(&aside, &done).is_err() {
            assert!(done.exists(), "cannot keep the classes in {}", done.display());
            let _ = fs::remove_dir_all(&aside);
        }
        done
    }
}

fn class_path() -> String {
    let jar = |name: &str| format!("/usr/share/java/{name}.jar");
    let needed: Vec<String> = NEEDED.iter().map(|name| jar(name)).collect();
    for path in &needed {
        assert!(Path::new(path).exists(), "{path} is missing: {HINT}");
    }
    let optional = OPTIONAL.iter().map(|name| jar(name)).filter(|path| Path::new(path).exists());
    needed.into_iter().chain(optional).collect::<Vec<_>>().join(":")
}
