//! A TUF client's work over a folder of files, without I/O: which file holds which role, what to fetch next, what
//! to keep, and where a target belongs.
//!
//! Shared by the program beside it and by the WebAssembly module in `tests/conformance`, so that both answer the
//! conformance suite with the same code; they differ in how they fetch and in who verifies RSA. It decides nothing
//! about trust: `webimport-core` does. No webimport release is involved; targets are plain files.

use alloc::borrow::ToOwned;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use webimport_core::digest::Sha256Digest;
use webimport_core::error::{Error, ResolveError, VerifyError};
use webimport_core::keys::ForeignScheme;
use webimport_core::limits::Limits;
use webimport_core::metadata::encode_role;
use webimport_core::repository::{Located, Lookup, Repository};
use webimport_core::time::UnixTime;
use webimport_core::workflow::{CachedMetadata, MetadataFetch, Refresh, RootTrust, Step};

/// The trust anchor; it moves forward with the root chain.
pub(crate) const ROOT_FILE: &str = "root.json";

/// For messages: there is one repository.
const LABEL: &str = "the repository";

/// Names and contents of metadata files, byte for byte as they were received.
pub(crate) type Files = Vec<(String, Vec<u8>)>;

/// A refresh, and then look-ups in what it ended with: one of the two is there.
pub(crate) struct Session {
    refresh: Option<Refresh>,
    repository: Option<Repository>,
}

/// An answer to a look-up.
pub(crate) enum Found {
    /// Metadata of a delegated role comes first: fetch it, [`Session::supply`] it, and look up again.
    Fetch(MetadataFetch),
    /// Signed metadata names the file.
    Target(Box<Target>),
}

/// A file that signed metadata names.
#[derive(Debug)]
pub(crate) struct Target {
    /// Below the base URL of the targets: the digest in the file name, percent-encoded.
    pub(crate) url_path: String,
    /// Its name in the folder of targets: the whole path as one component, the same for every version of it.
    pub(crate) file_name: String,
    /// In bytes.
    pub(crate) length: u64,
    located: Located,
}

impl Session {
    /// Starts from the files of a metadata folder. `root.json` is the trust anchor, everything else a cache.
    ///
    /// # Errors
    /// [`VerifyError::Malformed`] if `root.json` is not a root that a threshold of its own keys signed.
    pub(crate) fn open(
        files: Files,
        now: UnixTime,
        foreign: Option<ForeignScheme>,
    ) -> Result<Self, Error> {
        let mut cached = CachedMetadata::default();
        let mut pin = None;
        for (name, bytes) in files {
            match name.as_str() {
                ROOT_FILE => {
                    pin = Some(Sha256Digest::of(&bytes));
                    cached.roots.push(bytes);
                }
                "timestamp.json" => cached.timestamp = Some(bytes),
                "snapshot.json" => cached.snapshot = Some(bytes),
                _ => {
                    if let Some(role) = role_of(&name) {
                        cached.targets.insert(role, bytes);
                    }
                }
            }
        }
        let no_root = |reason: &str| VerifyError::Malformed {
            subject: ROOT_FILE.to_owned(),
            reason: reason.to_owned(),
        };
        let pin = pin.ok_or_else(|| no_root("expected a trusted root, got none"))?;
        let mut refresh = Refresh::new(RootTrust::Pin(pin), LABEL, cached, now, Limits::default());
        if let Some(foreign) = foreign {
            refresh = refresh.with_foreign_scheme(foreign);
        }
        if !refresh.has_root() {
            return Err(no_root("expected a root that its own keys sign").into());
        }
        Ok(Self {
            refresh: Some(refresh),
            repository: None,
        })
    }

    /// The next file of the refresh, `None` once it is done.
    ///
    /// # Errors
    /// Any of the refresh.
    pub(crate) fn next(&mut self) -> Result<Option<MetadataFetch>, Error> {
        let Some(refresh) = &self.refresh else {
            return Ok(None);
        };
        if let Step::Fetch(fetch) = refresh.step()? {
            return Ok(Some(fetch));
        }
        if let Some(refresh) = self.refresh.take() {
            self.repository = Some(refresh.finish()?);
        }
        Ok(None)
    }

    /// Takes the file that was asked for; `None` if it does not exist and need not.
    ///
    /// # Errors
    /// The rule that the file breaks.
    pub(crate) fn supply(&mut self, file: Option<Vec<u8>>) -> Result<(), Error> {
        match (&mut self.refresh, &mut self.repository, file) {
            (Some(refresh), _, file) => refresh.supply(file),
            (None, Some(repository), Some(bytes)) => repository.supply(bytes),
            _ => Err(out_of_order("no file for a delegated role")),
        }
    }

    /// What signed metadata says of the target `path`.
    ///
    /// # Errors
    /// Any of the search; [`ResolveError::UnknownName`] if no role that may names it; [`VerifyError::Path`] for
    /// a path that could lead out of its base.
    pub(crate) fn look_up(&mut self, path: &str) -> Result<Found, Error> {
        let repository = self
            .repository
            .as_mut()
            .ok_or_else(|| out_of_order("a search before the end of the refresh"))?;
        match repository.target(path)? {
            Lookup::Fetch(fetch) => Ok(Found::Fetch(fetch)),
            Lookup::Found(Some(located)) => Ok(Found::Target(Box::new(Target::new(located)?))),
            Lookup::Found(None) => Err(ResolveError::UnknownName {
                repository: LABEL.to_owned(),
                name: path.to_owned(),
                known: Vec::new(),
            }
            .into()),
        }
    }

    /// What is verified so far, as files to write whether or not the rest fails. A file that is in the folder and
    /// not here stays: it is only a cache.
    pub(crate) fn files(&self) -> Vec<(String, &[u8])> {
        let refreshed = self.repository.as_ref().map(Repository::verified);
        let under_way = self.refresh.as_ref().and_then(Refresh::verified);
        let Some(metadata) = refreshed.or(under_way.map(|(_, metadata)| metadata)) else {
            return Vec::new();
        };
        let mut files = Vec::new();
        for (name, bytes) in [
            (ROOT_FILE, metadata.roots.last()),
            ("timestamp.json", metadata.timestamp.as_ref()),
            ("snapshot.json", metadata.snapshot.as_ref()),
        ] {
            if let Some(bytes) = bytes {
                files.push((name.to_owned(), bytes.as_slice()));
            }
        }
        for (role, bytes) in &metadata.targets {
            files.push(([&encode_role(role), ".json"].concat(), bytes.as_slice()));
        }
        files
    }
}

impl Target {
    fn new(located: Located) -> Result<Self, VerifyError> {
        let path = located.consistent_path()?;
        let encoded: Vec<String> = path.split('/').map(encode_role).collect();
        Ok(Self {
            url_path: encoded.join("/"),
            file_name: encode_role(&located.path),
            length: located.file.length,
            located,
        })
    }

    /// Whether these are the bytes that the metadata names.
    ///
    /// # Errors
    /// [`VerifyError::Length`], [`VerifyError::Digest`].
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), VerifyError> {
        self.located.check_bytes(bytes)
    }
}

/// The targets role whose file it is; `None` for a file of another kind.
fn role_of(file_name: &str) -> Option<String> {
    let mut rest = file_name.strip_suffix(".json")?.bytes();
    let mut role = Vec::new();
    while let Some(byte) = rest.next() {
        if byte == b'%' {
            let mut digit = || char::from(rest.next()?).to_digit(16);
            let (high, low) = (digit()?, digit()?);
            role.push(u8::try_from(high * 16 + low).ok()?);
        } else {
            role.push(byte);
        }
    }
    String::from_utf8(role).ok()
}

fn out_of_order(what: &str) -> Error {
    VerifyError::Malformed {
        subject: "metadata".to_owned(),
        reason: ["a step is out of order: ", what].concat(),
    }
    .into()
}

#[cfg(test)]
mod tests {
    use alloc::format;

    use webimport_core::metadata::{Hashes, Other, TargetFile};
    use webimport_core::repository::Authority;

    use super::*;

    #[test]
    fn a_role_comes_back_from_its_file_name() {
        for role in [
            "targets",
            "../delegated role",
            "..",
            "\u{e9}?#%",
            "a.b-c_d~",
        ] {
            let file = format!("{}.json", encode_role(role));
            assert!(!file.contains('/'), "{file}");
            assert_eq!(role_of(&file).as_deref(), Some(role));
        }
        for other in [
            "targets", "%.json", "%7.json", "%zz.json", "%+f.json", "%ff.json",
        ] {
            assert_eq!(role_of(other), None, "{other}");
        }
    }

    fn target(path: &str) -> Result<Target, VerifyError> {
        Target::new(Located {
            path: path.to_owned(),
            file: TargetFile {
                length: 3,
                hashes: Hashes::sha256(Sha256Digest::of(b"abc")),
                custom: None,
                other: Other::new(),
            },
            authority: Authority {
                role: "targets".to_owned(),
                signers: Vec::new(),
                expires: UnixTime(0),
            },
        })
    }

    #[test]
    fn a_target_has_its_digest_in_its_url_and_its_whole_path_in_its_file_name() {
        let digest = Sha256Digest::of(b"abc");
        for (path, url_path, file_name) in [
            ("a.txt", format!("{digest}.a.txt"), "a.txt"),
            ("d/e f/a", format!("d/e%20f/{digest}.a"), "d%2Fe%20f%2Fa"),
            ("d/a?", format!("d/{digest}.a%3F"), "d%2Fa%3F"),
            ("d/..a", format!("d/{digest}...a"), "d%2F..a"),
        ] {
            let target = target(path).unwrap();
            assert_eq!(target.url_path, url_path);
            assert_eq!(target.file_name, file_name);
        }
    }

    #[test]
    fn rejects_a_target_path_that_leaves_its_base() {
        assert!(target("a/b").is_ok());
        for path in ["..", "../a", "a/../b", "/a"] {
            assert!(
                matches!(target(path), Err(VerifyError::Path { .. })),
                "{path}"
            );
        }
    }

    #[test]
    fn rejects_other_bytes_than_the_metadata_names() {
        let target = target("a").unwrap();
        assert!(target.check(b"abc").is_ok());
        assert!(matches!(
            target.check(b"abcd"),
            Err(VerifyError::Length { .. })
        ));
        assert!(matches!(
            target.check(b"abd"),
            Err(VerifyError::Digest { .. })
        ));
    }

    #[test]
    fn rejects_a_folder_without_a_root_that_its_own_keys_sign() {
        let open = |files: &[(&str, &[u8])]| {
            let files = files
                .iter()
                .map(|(name, bytes)| ((*name).to_owned(), bytes.to_vec()))
                .collect();
            Session::open(files, UnixTime(0), None).err()
        };
        for files in [
            &[][..],
            &[("targets.json", &b"{}"[..])],
            &[("root.json", &b"{}"[..])],
        ] {
            assert!(matches!(
                open(files),
                Some(Error::Verify(VerifyError::Malformed { .. }))
            ));
        }
    }
}
