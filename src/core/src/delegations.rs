//! Delegations: which other role may name which targets (TUF 4.5; hash bins as in TAP 15).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use crate::digest::{Sha256Digest, to_hex};
use crate::error::Fault;
use crate::fields::{self, Fields};
use crate::json::Value;
use crate::keys::{KeyId, PublicKey};
use crate::map::{Map, are_distinct};
use crate::metadata::{Other, RoleKeys, RoleKind, read_keys, write_map};
use crate::names::ReleaseName;

/// Bytes of a path pattern: matching takes time by the square of it.
const MAX_PATTERN: usize = 1024;

/// What a targets role hands on to other roles.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Delegations {
    /// The keys of the roles, by id.
    pub keys: Map<KeyId, PublicKey>,
    /// By priority: an earlier role's word counts before a later one's.
    pub roles: Option<Vec<DelegatedRole>>,
    /// Hash bins that share keys, in place of `roles`.
    pub succinct_roles: Option<SuccinctRoles>,
    #[expect(missing_docs, reason = "see `Other`")]
    pub other: Other,
}

/// A role that another one trusts with some targets.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DelegatedRole {
    /// Its name, which is also that of its file.
    pub name: String,
    /// Who signs it, in the eyes of this delegator.
    pub keys: RoleKeys,
    /// Glob patterns of the target paths that it is trusted with.
    pub paths: Option<Vec<String>>,
    /// In place of `paths`: how the SHA-256 of a target path that it is trusted with begins, in hex.
    pub path_hash_prefixes: Option<Vec<String>>,
    /// For a target that matches, no role after this one is asked.
    pub terminating: bool,
}

/// `2^bit_length` roles, named by prefix and number, each for the target paths whose SHA-256 begins with its
/// number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SuccinctRoles {
    /// From 1 to 32.
    pub bit_length: u32,
    /// What the names begin with.
    pub name_prefix: String,
    /// Who signs each of them.
    pub keys: RoleKeys,
}

/// A role that is asked about a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Referral {
    pub(crate) role: String,
    pub(crate) terminating: bool,
}

impl Delegations {
    pub(crate) fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let keys = read_keys(fields.object("keys")?)?;
        let roles = match fields.optional("roles") {
            Some(roles) => Some(fields::items(roles, DelegatedRole::read)?),
            None => None,
        };
        let succinct_roles = match fields.optional("succinct_roles") {
            Some(bins) => Some(SuccinctRoles::read(bins)?),
            None => None,
        };
        Ok(Self {
            keys,
            roles,
            succinct_roles,
            other: fields.rest(),
        })
    }

    pub(crate) fn write(&self) -> Value {
        let mut object = self.other.clone();
        let keys = write_map(&self.keys, |key| key.value().clone());
        object.insert("keys".into(), keys);
        if let Some(roles) = &self.roles {
            let roles = roles.iter().map(DelegatedRole::write).collect();
            object.insert("roles".into(), Value::Array(roles));
        }
        if let Some(bins) = &self.succinct_roles {
            object.insert("succinct_roles".into(), bins.write());
        }
        Value::Object(object)
    }

    /// The roles to ask about the target `path`, in order.
    pub(crate) fn for_target(&self, path: &str) -> Vec<Referral> {
        if let Some(bins) = &self.succinct_roles {
            // As in the reference implementation, a bin is the last word on its targets.
            return vec![Referral {
                role: bins.bin_of(path),
                terminating: true,
            }];
        }
        self.referrals(|role| role.covers(path))
    }

    /// The roles that may name a release of that name, as far as their patterns tell: those with hash
    /// prefixes can only be asked about a whole path.
    pub(crate) fn for_release(&self, name: &ReleaseName) -> Vec<Referral> {
        self.referrals(|role| role.may_cover_release(name))
    }

    fn referrals(&self, asked: impl Fn(&DelegatedRole) -> bool) -> Vec<Referral> {
        let roles = self.roles.as_deref().unwrap_or_default().iter();
        roles
            .filter(|role| asked(role))
            .map(|role| Referral {
                role: role.name.clone(),
                terminating: role.terminating,
            })
            .collect()
    }

    /// Who signs the role `name`.
    pub(crate) fn keys_of(&self, name: &str) -> Option<&RoleKeys> {
        let mut roles = self.roles.as_deref().unwrap_or_default().iter();
        roles
            .find(|role| role.name == name)
            .map(|role| &role.keys)
            .or_else(|| self.succinct_roles.as_ref().map(|bins| &bins.keys))
    }

    /// What delegations must be before they are used.
    pub(crate) fn check(&self) -> Result<(), Fault> {
        check_keys(&self.keys)?;
        match (&self.roles, &self.succinct_roles) {
            (Some(roles), None) => {
                if !are_distinct(roles.iter().map(|role| role.name.as_bytes()).collect()) {
                    return Err(Fault::new(format_args!("a role is delegated to twice")));
                }
                roles.iter().try_for_each(DelegatedRole::check)
            }
            (None, Some(bins)) => {
                if !(1..=32).contains(&bins.bit_length) {
                    return Err(Fault::new(format_args!(
                        "expected a bit_length from 1 to 32, got {}",
                        bins.bit_length
                    )));
                }
                bins.keys.check(&bins.name_prefix)
            }
            _ => Err(Fault::new(format_args!(
                "expected `roles` or `succinct_roles` in `delegations`"
            ))),
        }
    }
}

/// A key under another's id could count twice, or under an id that says nothing of it.
pub(crate) fn check_keys(keys: &Map<KeyId, PublicKey>) -> Result<(), Fault> {
    match keys.iter().find(|(id, key)| key.id() != **id) {
        Some((id, _)) => Err(Fault::new(format_args!(
            "the key id `{id}` is not the digest of its key"
        ))),
        None => Ok(()),
    }
}

impl DelegatedRole {
    fn read(mut fields: Fields) -> Result<Self, Fault> {
        let terminating = match fields.optional("terminating") {
            Some(terminating) => fields::truth(&terminating)?,
            None => false,
        };
        let name = fields.text("name")?;
        let paths = match fields.optional("paths") {
            Some(paths) => Some(fields::texts(paths)?),
            None => None,
        };
        let path_hash_prefixes = match fields.optional("path_hash_prefixes") {
            Some(prefixes) => Some(fields::texts(prefixes)?),
            None => None,
        };
        Ok(Self {
            name,
            keys: RoleKeys::read(fields)?,
            paths,
            path_hash_prefixes,
            terminating,
        })
    }

    fn write(&self) -> Value {
        let mut object = self.keys.write();
        object.insert("name".into(), self.name.as_str().into());
        for (name, texts) in [
            ("paths", &self.paths),
            ("path_hash_prefixes", &self.path_hash_prefixes),
        ] {
            if let Some(texts) = texts {
                let texts = texts.iter().map(|text| text.as_str().into()).collect();
                object.insert(name.into(), Value::Array(texts));
            }
        }
        object.insert("terminating".into(), Value::Bool(self.terminating));
        Value::Object(object)
    }

    fn check(&self) -> Result<(), Fault> {
        let name = self.name.as_str();
        if name.is_empty() || RoleKind::of(name).is_some() {
            return Err(Fault::new(format_args!(
                "a delegated role cannot be named `{name}`"
            )));
        }
        if self.paths.is_some() == self.path_hash_prefixes.is_some() {
            return Err(Fault::new(format_args!(
                "expected `paths` or `path_hash_prefixes` of the role `{name}`"
            )));
        }
        let mut patterns = self.paths.as_deref().unwrap_or_default().iter();
        if patterns.any(|pattern| pattern.len() > MAX_PATTERN) {
            return Err(Fault::new(format_args!(
                "expected patterns of at most {MAX_PATTERN} bytes for the role `{name}`"
            )));
        }
        self.keys.check(name)
    }

    fn covers(&self, path: &str) -> bool {
        if let Some(prefixes) = &self.path_hash_prefixes {
            let digest = to_hex(Sha256Digest::of(path.as_bytes()).as_bytes());
            return prefixes
                .iter()
                .any(|prefix| digest.starts_with(prefix.as_str()));
        }
        let mut patterns = self.paths.as_deref().unwrap_or_default().iter();
        patterns.any(|pattern| path_matches(pattern, path))
    }

    fn may_cover_release(&self, name: &ReleaseName) -> bool {
        let mut patterns = self.paths.as_deref().unwrap_or_default().iter();
        patterns.any(|pattern| {
            let mut parts = pattern.split('/');
            let (Some(first), Some(_), Some(last), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
            else {
                return false;
            };
            part_matches(first, name.as_str()) && part_matches(last, "release.json")
        })
    }
}

impl SuccinctRoles {
    fn read(value: Value) -> Result<Self, Fault> {
        let mut fields = Fields::of(value)?;
        let bit_length = u32::try_from(fields.number("bit_length")?)
            .map_err(|error| Fault::new(format_args!("{error}")))?;
        Ok(Self {
            bit_length,
            name_prefix: fields.text("name_prefix")?,
            keys: RoleKeys::read(fields)?,
        })
    }

    fn write(&self) -> Value {
        let mut object = self.keys.write();
        object.insert("bit_length".into(), u64::from(self.bit_length).into());
        object.insert("name_prefix".into(), self.name_prefix.as_str().into());
        Value::Object(object)
    }

    /// The name of the bin that a target path belongs to (TAP 15).
    fn bin_of(&self, path: &str) -> String {
        let digest = Sha256Digest::of(path.as_bytes());
        let mut digits = String::new();
        let bits = self.bit_length.clamp(1, 32);
        // Of `bit_length` from 1 to 32, 32 bits never overflow; as many digits as the highest number has.
        let number = digest.head() >> (32 - bits);
        for at in (0..bits.div_ceil(4)).rev() {
            digits.extend(char::from_digit(number >> (4 * at) & 15, 16));
        }
        [self.name_prefix.as_str(), "-", &digits].concat()
    }
}

/// Whether a target path matches a pattern (TUF 4.5): part by part, since no wildcard stands for `/`.
fn path_matches(pattern: &str, path: &str) -> bool {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (Some(pattern), Some(part)) if part_matches(pattern, part) => {}
            (None, None) => return true,
            _ => return false,
        }
    }
}

/// A shell pattern with `*`, `?` and sets such as `[a-f]` and `[!0-9]`, as Python's `fnmatchcase` reads it.
fn part_matches(pattern: &str, text: &str) -> bool {
    let pattern: Vec<char> = pattern.chars().collect();
    let text: Vec<char> = text.chars().collect();
    let (mut at, mut done) = (0, 0);
    // Where the last `*` was, and how much of the text it stands for: going back there alone is enough, so
    // that no pattern takes more than the product of both lengths.
    let mut star: Option<(usize, usize)> = None;
    while done < text.len() {
        let next = match pattern.get(at) {
            Some('*') => {
                star = Some((at + 1, done));
                at += 1;
                continue;
            }
            Some('?') => Some(at + 1),
            Some('[') => match set_end(&pattern, at) {
                Some(end) => in_set(&pattern[at + 1..end], text[done]).then_some(end + 1),
                None => (text[done] == '[').then_some(at + 1),
            },
            Some(literal) => (*literal == text[done]).then_some(at + 1),
            None => None,
        };
        match (next, &mut star) {
            (Some(next), _) => {
                at = next;
                done += 1;
            }
            (None, Some((after, taken))) => {
                *taken += 1;
                (at, done) = (*after, *taken);
            }
            (None, None) => return false,
        }
    }
    pattern[at..].iter().all(|rest| *rest == '*')
}

/// Where the set that begins at `start` has its `]`; one that comes first belongs to the set.
fn set_end(pattern: &[char], start: usize) -> Option<usize> {
    let mut first = start + 1;
    if pattern.get(first) == Some(&'!') {
        first += 1;
    }
    (first + 1..pattern.len()).find(|index| pattern[*index] == ']')
}

fn in_set(set: &[char], character: char) -> bool {
    let (negated, mut set) = match set {
        ['!', rest @ ..] => (true, rest),
        _ => (false, set),
    };
    let mut found = false;
    while let [first, rest @ ..] = set {
        if let ['-', last, after @ ..] = rest {
            found |= (*first..=*last).contains(&character);
            set = after;
        } else {
            found |= *first == character;
            set = rest;
        }
    }
    found != negated
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_as_the_specification_says() {
        for (pattern, path, expected) in [
            ("targets/*.tgz", "targets/foo.tgz", true),
            ("targets/*.tgz", "targets/foo.txt", false),
            ("targets/*.tgz", "targets/a/foo.tgz", false),
            ("foo-version-?.tgz", "foo-version-2.tgz", true),
            ("foo-version-?.tgz", "foo-version-alpha.tgz", false),
            ("*.tgz", "foo.tgz", true),
            ("*.tgz", "targets/foo.tgz", false),
            ("foo.tgz", "foo.tgz", true),
            ("*.MD", "README.md", false),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "aXbYbZc", true),
            ("a*b*c", "aXbYbZ", false),
            ("**", "anything", true),
            ("[a-c]x", "bx", true),
            ("[a-c]x", "dx", false),
            ("[!a-c]x", "dx", true),
            ("[!a-c]x", "ax", false),
            ("[]]x", "]x", true),
            ("[x", "[x", true),
            ("[z-a]", "m", false),
            ("*/x", "/x", true),
            ("x", "x/", false),
        ] {
            assert_eq!(path_matches(pattern, path), expected, "{pattern} {path}");
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends() {
        let pattern = "*a".repeat(200) + "b";
        assert!(!path_matches(&pattern, &"a".repeat(5_000)));
    }

    #[test]
    fn bins_are_numbered_by_the_first_bits() {
        let bins = |bit_length| SuccinctRoles {
            bit_length,
            name_prefix: "bin".into(),
            keys: RoleKeys {
                keyids: Vec::new(),
                threshold: 1,
                other: Other::new(),
            },
        };
        // SHA-256 of "abc" begins with ba7816bf.
        assert_eq!(bins(1).bin_of("abc"), "bin-1");
        assert_eq!(bins(4).bin_of("abc"), "bin-b");
        assert_eq!(bins(5).bin_of("abc"), "bin-17");
        assert_eq!(bins(8).bin_of("abc"), "bin-ba");
        assert_eq!(bins(32).bin_of("abc"), "bin-ba7816bf");
        // Nine bits: ba7816bf >> 23, and 0791963c >> 23, with as many digits as 1ff has.
        assert_eq!(bins(9).bin_of("abc"), "bin-174");
        assert_eq!(bins(9).bin_of("329"), "bin-00f");
    }
}
