//! What was promised once is promised for good: `schemas/v1` holds the promises that consumers were built on, and is never
//! edited.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use super::schemas::schemas;

/// What a schema no longer promises. It may require more members and name more, and it may describe them in other words. Whatever
/// else changes could surprise a consumer that was built on the older one, or refuse an envelope that it has archived.
fn broken_promises(old: &Value, new: &Value) -> Vec<String> {
    let mut broken = Vec::new();
    compare("", old, new, &mut broken);
    broken
}

fn compare(place: &str, old: &Value, new: &Value, broken: &mut Vec<String>) {
    let (Some(old_members), Some(new_members)) = (old.as_object(), new.as_object()) else {
        if old != new {
            broken.push(format!("{place} was {old} and is {new}"));
        }
        return;
    };
    let nothing = Value::Null;
    let names: BTreeSet<&String> = old_members.keys().chain(new_members.keys()).collect();
    for name in names {
        let (old, new) = (old_members.get(name).unwrap_or(&nothing), new_members.get(name).unwrap_or(&nothing));
        let place = format!("{place}/{name}");
        match (name.as_str(), old, new) {
            ("description" | "title", Value::String(_) | Value::Null, Value::String(_) | Value::Null) => {}
            ("required", Value::Array(old), Value::Array(new)) => {
                let missing = old.iter().filter(|name| !new.contains(name));
                broken.extend(missing.map(|name| format!("{place} lacks {name}")));
            }
            ("properties", Value::Object(old), Value::Object(new)) => {
                for (name, old) in old {
                    compare(&format!("{place}/{name}"), old, new.get(name).unwrap_or(&nothing), broken);
                }
            }
            (_, Value::Array(old), Value::Array(new)) if old.len() == new.len() => {
                for (index, (old, new)) in old.iter().zip(new).enumerate() {
                    compare(&format!("{place}/{index}"), old, new, broken);
                }
            }
            _ => compare(&place, old, new, broken),
        }
    }
}

#[test]
fn no_promise_of_version_1_is_broken() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas/v1");
    let schemas = schemas();
    let mut checked = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let old: Value = serde_json::from_str(&std::fs::read_to_string(&path).unwrap()).unwrap();
        let Some((_, new)) = schemas.iter().find(|(current, _)| current == name) else { panic!("{name} is gone") };
        assert_eq!(broken_promises(&old, new), Vec::<String>::new(), "{name}");
        checked += 1;
    }
    assert!(checked > 0);
}

#[test]
fn whatever_a_consumer_may_rely_on_is_a_promise() {
    let (_, old) = schemas().into_iter().find(|(name, _)| name == "nurturecloud.json").unwrap();
    let broken_by = |change: &dyn Fn(&mut Value)| {
        let mut new = old.clone();
        change(&mut new);
        broken_promises(&old, &new)
    };
    let index_of_data = old["oneOf"].as_array().unwrap().iter().position(|content| content["required"][0] == "data");
    let data = format!("/oneOf/{}/properties/data", index_of_data.unwrap());
    let broken: Vec<Vec<String>> = vec![
        broken_by(&|new| new["required"].as_array_mut().unwrap().retain(|name| name != "entity")),
        broken_by(&|new| drop(new["properties"].as_object_mut().unwrap().remove("subject"))),
        broken_by(&|new| new["properties"]["subject"]["type"] = "integer".into()),
        broken_by(&|new| new["properties"]["source"]["pattern"] = ".*".into()),
        broken_by(&|new| new["properties"]["outcome"]["oneOf"].as_array_mut().unwrap().push("lost".into())),
        broken_by(&|new| new["properties"]["time"]["maxLength"] = 10.into()),
        broken_by(&|new| new["oneOf"].as_array_mut().unwrap().truncate(2)),
        broken_by(&|new| *new.pointer_mut(&data).unwrap() = true.into()),
    ];
    assert!(broken.iter().all(|broken| broken.len() == 1), "{broken:#?}");

    let kept = broken_by(&|new| {
        new["properties"]["color"] = true.into();
        new["required"].as_array_mut().unwrap().push("color".into());
        new["properties"]["id"]["description"] = "In other words.".into();
        new.pointer_mut(&data).unwrap()["required"].as_array_mut().unwrap().push("name".into());
    });
    assert_eq!(kept, Vec::<String>::new());
}
