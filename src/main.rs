//! The `korfinsts` command: parse, run, print the error, exit code.

use std::process::ExitCode;

mod cli;
mod guard;

fn main() -> ExitCode {
    guard::files_that_may_not_grow();
    guard::panics_of_a_runtime_are_errors();
    cli::main()
}
