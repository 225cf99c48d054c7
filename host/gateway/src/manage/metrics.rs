//! What is counted, as OpenMetrics text.
//!
//! `prometheus-client` writes it, which is the Prometheus project's own: names, units, escapes and the end are right by its doing. It reads the gateway's counters when it is
//! asked ([`Collector`]); nothing is counted twice. (The crate `metrics` with its exporter wants to own the counters, behind a look-up by name at each count.)
//!
//! Labels are the names of policies, hooks, pools and limits: as many as the configuration has, never what a caller dialled.

use super::Shown;
use crate::{
    observe::Fetched,
    policy::{Figures, Hook, PolicyFigures, PolicyState},
    store::Kind,
};
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet, text::encode},
    metrics::MetricType,
    registry::{Registry, Unit},
};
use std::fmt;
use switch::{
    licence::{Report, Validity},
    trunk::{Report as Trunk, Standing},
};

/// Of the text (OpenMetrics 1.0).
pub(super) const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Everything counted, now.
pub(super) fn text(shown: &Shown) -> String {
    let mut registry = Registry::with_prefix("holdfast");
    registry.register_collector(Box::new(Now(shown.clone())));
    let mut text = String::new();
    // Writing to a String does not fail.
    let _written = encode(&mut text, &registry);
    text
}

struct Now(Shown);

impl fmt::Debug for Now {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Now")
    }
}

impl Collector for Now {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        gateway(&self.0, &mut encoder)?;
        policies(&self.0.engine.figures(), &mut encoder)
    }
}

type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

fn counter<const N: usize>(metric: &mut MetricEncoder<'_>, labels: Labels<'_, N>, value: u64) -> fmt::Result {
    metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)
}

fn gauge<const N: usize>(metric: &mut MetricEncoder<'_>, labels: Labels<'_, N>, value: u32) -> fmt::Result {
    metric.encode_family(&labels)?.encode_gauge(&value)
}

fn gateway(shown: &Shown, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let counted = shown.counters.read();
    let mut messages = encoder.encode_descriptor("messages", "SIP messages", None, MetricType::Counter)?;
    counter(&mut messages, [("direction", "received")], counted.received)?;
    counter(&mut messages, [("direction", "sent")], counted.sent)?;
    for (name, help, value) in [
        ("calls_ended", "Calls that have ended", counted.calls_ended),
        ("calls_answered", "Those of them that were answered", counted.calls_answered),
        ("emergency_calls", "Those of them that were calls for help", counted.emergency_calls),
        ("registrations", "Registrations answered 200", counted.registrations),
        ("refusals", "Registrations and calls refused", counted.refusals),
        ("policy_failures", "Decisions at which a policy failed", counted.policy_faults),
        ("policy_crowded", "Slow decisions that held up their shard because too many waited for a thread", shown.engine.crowded()),
    ] {
        encoder.encode_descriptor(name, help, None, MetricType::Counter)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
    }
    let mut dropped = encoder.encode_descriptor("dropped", "Limits that bit, and what was dropped", None, MetricType::Counter)?;
    for (reason, times) in &counted.dropped {
        counter(&mut dropped, [("reason", reason)], *times)?;
    }
    let mut fetches =
        encoder.encode_descriptor("provision_fetches", "Files that phones have fetched, by result", None, MetricType::Counter)?;
    for Fetched { file, result, times } in &counted.fetched {
        counter(&mut fetches, [("file", file), ("result", result)], *times)?;
    }
    let directory = shown.site.directory();
    for (name, help, value) in [
        ("calls_live", "Calls that are up or being set up", counted.calls_live),
        ("bindings", "Contacts of registered phones", shown.site.registrar.len()),
        ("endpoints", "Phones of the configuration", directory.endpoints.len()),
    ] {
        encoder.encode_descriptor(name, help, None, MetricType::Gauge)?.encode_gauge(&value)?;
    }
    let standing = shown.keeper.store();
    let mut trouble =
        encoder.encode_descriptor("store_trouble", "1: the store cannot be written for this reason", None, MetricType::Gauge)?;
    for kind in Kind::ALL {
        let so = standing.trouble.as_ref().is_some_and(|(trouble, _)| trouble.kind == kind);
        gauge(&mut trouble, [("kind", kind.name())], u32::from(so))?;
    }
    let help = "Bindings that are in memory only, or on the disk only, until the store can be written";
    encoder.encode_descriptor("store_owed", help, None, MetricType::Gauge)?.encode_gauge(&standing.owed)?;
    licences(shown, encoder)?;
    alarms(shown, encoder)?;
    trunks(&super::trunks::reports(shown), encoder)?;
    let mut build = encoder.encode_descriptor("build", "Version of the gateway", None, MetricType::Info)?;
    build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))])
}

fn alarms(shown: &Shown, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let Some(notifier) = &shown.notifier else { return Ok(()) };
    let open = notifier.alarms().iter().filter(|alarm| alarm.is_open()).count();
    let help = "Calls for help that nobody has acknowledged";
    encoder.encode_descriptor("alarms_open", help, None, MetricType::Gauge)?.encode_gauge(&open)?;
    let mut attempts = encoder.encode_descriptor("notifications", "Attempts to tell of a call for help", None, MetricType::Counter)?;
    for (way, told, failed) in notifier.counted() {
        counter(&mut attempts, [("way", &way), ("result", "told")], told)?;
        counter(&mut attempts, [("way", &way), ("result", "failed")], failed)?;
    }
    Ok(())
}

fn trunks(reports: &[Trunk], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let mut state = encoder.encode_descriptor("trunk_state", "1: the trunk stands so", None, MetricType::Gauge)?;
    for report in reports {
        for standing in Standing::ALL {
            gauge(&mut state, [("trunk", &report.trunk), ("state", standing.name())], u32::from(standing == report.standing))?;
        }
    }
    let mut registered = encoder.encode_descriptor("trunk_registered", "1: we are registered at it", None, MetricType::Gauge)?;
    for report in reports {
        if let Some(registration) = &report.registration {
            gauge(&mut registered, [("trunk", &report.trunk)], u32::from(registration.until.is_some()))?;
        }
    }
    let mut calls = encoder.encode_descriptor("trunk_calls", "Calls on it", None, MetricType::Gauge)?;
    for report in reports {
        gauge(&mut calls, [("trunk", &report.trunk)], report.calls)?;
    }
    let help = "How long it took to answer REGISTER or OPTIONS last";
    let mut latency = encoder.encode_descriptor("trunk_latency", help, Some(&Unit::Seconds), MetricType::Gauge)?;
    for report in reports {
        if let Some(took) = report.latency() {
            latency.encode_family(&[("trunk", report.trunk.as_str())])?.encode_gauge(&took.as_secs_f64())?;
        }
    }
    Ok(())
}

fn licences(shown: &Shown, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let (directory, now) = (shown.site.directory(), shown.keeper.now());
    let reports: Vec<Report> = directory.pools.iter().filter_map(|pool| shown.site.ledger.report(&pool.pool, now)).collect();
    type Read = fn(&Report) -> u32;
    let gauges: [(&str, &str, Read); 6] = [
        ("licence_seats", "Seats of a pool", |report| report.pool.seats),
        ("licence_seats_taken", "Seats in use", |report| report.taken),
        ("licence_seats_most", "The most seats in use at a time", |report| report.peak.taken),
        ("licence_seats_reserved", "Seats that are kept for somebody", |report| {
            u32::try_from(report.pool.reserved.len()).unwrap_or(u32::MAX)
        }),
        ("licence_seats_away", "Those of them that are not in use", |report| report.away),
        ("licence_waiting", "How many wait for a seat", |report| report.waiting),
    ];
    for (name, help, read) in gauges {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for report in &reports {
            gauge(&mut metric, [("pool", &report.pool.pool)], read(report))?;
        }
    }
    let mut refusals = encoder.encode_descriptor("licence_refusals", "Registrations that found no seat", None, MetricType::Counter)?;
    for report in &reports {
        counter(&mut refusals, [("pool", &report.pool.pool)], report.refused)?;
    }
    let mut validity = encoder.encode_descriptor("licence_validity", "1: the pool stands so", None, MetricType::Gauge)?;
    for report in &reports {
        for state in Validity::ALL {
            gauge(&mut validity, [("pool", &report.pool.pool), ("state", state.name())], u32::from(state == report.validity))?;
        }
    }
    let mut over = encoder.encode_descriptor("licence_over_committed", "1: more seats are used than owned", None, MetricType::Gauge)?;
    for report in &reports {
        gauge(&mut over, [("pool", &report.pool.pool)], u32::from(report.taken > report.pool.seats))?;
    }
    Ok(())
}

fn policies(policies: &[PolicyFigures], encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
    let hooks = || policies.iter().flat_map(|policy| policy.hooks.iter().map(|hook| (policy.policy.as_str(), hook)));

    let mut decisions = encoder.encode_descriptor("policy_decisions", "Decisions by result", None, MetricType::Counter)?;
    for (policy, (hook, figures, _)) in hooks() {
        for (result, n) in figures.results().filter(|(result, _)| possible(*hook, result)) {
            counter(&mut decisions, [("policy", policy), ("hook", hook.name()), ("result", result)], n)?;
        }
    }
    let mut faults = encoder.encode_descriptor(
        "policy_faults",
        "Decisions at which it failed, by kind; resting: for which it was left out",
        None,
        MetricType::Counter,
    )?;
    for (policy, (hook, figures, _)) in hooks() {
        for (kind, n) in figures.faults() {
            counter(&mut faults, [("policy", policy), ("hook", hook.name()), ("kind", kind)], n)?;
        }
    }
    let mut took = encoder.encode_descriptor(
        "policy_decision",
        "Time of decisions, those that failed and what they waited for included",
        Some(&Unit::Seconds),
        MetricType::Histogram,
    )?;
    for (policy, (hook, figures, _)) in hooks() {
        histogram(took.encode_family(&[("policy", policy), ("hook", hook.name())])?, figures)?;
    }
    let mut open = encoder.encode_descriptor("policy_breaker_open", "1: the hook is left out", None, MetricType::Gauge)?;
    for (policy, (hook, _, breaker)) in hooks() {
        if let Some(is_open) = breaker {
            gauge(&mut open, [("policy", policy), ("hook", hook.name())], u32::from(*is_open))?;
        }
    }
    type Read = fn(&PolicyFigures) -> u64;
    let by_policy: [(&str, &str, Read); 4] = [
        ("policy_swaps", "Components that took their place in the chain, the first included", |policy| policy.swaps),
        ("policy_refusals", "Files that were refused", |policy| policy.refusals),
        ("policy_rollbacks", "Components that gave their place back", |policy| policy.roll_backs),
        ("policy_log_lines_dropped", "Log lines above the limit", |policy| policy.lines_dropped),
    ];
    for (name, help, read) in by_policy {
        let mut metric = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
        for policy in policies {
            counter(&mut metric, [("policy", &policy.policy)], read(policy))?;
        }
    }
    let mut state = encoder.encode_descriptor("policy_state", "1: it stands so", None, MetricType::Gauge)?;
    for policy in policies {
        for name in PolicyState::NAMES {
            gauge(&mut state, [("policy", &policy.policy), ("state", name)], u32::from(name == policy.state))?;
        }
    }
    Ok(())
}

/// Results that a hook has no word for have no series.
fn possible(hook: Hook, result: &str) -> bool {
    match hook {
        Hook::Registration => ["pass", "refuse", "admit"].contains(&result),
        Hook::Routing => ["pass", "route", "refuse"].contains(&result),
        Hook::Emergency => result == "plan",
        Hook::Observation => result == "observed",
    }
}

fn histogram(mut metric: MetricEncoder<'_>, figures: &Figures) -> fmt::Result {
    let buckets: Vec<(f64, u64)> = figures.latency().collect();
    let count = buckets.iter().map(|(_, n)| n).sum();
    metric.encode_histogram::<NoLabelSet>(figures.took().as_secs_f64(), count, &buckets, None)
}
