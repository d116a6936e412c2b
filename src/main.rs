//! Arguments into one call.

fn main() -> std::process::ExitCode {
    keystead::cli::main()
}
