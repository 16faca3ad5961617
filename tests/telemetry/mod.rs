//! What gateways report: the audit log, traces and metrics, in a collector as operators run it and in one that is told
//! what to refuse.

mod export;
mod receiver;
mod rotel;
mod signals;

use receiver::Receiver;
use rotel::Rotel;

use crate::harness::{Gateway, Lab, edit};

/// Gateways that export to `collector`, not running yet.
fn lab_with(domains: &[&str], collector: &str) -> Lab {
    let lab = Lab::new(domains);
    for gateway in &lab.gateways {
        report_to(gateway, collector);
    }
    lab
}

fn report_to(gateway: &Gateway, collector: &str) {
    let file = gateway.config_file();
    let text = std::fs::read_to_string(&file).unwrap();
    let without: Vec<&str> = text.lines().filter(|line| !line.starts_with("telemetry")).collect();
    std::fs::write(&file, without.join("\n") + "\n").unwrap();
    edit(&file, "domains:", &format!("telemetry: {{ otlp: '{collector}' }}\ndomains:"));
}

async fn open(lab: &mut Lab) {
    for gateway in &mut lab.gateways {
        gateway.start();
    }
    for gateway in &mut lab.gateways {
        gateway.ready().await;
    }
}
