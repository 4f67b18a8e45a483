//! The routes of the API, read from the code: the table `docs/routes.md` and the route events of
//! `template.yaml`. A test compares both files with the code.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::StartError;
use crate::instance::{FUNCTIONS, Function};

/// The template, relative to the root of the source tree.
pub const TEMPLATE: &str = "template.yaml";

/// The table of routes, relative to the root of the source tree.
pub const TABLE: &str = "docs/routes.md";

/// The comments in the template that enclose the generated lines of a function.
const BEGIN: &str = "        # BEGIN generated routes";
const END: &str = "        # END generated routes";

const TABLE_HEAD: &str = "\
# Routes

Every route of the API and the file that handles it. This file is generated from the code: after you change a route, run
`cargo portal routes --write`. [openapi.json](openapi.json) describes the requests and responses.

| Method | Path | Operation | Source |
|---|---|---|---|
";

/// A route and the function that handles it.
struct Route {
    path: String,
    method: &'static str,
    operation_id: String,
    function: &'static str,
}

/// All routes, sorted by path, in the usual order of methods.
fn routes() -> Result<Vec<Route>, StartError> {
    let mut routes = Vec::new();
    for function in FUNCTIONS {
        for (path, item) in (function.openapi)().paths.paths {
            let methods = [
                ("GET", item.get),
                ("POST", item.post),
                ("PUT", item.put),
                ("PATCH", item.patch),
                ("DELETE", item.delete),
            ];
            let operations = methods.into_iter().filter_map(|(m, o)| Some((m, o?)));
            for (method, operation) in operations {
                let operation_id = operation
                    .operation_id
                    .ok_or_else(|| format!("{method} {path} has no operation id"))?;
                routes.push(Route {
                    path: path.clone(),
                    method,
                    operation_id,
                    function: function.name,
                });
            }
        }
    }
    // A stable sort, which keeps the order of methods.
    routes.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(routes)
}

/// Returns what `docs/routes.md` has to be for the source tree at `root`.
///
/// # Errors
/// If the sources can't be read, or an operation id isn't in exactly one of them.
pub fn table(root: &Path) -> Result<String, StartError> {
    let mut table = TABLE_HEAD.to_owned();
    let mut sources = BTreeMap::new();
    for Function { name, .. } in FUNCTIONS {
        read_sources(
            root,
            Path::new(&format!("functions/{name}/src")),
            &mut sources,
        )?;
    }
    for route in routes()? {
        let id = &route.operation_id;
        let attribute = format!("operation_id = \"{id}\"");
        let mut found = sources.iter().filter(|(_, s)| s.contains(&attribute));
        let (Some((source, _)), None) = (found.next(), found.next()) else {
            return Err(format!("{attribute} must be in one source file").into());
        };
        let (method, path) = (route.method, &route.path);
        let source = source.display();
        writeln!(
            table,
            "| {method} | `{path}` | `{id}` | [{source}](../{source}) |"
        )?;
    }
    Ok(table)
}

/// Reads all Rust sources below a folder of the source tree.
fn read_sources(
    root: &Path,
    folder: &Path,
    sources: &mut BTreeMap<PathBuf, String>,
) -> Result<(), StartError> {
    for entry in std::fs::read_dir(root.join(folder))? {
        let path = folder.join(entry?.file_name());
        let full = root.join(&path);
        if full.is_dir() {
            read_sources(root, &path, sources)?;
        } else if path.extension().is_some_and(|e| e == "rs") {
            sources.insert(path, std::fs::read_to_string(full)?);
        }
    }
    Ok(())
}

/// Returns what the template has to be: the same text, with the generated lines of each function
/// replaced by its routes.
///
/// # Errors
/// If a function of the API has no place for its routes.
pub fn template(text: &str) -> Result<String, StartError> {
    let mut events: BTreeMap<String, String> = events(&routes()?)
        .into_iter()
        .map(|(function, lines)| (format!("  {}Function:", camel_case(function)), lines))
        .collect();
    let mut made = String::new();
    let mut function = "";
    let mut lines = text.lines();
    while let Some(line) = lines.next() {
        if line.starts_with("  ") && line.ends_with("Function:") {
            function = line;
        }
        writeln!(made, "{line}")?;
        if line == BEGIN {
            let generated = events
                .remove(function)
                .ok_or_else(|| format!("{TEMPLATE}: `{}` has no routes", function.trim()))?;
            made.push_str(&generated);
            lines
                .find(|l| *l == END)
                .ok_or_else(|| format!("{TEMPLATE}: `{END}` is missing"))?;
            writeln!(made, "{END}")?;
        }
    }
    match events.into_keys().next() {
        Some(function) => Err(format!(
            "{TEMPLATE}: the events of `{}` need the lines `{}` and `{}`",
            function.trim(),
            BEGIN.trim(),
            END.trim()
        )
        .into()),
        None => Ok(made),
    }
}

/// The lines of the template for the routes of each function. The first function with a path also
/// responds to its OPTIONS requests.
fn events(routes: &[Route]) -> BTreeMap<&'static str, String> {
    let mut events: BTreeMap<&'static str, String> = BTreeMap::new();
    for of_path in routes.chunk_by(|a, b| a.path == b.path) {
        let mut add = |function, name: &str, method: &str| {
            let path = &of_path[0].path;
            let _ = writeln!(
                events.entry(function).or_default(),
                "        {name}: {{ Type: Api, Properties: {{ RestApiId: !Ref Api, Method: {method}, Path: '{path}' }} }}"
            );
        };
        for route in of_path {
            add(
                route.function,
                &camel_case(&route.operation_id),
                route.method,
            );
        }
        let path = of_path[0].path.strip_prefix("/{portal}/");
        let name = path.map_or_else(|| "Portal".to_owned(), camel_case);
        add(of_path[0].function, &format!("{name}Preflight"), "OPTIONS");
    }
    events
}

/// `SignIn` of `sign-in` or `sign_in`, `UsersIdStatus` of `users/{id}/status`.
fn camel_case(name: &str) -> String {
    let mut camel = String::new();
    for word in name.split(|c: char| !c.is_ascii_alphanumeric()) {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// Writes `docs/routes.md` and the generated lines of `template.yaml`.
///
/// # Errors
/// If a file can't be read or written, or has no place for the routes.
pub fn write(root: &Path) -> Result<(), StartError> {
    let path = root.join(TEMPLATE);
    std::fs::write(root.join(TABLE), table(root)?)?;
    std::fs::write(&path, template(&std::fs::read_to_string(&path)?)?)?;
    Ok(())
}
