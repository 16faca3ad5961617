//! How the steps of the script are taken: sent, looked up in the hub's log, followed by everybody, and compared.

use portcullis_core::wire::uri::{ClientUri, Domain, RoomUri, UserUri};

use super::commands::{Entry, Operator};
use super::lab::Lab;
use super::report::{Decision, Report, Step, Wanted};
use crate::member::{Device, Sent};

/// The room that everything happens in.
const ROOM: &str = "mimi://a.example/r/clubhouse";

/// Where the script is played.
pub(super) struct Stage<'a, 'p> {
    pub(super) lab: &'a Lab,
    pub(super) room: RoomUri,
    hub: &'a Operator,
    report: &'a mut Report<'p>,
}

impl<'a, 'p> Stage<'a, 'p> {
    pub(super) fn new(lab: &'a Lab, report: &'a mut Report<'p>) -> anyhow::Result<Self> {
        let room = RoomUri::parse(ROOM)?;
        Ok(Self { hub: lab.hub(&room)?, room, lab, report })
    }

    /// Shows what `who` has sent and how it was decided.
    pub(super) async fn tell(
        &mut self,
        who: &ClientUri,
        what: impl Into<String>,
        sent: &Sent,
        wanted: Wanted,
    ) -> anyhow::Result<()> {
        self.tell_with(who, what, sent, wanted, Vec::new()).await
    }

    /// As [`Self::tell`], with what was seen already that should be otherwise.
    pub(super) async fn tell_with(
        &mut self,
        who: &ClientUri,
        what: impl Into<String>,
        sent: &Sent,
        wanted: Wanted,
        differences: Vec<String>,
    ) -> anyhow::Result<()> {
        let (log, entry) = self.decided(who, sent).await?;
        let step = Step {
            who: name(who),
            what: what.into(),
            decision: Decision::of(sent),
            exchange: sent.exchange,
            log,
            entry,
            differences,
        };
        self.report.step(&step, wanted);
        Ok(())
    }

    /// Whoever decided: the hub, or before it the gateway of the sender, which follows the room and refuses what it need
    /// not ask the hub for.
    async fn decided(&self, who: &ClientUri, sent: &Sent) -> anyhow::Result<(Domain, Entry)> {
        let (hub, own) = (self.room.domain(), who.domain());
        if let Some(decision) = sent.decision.filter(|_| own != hub) {
            let entry = self.lab.gateway(&own)?.operator.own_decision(decision).await?;
            if entry.outcome == "deny" {
                return Ok((own, entry));
            }
        }
        Ok((hub, self.hub.decision(sent).await?))
    }

    /// An operator of the hub mutes or unmutes (`verb`) a user.
    pub(super) async fn moderate(&mut self, verb: &str, user: &UserUri, wanted: Wanted) -> anyhow::Result<()> {
        let step = Step {
            who: "operator".to_owned(),
            what: format!("{verb}s {}", user.last_segment()),
            decision: Decision::Recorded,
            exchange: None,
            log: self.room.domain(),
            entry: self.hub.moderate(verb, &self.room, user).await?,
            differences: Vec::new(),
        };
        self.report.step(&step, wanted);
        Ok(())
    }

    /// A commit of `committer` that must be accepted: everybody else follows it.
    pub(super) async fn commit(
        &mut self,
        committer: &Device,
        what: impl Into<String>,
        sent: &Sent,
        wanted: Wanted,
        others: &mut [&mut Device],
    ) -> anyhow::Result<()> {
        let differences = self.follow(committer, others).await?;
        self.tell_with(committer.client(), what, sent, wanted, differences).await
    }

    /// `others` come to the epoch of `first`, and share its secrets.
    pub(super) async fn follow(&self, first: &Device, others: &mut [&mut Device]) -> anyhow::Result<Vec<String>> {
        let epoch = first.member().epoch(&self.room)?;
        let secret = first.member().epoch_authenticator(&self.room)?;
        let mut differences = Vec::new();
        for device in others {
            device.until_epoch(&self.room, epoch).await?;
            if device.member().epoch_authenticator(&self.room)? != secret {
                differences.push(format!("{} has other secrets than {}", name(device.client()), name(first.client())));
            }
        }
        Ok(differences)
    }

    /// `speaker` says something, and each of `hearers` decrypts it and looks who has said it.
    pub(super) async fn talk(
        &mut self,
        speaker: &mut Device,
        text: &str,
        wanted: Wanted,
        hearers: &mut [&mut Device],
    ) -> anyhow::Result<()> {
        let sent = speaker.say(&self.room, text).await?;
        let mut differences = Vec::new();
        if sent.answer.is_ok() {
            for hearer in &mut *hearers {
                let heard = hearer.until_text(&self.room, text).await?;
                if (&heard.client, &heard.sender) != (speaker.client(), speaker.user()) {
                    differences.push(format!("{} takes it for one of {}", name(hearer.client()), name(&heard.client)));
                }
            }
        }
        let what = format!("says \"{text}\", read by {} devices", hearers.len());
        self.tell_with(speaker.client(), what, &sent, wanted, differences).await
    }
}

/// A client by its user and its own name.
pub(super) fn name(client: &ClientUri) -> String {
    let user = client.user();
    let user = user.as_ref().map_or("?", |user| user.last_segment());
    format!("{user}/{}", client.last_segment())
}
