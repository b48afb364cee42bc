//! Unicode by the browser, whose tables this module then need not bring.
//!
//! `String.prototype.normalize`, `toLowerCase` and `toUpperCase` are defined by the Unicode standard and depend on no
//! language. Nothing but paths that are not ASCII comes here.

use alloc::string::String;
use js_sys::JsString;
use webimport_core::path::Change;

/// As [`webimport_core::path::Unicode`].
pub(crate) fn platform(text: &str, changes: &[Change]) -> String {
    let text = changes
        .iter()
        .fold(JsString::from(text), |text, change| match change {
            Change::Nfc => text.normalize("NFC"),
            Change::Nfkc => text.normalize("NFKC"),
            Change::LowerCase => text.to_lower_case(),
            Change::UpperCase => text.to_upper_case(),
        });
    text.into()
}
