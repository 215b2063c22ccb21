//! TLS to the servers: whom we trust, and who we are.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};

/// TLS settings. Only the given certificate authorities are trusted, never the system's.
#[derive(Clone)]
pub struct TlsConfig {
    pub(crate) client: Arc<ClientConfig>,
    pub(crate) server_name: Option<ServerName<'static>>,
}

/// Why TLS settings do not work.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TlsError {
    /// A file cannot be read, or holds no PEM of the right kind.
    #[error("{}: {why}; it must be a PEM file with {wanted}", file.display())]
    File {
        /// The file.
        file: PathBuf,
        /// What it must hold.
        wanted: &'static str,
        /// What went wrong.
        why: String,
    },
    /// Certificates and key are there, but not usable.
    #[error("these TLS settings cannot be used: {why}")]
    Settings {
        /// What went wrong.
        why: String,
    },
    /// The name is neither a host name nor an address.
    #[error("{name:?} is not a server name")]
    ServerName {
        /// The name.
        name: String,
    },
}

impl TlsConfig {
    /// Trusts the certificate authorities in `ca_file` (PEM). `identity` is our own certificate chain and private
    /// key (PEM files), if the servers want one.
    ///
    /// # Errors
    /// See [`TlsError`].
    pub fn new(ca_file: &Path, identity: Option<(&Path, &Path)>) -> Result<TlsConfig, TlsError> {
        let mut roots = RootCertStore::empty();
        for ca in certificates(ca_file)? {
            roots.add(ca).map_err(settings)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(settings)?
            .with_root_certificates(roots);
        let client = match identity {
            Some((chain, key)) => {
                let key_der =
                    PrivateKeyDer::from_pem_file(key).map_err(|why| file(key, "a private key", &why))?;
                builder.with_client_auth_cert(certificates(chain)?, key_der).map_err(settings)?
            }
            None => builder.with_no_client_auth(),
        };
        Ok(TlsConfig { client: Arc::new(client), server_name: None })
    }

    /// Expects this name in the servers' certificates instead of the host each was named by.
    ///
    /// # Errors
    /// [`TlsError::ServerName`].
    pub fn server_name(mut self, name: &str) -> Result<TlsConfig, TlsError> {
        self.server_name = Some(parse_name(name)?);
        Ok(self)
    }

    /// The name that the certificate of the server at `host` must carry.
    pub(crate) fn name_for(&self, host: &str) -> Result<ServerName<'static>, TlsError> {
        self.server_name.clone().map_or_else(|| parse_name(host), Ok)
    }
}

impl std::fmt::Debug for TlsConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("TlsConfig").field("server_name", &self.server_name).finish_non_exhaustive()
    }
}

fn parse_name(name: &str) -> Result<ServerName<'static>, TlsError> {
    ServerName::try_from(name.to_owned()).map_err(|_| TlsError::ServerName { name: name.to_owned() })
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let wanted = "certificates";
    let all = CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|why| file(path, wanted, &why))?;
    if all.is_empty() {
        return Err(TlsError::File { file: path.to_owned(), wanted, why: "there are none in it".to_owned() });
    }
    Ok(all)
}

fn file(path: &Path, wanted: &'static str, why: &impl ToString) -> TlsError {
    TlsError::File { file: path.to_owned(), wanted, why: why.to_string() }
}

#[allow(clippy::needless_pass_by_value)] // so that it fits map_err
fn settings(why: rustls::Error) -> TlsError {
    TlsError::Settings { why: why.to_string() }
}
