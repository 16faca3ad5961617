//! Requests of a client that need its signature only.

use crate::mls::labels;
use crate::wire::Protocol;
use crate::wire::key_material::{KeyMaterialRequest, RequiredCapabilities};
use crate::wire::uri::{RoomUri, UserUri};

use super::Member;
use super::error::MemberError;

/// app_data_dictionary.
const EXTENSIONS: [u16; 1] = [6];
/// AppDataUpdate and SelfRemove.
const PROPOSALS: [u16; 2] = [8, 10];
/// Basic.
const CREDENTIALS: [u16; 1] = [1];

impl Member {
    /// Asks for a key package of every client of `target`, to be used in `room`.
    ///
    /// # Errors
    ///
    /// [`MemberError::Label`] when signing fails.
    pub fn key_material_request(
        &self,
        target: &UserUri,
        room: Option<&RoomUri>,
    ) -> Result<KeyMaterialRequest, MemberError> {
        let mut request = KeyMaterialRequest {
            protocol: Protocol::Mls10,
            requesting_user: self.user.clone(),
            target_user: target.clone(),
            room: room.cloned(),
            acceptable_suites: vec![self.suite()],
            required_capabilities: RequiredCapabilities {
                extension_types: EXTENSIONS.to_vec(),
                proposal_types: PROPOSALS.to_vec(),
                credential_types: CREDENTIALS.to_vec(),
            },
            requester_signature_key: self.signature_key().to_vec(),
            requester_credential: self.credential(),
            signature: Vec::new(),
        };
        self.sign_key_material_request(&mut request)?;
        Ok(request)
    }

    /// Signs a request that asks for something else.
    ///
    /// # Errors
    ///
    /// [`MemberError::Label`] when signing fails.
    pub fn sign_key_material_request(&self, request: &mut KeyMaterialRequest) -> Result<(), MemberError> {
        request.signature = labels::sign_with_label(&self.signer, labels::KEY_MATERIAL_REQUEST, &request.tbs())?;
        Ok(())
    }
}
