//! The refused requests that a deployed stack has kept.

use std::collections::BTreeMap;

use aws_sdk_s3::error::SdkError;
use aws_sdk_s3::operation::get_object::GetObjectError;
use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use intake_pipeline::port_error::PortError;
use intake_pipeline::refused::keeper::{KEY_PREFIX, hour_prefix};
use intake_pipeline::refused::{RefusedReader, RefusedRequest, RefusedSummary, document};
use intake_providers::delivery::DeliveryId;

use super::stack::Stack;
use super::stack_error::StackError;
use crate::port_error::port_error;
use crate::s3::LazyClient;
use crate::timeouts::OPERATOR;

const GET: &str = "s3 GetObject";
const LIST: &str = "s3 ListObjectsV2";

/// How many requests are fetched at once.
const CONCURRENCY: usize = 16;

/// The refused requests that a deployed stack has kept.
#[derive(Debug)]
pub struct StackRefused {
    client: LazyClient,
    bucket: String,
    is_keeping: bool,
}

impl StackRefused {
    /// The refused requests of a stack.
    ///
    /// # Errors
    /// When the stack lacks the bucket.
    pub fn new(stack: &Stack) -> Result<Self, StackError> {
        Ok(Self {
            client: LazyClient::new(stack.config().clone(), OPERATOR),
            bucket: stack.resource("Bucket")?.to_owned(),
            is_keeping: stack.parameter("KeepRefused").is_some_and(|number| number != "0"),
        })
    }

    /// Whether the stack keeps any.
    #[must_use]
    pub const fn is_keeping(&self) -> bool {
        self.is_keeping
    }

    /// All pages of a listing; with a delimiter, the folders are in them instead of their objects.
    async fn pages(&self, prefix: &str, delimiter: Option<&str>) -> Result<Vec<ListObjectsV2Output>, PortError> {
        let listing = self.client.get().list_objects_v2().bucket(&self.bucket).prefix(prefix);
        let pages = listing.set_delimiter(delimiter.map(str::to_owned)).into_paginator().send();
        pages.try_collect().await.map_err(|error| port_error(LIST, &error))
    }

    async fn folders(&self, prefix: &str) -> Result<Vec<String>, PortError> {
        let pages = self.pages(prefix, Some("/")).await?;
        let prefixes = pages.iter().flat_map(ListObjectsV2Output::common_prefixes);
        Ok(prefixes.filter_map(|folder| folder.prefix().map(str::to_owned)).collect())
    }

    /// The keys under a prefix, each with when it was written, in seconds.
    async fn keys(&self, prefix: &str) -> Result<Vec<(String, i64)>, PortError> {
        let pages = self.pages(prefix, None).await?;
        let objects = pages.iter().flat_map(ListObjectsV2Output::contents);
        Ok(objects.filter_map(|object| Some((object.key()?.to_owned(), object.last_modified()?.secs()))).collect())
    }

    /// A request; `None` if it has expired meanwhile, or if another release wrote it.
    async fn fetch(&self, key: &str) -> Result<Option<RefusedRequest>, PortError> {
        let object = match self.client.get().get_object().bucket(&self.bucket).key(key).send().await {
            Ok(object) => object,
            Err(error) if error.as_service_error().is_some_and(GetObjectError::is_no_such_key) => return Ok(None),
            Err(error) => return Err(forbidden(key, &error)),
        };
        let bytes = object.body.collect().await.map_err(|error| PortError::new(GET, &error))?.into_bytes();
        Ok(document::read(&bytes).ok())
    }
}

/// The bucket's own error, and the key, which the permission has to include.
fn forbidden(key: &str, error: &SdkError<GetObjectError>) -> PortError {
    let found = port_error(GET, error);
    PortError::of(GET, format!("{} for {key}", found.message))
}

impl RefusedReader for StackRefused {
    async fn list(&self, limit: u32) -> Result<Vec<RefusedSummary>, PortError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        // The folders of each hour, one of each function.
        let mut hours: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for function in self.folders(KEY_PREFIX).await? {
            for folder in self.folders(&function).await? {
                let hour = folder.strip_prefix(&function).unwrap_or_default().to_owned();
                hours.entry(hour).or_default().push(folder);
            }
        }
        let mut found = Vec::new();
        for folders in hours.values().rev() {
            let mut keys = Vec::new();
            for folder in folders {
                keys.extend(self.keys(folder).await?);
            }
            let fetched = stream::iter(keys.into_iter().map(async |(key, _)| self.fetch(&key).await));
            let fetched: Vec<Option<RefusedRequest>> = fetched.buffer_unordered(CONCURRENCY).try_collect().await?;
            found.extend(fetched.into_iter().flatten().map(|request| request.summary));
            if found.len() >= limit {
                break;
            }
        }
        found.sort_by_key(|summary| (summary.received_at, summary.id));
        found.drain(..found.len().saturating_sub(limit));
        Ok(found)
    }

    async fn get(&self, id: DeliveryId) -> Result<Option<RefusedRequest>, PortError> {
        let Some(received_at) = id.received_at() else { return Ok(None) };
        let mut keys = Vec::new();
        for function in self.folders(KEY_PREFIX).await? {
            let function = function.strip_prefix(KEY_PREFIX).unwrap_or_default().trim_end_matches('/');
            keys.extend(self.keys(&hour_prefix(function, received_at)).await?);
        }
        // A request is written as soon as it is refused, so that most often the first one is the one.
        keys.sort_by_key(|(_, written_at)| written_at.abs_diff(received_at.unix_seconds()));
        let fetched = stream::iter(keys.into_iter().map(async |(key, _)| self.fetch(&key).await));
        let fetched = fetched.buffered(CONCURRENCY).try_filter_map(async |found| Ok(found));
        let mut wanted = std::pin::pin!(fetched.try_filter(|request| std::future::ready(request.summary.id == id)));
        wanted.try_next().await
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http::HeaderMap;
    use intake_providers::timestamp::Timestamp;

    use super::*;
    use crate::test_service::{Reply, TestService};

    fn summary(time: &str, number: u8) -> RefusedSummary {
        let received_at = Timestamp::parse(time).unwrap();
        RefusedSummary {
            id: DeliveryId::new(received_at, [number; 10]),
            received_at,
            provider: Some(intake_providers::ProviderName::Machnet),
            status: 409,
            reason: "signature-mismatch".to_owned(),
            method: "POST".to_owned(),
            target: "/webhooks/machnet".to_owned(),
            body_bytes: 2,
            is_whole: true,
        }
    }

    fn refused(service: &TestService) -> StackRefused {
        StackRefused {
            client: LazyClient::new(service.clients().config().clone(), OPERATOR),
            bucket: "the-bucket".to_owned(),
            is_keeping: true,
        }
    }

    fn folders(names: &[&str]) -> Reply {
        let folder = |name: &&str| format!("<CommonPrefixes><Prefix>{name}</Prefix></CommonPrefixes>");
        listing(&names.iter().map(folder).collect::<String>())
    }

    fn keys(keys: &[(&str, &str)]) -> Reply {
        let object = |(key, at): &(&str, &str)| {
            format!("<Contents><Key>{key}</Key><LastModified>{at}</LastModified><Size>1</Size></Contents>")
        };
        listing(&keys.iter().map(object).collect::<String>())
    }

    fn listing(content: &str) -> Reply {
        let body = format!("<ListBucketResult><IsTruncated>false</IsTruncated>{content}</ListBucketResult>");
        Reply::Answer { status: 200, body }
    }

    fn object(summary: &RefusedSummary) -> Reply {
        let document = document::write(summary, &HeaderMap::new(), b"{}");
        Reply::Answer { status: 200, body: String::from_utf8(Bytes::into(document)).unwrap() }
    }

    #[tokio::test]
    async fn the_latest_hour_is_enough_for_a_short_list() {
        let (first, second) = (summary("2026-11-21T10:00:00Z", 1), summary("2026-11-21T10:00:01Z", 2));
        let service = TestService::replying(&[
            folders(&["refused/machnet/"]),
            folders(&["refused/machnet/2026-11-21T09/", "refused/machnet/2026-11-21T10/"]),
            keys(&[("a", "2026-11-21T10:00:00Z"), ("b", "2026-11-21T10:00:00Z")]),
            object(&second),
            object(&first),
        ]);
        assert_eq!(refused(&service).list(1).await.unwrap(), [second]);
        let received = service.received();
        assert_eq!(received.len(), 5, "nothing is fetched of the hour before");
        assert!(received[2].line.contains("prefix=refused%2Fmachnet%2F2026-11-21T10%2F"), "{}", received[2].line);
    }

    #[tokio::test]
    async fn a_request_is_found_by_the_hour_of_its_id_and_the_nearest_one_is_fetched_first() {
        let wanted = summary("2026-11-21T10:30:00Z", 1);
        let service = TestService::replying(&[
            folders(&["refused/machnet/", "refused/sterling-token/"]),
            keys(&[("far", "2026-11-21T10:59:00Z"), ("near", "2026-11-21T10:30:00Z")]),
            keys(&[]),
            object(&wanted),
        ]);
        let found = refused(&service).get(wanted.id).await.unwrap();
        assert_eq!(found.map(|request| request.summary), Some(wanted));
        let received = service.received();
        assert!(received[1].line.contains("prefix=refused%2Fmachnet%2F2026-11-21T10%2F"), "{}", received[1].line);
        assert!(received[3..].iter().any(|request| request.line.starts_with("GET /the-bucket/near?")));
    }

    #[tokio::test]
    async fn an_expired_request_is_not_kept_and_a_forbidden_one_is_an_error_that_names_its_key() {
        let wanted = summary("2026-11-21T10:30:00Z", 1);
        let listed = [folders(&["refused/machnet/"]), keys(&[("the-key", "2026-11-21T10:30:00Z")])];
        let answer = |status, code: &str| Reply::Answer { status, body: format!("<Error><Code>{code}</Code></Error>") };
        let service = TestService::replying(&[&listed[..], &[answer(404, "NoSuchKey")]].concat());
        assert_eq!(refused(&service).get(wanted.id).await.unwrap(), None);
        let service = TestService::replying(&[&listed[..], &[answer(403, "AccessDenied")]].concat());
        let error = refused(&service).get(wanted.id).await.unwrap_err().to_string();
        assert!(error.contains("AccessDenied") && error.contains("the-key"), "{error}");
    }
}
