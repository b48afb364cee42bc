//! Which modules of a release are always needed together.
//!
//! A module needs what it imports when it is executed, and the packages around it. Modules that need each other, directly
//! or by way of others, come together whichever of them is asked for: a package whose `__init__` imports what is inside of
//! it, for one. In an object of their own they cost a reader one request, and nothing that it has no use for.

use std::collections::{BTreeSet, HashMap};

use webimport_core::closure::module_name;

use crate::imports::{Graph, is_source};

/// Modules that need each other.
#[derive(Debug, Default)]
pub(crate) struct Together<'a>(HashMap<&'a str, usize>);

impl<'a> Together<'a> {
    pub(crate) fn of(imports: &'a Graph) -> Self {
        // What neither imports nor is imported is needed by itself.
        let paths = imports.keys().chain(imports.values().flatten());
        let paths: BTreeSet<&str> = paths
            .map(String::as_str)
            .filter(|path| is_source(path) && module_name(path).is_some())
            .collect();
        let places: HashMap<&str, usize> = paths.iter().copied().zip(0..).collect();
        let needs: Vec<Vec<usize>> = paths
            .iter()
            .map(|path| {
                let imported = imports.get(*path).into_iter().flatten();
                let imported = imported.filter_map(|path| places.get(&**path).copied());
                imported.chain(package(path, &places)).collect()
            })
            .collect();
        let groups = components(&needs);
        let mut sizes = vec![0; paths.len()];
        for group in &groups {
            sizes[*group] += 1;
        }
        let grouped = paths.into_iter().zip(groups);
        Self(grouped.filter(|(_, group)| sizes[*group] > 1).collect())
    }

    /// The group of a source, or of its bytecode; `None` if it may be needed by itself.
    pub(crate) fn group(&self, path: &str) -> Option<usize> {
        if let Some(group) = self.0.get(path) {
            return Some(*group);
        }
        let (folder, name) = path.rsplit_once("__pycache__/")?;
        let (stem, _) = name.split_once('.')?;
        self.0.get(&*format!("{folder}{stem}.py")).copied()
    }
}

/// The nearest regular package around a module, which brings those around it.
fn package(path: &str, places: &HashMap<&str, usize>) -> Option<usize> {
    let own = places.get(path);
    let ends = path.rmatch_indices('/').map(|(at, _)| &path[..at]);
    let inits = ends.filter_map(|folder| places.get(&*format!("{folder}/__init__.py")));
    inits.copied().find(|place| Some(place) != own)
}

/// The strongly connected component of each node, by Tarjan's algorithm without recursion.
fn components(edges: &[Vec<usize>]) -> Vec<usize> {
    const OPEN: usize = usize::MAX;
    // From 1 on, in the order in which nodes were come to.
    let mut order = vec![0; edges.len()];
    // The first node on the path that can be come to from here.
    let mut low = vec![0; edges.len()];
    let mut component = vec![OPEN; edges.len()];
    let (mut next, mut found) = (1, 0);
    let mut path = Vec::new();
    for start in 0..edges.len() {
        // With how many of its edges were followed.
        let mut calls = if order[start] == 0 {
            vec![(start, 0)]
        } else {
            Vec::new()
        };
        while let Some((node, followed)) = calls.pop() {
            if followed == 0 {
                (order[node], low[node]) = (next, next);
                next += 1;
                path.push(node);
            }
            if let Some(target) = edges[node].get(followed) {
                calls.push((node, followed + 1));
                if order[*target] == 0 {
                    calls.push((*target, 0));
                } else if component[*target] == OPEN {
                    low[node] = low[node].min(order[*target]);
                }
                continue;
            }
            if low[node] == order[node] {
                while let Some(last) = path.pop() {
                    component[last] = found;
                    if last == node {
                        break;
                    }
                }
                found += 1;
            }
            if let Some((from, _)) = calls.last() {
                low[*from] = low[*from].min(low[node]);
            }
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The groups of more than one, in order.
    fn groups(modules: &[(&str, &[&str])]) -> Vec<Vec<String>> {
        let graph: Graph = modules
            .iter()
            .map(|(path, to)| {
                let to = to.iter().map(|it| (*it).to_owned()).collect();
                ((*path).to_owned(), to)
            })
            .collect();
        let together = Together::of(&graph);
        let mut groups: HashMap<usize, Vec<String>> = HashMap::new();
        for (path, _) in modules {
            if let Some(group) = together.group(path) {
                groups.entry(group).or_default().push((*path).to_owned());
            }
        }
        let mut groups: Vec<_> = groups.into_values().collect();
        groups.sort();
        groups
    }

    #[test]
    fn a_package_is_together_with_what_it_imports_of_itself() {
        let found = groups(&[
            ("a/__init__.py", &["a/x.py", "b.py"]),
            ("a/in/__init__.py", &[]),
            ("a/in/z.py", &["a/x.py"]),
            ("a/x.py", &["a/in/__init__.py"]),
            ("a/y.py", &["a/x.py"]),
            ("b.py", &[]),
        ]);
        assert_eq!(found, [["a/__init__.py", "a/in/__init__.py", "a/x.py"]]);
    }

    #[test]
    fn modules_that_import_each_other_are_together_and_others_are_not() {
        let found = groups(&[
            ("a.py", &["b.py"]),
            ("b.py", &["c.py"]),
            ("c.py", &["a.py", "d.py"]),
            ("d.py", &[]),
            ("e.py", &["a.py"]),
            ("n/x.py", &["n/y.py"]),
            ("n/y.py", &["n/x.py"]),
            ("self.py", &["self.py"]),
        ]);
        assert_eq!(
            found,
            [&["a.py", "b.py", "c.py"][..], &["n/x.py", "n/y.py"]]
        );
    }

    #[test]
    fn bytecode_is_grouped_as_its_source() {
        let graph: Graph = [("a/__init__.py".into(), ["a/x.py".into()].into())].into();
        let together = Together::of(&graph);
        let group = together.group("a/x.py");
        assert!(group.is_some());
        for path in [
            "a/__init__.py",
            "a/__pycache__/x.cpython-314.pyc",
            "a/__pycache__/__init__.cpython-313.pyc",
        ] {
            assert_eq!(together.group(path), group, "{path}");
        }
        for path in [
            "a/y.py",
            "a/__pycache__/y.cpython-314.pyc",
            "a/x.txt",
            "x.py",
        ] {
            assert_eq!(together.group(path), None, "{path}");
        }
    }

    #[test]
    fn a_long_chain_of_imports_ends_nothing() {
        let paths: Vec<String> = (0..200_000).map(|index| format!("m{index}.py")).collect();
        let graph: Graph = (0..paths.len())
            .map(|at| {
                (
                    paths[at].clone(),
                    [paths[(at + 1) % paths.len()].clone()].into(),
                )
            })
            .collect();
        let together = Together::of(&graph);
        let group = together.group(&paths[0]);
        assert!(group.is_some());
        assert!(paths.iter().all(|path| together.group(path) == group));
    }
}
