//! Which objects of a release an interpreter needs first: those of the modules that are asked for and of what these
//! import.
//!
//! Reads a manifest that was validated, with the shards that were added, and nothing else. Where what is asked for may be
//! in other shards, these are named, and it is asked again when they are there; the answer is then the one of a manifest
//! that lists everything itself. The work grows with the number of files and import edges, at each of which it looks
//! once; nothing recurses. `docs/format.md` says what belongs to a module.

use alloc::borrow::ToOwned;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use crate::error::ResolveError;
use crate::manifest::{
    FileEntry, Manifest, cached, has_extension, is_identifier, module_stem, split,
};
use crate::map::{Map, sorted};
use crate::names::CacheTag;

/// What to fetch of a release, by index, and when. No object is in two lists, which are ascending.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Plan {
    /// Objects that have to be there before the first import.
    pub now: Vec<usize>,
    /// Of a whole release, what other imports need: for readers that can wait in the middle of an import, it may follow.
    pub others: Vec<usize>,
    /// Objects that may follow: sources behind bytecode, for tracebacks and for readers of sources.
    pub sources: Vec<usize>,
}

/// What is known of a plan.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Planned {
    /// All.
    Ready(Plan),
    /// These shards have to be added first; by index, ascending, at least one.
    Lacking(Vec<usize>),
}

impl Planned {
    /// The plan, if no shard is lacking: always, for a release without shards.
    pub fn ready(self) -> Option<Plan> {
        match self {
            Self::Ready(plan) => Some(plan),
            Self::Lacking(_) => None,
        }
    }
}

impl Manifest {
    /// What an interpreter with the cache tag `tag` needs to import `modules`, dotted names; if there are none,
    /// the entry modules, and without those all `modules` of the release.
    ///
    /// That is the closure of the modules under imports: the modules, their parent packages, the data files of each
    /// package among them, and the `.dist-info` folders. A namespace package stands for the regular packages and
    /// modules in it.
    ///
    /// # Errors
    /// [`ResolveError::UnknownModule`]; [`ResolveError::Bytecode`] for a release without source that has no
    /// bytecode for `tag`.
    pub fn plan(&self, tag: &CacheTag, modules: &[String]) -> Result<Planned, ResolveError> {
        if !self.source && !self.has_bytecode(tag) {
            return Err(ResolveError::Bytecode {
                name: self.name.to_string(),
                version: self.version.to_string(),
                known: self.tags(),
                tag: tag.to_string(),
            });
        }
        let starts = match (modules, &*self.entry) {
            ([], []) => &self.modules,
            ([], entry) => entry,
            (modules, _) => modules,
        };
        let layout = Layout::of(self);
        let view = View::new(self, &layout, tag);
        let mut walk = Walk::new(&view);
        for module in starts {
            // What nobody asked for by name may be for other interpreters alone.
            if !walk.start(module) && !modules.is_empty() {
                return Err(ResolveError::UnknownModule {
                    name: self.name.to_string(),
                    module: module.clone(),
                    known: self.modules.clone(),
                });
            }
        }
        Ok(match walk.closure() {
            Closure::Files(wanted) => Planned::Ready(view.plan(&wanted)),
            Closure::Lacking(shards) => Planned::Lacking(shards),
        })
    }

    /// The first entry module that no interpreter could import, whatever is in unknown shards. Files and objects have
    /// to be valid.
    pub fn missing_entry(&self) -> Option<&str> {
        let layout = Layout::of(self);
        let missing = |module: &&String| {
            layout.find(module) == Found::default()
                && layout.shard_of(module).is_none()
                && layout.shards_below(module).next().is_none()
        };
        self.entry.iter().find(missing).map(String::as_str)
    }

    /// The cache tags for which the release has bytecode, sorted.
    pub fn tags(&self) -> Vec<String> {
        if !self.shards.is_empty() {
            return self.tags.iter().map(ToString::to_string).collect();
        }
        let tags = self.objects.iter();
        let tags = tags.filter_map(|object| Some(object.tag.as_ref()?.to_string()));
        let mut tags = sorted(tags.collect());
        tags.dedup();
        tags
    }
}

/// The dotted name under which the file at `path` is imported, `pkg.a` for `pkg/a.py`; `None` if it is no
/// module. The path is where the file is mounted.
pub fn module_name(path: &str) -> Option<String> {
    let (folder, stem) = module_parts(path)?;
    let folder = folder.replace('/', ".");
    Some(match (&*folder, stem) {
        ("", _) => stem.to_owned(),
        (_, "__init__") => folder,
        _ => format!("{folder}.{stem}"),
    })
}

/// Folder and stem of a module file.
pub(crate) fn module_parts(path: &str) -> Option<(&str, &str)> {
    let (folder, file) = path.rsplit_once('/').unwrap_or(("", path));
    let stem = module_stem(file)?;
    (folder.is_empty() || folder.split('/').all(is_package_name)).then_some((folder, stem))
}

fn is_package_name(component: &str) -> bool {
    component != "__pycache__" && is_identifier(component)
}

/// The index of the folder that holds all others.
const ROOT: usize = 0;

#[derive(Debug)]
struct Folder<'a> {
    /// Without a slash at the end; empty for [`ROOT`].
    path: &'a str,
    parent: usize,
    /// Each component can be part of a dotted name.
    is_importable: bool,
    has_init: bool,
    has_module: bool,
}

/// A module file: where it is imported.
#[derive(Debug, Clone, Copy)]
struct Module<'a> {
    /// The folder in which it is mounted.
    folder: usize,
    stem: &'a str,
}

/// Folders and modules of a release, for every tag.
#[derive(Debug)]
struct Layout<'a> {
    manifest: &'a Manifest,
    /// Parents before children.
    folders: Vec<Folder<'a>>,
    /// The files by path. Those of each shard have an order of their own.
    order: Vec<usize>,
    /// The folders of the shards that are not known, in order, with the shards.
    unknown: Map<&'a str, usize>,
    /// By file.
    folder_of: Vec<usize>,
    /// By file: a source, an extension module, a `.pyc` that stands for its source.
    module_of: Vec<Option<Module<'a>>>,
}

/// What a dotted name stands for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Found {
    /// Files of the module, all tags.
    files: Vec<usize>,
    /// The folder of the package or namespace package.
    folder: Option<usize>,
}

impl<'a> Layout<'a> {
    fn of(manifest: &'a Manifest) -> Self {
        let unknown = manifest.unknown_shards().into_iter();
        let unknown = unknown.map(|index| (&*manifest.shards[index].folder, index));
        let mut layout = Self {
            manifest,
            order: in_order(manifest),
            // No folder is a shard twice.
            unknown: Map::from_sorted(sorted(unknown.collect())),
            folders: vec![Folder {
                path: "",
                parent: ROOT,
                is_importable: true,
                has_init: false,
                has_module: false,
            }],
            folder_of: vec![ROOT; manifest.files.len()],
            module_of: vec![None; manifest.files.len()],
        };
        // All files below a folder are neighbours.
        let mut current = ROOT;
        for place in 0..layout.order.len() {
            let at = layout.order[place];
            let file = &manifest.files[at];
            let folder = file.path.rsplit_once('/').map_or("", |(folder, _)| folder);
            current = layout.enter(current, folder);
            layout.folder_of[at] = current;
            let module = layout.module(file, current);
            if let Some(Module { folder, stem }) = module {
                let folder = &mut layout.folders[folder];
                folder.has_module = true;
                folder.has_init |= stem == "__init__" && !folder.path.is_empty();
            }
            layout.module_of[at] = module;
        }
        layout
    }

    /// The index of `folder`, added with its parents where they are new. `from` is where the file before is.
    fn enter(&mut self, from: usize, folder: &'a str) -> usize {
        let mut at = from;
        while !contains(self.folders[at].path, folder) {
            at = self.folders[at].parent;
        }
        while self.folders[at].path.len() < folder.len() {
            let start = match self.folders[at].path.len() {
                0 => 0,
                length => length + 1,
            };
            let end = folder[start..]
                .find('/')
                .map_or(folder.len(), |length| start + length);
            self.folders.push(Folder {
                path: &folder[..end],
                parent: at,
                is_importable: self.folders[at].is_importable
                    && is_package_name(&folder[start..end]),
                has_init: false,
                has_module: false,
            });
            at = self.folders.len() - 1;
        }
        at
    }

    fn module(&self, file: &'a FileEntry, folder: usize) -> Option<Module<'a>> {
        let name = file_name(&file.path);
        if self.manifest.objects[file.object].tag.is_none() {
            let stem = module_stem(name)?;
            return self.folders[folder]
                .is_importable
                .then_some(Module { folder, stem });
        }
        if self.manifest.source {
            return None;
        }
        let (_, stem, _) = cached(&file.path)?;
        let folder = self.folders[folder].parent;
        (is_identifier(stem) && self.folders[folder].is_importable)
            .then_some(Module { folder, stem })
    }

    /// The files and the folder that a dotted name stands for.
    fn find(&self, module: &str) -> Found {
        let mut found = Found::default();
        if !module.split('.').all(is_package_name) {
            return found;
        }
        let path = module.replace('.', "/");
        found.folder = self.folder(&path);
        if let Some(folder) = found.folder {
            self.collect(&path, "__init__", folder, &mut found.files);
        }
        let (parent, stem) = path.rsplit_once('/').unwrap_or(("", &path));
        if let Some(folder) = self.folder(parent) {
            self.collect(parent, stem, folder, &mut found.files);
        }
        found
    }

    /// Files that are imported as `stem` from `folder`, whose path is `path`. Two binary searches.
    fn collect(&self, path: &str, stem: &str, folder: usize, into: &mut Vec<usize>) {
        let slash = if path.is_empty() { "" } else { "/" };
        for cache in ["", "__pycache__/"] {
            let prefix = format!("{path}{slash}{cache}{stem}.");
            for at in self.range(&prefix) {
                let is_it = |it: Module<'_>| it.folder == folder && it.stem == stem;
                if self.module_of[at].is_some_and(is_it) {
                    into.push(at);
                }
            }
        }
    }

    fn folder(&self, path: &str) -> Option<usize> {
        if path.is_empty() {
            return Some(ROOT);
        }
        let first = self.range(&format!("{path}/")).next()?;
        let mut at = self.folder_of[first];
        while self.folders[at].path.len() > path.len() {
            at = self.folders[at].parent;
        }
        Some(at)
    }

    /// The files whose paths begin with `prefix`.
    fn range<'b>(&'b self, prefix: &'b str) -> impl Iterator<Item = usize> + 'b {
        let path = |at: usize| &*self.manifest.files[at].path;
        let first = self.order.partition_point(|at| path(*at) < prefix);
        let rest = self.order[first..].iter().copied();
        rest.take_while(move |at| path(*at).starts_with(prefix))
    }

    fn file(&self, path: &str) -> Option<usize> {
        let files = &self.manifest.files;
        let found = self
            .order
            .binary_search_by(|at| (*files[*at].path).cmp(path));
        Some(self.order[found.ok()?])
    }

    /// The unknown shard around a file or folder.
    fn shard_around(&self, path: &str) -> Option<usize> {
        let ends = path.match_indices('/').map(|(at, _)| at);
        ends.chain([path.len()])
            .find_map(|end| self.unknown.get(&path[..end]).copied())
    }

    /// The unknown shards in what would be a namespace package.
    fn shards_below<'b>(&'b self, module: &str) -> impl Iterator<Item = usize> + 'b {
        let path = module.replace('.', "/");
        let shards = self.unknown.iter();
        let below = shards.filter(move |(folder, _)| contains(&path, folder));
        below.map(|(_, shard)| *shard)
    }

    /// The unknown shard that has a say in what the dotted name stands for.
    fn shard_of(&self, module: &str) -> Option<usize> {
        let is_name = module.split('.').all(is_package_name);
        is_name.then(|| self.shard_around(&module.replace('.', "/")))?
    }
}

/// The files of a manifest by path.
fn in_order(manifest: &Manifest) -> Vec<usize> {
    if manifest.shards.is_empty() {
        return (0..manifest.files.len()).collect();
    }
    let paths = manifest.files.iter().map(|file| &*file.path);
    let paths = sorted(paths.zip(0..).collect());
    paths.into_iter().map(|(_, at)| at).collect()
}

/// Whether the folder `inner` is `outer` or below it.
pub(crate) fn contains(outer: &str, inner: &str) -> bool {
    inner
        .strip_prefix(outer)
        .is_some_and(|rest| outer.is_empty() || rest.is_empty() || rest.starts_with('/'))
}

fn file_name(path: &str) -> &str {
    split(path).1
}

/// A layout as the interpreter with one tag sees it.
struct View<'a> {
    layout: &'a Layout<'a>,
    tag: &'a CacheTag,
    /// By file: the bytecode that is loaded in place of a source.
    bytecode_of: Vec<Option<usize>>,
    /// By file: the interpreter would import it. It does not look at extension modules of other versions.
    importable: Vec<bool>,
    /// By object: it may follow, as it holds nothing but sources behind bytecode.
    may_follow: Vec<bool>,
}

impl<'a> View<'a> {
    fn new(manifest: &'a Manifest, layout: &'a Layout<'a>, tag: &'a CacheTag) -> Self {
        let mut bytecode: Vec<((usize, &str), usize)> = Vec::new();
        for (at, file) in manifest.files.iter().enumerate() {
            if manifest.objects[file.object].tag.as_ref() == Some(tag)
                && let Some((_, stem, _)) = cached(&file.path)
            {
                let folder = layout.folders[layout.folder_of[at]].parent;
                bytecode.push(((folder, stem), at));
            }
        }
        // No path is there twice.
        let bytecode = Map::from_sorted(sorted(bytecode));
        let mut bytecode_of = vec![None; manifest.files.len()];
        let mut may_follow: Vec<bool> = manifest
            .objects
            .iter()
            .map(|object| object.tag.is_none())
            .collect();
        for (at, file) in manifest.files.iter().enumerate() {
            let name = file_name(&file.path);
            let follows = if let Some(stem) = name.strip_suffix(".py") {
                bytecode_of[at] = bytecode.get(&(layout.folder_of[at], stem)).copied();
                bytecode_of[at].is_some()
            } else {
                has_extension(name, "pyi")
            };
            may_follow[file.object] &= follows;
        }
        let importable = |(file, module): (&FileEntry, &Option<Module<'_>>)| {
            module.is_some()
                && manifest.objects[file.object].is_for(tag)
                && !is_foreign(file_name(&file.path), tag)
        };
        Self {
            layout,
            tag,
            bytecode_of,
            importable: manifest
                .files
                .iter()
                .zip(&layout.module_of)
                .map(importable)
                .collect(),
            may_follow,
        }
    }

    /// Whether the file is not for another interpreter.
    fn is_for_tag(&self, file: usize) -> bool {
        let manifest = self.layout.manifest;
        manifest.objects[manifest.files[file].object].is_for(self.tag)
    }

    fn is_bytecode_of_a_source(&self, file: usize) -> bool {
        let manifest = self.layout.manifest;
        manifest.source && manifest.objects[manifest.files[file].object].tag.is_some()
    }

    /// The objects of the files that are wanted.
    fn plan(&self, wanted: &[bool]) -> Plan {
        let manifest = self.layout.manifest;
        let mut needed = vec![false; self.may_follow.len()];
        for (file, wanted) in manifest.files.iter().zip(wanted) {
            needed[file.object] |= wanted;
        }
        let mut plan = Plan::default();
        for (index, object) in manifest.objects.iter().enumerate() {
            let whole = !manifest.partial && object.is_for(self.tag);
            match (needed[index], self.may_follow[index]) {
                (true, false) => plan.now.push(index),
                (false, false) if whole => plan.others.push(index),
                (needed, true) if needed || whole => plan.sources.push(index),
                _ => {}
            }
        }
        plan
    }
}

/// Whether the file is an extension module for another version of Python.
fn is_foreign(name: &str, tag: &CacheTag) -> bool {
    name.strip_suffix(".so")
        .and_then(|name| name.split_once('.'))
        .is_some_and(|(_, suffix)| {
            suffix.starts_with("cpython-")
                && !suffix
                    .strip_prefix(tag.as_str())
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        })
}

/// The end of a walk.
enum Closure {
    /// By file: whether it is wanted.
    Files(Vec<bool>),
    /// The walk leads into these shards, ascending.
    Lacking(Vec<usize>),
}

/// A walk along import edges and to parent packages.
struct Walk<'a> {
    view: &'a View<'a>,
    /// Files to look at. Each gets here at most once.
    open: Vec<usize>,
    wanted: Vec<bool>,
    visited: Vec<bool>,
    /// Namespace packages that stand for what is in them.
    expanded: Vec<bool>,
    /// Folder and file of each `__init__`, by folder.
    inits: Vec<(usize, usize)>,
    /// Unknown shards that it leads into.
    lacking: Vec<usize>,
}

impl<'a> Walk<'a> {
    fn new(view: &'a View<'a>) -> Self {
        let Layout {
            folders, module_of, ..
        } = view.layout;
        let inits: Vec<(usize, usize)> = module_of
            .iter()
            .enumerate()
            .filter_map(|(at, module)| Some((module.as_ref()?, at)))
            .filter(|(module, at)| module.stem == "__init__" && view.importable[*at])
            .map(|(module, at)| (module.folder, at))
            .collect();
        let inits = sorted(inits);
        let mut walk = Self {
            view,
            open: Vec::new(),
            wanted: vec![false; module_of.len()],
            visited: vec![false; folders.len()],
            expanded: vec![false; folders.len()],
            inits,
            lacking: Vec::new(),
        };
        // Nothing is imported by importing the root.
        walk.visited[ROOT] = true;
        walk
    }

    /// Adds a module by its dotted name. Whether there is one, or may be in a shard.
    fn start(&mut self, module: &str) -> bool {
        if let Some(shard) = self.view.layout.shard_of(module) {
            self.lacking.push(shard);
            return true;
        }
        let Found { files, folder } = self.view.layout.find(module);
        let mut known = false;
        for file in files {
            if self.view.importable[file] {
                known = true;
                self.push(file);
            }
        }
        if !known && let Some(folder) = folder {
            known = true;
            self.visit(folder);
            self.expanded[folder] = true;
        }
        if !known {
            let before = self.lacking.len();
            self.lacking.extend(self.view.layout.shards_below(module));
            known = self.lacking.len() > before;
        }
        known
    }

    fn push(&mut self, file: usize) {
        if !self.wanted[file] {
            self.wanted[file] = true;
            self.open.push(file);
        }
    }

    /// The package and its parents, which Python imports before what is in it.
    fn visit(&mut self, folder: usize) {
        let mut at = folder;
        while !self.visited[at] {
            self.visited[at] = true;
            let first = self.inits.partition_point(|(folder, _)| *folder < at);
            for index in first..self.inits.len() {
                let (folder, file) = self.inits[index];
                if folder != at {
                    break;
                }
                self.push(file);
            }
            at = self.view.layout.folders[at].parent;
        }
    }

    /// What is wanted once everything is followed to its end.
    fn closure(mut self) -> Closure {
        self.expand();
        let layout = self.view.layout;
        while let Some(file) = self.open.pop() {
            if let Some(module) = layout.module_of[file] {
                self.visit(module.folder);
            }
            for target in &layout.manifest.files[file].imports {
                let target = *target as usize;
                if self.view.importable[target] {
                    self.push(target);
                }
            }
            for target in &layout.manifest.files[file].imports_elsewhere {
                if let Some(target) = layout.file(target) {
                    if self.view.importable[target] {
                        self.push(target);
                    }
                } else {
                    self.lacking.extend(layout.shard_around(target));
                }
            }
        }
        if !self.lacking.is_empty() {
            let mut lacking = sorted(self.lacking);
            lacking.dedup();
            return Closure::Lacking(lacking);
        }
        // What is no module comes with the package that it belongs to.
        let owners = owners(&layout.folders);
        for (file, folder) in layout.folder_of.iter().enumerate() {
            if layout.module_of[file].is_none() && !self.view.is_bytecode_of_a_source(file) {
                self.wanted[file] = self.view.is_for_tag(file)
                    && self.visited[owners[*folder]]
                    && !(layout.manifest.partial && is_record(&layout.manifest.files[file].path));
            }
        }
        for file in 0..self.wanted.len() {
            if self.wanted[file]
                && let Some(bytecode) = self.view.bytecode_of[file]
            {
                self.wanted[bytecode] = true;
            }
        }
        Closure::Files(self.wanted)
    }

    /// Adds what is in the namespace packages that were asked for.
    fn expand(&mut self) {
        let layout = self.view.layout;
        if !self.expanded.contains(&true) {
            return;
        }
        for (at, folder) in layout.folders.iter().enumerate().skip(1) {
            if self.expanded[folder.parent] && folder.parent != ROOT && !folder.has_init {
                self.expanded[at] = true;
            }
        }
        for (file, module) in layout.module_of.iter().enumerate() {
            let Some(module) = module else { continue };
            let inside = if module.stem == "__init__" {
                layout.folders[module.folder].parent
            } else {
                module.folder
            };
            if self.expanded[inside] && self.view.importable[file] {
                self.push(file);
            }
        }
        for (folder, shard) in &layout.unknown {
            // Folders in between that have no files yet are no regular packages.
            let mut around = folder.rmatch_indices('/').map(|(at, _)| &folder[..at]);
            let nearest = around.find_map(|path| layout.folder(path));
            if nearest.is_some_and(|nearest| self.expanded[nearest]) {
                self.lacking.push(*shard);
            }
        }
    }
}

/// The list of a distribution's files, which is as large as it has files, and which imports do not read.
fn is_record(path: &str) -> bool {
    path.strip_suffix(".dist-info/RECORD")
        .is_some_and(|name| !name.contains('/'))
}

/// By folder: the package with which its data files come. That is the nearest regular package around them,
/// since packages open files in folders below their own; else the nearest folder with modules; else the root,
/// whose files come always.
fn owners(folders: &[Folder<'_>]) -> Vec<usize> {
    let mut regular = vec![ROOT; folders.len()];
    let mut owners = vec![ROOT; folders.len()];
    for (at, folder) in folders.iter().enumerate().skip(1) {
        regular[at] = if folder.has_init {
            at
        } else {
            regular[folder.parent]
        };
        owners[at] = if regular[at] != ROOT {
            regular[at]
        } else if folder.has_module {
            at
        } else {
            owners[folder.parent]
        };
    }
    owners
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn module_names_are_dotted_paths() {
        for (path, name) in [
            ("pkg/__init__.py", Some("pkg")),
            ("pkg/a.py", Some("pkg.a")),
            ("pkg/a.pyc", Some("pkg.a")),
            ("pkg/ext.cpython-314-wasm32-emscripten.so", Some("pkg.ext")),
            ("pkg/sub/__init__.abi3.so", Some("pkg.sub")),
            ("single.py", Some("single")),
            ("pkg/__main__.py", Some("pkg.__main__")),
            ("pkg/a.pyi", None),
            ("pkg/a-b.py", None),
            ("pkg-data/a.py", None),
            ("pkg/__pycache__/a.py", None),
            ("pkg/a.b.py", None),
            ("pkg/.py", None),
        ] {
            assert_eq!(module_name(path).as_deref(), name, "{path}");
        }
    }
}
