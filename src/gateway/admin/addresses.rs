//! Which provider an e-mail address leads to, asked by people.

use std::sync::Arc;

use portcullis_core::policy::AdminAct;

use super::{AdminError, Operator, Wish};
use crate::addresses::{Address, Known, Resolved, Unresolved};
use crate::gateway::{Gateway, GatewayError, Inner};

impl Gateway {
    /// Which provider has the users of this address; asks its domain where that may be asked and has not been. What it says is on
    /// the record.
    ///
    /// # Errors
    ///
    /// [`AdminError::Denied`], [`GatewayError::Unavailable`] while as many domains are being asked as may.
    pub async fn resolve_address(
        &self,
        operator: Operator,
        address: Address,
    ) -> Result<Result<Resolved, Unresolved>, AdminError> {
        let (mail, actor) = (address.domain().clone(), operator.actor());
        let wish = Wish { operator, act: AdminAct::ViewPeers, about: None, room: None, user: None, why: None };
        let known = move |inner: &Arc<Inner>| {
            super::peers::refresh(inner)?;
            Ok::<_, GatewayError>(inner.addresses.known(inner.peers.list(), &mail, inner.clock.now()))
        };
        match self.permitted(wish, known).await? {
            Known::Settled(settled) => Ok(settled),
            Known::ToBeAsked => Ok(self.0.ask_domain(address.domain(), actor).await?),
        }
    }
}
