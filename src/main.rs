//! Arguments into one call.

#![forbid(unsafe_code)]

fn main() -> std::process::ExitCode {
    keystead::cli::main()
}
