//! Every vector decodes and encodes to itself, and says what its fields say.

use portcullis_core::mls::crypto::HubCrypto;
use portcullis_core::mls::labels::{FRANKING_INTEGRITY, LabelError, verify_with_label};
use portcullis_core::time::Millis;
use portcullis_core::wire::frank::{FrankingContext, FrankingTbs, franking_tag, server_frank};
use portcullis_core::wire::group_info::GroupInfoOutcome;
use portcullis_core::wire::key_material::{ClientKeyMaterial, KeyMaterialUserCode};
use portcullis_core::wire::mls::{MlsKind, MlsMessage};
use portcullis_core::wire::notify::FanoutBody;
use portcullis_core::wire::report_abuse::AbuseType;
use portcullis_core::wire::submit::SubmitOutcome;
use portcullis_core::wire::update::{GroupInfoOption, RatchetTreeOption, RatchetTreePresence};

use super::*;

fn decoded<T: Wire>(group: &str, name: &str) -> T {
    T::decode(&vector(group, name).bytes).unwrap()
}

#[test]
fn every_vector_of_a_known_struct_encodes_to_itself() {
    let mut covered = 0;
    for vector in vectors() {
        let codec = vector.codec();
        let (group, name) = (&vector.group, &vector.name);
        assert_eq!(codec(&vector.bytes).as_deref(), Ok(vector.bytes.as_slice()), "{group}: {name}");
        assert_eq!(vector.json["length"], vector.bytes.len(), "{group}: {name}");
        covered += 1;
    }
    assert_eq!(covered, 55);
}

#[test]
fn the_named_capabilities_are_those_of_the_draft() {
    let file: Value = serde_json::from_str(include_str!("../vectors/mimi-vectors.json")).unwrap();
    let numbers = file["capabilities"].as_object().unwrap();
    for (name, number) in numbers {
        assert_eq!(Capability::from_name(name).map(|capability| capability.0.into()), number.as_u64(), "{name}");
    }
    assert_eq!(numbers.len(), Capability::NAMED.len());
}

#[test]
fn roles_say_what_their_examples_say() {
    for name in ["cooperative", "strict", "moderated", "multi_org"] {
        let vector = vector("policy", &format!("roles_list/{name}"));
        let roles = RolesList::decode(&vector.bytes).unwrap().roles;
        assert_eq!(roles.len(), vector.fields().as_array().unwrap().len());
        for (role, fields) in roles.iter().zip(vector.fields().as_array().unwrap()) {
            assert_eq!(fields["role_index"], role.role_index);
            assert_eq!(fields["role_name"], role.name);
            let numbers: Vec<u16> = role.capabilities.iter().map(|capability| capability.0).collect();
            assert_eq!(fields["capability_numbers"], serde_json::json!(numbers));
            assert_eq!(fields["min"], role.min_participants);
            assert_eq!(fields["max"], serde_json::json!(role.max_participants));
            assert_eq!(fields["min_active"], role.min_active);
            assert_eq!(fields["max_active"], serde_json::json!(role.max_active));
            let changes = role.authorized_role_changes.iter();
            let changes: Vec<_> =
                changes.map(|change| (change.from_role_index, change.target_role_indexes.clone())).collect();
            assert_eq!(fields["changes"], serde_json::json!(changes));
        }
    }
}

#[test]
fn participants_say_what_their_example_says() {
    let vector = vector("participant_list", "data/epoch0");
    let list = ParticipantList::decode(&vector.bytes).unwrap().participants;
    let pairs: Vec<_> = list.iter().map(|participant| (participant.user.as_str(), participant.role_index)).collect();
    assert_eq!(*vector.fields(), serde_json::json!(pairs));

    let update: ParticipantListUpdate = decoded("participant_list", "update/bob->3,remove cathy(idx2),add diana");
    assert_eq!(update.changed, [RoleChange { user_index: 1, role_index: 3 }]);
    assert_eq!(update.removed, [2]);
    assert_eq!(update.added[0].user.as_str(), "mimi://d.example/u/diana");
}

#[test]
fn policies_say_what_their_examples_say() {
    let base: BaseRoomPolicy = decoded("policy", "base_room_policy/dm-in-parent");
    assert!(base.fixed_membership && base.parent_dependant && base.pseudonyms_allowed && !base.multi_device);
    assert_eq!(base.parent_room.unwrap().as_str(), "mimi://a.example/r/clubhouse");
    assert_eq!((base.max_clients, base.max_users), (None, Some(2)));

    let preview: LinkPreviewPolicy = decoded("policy", "link_preview/proxy-required");
    let proxies = Proxies { uris: vec!["https://preview.a.example/".into()] };
    assert_eq!(preview.proxy_use, Conditional::Required(proxies));

    let assets: AssetPolicy = decoded("policy", "asset_policy");
    assert_eq!(assets.upload_location, AssetUploadLocation::LocalProvider);
    assert_eq!(assets.download_privacy.forbidden, [DownloadType::Direct]);
    assert_eq!(assets.max_attachment_bytes, 52_428_800);
    assert_eq!(assets.forbidden_media_types[0].media_type, "application/x-msdownload");

    let expiry: MessageExpirationPolicy = decoded("policy", "expiration/required");
    let limits = ExpirationLimits { min_seconds: 60, max_seconds: 2_592_000, default_seconds: Some(86_400) };
    assert_eq!(expiry.expiring_messages, Conditional::Required(limits));

    let operational: OperationalParameters = decoded("policy", "operational");
    assert_eq!(operational.handshake_formats, [1]);
    assert_eq!(operational.pending_proposal_policy, PendingProposalPolicy::RandomDelay { min_ms: 500, max_ms: 5000 });
    assert_eq!(operational.app_message_policy.epoch_tolerance, 3);
    assert_eq!((operational.max_keypairs, operational.max_buffered), (1000, 100));
}

#[test]
fn a_group_context_holds_its_components_by_number() {
    let dictionary: Dictionary = decoded("group_context", "app_data_dictionary");
    let participants = dictionary.read::<ParticipantList>().unwrap().unwrap();
    assert_eq!(participants, decoded("participant_list", "data/epoch0"));
    assert_eq!(dictionary.read::<RoomMetadata>().unwrap().unwrap().name, "Clubhouse");
    assert_eq!(dictionary.read::<SafeAadComponents>().unwrap().unwrap().components, [ComponentId::FRANK_AAD]);
    assert!(dictionary.read::<AppComponents>().unwrap().unwrap().components.contains(&ComponentId::ROLES_LIST));
    assert_eq!(dictionary.read::<BotPolicy>(), Ok(None));

    let mut rewritten = Dictionary::default();
    rewritten.write(&participants);
    assert_eq!(rewritten.get(ComponentId::PARTICIPANT_LIST), dictionary.get(ComponentId::PARTICIPANT_LIST));
}

#[test]
fn a_key_material_request_signs_all_but_its_signature() {
    let vector = vector("keyMaterial", "request");
    let request = KeyMaterialRequest::decode(&vector.bytes).unwrap();
    assert_eq!(request.tbs(), vector.hex("tbs_hex"));
    assert_eq!(request.signature, vector.hex("signature"));
    assert_eq!(request.requester_signature_key, unhex(vector.fields()["requesterSignatureKey"].as_str().unwrap()));
    assert_eq!(request.target_user.as_str(), vector.fields()["targetUser"]);
    assert_eq!(request.room.as_ref().map(|room| room.as_str()), vector.fields()["roomId"].as_str());
    assert_eq!(request.required_capabilities.proposal_types, [8, 10]);

    let without_room = KeyMaterialRequest { room: None, ..request };
    assert_eq!(KeyMaterialRequest::decode(&without_room.encode()), Ok(without_room));
}

#[test]
fn key_material_keeps_the_exact_key_package() {
    let vector = vector("keyMaterial", "response/partialSuccess");
    let response = KeyMaterialResponse::decode(&vector.bytes).unwrap();
    assert_eq!(response.status, KeyMaterialUserCode::PartialSuccess);
    let ClientKeyMaterial::Success { key_package, .. } = &response.clients[0] else { panic!("no KeyPackage") };
    assert_eq!(key_package.as_bytes(), vector.hex("key_package_hex"));
    assert_eq!(key_package.message().key_package().as_ref(), Some(key_package));
    assert!(matches!(response.clients[1], ClientKeyMaterial::Exhausted { .. }));
    assert!(matches!(&response.clients[2], ClientKeyMaterial::NothingCompatible { capabilities: Some(_), .. }));
    assert!(matches!(&response.clients[3], ClientKeyMaterial::NothingCompatible { capabilities: None, .. }));
}

#[test]
fn an_update_carries_a_commit_or_proposals() {
    let with_commit = vector("update", "request/commit partial+distributionService");
    let UpdateRequest::Commit(bundle) = UpdateRequest::decode(&with_commit.bytes).unwrap() else {
        panic!("not a commit")
    };
    assert_eq!(bundle.commit.as_bytes(), with_commit.hex("commit_hex"));
    assert_eq!((bundle.commit.kind(), bundle.commit.epoch()), (MlsKind::Commit, Some(0)));
    assert_eq!(bundle.welcome, None);
    assert_eq!(bundle.ratchet_tree, RatchetTreeOption::DistributionService);
    let GroupInfoOption::Partial(partial) = bundle.group_info else { panic!("not partial") };
    assert_eq!(partial.ratchet_tree_presence, RatchetTreePresence::NoRatchetTree);
    assert_eq!(partial.extensions[0].extension_type, 4);

    let with_proposals = vector("update", "request/two proposals");
    let UpdateRequest::Proposals(proposals) = UpdateRequest::decode(&with_proposals.bytes).unwrap() else {
        panic!("not proposals")
    };
    assert_eq!(proposals.len(), 2);
    assert_eq!(proposals[0].as_bytes(), with_proposals.hex("proposal_hex"));
    assert_eq!(proposals[0].kind(), MlsKind::Proposal);
}

#[test]
fn update_answers_carry_what_their_code_asks_for() {
    let success: UpdateResponse = decoded("update", "response/success");
    assert_eq!(success, UpdateResponse::Success { description: String::new(), accepted_at: Millis(1_700_000_000_123) });
    let wrong_epoch: UpdateResponse = decoded("update", "response/wrongEpoch");
    assert_eq!(wrong_epoch, UpdateResponse::WrongEpoch { description: "wrong epoch".into(), current: 42 });
    let invalid: UpdateResponse = decoded("update", "response/invalidProposal");
    assert_eq!(
        invalid,
        UpdateResponse::InvalidProposal { description: String::new(), references: vec![vec![0x11; 32]] }
    );
}

#[test]
fn a_submitted_message_shows_its_group_epoch_and_authenticated_data() {
    let vector = vector("submitMessage", "request");
    let request = SubmitMessageRequest::decode(&vector.bytes).unwrap();
    assert_eq!(request.sender.as_str(), "mimi://c.example/u/cathy");
    assert_eq!(request.message.as_bytes(), vector.hex("message_hex"));
    assert_eq!((request.message.kind(), request.message.epoch()), (MlsKind::Application, Some(1)));
    assert_eq!(request.message.authenticated_data(), Some(b"aad".as_slice()));
    assert!(request.message.protocol_message().is_ok());
    assert_eq!(MlsMessage::decode(request.message.as_bytes()), Ok(request.message));

    let accepted: SubmitMessageResponse = decoded("submitMessage", "response/accepted+frank");
    let SubmitOutcome::Accepted { accepted_at, frank: Some(frank) } = accepted.outcome else { panic!("no frank") };
    assert_eq!(accepted_at, Millis(1_644_387_225_019));
    assert_eq!(frank, decoded("franking", "bare"));
}

#[test]
fn franks_recompute_from_tag_key_and_context() {
    for name in ["bare", "framed"] {
        let vector = vector("franking", name);
        let text = |key: &str| vector.fields()[key].as_str().unwrap();
        let context = FrankingContext {
            sender: text("sender_uri").parse().unwrap(),
            room: text("room_uri").parse().unwrap(),
            accepted_at: Millis(vector.fields()["accepted_timestamp"].as_u64().unwrap()),
        };
        assert_eq!(context.encode(), vector.hex("context_hex"));
        let hub_key = unhex(text("hub_key")).try_into().unwrap();
        let tag = vector.hex("franking_tag").try_into().unwrap();
        let frank = Frank::decode(&vector.bytes).unwrap();
        assert_eq!(server_frank(&hub_key, &tag, &context), frank.server_frank);
        assert_eq!(frank.signature, vector.hex("signature"));
        let tbs = FrankingTbs { server_frank: frank.server_frank, signature_suite: frank.signature_suite, context };
        assert_eq!(tbs.encode(), vector.hex("tbs_hex"));
        let key = unhex(text("franking_signature_key"));
        let verify = |content: &[u8]| {
            let suite = frank.signature_suite;
            verify_with_label(&HubCrypto::default(), suite, &key, FRANKING_INTEGRITY, content, &frank.signature)
        };
        assert_eq!(verify(&tbs.encode()), Ok(()));
        assert_eq!(verify(&tbs.encode()[1..]), Err(LabelError::Signature));
        let aad = SafeAad::decode(&vector.hex("safe_aad_hex")).unwrap();
        assert_eq!(aad.franking_tag(), Some(tag));
        assert_eq!(SafeAad::with_frank(&tag), aad);
        let agent = FrankingAgent::decode(&vector.hex("agent_data_hex")).unwrap();
        assert_eq!(agent.signature_key, unhex(text("franking_signature_key")));
        assert_eq!(agent.encode(), vector.hex("agent_data_hex"));
    }
}

#[test]
fn a_franking_tag_is_the_hmac_of_the_application_data_under_the_salt() {
    let known = unhex("bfac3d68f555e23323a53af7366c36426992ee0772dc7e641b099cee82aee354");
    assert_eq!(franking_tag(&[7; 16], b"hello").as_slice(), known);
}

#[test]
fn fan_out_tells_kinds_apart_by_the_message_alone() {
    let application: FanoutMessage = decoded("notify", "application+frank");
    assert_eq!(application.timestamp, Millis(1_644_387_225_019));
    assert!(matches!(application.body, FanoutBody::Application { frank: Some(_), .. }));

    let vector = vector("notify", "welcome+distributionService tree");
    let FanoutBody::Welcome { message, tree } = FanoutMessage::decode(&vector.bytes).unwrap().body else {
        panic!("not a Welcome")
    };
    assert_eq!(message.as_bytes(), vector.hex("welcome_hex"));
    assert_eq!(tree, RatchetTreeOption::DistributionService);
    let welcome = message.welcome().unwrap();
    assert_eq!(welcome.references().iter().map(Vec::len).collect::<Vec<_>>(), [32]);
    assert_eq!(welcome.message(), message);
    assert_eq!((message.group_id(), message.epoch()), (None, None));
}

#[test]
fn a_batch_falls_apart_into_exact_messages() {
    let vector = super::vector("notify", "batch: proposal, commit");
    let batch = decode_batch(&vector.bytes).unwrap();
    assert!(matches!(batch[0].0.body, FanoutBody::Proposal { .. }));
    assert!(matches!(batch[1].0.body, FanoutBody::Commit { .. }));
    assert_eq!(batch.iter().flat_map(|(_, exact)| exact.clone()).collect::<Vec<_>>(), vector.bytes);
    assert_eq!(decode_batch(&[]), Err(DecodeError::Truncated("FanoutMessage")));
}

#[test]
fn group_info_signs_all_but_the_signature_and_refusals_not_at_all() {
    for name in ["request with joiningCode", "request without joiningCode"] {
        let vector = vector("groupInfo", name);
        let request = GroupInfoRequest::decode(&vector.bytes).unwrap();
        assert_eq!(request.tbs(), vector.hex("tbs_hex"));
        let code = vector.fields()["joiningCode"].as_str();
        assert_eq!(request.joining_code.as_deref(), code.map(str::as_bytes));
    }
    let vector = vector("groupInfo", "response/success (dummy HPKE ciphertext)");
    let success = GroupInfoResponse::decode(&vector.bytes).unwrap();
    assert_eq!(success.tbs(), Some(vector.hex("tbs_hex")));
    let refusal: GroupInfoResponse = decoded("groupInfo", "response/notAuthorized");
    assert_eq!((refusal.tbs(), refusal.outcome), (None, GroupInfoOutcome::NotAuthorized));
}

#[test]
fn an_abuse_report_says_what_its_example_says() {
    let vector = vector("reportAbuse", "report");
    let report = AbuseReport::decode(&vector.bytes).unwrap();
    let text = |key: &str| vector.fields()[key].as_str().unwrap();
    assert_eq!(report.reporter.as_ref().map(|user| user.as_str()), Some(text("reportingUser")));
    assert_eq!(report.alleged.as_str(), text("allegedAbuserUri"));
    assert_eq!((report.reason.0, report.note.as_slice()), (0, text("note").as_bytes()));
    let [message] = &report.messages[..] else { panic!("one message") };
    assert_eq!(message.frank, decoded("franking", "bare"));
    let anonymous = AbuseReport { reporter: None, ..report.clone() };
    assert_eq!(AbuseReport::decode(&anonymous.encode()), Ok(anonymous));
    // Nobody has given the reasons numbers yet: all are taken.
    let other = AbuseReport { reason: AbuseType(255), ..report };
    assert_eq!(AbuseReport::decode(&other.encode()), Ok(other));
}
