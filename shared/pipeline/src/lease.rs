//! The lease that keeps two drains of one provider from running at once.

use std::future::Future;

use intake_providers::timestamp::Timestamp;

use crate::port_error::PortError;

pub mod pause;

use pause::Pause;

/// Holder of a lease; new in every run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseOwner(pub String);

/// Result of taking a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is ours now. With it comes the pause that the last run left that failed because of us, if none has succeeded since.
    Ours(Option<Pause>),
    /// Another run holds it.
    HeldByAnother,
    /// It is free, and no run may begin before the pause is over.
    Paused(Pause),
}

/// Keeps two drains of one provider from running at once, and from running while our side refuses messages.
pub trait Lease: Send + Sync + 'static {
    /// Takes the lease until `expires_at`, if it is free or expired, and no pause lasts longer than `now`.
    fn take(
        &self,
        owner: &LeaseOwner,
        now: Timestamp,
        expires_at: Timestamp,
    ) -> impl Future<Output = Result<Taken, PortError>> + Send;

    /// Extends the lease, if it is still ours. Returns whether it is.
    fn renew(&self, owner: &LeaseOwner, expires_at: Timestamp) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Replaces the pause that came with the lease, if it is still ours. Returns whether it is.
    fn replace_pause(&self, owner: &LeaseOwner, pause: &Pause) -> impl Future<Output = Result<bool, PortError>> + Send;

    /// Releases the lease, if it is still ours, and leaves a pause or none.
    fn release(&self, owner: &LeaseOwner, pause: Option<&Pause>) -> impl Future<Output = Result<(), PortError>> + Send;
}
