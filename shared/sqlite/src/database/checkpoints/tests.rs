use std::time::{Duration, Instant};

use super::*;

const LOG_PAGES: usize = 1024;

/// A writer's connection to a new file with one table.
fn file(path: &Path) -> (Connection, Checkpoints) {
    let mut writer = Connection::open(path).unwrap();
    set_up(&mut writer).unwrap();
    writer.pragma_update(None, "journal_mode", "wal").unwrap();
    writer.execute_batch("CREATE TABLE contents (content BLOB NOT NULL) STRICT").unwrap();
    let mut checkpoints = Checkpoints::of(&mut writer, path).unwrap();
    (checkpoints.max_log_pages, checkpoints.step_pages) = (LOG_PAGES, LOG_PAGES / 8);
    (writer, checkpoints)
}

/// Writes some pages, and does what is due after it.
fn write(writer: &Connection, checkpoints: &mut Checkpoints) {
    writer.execute("INSERT INTO contents VALUES (zeroblob(100000))", ()).unwrap();
    checkpoints.after_commit(writer);
}

fn pages(checkpoints: &Checkpoints) -> usize {
    checkpoints.log_pages.load(Ordering::Relaxed)
}

fn copied(checkpoints: &Checkpoints) -> usize {
    checkpoints.progress.copied_pages.load(Ordering::Relaxed)
}

/// Waits until the thread has taken its step.
fn wait_for_step(checkpoints: &Checkpoints) {
    let began = Instant::now();
    while checkpoints.progress.stage.load(Ordering::Acquire) == COPYING {
        assert!(began.elapsed() < Duration::from_secs(60), "the thread does not end its step");
        std::thread::yield_now();
    }
}

/// Writes until the log has begun again, and returns how large it was at most.
fn write_until_it_begins_again(writer: &Connection, checkpoints: &mut Checkpoints) -> usize {
    let mut largest = 0;
    while pages(checkpoints) >= largest {
        largest = pages(checkpoints);
        write(writer, checkpoints);
        assert!(largest < 20 * LOG_PAGES, "the log has {largest} pages and does not begin again");
    }
    largest
}

#[test]
fn the_log_begins_again_while_the_writer_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, mut checkpoints) = file(&directory.path().join("contents.sqlite"));
    for _ in 0..2 {
        assert!(write_until_it_begins_again(&writer, &mut checkpoints) >= LOG_PAGES);
    }
}

/// Makes 30 changes of 25 pages, with a reader of the latest one at any time, so that the log goes on and can be copied. Returns in how many
/// steps it was.
fn steps(writer: &Connection, checkpoints: &mut Checkpoints, path: &Path) -> usize {
    let reader = Connection::open(path).unwrap();
    let (mut before, mut steps) = (copied(checkpoints), 0);
    for _ in 0..30 {
        reader.execute_batch("BEGIN").unwrap();
        let _: i64 = reader.query_row("SELECT count(*) FROM contents", (), |row| row.get(0)).unwrap();
        write(writer, checkpoints);
        wait_for_step(checkpoints);
        reader.execute_batch("COMMIT").unwrap();
        let now = copied(checkpoints);
        steps += usize::from(now != before);
        before = now;
    }
    steps
}

#[test]
fn the_log_is_copied_in_steps_long_before_it_begins_again_and_from_its_new_beginning() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("contents.sqlite");
    let (writer, mut checkpoints) = file(&path);
    for _ in 0..2 {
        let steps = steps(&writer, &mut checkpoints, &path);
        assert!((4..=8).contains(&steps), "{steps} steps");
        let (in_log, copied) = (pages(&checkpoints), copied(&checkpoints));
        assert!((600..LOG_PAGES).contains(&in_log), "{in_log} pages in the log");
        assert!(copied <= in_log && copied >= in_log - LOG_PAGES / 4, "{copied} of {in_log} pages are copied");
        write_until_it_begins_again(&writer, &mut checkpoints);
    }
}

#[test]
fn a_log_that_is_copied_whole_begins_again_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, mut checkpoints) = file(&directory.path().join("contents.sqlite"));
    for _ in 0..100 {
        write(&writer, &mut checkpoints);
        wait_for_step(&checkpoints);
        assert!(pages(&checkpoints) < LOG_PAGES / 4);
    }
}

#[test]
fn a_reader_holds_up_the_log_and_not_the_writer_and_it_begins_again_afterwards() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("contents.sqlite");
    let (writer, mut checkpoints) = file(&path);
    write(&writer, &mut checkpoints);
    let mut reader = Connection::open(&path).unwrap();
    let reading = reader.transaction().unwrap();
    let count: i64 = reading.query_row("SELECT count(*) FROM contents", (), |row| row.get(0)).unwrap();
    while pages(&checkpoints) < LOG_PAGES * 2 {
        write(&writer, &mut checkpoints);
    }
    let seen: i64 = reading.query_row("SELECT count(*) FROM contents", (), |row| row.get(0)).unwrap();
    assert_eq!((count, seen), (1, 1));
    drop(reading);
    assert!(write_until_it_begins_again(&writer, &mut checkpoints) >= LOG_PAGES * 3 / 2);
}

/// The locks that this process has on a file, as the kernel lists them.
#[cfg(target_os = "linux")]
fn locks(path: &Path) -> usize {
    use std::os::unix::fs::MetadataExt as _;

    let file = format!(":{} ", std::fs::metadata(path).unwrap().ino());
    let process = format!(" {} ", std::process::id());
    let locks = std::fs::read_to_string("/proc/locks").unwrap();
    locks.lines().filter(|line| line.contains(&file) && line.contains(&process)).count()
}

#[cfg(target_os = "linux")]
#[test]
fn the_end_of_the_thread_leaves_sqlite_its_locks() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("contents.sqlite");
    let (writer, mut checkpoints) = file(&path);
    write_until_it_begins_again(&writer, &mut checkpoints);
    assert_ne!(locks(&path), 0);
    drop(checkpoints);
    assert_ne!(locks(&path), 0, "another process could take the file for unused, and delete its log");
}
