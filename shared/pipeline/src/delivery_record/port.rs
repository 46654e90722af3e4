//! The port to the records.

use std::future::Future;

use super::DeliveryRecord;
use crate::port_error::PortError;

/// The store of delivery records.
pub trait DeliveryRecords: Send + Sync + 'static {
    /// Puts a record, in place of an earlier one of the same delivery that it [`replaces`](DeliveryRecord::replaces). Another one stays as
    /// it is, which is no error.
    fn put(&self, record: &DeliveryRecord) -> impl Future<Output = Result<(), PortError>> + Send;
}
