//! A map as a sorted list.
//!
//! Metadata is read once, in the order of its keys, and looked up afterwards. A list does that in a fraction of the
//! code of a search tree, and every page downloads the code. Inserting between others moves those behind it.

use alloc::vec::{self, Vec};
use core::borrow::Borrow;
use core::ops::Index;
use core::slice;

/// Values by key, in the order of the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Map<K, V>(Vec<(K, V)>);

impl<K, V> Map<K, V> {
    /// Nothing.
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// A list that is in order already and has no key twice.
    pub(crate) fn from_sorted(entries: Vec<(K, V)>) -> Self {
        Self(entries)
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Keys and values, by key.
    pub fn iter(&self) -> Iter<'_, K, V> {
        self.0.iter().map(|(key, value)| (key, value))
    }

    /// The keys in order.
    pub fn keys(&self) -> impl DoubleEndedIterator<Item = &K> {
        self.0.iter().map(|(key, _)| key)
    }

    /// The values, by key.
    pub fn values(&self) -> impl DoubleEndedIterator<Item = &V> {
        self.0.iter().map(|(_, value)| value)
    }

    /// Takes everything out.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// As [`iter`](Self::iter), with values to be changed.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (&K, &mut V)> {
        self.0.iter_mut().map(|(key, value)| (&*key, value))
    }

    /// Keeps the entries that `keep` says, asked in order.
    pub fn retain(&mut self, mut keep: impl FnMut(&K, &V) -> bool) {
        self.0.retain(|(key, value)| keep(key, value));
    }
}

impl<K: Ord, V> Map<K, V> {
    /// The value of `key`.
    pub fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.0.get(at).map(|(_, value)| value)
    }

    /// The value of `key`, to be changed.
    pub fn get_mut<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<&mut V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        self.0.get_mut(at).map(|(_, value)| value)
    }

    /// Whether there is a value of `key`.
    pub fn contains_key<Q: Ord + ?Sized>(&self, key: &Q) -> bool
    where
        K: Borrow<Q>,
    {
        self.find(key).is_ok()
    }

    /// Puts a value in and returns the one that had the key before.
    pub fn insert(&mut self, key: K, value: V) -> Option<V> {
        match self.find(&key) {
            Ok(at) => {
                let entry = self.0.get_mut(at)?;
                Some(core::mem::replace(&mut entry.1, value))
            }
            Err(at) => {
                self.0.insert(at, (key, value));
                None
            }
        }
    }

    /// Takes a value out.
    pub fn remove<Q: Ord + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        let at = self.find(key).ok()?;
        Some(self.0.remove(at).1)
    }

    /// The value of `key`, which is `new` where there was none.
    pub fn get_or_insert_with(&mut self, key: K, new: impl FnOnce() -> V) -> &mut V {
        let at = match self.find(&key) {
            Ok(at) => at,
            Err(at) => {
                self.0.insert(at, (key, new()));
                at
            }
        };
        &mut self.0[at].1
    }

    /// Where a key is, or where it belongs.
    fn find<Q: Ord + ?Sized>(&self, key: &Q) -> Result<usize, usize>
    where
        K: Borrow<Q>,
    {
        self.0
            .binary_search_by(|(other, _)| other.borrow().cmp(key))
    }
}

/// The items in order; in n log n steps, however a hostile list is ordered, and in a tenth of the code of the
/// standard library's sorts, which are for lists that take long to sort.
pub fn sorted<T: Ord>(mut items: Vec<T>) -> Vec<T> {
    heap_sort(&mut items);
    items
}

/// What sorting asks of a list, so that one sort does for lists of everything.
trait Sortable {
    fn count(&self) -> usize;
    /// Whether one item belongs before another.
    fn is_before(&self, one: usize, other: usize) -> bool;
    fn exchange(&mut self, one: usize, other: usize);
}

impl<T: Ord> Sortable for Vec<T> {
    fn count(&self) -> usize {
        self.len()
    }

    fn is_before(&self, one: usize, other: usize) -> bool {
        self.get(one) < self.get(other)
    }

    fn exchange(&mut self, one: usize, other: usize) {
        self.swap(one, other);
    }
}

/// Heapsort: the first part of the list is a heap, whose largest item goes to its end.
fn heap_sort(items: &mut dyn Sortable) {
    let count = items.count();
    for top in (0..count / 2).rev() {
        sift_down(items, top, count);
    }
    for end in (1..count).rev() {
        items.exchange(0, end);
        sift_down(items, 0, end);
    }
}

/// Moves an item down to where nothing below it is larger.
fn sift_down(items: &mut dyn Sortable, mut at: usize, end: usize) {
    loop {
        let mut child = 2 * at + 1;
        if child + 1 < end && items.is_before(child, child + 1) {
            child += 1;
        }
        if child >= end || !items.is_before(at, child) {
            return;
        }
        items.exchange(at, child);
        at = child;
    }
}

/// Whether no item is there twice.
pub(crate) fn are_distinct(items: Vec<&[u8]>) -> bool {
    sorted(items).is_sorted_by(|one, other| one < other)
}

/// What [`Map::iter`] returns.
pub type Iter<'a, K, V> =
    core::iter::Map<slice::Iter<'a, (K, V)>, fn(&'a (K, V)) -> (&'a K, &'a V)>;

impl<K, V> Default for Map<K, V> {
    fn default() -> Self {
        Self::new()
    }
}

impl<K: Ord, V> FromIterator<(K, V)> for Map<K, V> {
    /// The last value of each key.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(entries: I) -> Self {
        let mut map = Self::new();
        for (key, value) in entries {
            map.insert(key, value);
        }
        map
    }
}

impl<K: Ord, V> Extend<(K, V)> for Map<K, V> {
    fn extend<I: IntoIterator<Item = (K, V)>>(&mut self, entries: I) {
        for (key, value) in entries {
            self.insert(key, value);
        }
    }
}

impl<K: Ord, V, const N: usize> From<[(K, V); N]> for Map<K, V> {
    fn from(entries: [(K, V); N]) -> Self {
        entries.into_iter().collect()
    }
}

impl<K, V> IntoIterator for Map<K, V> {
    type Item = (K, V);
    type IntoIter = vec::IntoIter<(K, V)>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, K, V> IntoIterator for &'a Map<K, V> {
    type Item = (&'a K, &'a V);
    type IntoIter = Iter<'a, K, V>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<K: Ord + Borrow<Q>, Q: Ord + ?Sized, V> Index<&Q> for Map<K, V> {
    type Output = V;

    /// For keys that are there.
    fn index(&self, key: &Q) -> &V {
        match self.find(key) {
            Ok(at) => &self.0[at].1,
            Err(at) => panic!("no such key; it would be at {at}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_in_order_and_unlike() {
        let mut map: Map<&str, u8> = [("b", 1), ("a", 2), ("b", 3)].into();
        assert_eq!(map.iter().collect::<Vec<_>>(), [(&"a", &2), (&"b", &3)]);
        assert_eq!(map.insert("a", 4), Some(2));
        assert_eq!(map.insert("c", 5), None);
        assert_eq!(map.remove("b"), Some(3));
        assert_eq!(map.remove("b"), None);
        assert_eq!((map.get("a"), map.get("b")), (Some(&4), None));
        *map.get_or_insert_with("b", || 6) += 1;
        *map.get_or_insert_with("a", || 6) += 1;
        assert_eq!(map.values().collect::<Vec<_>>(), [&5, &7, &5]);
        map.retain(|key, _| *key != "b");
        assert_eq!(map.keys().collect::<Vec<_>>(), [&"a", &"c"]);
    }
}
