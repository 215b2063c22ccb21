//! The document of results: parts that are measured, and written, each on its own.
//!
//! Each part stands between two comments that do not show. Writing one keeps what the others were when they were
//! measured last, with their own dates.

use crate::failure::Failure;
use std::path::Path;

const TITLE: &str = "# Benchmarks\n";
const INTRODUCTION: &str = "
`make bench` writes this page. Its parts are measured one after the other, and one alone with `--only`; each says when
and where it was.
";

/// The parts in the order in which they stand. What a profile showed is written by hand, and kept like the others.
const PARTS: [&str; 8] = ["locks", "handover", "python", "run", "server", "starts", "profile", "hostile"];

/// Puts `text` in place of the part `name` in the document at `path`.
///
/// # Errors
/// The document cannot be read or written, or has no place for such a part.
pub(crate) fn write(path: &Path, name: &str, text: &str) -> Result<(), Failure> {
    if !PARTS.contains(&name) {
        return Err(Failure::Refused(format!(
            "{name} has no place in the report; what was measured would be lost"
        )));
    }
    if let Some(directory) = path.parent() {
        std::fs::create_dir_all(directory).map_err(Failure::io("making the report's directory"))?;
    }
    let old = match std::fs::read_to_string(path) {
        Ok(old) => old,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Err(error) => return Err(Failure::io("reading the report of before")(error)),
    };
    std::fs::write(path, with(&old, name, text)).map_err(Failure::io("writing the report"))?;
    eprintln!("written: {name}, in {}", path.display());
    Ok(())
}

/// The document with one part exchanged.
fn with(old: &str, name: &str, text: &str) -> String {
    let mut document = format!("{TITLE}{INTRODUCTION}");
    for part in PARTS {
        let text = if part == name { Some(text) } else { find(old, part) };
        if let Some(text) = text {
            document += &format!("\n{}\n{}\n{}\n", begin(part), text.trim_end(), end(part));
        }
    }
    document
}

fn find<'a>(document: &'a str, part: &str) -> Option<&'a str> {
    let (_, rest) = document.split_once(&format!("{}\n", begin(part)))?;
    rest.split_once(&end(part)).map(|(text, _)| text)
}

fn begin(part: &str) -> String {
    format!("<!-- begin {part} -->")
}

fn end(part: &str) -> String {
    format!("<!-- end {part} -->")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_is_exchanged_and_the_others_stay() {
        let both = with(&with("", "server", "slow\n"), "locks", "many\n");
        assert!(both.find("many").unwrap() < both.find("slow").unwrap(), "{both}");
        let newer = with(&both, "server", "fast\n");
        assert_eq!(newer, both.replace("slow", "fast"));
        assert_eq!(with(&newer, "server", "fast\n"), newer);
    }
}
