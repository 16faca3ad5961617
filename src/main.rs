//! The `portcullis` command: parses and runs, nothing else.

fn main() -> std::process::ExitCode {
    portcullis::cli::main()
}
