//! The publisher's private keys as files: PKCS#8 PEM (RFC 5958), readable by their owner alone, encrypted if
//! their owner wants so.
//!
//! New keys are called after their role, `root.pem`, `root-2.pem` and so on; which role a key has is known from
//! the repository's root alone. Keys are never written into a repository, and never replaced or removed.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use pkcs8::der::pem::{LineEnding, PemLabel as _};
use pkcs8::{EncryptedPrivateKeyInfoRef, PrivateKeyInfoRef, SecretDocument};
use webimport_core::error::Coded;
use webimport_core::keys::KeyId;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::{Algorithm, KeySyntax, SigningKey};

use crate::memory;

/// A folder of private keys.
#[derive(Debug, Clone)]
pub struct KeyFolder(PathBuf);

/// The keys cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// A key file cannot be read or written.
    #[error("cannot {action} the key `{}`: {source}", path.display())]
    Io {
        /// `read` or `write`.
        action: &'static str,
        /// The file or its folder.
        path: PathBuf,
        /// The reason.
        source: io::Error,
    },
    /// The keys that are at hand cannot sign for the role.
    #[error("{}", missing(role, *needed, *have))]
    Missing {
        /// The role.
        role: &'static str,
        /// The role's threshold.
        needed: u64,
        /// Keys of the role that are at hand.
        have: u64,
    },
    /// New keys would replace existing ones.
    #[error("`{}` exists", path.display())]
    Exists {
        /// The key that is there.
        path: PathBuf,
    },
    /// Not a private key that can be used.
    #[error("`{origin}` is not a key: expected Ed25519 or P-256 in PKCS#8 PEM form")]
    Syntax {
        /// The file or the environment variable.
        origin: String,
    },
    /// The key is encrypted, and there is neither a passphrase nor a terminal to ask for it.
    #[error("`{origin}` is encrypted, and no passphrase is given")]
    Locked {
        /// The file or the environment variable.
        origin: String,
    },
    /// A new key is to be encrypted, and there is neither a passphrase nor a terminal to ask for it.
    #[error("no passphrase is given for the new key")]
    NoPassphrase,
    /// The passphrase does not open the key.
    #[error("the passphrase for `{origin}` is wrong")]
    Passphrase {
        /// The file or the environment variable.
        origin: String,
    },
    /// Whoever keeps a key did not sign.
    #[error("no signature by the key `{keyid}` of the role `{role}`: {reason}")]
    Signer {
        /// The role.
        role: &'static str,
        /// The key.
        keyid: KeyId,
        /// What went wrong.
        reason: String,
    },
    /// Others than the owner can read the key.
    #[error("`{}` can be read by others: expected mode 600, got {mode:o}", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// There is no folder for a new key.
    #[error("there is no folder for the new key")]
    NoFolder,
    /// The keys would be published with the repository.
    #[error("the key folder `{}` is inside the repository", path.display())]
    InsideRepository {
        /// The key folder.
        path: PathBuf,
    },
    /// Who serves or copies the folder around the repository would give the keys away.
    #[error("the repository is inside the key folder `{}`", path.display())]
    AroundRepository {
        /// The key folder.
        path: PathBuf,
    },
    /// The system has no randomness to give.
    #[error("no randomness for new keys: {0}")]
    Randomness(getrandom::Error),
}

fn missing(role: &str, needed: u64, have: u64) -> String {
    if have == 0 {
        format!("no key of the role `{role}` is at hand")
    } else {
        format!("the role `{role}` needs {needed} signatures, got {have}")
    }
}

impl KeyError {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl Coded for KeyError {
    fn code(&self) -> &'static str {
        match self {
            Self::Permissions { .. } => "publish.key_permissions",
            Self::Syntax { .. } => "publish.key_syntax",
            Self::Locked { .. } | Self::NoPassphrase => "publish.key_locked",
            Self::Passphrase { .. } => "publish.passphrase",
            Self::Signer { .. } => "publish.signer",
            Self::Missing { needed, have, .. } if *needed > 1 && *have > 0 => "publish.threshold",
            _ => "publish.key",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "check the path and its permissions".into(),
            Self::Missing { role: "root", .. } => {
                "give the folder with the root keys with --keys; where other people have them, write the new root \
                 to a file with `webimport keys … --out FILE` and let each sign it with `webimport keys sign`"
                    .into()
            }
            Self::Missing { .. } => {
                "give the folder with this repository's keys with --keys; `webimport keys list` shows who can sign"
                    .into()
            }
            Self::Exists { .. } => {
                "give another folder with --keys; keys are never replaced".into()
            }
            Self::Syntax { .. } => {
                "it may be cut off or of another kind: restore it from your backup of the keys".into()
            }
            Self::Locked { .. } | Self::NoPassphrase => {
                "run the command on a terminal, or give the passphrase with --passphrase-file or WEBIMPORT_PASSPHRASE"
                    .into()
            }
            Self::Passphrase { .. } => {
                "try again; without the right passphrase a key is lost, and others have to revoke it".into()
            }
            Self::Signer { .. } => {
                "run the signer command by hand: it gets the bytes to sign on standard input and has to print the \
                 signature as hex or base64"
                    .into()
            }
            Self::Permissions { path, .. } => format!("run `chmod 600 {}`", path.display()),
            Self::NoFolder => {
                "give a folder with --keys, or the public half of a key that is kept elsewhere with --public".into()
            }
            Self::InsideRepository { .. } => {
                "give a folder outside with --keys: everything in a repository is public".into()
            }
            Self::AroundRepository { .. } => {
                "give the keys a folder of their own with --keys: who serves or copies this one gives them away".into()
            }
            Self::Randomness(_) => "try again when the system has started fully".into(),
        }
    }
}

impl KeyFolder {
    /// The keys in the folder `path`, which need not exist yet.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self(path.into())
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Where the key of a role is.
    pub fn file(&self, role: RoleKind) -> PathBuf {
        self.0.join(format!("{}.pem", role.as_str()))
    }

    /// Whether any of the role's files in the folder is encrypted, by its name and its first line.
    pub(crate) fn has_encrypted(&self, role: RoleKind) -> bool {
        let Ok(entries) = fs::read_dir(&self.0) else {
            return false;
        };
        entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with(role.as_str())
                && name.ends_with(".pem")
                && read_private(&entry.path())
                    .is_ok_and(|text| text.contains(EncryptedPrivateKeyInfoRef::PEM_LABEL))
        })
    }

    /// Where the next new key of a role goes: `ROLE.pem`, or `ROLE-2.pem` and so on beside others.
    pub(crate) fn free_file(&self, role: RoleKind) -> PathBuf {
        let mut path = self.file(role);
        let mut number = 2_u32;
        while path.exists() {
            path = self.0.join(format!("{}-{number}.pem", role.as_str()));
            number += 1;
        }
        path
    }

    /// Writes a new key, encrypted if there is a passphrase.
    pub(crate) fn write(
        &self,
        path: &Path,
        key: &SigningKey,
        passphrase: Option<&str>,
    ) -> Result<(), KeyError> {
        let pem = to_pem(key, passphrase).map_err(|_| KeyError::Syntax {
            origin: path.display().to_string(),
        })?;
        make_private_folder(&self.0).map_err(KeyError::io("write", &self.0))?;
        write_private(path, pem.as_bytes()).map_err(KeyError::io("write", path))
    }

    /// Fails if the folder has a key of any role, or belongs to a repository in another way.
    pub(crate) fn refuse_existing(&self) -> Result<(), KeyError> {
        let memory = self.0.join(memory::FILE);
        match self
            .files()?
            .into_iter()
            .find(|path| role_of(path).is_some())
            .or_else(|| memory.symlink_metadata().is_ok().then_some(memory))
        {
            Some(path) => Err(KeyError::Exists { path }),
            None => Ok(()),
        }
    }

    /// The files that may hold keys: `*.pem`, sorted.
    pub(crate) fn files(&self) -> Result<Vec<PathBuf>, KeyError> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            other => other.map_err(KeyError::io("read", &self.0))?,
        };
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.map_err(KeyError::io("read", &self.0))?.path();
            if path.extension().is_some_and(|extension| extension == "pem") {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    /// Fails if the folder is `repository`, below it or above it, whether or not either exists yet.
    pub(crate) fn refuse_overlap(&self, repository: &Path) -> Result<(), KeyError> {
        let keys = destination(&self.0).map_err(KeyError::io("read", &self.0))?;
        let repository = destination(repository).map_err(KeyError::io("read", repository))?;
        let path = self.0.clone();
        if keys.starts_with(&repository) {
            return Err(KeyError::InsideRepository { path });
        }
        if repository.starts_with(&keys) {
            return Err(KeyError::AroundRepository { path });
        }
        Ok(())
    }
}

/// The role that a key file is named after.
pub(crate) fn role_of(path: &Path) -> Option<RoleKind> {
    let stem = path.file_stem()?.to_str()?;
    let name = match stem.split_once('-') {
        Some((name, number)) if number.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => stem,
    };
    RoleKind::of(name)
}

/// A new key from the system's randomness.
pub(crate) fn new_key(algorithm: Algorithm) -> Result<SigningKey, KeyError> {
    loop {
        let mut random = [0; 32];
        getrandom::fill(&mut random).map_err(KeyError::Randomness)?;
        if let Ok(key) = SigningKey::generate(algorithm, random) {
            return Ok(key);
        }
    }
}

/// A private key as a file or variable holds it.
pub(crate) enum Pem {
    Plain(Box<SigningKey>),
    /// PKCS#8 encrypted by PBES2 (RFC 8018), in DER.
    Encrypted(Vec<u8>),
}

/// Reads PKCS#8 PEM, encrypted or not. `origin` is for messages.
pub(crate) fn parse(text: &str, origin: &str) -> Result<Pem, KeyError> {
    let syntax = || KeyError::Syntax {
        origin: origin.to_owned(),
    };
    let (label, document) = SecretDocument::from_pem(text.trim()).map_err(|_| syntax())?;
    match label {
        "PRIVATE KEY" => SigningKey::from_der(document.as_bytes())
            .map(|key| Pem::Plain(Box::new(key)))
            .map_err(|_| syntax()),
        EncryptedPrivateKeyInfoRef::PEM_LABEL
            if EncryptedPrivateKeyInfoRef::try_from(document.as_bytes()).is_ok() =>
        {
            Ok(Pem::Encrypted(document.as_bytes().to_vec()))
        }
        _ => Err(syntax()),
    }
}

/// Decrypts what [`parse`] found.
pub(crate) fn decrypt(der: &[u8], passphrase: &str, origin: &str) -> Result<SigningKey, KeyError> {
    let origin = || origin.to_owned();
    let encrypted = EncryptedPrivateKeyInfoRef::try_from(der)
        .map_err(|_| KeyError::Syntax { origin: origin() })?;
    let document = match encrypted.decrypt(passphrase) {
        Ok(document) => document,
        // Weak or unknown ciphers; a wrong passphrase looks like a broken padding, or like a broken key.
        Err(pkcs8::Error::EncryptedPrivateKey(
            pkcs8::pkcs5::Error::UnsupportedAlgorithm { .. }
            | pkcs8::pkcs5::Error::NoPbes1CryptSupport
            | pkcs8::pkcs5::Error::AlgorithmParametersInvalid { .. },
        )) => return Err(KeyError::Syntax { origin: origin() }),
        Err(_) => return Err(KeyError::Passphrase { origin: origin() }),
    };
    SigningKey::from_der(document.as_bytes()).map_err(|_| KeyError::Passphrase { origin: origin() })
}

/// Writes PKCS#8 PEM, with a passphrase encrypted by AES-256 with scrypt.
fn to_pem(key: &SigningKey, passphrase: Option<&str>) -> Result<String, KeySyntax> {
    let Some(passphrase) = passphrase else {
        return key.to_pem();
    };
    let der = key.to_der()?;
    let pem = PrivateKeyInfoRef::try_from(&*der)
        .ok()
        .and_then(|key| key.encrypt(passphrase).ok())
        .and_then(|encrypted| {
            encrypted
                .to_pem(EncryptedPrivateKeyInfoRef::PEM_LABEL, LineEnding::LF)
                .ok()
        });
    pem.map(|pem| pem.to_string()).ok_or(KeySyntax)
}

/// Links that a path may lead through, as on Linux.
const LINK_LIMIT: u32 = 40;

/// Where `path` leads, or will lead once its folders are made: without links, `.` and `..`.
///
/// Part by part, as the system goes: `..` behind a link is above the folder that the link leads to, and a link
/// that leads nowhere yet is followed, since making the other folder may make it lead there. Below the first
/// part that does not exist nothing can be a link, so that there `..` takes away the name before it.
fn destination(path: &Path) -> io::Result<PathBuf> {
    let mut left = std::path::absolute(path)?;
    let mut reached = PathBuf::new();
    let mut links = 0;
    loop {
        let mut parts = left.components();
        let Some(part) = parts.next() else {
            break;
        };
        let rest = parts.as_path().to_owned();
        match part {
            Component::CurDir => {}
            Component::ParentDir => {
                reached.pop();
            }
            Component::Prefix(_) | Component::RootDir => reached.push(part),
            Component::Normal(name) => {
                reached.push(name);
                if let Ok(target) = fs::read_link(&reached) {
                    links += 1;
                    if links > LINK_LIMIT {
                        return Err(io::Error::other("too many links"));
                    }
                    reached.pop();
                    left = target.join(rest);
                    continue;
                }
            }
        }
        left = rest;
    }
    // What exists in the spelling of the disk, where case does not matter there.
    for existing in reached.ancestors() {
        if let (Ok(real), Ok(rest)) = (existing.canonicalize(), reached.strip_prefix(existing)) {
            return Ok(real.join(rest));
        }
    }
    Ok(reached)
}

/// Bytes that a key file may have; one has a few hundred.
const FILE_LIMIT: u64 = 16 * 1024;

/// Reads a file that only its owner may read.
pub(crate) fn read_private(path: &Path) -> Result<String, KeyError> {
    let file = fs::File::open(path).map_err(KeyError::io("read", path))?;
    // Of the open file, so that nobody can exchange it in between.
    let metadata = file.metadata().map_err(KeyError::io("read", path))?;
    check_mode(path, &metadata)?;
    if !metadata.is_file() || metadata.len() > FILE_LIMIT {
        return Err(KeyError::Syntax {
            origin: path.display().to_string(),
        });
    }
    io::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => KeyError::Syntax {
            origin: path.display().to_string(),
        },
        _ => KeyError::io("read", path)(error),
    })
}

#[cfg(unix)]
fn check_mode(path: &Path, metadata: &fs::Metadata) -> Result<(), KeyError> {
    use std::os::unix::fs::PermissionsExt as _;
    let mode = metadata.permissions().mode() & 0o777;
    if metadata.is_file() && mode & 0o077 != 0 {
        return Err(KeyError::Permissions {
            path: path.to_owned(),
            mode,
        });
    }
    Ok(())
}

#[cfg(not(unix))]
fn check_mode(_: &Path, _: &fs::Metadata) -> Result<(), KeyError> {
    Ok(())
}

#[cfg(unix)]
fn make_private_folder(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
}

#[cfg(not(unix))]
fn make_private_folder(path: &Path) -> io::Result<()> {
    fs::create_dir_all(path)
}

/// Writes a new file; never an existing one, and through no link.
fn write_private(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let mut options = fs::File::options();
    options.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt as _;
        options.mode(0o600);
    }
    let mut file = options.open(path)?;
    file.write_all(bytes)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(algorithm: Algorithm) -> SigningKey {
        new_key(algorithm).unwrap()
    }

    #[test]
    fn new_keys_differ_and_never_replace_one_another() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("new"));
        keys.refuse_existing().unwrap();
        let mut ids = std::collections::BTreeSet::new();
        for name in ["root.pem", "root-2.pem", "root-3.pem"] {
            let path = keys.free_file(RoleKind::Root);
            assert_eq!(path, keys.path().join(name));
            let key = key(Algorithm::Ed25519);
            keys.write(&path, &key, None).unwrap();
            assert!(keys.write(&path, &key, None).is_err());
            ids.insert(key.public().id());
        }
        assert_eq!((ids.len(), keys.files().unwrap().len()), (3, 3));
        assert!(matches!(
            keys.refuse_existing(),
            Err(KeyError::Exists { .. })
        ));
    }

    #[test]
    fn files_are_named_after_their_role() {
        for (name, role) in [
            ("root.pem", Some(RoleKind::Root)),
            ("timestamp-12.pem", Some(RoleKind::Timestamp)),
            ("root-of-all.pem", None),
            ("roots.pem", None),
            ("kms.pem", None),
        ] {
            assert_eq!(role_of(Path::new(name)), role, "{name}");
        }
    }

    fn opened(pem: &str, passphrase: &str) -> Result<SigningKey, KeyError> {
        match parse(pem, "key")? {
            Pem::Plain(key) => Ok(*key),
            Pem::Encrypted(der) => decrypt(&der, passphrase, "key"),
        }
    }

    #[test]
    fn encrypted_keys_open_with_their_passphrase_alone() {
        for algorithm in [Algorithm::Ed25519, Algorithm::EcdsaP256] {
            let key = key(algorithm);
            let pem = to_pem(&key, Some("correct horse")).unwrap();
            assert!(pem.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
            assert_eq!(
                opened(&pem, "correct horse").unwrap().public(),
                key.public()
            );
            for wrong in ["correct horsf", ""] {
                let refused = opened(&pem, wrong);
                assert!(matches!(refused, Err(KeyError::Passphrase { .. })));
            }
            let plain = to_pem(&key, None).unwrap();
            for pem in [&pem, &plain] {
                // Cut off, with and without an end line; another kind of file.
                for broken in [
                    pem[..pem.len() / 2].to_owned(),
                    pem.lines().take(1).collect::<String>() + "\n" + pem.lines().last().unwrap(),
                    pem.replace("PRIVATE", "PUBLIC"),
                    String::new(),
                ] {
                    let refused = opened(&broken, "correct horse");
                    assert!(matches!(refused, Err(KeyError::Syntax { .. })), "{broken}");
                }
            }
        }
    }

    /// `openssl pkcs8 -topk8` of the Ed25519 key of 32 bytes 3: PBKDF2 with SHA-256 and AES-256, its default; then
    /// with `-scrypt`.
    const OF_OPENSSL: [&str; 2] = [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
         MIGbMFcGCSqGSIb3DQEFDTBKMCkGCSqGSIb3DQEFDDAcBAiX0xGfHSjdQAICCAAw\n\
         DAYIKoZIhvcNAgkFADAdBglghkgBZQMEASoEEP496f3+Kogv4ZrWxcO6uYgEQKn3\n\
         XsQVSiGWjLWy9D0g23SXO4DPS+Ff5vp5JhRpSdlpwr3ebwh4JLGohd/sZ39gsC5Q\n\
         sV8mTg7YjiRi93J9gBU=\n\
         -----END ENCRYPTED PRIVATE KEY-----",
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\n\
         MIGTME8GCSqGSIb3DQEFDTBCMCEGCSsGAQQB2kcECzAUBAg86Ti62rl+QwICBAAC\n\
         AQgCAQEwHQYJYIZIAWUDBAEqBBDIZG5E8eA1hU+RZhOESwFkBEC6YGHVUsnudfWr\n\
         UoBz3MIUtTazjfO45KQguVRO64NvR90kD1Z14mzpeeQ2kAIIIfnohPewm8sYeNfy\n\
         Lwg8T8Sc\n\
         -----END ENCRYPTED PRIVATE KEY-----",
    ];

    #[test]
    fn keys_that_openssl_encrypted_are_read() {
        let key = SigningKey::from_seed([3; 32]);
        for pem in OF_OPENSSL {
            assert_eq!(opened(pem, "passphrase").unwrap().public(), key.public());
            assert!(matches!(
                opened(pem, "passphrasf"),
                Err(KeyError::Passphrase { .. })
            ));
        }
    }

    #[cfg(unix)]
    #[test]
    fn keys_and_their_folder_are_private_and_must_stay_so() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("new"));
        let file = keys.free_file(RoleKind::Targets);
        keys.write(&file, &key(Algorithm::Ed25519), None).unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(keys.path()), 0o700);
        assert_eq!(mode(&file), 0o600);
        for open in [0o640, 0o604, 0o620] {
            fs::set_permissions(&file, fs::Permissions::from_mode(open)).unwrap();
            assert!(
                matches!(read_private(&file), Err(KeyError::Permissions { .. })),
                "{open:o}"
            );
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(read_private(&file).is_ok());
    }

    #[test]
    fn a_path_leads_to_the_same_place_before_and_after_its_folders_are_made() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        for (path, place) in [
            ("a", "a"),
            ("a/../b/./c/..", "b"),
            ("a/../a/keys", "a/keys"),
            ("a/b/../../c", "c"),
        ] {
            let path = root.join(path);
            assert_eq!(destination(&path).unwrap(), root.join(place));
            fs::create_dir_all(&path).unwrap();
            assert_eq!(destination(&path).unwrap(), root.join(place));
        }
        assert_eq!(destination(Path::new("/../..")).unwrap(), Path::new("/"));
        let here = std::env::current_dir().unwrap().canonicalize().unwrap();
        assert_eq!(
            destination(Path::new("none/../none/keys")).unwrap(),
            here.join("none/keys")
        );
    }

    #[cfg(unix)]
    #[test]
    fn links_that_lead_in_a_circle_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let link = |name: &str, target: &str| {
            std::os::unix::fs::symlink(target, folder.path().join(name)).unwrap();
        };
        link("one", "two");
        link("two", "one/x");
        let keys = KeyFolder::new(folder.path().join("one"));
        let refused = keys.refuse_overlap(&folder.path().join("repo"));
        assert!(matches!(refused, Err(KeyError::Io { .. })));
    }
}
