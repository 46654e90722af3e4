//! What DynamoDB says of the reasons for which it throttles.

use std::error::Error;

use aws_sdk_dynamodb::config::interceptors::InterceptorContext;
use aws_sdk_dynamodb::config::retry::{ClassifyRetry, RetryAction};
use aws_sdk_dynamodb::types::ThrottlingReason;
use aws_sdk_dynamodb::types::error::{
    ProvisionedThroughputExceededException, RequestLimitExceeded, ThrottlingException,
};

/// What is exceeded when one partition of an index gets more writes than it takes.
const HOT_INDEX: &str = "IndexWriteKeyRangeThroughputExceeded";

/// The reasons in an error or one of its causes.
fn reasons<'a>(error: &'a (dyn Error + 'static)) -> &'a [ThrottlingReason] {
    let mut next = Some(error);
    while let Some(error) = next {
        let found = error
            .downcast_ref::<ThrottlingException>()
            .map(ThrottlingException::throttling_reasons)
            .or_else(|| error.downcast_ref().map(ProvisionedThroughputExceededException::throttling_reasons))
            .or_else(|| error.downcast_ref().map(RequestLimitExceeded::throttling_reasons));
        if let Some(found) = found {
            return found;
        }
        next = error.source();
    }
    &[]
}

/// What limit was exceeded, and of which table or index, on one line; nothing if DynamoDB does not say.
pub(crate) fn throttled_by(error: &(dyn Error + 'static)) -> Option<String> {
    let texts: Vec<String> = reasons(error)
        .iter()
        .map(|reason| {
            // `arn:aws:dynamodb:<region>:<account>:table/<table>/index/<index>`; the rest is known.
            let resource = reason.resource().and_then(|arn| arn.split_once(":table/")).map_or("", |(_, name)| name);
            format!("{} at {resource}", reason.reason().unwrap_or("an unknown limit"))
        })
        .collect();
    (!texts.is_empty()).then(|| texts.join(", "))
}

/// The same if one of the reasons is that a partition of an index gets too many writes.
pub(crate) fn hot_index(error: &(dyn Error + 'static)) -> Option<String> {
    let is_hot = reasons(error).iter().any(|reason| reason.reason() == Some(HOT_INDEX));
    throttled_by(error).filter(|_| is_hot)
}

/// Leaves it to the caller to write to another partition of the index, instead of trying the same one again.
#[derive(Debug)]
pub(crate) struct HotIndexIsNotRetried;

impl ClassifyRetry for HotIndexIsNotRetried {
    fn classify_retry(&self, context: &InterceptorContext) -> RetryAction {
        let failed = context.output_or_error().and_then(Result::err).and_then(|error| error.as_operation_error());
        match failed.and_then(Error::source) {
            Some(cause) if hot_index(cause).is_some() => RetryAction::RetryForbidden,
            _ => RetryAction::NoActionIndicated,
        }
    }

    fn name(&self) -> &'static str {
        "hot index"
    }
}
