// SPDX-License-Identifier: Apache-2.0
//! Who may ask, and how what they are told is kept from others: the file that Prometheus' exporters have for that
//! (<https://prometheus.io/docs/prometheus/latest/configuration/https/>), and what it names.

use std::collections::BTreeMap;
use std::fs::Metadata;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::{Context, Result, anyhow, bail};
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::server::WebPkiClientVerifier;
use rustls::{RootCertStore, ServerConfig};
use serde::Deserialize;

use crate::certificates::certificates;
use crate::serve::users::Users;
use crate::small_file;

/// What of the format is known here. All else is an error: nothing that is to protect somebody is passed over in silence.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Format {
    tls_server_config: Option<Tls>,
    #[serde(default)]
    basic_auth_users: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Tls {
    cert_file: PathBuf,
    key_file: PathBuf,
    client_ca_file: Option<PathBuf>,
    #[serde(default)]
    client_auth_type: ClientAuth,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
enum ClientAuth {
    #[default]
    NoClientCert,
    VerifyClientCertIfGiven,
    RequireAndVerifyClientCert,
}

/// What the files said when they were read.
pub struct WebConfig {
    /// `None`: in plain text.
    pub tls: Option<Arc<ServerConfig>>,
    /// `None`: whoever asks.
    pub users: Option<Arc<Users>>,
    /// Where all of that stands, as it was when it was read.
    pub files: Vec<(PathBuf, Mark)>,
}

/// By which a change of a file is seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    modified: SystemTime,
    bytes: u64,
    inode: u64,
}

impl Mark {
    pub fn of(metadata: &Metadata) -> io::Result<Self> {
        Ok(Self {
            modified: metadata.modified()?,
            bytes: metadata.len(),
            inode: metadata.ino(),
        })
    }
}

impl WebConfig {
    pub fn load(path: &Path) -> Result<Self> {
        let (text, mark) = read(path)?;
        let format: Format =
            serde_norway::from_slice(&text).with_context(|| path.display().to_string())?;
        let mut files = vec![(path.to_owned(), mark)];
        let tls = match format.tls_server_config {
            None => None,
            Some(tls) => {
                // As the exporters have it, names are relative to the file's folder.
                let folder = path.parent().unwrap_or(Path::new("."));
                Some(Arc::new(tls.load(folder, &mut files)?))
            }
        };
        let users = match format.basic_auth_users.is_empty() {
            true => None,
            false => {
                let users = Users::new(format.basic_auth_users);
                Some(Arc::new(users.with_context(|| path.display().to_string())?))
            }
        };
        Ok(Self { tls, users, files })
    }
}

impl Tls {
    fn load(self, folder: &Path, files: &mut Vec<(PathBuf, Mark)>) -> Result<ServerConfig> {
        let mut take = |name: &Path| {
            let path = folder.join(name);
            let (text, mark) = read(&path)?;
            files.push((path.clone(), mark));
            Ok::<_, anyhow::Error>((path, text))
        };
        let (cert_path, chain) = take(&self.cert_file)?;
        let (key_path, key) = take(&self.key_file)?;
        let chain = certificates(&cert_path, &chain)?;
        let key = PrivateKeyDer::from_pem_slice(&key)
            .map_err(|error| anyhow!("no private key in {}: {error}", key_path.display()))?;
        let provider = Arc::new(ring::default_provider());
        let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_safe_default_protocol_versions()?;
        let builder = match (self.client_auth_type, &self.client_ca_file) {
            (ClientAuth::NoClientCert, None) => builder.with_no_client_auth(),
            (ClientAuth::NoClientCert, Some(_)) => {
                bail!("client_ca_file is of no use without client_auth_type")
            }
            (_, None) => bail!("client_auth_type asks for a client_ca_file"),
            (kind, Some(name)) => {
                let (path, text) = take(name)?;
                let mut roots = RootCertStore::empty();
                for certificate in certificates(&path, &text)? {
                    roots.add(certificate)?;
                }
                let verifier =
                    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                let verifier = match kind {
                    ClientAuth::VerifyClientCertIfGiven => verifier.allow_unauthenticated(),
                    _ => verifier,
                };
                builder.with_client_cert_verifier(verifier.build()?)
            }
        };
        let mut config = builder.with_single_cert(chain, key).with_context(|| {
            format!(
                "{} and {} do not belong together",
                cert_path.display(),
                key_path.display()
            )
        })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }
}

fn read(path: &Path) -> Result<(Vec<u8>, Mark)> {
    let (bytes, metadata) = small_file::read(path)?;
    let mark = Mark::of(&metadata).with_context(|| format!("cannot read {}", path.display()))?;
    Ok((bytes, mark))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn refusal(text: &str) -> String {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("web.yml");
        fs::write(&path, text).unwrap();
        fs::write(folder.path().join("empty.pem"), "").unwrap();
        let Err(error) = WebConfig::load(&path) else {
            panic!("{text:?} is taken");
        };
        format!("{error:#}").replace(folder.path().to_str().unwrap(), "")
    }

    #[test]
    fn what_is_not_known_or_not_there_is_an_error_that_says_where() {
        for (text, part) in [
            (
                "http_server_config: {http2: true}\n",
                "/web.yml: unknown field `http_server_config`",
            ),
            ("basic_auth_users:\n  - name\n", "at line 2"),
            (
                "basic_auth_users: {prometheus: secret}\n",
                "the password of \"prometheus\" is no bcrypt hash",
            ),
            (
                "tls_server_config: {cert_file: a.pem}\n",
                "missing field `key_file`",
            ),
            (
                "tls_server_config: {cert_file: a.pem, key_file: b.pem}\n",
                "cannot read /a.pem",
            ),
            (
                "tls_server_config: {cert_file: empty.pem, key_file: empty.pem}\n",
                "there is no certificate in /empty.pem",
            ),
            (
                "tls_server_config: {cert_file: a, key_file: a, min_version: TLS13}\n",
                "unknown field `min_version`",
            ),
        ] {
            let error = refusal(text);
            assert!(error.contains(part), "{text:?}: {error}");
        }
        assert!(refusal(&"# \n".repeat(1 << 20)).contains("larger than"));
    }
}
