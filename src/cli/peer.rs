//! `portcullis peer`: cards by which two providers make each other known, and the letting in of one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use anyhow::Context as _;
use clap::Subcommand;
use portcullis_core::wire::uri::Domain;
use portcullis_store::audit::{AuditRecord, Outcome};
use portcullis_store::standings::{self, Decided, Standing};
use portcullis_store::{Store, StoreError};
use serde_json::json;
use uuid::Uuid;

use super::host::{Host, change, operator};
use super::{Failure, output};
use crate::addresses::{Address, Known, Resolved, Resolver};
use crate::config::Config;
use crate::gateway::admin::worded;
use crate::gateway::{Clock, asked_record};
use crate::peer::{PeerCard, PeerList, TlsMaterial};

/// The write lane of what people decide.
const LANE: &str = "admin";

/// Arguments of `portcullis peer`.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Example, on both sides:
  portcullis peer card --config gw/gateway.yaml > a.json          # give it to the other provider
  portcullis peer add b.json --reason 'contract 7' --config gw/gateway.yaml
  portcullis peer confirm b.example --code 3f1c-09aa-1b2c-3d4e --reason 'read on the phone' --config gw/gateway.yaml

Which provider has the users of an address:
  portcullis peer resolve bob@b.example --config gw/gateway.yaml
  portcullis peer resolve bob@mail.b.example --json --config gw/gateway.yaml

The code is made of both cards: people read it to each other by a way that they trust, and let the other in when it is the same.")]
pub(super) struct Args {
    #[command(flatten)]
    host: Host,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Print the card of this gateway.
    Card,
    /// Take the card of another provider, and print the code to compare. It is refused at the door until it is confirmed.
    Add {
        /// Its card.
        card: PathBuf,
        /// The code that its people have read; needed where one of its domains is not new, for the card counts at once there.
        #[arg(long)]
        code: Option<String>,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
    /// Print which provider has the users of an e-mail address, and who says so; 2 where there is none.
    ///
    /// By the rules of the gateway: its own domains, `addresses.providers`, peers by their names, and what the domain says when it
    /// is asked, where `addresses.probe` lets it be. That it was asked goes into the audit log.
    Resolve {
        /// The address.
        address: Address,
        /// Print a JSON object.
        #[arg(long)]
        json: bool,
    },
    /// Let a provider in whose card was taken.
    Confirm {
        /// One of its domains.
        #[arg(value_parser = Domain::parse)]
        domain: Domain,
        /// The code that its people have read.
        #[arg(long)]
        code: String,
        /// Why; goes into the audit log.
        #[arg(long, value_parser = worded)]
        reason: String,
    },
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let config = args.host.config()?;
    let own = || own(&config);
    match &args.command {
        Command::Card => {
            output::line(serde_json::to_string_pretty(&own()?).map_err(anyhow::Error::from)?);
            Ok(())
        }
        Command::Add { card, code, reason } => {
            let text = std::fs::read_to_string(card).with_context(|| format!("cannot read `{}`", card.display()))?;
            let parsed = PeerCard::parse(&text);
            let theirs = parsed.map_err(|why| Failure::failed(format!("`{}` is no card: {why}", card.display())))?;
            add(&args.host.open()?, &config, (&own()?, &theirs), code.as_deref(), reason)
        }
        Command::Resolve { address, json } => resolve(&args.host.open()?, &config, address, *json),
        Command::Confirm { domain, code, reason } => confirm(&args.host.open()?, &own()?, domain, code, reason),
    }
}

fn own(config: &Config) -> Result<PeerCard, Failure> {
    let tls = TlsMaterial::load(&config.keys).map_err(anyhow::Error::from)?;
    Ok(PeerCard::of(config, &tls).map_err(anyhow::Error::from)?)
}

fn add(
    store: &Store,
    config: &Config,
    (own, theirs): (&PeerCard, &PeerCard),
    code: Option<&str>,
    reason: &str,
) -> Result<(), Failure> {
    if let Some(domain) = theirs.domains.iter().find(|domain| config.domains.contains(domain)) {
        return Err(Failure::failed(format!("`{domain}` is a domain of this gateway itself")));
    }
    code.map_or(Ok(()), |code| compare(own, theirs, code))?;
    let compared = code.is_some();
    let text = serde_json::to_string(theirs).map_err(anyhow::Error::from)?;
    let configured: Vec<Domain> = config.peers.iter().map(|peer| peer.domain.clone()).collect();
    let (domains, by, why) = (theirs.domains.clone(), operator(), reason.to_owned());
    let known = change(store, LANE, "", move |tx, now| {
        let decided: BTreeMap<Domain, Standing> =
            standings::all(tx)?.into_iter().map(|decided| (decided.domain, decided.standing)).collect();
        let is_new = |domain: &&Domain| match decided.get(*domain) {
            Some(standing) => *standing == Standing::Pending,
            None => !configured.contains(domain),
        };
        let known = domains.iter().find(|domain| !is_new(domain));
        if let Some(known) = known
            && !compared
        {
            return Ok(Some(known.clone()));
        }
        for domain in &domains {
            standings::keep_card(tx, domain, &text, &by, now)?;
            let record = record("peer.card_taken", domain, &by, &why, now);
            // Who is in, or was put out, stays so: what changes is what is known of it.
            if is_new(&domain) && !decided.contains_key(domain) {
                let (by, reason, decision) = (by.clone(), why.clone(), record.event);
                let at = now;
                let pending = Decided { domain: domain.clone(), standing: Standing::Pending, by, at, reason, decision };
                standings::decide(tx, &pending)?;
            }
            tx.stage(&record)?;
        }
        Ok(None)
    })?;
    for (what, values) in [("key", &theirs.spki), ("contact", &theirs.contacts), ("asset host", &theirs.asset_hosts)] {
        values.iter().for_each(|value| output::line(format!("{what}: {value}")));
    }
    output::line(format!("directory: {}", theirs.directory));
    let domains: Vec<&str> = theirs.domains.iter().map(Domain::as_str).collect();
    output::line(format!("code for {}: {}", domains.join(", "), own.code_with(theirs)));
    match known {
        None => Ok(()),
        Some(domain) => Err(Failure::failed(format!(
            "`{domain}` is known already, so that the card would count at once: it was not taken; compare the code with its \
             people first, and give the one that they read with `--code`"
        ))),
    }
}

/// Whether the code is the one of both cards.
fn compare(own: &PeerCard, theirs: &PeerCard, code: &str) -> Result<(), Failure> {
    if own.code_with(theirs).eq_ignore_ascii_case(code.trim()) {
        return Ok(());
    }
    Err(Failure::failed("that is not the code of both cards: one of them is not as it was given, or out of date"))
}

fn confirm(store: &Store, own: &PeerCard, domain: &Domain, code: &str, reason: &str) -> Result<(), Failure> {
    let cards = store.read(standings::cards).map_err(|error: StoreError| anyhow::Error::from(error))?;
    let Some((_, text)) = cards.into_iter().find(|(of, _)| of == domain) else {
        return Err(Failure::failed(format!("there is no card of `{domain}`; add it first")));
    };
    let theirs = PeerCard::parse(&text)
        .map_err(|why| Failure::failed(format!("the card of `{domain}` cannot be read: {why}")))?;
    compare(own, &theirs, code)?;
    let (domains, by, why) = (theirs.domains, operator(), reason.to_owned());
    change(store, LANE, "none of its domains waits to be let in", move |tx, now| {
        let pending = standings::all(tx)?.into_iter().filter(|decided| decided.standing == Standing::Pending);
        let mut waiting: Vec<Domain> =
            pending.map(|decided| decided.domain).filter(|it| domains.contains(it)).collect();
        // Of which another card was taken since, nobody has compared the code.
        let cards = standings::cards(tx)?;
        waiting.retain(|it| cards.iter().any(|(of, kept)| of == it && *kept == text));
        if waiting.is_empty() {
            return Err(StoreError::Missing);
        }
        for domain in waiting {
            let record = record("peer.confirmed", &domain, &by, &why, now);
            let (by, reason, decision) = (by.clone(), why.clone(), record.event);
            standings::decide(tx, &Decided { domain, standing: Standing::Allowed, by, at: now, reason, decision })?;
            tx.stage(&record)?;
        }
        Ok(())
    })
}

fn resolve(store: &Store, config: &Config, address: &Address, as_json: bool) -> Result<(), Failure> {
    let resolver = Resolver::new(config).context("cannot read `assets.trust`")?;
    let peers = PeerList::new(config.peers.iter().cloned());
    let read = store.read(|conn| Ok::<_, StoreError>((standings::all(conn)?, standings::cards(conn)?)));
    let (decided, cards) = read.map_err(anyhow::Error::from)?;
    peers.replace_cards(cards.into_iter().map(|(domain, text)| (domain, PeerCard::parse(&text))));
    peers.replace(decided);
    let (mail, now) = (address.domain(), Clock::default().now());
    let said = match resolver.known(&peers, mail, now) {
        Known::Settled(settled) => settled,
        Known::ToBeAsked => {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            let said = runtime.context("cannot ask anybody")?.block_on(resolver.ask(&peers, mail, now));
            let record = asked_record(mail, &operator(), &said, now);
            change(store, LANE, "", move |tx, _| tx.stage(&record))?;
            said
        }
    };
    let Resolved { provider, by } = said.map_err(|why| Failure::failed(why.to_string()))?;
    if as_json {
        return Ok(output::json(&json!({ "domain": mail, "provider": provider, "by": by.name() }))?);
    }
    output::line(format!("{provider} (by {})", by.name()));
    Ok(())
}

fn record(
    kind: &'static str,
    domain: &Domain,
    by: &str,
    reason: &str,
    now: portcullis_core::time::Millis,
) -> AuditRecord {
    AuditRecord {
        actor: Some(by.to_owned()),
        peer: Some(domain.clone()),
        reason: reason.to_owned(),
        detail: json!({ "domain": domain }),
        ..AuditRecord::new(Uuid::now_v7(), now, kind, Outcome::Info)
    }
}
