//! The routes of the API, read from the code: the table `docs/routes.md` and the paths of
//! `infra/api.yaml`. A test compares both files with the code.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use crate::StartError;
use crate::instance::{FUNCTIONS, Function};

/// The description of the gateway that `template.yaml` includes, relative to the root of the source tree.
pub const GATEWAY: &str = "infra/api.yaml";

/// The table of routes, relative to the root of the source tree.
pub const TABLE: &str = "docs/routes.md";

/// The comments that enclose the generated paths.
const BEGIN: &str = "  # BEGIN generated paths";
const END: &str = "  # END generated paths";

/// The address at which API Gateway invokes a function, up to the function's ARN.
const INVOKE: &str =
    "arn:${AWS::Partition}:apigateway:${AWS::Region}:lambda:path/2015-03-31/functions";

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

/// Returns what the description of the gateway has to be: the same text, with the generated paths replaced.
///
/// # Errors
/// If the text has no place for the paths.
pub fn gateway(text: &str) -> Result<String, StartError> {
    let (head, rest) = text
        .split_once(BEGIN)
        .ok_or_else(|| format!("{GATEWAY}: the line `{BEGIN}` is missing"))?;
    let (_, tail) = rest
        .split_once(END)
        .ok_or_else(|| format!("{GATEWAY}: the line `{END}` is missing"))?;
    let mut made = format!("{head}{BEGIN}\n");
    for of_path in routes()?.chunk_by(|a, b| a.path == b.path) {
        // The first function with a path also answers its OPTIONS requests.
        let preflight = ("OPTIONS", of_path[0].function);
        let methods = of_path.iter().map(|route| (route.method, route.function));
        writeln!(made, "  '{}':", of_path[0].path)?;
        for (method, function) in methods.chain([preflight]) {
            let (method, function) = (method.to_ascii_lowercase(), camel_case(function));
            writeln!(
                made,
                "    {method}: {{ responses: {{}}, x-amazon-apigateway-integration: {{ type: aws_proxy, httpMethod: POST, \
                 uri: {{ 'Fn::Sub': '{INVOKE}/${{{function}Function.Alias}}/invocations' }} }} }}"
            )?;
        }
    }
    made.push_str(END);
    made.push_str(tail);
    Ok(made)
}

/// Converts `sign-in` to `SignIn`.
fn camel_case(name: &str) -> String {
    let mut camel = String::new();
    for word in name.split('-') {
        let (first, rest) = word.split_at(word.len().min(1));
        camel.push_str(&first.to_ascii_uppercase());
        camel.push_str(rest);
    }
    camel
}

/// Writes `docs/routes.md` and the paths of `infra/api.yaml`.
///
/// # Errors
/// If a file can't be read or written, or has no place for the routes.
pub fn write(root: &Path) -> Result<(), StartError> {
    let path = root.join(GATEWAY);
    std::fs::write(root.join(TABLE), table(root)?)?;
    std::fs::write(&path, gateway(&std::fs::read_to_string(&path)?)?)?;
    Ok(())
}
