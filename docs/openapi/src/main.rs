//! Writes the description of the API into the file that is named.

use std::process::ExitCode;
use std::{env, fs};

fn main() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let Some(path) = env::args_os().nth(1) else { return Err("say which file to write".into()) };
    fs::write(path, relay_openapi::yaml()?)?;
    Ok(ExitCode::SUCCESS)
}
