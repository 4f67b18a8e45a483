//! Embeds the files of `infra/pages`: compresses each and computes the hash under which they are cached.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

use data_encoding::HEXLOWER;
use flate2::Compression;
use flate2::write::GzEncoder;
use sha2::{Digest, Sha256};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../infra/pages");
    #[allow(clippy::disallowed_methods, reason = "Cargo sets it for build scripts")]
    let out = PathBuf::from(env::var("OUT_DIR").map_err(io::Error::other)?);
    println!("cargo:rerun-if-changed={}", folder.display());
    let mut names = Vec::new();
    collect(&folder, "", &mut names)?;
    names.sort();
    let mut all = Sha256::new();
    let mut listed = String::new();
    for (number, name) in names.iter().enumerate() {
        let path = folder.join(name);
        let content = fs::read(&path)?;
        all.update(name.as_bytes());
        all.update(Sha256::digest(&content));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&content)?;
        let compressed = out.join(format!("{number}.gz"));
        fs::write(&compressed, encoder.finish()?)?;
        let _ = writeln!(
            listed,
            "    Asset {{ name: {name:?}, plain: include_bytes!({:?}), gzip: include_bytes!({compressed:?}) }},",
            path.canonicalize()?
        );
    }
    let hash = HEXLOWER.encode(&all.finalize()[..8]);
    fs::write(
        out.join("assets.rs"),
        format!(
            "pub(crate) const HASH: &str = {hash:?};\npub(crate) static ASSETS: &[Asset] = &[\n{listed}];\n"
        ),
    )
}

fn collect(folder: &Path, below: &str, names: &mut Vec<String>) -> io::Result<()> {
    println!("cargo:rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = format!("{below}{}", entry.file_name().to_string_lossy());
        if entry.path().is_dir() {
            collect(&entry.path(), &format!("{name}/"), names)?;
        } else {
            println!("cargo:rerun-if-changed={}", entry.path().display());
            names.push(name);
        }
    }
    Ok(())
}
