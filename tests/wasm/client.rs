//! The border to JavaScript: what is thrown has a code and a hint, whatever comes in.

use js_sys::Reflect;
use wasm_bindgen::JsValue;
use wasm_bindgen_test::wasm_bindgen_test;

use crate::exports::Client;

fn text(error: &JsValue, key: &str) -> String {
    Reflect::get(error, &key.into())
        .unwrap()
        .as_string()
        .unwrap_or_default()
}

async fn refusal(client: &Client, request: &str) -> String {
    let error = client
        .load(request.into(), None, None)
        .await
        .err()
        .expect("a refusal");
    assert!(
        !text(&error, "message").is_empty() && !text(&error, "hint").is_empty(),
        "{error:?}"
    );
    text(&error, "code")
}

fn request(url: &str, options: &str) -> String {
    format!(
        r#"{{"url": {url:?}, "options": {options}, "python": {{"tag": "cpython-314", "version": "3.14.2"}}}}"#
    )
}

#[wasm_bindgen_test]
async fn refusals_have_codes_and_hints() {
    let client = Client::new();
    let known = "https://code.example.org/repo";
    let root = format!("sha256:{}", "0".repeat(64));
    client
        .configure(
            "page",
            &format!(r#"{{"repositories": {{"{known}": {{"root": "{root}"}}}}}}"#),
        )
        .unwrap();
    for (url, options, code) in [
        ("http://code.example.org/repo/mylib", "{}", "url.insecure"),
        ("https://code.example.org/repo/My", "{}", "url.invalid"),
        ("mylib", "{}", "url.invalid"),
        (
            "https://other.example.org/repo/mylib",
            "{}",
            "trust.no_root",
        ),
        (
            "https://code.example.org/repo/mylib",
            r#"{"root": "nonsense"}"#,
            "config.invalid",
        ),
        (
            "https://code.example.org/repo/mylib",
            r#"{"sha265": "typing error"}"#,
            "config.invalid",
        ),
        (
            "https://code.example.org/repo/mylib",
            r#"{"offline": "only"}"#,
            "resolve.offline",
        ),
    ] {
        assert_eq!(
            refusal(&client, &request(url, options)).await,
            code,
            "{url} {options}"
        );
    }
    client.configure("call", r#"{"frozen": true}"#).unwrap();
    assert_eq!(
        refusal(&client, &request(&format!("{known}/mylib"), "{}")).await,
        "resolve.not_pinned"
    );
}

#[wasm_bindgen_test]
async fn what_is_not_json_is_refused() {
    let client = Client::new();
    for request in ["", "{", "null", "[]", r#"{"url": 7}"#] {
        assert_eq!(
            refusal(&client, request).await,
            "config.invalid",
            "{request}"
        );
    }
    for (layer, config, code) in [
        ("page", "{", "config.invalid"),
        ("page", r#"{"frozen": 1}"#, "config.invalid"),
        ("page", r#"{"frosen": true}"#, "config.unknown_key"),
        ("planet", "{}", "config.invalid"),
    ] {
        let error = client.configure(layer, config).expect_err("a refusal");
        assert_eq!(text(&error, "code"), code, "{config}");
    }
    assert!(client.freeze("{").is_err());
}

#[wasm_bindgen_test]
fn what_no_config_can_pin_together_is_not_frozen() {
    let client = Client::new();
    let digest = "ab".repeat(32);
    let entry = |name: &str| {
        format!(
            r#"{{"name": "{name}", "version": "1.0", "sha256": "{digest}", "root": "sha256:{digest}", "repository": "https://{name}.example.org"}}"#
        )
    };
    let one = entry("one");
    let other = entry("two").replacen(r#""two""#, r#""one""#, 1);
    client.freeze(&format!("[{one}, {one}]")).unwrap();
    let error = client.freeze(&format!("[{one}, {other}]"));
    let error = error.expect_err("a refusal");
    assert_eq!(text(&error, "code"), "config.conflict");
}

#[wasm_bindgen_test]
async fn a_refused_layer_leaves_the_one_before() {
    let client = Client::new();
    client.configure("page", r#"{"frozen": true}"#).unwrap();
    client
        .configure("page", r#"{"frosen": false}"#)
        .expect_err("a refusal");
    let url = "https://code.example.org/repo/mylib";
    assert_eq!(
        refusal(&client, &request(url, "{}")).await,
        "resolve.not_pinned"
    );
}
