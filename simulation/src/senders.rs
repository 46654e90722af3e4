//! The other side: what each provider sends, and how it sends again.

use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;

use crate::site::Site;

mod accredit;
mod former_client;
mod machnet;
mod nowcerts;
mod nurturecloud;
mod sterling;
mod stranger;

/// Everybody who sends something. Each future ends when its sender has settled everything.
pub(crate) fn all(site: &Arc<Site>) -> Vec<BoxFuture<'static, ()>> {
    let site = || Arc::clone(site);
    vec![
        accredit::send(site()).boxed(),
        machnet::send(site()).boxed(),
        nowcerts::send(site()).boxed(),
        nurturecloud::send(site()).boxed(),
        sterling::send(site()).boxed(),
        stranger::send(site()).boxed(),
        former_client::send(site()).boxed(),
    ]
}
