//! The steps: the example flow of draft-ietf-mimi-protocol, section 3, and between them what is refused.

use anyhow::{Context as _, ensure};
use portcullis_core::member::Member;
use portcullis_core::wire::uri::ClientUri;

use super::forge::forged;
use super::lab::SUSPENDED;
use super::report::Wanted;
use super::stage::{Stage, name};
use crate::member::{Device, KEY_PACKAGE_LIFETIME};

/// Positions of the roles in the template `strict`.
const ORDINARY_USER: u32 = 2;
const GROUP_ADMIN: u32 = 3;

/// Cathy's SelfRemove, the Remove of her other client, and her entry taken out of the participant list.
const PROPOSALS_TO_LEAVE: usize = 3;

const CREATED: Wanted = Wanted::accepted(&["mimi.create-room"], "OWN_USER");
const CLAIMED: Wanted = Wanted::accepted(&["mimi.claim-elsewhere"], "PROVIDER_OF_TARGET_DECIDES");
const BY_ROLE: Wanted = Wanted::accepted(&["mimi.role-capability"], "ROLE_GRANTS");
const UPKEEP: Wanted = Wanted::accepted(&["mimi.alternative"], "ROLE_GRANTS_OTHERWISE");
const OPERATOR: Wanted = Wanted::recorded("part of the demo");
const MUTED: Wanted = Wanted::refused("not_allowed", &["company.muted"], "MUTED");
const ROLE_MAY_NOT: Wanted = Wanted::refused("not_allowed", &["mimi.role-change-matrix"], "ROLE_CHANGE_NOT_AUTHORIZED");
const TARGET_SUSPENDED: Wanted = Wanted::refused("not_allowed", &["company.suspended-target"], "TARGET_SUSPENDED");
const WRONG_EPOCH: Wanted = Wanted::refused("wrong_epoch", &[], "mls.epoch");
const FORGED: Wanted = Wanted::refused("not_allowed", &[], "mls.authenticity");
const GONE: Wanted = Wanted::refused("not_found", &[], "caller_has_nothing_to_do_with_the_room");

/// Everybody's devices before Cathy gets a new one.
struct Cast {
    alice: Device,
    bob_phone: Device,
    bob_laptop: Device,
    cathy_phone: Device,
}

/// Plays it all.
pub(super) async fn play(stage: &mut Stage<'_, '_>) -> anyhow::Result<()> {
    let mut cast = gather(stage).await?;
    found(stage, &mut cast).await?;
    converse(stage, &mut cast).await?;
    let mut cathy_laptop = newcomer(stage, &mut cast).await?;
    refusals(stage, &mut cast, &mut cathy_laptop).await?;
    race(stage, &mut cast, &mut cathy_laptop).await?;
    farewell(stage, cast, cathy_laptop).await
}

/// Registers users and devices, and publishes key packages of those who are to be added.
async fn gather(stage: &Stage<'_, '_>) -> anyhow::Result<Cast> {
    let device = async |client: &str| stage.lab.device(ClientUri::parse(client)?).await;
    let alice = device("mimi://a.example/d/alice/phone").await?;
    let mut bob_phone = device("mimi://b.example/d/bob/phone").await?;
    let mut bob_laptop = device("mimi://b.example/d/bob/laptop").await?;
    let mut cathy_phone = device("mimi://c.example/d/cathy/phone").await?;
    for device in [&mut bob_phone, &mut bob_laptop, &mut cathy_phone] {
        device.publish_key_packages(2).await?;
    }
    Ok(Cast { alice, bob_phone, bob_laptop, cathy_phone })
}

/// Alice opens the room and brings Bob in, who brings Cathy in.
async fn found(stage: &mut Stage<'_, '_>, cast: &mut Cast) -> anyhow::Result<()> {
    let Cast { alice, bob_phone, bob_laptop, cathy_phone } = cast;
    let room = stage.room.clone();
    let sent = alice.create_room(&room, "strict", "Clubhouse").await?;
    stage.tell(alice.client(), "creates `clubhouse` on a.example by template `strict`", &sent, CREATED).await?;

    let bob = bob_phone.user().clone();
    let (sent, packages) = alice.claim(&bob, &room).await?;
    stage.tell(alice.client(), "fetches key packages of bob's two clients", &sent, CLAIMED).await?;
    ensure!(packages.len() == 2, "there are {} key packages for bob's two clients", packages.len());
    let sent = alice.add(&room, packages, (bob, GROUP_ADMIN)).await?;
    stage.commit(alice, "adds bob as group_admin", &sent, BY_ROLE, &mut [bob_phone, bob_laptop]).await?;

    let cathy = cathy_phone.user().clone();
    let (sent, packages) = bob_phone.claim(&cathy, &room).await?;
    stage.tell(bob_phone.client(), "fetches a key package of cathy through the hub", &sent, CLAIMED).await?;
    ensure!(packages.len() == 1, "there are {} key packages for cathy's client", packages.len());
    let sent = bob_phone.add(&room, packages, (cathy, ORDINARY_USER)).await?;
    let others = &mut [alice, bob_laptop, cathy_phone];
    stage.commit(bob_phone, "adds cathy as ordinary_user through the hub", &sent, BY_ROLE, others).await
}

/// Messages all three ways.
async fn converse(stage: &mut Stage<'_, '_>, cast: &mut Cast) -> anyhow::Result<()> {
    let Cast { alice, bob_phone, bob_laptop, cathy_phone } = cast;
    stage.talk(alice, "Hi all!", BY_ROLE, &mut [bob_phone, bob_laptop, cathy_phone]).await?;
    stage.talk(bob_phone, "Hello Alice", BY_ROLE, &mut [alice, bob_laptop, cathy_phone]).await?;
    stage.talk(cathy_phone, "Hey both", BY_ROLE, &mut [alice, bob_phone, bob_laptop]).await
}

/// Cathy's new client joins by external commit and talks.
async fn newcomer(stage: &mut Stage<'_, '_>, cast: &mut Cast) -> anyhow::Result<Device> {
    let Cast { alice, bob_phone, bob_laptop, cathy_phone } = cast;
    let room = stage.room.clone();
    let mut laptop = stage.lab.device(ClientUri::parse("mimi://c.example/d/cathy/laptop")?).await?;
    let (sent, material) = laptop.ask_group_info(&room).await?;
    stage.tell(laptop.client(), "asks the hub for the GroupInfo", &sent, BY_ROLE).await?;
    let material = material.context("there is no GroupInfo to join by")?;
    let sent = laptop.external_join(&room, &material, None).await?;
    let others = &mut [&mut *alice, &mut *bob_phone, &mut *bob_laptop, &mut *cathy_phone];
    stage.commit(&laptop, "joins by external commit", &sent, BY_ROLE, others).await?;
    stage.talk(&mut laptop, "Me again", BY_ROLE, others).await?;
    Ok(laptop)
}

/// What roles, moderators and the company do not allow.
async fn refusals(stage: &mut Stage<'_, '_>, cast: &mut Cast, cathy_laptop: &mut Device) -> anyhow::Result<()> {
    let Cast { alice, bob_phone, bob_laptop, cathy_phone } = cast;
    let room = stage.room.clone();
    let sent = cathy_phone.remove(&room, alice.user()).await?;
    stage.tell(cathy_phone.client(), "removes alice, which her role may not", &sent, ROLE_MAY_NOT).await?;

    let cathy = cathy_phone.user().clone();
    stage.moderate("mute", &cathy, OPERATOR).await?;
    let sent = cathy_phone.say(&room, "Can you hear me?").await?;
    stage.tell(cathy_phone.client(), "says something while she is muted", &sent, MUTED).await?;
    stage.moderate("unmute", &cathy, OPERATOR).await?;
    let others = &mut [&mut *alice, bob_phone, bob_laptop, cathy_laptop];
    stage.talk(cathy_phone, "Now you can", BY_ROLE, others).await?;

    let mut dave = Member::new(ClientUri::parse(&format!("mimi://{SUSPENDED}/d/dave/phone"))?)?;
    let packages = dave.key_packages(1, KEY_PACKAGE_LIFETIME)?;
    let sent = alice.add(&room, packages, (dave.user().clone(), ORDINARY_USER)).await?;
    let what = format!("adds dave of {SUSPENDED}, which her company has suspended");
    stage.tell(alice.client(), what, &sent, TARGET_SUSPENDED).await
}

/// What the protocol does not allow: a second commit in an epoch, one for an epoch that is over, a forged one.
async fn race(stage: &mut Stage<'_, '_>, cast: &mut Cast, cathy_laptop: &mut Device) -> anyhow::Result<()> {
    let Cast { alice, bob_phone, bob_laptop, cathy_phone } = cast;
    let room = stage.room.clone();
    // Both come through their own provider, so that either may be the first.
    let (of_bob, of_cathy) = tokio::join!(bob_phone.commit_pending(&room), cathy_phone.commit_pending(&room));
    let (of_bob, of_cathy) = (of_bob?, of_cathy?);
    let ((winner, won), (loser, lost)) = if of_bob.answer.is_ok() {
        ((bob_phone, of_bob), (&mut *cathy_phone, of_cathy))
    } else {
        ((&mut *cathy_phone, of_cathy), (bob_phone, of_bob))
    };
    let what = |other: &Device| format!("renews its keys in the same moment as {}", name(other.client()));
    stage.tell(winner.client(), what(loser), &won, UPKEEP).await?;
    stage.tell(loser.client(), what(winner), &lost, WRONG_EPOCH).await?;

    let stale = bob_laptop.commit_pending(&room).await?;
    let differences = stage.follow(winner, &mut [loser, alice, bob_laptop, cathy_laptop]).await?;
    let what = "renews its keys without having heard of that, then follows";
    stage.tell_with(bob_laptop.client(), what, &stale, WRONG_EPOCH, differences).await?;

    let commit = cathy_phone.member_mut().commit_pending(&room)?;
    let sent = cathy_phone.update(&room, &forged(&commit)?).await?;
    stage.tell(cathy_phone.client(), "renews its keys, with a forged signature", &sent, FORGED).await
}

/// Cathy leaves; what she says later is not heard.
async fn farewell(stage: &mut Stage<'_, '_>, cast: Cast, mut cathy_laptop: Device) -> anyhow::Result<()> {
    let Cast { mut alice, mut bob_phone, mut bob_laptop, mut cathy_phone } = cast;
    let room = stage.room.clone();
    let late = cathy_laptop.member_mut().text(&room, "One more thing")?;
    let sent = cathy_phone.leave(&room).await?;
    stage.tell(cathy_phone.client(), "leaves with both clients, by proposals", &sent, BY_ROLE).await?;
    alice.until_proposed(&room, PROPOSALS_TO_LEAVE).await?;
    let sent = alice.commit_pending(&room).await?;
    let others = &mut [&mut bob_phone, &mut bob_laptop];
    stage.commit(&alice, "commits what cathy has proposed", &sent, UPKEEP, others).await?;
    for device in [&mut cathy_phone, &mut cathy_laptop] {
        device.until_removed(&room).await?;
    }
    let sent = cathy_laptop.submit(&room, &late).await?;
    stage.tell(cathy_laptop.client(), "says something after she has left", &sent, GONE).await
}
