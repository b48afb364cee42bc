//! Signing anew what expires soon.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use support::{NOW, TestRepository, WheelBuilder};
use webimport_cli::keyring::Keyring;
use webimport_cli::observe::Silent;
use webimport_cli::renew::Renewal;
use webimport_cli::repository::{RepositoryError, Validity};
use webimport_core::error::Coded as _;

fn published() -> TestRepository {
    let repository = TestRepository::new();
    repository
        .release(&[WheelBuilder::new("greet", "1.0")])
        .unwrap();
    repository
}

fn renew_with(
    repository: &TestRepository,
    ring: &Keyring,
    day: u32,
    within: Option<u32>,
) -> Result<Renewal, RepositoryError> {
    let validity = Validity::from(NOW.plus_days(day));
    repository.open().renew(within, ring, &validity, &Silent)
}

/// The roles that a renewal on that day signs anew, as `role version`.
fn renew(repository: &TestRepository, day: u32) -> Vec<String> {
    let renewal = renew_with(repository, &repository.ring(), day, None).unwrap();
    assert!(renewal.root_due.is_none());
    let renewed = renewal.renewed.iter();
    renewed
        .map(|it| format!("{} {}", it.role, it.version))
        .collect()
}

fn verifies_on(repository: &TestRepository, day: u32) -> bool {
    let url = format!("{}/greet", repository.root().display());
    repository.verify_at(&url, NOW.plus_days(day)).is_ok()
}

#[test]
fn nothing_is_done_until_something_is_due() {
    let repository = published();
    let before = repository.everything();
    for day in [0, 1, 19] {
        assert!(renew(&repository, day).is_empty(), "{day}");
    }
    assert!(before == repository.everything());
    assert_eq!(renew(&repository, 20), ["snapshot 3", "timestamp 3"]);
    assert!(renew(&repository, 20).is_empty());
    assert!(verifies_on(&repository, 49) && !verifies_on(&repository, 50));
}

#[test]
fn a_daily_job_keeps_a_repository_alive_while_the_root_is_at_hand() {
    let repository = published();
    for day in (0..800).step_by(5) {
        renew(&repository, day);
        assert!(verifies_on(&repository, day), "{day}");
    }
    let roles = repository.open().roles(&repository.ring()).unwrap();
    // Twice a year's life, renewed in its last thirty days.
    assert_eq!((roles[0].version, roles[1].version), (3, 4));
}

#[test]
fn what_has_expired_is_renewed_too() {
    let repository = published();
    assert!(!verifies_on(&repository, 400));
    assert_eq!(
        renew(&repository, 400),
        ["root 2", "targets 3", "snapshot 3", "timestamp 3"]
    );
    assert!(verifies_on(&repository, 400));
}

#[test]
fn only_what_is_due_is_signed() {
    let repository = published();
    let within = |days| {
        let renewal = renew_with(&repository, &repository.ring(), 0, Some(days)).unwrap();
        let renewed = renewal.renewed.iter();
        renewed.map(|it| it.role).collect::<Vec<_>>()
    };
    assert!(within(29).is_empty());
    assert_eq!(within(30), ["snapshot", "timestamp"]);
    assert_eq!(within(365), ["root", "targets", "snapshot", "timestamp"]);
}

#[test]
fn a_root_without_its_key_is_reported_and_the_rest_is_renewed() {
    let repository = published();
    let offline = repository.give_away(&["root.pem"], "offline");
    let renewal = renew_with(&repository, &repository.ring(), 340, None).unwrap();
    let due = renewal.root_due.unwrap();
    assert_eq!((due.code, due.expires), ("publish.key", NOW.plus_days(365)));
    assert_eq!(renewal.renewed.len(), 3);
    assert!(verifies_on(&repository, 350));
    // Nothing else is due, and the root still is.
    let again = renew_with(&repository, &repository.ring(), 340, None).unwrap();
    assert!(again.renewed.is_empty() && again.root_due.is_some());
    // Where the root key is, the others need not be.
    let renewal = renew_with(&repository, &offline, 341, None).unwrap();
    assert_eq!(renewal.renewed.len(), 1);
    assert!(renewal.root_due.is_none());
    assert!(verifies_on(&repository, 366));
}

#[test]
fn a_renewal_without_the_other_keys_is_refused() {
    let repository = published();
    drop(repository.give_away(&["snapshot.pem"], "away"));
    let before = repository.everything();
    let refused = renew_with(&repository, &repository.ring(), 25, None);
    assert_eq!(refused.unwrap_err().code(), "publish.key");
    assert!(before == repository.everything());
}

#[test]
fn a_renewal_waits_for_nobody() {
    let repository = published();
    let lock = std::fs::File::options()
        .write(true)
        .open(repository.root().join(".webimport-lock"))
        .unwrap();
    lock.lock().unwrap();
    let refused = renew_with(&repository, &repository.ring(), 25, None);
    assert_eq!(refused.unwrap_err().code(), "publish.locked");
}
