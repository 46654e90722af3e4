//! S3: objects by key.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use intake_pipeline::payloads::{PayloadKey, PayloadReader, Payloads};
use intake_pipeline::port_error::PortError;

use crate::guarded::Guarded;
use crate::instance::Instance;
use crate::marks::Mark;
use crate::planted::Plant;
use crate::world::{Call, Service, World};

/// The bucket.
#[derive(Clone, Debug, Default)]
pub(crate) struct Bucket(Arc<Guarded<BTreeMap<String, Bytes>>>);

impl Bucket {
    pub(crate) fn get(&self, key: &str) -> Option<Bytes> {
        self.0.get().get(key).cloned()
    }

    fn put(&self, key: String, bytes: Bytes) {
        self.0.get().insert(key, bytes);
    }
}

/// The bucket as one process reaches it.
#[derive(Clone, Debug)]
pub(crate) struct S3 {
    world: World,
    bucket: Bucket,
    instance: Arc<Instance>,
    /// What is seen when an object is read that could not be read before in the same invocation.
    waited: Option<Mark>,
    /// What could not be read, and in which invocation.
    unread: Arc<Guarded<BTreeMap<String, u32>>>,
}

impl S3 {
    pub(crate) fn new(world: &World, bucket: &Bucket, instance: &Arc<Instance>) -> Self {
        let (world, bucket, instance) = (world.clone(), bucket.clone(), Arc::clone(instance));
        Self { world, bucket, instance, waited: None, unread: Arc::default() }
    }

    /// The same with a mark for an object that was waited for.
    pub(crate) fn with_waiting(self, mark: Mark) -> Self {
        Self { waited: Some(mark), ..self }
    }

    fn note(&self, key: &PayloadKey, is_read: bool) {
        let invocation = self.instance.invocations();
        let mut unread = self.unread.get();
        if !is_read {
            unread.insert(key.as_str().to_owned(), invocation);
        } else if let (Some(mark), Some(before)) = (self.waited, unread.remove(key.as_str()))
            && before == invocation
        {
            self.world.marks.see(mark);
        }
    }
}

impl PayloadReader for S3 {
    async fn get(&self, key: &PayloadKey) -> Result<Bytes, PortError> {
        let call = Call { service: Service::S3, operation: "s3 GetObject", killed_after: None };
        let (bucket, name) = (self.bucket.clone(), key.as_str().to_owned());
        let effect = move || bucket.get(&name).ok_or_else(|| PortError::of("s3 GetObject", "no such key").missing());
        let read = self.world.call(&self.instance, call, || key.as_str().to_owned(), effect).await;
        self.note(key, read.is_ok());
        read
    }
}

impl Payloads for S3 {
    async fn put(&self, key: &PayloadKey, bytes: Bytes) -> Result<(), PortError> {
        if self.world.plant_shows(Plant::PayloadLost) {
            return Ok(());
        }
        let killed_after = Some(Mark::KilledAfterPayload);
        let call = Call { service: Service::S3, operation: "s3 PutObject", killed_after };
        let (bucket, name) = (self.bucket.clone(), key.as_str().to_owned());
        let effect = move || {
            bucket.put(name.clone(), bytes.clone());
            Ok(())
        };
        self.world.call(&self.instance, call, || key.as_str().to_owned(), effect).await
    }
}
