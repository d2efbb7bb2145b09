//! No two files of a crate import each other, directly or by way of others.

mod imports;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::path::{Path, PathBuf};

use self::imports::{Imports, imports};
use crate::harness::root;

/// The sets of files of which each reaches every other.
fn loops(imports: &Imports) -> Vec<BTreeSet<&PathBuf>> {
    let reached: BTreeMap<&PathBuf, BTreeSet<&PathBuf>> =
        imports.keys().map(|file| (file, reached_from(file, imports))).collect();
    let together = |file: &PathBuf| -> BTreeSet<&PathBuf> {
        reached[file].iter().copied().filter(|other| reached[other].contains(file)).collect()
    };
    let all: BTreeSet<BTreeSet<&PathBuf>> =
        imports.keys().map(together).filter(|files| !files.is_empty()).collect();
    all.into_iter().collect()
}

fn reached_from<'i>(file: &Path, imports: &'i Imports) -> BTreeSet<&'i PathBuf> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&PathBuf> = imports[file].keys().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(imports[next].keys());
        }
    }
    reached
}

/// The files of each loop, and which takes which names from which.
fn described(src: &Path) -> String {
    let imports = imports(src);
    let mut text = String::new();
    for (n, files) in loops(&imports).iter().enumerate() {
        writeln!(text, "loop {}: {} files of {}", n + 1, files.len(), src.display()).unwrap();
        for &file in files {
            for (other, names) in imports[file].iter().filter(|(other, _)| files.contains(other)) {
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                writeln!(text, "  {} imports {}: {}", file.display(), other.display(), names.join(", "))
                    .unwrap();
            }
        }
    }
    text
}

#[test]
fn no_files_import_each_other_in_a_loop() {
    let mut crates: Vec<PathBuf> =
        fs_err::read_dir(root().join("crates")).unwrap().map(|entry| entry.unwrap().path()).collect();
    crates.sort();
    assert!(crates.len() > 10);
    let found: String = crates.iter().map(|folder| described(&folder.join("src"))).collect();
    assert!(found.is_empty(), "files import each other:\n{found}");
}

/// A crate of these files; the loops found in it, as lists of names.
fn loops_of(files: &[(&str, &str)]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        let path = folder.path().join(name);
        fs_err::create_dir_all(path.parent().unwrap()).unwrap();
        fs_err::write(path, text).unwrap();
    }
    let imports = imports(folder.path());
    let names = |files: BTreeSet<&PathBuf>| {
        let names: Vec<String> = files.iter().map(|file| file.display().to_string()).collect();
        names.join(" ")
    };
    loops(&imports).into_iter().map(names).collect()
}

#[test]
fn files_that_import_each_other_are_found_however_they_name_it() {
    let lib = "mod a; mod b; pub use a::A; pub use b::{B, give as hand};";
    let a = ("a.rs", "use crate::B; pub struct A(B);");
    for b in [
        "use crate::A; pub struct B; fn give() -> A {}",
        "use super::a; pub struct B; pub fn give() { a::A; }",
        "pub struct B; pub fn give() -> Vec<crate::a::A> {}",
        "pub struct B; pub fn give() { println!(\"{}\", super::A::new()) }",
        "pub struct B; pub fn give() { use super::*; A::new(); }",
        "pub use crate::a::A; pub struct B; pub fn give() -> A {}",
        "#[derive(D)] pub struct B { #[serde(with = \"crate::a::A\")] field: u8 } pub fn give() {}",
        "pub struct B; pub fn give() {} mod inner { use super::super::{a::{self, A as C}}; }",
        "pub struct B { #[cfg(test)] x: u8, y: crate::A } pub fn give() {}",
    ] {
        assert_eq!(loops_of(&[("lib.rs", lib), a, ("b.rs", b)]), ["a.rs b.rs"], "{b}");
    }
}

#[test]
fn loops_of_three_files_and_loops_with_a_parent_are_found() {
    let files = [
        ("main.rs", "mod a; mod b; mod c; fn main() { a::a(); }"),
        ("a.rs", "pub fn a() { crate::b::b() }"),
        ("b/mod.rs", "mod d; use crate::c::c; pub(super) fn b() { d::d(); c() } struct Kept;"),
        ("b/d.rs", "use super::Kept; pub fn d() -> Kept {}"),
        ("c.rs", "use crate::a::a; pub fn c() { a() }"),
    ];
    assert_eq!(loops_of(&files), ["a.rs b/d.rs b/mod.rs c.rs"]);
    let macros = [
        ("lib.rs", "macro_rules! made { () => {} } mod a; fn f() { a::a() }"),
        ("a.rs", "pub fn a() { made!() }"),
    ];
    assert_eq!(loops_of(&macros), ["a.rs lib.rs"]);
}

#[test]
fn declarations_and_reexports_and_tests_are_no_imports() {
    let lib = "mod a; mod b; mod c; pub use a::A; pub use b::B; pub use c::c; #[cfg(test)] mod tests;";
    let a = "use crate::B; pub struct A(B);";
    let b = "pub(crate) use crate::a::A; pub struct B; fn x(b: b::A) {} #[cfg(test)] use crate::A as C; \
        #[cfg(test)] fn t() -> A {} #[cfg(test)] mod tests { use crate::A; } /// [`crate::a::A`]\n fn y() { b.A() }";
    // The module is named here, not the function that has its name.
    let c = ("c.rs", "use crate::A; pub fn c(_: A) {} pub const N: u8 = 0;");
    let a = format!("use crate::c; {a} const M: u8 = c::N;");
    let n = ("c.rs", "pub fn c() {} pub const N: u8 = 0;");
    let tests = ("tests.rs", "use crate::{A, B};");
    assert_eq!(loops_of(&[("lib.rs", lib), ("a.rs", &a), ("b.rs", b), n, tests]), [""; 0]);
    assert_eq!(loops_of(&[("lib.rs", lib), ("a.rs", &a), ("b.rs", b), c, tests]), ["a.rs c.rs"]);
}

#[test]
fn a_function_named_as_its_module_is_imported_where_it_is_called() {
    let lib = ("lib.rs", "mod a; mod c; pub use c::c; pub struct L;");
    let c = ("c.rs", "use crate::L; pub fn c() -> L {} pub const N: u8 = 0;");
    for (a, found) in [("use crate::c; fn a() { c() }", 1), ("use crate::c; fn a(c: u8) { b.c(); d(c) }", 0)]
    {
        let a = ("a.rs", format!("{a} pub fn b() {{}}"));
        let c = (c.0, format!("{} fn d() {{ crate::a::b() }}", c.1));
        assert_eq!(loops_of(&[lib, (a.0, &a.1), (c.0, &c.1)]).len(), found, "{}", a.1);
    }
}

#[test]
fn what_lies_in_a_module_is_not_taken_for_the_function_that_has_its_name() {
    let lib = ("lib.rs", "mod a; mod c; pub use c::c;");
    let c = ("c/mod.rs", "mod inner; use crate::a::A; pub fn c() -> A {} pub use inner::Inner;");
    let a = "use crate::c::Inner; pub struct A(crate::c::Inner);";
    let inner = ("c/inner.rs", "pub struct Inner;");
    assert_eq!(loops_of(&[lib, c, ("a.rs", a), inner]), [""; 0]);
    assert_eq!(loops_of(&[lib, c, ("a.rs", &format!("{a} fn b() {{ crate::c() }}")), inner]).len(), 1);
}

#[test]
#[should_panic(expected = "orphan.rs: belongs to no module")]
fn a_file_of_no_module_is_not_passed_over() {
    loops_of(&[("lib.rs", ""), ("orphan.rs", "")]);
}
