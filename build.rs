//! Prepares the static files for embedding: each one also as brotli and gzip, and one hash over all of them for the path
//! they are served under.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

/// What compresses well; fonts are compressed already.
const COMPRESSED: [&str; 4] = ["css", "js", "svg", "txt"];

fn main() -> io::Result<()> {
    println!("cargo:rerun-if-changed=static");
    // A new migration is a new folder, which the macro that embeds them does not notice.
    println!("cargo:rerun-if-changed=migrations");
    refuse_sqlite_without_stable_plans();
    let source = Path::new("static");
    #[allow(clippy::disallowed_methods)] // cargo speaks to build scripts by variables
    let target = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("static");
    if target.exists() {
        fs::remove_dir_all(&target)?;
    }
    let mut files = files_below(source)?;
    files.sort();
    let mut hash = Sha256::new();
    for file in files {
        let name = file.strip_prefix(source).expect("it was found below").to_owned();
        let mut content = fs::read(&file)?;
        if name == Path::new("app.js") {
            content = without_comments(&String::from_utf8_lossy(&content)).into_bytes();
        }
        hash.update(name.to_string_lossy().as_bytes());
        hash.update([0]);
        hash.update(&content);
        let to = target.join(&name);
        fs::create_dir_all(to.parent().expect("it has a folder"))?;
        fs::write(&to, &content)?;
        if file.extension().is_some_and(|extension| COMPRESSED.iter().any(|known| extension == *known)) {
            fs::write(with_suffix(&to, ".br"), brotli(&content)?)?;
            fs::write(with_suffix(&to, ".gz"), gzip(&content)?)?;
        }
    }
    let hash: String = hash.finalize()[..8].iter().map(|byte| format!("{byte:02x}")).collect();
    // Not KEYSTEAD_…: cargo hands the name on to what it runs, and the server refuses variables it does not know.
    println!("cargo:rustc-env=STATIC_HASH={hash}");
    Ok(())
}

/// `.cargo/config.toml` sets it, and is easily left behind: by `cargo install --git`, or a Dockerfile that copies `src/`.
fn refuse_sqlite_without_stable_plans() {
    const FLAGS: &str = "LIBSQLITE3_FLAGS";
    println!("cargo:rerun-if-env-changed={FLAGS}");
    #[allow(clippy::disallowed_methods)] // cargo speaks to build scripts by variables
    let flags = env::var(FLAGS).unwrap_or_default();
    if !flags.contains("SQLITE_ENABLE_QPSG") {
        println!(
            "cargo::error={FLAGS} must hold -DSQLITE_ENABLE_QPSG: without it every page costs a sixth more. \
             .cargo/config.toml sets it; copy that file too, or set the variable"
        );
    }
}

fn files_below(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            files.extend(files_below(&entry.path())?);
        } else {
            files.push(entry.path());
        }
    }
    Ok(files)
}

/// A script of ours without the lines that are comments: they are for whoever reads the source, and every browser would pay
/// for them.
fn without_comments(script: &str) -> String {
    let mut in_block = false;
    let mut kept = String::new();
    for line in script.lines() {
        let start = line.trim_start();
        in_block |= start.starts_with("/*");
        if !in_block && !start.starts_with("//") {
            kept.push_str(line);
            kept.push('\n');
        }
        in_block &= !line.trim_end().ends_with("*/");
    }
    kept
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

fn brotli(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut compressed = Vec::new();
    let params = brotli::enc::BrotliEncoderParams { quality: 11, ..Default::default() };
    brotli::BrotliCompress(&mut &content[..], &mut compressed, &params)?;
    Ok(compressed)
}

fn gzip(content: &[u8]) -> io::Result<Vec<u8>> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(content)?;
    encoder.finish()
}
