/// What people do at the admin door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AdminAct {
    /// See how the gateway is.
    ViewStatus,
    /// See rooms and who is in them.
    ViewRooms,
    /// See who federates with us.
    ViewPeers,
    /// Let a provider federate with us.
    AllowPeer,
    /// End all new business with a provider.
    SuspendPeer,
    /// Refuse a provider at the door, and hold back what is owed to it.
    BlockPeer,
    /// See what is owed to other providers.
    ViewLanes,
    /// Try a lane again now.
    RetryLane,
    /// Leave out what a lane is stuck on.
    SkipLane,
    /// Send a room's events once more.
    ResendLane,
    /// See what was decided.
    ViewDecisions,
    /// Search the audit log, prove what stands in it, and take it away.
    ReadAudit,
    /// See what moderators have imposed on rooms, and why.
    ViewRestrictions,
    /// See what collectors of the audit log refused.
    ViewExports,
    /// Send once more what a collector refused.
    RedeliverExport,
    /// See who complains about whom, and what that proves.
    ViewReports,
    /// Read what was reported.
    ViewReportedContent,
    /// Begin to look at a report, or look at it again.
    ReviewReport,
    /// Find that a report is right.
    UpholdReport,
    /// Find that a report is not right, or shows nothing.
    DismissReport,
    /// Take a user out of a room for good.
    Ban,
    /// End a ban.
    Unban,
    /// Take a user's clients out of a room.
    Kick,
    /// Take a user out of a room until a member adds it again.
    Remove,
    /// End a removal before a member has carried it out.
    Readmit,
    /// Refuse a user's messages in a room.
    Mute,
    /// Take a user's messages again.
    Unmute,
    /// Let nobody change a room or write to it.
    Freeze,
    /// End a freeze.
    Unfreeze,
    /// End a room for everybody.
    DestroyRoom,
    /// Take a user out of every room.
    RemoveUser,
    /// End that.
    ReadmitUser,
    /// Take all users of a provider out of every room.
    RemoveProvider,
    /// End that.
    ReadmitProvider,
    /// See which codes lead into a room.
    ViewJoinCodes,
    /// Make a code by which people join a room.
    CreateJoinCode,
    /// Let nobody use a code any longer.
    RevokeJoinCode,
    /// See which policies decide, and which wait to.
    ViewPolicies,
    /// Bring a policy bundle.
    PushPolicy,
    /// Agree with a bundle that somebody else has brought.
    ApprovePolicy,
    /// Ask a bundle beside the one that decides.
    ShadowPolicy,
    /// End that.
    StopShadow,
    /// Ask a bundle what was decided again.
    SimulatePolicy,
    /// Let a bundle decide.
    ActivatePolicy,
    /// Let a bundle decide again that has decided before.
    RollBackPolicy,
}

impl AdminAct {
    /// All of them.
    pub const ALL: [Self; 45] = [
        Self::ViewStatus,
        Self::ViewRooms,
        Self::ViewPeers,
        Self::AllowPeer,
        Self::SuspendPeer,
        Self::BlockPeer,
        Self::ViewLanes,
        Self::RetryLane,
        Self::SkipLane,
        Self::ResendLane,
        Self::ViewDecisions,
        Self::ReadAudit,
        Self::ViewRestrictions,
        Self::ViewExports,
        Self::RedeliverExport,
        Self::ViewReports,
        Self::ViewReportedContent,
        Self::ReviewReport,
        Self::UpholdReport,
        Self::DismissReport,
        Self::Ban,
        Self::Unban,
        Self::Kick,
        Self::Remove,
        Self::Readmit,
        Self::Mute,
        Self::Unmute,
        Self::Freeze,
        Self::Unfreeze,
        Self::DestroyRoom,
        Self::RemoveUser,
        Self::ReadmitUser,
        Self::RemoveProvider,
        Self::ReadmitProvider,
        Self::ViewJoinCodes,
        Self::CreateJoinCode,
        Self::RevokeJoinCode,
        Self::ViewPolicies,
        Self::PushPolicy,
        Self::ApprovePolicy,
        Self::ShadowPolicy,
        Self::StopShadow,
        Self::SimulatePolicy,
        Self::ActivatePolicy,
        Self::RollBackPolicy,
    ];

    /// The name of the action in the schema.
    pub fn name(self) -> &'static str {
        match self {
            Self::ViewStatus => "viewStatus",
            Self::ViewRooms => "viewRooms",
            Self::ViewPeers => "viewPeers",
            Self::AllowPeer | Self::SuspendPeer | Self::BlockPeer => "managePeers",
            Self::ViewLanes => "viewLanes",
            Self::RetryLane | Self::SkipLane | Self::ResendLane => "manageLanes",
            Self::ViewDecisions => "viewDecisions",
            Self::ReadAudit => "readAudit",
            Self::ViewRestrictions => "viewRestrictions",
            Self::ViewExports => "viewExports",
            Self::RedeliverExport => "manageExports",
            Self::ViewReports => "viewReports",
            Self::ViewReportedContent => "viewReportedContent",
            Self::ReviewReport | Self::UpholdReport | Self::DismissReport => "handleReports",
            Self::Ban
            | Self::Unban
            | Self::Kick
            | Self::Remove
            | Self::Readmit
            | Self::Mute
            | Self::Unmute
            | Self::Freeze
            | Self::Unfreeze => "moderateRoom",
            Self::DestroyRoom => "destroyRoom",
            Self::RemoveUser | Self::ReadmitUser | Self::RemoveProvider | Self::ReadmitProvider => "moderateAllRooms",
            Self::ViewJoinCodes => "viewJoinCodes",
            Self::CreateJoinCode | Self::RevokeJoinCode => "manageJoinCodes",
            Self::ViewPolicies => "viewPolicies",
            Self::PushPolicy
            | Self::ApprovePolicy
            | Self::ShadowPolicy
            | Self::StopShadow
            | Self::SimulatePolicy
            | Self::ActivatePolicy
            | Self::RollBackPolicy => "managePolicies",
        }
    }

    /// Which change it is; `read` for none.
    pub fn operation(self) -> &'static str {
        match self {
            Self::ViewStatus
            | Self::ViewRooms
            | Self::ViewPeers
            | Self::ViewLanes
            | Self::ViewDecisions
            | Self::ReadAudit
            | Self::ViewRestrictions
            | Self::ViewExports
            | Self::ViewReports
            | Self::ViewReportedContent
            | Self::ViewJoinCodes
            | Self::ViewPolicies => "read",
            Self::CreateJoinCode => "create",
            Self::RevokeJoinCode => "revoke",
            Self::AllowPeer => "allow",
            Self::SuspendPeer => "suspend",
            Self::BlockPeer => "block",
            Self::RetryLane => "retry",
            Self::SkipLane => "skip",
            Self::ResendLane => "resend",
            Self::RedeliverExport => "redeliver",
            Self::ReviewReport => "review",
            Self::UpholdReport => "uphold",
            Self::DismissReport => "dismiss",
            Self::Ban => "ban",
            Self::Unban => "unban",
            Self::Kick => "kick",
            Self::Remove => "remove",
            Self::Readmit => "readmit",
            Self::Mute => "mute",
            Self::Unmute => "unmute",
            Self::Freeze => "freeze",
            Self::Unfreeze => "unfreeze",
            Self::DestroyRoom => "destroy",
            Self::RemoveUser => "removeUser",
            Self::ReadmitUser => "readmitUser",
            Self::RemoveProvider => "removeProvider",
            Self::ReadmitProvider => "readmitProvider",
            Self::PushPolicy => "push",
            Self::ApprovePolicy => "approve",
            Self::ShadowPolicy => "shadow",
            Self::StopShadow => "stopShadow",
            Self::SimulatePolicy => "simulate",
            Self::ActivatePolicy => "activate",
            Self::RollBackPolicy => "rollBack",
        }
    }
}
