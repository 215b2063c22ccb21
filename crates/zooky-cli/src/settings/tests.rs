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

/// Resolves them with a file.
fn with_file(text: &str, flags: &[&str], env: &[(&str, &str)]) -> Result<Resolved, String> {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("zoo.cfg");
    std::fs::write(&file, text).unwrap();
    resolve(&[&["--config", file.to_str().unwrap()], flags].concat(), env)
}

/// What a file alone makes of the settings.
fn from_file(text: &str) -> Result<Resolved, String> {
    with_file(text, &[], &[])
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

/// Each setting with a value of its own, and what that changes in [`Config`]: nothing else.
const CHANGES: &[(&str, &str, &str, &str)] = &[
    ("listen", "127.0.0.1:3001", "{ listen: 127.0.0.1:2181", "{ listen: 127.0.0.1:3001"),
    ("data-dir", "/other", "data_dir: \"/d\"", "data_dir: \"/other\""),
    ("insecure", "true", "insecure: false", "insecure: true"),
    ("tls-listen", "0.0.0.0:3002", "{ listen: 127.0.0.1:2281", "{ listen: 0.0.0.0:3002"),
    ("tls-cert", "/c.pem", "cert: \"/k.pem\"", "cert: \"/c.pem\""),
    ("tls-key", "/l.pem", "key: \"/k.pem\"", "key: \"/l.pem\""),
    ("tls-client-ca", "/t.pem", "client_ca: None", "client_ca: Some(\"/t.pem\")"),
    ("metrics", "127.0.0.1:3003", "metrics: None", "metrics: Some(127.0.0.1:3003)"),
    (
        "super-digest",
        "super:D/InIHSb7yEEbrWz8b9l71RjZJU=",
        "super_digest: None",
        "super_digest: Some(\"super:D/InIHSb7yEEbrWz8b9l71RjZJU=\")",
    ),
    ("four-letter-words", "dump", "Only({\"mntr\", \"ruok\", \"srvr\"})", "Only({\"dump\"})"),
    ("tick-time", "3004", "tick: 2s", "tick: 3.004s"),
    ("min-session-timeout", "3005", "min_session_timeout: None", "min_session_timeout: Some(3.005s)"),
    ("max-session-timeout", "3006", "max_session_timeout: None", "max_session_timeout: Some(3.006s)"),
    ("original-passwords", "true", "original_passwords: false", "original_passwords: true"),
    ("enforce-quota", "true", "enforce_quota: false", "enforce_quota: true"),
    ("snapshot-transactions", "3007", "snapshot_transactions: 100000", "snapshot_transactions: 3007"),
    ("snapshots-kept", "3008", "snapshots_kept: 3,", "snapshots_kept: 3008,"),
    ("log-roll-bytes", "3009", "log_roll_bytes: 67108864", "log_roll_bytes: 3009"),
    ("max-frame-bytes", "3010", "frame_bytes: 1048575", "frame_bytes: 3010"),
    ("max-connections", "3011", " connections: 20000", " connections: 3011"),
    ("max-connections-per-address", "3012", "connections_per_address: 60", "connections_per_address: 3012"),
    (
        "max-connections-per-loopback",
        "3013",
        "connections_per_loopback: 10000",
        "connections_per_loopback: 3013",
    ),
    ("first-packet-timeout", "3014", "first_packet: 10s", "first_packet: 3.014s"),
    ("max-outstanding", "3015", "outstanding: 1000", "outstanding: 3015"),
    ("max-sessions", "3016", "max_sessions: 100000", "max_sessions: 3016"),
    ("max-watches-per-session", "3017", "max_watches_per_session: 100000", "max_watches_per_session: 3017"),
    (
        "max-watch-bytes-per-session",
        "3018",
        "max_watch_bytes_per_session: 33554432",
        "max_watch_bytes_per_session: 3018",
    ),
    ("max-watch-bytes", "3019", "max_watch_bytes: 268435456", "max_watch_bytes: 3019"),
    ("max-tree-bytes", "3020", "max_tree_bytes: 1073741824", "max_tree_bytes: 3020"),
    ("max-waiting-bytes", "3021", "unread_soft_bytes: 1048576", "unread_soft_bytes: 3021"),
    ("max-unread-bytes", "3022", "unread_hard_bytes: 67108864", "unread_hard_bytes: 3022"),
    ("max-buffer-bytes", "3023", "buffer_bytes: 536870912", "buffer_bytes: 3023"),
];

/// Keys of `zoo.cfg` that are a setting under another name, and the setting's value.
const KEYS: &[(&str, &str)] = &[
    ("dataDir=/other", "data-dir"),
    ("clientPort=3001", "listen"),
    ("ssl.trustStore.location=/t.pem", "tls-client-ca"),
    ("DigestAuthenticationProvider.superDigest=super:D/InIHSb7yEEbrWz8b9l71RjZJU=", "super-digest"),
    ("4lw.commands.whitelist=dump", "four-letter-words"),
    ("tickTime=3004", "tick-time"),
    ("minSessionTimeout=3005", "min-session-timeout"),
    ("maxSessionTimeout=3006", "max-session-timeout"),
    ("enforceQuota=true", "enforce-quota"),
    ("snapCount=3007", "snapshot-transactions"),
    ("autopurge.snapRetainCount=3008", "snapshots-kept"),
    ("jute.maxbuffer=3010", "max-frame-bytes"),
    ("maxCnxns=3011", "max-connections"),
    ("metricsProvider.httpPort=3003", "metrics"),
];

/// Keys that do something of their own, and all that they change.
const OWN_KEYS: &[(&str, &[(&str, &str)])] = &[
    ("clientPortAddress=::1", &[("{ listen: 127.0.0.1:2181", "{ listen: [::1]:2181")]),
    ("secureClientPort=3002", &[("{ listen: 127.0.0.1:2281", "{ listen: 127.0.0.1:3002")]),
    ("secureClientPortAddress=::1", &[("{ listen: 127.0.0.1:2281", "{ listen: [::1]:2281")]),
    (
        "ssl.keyStore.location=/l.pem",
        &[("cert: \"/k.pem\"", "cert: \"/l.pem\""), ("key: \"/k.pem\"", "key: \"/l.pem\"")],
    ),
    ("metricsProvider.httpHost=::1", &[("metrics: None", "metrics: Some([::1]:7000)")]),
    (
        "metricsProvider.className=org.apache.zookeeper.metrics.prometheus.PrometheusMetricsProvider",
        &[("metrics: None", "metrics: Some(127.0.0.1:7000)")],
    ),
    (
        "maxClientCnxns=3012",
        &[
            ("connections_per_address: 60", "connections_per_address: 3012"),
            ("connections_per_loopback: 10000", "connections_per_loopback: 3012"),
        ],
    ),
    ("txnLogSizeLimitInKb=3", &[("log_roll_bytes: 67108864", "log_roll_bytes: 3072")]),
];

/// What every source of settings begins with below, TLS included.
const BASE: &str = "dataDir=/d\nssl.keyStore.location=/k.pem\n";

/// The base's settings, changed in these places, as they are printed.
fn changed(changes: &[(&str, &str)]) -> String {
    let mut text = format!("{:?}", from_file(BASE).unwrap().config);
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
        text = text.replacen(from, to, 1);
    }
    text
}

#[test]
fn every_setting_and_every_key_of_a_file_has_a_row() {
    for setting in SETTINGS {
        assert!(CHANGES.iter().any(|(name, ..)| *name == setting.name), "no row for --{}", setting.name);
    }
    for (line, name) in KEYS {
        assert!(
            CHANGES.iter().any(|(setting, ..)| setting == name),
            "{line} gives no setting that has a row"
        );
    }
    // All that have a meaning are in one of the tables; `ssl.clientAuth` and `dataLogDir` have tests of their own.
    let source = include_str!("zoo_cfg.rs");
    let meant = source.lines().filter(|line| line.contains("\" => Own(") || line.contains("\" => Setting("));
    let keys: Vec<&str> = meant.filter_map(|line| line.split('"').nth(1)).collect();
    let lines = KEYS.iter().map(|(line, _)| *line).chain(OWN_KEYS.iter().map(|(line, _)| *line));
    let tried: Vec<&str> = lines.filter_map(|line| line.split('=').next()).collect();
    assert!(keys.len() >= 20, "{keys:?}");
    for key in keys {
        assert!(tried.contains(&key), "no row for {key}");
    }
}

#[test]
fn a_setting_sets_its_own_field_and_no_other_however_it_is_given() {
    let sets = |given: &str, resolved: Result<Resolved, String>, changes: &[(&str, &str)]| {
        let Resolved { config, warnings } = resolved.unwrap();
        assert_eq!(format!("{config:?}"), changed(changes), "{given}");
        assert_eq!(warnings, [""; 0], "{given}");
    };
    let by_key = |line: &str| from_file(&format!("{BASE}{line}\n"));
    for &(name, value, from, to) in CHANGES {
        let (flag, variable, change) = (format!("--{name}={value}"), variable(name), [(from, to)]);
        sets(&flag, with_file(BASE, &[&flag], &[]), &change);
        sets(&variable, with_file(BASE, &[], &[(&variable, value)]), &change);
        for (line, _) in KEYS.iter().filter(|(_, setting)| *setting == name) {
            sets(line, by_key(line), &change);
        }
    }
    for (line, changes) in OWN_KEYS {
        sets(line, by_key(line), changes);
    }
}

#[test]
fn keys_that_have_no_equivalent_say_what_holds_instead() {
    for (line, said) in [
        ("skipACL=yes", "line 2: skipACL: ACLs are checked always; ignored"),
        ("globalOutstandingLimit=10", "line 2: globalOutstandingLimit: --max-outstanding bounds"),
    ] {
        let Resolved { config, warnings } = from_file(&format!("dataDir=/d\n{line}\n")).unwrap();
        assert!(warnings.len() == 1 && warnings[0].contains(said), "{warnings:?}");
        assert_eq!(format!("{config:?}"), format!("{:?}", from_file("dataDir=/d\n").unwrap().config));
    }
    assert_eq!(from_file("dataDir=/d\nskipACL=no\nclientPortListenBacklog=50\n").unwrap().warnings, [""; 0]);
}

#[test]
fn certificates_of_clients_are_needed_as_the_file_says() {
    let with = |text: &str| from_file(&format!("{text}\n{BASE}"));
    let authorities = |text: &str| with(text).unwrap().config.tls.unwrap().client_ca;
    let ca = "ssl.trustStore.location=/t.pem";
    // Whichever line comes first.
    for text in [format!("ssl.clientAuth=need\n{ca}"), format!("{ca}\nssl.clientAuth=NEED"), ca.to_string()] {
        assert_eq!(authorities(&text), Some("/t.pem".into()), "{text}");
    }
    for text in [format!("ssl.clientAuth=none\n{ca}"), format!("{ca}\nssl.clientAuth=none")] {
        assert_eq!(authorities(&text), None, "{text}");
    }
    for (value, said) in [
        ("need", "line 1: ssl.clientAuth: need: name the authorities"),
        ("want", "line 1: ssl.clientAuth: want: here all"),
        ("maybe", "line 1: ssl.clientAuth: \"maybe\""),
    ] {
        let error = with(&format!("ssl.clientAuth={value}")).unwrap_err();
        assert!(error.contains(said), "{error}");
    }
    assert!(from_file("dataDir=/d\nssl.clientAuth=need\n").is_ok(), "there is no TLS");
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
