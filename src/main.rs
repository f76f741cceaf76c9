//! The `korfinsts` command: parse, run, print the error, exit code.

use std::process::ExitCode;

fn main() -> ExitCode {
    korfinsts::cli::main()
}
