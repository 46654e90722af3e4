//! Upper bounds for the cost of splitting a delivery, whatever its shape.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a panic fails the test, as it should")]

use std::time::{Duration, Instant};

use intake_providers::registry::Settings;
use intake_providers::split::Split;
use peak_alloc::PeakAlloc;

mod shapes;

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Maximum memory for splitting a delivery, in bytes, beside its body: 32 MiB for 4 MiB.
const MAX_PEAK_BYTES: usize = 8 * shapes::MAX_BODY_BYTES;

/// Maximum time for splitting a delivery: 4 MiB with optimizations, or a fraction of that without.
const MAX_TIME: Duration = Duration::from_millis(1_500);

/// One test, because the allocator counts for the whole process. `cargo test --release -p intake-providers --test
/// split_cost -- --nocapture` prints the table for whole bodies.
#[test]
fn every_shape_of_a_delivery_is_read_within_bounded_memory_and_time() {
    let providers = Settings { nowcerts: nowcerts(), ..Settings::default() };
    println!("{:>9} {:>8} {:>7}  shape", "peak", "time", "events");
    for (shape, delivery) in shapes::deliveries() {
        assert!(delivery.body.len() <= shapes::MAX_BODY_BYTES, "{shape}: {}", delivery.body.len());
        ALLOCATOR.reset_peak_usage();
        let before = ALLOCATOR.current_usage();
        let start = Instant::now();
        let count = providers.split(&delivery).map_or(0, Iterator::count);
        let time = start.elapsed();
        let peak = ALLOCATOR.peak_usage() - before;
        println!("{:>6.1} MB {:>5} ms {count:>7}  {shape}", peak as f64 / 1e6, time.as_millis());
        assert!(peak <= MAX_PEAK_BYTES, "{shape}: {peak} bytes");
        assert!(time <= MAX_TIME, "{shape}: {time:?}");
    }
}

fn nowcerts() -> intake_providers::nowcerts::Settings {
    intake_providers::nowcerts::Settings { id_pointer: Some("/1".parse().unwrap()) }
}
