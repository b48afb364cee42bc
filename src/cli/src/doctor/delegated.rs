//! Delegated roles (TUF 5.6.7): whether each is there and signed, and until when.
//!
//! A reader looks at those alone that a search leads to. Here each is looked at, up to as many as one search asks, and
//! each release that one of them names is searched for as a reader would.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use webimport_core::delegations::Delegations;
use webimport_core::error::{Coded as _, Error, VerifyError};
use webimport_core::keys::KeyId;
use webimport_core::map::Map;
use webimport_core::metadata::{
    Envelope, MetaFile, RoleKeys, RoleKind, Snapshot, Targets, encode_role, parse_release_target,
};
use webimport_core::names::{ReleaseName, Version};
use webimport_core::repository::Repository;
use webimport_core::snapshot::parse_snapshot_target;
use webimport_core::time::UnixTime;

use super::{AS_SIGNED, Doctor, SnapshotName, Verdict, open};

/// Days before the end at which whoever signs a role should know.
const EARLY: u32 = 15;

/// A role, and what its delegator says of who signs it.
struct Referred {
    name: String,
    keys: RoleKeys,
    delegations: Delegations,
}

/// What was found on the way.
#[derive(Default)]
struct Found {
    /// By role.
    expiries: BTreeMap<String, UnixTime>,
    named: Named,
    faults: Vec<(String, String)>,
    /// Roles that were not looked at.
    left: u64,
}

/// What roles name, whether or not they may.
#[derive(Default)]
pub(super) struct Named {
    pub(super) releases: Vec<(ReleaseName, Version)>,
    pub(super) snapshots: Vec<SnapshotName>,
}

impl Doctor<'_> {
    /// Looks at every delegated role.
    pub(super) fn delegated_roles(&mut self, repository: &Repository) -> Named {
        let kept = repository.verified();
        let top = kept.targets.get(RoleKind::Targets.as_str());
        let top = top.and_then(|bytes| open::<Targets>(bytes));
        let Some(delegations) = top.and_then(|targets| targets.delegations) else {
            return Named::default();
        };
        let snapshot = kept.snapshot.as_deref().and_then(open::<Snapshot>);
        let meta = snapshot.map(|snapshot| snapshot.meta).unwrap_or_default();

        let mut found = Found::default();
        let mut queue: VecDeque<Referred> = VecDeque::new();
        found.left += self.refer(&delegations, &mut queue);
        // Two delegators may lead to one role, with different keys.
        let mut seen: BTreeSet<(String, Vec<KeyId>)> = BTreeSet::new();
        while let Some(referred) = queue.pop_front() {
            if !seen.insert((referred.name.clone(), referred.keys.keyids.clone())) {
                continue;
            }
            if seen.len() > self.limits.delegated_roles {
                found.left += 1;
                continue;
            }
            match self.delegated_role(&referred, &meta) {
                Ok(targets) => {
                    found.expiries.insert(referred.name, targets.common.expires);
                    for path in targets.targets.keys() {
                        found.named.releases.extend(parse_release_target(path));
                        found.named.snapshots.extend(parse_snapshot_target(path));
                    }
                    if let Some(delegations) = &targets.delegations {
                        found.left += self.refer(delegations, &mut queue);
                    }
                }
                Err(error) => found.faults.push((
                    format!("`{}`: {error}", referred.name.escape_debug()),
                    error.hint(),
                )),
            }
        }
        self.report(&found);
        found.named
    }

    /// Queues the roles of a delegator, and returns how many of its hash bins are too many.
    fn refer(&self, delegations: &Delegations, queue: &mut VecDeque<Referred>) -> u64 {
        let mut push = |name: String, keys: &RoleKeys| {
            queue.push_back(Referred {
                name,
                keys: keys.clone(),
                delegations: delegations.clone(),
            });
        };
        for role in delegations.roles.iter().flatten() {
            push(role.name.clone(), &role.keys);
        }
        let Some(bins) = &delegations.succinct_roles else {
            return 0;
        };
        let count = 1_u64 << bins.bit_length.min(32);
        let digits = format!("{:x}", count - 1).len();
        let looked_at = count.min(self.limits.delegated_roles as u64);
        for number in 0..looked_at {
            push(
                format!("{}-{number:0digits$x}", bins.name_prefix),
                &bins.keys,
            );
        }
        count - looked_at
    }

    fn delegated_role(
        &mut self,
        role: &Referred,
        meta: &Map<String, MetaFile>,
    ) -> Result<Targets, Error> {
        let malformed = |reason: String| VerifyError::Malformed {
            subject: format!("{}.json", role.name),
            reason,
        };
        let meta = meta
            .get(&format!("{}.json", role.name))
            .ok_or_else(|| malformed("the snapshot does not name it".into()))?;
        let file = format!("{}.{}.json", meta.version, encode_role(&role.name));
        let limit = meta.length.unwrap_or(u64::MAX).min(self.limits.targets);
        let bytes = self.fetch(&format!("metadata/{file}"), limit)?;
        if let Some(expected) = meta.length
            && expected != bytes.len() as u64
        {
            return Err(VerifyError::Length {
                subject: file,
                expected,
                got: bytes.len() as u64,
            }
            .into());
        }
        if let Some(hashes) = &meta.hashes {
            hashes.check(&bytes, &file)?;
        }
        let envelope = Envelope::<Targets>::parse(&bytes, &file)?;
        let version = envelope.signed.common.version;
        if version != meta.version {
            return Err(VerifyError::MixAndMatch {
                subject: file,
                expected: meta.version,
                got: version,
            }
            .into());
        }
        let mut signers = Vec::new();
        for (id, signature) in &envelope.signatures {
            if let Some(key) = role.delegations.keys.get(id)
                && role.keys.keyids.contains(id)
                && !signers.iter().any(|other| key.is_same_key(other))
                && key.verifies(&envelope.canonical, signature)
            {
                signers.push(key.clone());
            }
        }
        let valid = signers.len() as u64;
        if valid < role.keys.threshold {
            return Err(VerifyError::Threshold {
                subject: file,
                role: role.name.clone(),
                needed: role.keys.threshold,
                valid,
            }
            .into());
        }
        Ok(envelope.signed)
    }

    fn report(&mut self, found: &Found) {
        let looked_at = found.expiries.len() + found.faults.len();
        self.add_all(
            "delegated roles",
            "role",
            looked_at,
            AS_SIGNED,
            &found.faults,
        );
        let now = self.options.now;
        let mut soon = 0;
        for (role, expires) in &found.expiries {
            let name = format!("`{}` expiry", role.escape_debug());
            let hint = "let whoever has the keys of the role sign it anew";
            if *expires <= now {
                self.add(&name, Verdict::Fail, format!("expired {expires}"), hint);
                soon += 1;
            } else if *expires <= now.plus_days(EARLY) {
                self.add(&name, Verdict::Warn, format!("expires {expires}"), hint);
                soon += 1;
            }
        }
        if let Some(first) = found.expiries.values().min()
            && soon == 0
        {
            let message = format!("the first expires {first}");
            self.add("delegated roles expiry", Verdict::Ok, message, "");
        }
        if found.left > 0 {
            self.add(
                "delegated roles left out",
                Verdict::Note,
                format!("{} more were not looked at, nor what they name", found.left),
                "look at these with the tool that signs them",
            );
        }
    }
}
