//! The AsyncAPI document: which events a consumer receives, with a message for each provider.

use super::schemas::{assert_current, folder, schemas};
use super::*;

const TOP: &str = "# Which events a consumer receives. Written by a test (`make schemas`).
asyncapi: 3.0.0
info:
  title: webhook-intake
  version: 1.0.0
  description: >-
    Events of outside systems, verified and recorded once. Each is a CloudEvent 1.0 in structured JSON. They are delivered
    at least once and in any order; `source` and `id` together are the key by which a consumer is idempotent.
defaultContentType: application/cloudevents+json
channels:
  events:
    # The name of the event bus on AWS, or the URL to which a server forwards, is the user's.
    address: null
    title: All events
    description: >-
      On AWS an EventBridge bus, where an envelope is the `detail` of an event whose `source` is `webhook-intake.` and the
      provider's name, and whose `detail-type` is the envelope's `type`, cut off after 128 characters.
    messages:
";

const OPERATIONS: &str = "operations:
  sendEvents:
    action: send
    channel:
      $ref: '#/channels/events'
    summary: An event was stored, repeats an earlier one, or is in conflict with one.
components:
  messages:
";

fn document() -> String {
    let mut text = TOP.to_owned();
    for provider in ProviderName::ALL {
        text += &format!("      {provider}:\n        $ref: '#/components/messages/{provider}'\n");
    }
    text += OPERATIONS;
    for provider in ProviderName::ALL {
        // The provider's type is named as the provider is.
        text += &format!("    {provider}:\n      name: {provider}\n      title: An event of {provider:?}\n");
        // A scalar in JSON is one in YAML too.
        let summary = serde_json::to_string(provider.summary()).unwrap();
        text += &format!("      summary: {summary}\n      payload:\n        $ref: {provider}.json\n");
    }
    text
}

#[test]
fn the_committed_asyncapi_document_has_a_message_for_each_provider_and_names_no_file_that_is_not_there() {
    let document = document();
    assert_current(&folder().join("asyncapi.yaml"), &document);
    let files: Vec<String> =
        schemas().into_iter().map(|(name, _)| name).filter(|name| name != "envelope.json").collect();
    let referred: Vec<&str> = document.lines().filter_map(|line| line.trim().strip_prefix("$ref: ")).collect();
    let referred: Vec<&str> = referred.into_iter().filter(|file| !file.starts_with("'#/")).collect();
    assert_eq!(referred, files);
}
