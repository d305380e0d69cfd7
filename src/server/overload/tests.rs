//! Who is refused when, and for how long a refusal is held back.

use super::*;

fn queue() -> Arc<Queue> {
    Queue::new(&Bounds {
        waiting: 64,
        wait: Duration::from_millis(5),
        ..Bounds::default()
    })
}

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Lets a slow call have its turn at each of these milliseconds, with many behind it.
fn slow_at(queue: &Queue, times: impl IntoIterator<Item = u64>) -> Vec<bool> {
    let judged = times
        .into_iter()
        .map(|now| queue.judge(Class::Page, ms(26), FEW + 1, ms(now)));
    judged.map(|judged| judged.is_err()).collect()
}

#[test]
fn slow_calls_are_refused_after_they_stood_for_some_time_and_no_longer_after_a_pause() {
    let queue = queue();
    let refused = slow_at(&queue, (1_000..1_200).step_by(20));
    assert_eq!(
        refused,
        [false, false, false, false, false, true, true, true, true, true]
    );
    // Few others wait, since the rest is refused.
    for now in [1_204, 1_480, 2_000, 3_200] {
        assert_eq!(queue.judge(Class::Page, ms(6), 0, ms(now)), Err(Excess(Class::Page)));
    }
    assert_eq!(queue.judge(Class::Page, ms(4), 900, ms(3_210)), Ok(()));
    assert_eq!(queue.judge(Class::Page, ms(6), 0, ms(4_401)), Ok(()));
    assert_eq!(slow_at(&queue, [4_410, 4_430]), [false, false]);
}

#[test]
fn a_burst_and_a_few_calls_that_something_else_held_up_are_no_overload() {
    let queue = queue();
    // Four bursts of 80 ms, and pauses.
    for start in [0, 120, 240, 360] {
        let refused = slow_at(&queue, (start..start + 80).step_by(10));
        assert!(!refused.contains(&true), "{start}: {refused:?}");
    }
    for now in 1_000..1_500 {
        assert_eq!(queue.judge(Class::Page, ms(900), FEW, ms(now)), Ok(()));
        assert_eq!(queue.judge(Class::Page, ms(25), 9_000, ms(now)), Ok(()));
    }
}

#[test]
fn a_call_whose_message_comes_after_its_turn_is_judged_once_more_by_how_long_the_server_had_it_to_read() {
    let queue = queue();
    let judge = |class, had| queue.coming(class).judge(Instant::now() - ms(had));
    assert_eq!(judge(Class::Page, 26), Ok(()));
    slow_at(&queue, (0..=200).step_by(10));
    assert_eq!(judge(Class::Page, 0), Ok(()));
    assert_eq!(judge(Class::Page, 6), Err(Excess(Class::Page)));
    assert_eq!(judge(Class::Report, 6), Ok(()));
}

#[test]
fn what_came_as_many_headers_before_its_messages_is_worked_off_until_it_has_stood_for_too_long() {
    for (many, expected) in [(FEW + 1, true), (FEW / 2, false)] {
        let queue = queue();
        let burst: Vec<Coming<'_>> = (0..many * 2).map(|_| queue.coming(Class::Page)).collect();
        // One after the other, half of them within 150 ms.
        let step = ms(150) / u32::try_from(many).unwrap();
        let mut now = Duration::ZERO;
        let mut answered = Vec::new();
        for call in burst {
            now += step;
            if call.judge_at(now, now).is_ok() {
                answered.push(now);
            }
        }
        assert_eq!(answered.len() < many * 2, expected, "{many}");
        if expected {
            assert!(answered.iter().all(|after| *after <= ms(160)), "{answered:?}");
            assert!(answered.len() > many / 2, "{}", answered.len());
        }
    }
}

#[test]
fn health_checks_that_are_begun_and_left_let_no_few_slow_calls_begin_an_overload() {
    let queue = queue();
    let left: Vec<Coming<'_>> = (0..2 * FEW).map(|_| queue.coming(Class::Vital)).collect();
    for now in (0..1_000).step_by(10).map(ms) {
        assert_eq!(queue.coming(Class::Page).judge_at(ms(900), now), Ok(()));
    }
    drop(left);
    assert_eq!(queue.coming.load(Ordering::Relaxed), 0);
}

/// Begins an overload, lets a call have its turn in each millisecond of two seconds, of which one in so many is slow, and tells whether
/// it lasts.
fn lasts(queue: &Queue, start: u64, one_in: u64) -> bool {
    slow_at(queue, (start..=start + 200).step_by(10));
    for now in start + 201..start + 2_201 {
        let waited = if now % one_in == 0 { ms(6) } else { ms(1) };
        let _ = queue.judge(Class::Page, waited, 0, ms(now));
        let _ = queue.judge(Class::Vital, ms(1), 0, ms(now));
    }
    let lasts = queue.is_overloaded(ms(start + 2_201));
    // The least important is taken again once it is over.
    let bulk = queue.judge(Class::Bulk, ms(1), 0, ms(start + 2_201));
    assert_eq!(bulk.is_err(), lasts, "{one_in}");
    lasts
}

#[test]
fn an_overload_is_over_when_few_calls_are_slow_whatever_holds_those_up_and_however_long_the_server_runs() {
    for start in [0, 100 * 24 * 60 * 60 * 1_000] {
        for (one_in, expected) in [(2, true), (9, true), (12, false), (100, false)] {
            assert_eq!(lasts(&queue(), start, one_in), expected, "{one_in} after {start} ms");
        }
    }
}

#[test]
fn an_overload_is_not_over_while_many_wait_for_their_refusals_to_come_again() {
    let queue = queue();
    queue.held.store(FEW, Ordering::Relaxed);
    assert!(lasts(&queue, 0, 100));
}

#[test]
fn calls_that_are_never_refused_make_no_overload_last() {
    let queue = queue();
    slow_at(&queue, (0..=200).step_by(10));
    for now in 201..2_000 {
        assert_eq!(queue.judge(Class::Vital, ms(900), 900, ms(now)), Ok(()));
    }
    assert!(!queue.is_overloaded(ms(2_000)));
}

#[test]
fn where_a_call_takes_long_a_page_view_may_wait_for_a_few_of_them() {
    let queue = queue();
    slow_at(&queue, (0..=200).step_by(10));
    for _ in 0..100 {
        queue.took(ms(3));
    }
    let waits = |waited| {
        queue
            .judge(Class::Page, Duration::from_micros(waited), 0, ms(201))
            .is_ok()
    };
    assert!(waits(11_900) && !waits(12_001));
    for _ in 0..100 {
        queue.took(Duration::from_micros(20));
    }
    assert!(waits(5_000) && !waits(5_001));
}

#[test]
fn under_overload_the_least_important_is_refused_first_and_what_operates_the_server_never() {
    let queue = queue();
    slow_at(&queue, (0..=200).step_by(10));
    let is_answered = |class, waited| queue.judge(class, ms(waited), 0, ms(201)).is_ok();
    let passed = |class| [1, 6, 499, 501, 10_000].map(|waited| is_answered(class, waited));
    assert_eq!(passed(Class::Bulk), [false, false, false, false, false]);
    assert_eq!(passed(Class::Page), [true, false, false, false, false]);
    assert_eq!(passed(Class::Report), [true, true, true, false, false]);
    assert_eq!(passed(Class::Vital), [true, true, true, true, true]);
}

#[test]
fn no_more_wait_than_there_are_places_for_and_the_less_important_have_fewer() {
    let queue = queue();
    let take = |class| queue.arrive(class, Instant::now());
    let mut waiting = Vec::new();
    for (class, places) in [(Class::Bulk, 4), (Class::Page, 16), (Class::Report, 64)] {
        while let Ok(one) = take(class) {
            waiting.push(one);
        }
        assert_eq!(waiting.len(), places, "{class:?}");
    }
    assert!(take(Class::Page).is_err() && take(Class::Vital).is_ok());
    // Who was refused holds no place, and a place is free again once it is left in any way.
    assert!(waiting.pop().unwrap().begin().is_ok());
    waiting.pop();
    assert!(take(Class::Report).is_ok());
    waiting.clear();
    assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
}

#[test]
fn some_refusals_are_told_at_once_and_more_are_held_back_up_to_a_bound_for_all_and_for_each_connection() {
    let queue = queue();
    for window in [0, 7] {
        let now = WINDOW * window;
        let at_once = (0..=AT_ONCE).filter(|_| queue.is_told_at_once(now)).count();
        assert_eq!(at_once as u64, AT_ONCE);
    }
    let of_one_max = queue.held_of_one_max;
    assert_eq!((of_one_max, HELD_MAX % of_one_max), (240, 0));
    let own: Vec<AtomicUsize> = (0..=HELD_MAX / of_one_max).map(|_| AtomicUsize::new(0)).collect();
    let of_each = own.iter().map(|own| {
        let held: Vec<_> = (0..=of_one_max).map_while(|_| queue.held_back(HELD, own)).collect();
        held
    });
    let of_each: Vec<_> = of_each.collect();
    assert!(
        of_each[..HELD_MAX / of_one_max]
            .iter()
            .all(|held| held.len() == of_one_max)
    );
    assert!(of_each.last().is_some_and(Vec::is_empty));
    drop(of_each);
    let left = own
        .iter()
        .chain([&queue.held])
        .map(|count| count.load(Ordering::Relaxed));
    assert_eq!(left.max(), Some(0));
}

#[test]
fn a_refusal_is_told_while_its_caller_still_waits_and_a_report_is_told_at_once() {
    let (queue, own) = (queue(), AtomicUsize::new(0));
    let span = |class, deadline| {
        while queue.is_told_at_once(queue.began.elapsed()) {}
        queue.hold(Excess(class), deadline, &own).map(|held| held.span)
    };
    assert_eq!(span(Class::Page, Some(ms(100))), Some(ms(50)));
    assert_eq!(span(Class::Page, Some(ms(60_000))), Some(HELD));
    assert_eq!(span(Class::Bulk, None), Some(HELD));
    assert_eq!(span(Class::Report, None), None);
    // The more are held the longer, and those of one moment not for as long as each other.
    for (held, longest) in [(600, HELD), (1_650, ms(500)), (HELD_MAX - 1, HELD_LONGEST)] {
        let spans = (held - 10..held).map(|held| {
            queue.held.store(held, Ordering::Relaxed);
            assert_eq!(span(Class::Page, Some(ms(100))), Some(ms(50)), "{held}");
            span(Class::Page, None).unwrap()
        });
        let spans: Vec<_> = spans.collect();
        let shortest = longest.mul_f64(1.0 - SPREAD - 0.01).max(HELD);
        assert!(
            spans.iter().all(|span| (shortest..=longest).contains(span)),
            "{held}: {spans:?}"
        );
        let differ = spans.windows(2).filter(|two| two[0] != two[1]).count();
        assert_eq!(differ, if longest == HELD { 0 } else { 9 }, "{held}: {spans:?}");
    }
}

#[test]
fn what_is_never_refused_takes_no_place_of_others_and_has_a_bound_beyond_which_it_is_a_page_view() {
    let queue = queue();
    let take = |class| queue.arrive(class, Instant::now());
    let vital: Vec<_> = (0..VITAL_MAX).map(|_| take(Class::Vital).unwrap()).collect();
    assert_eq!(queue.waiting.load(Ordering::Relaxed), 0);
    let pages: Vec<_> = (0..16).map(|_| take(Class::Vital).unwrap()).collect();
    assert_eq!(take(Class::Vital).err(), Some(Excess(Class::Page)));
    assert!(take(Class::Report).is_ok());
    drop((vital, pages));
    assert_eq!(
        queue.vital.load(Ordering::Relaxed) + queue.waiting.load(Ordering::Relaxed),
        0
    );
}

#[test]
fn a_refusal_says_when_to_try_again() {
    for class in Class::ALL {
        let status = Excess(class).status();
        let hint = status.get_details_retry_info().and_then(|info| info.retry_delay);
        assert_eq!(
            (status.code(), hint),
            (Code::ResourceExhausted, Some(retry_after(class)))
        );
    }
}
