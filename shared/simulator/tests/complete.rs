//! A registered provider has everything that a provider has. `docs/adding-a-provider.md` is the same list in words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use intake_providers::ProviderName;
use intake_providers::queue_source::QueueSource;
use intake_providers::registry::{VisitQueueSources, VisitWebhooks, key_ring, visit_queue_sources, visit_webhooks};
use intake_providers::webhook::Webhook;
use intake_simulator::IMITATIONS;
use intake_simulator::imitation::Imitation;
use intake_simulator::key_files::KeyFolder;

/// What writes the files that nobody writes by hand.
const GENERATED: &str = "`make generated` writes what is in it";

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_default()
}

/// Whether a folder has a file whose name begins and ends so.
fn has_file(folder: &str, start: &str, end: &str) -> bool {
    std::fs::read_dir(repository().join(folder)).is_ok_and(|files| {
        files.flatten().any(|file| {
            let name = file.file_name().to_string_lossy().into_owned();
            name.starts_with(start) && name.ends_with(end)
        })
    })
}

/// Whether a key has this value anywhere in template.yaml, in a block or in braces, in quotation marks or without.
fn is_in_template(key: &str, value: &str) -> bool {
    text("template.yaml").split(&format!("{key}: ")).skip(1).any(|rest| {
        let rest = rest.strip_prefix('"').unwrap_or(rest);
        rest.strip_prefix(value).is_some_and(|after| after.starts_with(['"', ',', ' ', '\n']))
    })
}

/// Whether template.yaml has a parameter, condition, resource or output of this name.
fn is_declared(name: &str) -> bool {
    text("template.yaml").contains(&format!("\n  {name}:"))
}

fn imitation(provider: ProviderName) -> &'static dyn Imitation {
    *IMITATIONS.iter().find(|imitation| imitation.name() == provider).unwrap()
}

#[derive(Default)]
struct Missing {
    found: Vec<String>,
    /// The files that were looked for, as they are called for a provider `acme`.
    files: BTreeSet<String>,
}

impl Missing {
    fn unless(&mut self, is_there: bool, provider: ProviderName, what: &str) {
        if !is_there {
            self.found.push(format!("{provider} lacks {what}"));
        }
    }

    /// A file that must hold this text.
    fn text_of(&mut self, provider: ProviderName, file: &str, wanted: &str, what: &str) {
        self.files.insert(file.replace(provider.as_str(), "acme"));
        self.unless(text(file).contains(wanted), provider, &format!("{file}: {what}"));
    }

    /// A file that some folder must have, whatever the end of its name says.
    fn one_of(&mut self, provider: ProviderName, folder: &str, end: &str, what: &str) {
        let start = format!("{provider}-");
        self.files.insert(format!("{folder}/acme-*{end}"));
        self.unless(has_file(folder, &start, end), provider, &format!("{folder}/{start}*{end}: {what}"));
    }

    fn of_every_provider(&mut self, provider: ProviderName, type_name: &str, function: &str) {
        for file in ["tests.rs", "keys.rs"] {
            self.text_of(provider, &format!("shared/providers/src/{provider}/{file}"), "{", "a part of its own file");
        }
        let main = format!("functions/src/bin/{provider}.rs");
        self.text_of(provider, &main, function, &format!("its function, {function}"));
        let page = format!("docs/providers/{provider}.md");
        self.text_of(provider, &page, "\n## Set up\n", "its page, with the steps of `## Set up`");
        self.text_of(provider, &page, &format!("keys add {provider} "), "its page, with the step `keys add`");
        let row = text("README.md").lines().any(|line| line.starts_with("| ") && line.contains(&format!("({page})")));
        self.unless(row, provider, "its row in README.md's table of what each provider needs");

        self.unless(is_in_template("Binary", provider.as_str()), provider, "its function in template.yaml (`Binary`)");
        let declared = ["", "Silence", "Function", "Role", "UnverifiedAlarm", "FaultsAlarm", "SilentAlarm"];
        let is_queue = imitation(provider).webhook().is_none();
        for name in declared.iter().filter(|name| !(is_queue && ["UnverifiedAlarm", "FaultsAlarm"].contains(name))) {
            self.unless(
                is_declared(&format!("{type_name}{name}")),
                provider,
                &format!("{type_name}{name} in template.yaml"),
            );
        }
        for condition in ["Has", "Expects"] {
            let name = format!("{condition}{type_name}");
            self.unless(is_declared(&name), provider, &format!("the condition {name} in template.yaml"));
        }
        let secrets = key_ring(provider).documents().iter().map(|document| document.secret.to_owned());
        let outputs = secrets
            .clone()
            .map(|secret| format!("{secret}Arn"))
            .chain(key_ring(provider).webhook_output().map(str::to_owned));
        for name in secrets.chain(outputs) {
            self.unless(is_declared(&name), provider, &format!("{name} in template.yaml"));
        }

        self.text_of(provider, &format!("schemas/{provider}.json"), "\"title\"", GENERATED);
        self.one_of(provider, "schemas/examples", ".json", GENERATED);
        self.text_of(provider, "schemas/asyncapi.yaml", &format!("$ref: {provider}.json\n"), GENERATED);
        self.text_of(provider, "tests/expected/next-steps.txt", &format!("keys add {provider} "), GENERATED);
        for file in ["called.json", "emitted.json"] {
            self.text_of(provider, &format!("tests/template_check/{file}"), &format!("\"{provider}\": ["), GENERATED);
        }
        self.text_of(provider, "tests/template_check/immutable.json", type_name, GENERATED);
        self.text_of(provider, "deploy/measured.toml", &format!("[delivery-{provider}]"), GENERATED);
        self.text_of(provider, "docs/cost.md", &format!(" {type_name} |"), GENERATED);
        let help = format!("cli/tests/command_line/snapshots/help-keys-add-{provider}.snap");
        self.text_of(provider, &help, "Usage", GENERATED);
    }
}

fn type_name<T>() -> &'static str {
    std::any::type_name::<T>().rsplit("::").next().unwrap()
}

impl VisitWebhooks for Missing {
    fn visit<W: Webhook>(&mut self) {
        self.of_every_provider(W::NAME, type_name::<W>(), &format!("run_webhook::<{}>()", type_name::<W>()));
        let path = W::ROUTE.pattern();
        self.unless(is_in_template("Path", &path), W::NAME, &format!("its route in template.yaml: Path: {path}"));
        let refused = text("template.yaml").contains(&format!("/refused/{}/*", W::NAME));
        self.unless(
            refused,
            W::NAME,
            "permission to keep refused requests in template.yaml (`KEEP_REFUSED`, `refused/…/*`)",
        );
        self.one_of(W::NAME, "shared/providers/tests/payloads", ".json", "a recorded body");
        self.text_of(W::NAME, &format!("shared/simulator/src/{}.rs", W::NAME), "ImitatedWebhook for", "its imitation");
        self.text_of(W::NAME, &format!("events/{}.json", W::NAME), "{", GENERATED);
        let keys = imitation(W::NAME).key_names();
        self.unless(!keys.is_empty(), W::NAME, "test keys in its imitation");
        self.one_of(W::NAME, "events/keys", "", GENERATED);
        let folder = KeyFolder::Samples(repository().join("events/keys"));
        for key in keys {
            let file = folder.path(*key);
            self.unless(file.is_file(), W::NAME, &format!("{}: {GENERATED}", file.display()));
        }
    }
}

impl VisitQueueSources for Missing {
    fn visit<Q: QueueSource>(&mut self) {
        self.of_every_provider(Q::NAME, type_name::<Q>(), &format!("run_drain::<{}>()", type_name::<Q>()));
    }
}

#[test]
fn every_registered_provider_has_its_files_its_resources_its_page_and_its_row() {
    let mut missing = Missing::default();
    visit_webhooks(&mut missing);
    visit_queue_sources(&mut missing);
    assert!(missing.found.is_empty(), "\n{}", missing.found.join("\n"));
}

#[test]
fn the_checklist_names_every_file_that_is_looked_for() {
    let mut missing = Missing::default();
    visit_webhooks(&mut missing);
    let page = text("docs/adding-a-provider.md");
    let unnamed: Vec<&String> = missing.files.iter().filter(|file| !page.contains(&format!("`{file}`"))).collect();
    assert!(unnamed.is_empty(), "docs/adding-a-provider.md does not name {unnamed:#?}");
}
