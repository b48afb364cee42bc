//! Extraneous dependencies: something is loaded beside what was asked for because the server says that it is
//! needed. What a release needs and what it brings is in its manifest, whose digest is signed.

use serde_json::json;

use crate::sample;
use crate::simulator::assert_refused;

#[test]
fn extraneous_dependencies_in_a_manifest_are_refused() {
    let honest = sample::manifest().to_bytes().unwrap();
    let signed = sample::expected(&honest);
    let mut attack = sample::value();
    attack["requires"] = json!(["numpy>=2", "evil"]);
    let attack = serde_json::to_vec(&attack).unwrap();
    let refused = sample::parse_as(&attack, &signed).map_err(Into::into);
    assert_refused(refused, "verify.length", "release.json");
    // Of the same length as well.
    let text = String::from_utf8(honest.clone()).unwrap();
    assert!(text.contains("numpy>=2"));
    let attack = text.replace("numpy>=2", "evilpy>2").into_bytes();
    let refused = sample::parse_as(&attack, &signed).map_err(Into::into);
    assert_refused(refused, "verify.digest", "release.json");
    let manifest = sample::parse_as(&honest, &signed).unwrap();
    assert_eq!(manifest.requires, ["numpy>=2"]);
    // What is signed counts: a publisher may need more.
    let signed = sample::expected(&attack);
    let manifest = sample::parse_as(&attack, &signed).unwrap();
    assert_eq!(manifest.requires, ["evilpy>2"]);
}

#[test]
fn extraneous_modules_that_the_manifest_does_not_admit_are_refused() {
    // Signed, even: a file that would make another import name is announced as one, or there is no release.
    let honest = sample::with_file("evil.py");
    sample::parse(&honest).unwrap();
    let mut attack = honest;
    let modules = attack["modules"].as_array_mut().unwrap();
    modules.retain(|module| module != "evil");
    let refused = sample::parse(&attack).map_err(Into::into);
    assert_refused(refused, "verify.malformed", "its files are [\"evil\"");
}
