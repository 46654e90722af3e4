use super::testing::{Reply, Saving, World, date, plan};
use super::*;
use crate::testing::{Counted, Lines};

mod any_order;

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

fn two_by_two() -> ResyncPlan {
    plan(&["b1", "b2"], &["contact", "agent"])
}

fn one() -> ResyncPlan {
    plan(&["b1"], &["contact"])
}

fn entities(ids: &[&str]) -> ResyncPlan {
    let ids: Vec<_> = ids.iter().map(|id| id.parse().unwrap()).collect();
    ResyncPlan::entities(&"b1".parse().unwrap(), &"contact".parse().unwrap(), &ids).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_first_run_looks_back_a_week_and_the_next_one_to_the_day_before_it() {
    let world = World::new();
    let report = world.run(&two_by_two()).await;
    assert!(matches!(report.outcome, RunOutcome::Complete), "{report:?}");
    assert_eq!((report.accepted, report.began_at.unwrap().to_string().as_str()), (4, "2026-11-21T09:30:00.000Z"));
    assert_eq!(report.last_complete_run_began_at, report.began_at);
    assert_eq!(
        world.take_arrivals(),
        [
            "2 b1 contact since=2026-11-14",
            "4 b1 agent since=2026-11-14",
            "6 b2 contact since=2026-11-14",
            "8 b2 agent since=2026-11-14",
        ]
    );
    tokio::time::advance(3 * DAY).await;
    world.run(&one()).await;
    assert_eq!(world.take_calls(), ["b1 contact since=2026-11-20"]);
    world.run(&one()).await;
    assert_eq!(world.take_calls(), ["b1 contact since=2026-11-23"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_spans_midnight_counts_from_its_beginning() {
    let world = World::replying([Reply::Status(202), Reply::Kill]);
    assert!(world.run_until(&two_by_two(), None).await.is_none());
    world.take_arrivals();
    tokio::time::advance(2 * DAY).await;
    let report = world.run(&two_by_two()).await;
    assert_eq!(report.began_at.unwrap().to_string(), "2026-11-21T09:30:00.000Z");
    world.take_arrivals();
    world.run(&one()).await;
    assert_eq!(world.take_calls(), ["b1 contact since=2026-11-20"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_killed_goes_on_where_it_was_with_the_same_since() {
    let world = World::replying([Reply::Status(202), Reply::Status(202), Reply::Kill]);
    assert!(world.run_until(&two_by_two(), None).await.is_none());
    world.take_arrivals();
    tokio::time::advance(DAY).await;
    let report = world.run(&two_by_two()).await;
    assert!(matches!(report.outcome, RunOutcome::Complete), "{report:?}");
    assert_eq!(report.accepted, 2);
    assert_eq!(world.take_calls(), ["b2 contact since=2026-11-14", "b2 agent since=2026-11-14"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_before_its_time_is_up_and_the_next_one_goes_on() {
    let world = World::new();
    let stop_at = Instant::now() + Duration::from_secs(5);
    let report = world.run_until(&two_by_two(), Some(stop_at)).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::OutOfTime), "{report:?}");
    assert!(Instant::now() <= stop_at, "it doesn't wait for a turn that it won't have");
    assert_eq!((report.accepted, report.not_asked.len(), report.needs_attention()), (2, 2, false));
    world.take_arrivals();
    assert_eq!(world.run(&two_by_two()).await.accepted, 2);
    assert_eq!(world.take_calls(), ["b2 contact since=2026-11-14", "b2 agent since=2026-11-14"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_without_time_for_a_call_needs_attention() {
    let world = World::new();
    let report = world.run_until(&one(), Some(Instant::now() + Duration::from_secs(1))).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::OutOfTime) && report.needs_attention(), "{report:?}");
    assert!(world.take_arrivals().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_refused_does_not_stop_the_others_and_is_asked_for_the_same_again() {
    for (status, reason) in [
        (404, Reason::Refused),
        (422, Reason::Refused),
        (302, Reason::UnexpectedAnswer),
        (200, Reason::UnexpectedAnswer),
    ] {
        let world = World::replying([Reply::Status(202), Reply::Status(status)]);
        let report = world.run(&two_by_two()).await;
        assert!(matches!(report.outcome, RunOutcome::Incomplete) && !report.needs_attention(), "{report:?}");
        assert_eq!((report.accepted, report.last_complete_run_began_at), (3, None));
        let [refused] = &report.not_accepted[..] else { panic!("{report:?}") };
        assert_eq!((refused.reason, refused.status.unwrap().as_u16()), (reason, status));
        assert_eq!(refused.call.component.as_str(), "agent");
        assert_eq!(world.take_arrivals().len(), 4, "a refused call is made once");

        tokio::time::advance(5 * DAY).await;
        assert!(matches!(world.run(&two_by_two()).await.outcome, RunOutcome::Complete));
        assert_eq!(
            world.take_calls(),
            [
                "b1 contact since=2026-11-20",
                "b1 agent since=2026-11-14",
                "b2 contact since=2026-11-20",
                "b2 agent since=2026-11-20",
            ]
        );
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_of_which_nothing_is_accepted_needs_attention() {
    let world = World::replying([Reply::Status(404)]);
    let report = world.run(&one()).await;
    assert!(matches!(report.outcome, RunOutcome::Incomplete) && report.needs_attention(), "{report:?}");
}

#[tokio::test(start_paused = true)]
async fn wrong_credentials_end_the_whole_run_and_it_goes_on_once_they_are_right() {
    for status in [401, 403] {
        let world = World::replying([Reply::Status(202), Reply::Status(status)]);
        let report = world.run(&two_by_two()).await;
        assert!(matches!(report.outcome, RunOutcome::CredentialsWrong) && report.needs_attention(), "{report:?}");
        assert_eq!((report.accepted, report.not_asked.len(), world.take_arrivals().len()), (1, 3, 2));
        assert_eq!(world.run(&two_by_two()).await.accepted, 3);
        let left = ["b2 contact since=2026-11-14", "b2 agent since=2026-11-14", "b1 agent since=2026-11-14"];
        assert_eq!(world.take_calls(), left);
    }
}

#[tokio::test(start_paused = true)]
async fn one_pair_that_ends_every_run_does_not_keep_the_others_from_being_asked_again() {
    for ends_the_run in [Reply::Status(403), Reply::Throttle("301")] {
        let world = World::new();
        let both = plan(&["b1"], &["contact", "agent"]);
        world.reply([ends_the_run.clone()]);
        world.run(&both).await;
        world.reply([Reply::Status(202), ends_the_run.clone()]);
        world.run(&both).await;
        let first = ["b1 contact since=2026-11-14", "b1 agent since=2026-11-14", "b1 contact since=2026-11-14"];
        assert_eq!(world.take_calls(), first);
        tokio::time::advance(DAY).await;
        world.reply([ends_the_run.clone()]);
        world.run(&both).await;
        world.reply([Reply::Status(202), ends_the_run]);
        world.run(&both).await;
        let second = ["b1 contact since=2026-11-14", "b1 agent since=2026-11-20", "b1 contact since=2026-11-14"];
        assert_eq!(world.take_calls(), second);
    }
}

#[tokio::test(start_paused = true)]
async fn a_throttled_call_waits_as_long_as_it_is_told_and_is_made_again() {
    let at = "Sat, 21 Nov 2026 09:31:40 GMT";
    let world = World::replying([Reply::Throttle("20"), Reply::Throttle(at), Reply::Throttle("soon")]);
    let report = world.run(&one()).await;
    assert!(matches!(report.outcome, RunOutcome::Complete), "{report:?}");
    let seconds: Vec<String> =
        world.take_arrivals().iter().map(|line| line.split(' ').next().unwrap().to_owned()).collect();
    assert_eq!(seconds, ["2", "22", "100", "160"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_stays_throttled_is_given_up_and_the_others_wait_too() {
    let world = World::replying((0..MAX_ATTEMPTS).map(|_| Reply::Throttle("50")));
    let report = world.run(&plan(&["b1"], &["contact", "agent"])).await;
    assert_eq!(report.not_accepted[0].reason, Reason::Throttled);
    let arrivals = world.take_arrivals();
    assert_eq!(arrivals[3..], ["152 b1 contact since=2026-11-14", "202 b1 agent since=2026-11-14"]);
}

#[tokio::test(start_paused = true)]
async fn a_wait_that_is_too_long_ends_the_run_and_the_next_one_begins_with_the_others() {
    let longest = World::replying([Reply::Throttle("300")]).run(&one()).await;
    assert!(matches!(longest.outcome, RunOutcome::Complete), "{longest:?}");
    let world = World::replying([Reply::Throttle("301")]);
    let report = world.run(&plan(&["b1"], &["contact", "agent"])).await;
    assert!(matches!(report.outcome, RunOutcome::ToldToWait { wait } if wait.as_secs() == 301), "{report:?}");
    world.take_arrivals();
    assert!(matches!(world.run(&plan(&["b1"], &["contact", "agent"])).await.outcome, RunOutcome::Complete));
    assert_eq!(world.take_calls(), ["b1 agent since=2026-11-14", "b1 contact since=2026-11-14"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_their_side_fails_is_made_again_after_growing_pauses() {
    for (reply, reason) in [(Reply::Status(503), Reason::ServerError), (Reply::NoAnswer, Reason::NoAnswer)] {
        let world = World::replying(std::iter::repeat_n(reply, 4));
        let report = world.run(&plan(&["b1"], &["contact", "agent"])).await;
        assert!(matches!(report.outcome, RunOutcome::Incomplete), "{report:?}");
        assert_eq!((report.accepted, report.not_accepted[0].reason), (1, reason));
        assert_eq!(report.not_accepted[0].call.component.as_str(), "contact");
        let seconds: Vec<u64> =
            world.take_arrivals().iter().map(|line| line.split(' ').next().unwrap().parse().unwrap()).collect();
        assert_eq!(seconds, [2, 4, 10, 28, 30]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_tried_in_vain_when_the_time_was_up_goes_last_next_time() {
    let world = World::replying([Reply::Status(500), Reply::Status(500)]);
    let stop_at = Instant::now() + Duration::from_secs(7);
    let report = world.run_until(&two_by_two(), Some(stop_at)).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::OutOfTime) && report.needs_attention(), "{report:?}");
    world.take_arrivals();
    world.run(&two_by_two()).await;
    assert_eq!(world.take_calls().last().unwrap(), "b1 contact since=2026-11-14");
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_refused_before_the_run_was_cut_off_goes_last_when_it_goes_on() {
    let world = World::replying([Reply::Status(404), Reply::Status(202), Reply::Kill]);
    assert!(world.run_until(&two_by_two(), None).await.is_none());
    world.take_arrivals();
    assert!(matches!(world.run(&two_by_two()).await.outcome, RunOutcome::Complete));
    let left = ["b2 contact since=2026-11-14", "b2 agent since=2026-11-14", "b1 contact since=2026-11-14"];
    assert_eq!(world.take_calls(), left);
}

#[tokio::test(start_paused = true)]
async fn a_new_pair_is_asked_for_the_lookback_and_a_removed_one_is_forgotten() {
    let world = World::new();
    world.run(&plan(&["b1"], &["contact", "agent"])).await;
    tokio::time::advance(9 * DAY).await;
    world.take_arrivals();
    world.run(&plan(&["b1"], &["contact", "agency"])).await;
    assert_eq!(world.take_calls(), ["b1 contact since=2026-11-20", "b1 agency since=2026-11-23"]);
    world.run(&plan(&["b1"], &["contact", "agent"])).await;
    assert_eq!(world.take_calls(), ["b1 contact since=2026-11-29", "b1 agent since=2026-11-23"]);
}

#[tokio::test(start_paused = true)]
async fn a_pair_that_is_new_within_an_open_run_joins_it() {
    let world = World::replying([Reply::Status(202), Reply::Kill]);
    assert!(world.run_until(&two_by_two(), None).await.is_none());
    world.take_arrivals();
    tokio::time::advance(DAY).await;
    assert!(matches!(world.run(&plan(&["b1", "b3"], &["contact"])).await.outcome, RunOutcome::Complete));
    assert_eq!(world.take_calls(), ["b3 contact since=2026-11-15"]);
}

#[tokio::test(start_paused = true)]
async fn a_date_that_is_asked_for_counts_unless_more_is_owed() {
    let world = World::new();
    let asked = |text| two_by_two().since(Some(date(text)));
    world.run(&asked("2026-01-01")).await;
    assert!(world.take_calls().iter().all(|call| call.ends_with("since=2026-01-01")));
    world.reply([Reply::Status(404)]);
    world.run(&two_by_two()).await;
    world.take_arrivals();
    tokio::time::advance(10 * DAY).await;
    world.run(&asked("2026-11-28")).await;
    assert!(world.take_calls().iter().all(|call| call.ends_with("since=2026-11-20")), "the day before the last calls");
}

#[tokio::test(start_paused = true)]
async fn a_date_to_come_means_today() {
    let world = World::new();
    world.run(&one().since(Some(date("2062-11-01")))).await;
    assert_eq!(world.take_calls(), ["b1 contact since=2026-11-21"]);
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_date_goes_on_with_that_date_whether_it_is_named_again_or_not() {
    let asked = || two_by_two().since(Some(date("2026-01-01")));
    for again in [two_by_two(), asked()] {
        let world = World::replying([Reply::Status(202), Reply::Kill]);
        assert!(world.run_until(&asked(), None).await.is_none());
        world.take_arrivals();
        let report = world.run(&again).await;
        assert_eq!((report.accepted, world.take_calls()[0].as_str()), (3, "b1 agent since=2026-01-01"));
    }
}

#[tokio::test(start_paused = true)]
async fn another_date_begins_another_run() {
    let world = World::replying([Reply::Status(202), Reply::Kill]);
    assert!(world.run_until(&two_by_two(), None).await.is_none());
    world.take_arrivals();
    let report = world.run(&two_by_two().since(Some(date("2026-11-01")))).await;
    assert_eq!(report.accepted, 4);
    assert!(world.take_calls().iter().all(|call| call.ends_with("since=2026-11-01")));
}

#[tokio::test(start_paused = true)]
async fn the_progress_at_one_service_says_nothing_about_another() {
    let world = World::new();
    let at = async |service: &str| {
        let report = world.resync(service, ResyncSettings::default()).run(&one(), None, &|_| {}).await;
        assert!(matches!(report.outcome, RunOutcome::Complete), "{report:?}");
        world.take_calls()
    };
    at("sandbox.example.com").await;
    tokio::time::advance(2 * DAY).await;
    assert_eq!(at("sandbox.example.com").await, ["b1 contact since=2026-11-20"]);
    assert_eq!(at("api.example.com").await, ["b1 contact since=2026-11-16"]);
    tokio::time::advance(30 * DAY).await;
    assert_eq!(at("api2.example.com").await, ["b1 contact since=2026-11-22"], "what is owed is not lost by a move");
}

#[tokio::test(start_paused = true)]
async fn single_entities_are_asked_for_without_touching_the_resume_point() {
    let world = World::replying([Reply::Status(202), Reply::Status(404)]);
    let report = world.run(&entities(&["e1", "e2", "e3"])).await;
    assert!(matches!(report.outcome, RunOutcome::Incomplete), "{report:?}");
    assert_eq!((report.accepted, report.not_accepted.len(), report.began_at), (2, 1, None));
    assert_eq!(world.take_arrivals(), ["2 b1 contact id=e1", "4 b1 contact id=e2", "6 b1 contact id=e3"]);
    assert_eq!(*world.document.lock().unwrap(), None);

    let report =
        world.run_until(&entities(&["e1", "e2"]), Some(Instant::now() + Duration::from_secs(3))).await.unwrap();
    assert!(matches!(report.outcome, RunOutcome::OutOfTime), "{report:?}");
    assert_eq!(report.not_asked[0].what.to_string(), "id=e2", "so that one can ask for it by hand");
}

#[tokio::test(start_paused = true)]
async fn a_resume_point_that_cannot_be_saved_ends_the_run() {
    for saving in [Saving::Fail, Saving::FailAfterwards] {
        let world = World::new();
        world.save([Saving::Work, saving]);
        let report = world.run(&two_by_two()).await;
        assert!(matches!(report.outcome, RunOutcome::ResumePoint(_)) && report.needs_attention(), "{report:?}");
        assert_eq!(world.take_arrivals().len(), 1);
        assert!(matches!(world.run(&two_by_two()).await.outcome, RunOutcome::Complete));
    }
}

#[tokio::test(start_paused = true)]
async fn no_call_is_made_before_the_resume_point_is_claimed() {
    let world = World::new();
    world.save([Saving::Fail]);
    assert!(matches!(world.run(&one()).await.outcome, RunOutcome::ResumePoint(_)));
    assert!(world.take_arrivals().is_empty());
}

#[tokio::test(start_paused = true)]
async fn of_two_runs_at_once_only_the_later_one_goes_on() {
    let world = World::new();
    let later = async {
        tokio::time::sleep(Duration::from_secs(3)).await;
        world.run(&two_by_two()).await
    };
    let (first, second) = (two_by_two(), later);
    let (first, second) = tokio::join!(world.run(&first), second);
    assert!(matches!(first.outcome, RunOutcome::TakenOver) && !first.needs_attention(), "{first:?}");
    assert!(matches!(second.outcome, RunOutcome::Complete), "{second:?}");
    // The second call of the first run met the claim of the second one.
    assert_eq!((first.accepted, second.accepted), (2, 3));
}

#[tokio::test(start_paused = true)]
async fn a_resume_point_of_another_version_is_left_alone() {
    let world = World::new();
    world.run(&one()).await;
    world.take_arrivals();
    let newer = world.document.lock().unwrap().as_ref().unwrap().replace("\"version\":1", "\"version\":2");
    for document in [newer.as_str(), "nobody else", "{}", r#"{"version":1,"nobody":"else"}"#] {
        *world.document.lock().unwrap() = Some(document.to_owned());
        let report = world.run(&one()).await;
        let RunOutcome::ResumePoint(error @ ResumePointError::Unreadable { .. }) = &report.outcome else {
            panic!("{report:?}")
        };
        assert!(!error.to_string().contains("nobody"), "{error}");
        assert_eq!(world.document.lock().unwrap().as_deref(), Some(document));
        assert!(world.take_arrivals().is_empty());
    }
}

#[tokio::test(start_paused = true)]
async fn a_resume_point_is_read_as_it_was_written_down() {
    let world = World::new();
    world.run(&one()).await;
    let document: serde_json::Value = serde_json::from_str(world.document.lock().unwrap().as_ref().unwrap()).unwrap();
    assert_eq!(
        document,
        serde_json::json!({
            "version": 1,
            "service": "api.example.com",
            "claim": document["claim"],
            "run": null,
            "last_complete_run_began_at": "2026-11-21T09:30:00.000Z",
            "pairs": [{"business_id": "b1", "component": "contact", "since": "2026-11-20", "state": "waiting"}],
        }),
        "a change of the form is another version"
    );
}

#[tokio::test(start_paused = true)]
async fn each_answer_and_each_run_is_one_line() {
    let lines = Lines::record();
    let world = World::replying([Reply::NoAnswer, Reply::Throttle("9"), Reply::Status(202), Reply::Status(404)]);
    world.run(&plan(&["b1"], &["contact", "agent"])).await;
    let calls = lines.of("resync call");
    let outcomes: Vec<String> = calls
        .iter()
        .map(|line| format!("{} {} {} {}", line["component"], line["attempt"], line["outcome"], line["reason"]))
        .collect();
    assert_eq!(
        outcomes,
        [
            r#""contact" 1 "again" "no-answer""#,
            r#""contact" 2 "again" "throttled""#,
            r#""contact" 3 "accepted" null"#,
            r#""agent" 1 "not_accepted" "refused""#,
        ]
    );
    assert_eq!(calls[0]["error"], "nurturecloud sync-all failed: nobody answers");
    assert_eq!((&calls[1]["status"], &calls[1]["wait_seconds"]), (&429.into(), &9.into()));
    assert_eq!((&calls[3]["business_id"], &calls[3]["asked"]), (&"b1".into(), &"since=2026-11-14".into()));
    let [run] = &lines.of("resync run")[..] else { panic!("{}", lines.text()) };
    assert_eq!((&run["outcome"], &run["accepted"], &run["not_accepted"]), (&"incomplete".into(), &1.into(), &1.into()));
}

#[tokio::test(start_paused = true)]
async fn calls_are_counted_as_accepted_or_not_and_runs_by_whether_somebody_must_look() {
    let accepted = || Reply::Status(202);
    for (replies, plan, expected) in [
        (vec![Reply::NoAnswer, accepted()], one(), &["resync_accepted=1", "resync_completed=1"][..]),
        (vec![accepted()], entities(&["e1"]), &["resync_accepted=1"]),
        (vec![Reply::Status(404)], entities(&["e1"]), &["resync_failed=1", "resync_refused=1"]),
        (vec![Reply::Status(302)], one(), &["resync_failed=1", "resync_refused=1"]),
        (vec![Reply::Status(401)], one(), &["resync_failed=1", "resync_refused=1"]),
        (vec![Reply::Throttle("301")], one(), &["resync_refused=1"]),
        (vec![Reply::Throttle("1"); 4], one(), &["resync_failed=1", "resync_refused=1"]),
        (vec![Reply::Status(500); 4], one(), &["resync_failed=1", "resync_refused=1"]),
        (vec![Reply::NoAnswer; 4], one(), &["resync_failed=1", "resync_refused=1"]),
    ] {
        let counted = Counted::default();
        let _guard = counted.record();
        World::replying(replies.clone()).run(&plan).await;
        assert_eq!(counted.take(), expected, "{replies:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_is_taken_over_or_out_of_time_has_not_failed_and_one_without_a_resume_point_has() {
    let counted = Counted::default();
    let _guard = counted.record();
    let world = World::new();
    world.run_until(&one(), Some(Instant::now())).await;
    let both = (two_by_two(), two_by_two());
    tokio::join!(world.run(&both.0), world.run(&both.1));
    let before = counted.take();
    assert!(!before.iter().any(|series| series.starts_with("resync_failed")), "{before:?}");
    world.save([Saving::Fail]);
    world.run(&one()).await;
    assert_eq!(counted.take(), ["resync_failed=1"]);
}
