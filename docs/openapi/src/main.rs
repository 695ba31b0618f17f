//! Writes the API description to the file given as the argument.

use std::process::ExitCode;
use std::{env, fs};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Some(path) = env::args_os().nth(1) else { return Err("no output file given; pass its path".into()) };
    fs::write(path, relay_openapi::yaml()?)?;
    Ok(ExitCode::SUCCESS)
}
