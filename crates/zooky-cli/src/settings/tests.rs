//! Who counts more than whom, and what is refused.

use super::*;
use clap::Parser;
use std::collections::HashMap;
use std::time::Duration;
use zooky_server::FourLetterWords;

#[derive(Debug, Parser)]
struct Line {
    #[command(flatten)]
    settings: Settings,
}

/// Resolves a command line with an environment.
fn resolve(flags: &[&str], env: &[(&str, &str)]) -> Result<Resolved, String> {
    let line = Line::try_parse_from([&["x"], flags].concat()).map_err(|error| error.to_string())?;
    let env: HashMap<_, _> = env.iter().copied().collect();
    line.settings.resolve(|name| env.get(name).map(OsString::from)).map_err(|failure| failure.line())
}

/// What a file alone makes of the settings.
fn from_file(text: &str) -> Result<Resolved, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zoo.cfg");
    std::fs::write(&file, text).unwrap();
    resolve(&["--config", file.to_str().unwrap()], &[])
}

#[test]
fn the_flag_counts_before_the_environment_before_the_file_before_the_default() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zoo.cfg");
    std::fs::write(&file, "dataDir=/of/file\ntickTime=1\nclientPort=1\n4lw.commands.whitelist=stat\n")
        .unwrap();
    let env = [
        ("ZOOKY_SERVER_CONFIG", file.to_str().unwrap()),
        ("ZOOKY_TICK_TIME", "2"),
        ("ZOOKY_LISTEN", "127.0.0.1:2"),
        ("ZOOKY_MAX_SESSIONS", ""),
    ];
    let config = resolve(&["--tick-time", "3"], &env).unwrap().config;
    assert_eq!(config.tick, Duration::from_millis(3));
    assert_eq!(config.listen, "127.0.0.1:2".parse().unwrap());
    assert_eq!(config.four_letter_words, FourLetterWords::only(["stat"]));
    assert_eq!(config.data_dir, Path::new("/of/file"));
    assert_eq!(config.limits.core.max_sessions, zooky_server::Limits::default().core.max_sessions);
}

#[test]
fn every_setting_has_a_flag_a_variable_and_a_line_in_the_documentation() {
    let documentation = include_str!("../../../../docs/settings.md");
    for setting in SETTINGS {
        let row = format!("| `--{} {}", setting.name, setting.value).trim_end().to_string();
        assert!(documentation.contains(&row), "docs/settings.md has no row for --{}", setting.name);
        // A value that no setting takes, so that each names its source.
        if setting.value == "DIR" || setting.value == "FILE" {
            continue;
        }
        let wrong = "?";
        let error = resolve(&[&format!("--{}={wrong}", setting.name)], &[]).unwrap_err();
        assert!(error.starts_with(&format!("--{}: ", setting.name)), "{error}");
        let variable = variable(setting.name);
        let error = resolve(&[], &[(&variable, wrong)]).unwrap_err();
        assert!(error.starts_with(&format!("{variable}: ")), "{error}");
    }
}

#[test]
fn defaults_in_the_help_are_the_servers() {
    let config = Config::new(LISTEN.into(), "d");
    // TLS is all or nothing.
    for setting in SETTINGS.iter().filter(|setting| setting.group != table::Group::Tls) {
        let Some((_, default)) = setting.help.split_once("[default: ") else { continue };
        let default = default.trim_end_matches(']');
        let mut told = config.clone();
        if setting.apply(&mut told, default.as_ref()).is_ok() {
            assert_eq!(format!("{told:?}"), format!("{config:?}"), "--{}", setting.name);
        } else {
            assert!(default.contains(' ') || default == "nobody" || default == "off", "{default}");
        }
    }
}

#[test]
fn a_samples_keys_are_understood() {
    let sample = "# The number of milliseconds of each tick\ntickTime=2000\ninitLimit=10\nsyncLimit=5\n\
                  dataDir = /tmp/zookeeper\nclientPort: 2182\nclientPortAddress=::1\nmaxClientCnxns=0\n\
                  minSessionTimeout=-1\nmaxSessionTimeout=60000\n4lw.commands.whitelist=mntr, \\\n   ruok\n\
                  jute.maxbuffer=4194304\nadmin.serverPort=8081\n\
                  snapCount=7\nautopurge.snapRetainCount=5\nautopurge.purgeInterval=1\n";
    let Resolved { config, warnings } = from_file(sample).unwrap();
    assert_eq!(warnings, [""; 0]);
    assert_eq!(config.listen, "[::1]:2182".parse().unwrap());
    assert_eq!(config.data_dir, Path::new("/tmp/zookeeper"));
    assert_eq!(config.limits.connections_per_address, usize::MAX);
    assert_eq!((config.min_session_timeout, config.max_session_timeout.unwrap().as_secs()), (None, 60));
    assert_eq!(config.four_letter_words, FourLetterWords::only(["mntr", "ruok"]));
    assert_eq!(config.limits.frame_bytes, 4 << 20);
    assert_eq!((config.snapshot_transactions, config.snapshots_kept), (7, 5));
}

#[test]
fn what_a_file_says_in_vain_is_told_or_refused() {
    let Resolved { warnings, .. } = from_file("dataDir=/d\nclientPrt=2181\n").unwrap();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].contains("zoo.cfg: line 2: clientPrt is not known"), "{warnings:?}");
    for (text, names) in [
        ("dataDir=/d\nserver.1=a:2888:3888\n", "line 2: server.1 is for the members of an ensemble"),
        ("dynamicConfigFile=/etc/zoo.dyn\n", "dynamicConfigFile is for"),
        ("dataDir=/d\nclientPort=x\n", "line 2: clientPort: \"x\""),
        ("dataDir=/d\ntickTime=\n", "line 2: tickTime: \"\""),
        ("dataDir=/d\ndataLogDir=/e\n", "line 2: dataLogDir"),
        ("tickTime=2000\n", "no data directory"),
    ] {
        let error = from_file(text).unwrap_err();
        assert!(error.contains(names), "{text:?}: {error}");
    }
    assert!(from_file("dataDir=/d\ndataLogDir=/d\n").is_ok());
    assert!(resolve(&["--config", "/no/such/zoo.cfg"], &[]).unwrap_err().contains("/no/such/zoo.cfg"));
}

#[test]
fn tls_needs_its_files() {
    let tls = |flags: &[&str]| resolve(&[&["--data-dir", "d"], flags].concat(), &[]);
    for flags in [&["--tls-listen", "0.0.0.0:2281"][..], &["--tls-cert", "c"], &["--tls-client-ca", "c"]] {
        assert!(tls(flags).unwrap_err().contains("--tls-key"), "{flags:?}");
    }
    let tls = tls(&["--tls-cert", "c", "--tls-key", "k"]).unwrap().config.tls.unwrap();
    assert_eq!((tls.listen, tls.client_ca), ("127.0.0.1:2281".parse().unwrap(), None));
    let text = "dataDir=/d\nsecureClientPort=2282\nsecureClientPortAddress=0.0.0.0\n\
                ssl.keyStore.location=/k.pem\nssl.trustStore.location=/t.pem\n";
    let tls = from_file(text).unwrap().config.tls.unwrap();
    assert_eq!(
        (tls.listen, tls.cert, tls.key),
        ("0.0.0.0:2282".parse().unwrap(), "/k.pem".into(), "/k.pem".into())
    );
    assert_eq!(tls.client_ca, Some("/t.pem".into()));
    assert!(from_file("ssl.keyStore.location=/k.jks\n").unwrap_err().contains("PEM"));
}

#[test]
fn switches_need_no_value() {
    let insecure = |flags: &[&str], env: &[(&str, &str)]| {
        resolve(&[&["--data-dir", "d"], flags].concat(), env).unwrap().config.insecure
    };
    assert!(insecure(&["--insecure"], &[]) && insecure(&[], &[("ZOOKY_INSECURE", "1")]));
    assert!(!insecure(&["--insecure=false"], &[("ZOOKY_INSECURE", "true")]));
}

#[test]
fn secrets_are_not_repeated() {
    let error = resolve(&["--super-digest", "super:hunter2"], &[]).unwrap_err();
    assert!(!error.contains("hunter2"), "{error}");
    assert!(
        resolve(&["--data-dir", "d", "--super-digest", "super:D/InIHSb7yEEbrWz8b9l71RjZJU="], &[]).is_ok()
    );
}
