//! Small histories, each with one thing in it that must or must not be found.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::history::FORMAT;
use super::{AuditError, LONG, Recounted, UNDER_WAY_MS, Violation, audit};

/// 2026-03-02, a Monday; `time` as in `09:00`.
fn at(time: &str) -> String {
    format!("2026-03-02T{time}:00Z")
}

fn header(limits: &Value) -> Value {
    let mut policy = json!({
        "in_force_from": "2026-01-01T00:00:00Z",
        "catalog": "0000000000000000",
        "time_zone": "Europe/Madrid",
        "week_starts": "monday",
        "offers": {
            "a": {"group": "g"},
            "b": {"group": "g"},
            "c": {"group": "h"},
            "service": {"group": "s", "stopped": false, "counted": false}
        }
    });
    for (key, value) in limits.as_object().unwrap() {
        policy[key] = value.clone();
    }
    json!({"nbo_contacts": FORMAT, "exported_at": "2026-12-01T00:00:00Z", "policies": [policy]})
}

/// A contact on the web with a reservation of ten minutes; `more` is added.
fn contact(offer: &str, decided_at: &str, more: &Value) -> Value {
    let instant: jiff::Timestamp = decided_at.parse().unwrap();
    let mut contact = json!({
        "decision": 1,
        "offer": offer,
        "channel": "web",
        "placement": "top",
        "decided_at": decided_at,
        "reserved_until": (instant + jiff::SignedDuration::from_mins(10)).to_string(),
    });
    for (key, value) in more.as_object().unwrap() {
        contact[key] = value.clone();
    }
    contact
}

fn lines(text: &str) -> impl Iterator<Item = Result<String, std::convert::Infallible>> {
    text.lines().map(|line| Ok(line.to_owned()))
}

fn run(limits: &Value, customers: &[(&str, Vec<Value>)]) -> (Vec<Violation>, Recounted) {
    let mut text = format!("{}\n", header(limits));
    for (customer, contacts) in customers {
        let line = json!({"customer": customer, "zone": null, "contacts": contacts});
        let _ = writeln!(text, "{line}");
    }
    let mut violations = Vec::new();
    let recounted = audit(
        lines(&text),
        UNDER_WAY_MS,
        |violation| {
            violations.push(violation);
            true
        },
        |_| (),
    );
    (violations, recounted.unwrap())
}

/// Audits one customer and returns (rule, offer, count) of each violation.
fn found(limits: &Value, contacts: Vec<Value>) -> Vec<(String, String, usize)> {
    let (violations, _) = run(limits, &[("c", contacts)]);
    let of = |violation: Violation| (violation.rule, violation.offer, violation.count);
    violations.into_iter().map(of).collect()
}

fn one(rule: &str, offer: &str, count: usize) -> Vec<(String, String, usize)> {
    vec![(rule.to_owned(), offer.to_owned(), count)]
}

fn cap(more: &Value) -> Value {
    let mut cap = json!({"id": "cap", "at_most": 1, "of": "decided", "window": {"rolling_ms": 3_600_000}});
    for (key, value) in more.as_object().unwrap() {
        cap[key] = value.clone();
    }
    json!({ "caps": [cap] })
}

#[test]
fn one_contact_too_many_in_a_rolling_window_is_found_and_one_exactly_a_window_later_is_not() {
    let limits = cap(&json!({}));
    let none = json!({});
    let second = |time: &str| vec![contact("a", &at("09:00"), &none), contact("b", &at(time), &none)];
    assert_eq!(found(&limits, second("09:59")), one("cap", "b", 2));
    assert_eq!(found(&limits, second("10:00")), []);
}

#[test]
fn contacts_of_a_joined_visitor_count_for_the_customer_from_then_on_and_not_before() {
    let limits = cap(&json!({"at_most": 2}));
    let none = json!({});
    let of = |visitor: u32| json!({"joined": {"visitor": visitor, "at": at("09:05"), "zone": "Asia/Tokyo"}});
    let before = || {
        vec![
            contact("a", &at("09:01"), &none),
            contact("a", &at("09:02"), &of(0)),
            contact("a", &at("09:03"), &none),
            contact("a", &at("09:04"), &of(0)),
            contact("a", &at("09:05"), &of(1)),
        ]
    };
    assert_eq!(found(&limits, before()), [], "each had two alone");
    let with = |more: Value| before().into_iter().chain([more]).collect();
    assert_eq!(
        found(&limits, with(contact("b", &at("09:06"), &none))),
        one("cap", "b", 6)
    );
    assert_eq!(
        found(&limits, with(contact("b", &at("10:03"), &none))),
        one("cap", "b", 3)
    );
    assert_eq!(found(&limits, with(contact("b", &at("10:04"), &none))), []);
    assert_eq!(
        found(&limits, with(contact("b", &at("09:06"), &of(0)))),
        one("cap", "b", 3)
    );
    assert_eq!(found(&limits, with(contact("b", &at("09:06"), &of(1)))), []);
}

#[test]
fn a_violation_names_customer_rule_and_times() {
    let none = json!({});
    let contacts = vec![contact("a", &at("09:00"), &none), contact("b", &at("09:30"), &none)];
    let (violations, recounted) = run(&cap(&json!({})), &[("fine", vec![]), ("c-7", contacts)]);
    let told = violations[0].to_string();
    assert_eq!(violations[0].line, 3);
    for part in [
        "customer `c-7`",
        "cap",
        "2026-03-02T09:30:00Z",
        "before it counted: 2026-03-02T09:00:00Z",
    ] {
        assert!(told.contains(part), "{part} is not in: {told}");
    }
    assert_eq!((recounted.customers, recounted.contacts, recounted.checks), (2, 2, 2));
}

#[test]
fn a_reservation_counts_until_its_time_is_over_and_a_report_from_then_on() {
    let limits = cap(&json!({"of": "seen"}));
    let none = json!({});
    let after = |first: Value, time: &str| {
        found(
            &limits,
            vec![contact("a", &at("09:00"), &first), contact("b", &at(time), &none)],
        )
    };
    assert_eq!(after(none.clone(), "09:09"), one("cap", "b", 2));
    assert_eq!(after(none.clone(), "09:10"), []);
    let seen = json!({"outcomes": {"seen": at("09:05")}});
    assert_eq!(after(seen.clone(), "10:04"), one("cap", "b", 2));
    assert_eq!(after(seen, "10:05"), []);
    let clicked = json!({"outcomes": {"clicked": at("09:05")}});
    assert_eq!(after(clicked, "10:04"), one("cap", "b", 2));
}

#[test]
fn what_was_told_after_the_fact_is_no_violation_of_what_was_decided_before() {
    let limits = cap(&json!({"of": "seen"}));
    let none = json!({});
    let late = json!({"outcomes": {"seen": at("09:05")}, "backdated_at": at("09:40")});
    let after = |time: &str| {
        found(
            &limits,
            vec![contact("a", &at("09:00"), &late), contact("b", &at(time), &none)],
        )
    };
    assert_eq!(after("09:39"), []);
    assert_eq!(after("09:41"), one("cap", "b", 2));
    assert_eq!(after("09:06"), one("cap", "b", 2));
}

#[test]
fn a_cancelled_contact_counts_until_it_is_cancelled() {
    let limits = cap(&json!({}));
    let cancelled = json!({"cancelled_at": at("09:20")});
    let after = |time: &str| {
        found(
            &limits,
            vec![
                contact("a", &at("09:00"), &cancelled),
                contact("b", &at(time), &json!({})),
            ],
        )
    };
    assert_eq!(after("09:19"), one("cap", "b", 2));
    assert_eq!(after("09:20"), []);
}

#[test]
fn a_calendar_day_is_the_customers_own_and_the_nights_of_the_clock_change_have_23_and_25_hours() {
    let limits = cap(&json!({"window": {"calendar": "day"}}));
    let pair = |first: &str, second: &str| {
        let none = json!({});
        found(&limits, vec![contact("a", first, &none), contact("b", second, &none)])
    };
    // In Madrid the day ends at 23:00 UTC in winter, at 22:00 UTC in summer.
    assert_eq!(pair("2026-03-02T22:59:59.999Z", "2026-03-02T23:00:00Z"), []);
    assert_eq!(
        pair("2026-03-01T23:00:00Z", "2026-03-02T22:59:59.999Z"),
        one("cap", "b", 2)
    );
    // The 29th of March has 23 hours, the 25th of October 25.
    assert_eq!(
        pair("2026-03-28T23:00:00Z", "2026-03-29T21:59:59.999Z"),
        one("cap", "b", 2)
    );
    assert_eq!(pair("2026-03-28T23:00:00Z", "2026-03-29T22:00:00Z"), []);
    assert_eq!(
        pair("2026-10-24T22:00:00Z", "2026-10-25T22:59:59.999Z"),
        one("cap", "b", 2)
    );
    assert_eq!(pair("2026-10-24T22:00:00Z", "2026-10-25T23:00:00Z"), []);
    let (violations, _) = {
        let none = json!({});
        let contacts = vec![
            contact("a", "2026-03-02T22:30:00Z", &none),
            contact("b", "2026-03-02T23:30:00Z", &none),
        ];
        let text = format!(
            "{}\n{}\n",
            header(&limits),
            json!({"customer": "c", "zone": "Atlantic/Canary", "contacts": contacts})
        );
        let mut violations = Vec::new();
        let result = audit(
            lines(&text),
            UNDER_WAY_MS,
            |violation| {
                violations.push(violation);
                true
            },
            |_| (),
        );
        (violations, result)
    };
    assert_eq!(violations.len(), 1, "on the Canaries both are on the second of March");
}

#[test]
fn weeks_and_months_begin_where_they_should() {
    let pair = |window: &Value, first: &str, second: &str| {
        let none = json!({});
        let limits = cap(&json!({ "window": window }));
        found(&limits, vec![contact("a", first, &none), contact("b", second, &none)]).len()
    };
    let week = json!({"calendar": "week"});
    assert_eq!(pair(&week, "2026-03-08T22:59:00Z", "2026-03-08T23:00:00Z"), 0);
    assert_eq!(pair(&week, "2026-03-01T23:00:00Z", "2026-03-08T22:59:00Z"), 1);
    let month = json!({"calendar": "month"});
    assert_eq!(pair(&month, "2028-02-01T00:00:00Z", "2028-02-29T22:59:00Z"), 1);
    assert_eq!(pair(&month, "2028-02-01T00:00:00Z", "2028-02-29T23:00:00Z"), 0);
    let hour = json!({"calendar": "hour"});
    assert_eq!(pair(&hour, "2026-03-02T09:00:00Z", "2026-03-02T09:59:59.999Z"), 1);
    assert_eq!(pair(&hour, "2026-03-02T09:00:00Z", "2026-03-02T10:00:00Z"), 0);
}

#[test]
fn only_contacts_in_the_scope_and_of_the_same_kind_count() {
    let none = json!({});
    let both = |limits: &Value, first: (&str, &Value), second: (&str, &Value)| {
        found(
            limits,
            vec![
                contact(first.0, &at("09:00"), first.1),
                contact(second.0, &at("09:01"), second.1),
            ],
        )
        .len()
    };
    let each_group = cap(&json!({"each": ["group"]}));
    assert_eq!(both(&each_group, ("a", &none), ("b", &none)), 1);
    assert_eq!(both(&each_group, ("a", &none), ("c", &none)), 0);
    let on_post = json!({"channel": "post"});
    let only_web = cap(&json!({"scope": {"channels": ["web"]}}));
    assert_eq!(both(&only_web, ("a", &on_post), ("b", &none)), 0);
    assert_eq!(both(&only_web, ("a", &none), ("b", &on_post)), 0);
    let spring = json!({"campaign": "spring"});
    let each_campaign = cap(&json!({"each": ["offer", "campaign"], "scope": {"campaigns": ["spring"]}}));
    assert_eq!(both(&each_campaign, ("a", &spring), ("a", &spring)), 1);
    assert_eq!(both(&each_campaign, ("a", &spring), ("a", &none)), 0);
    let all = cap(&none);
    assert_eq!(
        both(&all, ("service", &none), ("a", &none)),
        0,
        "a service message that does not count"
    );
    assert_eq!(
        both(&all, ("a", &none), ("service", &none)),
        0,
        "a service message that nothing stops"
    );
    assert_eq!(
        found(&cap(&json!({"at_most": 0})), vec![contact("a", &at("09:00"), &none)]),
        one("cap", "a", 1)
    );
}

#[test]
fn an_offer_shown_while_it_rests_is_found() {
    let none = json!({});
    let refused = json!({"outcomes": {"refused": at("09:01")}});
    let cool_down = |more: &Value| {
        let mut rule = json!({"id": "rest", "after": "refused", "times": 1, "within_ms": null, "rest_ms": 3_600_000, "on": "offer"});
        for (key, value) in more.as_object().unwrap() {
            rule[key] = value.clone();
        }
        json!({ "cool_downs": [rule] })
    };
    let then = |limits: &Value, offer: &str, time: &str| {
        found(
            limits,
            vec![contact("a", &at("09:00"), &refused), contact(offer, &at(time), &none)],
        )
        .len()
    };
    let offer = cool_down(&json!({}));
    assert_eq!(then(&offer, "a", "10:00"), 1);
    assert_eq!(then(&offer, "a", "10:01"), 0);
    assert_eq!(then(&offer, "b", "10:00"), 0);
    assert_eq!(then(&cool_down(&json!({"on": "group"})), "b", "10:00"), 1);
    assert_eq!(then(&cool_down(&json!({"also": ["c"]})), "c", "10:00"), 1);
    assert_eq!(then(&cool_down(&json!({"on": "everything"})), "c", "10:00"), 1);
    assert_eq!(then(&cool_down(&json!({"rest_ms": null})), "a", "23:59"), 1);
    let twice = cool_down(&json!({"times": 2, "within_ms": 1_800_000}));
    let thrice = |second: &str| {
        let again = json!({"outcomes": {"refused": at(second)}});
        let contacts = vec![
            contact("a", &at("09:00"), &refused),
            contact("a", &at(second), &again),
            contact("a", &at("10:00"), &none),
        ];
        found(&twice, contacts).len()
    };
    assert_eq!(thrice("09:30"), 1);
    assert_eq!(thrice("09:31"), 0, "half an hour apart is not within half an hour");
}

#[test]
fn a_volume_is_recounted_over_all_customers_and_windows() {
    let none = json!({});
    let limits =
        json!({"volumes": [{"id": "v", "at_most": 2, "of": "decided", "per": "day", "scope": {"offers": ["a"]}}]});
    let on = |customer: &'static str, offer: &str, decided_at: &str, more: &Value| {
        (customer, vec![contact(offer, decided_at, more)])
    };
    let three = [
        on("x", "a", &at("09:00"), &none),
        on("y", "a", &at("11:00"), &none),
        on("z", "a", &at("10:00"), &none),
    ];
    let (violations, _) = run(&limits, &three);
    assert_eq!(violations.len(), 1);
    assert_eq!(
        (violations[0].customer.as_str(), violations[0].count),
        ("customer `y`", 3)
    );
    let other_day = [
        three[0].clone(),
        three[1].clone(),
        on("z", "a", "2026-03-03T10:00:00Z", &none),
    ];
    assert_eq!(run(&limits, &other_day).0, []);
    let other_offer = [three[0].clone(), three[1].clone(), on("z", "b", &at("10:00"), &none)];
    assert_eq!(run(&limits, &other_offer).0, []);
    let cancelled = json!({"cancelled_at": at("09:30")});
    let with_room = [
        on("x", "a", &at("09:00"), &cancelled),
        three[1].clone(),
        three[2].clone(),
    ];
    assert_eq!(run(&limits, &with_room).0, []);
}

#[test]
fn an_even_pace_is_recounted_at_each_instant() {
    let limits = json!({"volumes": [{"id": "v", "at_most": 24, "of": "decided", "per": "day", "pace_even": true}]});
    // Midnight in Madrid is 23:00 UTC the day before: at 00:00 UTC an hour of the day is over, so two may be out.
    let customers = |second: &str| {
        let contact = |time: &str| contact("a", time, &json!({}));
        vec![
            ("x", vec![contact("2026-03-01T23:10:00Z")]),
            ("y", vec![contact(second)]),
        ]
    };
    assert_eq!(run(&limits, &customers("2026-03-02T00:00:00Z")).0, []);
    assert_eq!(run(&limits, &customers("2026-03-01T23:59:59Z")).0.len(), 1);
}

#[test]
fn decisions_are_judged_by_the_policy_of_their_time() {
    let none = json!({});
    let mut header = header(&cap(&json!({"at_most": 5})));
    let mut strict = header["policies"][0].clone();
    header["policies"][0]["in_force_until"] = json!(at("09:20"));
    strict["in_force_from"] = json!(at("09:30"));
    strict["caps"][0]["at_most"] = json!(1);
    header["policies"].as_array_mut().unwrap().push(strict);
    let early = contact("a", "2025-12-31T23:00:00Z", &none);
    let contacts: Vec<Value> = ["09:00", "09:10", "09:25", "09:40"]
        .map(|time| contact("a", &at(time), &none))
        .into();
    let contacts = [&[early], contacts.as_slice()].concat();
    let line = json!({"customer": "c", "contacts": contacts});
    let text = format!("{header}\n{line}\n");
    let mut violations = Vec::new();
    let recounted = audit(
        lines(&text),
        UNDER_WAY_MS,
        |violation| {
            violations.push(violation);
            true
        },
        |_| (),
    )
    .unwrap();
    assert_eq!(violations.len(), 1);
    assert_eq!(violations[0].count, 4);
    assert_eq!(
        recounted.without_policy, 2,
        "one too early, one while the policy changed"
    );
}

#[test]
fn a_reservation_lasts_as_long_as_the_policy_of_the_judged_decision_says_whatever_the_catalog_says_at_the_export() {
    let minutes = |minutes: i64| json!({"web": minutes * 60_000});
    let limits = |reserved: &Value| {
        let mut limits = cap(&json!({"of": "seen", "window": "ever"}));
        limits["reservations_ms"] = reserved.clone();
        limits
    };
    let exported = |until: &str| contact("a", &at("09:00"), &json!({"reserved_until": at(until)}));
    let contacts = |until: &str| vec![exported(until), contact("b", &at("09:30"), &json!({}))];
    assert_eq!(
        found(&limits(&minutes(10)), contacts("11:00")),
        [],
        "it has become longer"
    );
    assert_eq!(
        found(&limits(&minutes(60)), contacts("09:10")),
        one("cap", "b", 2),
        "shorter"
    );
    let other_channel = json!({"post": 1});
    assert_eq!(
        found(&limits(&other_channel), contacts("11:00")),
        one("cap", "b", 2),
        "as it says itself"
    );
}

#[test]
fn over_all_customers_a_reservation_that_was_over_by_an_earlier_policy_stays_over() {
    let judged = |first_minutes: i64, first_until: &str| {
        let mut header = header(&json!({
            "volumes": [{"id": "v", "at_most": 1, "of": "seen", "per": "day", "pace_even": false}],
            "reservations_ms": {"web": first_minutes * 60_000},
            "in_force_until": at(first_until),
        }));
        let mut second = header["policies"][0].clone();
        second["in_force_from"] = json!(at("09:20"));
        second["in_force_until"] = Value::Null;
        second["reservations_ms"] = json!({"web": 3_600_000});
        header["policies"].as_array_mut().unwrap().push(second);
        let one = |time: &str| contact("a", &at(time), &json!({}));
        let line = json!({"customer": "c", "contacts": [one("09:00")]});
        let other = json!({"customer": "d", "contacts": [one("09:30")]});
        let mut violations = Vec::new();
        let found = |violation| {
            violations.push(violation);
            true
        };
        audit(
            lines(&format!("{header}\n{line}\n{other}\n")),
            UNDER_WAY_MS,
            found,
            |_| (),
        )
        .unwrap();
        violations.len()
    };
    assert_eq!(judged(10, "09:20"), 0);
    assert_eq!(judged(60, "09:20"), 1);
    assert_eq!(judged(60, "09:10"), 0, "a policy between the two may be missing");
}

#[test]
fn a_violation_in_a_calendar_window_names_the_zone_and_long_histories_are_told() {
    let limits = cap(&json!({"window": {"calendar": "day"}}));
    let none = json!({});
    let contacts = vec![contact("a", &at("09:00"), &none), contact("a", &at("10:00"), &none)];
    let (violations, recounted) = run(&limits, &[("c", contacts)]);
    assert_eq!(violations[0].allowed, "at most 1 decided per day in Europe/Madrid");
    assert_eq!(recounted.long_histories, 0);
    let many = vec![contact("a", &at("09:00"), &none); LONG];
    assert_eq!(run(&json!({}), &[("c", many)]).1.long_histories, 1);
}

#[test]
fn what_is_no_history_is_refused_with_its_line() {
    let line_of = |text: &str| match audit(lines(text), UNDER_WAY_MS, |_| true, |_| ()) {
        Err(AuditError::Line { line, .. }) => Some(line),
        Err(AuditError::Empty) => None,
        other => panic!("{other:?}"),
    };
    let good = header(&json!({}));
    assert_eq!(line_of(""), None);
    assert_eq!(line_of("offer,customer\n"), Some(1));
    assert_eq!(
        line_of(&format!(
            "{}\n",
            good.to_string().replace("\"nbo_contacts\":2", "\"nbo_contacts\":3")
        )),
        Some(1)
    );
    assert_eq!(
        line_of(&format!(
            "{}\n",
            good.to_string().replace("Europe/Madrid", "Europe/Atlantis")
        )),
        Some(1)
    );
    assert_eq!(line_of(&format!("{good}\n{{\"customer\": 7}}\n")), Some(2));
    let bad = contact("a", &at("09:00"), &json!({"outcomes": {"seen": "yesterday"}}));
    assert_eq!(
        line_of(&format!("{good}\n\n{}\n", json!({"customer": "c", "contacts": [bad]}))),
        Some(3)
    );
}
