//! `IndexedDB` as futures: one record, all keys, or changes in one transaction.
//!
//! A promise is settled while its transaction is active, and a future that waits for it goes on before the transaction
//! can end. So what follows a request may ask for the next one, as long as it waits for nothing else.

use js_sys::{Array, Function, Promise};
use wasm_bindgen::prelude::*;
use wasm_bindgen_futures::JsFuture;
use web_sys::{
    Event, EventTarget, IdbDatabase, IdbOpenDbRequest, IdbRequest, IdbTransaction,
    IdbTransactionMode,
};

#[wasm_bindgen]
extern "C" {
    // Looked up on the global object, as pages and workers have it in different classes. Missing in Node, which `catch`
    // turns into an error.
    #[wasm_bindgen(js_namespace = indexedDB, js_name = open, catch)]
    fn request_database(name: &str, version: u32) -> Result<IdbOpenDbRequest, JsValue>;
}

/// What happens to a record, or to all of an object store.
pub(super) enum Change<'a> {
    Put(&'a JsValue),
    Delete,
    /// What stands in place of the current record; `None` leaves it.
    Update(&'a dyn Fn(Option<JsValue>) -> Option<JsValue>),
    /// The key does not matter.
    Clear,
}

/// The database `name`, whose object stores `upgrade` makes where it is older than `version`, or new. A failure there
/// is the failure to open it.
pub(super) async fn open(
    name: &str,
    version: u32,
    upgrade: fn(EventTarget),
) -> Result<IdbDatabase, JsValue> {
    let request = request_database(name, version)?;
    request.set_onupgradeneeded(Some(&handler(upgrade)));
    let database: IdbDatabase = result(&request).await?.dyn_into()?;
    // Another tab wants to delete or upgrade the database: let it.
    database.set_onversionchange(Some(&handler(|target| {
        if let Ok(database) = target.dyn_into::<IdbDatabase>() {
            database.close();
        }
    })));
    Ok(database)
}

/// The database that is to be upgraded.
pub(super) fn upgraded(request: EventTarget) -> Option<IdbDatabase> {
    let request = request.dyn_into::<IdbOpenDbRequest>().ok()?;
    request.result().ok()?.dyn_into().ok()
}

/// The record of `key`, or an array of all keys; `None` if there is no such record.
pub(super) async fn read(
    database: &IdbDatabase,
    store: &str,
    key: Option<&JsValue>,
) -> Result<Option<JsValue>, JsValue> {
    let store = database.transaction_with_str(store)?.object_store(store)?;
    let request = match key {
        Some(key) => store.get(key)?,
        None => store.get_all_keys()?,
    };
    result(&request).await.map(present)
}

/// Makes all changes, each to an object store and a key, or none of them. False if the transaction was aborted.
pub(super) async fn change(
    database: &IdbDatabase,
    changes: &[(&str, &JsValue, Change<'_>)],
) -> Result<bool, JsValue> {
    let stores: Array = changes
        .iter()
        .map(|(store, ..)| JsValue::from_str(store))
        .collect();
    let mode = IdbTransactionMode::Readwrite;
    let transaction = database.transaction_with_str_sequence_and_mode(&stores, mode)?;
    for (store, key, change) in changes {
        let store = transaction.object_store(store)?;
        let updated;
        let value = match change {
            Change::Put(value) => Some(*value),
            Change::Update(next) => {
                let current = store.get(key)?;
                updated = next(present(result(&current).await?));
                if updated.is_none() {
                    continue;
                }
                updated.as_ref()
            }
            Change::Delete | Change::Clear => None,
        };
        let request = match (value, change) {
            (Some(value), _) => store.put_with_key(value, key)?,
            (None, Change::Clear) => store.clear()?,
            (None, _) => store.delete(key)?,
        };
        result(&request).await?;
    }
    Ok(is_committed(&transaction).await)
}

fn present(value: JsValue) -> Option<JsValue> {
    (!value.is_null() && !value.is_undefined()).then_some(value)
}

/// What a request brings.
async fn result(request: &IdbRequest) -> Result<JsValue, JsValue> {
    let done = event(&|listener| {
        request.set_onsuccess(Some(listener));
        request.set_onerror(Some(listener));
    });
    done.await?;
    match request.error()? {
        Some(error) => Err(error.into()),
        None => request.result(),
    }
}

async fn is_committed(transaction: &IdbTransaction) -> bool {
    let done = event(&|listener| {
        transaction.set_oncomplete(Some(listener));
        transaction.set_onabort(Some(listener));
    });
    let event = done.await.map(JsValue::unchecked_into::<Event>);
    event.is_ok_and(|event| event.type_() == "complete")
}

/// The event that the listener gets. Nothing rejects it.
fn event(listen: &dyn Fn(&Function)) -> JsFuture {
    Promise::new(&mut |resolve, _| listen(&resolve)).into()
}

/// A listener that lives as long as what it listens to; it gets that.
fn handler(handle: fn(EventTarget)) -> Function {
    let listener = Closure::<dyn Fn(Event)>::new(move |event: Event| {
        if let Some(target) = event.target() {
            handle(target);
        }
    });
    listener.into_js_value().unchecked_into()
}
