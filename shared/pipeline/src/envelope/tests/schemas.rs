use std::path::{Path, PathBuf};

use intake_providers::event_form::DataForm;
use jsonschema::Validator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::stories::stories;
use super::*;

/// Set, it writes the files in place of comparing them.
const UPDATE: &str = "UPDATE_SCHEMAS";

pub(super) fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../schemas")
}

/// The schema of every envelope, in the draft that AsyncAPI and most validators know.
fn envelope_schema() -> Value {
    let mut settings = SchemaSettings::draft07().for_serialize();
    settings.inline_subschemas = true;
    let mut schema = settings.into_generator().into_root_schema_for::<EventEnvelope>().to_value();
    on_one_line(&mut schema);
    schema["title"] = "An event".into();
    schema
}

/// Docstrings are broken into lines.
fn on_one_line(schema: &mut Value) {
    match schema {
        Value::Object(members) => {
            if let Some(Value::String(description)) = members.get_mut("description") {
                *description = description.replace('\n', " ");
            }
            members.values_mut().for_each(on_one_line);
        }
        Value::Array(elements) => elements.iter_mut().for_each(on_one_line),
        _ => {}
    }
}

/// The schema of a provider's envelopes.
pub(super) fn provider_schema(provider: ProviderName) -> Value {
    let mut schema = envelope_schema();
    let form = event_form(provider);
    schema["title"] = format!("An event of {provider}").into();
    let properties = &mut schema["properties"];
    properties["source"]["pattern"] = format!("^{}/[A-Za-z0-9._-]{{1,64}}$", provider.source_path()).into();
    properties["type"]["pattern"] = format!(r"^{provider}\.{}$", form.type_pattern).into();
    for extension in form.extensions {
        assert!(properties.get(extension.name).is_none(), "{provider}: {} is a member of every event", extension.name);
        properties[extension.name] = json!({"type": "string", "description": extension.description});
    }
    let required = schema["required"].as_array_mut().unwrap();
    required.extend(form.always.iter().map(|name| Value::from(*name)));
    if let DataForm::Object(members) = form.data {
        let contents = schema["oneOf"].as_array_mut().unwrap();
        let with_data = contents.iter_mut().find(|content| content["required"] == json!(["data"])).unwrap();
        with_data["properties"]["data"] = json!({"type": "object", "required": members});
    }
    schema
}

/// Every schema by the name of its file.
pub(super) fn schemas() -> Vec<(String, Value)> {
    let of_provider = ProviderName::ALL.iter().map(|provider| (format!("{provider}.json"), provider_schema(*provider)));
    [("envelope.json".to_owned(), envelope_schema())].into_iter().chain(of_provider).collect()
}

/// A validator that checks formats as well.
fn validator(schema: &Value) -> Validator {
    jsonschema::options().should_validate_formats(true).build(schema).unwrap()
}

/// Panics unless an envelope is what its schemas promise, and holds nothing that they do not name.
pub(super) fn assert_valid(envelope: &str) {
    let value: Value = serde_json::from_str(envelope).unwrap();
    let provider = value["type"].as_str().unwrap().split('.').next().unwrap().parse().unwrap();
    let schema = provider_schema(provider);
    for schema in [&envelope_schema(), &schema] {
        let problems: Vec<String> = validator(schema).iter_errors(&value).map(|error| error.to_string()).collect();
        assert_eq!(problems, Vec::<String>::new(), "{envelope}");
    }
    let named: &Map<String, Value> = schema["properties"].as_object().unwrap();
    for member in value.as_object().unwrap().keys() {
        let is_content = ["data", "data_base64", "dataref"].contains(&member.as_str());
        assert!(is_content || named.contains_key(member), "no schema names {member}: {envelope}");
    }
}

/// Compares a file with what it should hold, or writes it.
pub(super) fn assert_current(path: &Path, text: &str) {
    if std::env::var_os(UPDATE).is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let committed = std::fs::read_to_string(path).unwrap_or_default();
    assert!(committed == text, "{} is not current; run `make schemas` and review what changes", path.display());
}

/// The names of the files in a folder below `schemas`.
fn files_in(name: &str) -> Vec<String> {
    let entries = std::fs::read_dir(folder().join(name)).unwrap().map(|entry| entry.unwrap());
    let files = entries.filter(|entry| entry.file_type().unwrap().is_file());
    let mut names: Vec<String> = files.map(|entry| entry.file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn the_committed_schemas_are_those_of_the_types() {
    let mut names = Vec::new();
    for (name, schema) in schemas() {
        let text = serde_json::to_string_pretty(&schemars::Schema::try_from(schema).unwrap()).unwrap() + "\n";
        assert_current(&folder().join(&name), &text);
        names.push(name);
    }
    names.extend(["README.md".to_owned(), "asyncapi.yaml".to_owned()]);
    names.sort();
    assert_eq!(files_in(""), names);
}

#[tokio::test(start_paused = true)]
async fn the_committed_examples_are_real_envelopes_of_every_provider_and_outcome_and_are_valid() {
    let mut names = Vec::new();
    let mut kinds = std::collections::BTreeSet::new();
    for (name, envelope) in stories().await {
        assert_valid(&envelope);
        let value: Value = serde_json::from_str(&envelope).unwrap();
        for member in ["outcome", "entitychange"] {
            kinds.extend(value[member].as_str().map(str::to_owned));
        }
        assert_current(&folder().join(format!("examples/{name}.json")), &(envelope + "\n"));
        names.push(format!("{name}.json"));
    }
    names.sort();
    assert_eq!(files_in("examples"), names);
    let expected = ["changed", "conflict", "created", "deleted", "late", "merged", "repeat", "revived", "stored"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), expected);
}

#[test]
fn a_schema_refuses_what_it_does_not_promise() {
    let envelope = |change: &dyn Fn(&mut Value)| {
        let text = std::fs::read_to_string(folder().join("examples/nurturecloud-created.json")).unwrap();
        let mut value: Value = serde_json::from_str(&text).unwrap();
        change(&mut value);
        value
    };
    let validator = validator(&provider_schema(ProviderName::NurtureCloud));
    assert!(validator.is_valid(&envelope(&|_| {})));
    for wrong in [
        envelope(&|value| value["outcome"] = "duplicate".into()),
        envelope(&|value| value["source"] = "/webhooks/machnet/main".into()),
        envelope(&|value| value["type"] = "nurturecloud.agent.Archived".into()),
        envelope(&|value| value["receivedat"] = "yesterday".into()),
        envelope(&|value| value["data"] = "text".into()),
        envelope(&|value| value["dataref"] = "s3://bucket/key".into()),
        envelope(&|value| drop(value.as_object_mut().unwrap().remove("entityversion"))),
        envelope(&|value| drop(value.as_object_mut().unwrap().remove("data"))),
        envelope(&|value| value["id"] = "".into()),
    ] {
        assert!(!validator.is_valid(&wrong), "{wrong}");
    }
}
