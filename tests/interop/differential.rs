//! Mutated repositories, shown to webimport, python-tuf and sigstore-tuf: what both others refuse, ours refuses.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::thread;

use webimport_interop_tests::clients::{self, Load, Outcome};
use webimport_interop_tests::files::{self, Changes};
use webimport_interop_tests::mutants::{Effort, Mutant, Mutator, Seen};
use webimport_interop_tests::python::{PythonTuf, Question};
use webimport_interop_tests::repositories::{self, Delegation, NOW, Specimen};
use webimport_interop_tests::verdict::{self, Outcomes, STRICTER_BY_DESIGN, Verdict};

/// As many as fit into a test that runs often; or, with a seed in `WEBIMPORT_INTEROP_SEED`, all there are, and other
/// random ones.
fn mutator() -> Mutator {
    let seed = std::env::var("WEBIMPORT_INTEROP_SEED").ok();
    match seed.map(|seed| seed.parse().expect("a seed that is a number")) {
        None => Mutator::new(
            Effort {
                flips: 6,
                pairs: 40,
                repetitions: 24,
            },
            3,
        ),
        Some(seed) => Mutator::new(
            Effort {
                flips: 100,
                pairs: 1_000,
                repetitions: 1,
            },
            seed,
        ),
    }
}

fn specimens() -> Vec<Specimen> {
    let by_python_tuf = |delegation| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        repositories::by_python_tuf(folder.path(), delegation, NOW)
    };
    vec![
        // Its snapshot names no digests, so that what is below has to be judged by itself; hence the first.
        by_python_tuf(Delegation::Paths),
        repositories::by_webimport(),
        repositories::by_webimport_with_rotated_keys(),
        by_python_tuf(Delegation::Bins),
    ]
}

/// What the three make of each mutant.
fn judge(specimen: &Specimen, mutants: &[Mutant], python: &mut PythonTuf) -> Vec<Outcomes> {
    let earlier = format!("{}, earlier", specimen.name);
    python.keep([
        (specimen.name, &specimen.files),
        (&*earlier, &specimen.earlier),
    ]);
    let root = |changes: &Changes| match changes.get("metadata/1.root.json") {
        Some(Some(bytes)) => bytes.clone(),
        _ => specimen.files["metadata/1.root.json"].clone(),
    };
    let questions: Vec<Question> = mutants
        .iter()
        .map(|mutant| {
            let seen = match mutant.seen {
                Seen::Nothing => None,
                Seen::Earlier => Some(&*earlier),
                Seen::Current => Some(specimen.name),
            };
            let root = root(&mutant.changes);
            Question::of_kept(specimen.name, &mutant.changes, &root, specimen.target, NOW)
                .having_seen(seen)
        })
        .collect();
    thread::scope(|scope| {
        let python = scope.spawn(|| python.ask(&questions));
        let ours_and_sigstore: Vec<(Outcome, Outcome)> = mutants
            .iter()
            .map(|mutant| {
                let load = Load {
                    files: &files::changed(&specimen.files, &mutant.changes),
                    root: &root(&mutant.changes),
                    seen: match mutant.seen {
                        Seen::Nothing => None,
                        Seen::Earlier => Some(&specimen.earlier),
                        Seen::Current => Some(&specimen.files),
                    },
                    target: specimen.target,
                    now: NOW,
                };
                (
                    clients::webimport(&load),
                    ask_sigstore(specimen, mutant, load),
                )
            })
            .collect();
        let python = python.join().expect("python-tuf's answers");
        ours_and_sigstore
            .into_iter()
            .zip(python)
            .map(|((ours, sigstore), python)| Outcomes {
                ours,
                python,
                sigstore,
            })
            .collect()
    })
}

/// sigstore-tuf knows no hash bins and finds no target in one. There its word is on the top-level metadata; where
/// just the bins are other ones it has none, and refuses.
fn ask_sigstore(specimen: &Specimen, mutant: &Mutant, load: Load<'_>) -> Outcome {
    let is_of_bins = [".bin-", "/succinct_roles"]
        .iter()
        .any(|part| mutant.what.contains(part));
    if specimen.has_bins && !is_of_bins {
        clients::sigstore_metadata(&load, specimen.content())
    } else {
        clients::sigstore(&load)
    }
}

/// Of what is printed, not more than fits a line.
fn shown(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Accepted(bytes) => format!("accepts {} bytes", bytes.len()),
        Outcome::Refused(reason) => {
            let line: String = reason.chars().take(300).collect();
            format!("refuses: {}", line.replace('\n', " "))
        }
    }
}

#[test]
fn valid_repositories_are_accepted_by_all() {
    let mut python = PythonTuf::start();
    for specimen in specimens() {
        let valid = [Seen::Nothing, Seen::Earlier, Seen::Current].map(|seen| Mutant {
            kind: "none",
            what: "nothing".into(),
            changes: Changes::new(),
            seen,
        });
        for outcomes in judge(&specimen, &valid, &mut python) {
            assert_eq!(
                outcomes.verdict(),
                Verdict::AllAccept,
                "{}: {outcomes:?}",
                specimen.name
            );
        }
    }
}

#[test]
fn nothing_that_both_others_refuse_is_accepted() {
    let mut python = PythonTuf::start();
    let mut counts: BTreeMap<Verdict, BTreeMap<&str, usize>> = BTreeMap::new();
    let mut rules_seen = BTreeSet::new();
    let mut failures = String::new();
    let mut log = String::new();
    let mut mutator = mutator();
    for specimen in specimens() {
        let mutants = mutator.mutants(&specimen);
        let outcomes = judge(&specimen, &mutants, &mut python);
        for (mutant, outcomes) in mutants.iter().zip(outcomes) {
            let verdict = outcomes.verdict();
            *counts
                .entry(verdict.clone())
                .or_default()
                .entry(mutant.kind)
                .or_default() += 1;
            let Outcomes {
                ours,
                python,
                sigstore,
            } = &outcomes;
            let mutant = format!(
                "{}, {}: {}, client knows: {:?}",
                specimen.name, mutant.kind, mutant.what, mutant.seen
            );
            let is_failure = match (&verdict, ours) {
                (Verdict::Laxer | Verdict::DifferentBytes, _) => true,
                (Verdict::Stricter, Outcome::Refused(reason)) => {
                    let rule = verdict::rule(&mutant, reason);
                    rules_seen.extend(rule);
                    rule.is_none()
                }
                _ => false,
            };
            let description = format!(
                "{verdict}: {mutant}\n  webimport {}\n  python-tuf {}\n  sigstore-tuf {}\n",
                shown(ours),
                shown(python),
                shown(sigstore),
            );
            log += &description;
            if is_failure {
                failures += &description;
            }
        }
    }
    let mut table = String::from("\n");
    for (verdict, kinds) in &counts {
        let total: usize = kinds.values().sum();
        let kinds: Vec<String> = kinds
            .iter()
            .map(|(kind, count)| format!("{kind} {count}"))
            .collect();
        writeln!(table, "{total:6} {verdict}: {}", kinds.join(", ")).expect("text");
    }
    // Past the test runner, which keeps what a test that passes prints to itself.
    std::io::stderr()
        .write_all(table.as_bytes())
        .expect("a place to print");
    if let Some(path) = std::env::var_os("WEBIMPORT_INTEROP_LOG") {
        std::fs::write(path, log).expect("a log that can be written");
    }
    assert!(failures.is_empty(), "{failures}");
    for (index, rule) in STRICTER_BY_DESIGN.iter().enumerate() {
        assert!(
            rules_seen.contains(&index),
            "no mutant shows this rule: {rule:?}"
        );
    }
}
