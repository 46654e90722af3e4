//! What the program prints, held against the files in `snapshots/`.
//!
//! `cargo test` only compares, as `.cargo/config.toml` sets `INSTA_UPDATE`. After a change that is meant,
//! `INSTA_UPDATE=always cargo test -p intake-cli` writes the files, and their diff shows what a user will see.

use std::path::Path;

use intake_providers::ProviderName;

/// What differs from run to run. Each stand-in is as wide as what it stands for, so that tables keep their form.
const FILTERS: [(&str, &str); 13] = [
    (r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", "YYYY-MM-DDThh:mm:ss.fffZ"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}", "YYYY-MM-DD hh:mm:ss.fff"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "YYYY-MM-DD hh:mm:ss"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d", "YYYY-MM-DD hh:mm"),
    (r"┆ [0-9a-f]{8} ", "┆ xxxxxxxx "),
    (r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx"),
    (r"[0-9a-f]{8}-[0-9a-f]{3}…", "xxxxxxxx-xxx…"),
    (r"[0-9a-f]{12}…", "xxxxxxxxxxxx…"),
    (r"…[0-9a-f]{8}\.", "…xxxxxxxx."),
    (r"\b[0-9a-f]{16}\b", "xxxxxxxxxxxxxxxx"),
    (r"\b[0-9a-f]{24}\b", "xxxxxxxxxxxxxxxxxxxxxxxx"),
    (r"(?m)^key         [0-9a-f]{8}$", "key         xxxxxxxx"),
    (r"127\.0\.0\.1:\d{4,5}", "127.0.0.1:PORT"),
];

/// Compares with `snapshots/<name>.snap`.
pub(crate) fn assert_printed(name: &str, data_directory: &Path, text: &str) {
    let text = text.replace(data_directory.to_str().unwrap(), "DATA-DIRECTORY");
    let mut settings = insta::Settings::new();
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    for (pattern, stand_in) in FILTERS {
        settings.add_filter(pattern, stand_in);
    }
    // So that a provider more changes what is about it, and not every command's help.
    let names: Vec<&str> = ProviderName::ALL.iter().map(|provider| provider.as_str()).collect();
    settings.add_filter(&format!(r"(possible\s+values:\s+){}\b", names.join(r",\s+")), "${1}each provider");
    settings.bind(|| insta::assert_snapshot!(name, text));
}
