//! A registered provider has everything that a provider has. `docs/adding-a-provider.md` is the same list in words.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use intake_providers::ProviderName;
use intake_providers::queue_source::QueueSource;
use intake_providers::registry::{VisitQueueSources, VisitWebhooks, visit_queue_sources, visit_webhooks};
use intake_providers::webhook::Webhook;
use intake_simulator::IMITATIONS;

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn text(path: &str) -> String {
    std::fs::read_to_string(repository().join(path)).unwrap_or_default()
}

/// Whether a key has this value anywhere in template.yaml, in a block or in braces, in quotation marks or without.
fn is_in_template(key: &str, value: &str) -> bool {
    text("template.yaml").split(&format!("{key}: ")).skip(1).any(|rest| {
        let rest = rest.strip_prefix('"').unwrap_or(rest);
        rest.strip_prefix(value).is_some_and(|after| after.starts_with(['"', ',', ' ', '\n']))
    })
}

#[derive(Default)]
struct Missing(Vec<String>);

impl Missing {
    fn unless(&mut self, is_there: bool, provider: ProviderName, what: &str) {
        if !is_there {
            self.0.push(format!("{provider} lacks {what}"));
        }
    }

    fn of_every_provider(&mut self, provider: ProviderName, function: &str) {
        let binary = format!("functions/src/bin/{provider}.rs");
        self.unless(text(&binary).contains(function), provider, &format!("its function: {binary} with {function}"));
        self.unless(is_in_template("Binary", provider.as_str()), provider, "its function in template.yaml (`Binary`)");
        let page = format!("docs/providers/{provider}.md");
        self.unless(!text(&page).is_empty(), provider, &format!("its page: {page}"));
        let row = text("README.md").lines().any(|line| line.starts_with("| ") && line.contains(&format!("({page})")));
        self.unless(row, provider, "its row in README.md's table of what each provider needs");
    }
}

impl VisitWebhooks for Missing {
    fn visit<W: Webhook>(&mut self) {
        let type_name = std::any::type_name::<W>().rsplit("::").next().unwrap();
        self.of_every_provider(W::NAME, &format!("run_webhook::<{type_name}>()"));
        let path = W::ROUTE.pattern();
        self.unless(is_in_template("Path", &path), W::NAME, &format!("its route in template.yaml: Path: {path}"));
        let sample = format!("events/{}.json", W::NAME);
        self.unless(!text(&sample).is_empty(), W::NAME, &format!("its sample: {sample} (`make samples` writes it)"));
        let payloads = std::fs::read_dir(repository().join("shared/providers/tests/payloads")).unwrap();
        let payload = payloads.flatten().any(|file| file.file_name().to_string_lossy().starts_with(W::NAME.as_str()));
        self.unless(payload, W::NAME, &format!("a recorded body: shared/providers/tests/payloads/{}-*.json", W::NAME));
        let imitation = IMITATIONS.iter().find(|imitation| imitation.name() == W::NAME).unwrap();
        self.unless(!imitation.key_names().is_empty(), W::NAME, "test keys in its imitation");
    }
}

impl VisitQueueSources for Missing {
    fn visit<Q: QueueSource>(&mut self) {
        let type_name = std::any::type_name::<Q>().rsplit("::").next().unwrap();
        self.of_every_provider(Q::NAME, &format!("run_drain::<{type_name}>()"));
    }
}

#[test]
fn every_registered_provider_has_its_function_resources_sample_page_and_row() {
    let mut missing = Missing::default();
    visit_webhooks(&mut missing);
    visit_queue_sources(&mut missing);
    assert!(missing.0.is_empty(), "\n{}", missing.0.join("\n"));
}
