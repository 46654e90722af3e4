//! NurtureCloud's Data API.

pub mod component;
pub mod resync;
