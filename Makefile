# `make demo` runs the main job; `make test` runs every test. Both install what is missing.

.PHONY: demo test check
demo:
	@scripts/setup build
	cargo run -- demo

test:
	@scripts/setup test
	cargo nextest run --workspace --all-features

check:
	cargo fmt --all --check
	cargo clippy --workspace --all-targets --all-features -- -D warnings
