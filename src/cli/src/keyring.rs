//! Every key that is at hand: in a folder, in the environment, behind a command.
//!
//! Which role a key has is known from the repository's root alone, by its public half. Keys are looked for where
//! looking costs least: keys that lie open, then encrypted ones, which may need a person, then the command. The
//! search ends as soon as a role's threshold is met, so that a root key is not opened to sign a timestamp.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;

use webimport_core::digest::Sha256Digest;
use webimport_core::keys::{KeyId, PublicKey};
use webimport_core::metadata::{RoleKeys, RoleKind, Root};
use webimport_core::sign::{Signer, Signing, SigningKey};

use crate::keys::{self, KeyError, KeyFolder, Pem};
use crate::signer_command::SignerCommand;

/// How the variables start that hold keys in PEM form; what follows is for people, as in `WEBIMPORT_KEY_TARGETS`.
pub const KEY_VARIABLE_PREFIX: &str = "WEBIMPORT_KEY_";

/// The variable with the passphrase of encrypted keys.
pub const PASSPHRASE_VARIABLE: &str = "WEBIMPORT_PASSPHRASE";

/// Where the passphrase of encrypted keys comes from.
#[derive(Clone)]
pub enum Passphrase {
    /// Nowhere: encrypted keys are not opened.
    None,
    /// It is given.
    Given(String),
    /// Whoever is at the terminal is asked for it, and told for which key.
    Ask(fn(origin: &str) -> Option<String>),
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Given(_) => "Given",
            Self::Ask(_) => "Ask",
        })
    }
}

/// Where private keys are.
#[derive(Clone)]
pub struct Keyring {
    /// A folder with PEM files.
    pub folder: Option<KeyFolder>,
    /// Environment variables with keys: name and PEM.
    pub variables: Vec<(String, String)>,
    /// Whoever has the keys that are nowhere else.
    pub command: Option<SignerCommand>,
    /// Of encrypted keys.
    pub passphrase: Passphrase,
    /// The root pin of the repository that the keys are for. `None` takes what is remembered in the folder.
    pub root: Option<Sha256Digest>,
    /// Keys that are in no file yet.
    made: Vec<SigningKey>,
    opened: RefCell<Opened>,
}

/// What was decrypted, so that nobody is asked twice.
#[derive(Clone, Default)]
struct Opened {
    keys: BTreeMap<String, SigningKey>,
    passphrase: Option<String>,
}

/// Without the keys.
impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keyring")
            .field("folder", &self.folder)
            .field("command", &self.command)
            .field("passphrase", &self.passphrase)
            .finish_non_exhaustive()
    }
}

impl From<KeyFolder> for Keyring {
    fn from(folder: KeyFolder) -> Self {
        Self {
            folder: Some(folder),
            ..Self::new()
        }
    }
}

impl Default for Keyring {
    fn default() -> Self {
        Self::new()
    }
}

/// Whose signatures a file needs.
pub(crate) struct Needed<'a> {
    role: RoleKind,
    keys: BTreeMap<KeyId, &'a PublicKey>,
    /// Each threshold has to be met.
    required: Vec<&'a RoleKeys>,
    /// Each is met if the keys are at hand.
    welcome: Vec<&'a RoleKeys>,
}

impl<'a> Needed<'a> {
    /// The signatures that `root` wants for a role.
    pub(crate) fn by(role: RoleKind, root: &'a Root) -> Self {
        let mut needed = Self {
            role,
            keys: BTreeMap::new(),
            required: Vec::new(),
            welcome: Vec::new(),
        };
        let keys = needed.add(root);
        needed.required.extend(keys);
        needed
    }

    /// And those that another root wants.
    pub(crate) fn and_by(mut self, root: &'a Root) -> Self {
        let keys = self.add(root);
        self.required.extend(keys);
        self
    }

    /// And those that another root wants, if they can be had.
    pub(crate) fn and_if_possible_by(mut self, root: &'a Root) -> Self {
        let keys = self.add(root);
        self.welcome.extend(keys);
        self
    }

    /// Nothing is refused for too few signatures.
    pub(crate) fn if_possible(mut self) -> Self {
        self.welcome.append(&mut self.required);
        self
    }

    fn add(&mut self, root: &'a Root) -> Option<&'a RoleKeys> {
        let keys = root.roles.get(self.role.as_str())?;
        for id in &keys.keyids {
            if let Some(key) = root.keys.get(id) {
                self.keys.insert(*id, key);
            }
        }
        Some(keys)
    }

    /// Whether a signature by this key would bring a threshold nearer.
    fn wants(&self, id: KeyId, signed: &BTreeSet<KeyId>) -> bool {
        !signed.contains(&id)
            && self
                .required
                .iter()
                .chain(&self.welcome)
                .any(|keys| keys.keyids.contains(&id) && have(keys, signed) < keys.threshold)
    }

    fn wants_any(&self, signed: &BTreeSet<KeyId>) -> bool {
        self.keys.keys().any(|id| self.wants(*id, signed))
    }

    /// The keys of the role that have signed.
    pub(crate) fn signed(&self, signing: &Signing) -> BTreeSet<KeyId> {
        let keys = self.keys.iter();
        keys.filter(|(_, key)| signing.is_signed_by(key))
            .map(|(id, _)| *id)
            .collect()
    }

    fn check(&self, signed: &BTreeSet<KeyId>) -> Result<(), KeyError> {
        for keys in &self.required {
            if have(keys, signed) < keys.threshold {
                return Err(KeyError::Missing {
                    role: self.role.as_str(),
                    needed: keys.threshold,
                    have: have(keys, signed),
                });
            }
        }
        Ok(())
    }
}

fn have(keys: &RoleKeys, signed: &BTreeSet<KeyId>) -> u64 {
    keys.keyids.iter().filter(|id| signed.contains(id)).count() as u64
}

impl Keyring {
    /// No keys at all; the fields say where some are.
    pub fn new() -> Self {
        Self {
            folder: None,
            variables: Vec::new(),
            command: None,
            passphrase: Passphrase::None,
            root: None,
            made: Vec::new(),
            opened: RefCell::default(),
        }
    }

    /// This ring and a key that is in no file yet.
    pub(crate) fn with(&self, key: SigningKey) -> Self {
        let mut ring = self.clone();
        ring.made.push(key);
        ring
    }

    /// Fails if the key folder is inside the repository or around it.
    pub(crate) fn refuse_overlap(&self, repository: &std::path::Path) -> Result<(), KeyError> {
        match &self.folder {
            Some(folder) => folder.refuse_overlap(repository),
            None => Ok(()),
        }
    }

    /// Adds the signatures that are needed.
    ///
    /// # Errors
    /// What is wrong with a key that would have been needed, or [`KeyError::Missing`].
    pub(crate) fn sign(&self, signing: &mut Signing, needed: &Needed<'_>) -> Result<(), KeyError> {
        let signed = needed.signed(signing);
        let (signed, problem) = self.walk(needed, signed, &mut |signer, _| {
            signing.sign(signer).map_err(|error| KeyError::Signer {
                role: needed.role.as_str(),
                keyid: signer.public().id(),
                reason: error.to_string(),
            })
        });
        needed
            .check(&signed)
            .map_err(|missing| problem.unwrap_or(missing))
    }

    /// Fails if the signatures that are needed cannot be had. A command is believed to have the keys that are
    /// nowhere else.
    pub(crate) fn check(&self, needed: &Needed<'_>) -> Result<(), KeyError> {
        self.check_from(BTreeSet::new(), needed)
    }

    /// As [`check`](Self::check), beside the signatures that are there.
    pub(crate) fn check_more(
        &self,
        signing: &Signing,
        needed: &Needed<'_>,
    ) -> Result<(), KeyError> {
        self.check_from(needed.signed(signing), needed)
    }

    fn check_from(&self, signed: BTreeSet<KeyId>, needed: &Needed<'_>) -> Result<(), KeyError> {
        let (found, problem) = self.walk(needed, signed, &mut |_, _| Ok(()));
        needed
            .check(&found)
            .map_err(|missing| problem.unwrap_or(missing))
    }

    /// Where the keys of a role are, by id, and what is wrong with one that is not usable. Nothing is asked of a
    /// command.
    pub(crate) fn locate(
        &self,
        role: RoleKind,
        root: &Root,
    ) -> (BTreeMap<KeyId, String>, Option<KeyError>) {
        let mut found = BTreeMap::new();
        let Some(keys) = root.roles.get(role.as_str()) else {
            return (found, None);
        };
        let all = RoleKeys {
            threshold: keys.keyids.len() as u64,
            ..keys.clone()
        };
        let mut needed = Needed::by(role, root);
        needed.required = vec![&all];
        let ring = Self {
            command: None,
            ..self.clone()
        };
        let (_, problem) = ring.walk(&needed, BTreeSet::new(), &mut |signer, origin| {
            found.insert(signer.public().id(), origin.to_owned());
            Ok(())
        });
        (found, problem)
    }

    /// Offers keys to `take` until enough of them were taken. Also says what was wrong with the first one that
    /// might have been of use.
    fn walk(
        &self,
        needed: &Needed<'_>,
        mut taken: BTreeSet<KeyId>,
        take: &mut dyn FnMut(&dyn Signer, &str) -> Result<(), KeyError>,
    ) -> (BTreeSet<KeyId>, Option<KeyError>) {
        let mut problem = None;
        let mut offer = |signer: &dyn Signer, origin: &str, taken: &mut BTreeSet<KeyId>| {
            let id = signer.public().id();
            if !needed.wants(id, taken) {
                return;
            }
            match take(signer, origin) {
                Ok(()) => {
                    taken.insert(id);
                }
                Err(error) => {
                    problem.get_or_insert(error);
                }
            }
        };
        let mut problems = Vec::new();
        for key in &self.made {
            offer(key, "new", &mut taken);
        }
        let mut locked = Vec::new();
        let places = self.places(needed.role).unwrap_or_else(|error| {
            problems.push(error);
            Vec::new()
        });
        for place in places {
            if !needed.wants_any(&taken) {
                break;
            }
            // Of another role by its name: its key is used if it fits, but nobody is asked for a passphrase and
            // nothing is refused.
            let is_strange = place.named.is_some_and(|named| named != needed.role);
            match place.read() {
                Ok(Some(Pem::Plain(key))) => offer(&*key, &place.origin, &mut taken),
                Ok(Some(Pem::Encrypted(der))) if !is_strange => locked.push((place.origin, der)),
                Err(error) if !is_strange => problems.push(error),
                _ => {}
            }
        }
        for (origin, der) in locked {
            if !needed.wants_any(&taken) {
                break;
            }
            match self.open(&der, &origin) {
                Ok(key) => offer(&key, &origin, &mut taken),
                Err(error) => problems.push(error),
            }
        }
        if let Some(command) = &self.command {
            for key in needed.keys.values() {
                offer(&command.signer(needed.role, key), "command", &mut taken);
            }
        }
        // A key that is there and cannot be opened explains more than a command that does not have it.
        (taken, problems.into_iter().next().or(problem))
    }

    /// All places where a key may be, those that are named after the role first.
    fn places(&self, role: RoleKind) -> Result<Vec<Place>, KeyError> {
        let mut places = Vec::new();
        if let Some(folder) = &self.folder {
            for path in folder.files()? {
                places.push(Place {
                    named: keys::role_of(&path),
                    origin: path.display().to_string(),
                    content: Content::File(path),
                });
            }
            // Stable, so that they stay sorted by name.
            places.sort_by_key(|place| place.named != Some(role));
        }
        places.extend(self.variables.iter().map(|(name, text)| {
            Place {
                named: name
                    .strip_prefix(KEY_VARIABLE_PREFIX)
                    .and_then(|rest| rest.split('_').next())
                    .and_then(|role| RoleKind::of(&role.to_ascii_lowercase())),
                origin: name.clone(),
                content: Content::Text(text.clone()),
            }
        }));
        Ok(places)
    }

    fn open(&self, der: &[u8], origin: &str) -> Result<SigningKey, KeyError> {
        let mut opened = self.opened.borrow_mut();
        if let Some(key) = opened.keys.get(origin) {
            return Ok(key.clone());
        }
        // Keys that were made together have one passphrase.
        let before = opened.passphrase.clone();
        let again = before.and_then(|passphrase| keys::decrypt(der, &passphrase, origin).ok());
        let key = match (again, &self.passphrase) {
            (Some(key), _) => key,
            (None, Passphrase::None) => {
                return Err(KeyError::Locked {
                    origin: origin.to_owned(),
                });
            }
            (None, Passphrase::Given(passphrase)) => keys::decrypt(der, passphrase, origin)?,
            (None, Passphrase::Ask(ask)) => {
                let passphrase = ask(origin).ok_or_else(|| KeyError::Locked {
                    origin: origin.to_owned(),
                })?;
                let key = keys::decrypt(der, &passphrase, origin)?;
                opened.passphrase = Some(passphrase);
                key
            }
        };
        opened.keys.insert(origin.to_owned(), key.clone());
        Ok(key)
    }
}

/// A place where a key may be.
struct Place {
    /// The role that its name says.
    named: Option<RoleKind>,
    origin: String,
    content: Content,
}

enum Content {
    File(PathBuf),
    Text(String),
}

impl Place {
    /// The key; `None` for what does not claim to be one.
    fn read(&self) -> Result<Option<Pem>, KeyError> {
        let text = match &self.content {
            Content::Text(text) => text.clone(),
            Content::File(path) => match (keys::read_private(path), self.named) {
                // Public keys and certificates have the same ending, and may be read by everybody.
                (Err(_), None) => return Ok(None),
                (Ok(text), None) if !text.contains("PRIVATE KEY-----") => return Ok(None),
                (text, _) => text?,
            },
        };
        keys::parse(&text, &self.origin).map(Some)
    }
}
