//! Which modules of a release import which others, read from their sources. No source is run.
//!
//! An import is executed with its module at its top, also inside `if`, `try`, `with`, loops, `match` and class bodies;
//! inside of functions it is deferred; under `if TYPE_CHECKING` it does not count. A source with syntax errors
//! gives what can be read in spite of them: its error is for whoever imports it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io;
use std::num::NonZero;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use ruff_python_ast::{BoolOp, ExceptHandler, Expr, Stmt, UnaryOp};
use ruff_python_parser::{Mode, ParseOptions, parse_unchecked};
use webimport_core::closure::module_name;

use crate::together::Together;

/// Bytes of stack for a parser. The parser grows it by itself; taking a deep syntax tree down does not.
const STACK: usize = 512 * 1024 * 1024;

/// The paths of the modules that each module imports, by its path. What imports nothing is left out.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// The imports of a release.
#[derive(Debug, Default)]
pub(crate) struct Imports {
    /// What is imported with the module.
    pub(crate) executed: Graph,
    /// What functions of the module import: it may be needed soon after.
    pub(crate) deferred: Graph,
}

impl Imports {
    /// Which modules are always needed together.
    pub(crate) fn together(&self) -> Together<'_> {
        Together::of(&self.executed)
    }
}

/// Reads the imports of all sources among `files`, on all cores.
pub(crate) fn read_all(files: &BTreeMap<String, Vec<u8>>) -> io::Result<Imports> {
    let mut modules: HashMap<String, Vec<&str>> = HashMap::new();
    let mut sources: Vec<(&str, String, &[u8])> = Vec::new();
    for (path, content) in files {
        if let Some(name) = module_name(path) {
            if is_source(path) {
                sources.push((path, name.clone(), content));
            }
            modules.entry(name).or_default().push(path);
        }
    }
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = Imports::default();
        while let Some((path, name, content)) = sources.get(next.fetch_add(1, Ordering::Relaxed)) {
            let (executed, deferred): (Vec<_>, Vec<_>) =
                read(content).into_iter().partition(|it| !it.is_deferred);
            for (graph, imports) in [
                (&mut found.executed, executed),
                (&mut found.deferred, deferred),
            ] {
                let files = resolve(path, name, &imports, &modules);
                if !files.is_empty() {
                    graph.insert((*path).to_owned(), files);
                }
            }
        }
        found
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let threads = threads.min(sources.len().max(1));
    thread::scope(|scope| {
        let spawn = |_| {
            thread::Builder::new()
                .stack_size(STACK)
                .spawn_scoped(scope, work)
        };
        let workers = (0..threads).map(spawn).collect::<io::Result<Vec<_>>>()?;
        let mut all = Imports::default();
        for worker in workers {
            let found = worker
                .join()
                .map_err(|_| io::Error::other("reading the imports of a source failed"))?;
            all.executed.extend(found.executed);
            all.deferred.extend(found.deferred);
        }
        Ok(all)
    })
}

/// Whether the file is a Python source, by its name.
pub(crate) fn is_source(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, own)| own == "py")
}

/// The files of the modules that one source imports, itself left out.
fn resolve(
    path: &str,
    name: &str,
    imports: &[Import],
    modules: &HashMap<String, Vec<&str>>,
) -> BTreeSet<String> {
    let is_package = path.rsplit('/').next() == Some("__init__.py");
    let package = match name.rsplit_once('.') {
        _ if is_package => name,
        Some((package, _)) => package,
        None => "",
    };
    let mut found = BTreeSet::new();
    let mut add = |files: &Vec<&str>| {
        found.extend(
            files
                .iter()
                .filter(|file| **file != path)
                .map(|file| (*file).to_owned()),
        );
    };
    for import in imports {
        let Some(base) = base(import, package) else {
            continue;
        };
        // Python imports what there is of `a.b.c` before it fails.
        let mut prefix = base.as_str();
        while !prefix.is_empty() {
            if let Some(files) = modules.get(prefix) {
                add(files);
                break;
            }
            prefix = prefix.rsplit_once('.').map_or("", |(parent, _)| parent);
        }
        for name in &import.names {
            let name = if base.is_empty() {
                name.clone()
            } else {
                format!("{base}.{name}")
            };
            if let Some(files) = modules.get(&name) {
                add(files);
            }
        }
    }
    found
}

/// The absolute name of the module that is named before `import`; `None` if it would be above the top.
fn base(import: &Import, package: &str) -> Option<String> {
    if import.level == 0 {
        return Some(import.module.clone());
    }
    if package.is_empty() {
        return None;
    }
    let mut package = package;
    for _ in 1..import.level {
        package = package.rsplit_once('.')?.0;
    }
    Some(if import.module.is_empty() {
        package.to_owned()
    } else {
        format!("{package}.{}", import.module)
    })
}

/// `import module`, or `from module import names` with `level` dots before the module.
#[derive(Debug, Default, PartialEq, Eq)]
struct Import {
    module: String,
    names: Vec<String>,
    level: u32,
    /// Inside of a function.
    is_deferred: bool,
}

/// The imports in a source.
fn read(content: &[u8]) -> Vec<Import> {
    // Every encoding that Python takes for a source writes ASCII as ASCII, but for a few that nobody uses; what is
    // lost of the rest is inside strings and comments.
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let source = String::from_utf8_lossy(content);
    if !source.contains("import") {
        return Vec::new();
    }
    let parsed = parse_unchecked(&source, ParseOptions::from(Mode::Module));
    let Some(parsed) = parsed.try_into_module() else {
        return Vec::new();
    };
    let mut imports = Vec::new();
    let mut open: Vec<(&[Stmt], bool)> = vec![(parsed.suite(), false)];
    while let Some((body, is_deferred)) = open.pop() {
        let mut bodies: Vec<&[Stmt]> = Vec::new();
        for statement in body {
            match statement {
                Stmt::Import(it) => imports.extend(it.names.iter().map(|alias| Import {
                    module: alias.name.to_string(),
                    is_deferred,
                    ..Import::default()
                })),
                Stmt::ImportFrom(it) => imports.push(Import {
                    module: it
                        .module
                        .as_ref()
                        .map(ToString::to_string)
                        .unwrap_or_default(),
                    names: it
                        .names
                        .iter()
                        .map(|alias| alias.name.to_string())
                        .collect(),
                    level: it.level,
                    is_deferred,
                }),
                Stmt::FunctionDef(it) => open.push((&it.body, true)),
                Stmt::If(it) => {
                    let mut checking = Checking::of(&it.test);
                    if checking != Checking::Only {
                        bodies.push(&it.body);
                    }
                    for clause in &it.elif_else_clauses {
                        // What follows `if not TYPE_CHECKING` is for type checkers.
                        if checking == Checking::Never {
                            break;
                        }
                        checking = clause.test.as_ref().map_or(Checking::Maybe, Checking::of);
                        if checking != Checking::Only {
                            bodies.push(&clause.body);
                        }
                    }
                }
                Stmt::Try(it) => {
                    bodies.extend([&*it.body, &*it.orelse, &*it.finalbody]);
                    for handler in &it.handlers {
                        let ExceptHandler::ExceptHandler(handler) = handler;
                        bodies.push(&handler.body);
                    }
                }
                Stmt::With(it) => bodies.push(&it.body),
                Stmt::For(it) => bodies.extend([&*it.body, &*it.orelse]),
                Stmt::While(it) => bodies.extend([&*it.body, &*it.orelse]),
                Stmt::Match(it) => bodies.extend(it.cases.iter().map(|case| &*case.body)),
                Stmt::ClassDef(it) => bodies.push(&it.body),
                _ => {}
            }
        }
        open.extend(bodies.into_iter().map(|body| (body, is_deferred)));
    }
    imports
}

/// Whether a condition holds for type checkers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Checking {
    /// Only for them.
    Only,
    /// Never for them.
    Never,
    Maybe,
}

impl Checking {
    fn of(test: &Expr) -> Self {
        match test {
            Expr::Name(name) if name.id.as_str() == "TYPE_CHECKING" => Self::Only,
            Expr::Attribute(it) if it.attr.as_str() == "TYPE_CHECKING" => Self::Only,
            Expr::UnaryOp(it) if it.op == UnaryOp::Not && is_constant(&it.operand) => Self::Never,
            Expr::BoolOp(it) if it.op == BoolOp::And && it.values.iter().any(is_constant) => {
                Self::Only
            }
            _ => Self::Maybe,
        }
    }
}

fn is_constant(test: &Expr) -> bool {
    match test {
        Expr::Name(name) => name.id.as_str() == "TYPE_CHECKING",
        Expr::Attribute(it) => it.attr.as_str() == "TYPE_CHECKING",
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        files
            .iter()
            .map(|(path, text)| ((*path).to_owned(), text.as_bytes().to_vec()))
            .collect()
    }

    /// What `pkg/sub/a.py` imports if it has this content: with itself, and in functions.
    fn both(content: impl AsRef<[u8]>) -> (String, String) {
        let mut files = files(&[
            ("pkg/__init__.py", ""),
            ("pkg/top.py", ""),
            ("pkg/sub/__init__.py", ""),
            ("pkg/sub/b.py", ""),
            ("pkg/sub/fast.cpython-314-wasm32-emscripten.so", ""),
            ("pkg/sub/fast.cpython-313-wasm32-emscripten.so", ""),
            ("pkg/data.txt", ""),
            ("space/x.py", ""),
            ("other.py", ""),
        ]);
        files.insert("pkg/sub/a.py".into(), content.as_ref().to_vec());
        let all = read_all(&files).unwrap();
        let shown = |graph: &Graph| {
            let found = graph.get("pkg/sub/a.py").cloned().unwrap_or_default();
            found.into_iter().collect::<Vec<_>>().join(" ")
        };
        (shown(&all.executed), shown(&all.deferred))
    }

    fn imported(content: impl AsRef<[u8]>) -> String {
        both(content).0
    }

    #[test]
    fn imports_are_resolved_to_files_of_the_release() {
        for (source, expected) in [
            ("import other", "other.py"),
            ("import other as o, pkg.top", "other.py pkg/top.py"),
            ("import pkg.sub.b", "pkg/sub/b.py"),
            ("import os, numpy.linalg", ""),
            ("import pkg.top.missing", "pkg/top.py"),
            ("from pkg import top", "pkg/__init__.py pkg/top.py"),
            ("from pkg import VERSION", "pkg/__init__.py"),
            ("from pkg import *", "pkg/__init__.py"),
            ("from pkg import data", "pkg/__init__.py"),
            ("from . import b, a", "pkg/sub/__init__.py pkg/sub/b.py"),
            ("from .b import thing", "pkg/sub/b.py"),
            ("from .. import top", "pkg/__init__.py pkg/top.py"),
            ("from ..top import x", "pkg/top.py"),
            ("from ... import other", ""),
            ("from .... import other", ""),
            ("from space import x", "space/x.py"),
            ("import space", ""),
            (
                "from .fast import go",
                "pkg/sub/fast.cpython-313-wasm32-emscripten.so pkg/sub/fast.cpython-314-wasm32-emscripten.so",
            ),
        ] {
            assert_eq!(imported(source), expected, "{source}");
        }
    }

    #[test]
    fn a_package_imports_relative_to_itself() {
        let files = files(&[
            ("pkg/__init__.py", "from . import a\nfrom .a import x\n"),
            ("pkg/a.py", "from . import b"),
            ("pkg/b.py", ""),
            ("top.py", "from . import pkg\nimport top\nimport pkg.b"),
        ]);
        let graph = read_all(&files).unwrap().executed;
        let shown: Vec<String> = graph
            .iter()
            .map(|(path, to)| {
                format!(
                    "{path}: {}",
                    to.iter().cloned().collect::<Vec<_>>().join(" ")
                )
            })
            .collect();
        assert_eq!(
            shown,
            [
                "pkg/__init__.py: pkg/a.py",
                "pkg/a.py: pkg/__init__.py pkg/b.py",
                "top.py: pkg/b.py"
            ]
        );
    }

    #[test]
    fn imports_count_where_they_are_executed_with_the_module() {
        for executed in [
            "if x:\n    import other",
            "if x:\n    pass\nelif y:\n    import other",
            "if x:\n    pass\nelse:\n    import other",
            "try:\n    import other\nexcept ImportError:\n    pass",
            "try:\n    pass\nexcept ImportError:\n    import other",
            "try:\n    pass\nfinally:\n    import other",
            "try:\n    x\nexcept* E:\n    pass\nelse:\n    import other",
            "with x:\n    import other",
            "for x in y:\n    pass\nelse:\n    import other",
            "while x:\n    import other",
            "match x:\n    case 1:\n        import other",
            "class A:\n    class B:\n        import other",
            "if TYPE_CHECKING:\n    pass\nelse:\n    import other",
            "if not TYPE_CHECKING:\n    import other",
            "x = 1; import other",
        ] {
            let (with_it, deferred) = both(executed);
            assert_eq!((&*with_it, &*deferred), ("other.py", ""), "{executed}");
        }
        for later in [
            "def f():\n    import other",
            "async def f():\n    import other",
            "class A:\n    def f(self):\n        import other",
            "def f():\n    class A:\n        if x:\n            import other",
        ] {
            let (with_it, deferred) = both(later);
            assert_eq!((&*with_it, &*deferred), ("", "other.py"), "{later}");
        }
        for not in [
            "def f():\n    if TYPE_CHECKING:\n        import other",
            "lambda: __import__('other')",
            "if TYPE_CHECKING:\n    import other",
            "if typing.TYPE_CHECKING:\n    import other",
            "if TYPE_CHECKING and x:\n    import other",
            "if x:\n    pass\nelif TYPE_CHECKING:\n    import other",
            "if not TYPE_CHECKING:\n    pass\nelse:\n    import other",
            "'''\nimport other\n'''",
            "# import other",
        ] {
            assert_eq!(both(not), <(String, String)>::default(), "{not}");
        }
    }

    #[test]
    fn syntax_of_the_newest_python_is_read() {
        for source in [
            "type X[T = int] = list[T]\nimport other",
            "x = t'{y!r:>{z}}'\nimport other",
            "try:\n    pass\nexcept A, B:\n    import other",
            "def f[**P](x: P.args, /) -> None: ...\nimport other",
            "f'{'nested'}'\nimport other",
            "print(x := 1)\nimport other",
        ] {
            assert_eq!(imported(source), "other.py", "{source}");
        }
    }

    #[test]
    fn sources_with_errors_or_other_encodings_give_what_can_be_read() {
        for source in [
            &b"\xef\xbb\xbfimport other\n"[..],
            b"# -*- coding: latin-1 -*-\nx = '\xe9'\nimport other\n",
            b"#!/usr/bin/python\n# vim: set fileencoding=cp1252 :\nimport other # \x80\n",
            b"import other\r\nx = 1\r\n",
            b"import other\rx = 1\r",
            b"import other\ndef (\n",
            b"print 'python 2'\nimport other\n",
        ] {
            let shown = String::from_utf8_lossy(source);
            assert_eq!(imported(source), "other.py", "{shown}");
        }
        for source in [
            &b"\0\0\0"[..],
            b"import other".map(|it| [it, 0]).as_flattened(),
            b"",
        ] {
            imported(source);
        }
    }

    #[test]
    fn deep_nesting_ends_nothing() {
        for part in [
            "(",
            "[",
            "-",
            "not ",
            "x.",
            "x(",
            "f'{",
            "lambda: ",
            "{1:",
            "x if y else ",
        ] {
            imported(format!("import other\nx = {}", part.repeat(5_000)));
        }
        let lines: Vec<String> = (0..2_000)
            .map(|depth| " ".repeat(depth) + "if x:\n")
            .collect();
        let blocks = lines.concat() + &" ".repeat(2_000) + "import other\n";
        assert_eq!(imported(blocks), "other.py");
        let clauses = "elif x:\n    pass\n".repeat(10_000);
        assert_eq!(
            imported(format!("if x:\n    pass\n{clauses}import other\n")),
            "other.py"
        );
        assert_eq!(
            imported(format!("x = {}1\nimport other\n", "1 + ".repeat(50_000))),
            "other.py"
        );
    }
}
