//! The `korfinsts` command: parse, run, print the error, exit code.

use std::process::ExitCode;

mod cli;
mod guard;

fn main() -> ExitCode {
    guard::files_that_may_not_grow();
    cli::main()
}
