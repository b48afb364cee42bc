//! Keys, from PEM: what is accepted signs, and is the same key after it was written and read.
#![no_main]

use webimport_core::keys::PublicKey;
use webimport_core::sign::{SigningKey, public_key_from_pem};
use webimport_fuzz::{Outcome, target};

target!(check);

fn check(data: &[u8]) -> Outcome {
    let Ok(text) = std::str::from_utf8(data) else {
        return Outcome::Refused;
    };
    match (SigningKey::from_pem(text), public_key_from_pem(text)) {
        (Ok(key), Err(_)) => is_whole(&key, data),
        (Err(_), Ok(key)) => {
            assert_eq!(PublicKey::from_value(key.value().clone()), Ok(key));
        }
        (Err(_), Err(_)) => return Outcome::Refused,
        (Ok(_), Ok(_)) => panic!("a key that is private and public"),
    }
    Outcome::Accepted
}

fn is_whole(key: &SigningKey, message: &[u8]) {
    let written = key.to_pem().expect("a key can be written");
    let again = SigningKey::from_pem(&written).expect("a written key can be read");
    let der = key.to_der().expect("a key can be written");
    let third = SigningKey::from_der(&der).expect("a written key can be read");
    assert_eq!(
        (&again.public(), &third.public()),
        (&key.public(), &key.public())
    );
    assert!(again.public().verifies(message, &key.sign_bytes(message)));
}
