//! Benchmarks of whole gateways: `cargo bench --bench gateway` runs all, `-- submit`, `-- commit`, `-- start`,
//! `-- reload` or `-- simulate` those of that name.
#![expect(clippy::print_stdout, clippy::unwrap_used, reason = "a benchmark prints, and has failed when it panics")]

mod commit;
#[path = "../crowd.rs"]
mod crowd;
mod reload;
mod simulate;
mod start;
#[path = "../store.rs"]
mod store;
mod submit;

#[path = "../../tests/harness/mod.rs"]
#[expect(dead_code, reason = "the tests use more of it")]
mod harness;

fn main() {
    let wanted: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let runs = |name: &str| wanted.is_empty() || wanted.iter().any(|it| it == name);
    // It blocks on the database, which nothing that runs on a runtime may.
    if runs("simulate") {
        simulate::run();
    }
    actix_web::rt::System::new().block_on(async {
        if runs("start") {
            start::run().await;
        }
        if runs("reload") {
            reload::run().await;
        }
        if runs("commit") {
            commit::run().await;
        }
        if runs("submit") {
            submit::run().await;
        }
    });
}
