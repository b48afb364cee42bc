//! The publisher's private keys: one PKCS#8 PEM file for each role, readable by its owner alone.
//!
//! Keys are read when they are used and never written into a repository.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use webimport_core::error::Coded;
use webimport_core::metadata::RoleKind;
use webimport_core::sign::SigningKey;

/// The four roles, in the order in which they are listed to people.
pub(crate) const ROLES: [RoleKind; 4] = [
    RoleKind::Root,
    RoleKind::Targets,
    RoleKind::Snapshot,
    RoleKind::Timestamp,
];

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
    /// The folder has no key for the role.
    #[error("`{}` does not exist", path.display())]
    Missing {
        /// Where the key was looked for.
        path: PathBuf,
    },
    /// New keys would replace existing ones.
    #[error("`{}` exists", path.display())]
    Exists {
        /// The key that is there.
        path: PathBuf,
    },
    /// Not a private key that can be used.
    #[error("`{}` is not a key: expected Ed25519 in PKCS#8 PEM form", path.display())]
    Syntax {
        /// The file.
        path: PathBuf,
    },
    /// Others than the owner can read the key.
    #[error("`{}` can be read by others: expected mode 600, got {mode:o}", path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
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

impl KeyError {
    fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
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
            _ => "publish.key",
        }
    }

    fn hint(&self) -> String {
        match self {
            Self::Io { .. } => "check the path and its permissions".into(),
            Self::Missing { .. } => "give the folder that `webimport init` made with --keys".into(),
            Self::Exists { .. } => {
                "give another folder with --keys; keys are never replaced".into()
            }
            Self::Syntax { .. } => "restore the file from your backup of the keys".into(),
            Self::Permissions { path, .. } => format!("run `chmod 600 {}`", path.display()),
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

    /// Makes the folder and a new key for each role.
    ///
    /// # Errors
    /// [`KeyError::Exists`] before anything is written; [`KeyError::Io`], [`KeyError::Randomness`].
    pub fn generate(&self) -> Result<(), KeyError> {
        self.refuse_existing()?;
        make_private_folder(&self.0).map_err(KeyError::io("write", &self.0))?;
        for role in ROLES {
            let mut seed = [0; 32];
            getrandom::fill(&mut seed).map_err(KeyError::Randomness)?;
            let path = self.file(role);
            let pem = SigningKey::from_seed(seed)
                .to_pem()
                .map_err(|_| KeyError::Syntax { path: path.clone() })?;
            write_private(&path, pem.as_bytes()).map_err(KeyError::io("write", &path))?;
        }
        Ok(())
    }

    /// Fails if the folder has any of the keys.
    pub(crate) fn refuse_existing(&self) -> Result<(), KeyError> {
        match ROLES
            .map(|role| self.file(role))
            .into_iter()
            .find(|path| path.exists())
        {
            Some(path) => Err(KeyError::Exists { path }),
            None => Ok(()),
        }
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

    /// Reads the key of a role.
    ///
    /// # Errors
    /// [`KeyError::Missing`], [`KeyError::Permissions`], [`KeyError::Syntax`], [`KeyError::Io`].
    pub fn load(&self, role: RoleKind) -> Result<SigningKey, KeyError> {
        let path = self.file(role);
        let text = match read_private(&path) {
            Err(KeyError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                return Err(KeyError::Missing { path });
            }
            other => other?,
        };
        SigningKey::from_pem(&text).map_err(|_| KeyError::Syntax { path })
    }
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

/// Bytes that a key file may have; one has about 120.
const FILE_LIMIT: u64 = 16 * 1024;

/// Reads a file that only its owner may read.
fn read_private(path: &Path) -> Result<String, KeyError> {
    let file = fs::File::open(path).map_err(KeyError::io("read", path))?;
    // Of the open file, so that nobody can exchange it in between.
    let metadata = file.metadata().map_err(KeyError::io("read", path))?;
    check_mode(path, &metadata)?;
    if !metadata.is_file() || metadata.len() > FILE_LIMIT {
        return Err(KeyError::Syntax {
            path: path.to_owned(),
        });
    }
    io::read_to_string(file).map_err(|error| match error.kind() {
        io::ErrorKind::InvalidData => KeyError::Syntax {
            path: path.to_owned(),
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

    #[test]
    fn generated_keys_load_again_and_differ() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("new"));
        keys.generate().unwrap();
        let ids = ROLES.map(|role| keys.load(role).unwrap().public().id());
        assert!(
            ids.iter()
                .enumerate()
                .all(|(index, id)| !ids[..index].contains(id))
        );
        assert!(matches!(keys.generate(), Err(KeyError::Exists { .. })));
    }

    #[test]
    fn a_file_that_is_no_key_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path());
        assert!(matches!(
            keys.load(RoleKind::Root),
            Err(KeyError::Missing { .. })
        ));
        write_private(&keys.file(RoleKind::Root), b"-----BEGIN PRIVATE KEY-----\n").unwrap();
        assert!(matches!(
            keys.load(RoleKind::Root),
            Err(KeyError::Syntax { .. })
        ));
    }

    #[cfg(unix)]
    #[test]
    fn keys_and_their_folder_are_private_and_must_stay_so() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let keys = KeyFolder::new(folder.path().join("new"));
        keys.generate().unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(keys.path()), 0o700);
        let file = keys.file(RoleKind::Targets);
        assert_eq!(mode(&file), 0o600);
        for open in [0o640, 0o604, 0o620] {
            fs::set_permissions(&file, fs::Permissions::from_mode(open)).unwrap();
            assert!(
                matches!(
                    keys.load(RoleKind::Targets),
                    Err(KeyError::Permissions { .. })
                ),
                "{open:o}"
            );
        }
        fs::set_permissions(&file, fs::Permissions::from_mode(0o400)).unwrap();
        assert!(keys.load(RoleKind::Targets).is_ok());
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
