//! Which file of a crate imports which, read from its source.
//!
//! A name counts as an import of the file that defines it, by whichever module it is re-exported. Handing a name on
//! (`pub use`, where the file does not use the name itself) and declaring a module are no imports, and what is compiled for
//! tests alone is left out.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, TokenStream, TokenTree};

/// Of each file, the files that it imports, and by which names. Paths are relative to the folder `src`.
pub(crate) type Imports = BTreeMap<PathBuf, BTreeMap<PathBuf, BTreeSet<String>>>;

/// The imports between the files of a folder `src`.
///
/// # Panics
/// Where a file cannot be read as Rust, or belongs to no module.
pub(crate) fn imports(src: &Path) -> Imports {
    let mut source = Source { src: src.to_owned(), modules: Vec::new(), files: BTreeSet::new() };
    for root in ["lib.rs", "main.rs"] {
        if src.join(root).exists() {
            source.read(Path::new(root), PathBuf::new(), None, false);
        }
    }
    for file in rust_files(src) {
        let file = file.strip_prefix(src).unwrap();
        assert!(source.files.contains(file), "{}: belongs to no module", src.join(file).display());
    }
    source.imports()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs_err::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] });
    files.filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

/// The modules of a crate.
struct Source {
    src: PathBuf,
    modules: Vec<Module>,
    files: BTreeSet<PathBuf>,
}

type Id = usize;

#[derive(Default)]
struct Module {
    /// Where it is written, relative to `src`.
    file: PathBuf,
    /// Where the files of its submodules lie, relative to `src`.
    folder: PathBuf,
    parent: Option<Id>,
    /// Compiled for tests alone.
    test: bool,
    /// What a name means here. One name may be a module and a function.
    names: BTreeMap<String, Vec<Meaning>>,
    /// What is imported with `*`.
    globs: Vec<Vec<String>>,
    macros: BTreeSet<String>,
    /// Paths of two segments or more.
    paths: BTreeSet<Vec<String>>,
    /// Imports that are not handed on, and their names here.
    imported: BTreeSet<(Vec<String>, String)>,
    /// Names that stand alone.
    words: BTreeSet<String>,
    /// Names before parentheses, as functions are called.
    called: BTreeSet<String>,
    /// Names of macros that are called.
    expanded: BTreeSet<String>,
}

enum Meaning {
    /// A type or a trait, which may have items of its own.
    Type,
    /// A function, a constant or a macro, which has none.
    Value,
    Module(Id),
    /// Another name for what this path says.
    Import(Vec<String>),
}

/// What a path means.
#[derive(Default)]
struct Meant {
    /// Files and names of definitions.
    definitions: BTreeSet<(PathBuf, String)>,
    /// A module by itself, whose contents are named behind it.
    module: bool,
}

/// What an attribute says of the item after it.
#[derive(Default)]
struct Attributes {
    test: bool,
    path: Option<String>,
}

impl Source {
    fn read(&mut self, file: &Path, folder: PathBuf, parent: Option<Id>, test: bool) -> Id {
        let place = self.src.join(file);
        let text = fs_err::read_to_string(&place).unwrap();
        let tokens: TokenStream = text.parse().unwrap_or_else(|error| panic!("{}: {error}", place.display()));
        self.files.insert(file.to_owned());
        self.add(Module { file: file.to_owned(), folder, parent, test, ..Module::default() }, tokens)
    }

    fn add(&mut self, module: Module, tokens: TokenStream) -> Id {
        let id = self.modules.len();
        self.modules.push(module);
        self.walk(id, tokens, true);
        id
    }

    /// Reads tokens that stand in a module: at its top, where definitions are, or further in.
    fn walk(&mut self, id: Id, tokens: TokenStream, top: bool) {
        let tokens: Vec<TokenTree> = tokens.into_iter().collect();
        let mut attributes = Attributes::default();
        let mut at = 0;
        while at < tokens.len() {
            let next = |n: usize| tokens.get(at + n);
            match &tokens[at] {
                token if is(token, '#') => {
                    let inner = next(1).is_some_and(|token| is(token, '!'));
                    let group = next(1 + usize::from(inner)).cloned();
                    if let Some(TokenTree::Group(group)) = group {
                        self.attribute(id, group.stream(), &mut attributes);
                        if inner && std::mem::take(&mut attributes).test {
                            self.modules[id].test = true;
                        }
                        at += 2 + usize::from(inner);
                        continue;
                    }
                }
                TokenTree::Ident(ident) => {
                    let word = ident.to_string();
                    let seen = std::mem::take(&mut attributes);
                    if word == "pub" {
                        attributes = seen;
                        at += 1 + usize::from(matches!(next(1), Some(TokenTree::Group(_))));
                        continue;
                    }
                    if word == "mod" && matches!(next(1), Some(TokenTree::Ident(_))) {
                        self.submodule(id, &next(1).unwrap().to_string(), next(2), &seen);
                        at += 3;
                        continue;
                    }
                    if seen.test {
                        at = after_item(&tokens, at);
                        continue;
                    }
                    // `use<…>` says what an opaque type captures.
                    if word == "use" && !tokens.get(at + 1).is_some_and(|token| is(token, '<')) {
                        let end = (at..tokens.len()).find(|&i| is(&tokens[i], ';')).unwrap();
                        let public = before(&tokens, at).is_some_and(|token| token.to_string() == "pub");
                        self.import(id, &tokens[at + 1..end], &[], public);
                        at = end + 1;
                        continue;
                    }
                    if top {
                        self.definition(id, &word, &tokens[at + 1..]);
                    }
                    at = self.path(id, &tokens, at);
                    continue;
                }
                TokenTree::Group(group) => self.walk(id, group.stream(), false),
                _ => {}
            }
            at += 1;
        }
    }

    fn attribute(&mut self, id: Id, tokens: TokenStream, attributes: &mut Attributes) {
        let text = tokens.to_string().replace(' ', "");
        attributes.test |= text == "test" || text == "cfg(test)" || text.starts_with("cfg(all(test,");
        if let Some(path) = text.strip_prefix("path=") {
            attributes.path = Some(path.trim_matches('"').to_owned());
        }
        // serde is told functions and types in strings.
        if text.starts_with("serde(") {
            for quoted in text.split('"').skip(1).step_by(2) {
                if let Ok(tokens) = quoted.parse() {
                    self.walk(id, tokens, false);
                }
            }
        }
        if !text.starts_with("doc=") {
            self.walk(id, tokens, false);
        }
    }

    fn submodule(&mut self, id: Id, name: &str, body: Option<&TokenTree>, attributes: &Attributes) {
        let parent = &self.modules[id];
        let test = parent.test || attributes.test;
        let folder = parent.folder.join(name);
        let module = if let Some(TokenTree::Group(group)) = body {
            let module =
                Module { file: parent.file.clone(), folder, parent: Some(id), test, ..Module::default() };
            self.add(module, group.stream())
        } else if let Some(path) = &attributes.path {
            let file = parent.file.with_file_name(path);
            let folder = file.parent().unwrap().to_owned();
            self.read(&file, folder, Some(id), test)
        } else {
            let beside = folder.with_extension("rs");
            let file = if self.src.join(&beside).exists() { beside } else { folder.join("mod.rs") };
            self.read(&file, folder, Some(id), test)
        };
        self.mean(id, name, Meaning::Module(module));
    }

    fn mean(&mut self, id: Id, name: &str, meaning: Meaning) {
        self.modules[id].names.entry(name.to_owned()).or_default().push(meaning);
    }

    /// What follows `use`.
    fn import(&mut self, id: Id, tree: &[TokenTree], above: &[String], public: bool) {
        let mut path = above.to_vec();
        let mut alias = None;
        let mut tokens = tree.iter();
        while let Some(token) = tokens.next() {
            match token {
                TokenTree::Ident(ident) if ident == "as" => alias = tokens.next().map(ToString::to_string),
                TokenTree::Ident(ident) if ident == "self" && !path.is_empty() => {}
                TokenTree::Ident(ident) => path.push(ident.to_string()),
                TokenTree::Group(group) => {
                    let inner: Vec<TokenTree> = group.stream().into_iter().collect();
                    for branch in inner.split(|token| is(token, ',')).filter(|branch| !branch.is_empty()) {
                        self.import(id, branch, &path, public);
                    }
                    return;
                }
                token if is(token, '*') => return self.modules[id].globs.push(path),
                _ => {}
            }
        }
        let name = alias.or_else(|| path.last().cloned()).unwrap();
        if !public {
            self.modules[id].imported.insert((path.clone(), name.clone()));
        }
        self.mean(id, &name, Meaning::Import(path));
    }

    fn definition(&mut self, id: Id, word: &str, after: &[TokenTree]) {
        const KINDS: [&str; 8] = ["fn", "struct", "enum", "trait", "union", "type", "const", "static"];
        let mut after = after.iter();
        if word == "macro_rules" {
            let name = after.nth(1).unwrap().to_string();
            self.modules[id].macros.insert(name.clone());
            self.mean(id, &name, Meaning::Value);
        } else if KINDS.contains(&word)
            && let Some(TokenTree::Ident(name)) =
                after.find(|token| !["mut", "unsafe"].contains(&&*token.to_string()))
        {
            let value = ["fn", "const", "static"].contains(&word);
            self.mean(id, &name.to_string(), if value { Meaning::Value } else { Meaning::Type });
        }
    }

    /// A path, or a name that stands alone, and where it ends.
    fn path(&mut self, id: Id, tokens: &[TokenTree], mut at: usize) -> usize {
        let after = |at: usize, c: char| tokens.get(at).is_some_and(|token| is(token, c));
        // A field, a method, or what follows `<T as Trait>::`, unless it is the end of a range (`a..b`).
        let member = at > 0
            && (after(at - 1, ':') && at > 1 && after(at - 2, ':')
                || after(at - 1, '.') && !(at > 1 && after(at - 2, '.')));
        let mut path = vec![tokens[at].to_string()];
        at += 1;
        while after(at, ':') && after(at + 1, ':') {
            let Some(TokenTree::Ident(ident)) = tokens.get(at + 2) else { break };
            path.push(ident.to_string());
            at += 3;
        }
        let module = &mut self.modules[id];
        if matches!(tokens.get(at), Some(TokenTree::Group(group)) if group.delimiter() == Delimiter::Parenthesis)
        {
            module.called.extend(path.last().filter(|_| !member).cloned());
        }
        if member {
        } else if path.len() > 1 {
            module.paths.insert(path);
        } else {
            let word = path.remove(0);
            if after(at, '!') {
                module.expanded.insert(word.clone());
            }
            module.words.insert(word);
        }
        at
    }

    fn imports(&self) -> Imports {
        let mut imports = Imports::new();
        for (id, module) in self.modules.iter().enumerate().filter(|(_, module)| !module.test) {
            // Words matter where a re-export or a glob makes them another file's.
            let words = module.words.iter().map(|word| (std::slice::from_ref(word), word));
            let imported = module.imported.iter().map(|(path, name)| (&path[..], name));
            let paths = module.paths.iter().map(|path| (&path[..], &path[path.len() - 1]));
            let mut found = BTreeSet::new();
            for (path, name) in words.chain(imported).chain(paths) {
                let mut meant = Meant::default();
                self.follow(id, path, &mut Vec::new(), &mut meant);
                // Of a module and a function of one name, the function is meant where it is called.
                if !meant.module || module.called.contains(name) {
                    found.append(&mut meant.definitions);
                }
            }
            found.extend(module.expanded.iter().filter_map(|name| self.macro_in_scope(id, name)));
            let all = imports.entry(module.file.clone()).or_default();
            for (file, name) in found.into_iter().filter(|(file, _)| *file != module.file) {
                all.entry(file).or_default().insert(name);
            }
        }
        imports
    }

    /// Finds what a path means in a module: nothing where it is another crate's.
    ///
    /// `open` holds the imports that are being followed: none is a way to itself.
    fn follow<'s>(&'s self, id: Id, path: &[String], open: &mut Vec<(Id, &'s [String])>, meant: &mut Meant) {
        let Some((name, rest)) = path.split_first() else { return meant.module = true };
        let module = &self.modules[id];
        match &**name {
            "crate" => return self.follow(self.root(id), rest, open, meant),
            "self" => return self.follow(id, rest, open, meant),
            "super" => return self.follow(module.parent.unwrap_or(id), rest, open, meant),
            _ => {}
        }
        let mut through = |import: &'s [String], rest: &[String], meant: &mut Meant| {
            if !open.contains(&(id, import)) {
                open.push((id, import));
                self.follow(id, &[import, rest].concat(), open, meant);
                open.pop();
            }
        };
        let Some(meanings) = module.names.get(name) else {
            return module.globs.iter().for_each(|glob| through(glob, path, meant));
        };
        for meaning in meanings {
            match meaning {
                Meaning::Value if !rest.is_empty() => {}
                Meaning::Value | Meaning::Type => {
                    meant.definitions.insert((module.file.clone(), name.clone()));
                }
                Meaning::Import(import) => through(import, rest, meant),
                Meaning::Module(inner) => self.follow(*inner, rest, &mut Vec::new(), meant),
            }
        }
    }

    fn root(&self, id: Id) -> Id {
        self.modules[id].parent.map_or(id, |parent| self.root(parent))
    }

    /// A macro whose name is known here because it is defined above, in this module or around it.
    fn macro_in_scope(&self, id: Id, name: &str) -> Option<(PathBuf, String)> {
        let module = &self.modules[id];
        let here = module.macros.contains(name).then(|| (module.file.clone(), name.to_owned()));
        here.or_else(|| self.macro_in_scope(module.parent?, name))
    }
}

fn is(token: &TokenTree, c: char) -> bool {
    matches!(token, TokenTree::Punct(punct) if punct.as_char() == c)
}

/// The token before this one, or before the `(crate)` before it.
fn before(tokens: &[TokenTree], at: usize) -> Option<&TokenTree> {
    let last = at.checked_sub(1)?;
    let restricted =
        matches!(&tokens[last], TokenTree::Group(group) if group.delimiter() == Delimiter::Parenthesis);
    tokens.get(last.checked_sub(usize::from(restricted))?)
}

/// Where the item, statement or field that begins here is over.
fn after_item(tokens: &[TokenTree], at: usize) -> usize {
    const ITEMS: [&str; 12] = [
        "fn",
        "struct",
        "enum",
        "trait",
        "type",
        "const",
        "static",
        "impl",
        "use",
        "unsafe",
        "async",
        "macro_rules",
    ];
    let item = ITEMS.contains(&&*tokens[at].to_string());
    let end = |token: &TokenTree| {
        let body = matches!(token, TokenTree::Group(group) if group.delimiter() == Delimiter::Brace);
        body || is(token, ';') || !item && is(token, ',')
    };
    (at..tokens.len()).find(|&i| end(&tokens[i])).map_or(tokens.len(), |i| i + 1)
}
