//! The `korfinsts` command: parse, run, print the error, exit code.

use std::process::ExitCode;

mod cli;

fn main() -> ExitCode {
    cli::main()
}
