// SPDX-License-Identifier: Apache-2.0
//! Certificates as files have them.

use std::path::Path;

use anyhow::{Result, anyhow, ensure};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

/// All that are in the text of this file, of which there has to be one.
pub fn certificates(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>> {
    let certificates = CertificateDer::pem_slice_iter(text).collect::<Result<Vec<_>, _>>();
    let certificates =
        certificates.map_err(|error| anyhow!("certificates in {}: {error}", path.display()))?;
    ensure!(
        !certificates.is_empty(),
        "there is no certificate in {}",
        path.display()
    );
    Ok(certificates)
}
