//! Delegations: which other role may name which targets (TUF 4.5; hash bins as in TAP 15).

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;
use core::str::Chars;

use crate::digest::{Sha256Digest, to_hex};
use crate::error::{Error, Fault, VerifyError};
use crate::fields::{self, Fields};
use crate::json::Value;
use crate::keys::{KeyId, PublicKey};
use crate::map::{Map, are_distinct};
use crate::metadata::{Other, RoleKeys, RoleKind, read_keys, write_map};
use crate::names::ReleaseName;

/// Bytes of a path pattern.
const MAX_PATTERN: usize = 1024;

/// What the digest of a path costs, beside the comparison of a character.
const DIGEST: usize = 256;

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

/// What a search may still cost, in steps such as a character compared with a pattern. Who writes the patterns
/// of a delegated role is trusted with little more than their own targets, and not with everybody's time.
#[derive(Debug)]
pub(crate) struct Effort {
    left: usize,
    limit: usize,
}

/// The search would cost more than its limit, which this is.
#[derive(Debug)]
pub(crate) struct Spent(usize);

impl From<Spent> for Error {
    fn from(Spent(limit): Spent) -> Self {
        VerifyError::TooLarge {
            subject: "path patterns".into(),
            limit: limit as u64,
        }
        .into()
    }
}

impl Effort {
    pub(crate) fn new(limit: usize) -> Self {
        Self { left: limit, limit }
    }

    pub(crate) fn spend(&mut self, steps: usize) -> Result<(), Spent> {
        self.left = self.left.checked_sub(steps).ok_or(Spent(self.limit))?;
        Ok(())
    }
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
    pub(crate) fn for_target(
        &self,
        path: &str,
        effort: &mut Effort,
    ) -> Result<Vec<Referral>, Spent> {
        if let Some(bins) = &self.succinct_roles {
            // As in the reference implementation, a bin is the last word on its targets.
            return Ok(vec![Referral {
                role: bins.bin_of(path),
                terminating: true,
            }]);
        }
        self.referrals(|role| role.covers(path, effort))
    }

    /// The roles that may name a release of that name, as far as their patterns tell: those with hash
    /// prefixes can only be asked about a whole path.
    pub(crate) fn for_release(
        &self,
        name: &ReleaseName,
        effort: &mut Effort,
    ) -> Result<Vec<Referral>, Spent> {
        self.referrals(|role| role.may_cover_release(name, effort))
    }

    fn referrals(
        &self,
        mut asked: impl FnMut(&DelegatedRole) -> Result<bool, Spent>,
    ) -> Result<Vec<Referral>, Spent> {
        let mut referrals = Vec::new();
        for role in self.roles.as_deref().unwrap_or_default() {
            if asked(role)? {
                referrals.push(Referral {
                    role: role.name.clone(),
                    terminating: role.terminating,
                });
            }
        }
        Ok(referrals)
    }

    /// Whether the role `name`, which is none of the hash bins, may name the target `path`.
    pub(crate) fn cover(&self, name: &str, path: &str, effort: &mut Effort) -> Result<bool, Spent> {
        match self.role(name) {
            Some(role) => role.covers(path, effort),
            None => Ok(false),
        }
    }

    fn role(&self, name: &str) -> Option<&DelegatedRole> {
        let mut roles = self.roles.as_deref().unwrap_or_default().iter();
        roles.find(|role| role.name == name)
    }

    /// Who signs the role `name`.
    pub(crate) fn keys_of(&self, name: &str) -> Option<&RoleKeys> {
        self.role(name)
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

    fn covers(&self, path: &str, effort: &mut Effort) -> Result<bool, Spent> {
        if let Some(prefixes) = &self.path_hash_prefixes {
            effort.spend(DIGEST + prefixes.len())?;
            let digest = to_hex(Sha256Digest::of(path.as_bytes()).as_bytes());
            return Ok(prefixes
                .iter()
                .any(|prefix| digest.starts_with(prefix.as_str())));
        }
        for pattern in self.paths.as_deref().unwrap_or_default() {
            if path_matches(pattern, path, effort)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn may_cover_release(&self, name: &ReleaseName, effort: &mut Effort) -> Result<bool, Spent> {
        for pattern in self.paths.as_deref().unwrap_or_default() {
            effort.spend(pattern.len())?;
            let mut parts = pattern.split('/');
            if let (Some(first), Some(_), Some(last), None) =
                (parts.next(), parts.next(), parts.next(), parts.next())
                && part_matches(first, name.as_str(), effort)?
                && part_matches(last, "release.json", effort)?
            {
                return Ok(true);
            }
        }
        Ok(false)
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
fn path_matches(pattern: &str, path: &str, effort: &mut Effort) -> Result<bool, Spent> {
    let (mut patterns, mut parts) = (pattern.split('/'), path.split('/'));
    loop {
        match (patterns.next(), parts.next()) {
            (Some(pattern), Some(part)) if part_matches(pattern, part, effort)? => {}
            (None, None) => return Ok(true),
            _ => return Ok(false),
        }
    }
}

/// A shell pattern with `*`, `?` and sets such as `[a-f]` and `[!0-9]`, as Python's `fnmatchcase` reads it.
fn part_matches(pattern: &str, text: &str, effort: &mut Effort) -> Result<bool, Spent> {
    effort.spend(pattern.len() + 1)?;
    let (mut rest, mut text) = (pattern.chars(), text.chars());
    // Behind the last `*`, and what that leaves of the text: going back there alone is enough, so that no pattern
    // takes more than the product of both lengths.
    let mut star: Option<(Chars<'_>, Chars<'_>)> = None;
    loop {
        effort.spend(1)?;
        let mut after = text.clone();
        let Some(character) = after.next() else {
            return Ok(rest.all(|rest| rest == '*'));
        };
        let matches = match rest.next() {
            Some('*') => {
                star = Some((rest.clone(), text.clone()));
                continue;
            }
            Some('?') => true,
            Some('[') => {
                if let Some((set, behind)) = split_set(rest.as_str()) {
                    effort.spend(set.len())?;
                    rest = behind.chars();
                    in_set(set, character)
                } else {
                    effort.spend(rest.as_str().len())?;
                    character == '['
                }
            }
            Some(literal) => literal == character,
            None => false,
        };
        if matches {
            text = after;
            continue;
        }
        let Some((behind, left)) = &mut star else {
            return Ok(false);
        };
        left.next();
        (rest, text) = (behind.clone(), left.clone());
    }
}

/// The set that a pattern goes on with behind `[`, and what follows its `]`; one that comes first belongs to the
/// set.
fn split_set(rest: &str) -> Option<(&str, &str)> {
    let mut inner = rest.strip_prefix('!').unwrap_or(rest).chars();
    inner.next()?;
    let inner = inner.as_str();
    let end = rest.len() - inner.len() + inner.find(']')?;
    let (set, behind) = rest.split_at_checked(end)?;
    Some((set, behind.strip_prefix(']')?))
}

fn in_set(set: &str, character: char) -> bool {
    let (negated, set) = match set.strip_prefix('!') {
        Some(rest) => (true, rest),
        None => (false, set),
    };
    let mut set = set.chars();
    let mut found = false;
    while let Some(first) = set.next() {
        let mut range = set.clone();
        if let (Some('-'), Some(last)) = (range.next(), range.next()) {
            found |= (first..=last).contains(&character);
            set = range;
        } else {
            found |= first == character;
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
            ("[ä-ü]x", "öx", true),
            ("[!]]x", "]x", false),
            ("[!", "[!", true),
            ("[]-a]", "^", true),
            ("[a-]", "-", true),
            ("*[ab]c", "xxbc", true),
        ] {
            let matches = path_matches(pattern, path, &mut Effort::new(1_000)).unwrap();
            assert_eq!(matches, expected, "{pattern} {path}");
        }
    }

    /// How many steps it takes to see that a pattern does not match.
    fn cost(pattern: &str, path: &str) -> usize {
        let mut effort = Effort::new(usize::MAX);
        assert!(!path_matches(pattern, path, &mut effort).unwrap());
        effort.limit - effort.left
    }

    #[test]
    fn a_pattern_costs_no_more_than_the_product_of_both_lengths() {
        let set = ["*[", &"b".repeat(980), "a]Z"].concat();
        for pattern in [
            "*a".repeat(500) + "b",
            "*".repeat(1_000) + "b",
            set,
            "*a[".repeat(300),
        ] {
            for length in [10, 100] {
                let path = "a".repeat(length);
                let steps = cost(&pattern, &path);
                assert!(
                    steps <= 2 * pattern.len() * (length + 1),
                    "{pattern} {steps}"
                );
            }
        }
        // What differs from the start costs next to nothing.
        assert!(cost("other/*/*", "mylib/1.0/release.json") < 20);
    }

    #[test]
    fn matching_stops_when_the_effort_is_spent() {
        let (pattern, path) = ("*a".repeat(200) + "b", "a".repeat(200));
        let enough = cost(&pattern, &path);
        for (limit, ends) in [(enough, true), (enough - 1, false), (0, false)] {
            let mut effort = Effort::new(limit);
            assert_eq!(path_matches(&pattern, &path, &mut effort).is_ok(), ends);
        }
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
