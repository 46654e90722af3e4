use std::path::Path;
use std::sync::mpsc::channel;

use super::super::set_up;
use super::*;

/// A writer on a file with one table of unique numbers.
fn writer(path: &Path) -> Writer {
    let mut connection = Connection::open(path).unwrap();
    set_up(&mut connection).unwrap();
    connection.pragma_update(None, "journal_mode", "wal").unwrap();
    connection.execute_batch("CREATE TABLE IF NOT EXISTS numbers (number INTEGER PRIMARY KEY) STRICT").unwrap();
    let checkpoints = Checkpoints::of(&mut connection, path).unwrap();
    Writer::start(connection, checkpoints).unwrap()
}

fn numbers(path: &Path) -> Vec<i64> {
    let connection = Connection::open(path).unwrap();
    let mut statement = connection.prepare("SELECT number FROM numbers ORDER BY number").unwrap();
    statement.query_map((), |row| row.get(0)).unwrap().map(Result::unwrap).collect()
}

fn insert(number: i64) -> impl FnMut(&Connection) -> Result<i64, WorkError> + Send + 'static {
    move |connection| {
        connection.execute("INSERT INTO numbers VALUES (?1)", [number])?;
        Ok(number)
    }
}

/// Holds the writer until told to go on, so that what is asked for meanwhile waits together.
async fn held<T>(writer: &Writer, meanwhile: impl Future<Output = T>) -> T {
    let (begin, begun) = channel();
    let (go_on, told) = channel::<()>();
    let hold = writer.alone("hold", move |_| {
        begin.send(()).unwrap();
        told.recv().unwrap();
        Ok(())
    });
    let ask = async {
        tokio::task::spawn_blocking(move || begun.recv().unwrap()).await.unwrap();
        let mut meanwhile = Box::pin(meanwhile);
        // All of them are asked for before the writer goes on.
        assert!(futures_poll(meanwhile.as_mut()).await.is_none());
        go_on.send(()).unwrap();
        meanwhile.await
    };
    tokio::join!(hold, ask).1
}

/// Polls a future once.
async fn futures_poll<F: Future + Unpin>(mut future: F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[tokio::test]
async fn what_waits_together_is_committed_together_and_one_that_fails_is_undone_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.sqlite");
    let writer = writer(&path);
    let seen = path.clone();
    let twice = |connection: &Connection| {
        connection.execute("INSERT INTO numbers VALUES (3)", ())?;
        connection.execute("INSERT INTO numbers VALUES (1)", ())?;
        Ok(())
    };
    let last = move |connection: &Connection| {
        insert(4)(connection)?;
        let within: i64 = connection.query_row("SELECT count(*) FROM numbers", (), |row| row.get(0))?;
        // Nothing is visible to others before the commit.
        Ok((within, numbers(&seen).len()))
    };
    let all = async {
        tokio::join!(
            writer.together(Urgency::Other, "first", insert(1)),
            writer.together(Urgency::Other, "second", insert(2)),
            writer.together(Urgency::Other, "twice", twice),
            writer.together(Urgency::Other, "last", last)
        )
    };
    let (first, second, twice, last) = held(&writer, all).await;
    assert_eq!((first.unwrap(), second.unwrap()), (1, 2));
    let error = twice.unwrap_err();
    assert_eq!(error.operation, "twice");
    assert!(error.message.contains("UNIQUE"), "{error}");
    assert_eq!(last.unwrap(), (3, 0));
    assert_eq!(numbers(&path), [1, 2, 4]);
}

#[tokio::test]
async fn a_panic_is_the_error_of_its_own_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.sqlite");
    let writer = writer(&path);
    let panics = |connection: &Connection| -> Result<(), WorkError> {
        insert(1)(connection)?;
        panic!("a defect");
    };
    let all = async {
        tokio::join!(
            writer.together(Urgency::Other, "panics", panics),
            writer.together(Urgency::Other, "works", insert(2))
        )
    };
    let (panicked, works) = held(&writer, all).await;
    assert!(panicked.unwrap_err().message.contains("a defect"));
    assert_eq!((works.unwrap(), numbers(&path)), (2, vec![2]));
}

#[tokio::test]
async fn when_the_transaction_is_lost_everyone_in_it_hears_why_and_the_next_one_works() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.sqlite");
    let writer = writer(&path);
    // As SQLite does when the disk is full.
    let loses = |connection: &Connection| -> Result<(), WorkError> {
        connection.execute_batch("ROLLBACK")?;
        Err(rusqlite::Error::SqliteFailure(rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_FULL), None).into())
    };
    let all = async {
        tokio::join!(
            writer.together(Urgency::Other, "before", insert(1)),
            writer.together(Urgency::Other, "loses", loses),
            writer.together(Urgency::Other, "after", insert(2))
        )
    };
    let (before, lost, after) = held(&writer, all).await;
    for error in [before.unwrap_err(), lost.unwrap_err(), after.unwrap_err()] {
        assert!(error.message.contains("full"), "{error}");
    }
    assert_eq!(numbers(&path), [0; 0]);
    writer.together(Urgency::Other, "later", insert(3)).await.unwrap();
    assert_eq!(numbers(&path), [3]);
}

#[tokio::test]
async fn a_commit_that_fails_is_an_error_for_all_who_wait_for_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.sqlite");
    let writer = writer(&path);
    let deferred = |connection: &Connection| {
        connection.execute_batch(
            "CREATE TABLE names (number INTEGER REFERENCES numbers (number) DEFERRABLE INITIALLY DEFERRED) STRICT",
        )?;
        Ok(())
    };
    writer.together(Urgency::Other, "table", deferred).await.unwrap();
    writer.alone("keys", |connection| Ok(connection.pragma_update(None, "foreign_keys", true)?)).await.unwrap();
    let dangling = |connection: &Connection| Ok(connection.execute("INSERT INTO names VALUES (9)", ())?);
    let all = async {
        tokio::join!(
            writer.together(Urgency::Other, "good", insert(1)),
            writer.together(Urgency::Other, "dangling", dangling)
        )
    };
    let (good, dangling) = held(&writer, all).await;
    for error in [good.unwrap_err(), dangling.unwrap_err()] {
        assert!(error.message.contains("FOREIGN KEY"), "{error}");
    }
    assert_eq!(numbers(&path), [0; 0]);
    writer.together(Urgency::Other, "later", insert(3)).await.unwrap();
    assert_eq!(numbers(&path), [3]);
}

#[tokio::test]
async fn work_whose_caller_gave_up_before_it_was_begun_is_not_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.sqlite");
    let writer = writer(&path);
    let all = async {
        let mut given_up = Box::pin(writer.together(Urgency::Other, "given up", insert(1)));
        assert!(futures_poll(given_up.as_mut()).await.is_none());
        drop(given_up);
        writer.together(Urgency::Other, "awaited", insert(2)).await
    };
    held(&writer, all).await.unwrap();
    assert_eq!(numbers(&path), [2]);
}

#[tokio::test]
async fn what_waits_is_done_before_the_writer_is_gone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.sqlite");
    let writer = std::sync::Arc::new(writer(&path));
    let tasks: Vec<_> = (0..100)
        .map(|number| {
            let writer = std::sync::Arc::clone(&writer);
            tokio::spawn(async move { writer.together(Urgency::Other, "insert", insert(number)).await.unwrap() })
        })
        .collect();
    drop(writer);
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!(numbers(&path).len(), 100);
}

#[tokio::test]
async fn what_is_urgent_goes_before_what_waits_already() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("numbers.sqlite");
    let writer = writer(&path);
    let count = |connection: &Connection| {
        connection.execute("INSERT INTO numbers SELECT count(*) FROM numbers", ())?;
        Ok(connection.last_insert_rowid())
    };
    let order = held(&writer, async {
        tokio::join!(
            writer.together(Urgency::Other, "first", count),
            writer.together(Urgency::Other, "second", count),
            writer.together(Urgency::Urgent, "urgent", count)
        )
    });
    let (first, second, urgent) = order.await;
    assert_eq!((urgent.unwrap(), first.unwrap(), second.unwrap()), (0, 1, 2));
}

#[tokio::test]
async fn what_is_urgent_waits_for_no_long_queue() {
    let directory = tempfile::tempdir().unwrap();
    let writer = writer(&directory.path().join("numbers.sqlite"));
    let slow = |number: i64| {
        move |connection: &Connection| {
            std::thread::sleep(Duration::from_millis(3));
            insert(number)(connection)
        }
    };
    let others = (0..4).map(|number| writer.together(Urgency::Other, "other", slow(number)));
    let urgent = async {
        let urgent = writer.together(Urgency::Urgent, "urgent", insert(100)).await;
        urgent.map(|_| Instant::now())
    };
    let others = futures_util::future::join_all(others.map(|other| async { other.await.map(|_| Instant::now()) }));
    let (others, urgent) = held(&writer, async { tokio::join!(others, urgent) }).await;
    let others: Vec<Instant> = others.into_iter().map(Result::unwrap).collect();
    let urgent = urgent.unwrap();
    // Its transaction took in two of them at most, and the next one takes longer than this.
    let later = others.iter().filter(|other| **other > urgent + Duration::from_millis(2)).count();
    assert!(later >= 2, "{later} of four came later");
}
