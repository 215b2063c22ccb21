//! TLS: whose certificate we show, whose we accept, and new files without a restart.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig, ServerConnection};

use crate::config::TlsSettings;
use crate::error::StartError;

/// How often the files are looked at.
const LOOK_MS: u64 = 2_000;

/// What tells one state of a file from another.
type Mark = Option<(SystemTime, u64)>;

/// The settings in force, and the files they came from.
#[derive(Debug)]
pub(crate) struct Tls {
    settings: TlsSettings,
    config: Arc<ServerConfig>,
    marks: Vec<Mark>,
    next_look_ms: u64,
}

impl Tls {
    /// Reads the files.
    pub(crate) fn load(settings: &TlsSettings) -> Result<Tls, StartError> {
        // Looked at before they are read: a change in between is seen at the next look.
        let marks = marks(settings);
        let config = Arc::new(server_config(settings)?);
        Ok(Tls { settings: settings.clone(), config, marks, next_look_ms: 0 })
    }

    /// The server's end of a new connection.
    pub(crate) fn accept(&self) -> Result<ServerConnection, rustls::Error> {
        ServerConnection::new(Arc::clone(&self.config))
    }

    /// Takes changed files over, for connections to come. Files that cannot be used are told once, and the
    /// old ones stay in force.
    pub(crate) fn look(&mut self, now_ms: u64) {
        if now_ms < self.next_look_ms {
            return;
        }
        self.next_look_ms = now_ms + LOOK_MS;
        let marks = marks(&self.settings);
        if marks == self.marks {
            return;
        }
        self.marks = marks;
        match server_config(&self.settings) {
            Ok(config) => {
                self.config = Arc::new(config);
                tracing::info!("took over new TLS certificates");
            }
            Err(error) => tracing::error!(%error, "the TLS certificates in use stay"),
        }
    }
}

fn marks(settings: &TlsSettings) -> Vec<Mark> {
    let files = [Some(&settings.cert), Some(&settings.key), settings.client_ca.as_ref()];
    let mark = |path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    files.into_iter().flatten().map(mark).collect()
}

fn server_config(settings: &TlsSettings) -> Result<ServerConfig, StartError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let refused = |path: &Path, why: String| StartError::Tls { path: path.to_owned(), why };
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| refused(&settings.cert, error.to_string()))?;
    let builder = match &settings.client_ca {
        Some(path) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(path)? {
                roots.add(authority).map_err(|error| refused(path, error.to_string()))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider)
                .build()
                .map_err(|error| refused(path, error.to_string()))?;
            builder.with_client_cert_verifier(verifier)
        }
        None => builder.with_no_client_auth(),
    };
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .map_err(|error| refused(&settings.key, format!("no private key in PEM: {error}")))?;
    let mut config = builder
        .with_single_cert(certificates(&settings.cert)?, key)
        .map_err(|error| refused(&settings.cert, format!("not usable with this key: {error}")))?;
    // A session is taken up again by ZooKeeper's own means; nothing is kept of TLS ones, so that new
    // authorities count from the next connection on.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, StartError> {
    let refused = |why: String| StartError::Tls { path: path.to_owned(), why };
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| refused(format!("no certificates in PEM: {error}")))?;
    if all.is_empty() { Err(refused("no certificates in PEM".into())) } else { Ok(all) }
}
