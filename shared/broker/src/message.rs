//! Converts lapin's deliveries to messages.

use bytes::Bytes;
use intake_providers::amqp::{Message, Properties};
use lapin::message::Delivery;
use lapin::types::{AMQPValue, FieldTable, ShortString};
use serde_json::Value;

/// The header in which a RabbitMQ quorum queue counts how often a message was requeued.
const DELIVERY_COUNT: &str = "x-delivery-count";

/// The message of a delivery, and the receipt that acknowledges it.
pub(crate) fn message(delivery: Delivery) -> (Message, lapin::Acker) {
    let Delivery { exchange, routing_key, redelivered, properties, data, acker, .. } = delivery;
    let text = |value: &Option<ShortString>| value.as_ref().map(ToString::to_string);
    let empty = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&empty).inner();
    let delivery_count = headers.iter().find(|(name, _)| name.as_str() == DELIVERY_COUNT);
    let message = Message {
        body: Bytes::from(data),
        properties: Properties {
            message_id: text(properties.message_id()),
            timestamp: *properties.timestamp(),
            kind: text(properties.kind()),
            content_type: text(properties.content_type()),
            content_encoding: text(properties.content_encoding()),
            headers: headers
                .iter()
                .filter(|(name, _)| name.as_str() != DELIVERY_COUNT)
                .map(|(name, value)| (name.to_string(), bytes(value)))
                .collect(),
            redelivered,
            exchange: exchange.to_string(),
            routing_key: routing_key.to_string(),
            delivery_count: delivery_count.and_then(|(_, count)| whole(count)),
        },
    };
    (message, acker)
}

/// A header's value: strings and bytes unchanged, anything else as JSON.
fn bytes(value: &AMQPValue) -> Vec<u8> {
    match value {
        AMQPValue::ShortString(text) => text.as_str().as_bytes().to_vec(),
        AMQPValue::LongString(text) => text.as_bytes().to_vec(),
        AMQPValue::ByteArray(bytes) => bytes.as_slice().to_vec(),
        other => json(other).to_string().into_bytes(),
    }
}

fn json(value: &AMQPValue) -> Value {
    match value {
        AMQPValue::Boolean(value) => Value::from(*value),
        AMQPValue::ShortShortInt(number) => Value::from(*number),
        AMQPValue::ShortShortUInt(number) => Value::from(*number),
        AMQPValue::ShortInt(number) => Value::from(*number),
        AMQPValue::ShortUInt(number) => Value::from(*number),
        AMQPValue::LongInt(number) => Value::from(*number),
        AMQPValue::LongUInt(number) => Value::from(*number),
        AMQPValue::LongLongInt(number) => Value::from(*number),
        AMQPValue::Timestamp(seconds) => Value::from(*seconds),
        AMQPValue::Float(number) => Value::from(*number),
        AMQPValue::Double(number) => Value::from(*number),
        AMQPValue::DecimalValue(number) => Value::from(format!("{}e-{}", number.value, number.scale)),
        AMQPValue::ShortString(text) => Value::from(text.as_str()),
        AMQPValue::LongString(text) => Value::from(String::from_utf8_lossy(text.as_bytes()).into_owned()),
        AMQPValue::ByteArray(bytes) => Value::from(String::from_utf8_lossy(bytes.as_slice()).into_owned()),
        AMQPValue::FieldArray(values) => values.as_slice().iter().map(json).collect(),
        AMQPValue::FieldTable(table) => {
            table.inner().iter().map(|(name, value)| (name.to_string(), json(value))).collect()
        }
        AMQPValue::Void => Value::Null,
    }
}

fn whole(value: &AMQPValue) -> Option<u64> {
    json(value).as_u64()
}

#[cfg(test)]
mod tests {
    use lapin::BasicProperties;
    use lapin::types::FieldArray;

    use super::*;

    fn delivery(properties: BasicProperties) -> Delivery {
        let mut delivery = Delivery::mock(7, "changes".into(), "policy".into(), true, b"body".to_vec());
        delivery.properties = properties;
        delivery
    }

    #[test]
    fn a_delivery_becomes_a_message_with_all_its_properties() {
        let mut headers = FieldTable::default();
        headers.insert("x-delivery-count".into(), AMQPValue::LongLongInt(3));
        headers.insert("tenant".into(), AMQPValue::LongString("7".into()));
        headers.insert("raw".into(), AMQPValue::LongString(vec![0xff, 0x00].into()));
        headers.insert("yes".into(), AMQPValue::Boolean(true));
        let mut nested = FieldTable::default();
        nested.insert("reason".into(), AMQPValue::LongString("expired".into()));
        let array = FieldArray::from(vec![AMQPValue::FieldTable(nested), AMQPValue::LongInt(-1), AMQPValue::Void]);
        headers.insert("x-death".into(), AMQPValue::FieldArray(array));
        let properties = BasicProperties::default()
            .with_message_id("m-1".into())
            .with_timestamp(1_795_257_000)
            .with_type("PolicyUpdated".into())
            .with_content_type("application/json".into())
            .with_content_encoding("utf-8".into())
            .with_headers(headers);
        let (Message { body, properties }, _) = message(delivery(properties));
        assert_eq!(body, "body");
        let value =
            |name: &str| properties.headers.iter().find(|(known, _)| known == name).map(|(_, value)| &value[..]);
        assert_eq!(value("tenant"), Some(b"7".as_slice()));
        assert_eq!(value("raw"), Some([0xff, 0x00].as_slice()));
        assert_eq!(value("yes"), Some(b"true".as_slice()));
        assert_eq!(value("x-death"), Some(br#"[{"reason":"expired"},-1,null]"#.as_slice()));
        assert_eq!((properties.headers.len(), properties.delivery_count), (4, Some(3)));
        assert_eq!(properties.message_id.as_deref(), Some("m-1"));
        assert_eq!((properties.timestamp, properties.kind.as_deref()), (Some(1_795_257_000), Some("PolicyUpdated")));
        assert_eq!(properties.content_type.as_deref(), Some("application/json"));
        assert_eq!(properties.content_encoding.as_deref(), Some("utf-8"));
        assert_eq!((properties.exchange.as_str(), properties.routing_key.as_str()), ("changes", "policy"));
        assert!(properties.redelivered);
    }

    #[test]
    fn a_bare_delivery_has_no_properties() {
        let (Message { properties, .. }, _) = message(delivery(BasicProperties::default()));
        assert_eq!((properties.message_id, properties.timestamp, properties.delivery_count), (None, None, None));
        assert!(properties.headers.is_empty());
    }
}
