//! The layers of the crates: which crate may use which, and no cycles between the modules of a crate.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// For each crate under `shared/`: the project's crates that it may use, and prefixes of crates that it must not use.
const FLOORS: [(&str, &[&str], &[&str]); 7] = [
    ("types", &[], &["tokio", "aws-", "aws_", "lambda_", "hyper", "tracing"]),
    ("decide", &["types"], &["tokio", "aws-", "aws_", "lambda_", "hyper", "tracing"]),
    ("top", &["types"], &["aws-sdk-", "aws_lambda_events", "lambda_"]),
    ("runtime", &["types"], &[]),
    ("store", &["runtime", "types"], &["aws-sdk-secretsmanager", "aws-sdk-sqs", "lambda_"]),
    ("receiver", &["runtime", "store", "types"], &["aws-sdk-"]),
    ("sender", &["decide", "runtime", "store", "top", "types"], &["aws-sdk-"]),
];

/// The modules of `types` that the runtime may use: those that know nothing of orders.
const NOT_OF_THE_DOMAIN: [&str; 5] = ["api", "error", "json", "redact", "time"];

const MOST_LINES: usize = 500;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn dependencies(manifest: &Path) -> Vec<String> {
    let text = fs::read_to_string(manifest).unwrap();
    let section = text.split("[dependencies]").nth(1).unwrap_or_default();
    let section = section.split("\n[").next().unwrap();
    let name = |line: &str| line.split(['.', ' ', '=']).next().unwrap().to_owned();
    section.lines().filter(|line| !line.trim().is_empty()).map(name).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
    found
}

/// The modules that a file uses: the names that follow `prefix` in its text.
fn used(text: &str, prefix: &str) -> BTreeSet<String> {
    let name = |rest: &str| rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect::<String>();
    let of = |rest: &str| match rest.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap_or_default().split(',').map(|one| name(one.trim())).collect(),
        None => vec![name(rest)],
    };
    text.split(prefix).skip(1).flat_map(of).collect()
}

#[test]
fn crates_use_only_lower_layers() {
    for (name, may, must_not) in FLOORS {
        for dependency in dependencies(&root().join(format!("shared/{name}/Cargo.toml"))) {
            if let Some(own) = dependency.strip_prefix("relay-") {
                assert!(may.contains(&own), "relay-{name} must not use relay-{own}");
            }
            let known = must_not.iter().find(|unknown| dependency.starts_with(**unknown));
            assert!(known.is_none(), "relay-{name} must not use {dependency}");
        }
    }
}

#[test]
fn functions_do_not_depend_on_each_other() {
    let functions: Vec<_> = fs::read_dir(root().join("functions")).unwrap().map(|one| one.unwrap()).collect();
    let names: BTreeSet<_> = functions.iter().map(|one| one.file_name().into_string().unwrap()).collect();
    for function in functions {
        let others = dependencies(&function.path().join("Cargo.toml"));
        assert!(others.iter().all(|other| !names.contains(other)), "{:?}: {others:?}", function.file_name());
    }
}

#[test]
fn runtime_uses_no_order_types() {
    for file in sources(&root().join("shared/runtime/src")) {
        for module in used(&fs::read_to_string(&file).unwrap(), "relay_types::") {
            assert!(NOT_OF_THE_DOMAIN.contains(&module.as_str()), "{} uses relay_types::{module}", file.display());
        }
    }
}

#[test]
fn modules_of_a_crate_have_no_cycles() {
    for krate in ["shared", "functions"].into_iter().flat_map(|folder| fs::read_dir(root().join(folder)).unwrap()) {
        let source = krate.unwrap().path().join("src");
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for file in sources(&source) {
            let within = file.strip_prefix(&source).unwrap();
            let module = within.components().next().unwrap().as_os_str().to_str().unwrap().trim_end_matches(".rs");
            let text = fs::read_to_string(&file).unwrap();
            edges.entry(module.to_owned()).or_default().extend(used(&text, "crate::"));
        }
        let known: BTreeSet<_> = edges.keys().cloned().collect();
        for (module, uses) in &mut edges {
            uses.retain(|other| known.contains(other) && other != module);
        }
        // Modules that use no other module are removed until none is left.
        while let Some(leaf) = edges.iter().find(|(_, uses)| uses.is_empty()).map(|(leaf, _)| leaf.clone()) {
            edges.remove(&leaf);
            for uses in edges.values_mut() {
                uses.remove(&leaf);
            }
        }
        assert!(edges.is_empty(), "a cycle in {}: {edges:?}", source.display());
    }
}

#[test]
fn source_files_stay_within_the_line_limit() {
    for folder in ["shared", "functions", "cli", "bench", "docs/openapi", "local/top-simulator", "tests"] {
        for file in sources(&root().join(folder)) {
            let lines = fs::read_to_string(&file).unwrap().lines().count();
            assert!(lines <= MOST_LINES, "{} has {lines} lines", file.display());
        }
    }
}
