//! Updates: what makes a release out of an earlier one, and what does not.

use serde_json::{Value, json};
use webimport_core::digest::{Expected, Sha256Digest};
use webimport_core::error::{Coded as _, Error, VerifyError};
use webimport_core::limits::Limits;
use webimport_core::manifest::{Encoding, ObjectEntry};
use webimport_core::update::{UpdateEntry, Whole};

use crate::simulator;

pub(crate) const OLD: &[u8] = b"the bytes of the release before";
const NEW: &[u8] = b"the literal bytes of the release";
const LITERALS: &[u8] = b"literal ";

/// What makes [`NEW`] out of [`OLD`] and [`LITERALS`].
pub(crate) fn header() -> Value {
    json!({
        "format": "webimport-update/1",
        "sources": [{"sha256": Sha256Digest::of(OLD), "size": OLD.len()}],
        "outputs": [{
            "sha256": Sha256Digest::of(NEW),
            "size": NEW.len(),
            "parts": [1, 0, 4, 0, 0, 8, 1, 4, 20],
        }],
    })
}

pub(crate) fn bytes(header: &Value, literals: &[u8]) -> Vec<u8> {
    let header = header.to_string().into_bytes();
    let length = u32::try_from(header.len()).unwrap().to_le_bytes();
    [&length[..], &header, literals].concat()
}

fn parse<'a>(bytes: &'a [u8], limits: &Limits) -> Result<Whole<'a>, VerifyError> {
    Whole::parse(bytes, "update", limits)
}

fn expected(bytes: &[u8]) -> Expected {
    Expected {
        subject: "release.json".into(),
        length: Some(bytes.len() as u64),
        sha256: Sha256Digest::of(bytes),
    }
}

fn make(header: &Value, old: Option<&[u8]>) -> Result<Option<Vec<u8>>, VerifyError> {
    let bytes = bytes(header, LITERALS);
    parse(&bytes, &Limits::default())?.make(&expected(NEW), |_| old)
}

fn assert_refused<T>(result: Result<T, VerifyError>, code: &str, reason: &str) {
    simulator::assert_refused(result.map_err(Error::from), code, reason);
}

/// The header with another value in one place.
fn with(pointer: &str, value: Value) -> Value {
    let mut header = header();
    *header.pointer_mut(pointer).unwrap() = value;
    header
}

#[test]
fn makes_new_bytes_out_of_earlier_ones_and_literals() {
    assert_eq!(make(&header(), Some(OLD)), Ok(Some(NEW.to_vec())));
    // What later formats add is not looked at.
    let mut more = header();
    more["x"] = json!(null);
    assert_eq!(make(&more, Some(OLD)), Ok(Some(NEW.to_vec())));
}

#[test]
fn makes_nothing_without_a_source_or_of_what_it_does_not_name() {
    assert_eq!(make(&header(), None), Ok(None));
    let bytes = bytes(&header(), LITERALS);
    let whole = parse(&bytes, &Limits::default()).unwrap();
    assert_eq!(whole.make(&expected(OLD), |_| Some(OLD)), Ok(None));
}

#[test]
fn rejects_a_source_that_is_damaged() {
    let mut damaged = OLD.to_vec();
    damaged[0] ^= 1;
    assert_refused(
        make(&header(), Some(&damaged)),
        "verify.digest",
        "which an update starts from",
    );
    let longer = [OLD, b"x"].concat();
    assert_refused(
        make(&header(), Some(&longer)),
        "verify.length",
        "which an update starts from",
    );
}

#[test]
fn rejects_what_it_makes_if_that_is_something_else() {
    let other = with("/outputs/0/parts", json!([1, 1, 4, 0, 0, 8, 1, 4, 20]));
    assert_refused(make(&other, Some(OLD)), "verify.digest", "release.json");
    // The digest is right, the size is not what signed metadata say.
    let parts = json!([1, 0, 4, 0, 0, 8, 1, 4, 21]);
    let mut longer = with("/outputs/0/parts", parts);
    longer["outputs"][0]["size"] = json!(NEW.len() + 1);
    assert_refused(make(&longer, Some(OLD)), "verify.length", "release.json");
}

#[test]
fn rejects_headers_that_differ_in_one_thing() {
    let size = NEW.len();
    let huge = json!(u64::MAX);
    for (pointer, value, reason) in [
        (
            "/format",
            json!("webimport-update/2"),
            "expected the format",
        ),
        ("/format", json!(1), "invalid type"),
        ("/sources", json!({}), "invalid type"),
        ("/sources/0/sha256", json!("00"), "64"),
        ("/sources/0/size", huge.clone(), "4 GiB"),
        ("/sources/0/size", json!(23), "inside of 23 bytes"),
        ("/outputs/0/sha256", json!("00"), "64"),
        (
            "/outputs/0/size",
            json!(size - 1),
            "expected parts of 31 bytes",
        ),
        ("/outputs/0/size", huge.clone(), "4 GiB"),
        (
            "/outputs/0/parts",
            json!([1, 0, 4, 0, 0, 8, 1, 4]),
            "three numbers",
        ),
        ("/outputs/0/parts", json!([]), "got 0"),
        ("/outputs/0/parts/0", json!(2), "no source 2"),
        ("/outputs/0/parts/0", huge.clone(), "no source"),
        ("/outputs/0/parts/0", json!(-1), "from 0 on"),
        ("/outputs/0/parts/1", json!(28), "inside of 31 bytes"),
        ("/outputs/0/parts/1", huge.clone(), "4 GiB"),
        ("/outputs/0/parts/2", json!(0), "inside of"),
        ("/outputs/0/parts/2", json!(u32::MAX), "inside of"),
        ("/outputs/0/parts/4", json!(1), "inside of 8 bytes"),
        ("/outputs/0/parts/5", json!(9), "inside of 8 bytes"),
    ] {
        let bytes = bytes(&with(pointer, value), LITERALS);
        let parsed = parse(&bytes, &Limits::default());
        assert_refused(parsed, "verify.malformed", reason);
    }
    let mut twice = header();
    twice["outputs"] = json!([twice["outputs"][0], twice["outputs"][0]]);
    let bytes = bytes(&twice, LITERALS);
    let parsed = parse(&bytes, &Limits::default());
    assert_refused(parsed, "verify.malformed", "an output is repeated");
}

#[test]
fn rejects_a_file_that_is_shorter_than_its_header() {
    let whole = bytes(&header(), b"");
    let cut = &whole[..whole.len() - 1];
    for short in [&b""[..], b"\x00\x00\x00", cut] {
        let parsed = parse(short, &Limits::default());
        assert_refused(parsed, "verify.malformed", "header");
    }
    let most = [&u32::MAX.to_le_bytes()[..], b"{}"].concat();
    let limits = Limits {
        update_header: u64::MAX,
        ..Limits::default()
    };
    assert_refused(parse(&most, &limits), "verify.malformed", "header");
}

#[test]
fn rejects_what_passes_a_limit() {
    let file = bytes(&header(), LITERALS);
    let header_size = file.len() as u64 - 4 - LITERALS.len() as u64;
    let right = Limits {
        update_header: header_size,
        update_parts: 3,
        release_decoded: NEW.len() as u64,
        ..Limits::default()
    };
    parse(&file, &right).unwrap();
    let refused = |limits: &Limits| parse(&file, limits).unwrap_err().code();
    let header = Limits {
        update_header: header_size - 1,
        ..right.clone()
    };
    assert_eq!(refused(&header), "verify.too_large");
    let parts = Limits {
        update_parts: 2,
        ..right.clone()
    };
    assert_eq!(refused(&parts), "verify.malformed");
    let made = Limits {
        release_decoded: NEW.len() as u64 - 1,
        ..right
    };
    assert_eq!(refused(&made), "verify.too_large");
}

#[test]
fn rejects_outputs_that_read_their_sources_too_often() {
    let mut header = header();
    let again = json!({"sha256": Sha256Digest::of(b"t"), "size": 1, "parts": [1, 0, 1]});
    header["outputs"].as_array_mut().unwrap().push(again);
    let file = bytes(&header, LITERALS);
    let limits = |release_decoded: usize| Limits {
        release_decoded: release_decoded as u64,
        ..Limits::default()
    };
    parse(&file, &limits(2 * OLD.len())).unwrap();
    let refused = parse(&file, &limits(2 * OLD.len() - 1));
    assert_refused(refused, "verify.malformed", "counted for each output");
}

#[test]
fn rejects_an_update_that_metadata_name_if_it_is_too_large() {
    let sha256 = Sha256Digest::of(b"update");
    let entry = |size, decoded_size| {
        let object = ObjectEntry {
            sha256,
            size,
            encoding: Encoding::Gzip,
            decoded_size,
            decoded_sha256: sha256,
            tag: None,
        };
        let entry = UpdateEntry::new(sha256, object);
        entry.object(&Limits::default()).map(|object| object.size)
    };
    let Limits {
        update,
        update_decoded,
        ..
    } = Limits::default();
    assert_eq!(entry(update, update_decoded), Ok(update));
    assert_refused(entry(update + 1, 1), "verify.too_large", "objects/");
    assert_refused(entry(1, update_decoded + 1), "verify.too_large", "objects/");
}

#[test]
fn writes_what_it_reads() {
    let file = bytes(&header(), LITERALS);
    let whole = parse(&file, &Limits::default()).unwrap();
    let written = whole.update.to_bytes(LITERALS);
    let again = parse(&written, &Limits::default()).unwrap();
    assert_eq!(again.update, whole.update);
    assert_eq!(
        again.make(&expected(NEW), |_| Some(OLD)),
        Ok(Some(NEW.to_vec()))
    );
}
