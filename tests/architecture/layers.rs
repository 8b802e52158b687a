//! Which module may import from which.
//!
//! A table has a row per module, in reading order: the module, and the modules that it may import
//! from, all of them in rows above. A parent imports from its children, so that a child imports
//! nothing that its parent defines.

use crate::imports::Imports;
use crate::imports::Module;
use crate::sources::root;
use crate::tables::CONTROLLER;
use crate::tables::CRATES;
use crate::tables::ROOMS;
use crate::tables::Table;

#[test]
fn rooms_import_what_the_table_allows() {
    let imports = Imports::read(&root().join("src"), "lib.rs");
    let problems = problems(&imports, ROOMS, &[]);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn controller_imports_what_the_table_allows() {
    let imports = Imports::read(&root().join("src"), "lib.rs");
    let problems = problems(&imports, CONTROLLER, &["controller".to_owned()]);
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn imports_form_no_circle() {
    for (folder, file) in CRATES {
        let circle = Imports::read(&root().join(folder), file).circle();
        let circle = circle.map(|modules| {
            let names: Vec<_> = modules.iter().map(|module| module.join("::")).collect();
            names.join(" -> ")
        });
        assert_eq!(circle, None, "a circle of imports in {folder}");
    }
}

/// Where the imports between the children of `parent` and `table` disagree, a line each.
fn problems(imports: &Imports, table: Table, parent: &[String]) -> Vec<String> {
    let child = |module: &Module| module.strip_prefix(parent)?.first().cloned();
    let mut unused: Vec<(&str, &str)> =
        table.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, *to))).collect();
    let mut problems = out_of_order(table);
    for (from, to) in imports.pairs() {
        let (Some(from_child), Some(to_child)) = (child(from), child(to)) else { continue };
        if from_child == to_child {
            continue;
        }
        let allowed = table.iter().find(|(name, _)| *name == from_child);
        if !allowed.is_some_and(|(_, to)| to.contains(&to_child.as_str())) {
            let path = imports.file(from).display();
            problems.push(format!("{path}: {from_child} may not import from {to_child}"));
        }
        unused.retain(|pair| *pair != (from_child.as_str(), to_child.as_str()));
    }
    let unused = unused.iter().map(|(from, to)| {
        format!("the table allows {from} to import from {to}, which it does not: remove the entry")
    });
    problems.extend(unused);
    problems.sort();
    problems.dedup();
    problems
}

fn out_of_order(table: Table) -> Vec<String> {
    let rank = |name: &str| table.iter().position(|(row, _)| *row == name);
    let entries = table.iter().flat_map(|(from, to)| to.iter().map(move |to| (*from, *to)));
    entries
        .filter(|(from, to)| rank(to).is_none_or(|to| Some(to) >= rank(from)))
        .map(|(from, to)| format!("{to} is not in a row above {from}"))
        .collect()
}
