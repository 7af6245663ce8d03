//! Who this peer is: a key pair and a self-signed certificate in `<state-dir>/identity/`.
//!
//! Made on first start and never replaced after that: a peer with another key is another peer.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::{fs, io};

use lanspread_disk::state_file::{ensure_dir, write_atomic_private};
use lanspread_proto::PeerId;
use rcgen::{CertificateParams, DistinguishedName, DnType, KeyPair, PublicKeyData as _};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::ParsedCertificate;

const KEY_FILE: &str = "key.pem";
const CERTIFICATE_FILE: &str = "cert.pem";
/// The name in the certificate. Nobody checks it: peers are known by their keys.
const CERTIFICATE_NAME: &str = "lanspread";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    /// The directory of the identity cannot be made or written.
    #[error("state directory {path} is not usable: {source}")]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key or certificate is broken.
    #[error("identity file {path} is broken: {source}")]
    Broken {
        /// The broken file.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<dyn Error + Send + Sync>,
    },
}

/// The key pair, the certificate, and the id they give.
#[derive(Debug)]
pub struct Identity {
    /// The id, which follows from the public key.
    pub peer_id: PeerId,
    /// The self-signed certificate of the key.
    pub certificate: CertificateDer<'static>,
    key_pkcs8: Vec<u8>,
}

impl Identity {
    /// Reads the identity below `state_dir`, or makes one where there is none.
    ///
    /// A key without certificate (a crash between the two writes) gets a new certificate, which
    /// leaves the id as it is.
    ///
    /// # Errors
    /// [`IdentityError::Broken`] when a file is there and not usable, [`IdentityError::Directory`] when
    /// the directory is not.
    pub fn load_or_create(state_dir: &Path) -> Result<Self, IdentityError> {
        let dir = state_dir.join("identity");
        let unusable = |source| IdentityError::Directory { path: dir.clone(), source };
        ensure_dir(&dir).map_err(unusable)?;
        let key_path = dir.join(KEY_FILE);
        let certificate_path = dir.join(CERTIFICATE_FILE);

        let key = match read_text(&key_path)? {
            Some(pem) => KeyPair::from_pem(&pem).map_err(|e| broken(&key_path, e))?,
            None if certificate_path.exists() => {
                return Err(broken(&key_path, "the certificate is there, but not its key"));
            }
            None => {
                let key = KeyPair::generate().map_err(|e| broken(&key_path, e))?;
                write_atomic_private(&key_path, key.serialize_pem().as_bytes())
                    .map_err(unusable)?;
                key
            }
        };
        let certificate = match read_text(&certificate_path)? {
            Some(pem) => CertificateDer::from_pem_slice(pem.as_bytes())
                .map_err(|e| broken(&certificate_path, e))?,
            None => {
                let issued = issue(&key).map_err(|e| broken(&certificate_path, e))?;
                write_atomic_private(&certificate_path, issued.pem().as_bytes())
                    .map_err(unusable)?;
                issued.into()
            }
        };

        let spki = public_key(&certificate).map_err(|e| broken(&certificate_path, e))?;
        if spki != key.subject_public_key_info() {
            return Err(broken(&certificate_path, "it does not belong to the key beside it"));
        }
        let peer_id = PeerId::from_public_key(&spki);
        Ok(Self { peer_id, certificate, key_pkcs8: key.serialize_der() })
    }

    /// Writes the identity below `state_dir` again, unless it is there. The next start issues the
    /// certificate.
    ///
    /// # Errors
    /// What the system said, also when another identity is there.
    pub fn restore(&self, state_dir: &Path) -> io::Result<()> {
        let dir = state_dir.join("identity");
        ensure_dir(&dir)?;
        let path = dir.join(KEY_FILE);
        let key = KeyPair::try_from(self.key_pkcs8.as_slice()).map_err(io::Error::other)?;
        match fs::read_to_string(&path) {
            Ok(pem) if KeyPair::from_pem(&pem).is_ok_and(|found| is_same(&found, &key)) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                write_atomic_private(&path, key.serialize_pem().as_bytes())
            }
            Ok(_) => Err(io::Error::other(format!("{} is of another peer", path.display()))),
            Err(error) => Err(error),
        }
    }

    /// Returns the private key, for the TLS stack.
    pub fn key(&self) -> PrivateKeyDer<'static> {
        PrivatePkcs8KeyDer::from(self.key_pkcs8.clone()).into()
    }
}

/// Returns the id of the peer that holds the key of `certificate`.
///
/// # Errors
/// When the certificate cannot be parsed.
pub fn peer_id_of(certificate: &CertificateDer<'_>) -> Result<PeerId, rustls::Error> {
    Ok(PeerId::from_public_key(&public_key(certificate)?))
}

fn public_key(certificate: &CertificateDer<'_>) -> Result<Vec<u8>, rustls::Error> {
    Ok(ParsedCertificate::try_from(certificate)?.subject_public_key_info().to_vec())
}

fn is_same(one: &KeyPair, other: &KeyPair) -> bool {
    one.subject_public_key_info() == other.subject_public_key_info()
}

fn issue(key: &KeyPair) -> Result<rcgen::Certificate, rcgen::Error> {
    let mut params = CertificateParams::new(vec![CERTIFICATE_NAME.to_owned()])?;
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, CERTIFICATE_NAME);
    params.self_signed(key)
}

fn read_text(path: &Path) -> Result<Option<String>, IdentityError> {
    match fs::read_to_string(path) {
        Ok(text) => Ok(Some(text)),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(broken(path, e)),
    }
}

fn broken(path: &Path, source: impl Into<Box<dyn Error + Send + Sync>>) -> IdentityError {
    IdentityError::Broken { path: PathBuf::from(path), source: source.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_identity_survives_a_restart() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(dir.path()).unwrap();
        let second = Identity::load_or_create(dir.path()).unwrap();
        assert_eq!(first.peer_id, second.peer_id);
        assert_eq!(first.certificate, second.certificate);
        let other = tempfile::tempdir().unwrap();
        assert_ne!(Identity::load_or_create(other.path()).unwrap().peer_id, first.peer_id);
    }

    #[test]
    fn a_lost_certificate_is_issued_anew_for_the_same_peer() {
        let dir = tempfile::tempdir().unwrap();
        let first = Identity::load_or_create(dir.path()).unwrap();
        fs::remove_file(dir.path().join("identity").join(CERTIFICATE_FILE)).unwrap();
        assert_eq!(Identity::load_or_create(dir.path()).unwrap().peer_id, first.peer_id);
    }

    #[test]
    fn a_broken_or_missing_key_is_an_error_and_stays_as_it_is() {
        let dir = tempfile::tempdir().unwrap();
        Identity::load_or_create(dir.path()).unwrap();
        let key = dir.path().join("identity").join(KEY_FILE);
        fs::write(&key, "no key").unwrap();
        assert!(matches!(
            Identity::load_or_create(dir.path()),
            Err(IdentityError::Broken { path, .. }) if path == key
        ));
        assert_eq!(fs::read_to_string(&key).unwrap(), "no key");
        fs::remove_file(&key).unwrap();
        assert!(matches!(Identity::load_or_create(dir.path()), Err(IdentityError::Broken { .. })));
        assert!(!key.exists());
    }

    #[test]
    fn the_key_of_another_certificate_is_an_error() {
        let one = tempfile::tempdir().unwrap();
        let two = tempfile::tempdir().unwrap();
        Identity::load_or_create(one.path()).unwrap();
        Identity::load_or_create(two.path()).unwrap();
        let file = |dir: &Path| dir.join("identity").join(CERTIFICATE_FILE);
        fs::copy(file(one.path()), file(two.path())).unwrap();
        assert!(matches!(
            Identity::load_or_create(two.path()),
            Err(IdentityError::Broken { path, .. }) if path == file(two.path())
        ));
    }
}
