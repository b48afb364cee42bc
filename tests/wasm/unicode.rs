//! Paths by the browser's own tables.

use wasm_bindgen_test::wasm_bindgen_test;
use webimport_core::error::VerifyError;
use webimport_core::path::{PathSet, check};

use crate::unicode::platform;

#[wasm_bindgen_test]
fn names_that_differ_by_case_or_form_are_one() {
    let set = |paths: &[&str]| {
        let mut set = PathSet::new(platform);
        paths.iter().try_for_each(|path| set.insert(path))
    };
    set(&["a/données/é.txt", "a/données/è.txt", "ä/x.py", "ä/y.py"]).unwrap();
    for twins in [
        ["\u{212b}.py", "å.py"],
        ["É.py", "é.py"],
        ["ﬁ.py", "fi.py"],
        ["straße.py", "STRASSE.py"],
        ["straße.py", "STRA\u{1e9e}E.py"],
        ["ὈΔΟΣ/x.py", "ὀδος/y.py"],
        ["𐐀.py", "𐐨.py"],
        ["a\u{ff0f}b.py", "a/b.py"],
    ] {
        assert!(
            matches!(set(&twins), Err(VerifyError::Path { .. })),
            "{twins:?}"
        );
    }
    assert!(check("é.py", platform).is_ok());
    assert!(check("e\u{301}.py", platform).is_err(), "not NFC");
}
