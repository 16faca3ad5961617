//! Clients with x509 credentials beside those with basic ones: whose credentials everybody takes, and whose they stay.

use super::*;

const BASIC: CredentialType = CredentialType::Basic;
const X509: CredentialType = CredentialType::X509;

/// A key, and a certificate for it with these URIs.
fn certified(names: &[&str]) -> (SignatureKeyPair, Credential) {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    // An Ed25519 key in PKCS#8 has its seed after 16 octets (RFC 8410, section 7).
    let seed = key.serialize_der()[16..48].to_vec();
    let signer = SignatureKeyPair::from_raw(SignatureScheme::ED25519, seed, key.public_key_raw().to_vec());
    let mut params = rcgen::CertificateParams::default();
    params.subject_alt_names = names.iter().map(|name| rcgen::SanType::URI((*name).try_into().unwrap())).collect();
    let certificate = params.self_signed(&key).unwrap().der().to_vec();
    (signer, Credential::new(X509, raw(certificate)))
}

/// What a client can do that takes credentials of these types.
fn taking(types: &[CredentialType]) -> Capabilities {
    Capabilities::builder()
        .ciphersuites(vec![SUITE])
        .extensions(vec![ExtensionType::AppDataDictionary])
        .proposals(vec![ProposalType::AppDataUpdate, ProposalType::SelfRemove])
        .credentials(types.to_vec())
        .build()
}

impl Client {
    fn that_takes(self, types: &[CredentialType]) -> Self {
        Self { capabilities: taking(types), ..self }
    }

    /// A client whose own name does not say whose it is, with a certificate that does.
    fn with_certificate(device: &str, of: &str) -> Self {
        let (signer, credential) = certified(&[&format!("mimi://a.example/d/{device}"), user(of).as_str()]);
        let client = Self::with_signer(of, signer);
        let identity = CredentialWithKey { credential, ..client.identity.clone() };
        Self { identity, ..client }.that_takes(&[BASIC, X509])
    }
}

/// Alice, and Bob, both with a basic credential, who take credentials of these types.
fn basic_room(types: &[CredentialType]) -> Room {
    let mut room = Room::started_by("alice", Client::new("alice").that_takes(types));
    room.invite_clients(&["bob"], vec![Client::new("bob").that_takes(types)]);
    room
}

/// An Add that openmls would not propose.
fn add(room: &Room, from: usize, client: &Client) -> MlsMessage {
    room.hand_made(from, PROPOSAL, &[vec![0, 1], client.key_package().tls_serialize_detached().unwrap()].concat())
}

#[test]
fn check_24_a_client_whose_credential_not_everybody_takes_is_not_proposed() {
    let room = basic_room(&[BASIC]);
    let phone = Client::with_certificate("phone", "bob");
    assert_eq!(room.refused_proposal(&[add(&room, 0, &phone)]), CheckId::LeafSupport);
    let room = basic_room(&[BASIC, X509]);
    assert!(room.hub.inspect_proposals(&[add(&room, 0, &phone)], now()).is_ok());
}

#[test]
fn check_24_a_client_that_does_not_take_everybody_s_credential_is_not_proposed() {
    let mut room = basic_room(&[BASIC, X509]);
    room.invite_clients(&["cathy"], vec![Client::with_certificate("tablet", "cathy")]);
    let narrow = Client::new("bob/laptop").that_takes(&[BASIC]);
    assert_eq!(room.refused_proposal(&[add(&room, 0, &narrow)]), CheckId::LeafSupport);
    let laptop = Client::new("bob/laptop").that_takes(&[BASIC, X509]);
    let proposal = room.clients[1].propose_add(&laptop.key_package());
    room.propose(Some(1), &proposal);
    let bundle = room.clients[0].commit(Draft::default());
    room.accept(0, &bundle);
    assert_eq!(room.hub.view().leaves.len(), 4);
}

#[test]
fn check_24_what_is_pending_takes_each_other_s_credentials_too() {
    let room = basic_room(&[BASIC, X509]);
    let narrow = add(&room, 0, &Client::new("bob/laptop").that_takes(&[BASIC]));
    let certified = add(&room, 0, &Client::with_certificate("phone", "alice"));
    for bundle in [[narrow.clone(), certified.clone()], [certified, narrow]] {
        assert_eq!(room.refused_proposal(&bundle), CheckId::LeafSupport);
    }
}

#[test]
fn check_24_one_commit_adds_no_clients_that_do_not_take_each_other_s_credentials() {
    let mut room = basic_room(&[BASIC, X509]);
    let adds = vec![
        Client::new("bob/laptop").that_takes(&[BASIC]).key_package(),
        Client::with_certificate("tablet", "bob").key_package(),
    ];
    let bundle = room.clients[0].commit(Draft { adds, ..Draft::default() });
    assert_eq!(room.refusal(&bundle), CheckId::LeafSupport);
}

#[test]
fn check_5_a_renewed_certificate_is_of_the_user_it_was_of() {
    let mut room = basic_room(&[BASIC, X509]);
    room.invite_clients(&["cathy"], vec![Client::with_certificate("tablet", "cathy")]);
    for (of, refused) in [("bob", true), ("cathy", false)] {
        let (signer, credential) = certified(&["mimi://a.example/d/tablet", user(of).as_str()]);
        let client = &mut room.clients[2];
        client.identity.credential = credential;
        let bundle = client.commit_with_signer(&signer);
        let found = room.inspect(&bundle).err().and_then(|error| error.check());
        assert_eq!(found, refused.then_some(CheckId::Credentials), "{of}");
        room.clients[2].discard();
    }
}

#[test]
fn check_5_a_proposed_certificate_is_of_the_user_it_was_of() {
    let mut room = basic_room(&[BASIC, X509]);
    room.invite_clients(&["cathy"], vec![Client::with_certificate("tablet", "cathy")]);
    for (of, refused) in [("bob", true), ("cathy", false)] {
        let (signer, credential) = certified(&["mimi://a.example/d/tablet", user(of).as_str()]);
        let Client { provider, signer: own, group, .. } = &mut room.clients[2];
        let new = CredentialWithKey { credential, signature_key: signer.public().into() };
        let new = NewSignerBundle { signer: &signer, credential_with_key: new };
        let proposed = group.as_mut().unwrap().propose_self_update_with_new_signer(
            provider,
            own,
            new,
            LeafNodeParameters::default(),
        );
        let message = framed(&proposed.unwrap().0);
        let found = room.hub.inspect_proposals(&[message], now()).err().and_then(|error| error.check());
        assert_eq!(found, refused.then_some(CheckId::Credentials), "{of}");
    }
}
