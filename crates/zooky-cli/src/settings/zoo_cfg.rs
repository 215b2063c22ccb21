//! The keys of a `zoo.cfg` that make sense for one server.
//!
//! The file is a Java properties file: `key=value` lines, `#` and `!` begin comments, a backslash at the end
//! goes on in the next line. A key that is unknown, or has no effect here, is told; one that would make this
//! server something else than the user believes (a member of an ensemble, say) is refused.

use super::table::{find, tls_of};
use super::values::{bytes, count, time};
use std::ffi::OsStr;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use zooky_server::Config;

/// What a key means here.
enum Meaning {
    /// The same as a setting.
    Setting(&'static str),
    /// Something of its own.
    Own(fn(&mut Config, &str) -> Result<(), String>),
    /// Nothing, and nobody misses it.
    Nothing,
    /// Nothing, and this is what holds instead.
    Instead(&'static str),
}

/// Takes the file's text over; returns what the user should know.
pub(super) fn apply(text: &str, config: &mut Config) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    let (mut log_dir, mut client_auth) = (None, None);
    for (number, key, value) in entries(text) {
        let at = |error: String| format!("line {number}: {key}: {error}");
        if is_ensembles(&key) {
            let why = "is for the members of an ensemble; this server is one for itself";
            return Err(format!("line {number}: {key} {why}"));
        }
        if key == "dataLogDir" {
            log_dir = Some((number, value));
            continue;
        }
        if key == "ssl.clientAuth" {
            client_auth = Some((number, value));
            continue;
        }
        match meaning(&key, &value) {
            Some(Meaning::Setting(name)) => {
                let setting = find(name).ok_or_else(|| at("has no setting".to_string()))?;
                setting.apply(config, OsStr::new(&value)).map_err(at)?;
            }
            Some(Meaning::Own(set)) => set(config, &value).map_err(at)?,
            Some(Meaning::Nothing) => {}
            Some(Meaning::Instead(what)) => warnings.push(format!("line {number}: {key}: {what}; ignored")),
            None => warnings.push(format!("line {number}: {key} is not known to this server; ignored")),
        }
    }
    if let Some((number, text)) = client_auth {
        require_certificates(config, &text)
            .map_err(|error| format!("line {number}: ssl.clientAuth: {error}"))?;
    }
    match log_dir {
        Some((number, dir)) if OsStr::new(&dir) != config.data_dir => Err(format!(
            "line {number}: dataLogDir: this server keeps its log beside the snapshots; move the logs into \
             dataDir's version-2 and remove the line"
        )),
        _ => Ok(warnings),
    }
}

/// What a single server cannot be. Some of it stands in every sample file and says nothing of an ensemble.
fn is_ensembles(key: &str) -> bool {
    ["server.", "group.", "weight.", "quorum.", "multiAddress."].iter().any(|start| key.starts_with(start))
        || matches!(key, "dynamicConfigFile" | "peerType" | "electionPortBindRetry" | "observerMasterPort")
}

/// Whether clients need a certificate: looked at behind all other lines, as the authorities may stand in any of them. As in the
/// original they do unless it says otherwise.
fn require_certificates(config: &mut Config, text: &str) -> Result<(), String> {
    let has_authorities = config.tls.as_ref().is_some_and(|tls| tls.client_ca.is_some());
    match text.to_ascii_lowercase().as_str() {
        "need" if config.tls.is_some() && !has_authorities => {
            Err("need: name the authorities of the clients' certificates, ssl.trustStore.location=FILE.pem"
                .into())
        }
        "need" => Ok(()),
        "none" => {
            if let Some(tls) = &mut config.tls {
                tls.client_ca = None;
            }
            Ok(())
        }
        "want" => Err("want: here all clients need a certificate or none does; write need or none".into()),
        _ => Err(format!("{text:?} is neither need nor none")),
    }
}

fn meaning(key: &str, value: &str) -> Option<Meaning> {
    use Meaning::{Instead, Nothing, Own, Setting};
    Some(match key {
        "dataDir" => Setting("data-dir"),
        "tickTime" => Setting("tick-time"),
        "clientPort" => Own(|config, text| {
            config.listen.set_port(port(text)?);
            Ok(())
        }),
        "clientPortAddress" => Own(|config, text| {
            config.listen.set_ip(ip(text)?);
            Ok(())
        }),
        "secureClientPort" => Own(|config, text| {
            tls_of(config).listen.set_port(port(text)?);
            Ok(())
        }),
        "secureClientPortAddress" => Own(|config, text| {
            tls_of(config).listen.set_ip(ip(text)?);
            Ok(())
        }),
        "ssl.keyStore.location" => Own(|config, text| {
            let both = pem(text)?;
            let tls = tls_of(config);
            (tls.cert, tls.key) = (both.clone(), both);
            Ok(())
        }),
        "ssl.trustStore.location" => Own(|config, text| {
            tls_of(config).client_ca = Some(pem(text)?);
            Ok(())
        }),
        "metricsProvider.httpPort" => Own(|config, text| {
            metrics(config).set_port(port(text)?);
            Ok(())
        }),
        "metricsProvider.httpHost" => Own(|config, text| {
            metrics(config).set_ip(ip(text)?);
            Ok(())
        }),
        "metricsProvider.className" => Own(|config, text| match text.rsplit('.').next() {
            Some("PrometheusMetricsProvider") => {
                metrics(config);
                Ok(())
            }
            _ => Ok(()),
        }),
        "minSessionTimeout" => Own(|config, text| {
            config.min_session_timeout = timeout(text)?;
            Ok(())
        }),
        "maxSessionTimeout" => Own(|config, text| {
            config.max_session_timeout = timeout(text)?;
            Ok(())
        }),
        "maxClientCnxns" => Own(|config, text| {
            let most = zero_is_all(text)?;
            config.limits.connections_per_address = most;
            config.limits.connections_per_loopback = most;
            Ok(())
        }),
        "maxCnxns" => Own(|config, text| {
            config.limits.connections = zero_is_all(text)?;
            Ok(())
        }),
        "4lw.commands.whitelist" => Setting("four-letter-words"),
        "jute.maxbuffer" => Setting("max-frame-bytes"),
        "DigestAuthenticationProvider.superDigest" => Setting("super-digest"),
        "snapCount" => Setting("snapshot-transactions"),
        "autopurge.snapRetainCount" => Setting("snapshots-kept"),
        "enforceQuota" => Setting("enforce-quota"),
        "txnLogSizeLimitInKb" => Own(|config, text| {
            config.log_roll_bytes = bytes(&format!("{text}k"))?;
            Ok(())
        }),
        "skipACL" if value == "yes" => Instead("ACLs are checked always"),
        "globalOutstandingLimit" => Instead(
            "--max-outstanding bounds each connection's requests, and --max-buffer-bytes those of all",
        ),
        // In every sample, and of no consequence for one server; or the disk's business, which we see to.
        "initLimit"
        | "syncLimit"
        | "electionAlg"
        | "leaderServes"
        | "cnxTimeout"
        | "standaloneEnabled"
        | "reconfigEnabled"
        | "syncEnabled"
        | "skipACL"
        | "clientPortListenBacklog"
        | "preAllocSize"
        | "snapshot.trust.empty"
        | "localSessionsEnabled"
        | "localSessionsUpgradingEnabled"
        | "admin.enableServer"
        | "admin.serverPort"
        | "extendedTypesEnabled"
        | "serverCnxnFactory"
        | "ssl.keyStore.type"
        | "ssl.trustStore.type"
        | "autopurge.purgeInterval"
        | "authProvider.x509" => Nothing,
        _ => return None,
    })
}

/// The original's provider of metrics: port 7000 unless another is named; on loopback unless another is.
fn metrics(config: &mut Config) -> &mut SocketAddr {
    config.metrics.get_or_insert(([127, 0, 0, 1], 7000).into())
}

/// Java's own key stores are not read, only PEM, which the original takes too.
fn pem(text: &str) -> Result<PathBuf, String> {
    match text.ends_with(".pem") {
        true => Ok(text.into()),
        false => Err(format!("{text:?} is no .pem file; write the certificates and the key as PEM")),
    }
}

fn port(text: &str) -> Result<u16, String> {
    text.parse().map_err(|_| format!("{text:?} is not a port"))
}

/// The original takes names too; a name could mean an address that one did not mean to open.
fn ip(text: &str) -> Result<IpAddr, String> {
    match text {
        "localhost" => Ok(IpAddr::from([127, 0, 0, 1])),
        _ => text.parse().map_err(|_| format!("{text:?} is not an IP address")),
    }
}

/// -1 is the default.
fn timeout(text: &str) -> Result<Option<Duration>, String> {
    if text == "-1" { Ok(None) } else { time(text).map(Some) }
}

fn zero_is_all(text: &str) -> Result<usize, String> {
    if text == "0" { Ok(usize::MAX) } else { count(text) }
}

/// The entries of a properties file with the number of the line each begins in. A file that opens with a byte
/// order mark is read as without it.
fn entries(text: &str) -> Vec<(usize, String, String)> {
    let mut found = Vec::new();
    let mut lines = text.trim_start_matches('\u{feff}').lines().enumerate();
    while let Some((number, line)) = lines.next() {
        let mut entry = line.trim_start().to_string();
        if entry.is_empty() || entry.starts_with(['#', '!']) {
            continue;
        }
        while entry.ends_with('\\') {
            entry.pop();
            match lines.next() {
                Some((_, more)) => entry.push_str(more.trim_start()),
                None => break,
            }
        }
        let split = entry.find(['=', ':']).or_else(|| entry.find(char::is_whitespace));
        let (key, value) = split.map_or((&entry[..], ""), |at| (&entry[..at], &entry[at + 1..]));
        found.push((number + 1, key.trim().to_string(), value.trim().to_string()));
    }
    found
}
