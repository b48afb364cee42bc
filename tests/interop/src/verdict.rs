//! What three clients make of one repository, and what that says of ours.

use std::fmt;

use crate::clients::Outcome;

/// The three outcomes for one repository.
#[derive(Debug, Clone)]
pub struct Outcomes {
    /// Of our client.
    pub ours: Outcome,
    /// Of python-tuf.
    pub python: Outcome,
    /// Of sigstore-tuf.
    pub sigstore: Outcome,
}

/// What the outcomes say.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// All three have the same bytes.
    AllAccept,
    /// Nobody has any.
    AllRefuse,
    /// Ours accepts, and this one alone refuses.
    OnlyRefusedBy(Other),
    /// Ours refuses, and this one alone accepts.
    OnlyAcceptedBy(Other),
    /// Ours refuses what both others accept: right only by a rule of ours, which has to be a known one.
    Stricter,
    /// Ours accepts what both others refuse. Never right.
    Laxer,
    /// Two that accept have different bytes. Never right.
    DifferentBytes,
}

/// One of the other clients.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Other {
    /// python-tuf.
    Python,
    /// sigstore-tuf.
    Sigstore,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::AllAccept => "all accept, the same bytes",
            Self::AllRefuse => "all refuse",
            Self::OnlyRefusedBy(Other::Python) => "only python-tuf refuses",
            Self::OnlyRefusedBy(Other::Sigstore) => "only sigstore-tuf refuses",
            Self::OnlyAcceptedBy(Other::Python) => "only python-tuf accepts",
            Self::OnlyAcceptedBy(Other::Sigstore) => "only sigstore-tuf accepts",
            Self::Stricter => "only webimport refuses",
            Self::Laxer => "only webimport accepts",
            Self::DifferentBytes => "different bytes are accepted",
        })
    }
}

impl Outcomes {
    /// What they say.
    pub fn verdict(&self) -> Verdict {
        let accepted: Vec<&Vec<u8>> = [&self.ours, &self.python, &self.sigstore]
            .into_iter()
            .filter_map(|outcome| match outcome {
                Outcome::Accepted(bytes) => Some(bytes),
                Outcome::Refused(_) => None,
            })
            .collect();
        if accepted.windows(2).any(|pair| pair[0] != pair[1]) {
            return Verdict::DifferentBytes;
        }
        let [ours, python, sigstore] =
            [&self.ours, &self.python, &self.sigstore].map(Outcome::is_accepted);
        match (ours, python, sigstore) {
            (true, true, true) => Verdict::AllAccept,
            (false, false, false) => Verdict::AllRefuse,
            (true, false, true) => Verdict::OnlyRefusedBy(Other::Python),
            (true, true, false) => Verdict::OnlyRefusedBy(Other::Sigstore),
            (false, true, false) => Verdict::OnlyAcceptedBy(Other::Python),
            (false, false, true) => Verdict::OnlyAcceptedBy(Other::Sigstore),
            (false, true, true) => Verdict::Stricter,
            (true, false, false) => Verdict::Laxer,
        }
    }
}

/// A rule of ours that neither of the others has.
#[derive(Debug)]
pub struct Rule {
    /// Parts of what ours says when it refuses by that rule.
    says: &'static [&'static str],
    /// Parts of the description of what it refuses then, one of these lists.
    of: &'static [&'static [&'static str]],
    /// Why it is there.
    pub because: &'static str,
}

const ANYTHING: &[&[&str]] = &[&[]];

/// The rules by which ours alone may refuse. Each is seen at work in every run of the differential test.
pub const STRICTER_BY_DESIGN: &[Rule] = &[
    Rule {
        says: &["is repeated at"],
        of: ANYTHING,
        because: "two parsers that disagree on one document are an attack; the others read the last value",
    },
    Rule {
        says: &["numbers must be integers"],
        of: ANYTHING,
        because: "as above; the others take floats and large numbers where nothing is signed",
    },
    Rule {
        says: &["nesting is too deep"],
        of: ANYTHING,
        because: "deep nesting costs stack before anything is verified; the others go far deeper",
    },
    Rule {
        says: &["expected at most 256 signatures"],
        of: ANYTHING,
        because: "each signature costs time before anything is trusted",
    },
    Rule {
        says: &["expected a version from 1 to 9007199254740990"],
        of: ANYTHING,
        because: "not every parser reads larger numbers alike, and the next version must exist",
    },
    Rule {
        says: &["expected spec_version 1.0.x"],
        of: &[&["/spec_version"]],
        because: "the others take any 1.x, but only 1.0 is written down so far",
    },
    Rule {
        says: &["is not the digest of its key"],
        of: ANYTHING,
        because: "a key id that says nothing of its key can name two; TUF 4.2 says how it is made",
    },
    Rule {
        says: &["expected 64 lower-case hex digits"],
        of: ANYTHING,
        because: "a digest and a key id have one spelling",
    },
    Rule {
        says: &["verify.threshold"],
        of: &[&["in capitals"], &["bit 5 of byte"]],
        because: "a signature has one spelling, too; bit 5 of a letter is its case",
    },
    Rule {
        says: &["verify.threshold"],
        of: &[&["under one more id that fits, for a threshold of 2"]],
        because: "one key counts once, by whatever names (go-tuf, CVE-2022-29173)",
    },
    Rule {
        says: &["in `keyval.public`"],
        of: &[&["/keyval/public"]],
        because: "a key of a known type that no signature can be verified with is a mistake, not a key",
    },
    Rule {
        says: &["consistent_snapshot"],
        of: &[&["/consistent_snapshot"]],
        because: "webimport needs files that never change under one name",
    },
    Rule {
        says: &["verify.mix_and_match: `1.root.json`: expected version 1"],
        of: ANYTHING,
        because: "the first root has the version that its name says",
    },
    Rule {
        says: &["verify.malformed"],
        of: &[&["/custom"]],
        because: "`custom.webimport` is a format of ours, which the others do not read",
    },
    Rule {
        says: &["snapshot.json`"],
        of: &[&["the next version", "client knows: Current"]],
        because: "a snapshot in the cache counts only if the timestamp names its very bytes; the others compare the version",
    },
    Rule {
        says: &["verify.rollback: `snapshot.json`"],
        of: &[&[
            "snapshot is signed anew, version -1",
            "client knows: Current",
        ]],
        because: "a timestamp of the same version that names an older snapshot is refused, not passed over",
    },
];

/// The rule by which ours refuses what has that description for that reason.
pub fn rule(description: &str, reason: &str) -> Option<usize> {
    STRICTER_BY_DESIGN.iter().position(|rule| {
        let has_all = |text: &str, parts: &[&str]| parts.iter().all(|part| text.contains(part));
        has_all(reason, rule.says) && rule.of.iter().any(|parts| has_all(description, parts))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_combination_has_its_verdict() {
        let accepted = || Outcome::Accepted(vec![1]);
        let refused = || Outcome::Refused("no".into());
        let other = || Outcome::Accepted(vec![2]);
        for (ours, python, sigstore, expected) in [
            (accepted(), accepted(), accepted(), Verdict::AllAccept),
            (refused(), refused(), refused(), Verdict::AllRefuse),
            (
                accepted(),
                refused(),
                accepted(),
                Verdict::OnlyRefusedBy(Other::Python),
            ),
            (
                accepted(),
                accepted(),
                refused(),
                Verdict::OnlyRefusedBy(Other::Sigstore),
            ),
            (
                refused(),
                accepted(),
                refused(),
                Verdict::OnlyAcceptedBy(Other::Python),
            ),
            (
                refused(),
                refused(),
                accepted(),
                Verdict::OnlyAcceptedBy(Other::Sigstore),
            ),
            (refused(), accepted(), accepted(), Verdict::Stricter),
            (accepted(), refused(), refused(), Verdict::Laxer),
            (accepted(), accepted(), other(), Verdict::DifferentBytes),
            (other(), accepted(), refused(), Verdict::DifferentBytes),
            (refused(), accepted(), other(), Verdict::DifferentBytes),
        ] {
            let outcomes = Outcomes {
                ours,
                python,
                sigstore,
            };
            assert_eq!(outcomes.verdict(), expected, "{outcomes:?}");
        }
    }
}
