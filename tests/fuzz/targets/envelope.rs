//! Metadata files: bytes are a file of one role at most, what is signed is what was written, and writing what
//! was read loses nothing.
#![no_main]

use std::fmt::Debug;

use serde_json::Value;
use webimport_core::metadata::{
    Envelope, MAX_SIGNATURES, Role, Root, Snapshot, Targets, Timestamp,
};
use webimport_core::sign::{SigningKey, sign_role};
use webimport_fuzz::repository::canonical;
use webimport_fuzz::{Outcome, refused, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let accepted = [
        accepts::<Root>(data),
        accepts::<Timestamp>(data),
        accepts::<Snapshot>(data),
        accepts::<Targets>(data),
    ];
    match accepted.into_iter().filter(|it| *it).count() {
        0 => Outcome::Refused,
        1 => Outcome::Accepted,
        _ => panic!("a file of two roles: {accepted:?}"),
    }
}

fn accepts<T: Role + PartialEq + Debug>(data: &[u8]) -> bool {
    let envelope = match Envelope::<T>::parse(data, "input") {
        Ok(envelope) => envelope,
        Err(error) => {
            refused(&error);
            return false;
        }
    };
    let value: Value = serde_json::from_slice(data).expect("another parser accepts it, too");
    assert_eq!(envelope.canonical, canonical(&value["signed"]));
    let common = envelope.signed.common();
    assert!(common.version > 0);
    assert_eq!(value["signed"]["_type"], T::KIND.as_str());
    assert_eq!(value["signed"]["version"], common.version);
    assert_eq!(value["signed"]["expires"], common.expires.to_string());
    assert!(envelope.signatures.len() <= MAX_SIGNATURES);
    for (index, (keyid, _)) in envelope.signatures.iter().enumerate() {
        let mut before = envelope.signatures[..index].iter();
        assert!(
            before.all(|(other, _)| other != keyid),
            "{keyid} signs twice"
        );
    }
    let written =
        sign_role::<_, SigningKey>(&envelope.signed, &[]).expect("what was read can be written");
    let again = Envelope::<T>::parse(&written, "input").expect("what was written can be read");
    assert_eq!(again.signed, envelope.signed);
    true
}
