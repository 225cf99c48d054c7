//! What policies decided, as spans for a tracing system: one span for each call set-up and registration that policies were asked about, below it one for each policy. Off unless
//! the configuration names a collector; nothing of it runs then.
//!
//! `opentelemetry_sdk` samples and batches: a span that is sampled is put into a bounded queue, a thread of the SDK's takes it from there, and what does not fit is left out. Only
//! the sending is ours, because the SDK's clients bring a second HTTP stack. A collector that is not there costs that queue and one log line a minute; no shard ever waits.
//!
//! The collector is spoken to in OTLP over HTTP without TLS: one stands on this machine or beside it, and knows who it passes spans on to. What the OpenTelemetry
//! environment variables say (`OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_BSP_…`) holds here too.

use crate::{
    calls::Observer,
    config::Telemetry,
    manage::exchange,
    policy::{Hook, Step},
};
use anyhow::Context as _;
use axum::http::{Request, Response, Uri, header::HOST};
use bytes::Bytes;
use opentelemetry::{
    Context, KeyValue,
    trace::{Span as _, SpanBuilder, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
use opentelemetry_http::{HttpClient, HttpError};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracer, SdkTracerProvider},
};
use sip::Instant;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use tokio::{net::TcpStream, runtime::Handle, time::timeout};

/// Spans that may wait to be sent.
const QUEUE: usize = 8_192;
/// Spans of one request to the collector.
const BATCH: usize = 512;
/// How long spans are gathered.
const GATHER: Duration = Duration::from_secs(5);
/// How long the collector may take for one request.
const SEND: Duration = Duration::from_secs(5);
/// Octets of a collector's answer.
const ANSWER_MAX: usize = 64 << 10;
/// A collector that fails is told in the log at most this often.
const QUIET: Duration = Duration::from_secs(60);

/// Makes spans of what a shard reports, and has them sent.
#[derive(Debug)]
pub struct Spans {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

impl Spans {
    /// Sends spans to the collector of `telemetry`. In a runtime, which does the sending.
    ///
    /// # Errors
    /// When the exporter does not accept the address.
    pub fn start(telemetry: &Telemetry) -> anyhow::Result<Self> {
        let client = Collector {
            runtime: Handle::current(),
            failures: Failures { collector: telemetry.endpoint.clone(), lost: AtomicU64::new(0), told: Mutex::default() },
        };
        let exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(client)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(&telemetry.endpoint)
            .with_timeout(SEND)
            .build()
            .context("[telemetry] otlp")?;
        let batches =
            BatchConfigBuilder::default().with_max_queue_size(QUEUE).with_max_export_batch_size(BATCH).with_scheduled_delay(GATHER).build();
        let share = 1.0 / f64::from(telemetry.one_in.max(1));
        let resource = Resource::builder()
            .with_service_name("holdfast")
            .with_attribute(KeyValue::new("service.version", env!("CARGO_PKG_VERSION")))
            .build();
        let provider = SdkTracerProvider::builder()
            .with_span_processor(BatchSpanProcessor::builder(exporter).with_batch_config(batches).build())
            // What belongs to a span that is sampled is sampled with it.
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(share))))
            .with_resource(resource)
            .build();
        let tracer = provider.tracer("holdfast");
        Ok(Self { provider, tracer })
    }

    /// Sends what waits, for at most `patience`. Blocks.
    pub fn finish(&self, patience: Duration) {
        if let Err(error) = self.provider.shutdown_with_timeout(patience) {
            tracing::debug!(%error, "the last spans were not sent");
        }
    }
}

impl Observer for Spans {
    fn decided(&self, at: Instant, call_id: &[u8], steps: &[Step]) {
        let Some(first) = steps.first() else { return };
        let name = match first.hook {
            Hook::Registration => "registration",
            Hook::Routing => "call setup",
            Hook::Emergency => "emergency call",
            Hook::Observation => "call end",
        };
        let begin = UNIX_EPOCH + Duration::from_micros(at.unix_micros());
        let nobody = Context::new();
        let mut whole = self.tracer.build_with_context(SpanBuilder::from_name(name).with_start_time(begin), &nobody);
        if !whole.is_recording() {
            return;
        }
        let call_id = String::from_utf8_lossy(call_id).into_owned();
        // The decision that counted, as `calls::setup` sees it.
        let decisive = steps.iter().rev().find(|step| !step.passed).unwrap_or(first);
        whole.set_attributes([KeyValue::new("holdfast.call_id", call_id), KeyValue::new("holdfast.outcome", decisive.outcome.clone())]);
        let whole = Context::new().with_span(whole);
        let mut now = begin;
        for step in steps {
            now = self.step(step, now, &whole);
        }
        whole.span().end_with_timestamp(now);
    }
}

impl Spans {
    /// One policy's part; returns its end.
    fn step(&self, step: &Step, begin: SystemTime, whole: &Context) -> SystemTime {
        let Step { policy, component, hook, outcome, fault, took, passed: _ } = step;
        let builder = SpanBuilder::from_name(format!("policy {policy}")).with_start_time(begin);
        let mut span = self.tracer.build_with_context(builder, whole);
        span.set_attributes([
            KeyValue::new("holdfast.policy.name", policy.to_string()),
            KeyValue::new("holdfast.policy.version", component.version.clone().unwrap_or_default()),
            KeyValue::new("holdfast.policy.hash", component.hash.clone()),
            KeyValue::new("holdfast.policy.hook", hook.name()),
            KeyValue::new("holdfast.outcome", outcome.clone()),
        ]);
        if let Some(fault) = fault {
            span.set_attribute(KeyValue::new("holdfast.policy.fault", fault.kind()));
            span.set_status(Status::error(fault.to_string()));
        }
        let end = begin + *took;
        span.end_with_timestamp(end);
        end
    }
}

/// The way to the collector.
#[derive(Debug)]
struct Collector {
    runtime: Handle,
    failures: Failures,
}

/// Requests that came to nothing since the last line in the log.
#[derive(Debug)]
struct Failures {
    collector: String,
    lost: AtomicU64,
    told: Mutex<Option<std::time::Instant>>,
}

#[async_trait::async_trait]
impl HttpClient for Collector {
    /// Called on the SDK's own thread, which has no runtime: the work is done on ours.
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let sent = self.runtime.spawn(async move { timeout(SEND, send(request)).await.context("it does not answer")? });
        let answer = sent.await.map_err(anyhow::Error::from).and_then(|answer| answer);
        let failed = match &answer {
            Ok(answer) if answer.status().is_success() => None,
            Ok(answer) => Some(format!("it answers {}", answer.status())),
            Err(error) => Some(format!("{error:#}")),
        };
        if let Some(why) = failed {
            self.failures.note(&why);
        }
        Ok(answer?)
    }
}

async fn send(request: Request<Bytes>) -> anyhow::Result<Response<Bytes>> {
    let (mut head, body) = request.into_parts();
    let authority = head.uri.authority().context("the address names no host")?.clone();
    let host = authority.host().trim_matches(['[', ']']);
    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
    head.headers.insert(HOST, authority.as_str().parse()?);
    head.uri = head.uri.path_and_query().map_or("/", |path| path.as_str()).parse::<Uri>()?;
    exchange(stream, Request::from_parts(head, http_body_util::Full::new(body)), ANSWER_MAX).await
}

impl Failures {
    fn note(&self, why: &str) {
        let lost = self.lost.fetch_add(1, Relaxed) + 1;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.is_some_and(|told| told.elapsed() < QUIET) {
            return;
        }
        *told = Some(std::time::Instant::now());
        self.lost.store(0, Relaxed);
        tracing::warn!(batches = lost, "spans are lost: the collector {} cannot be reached: {why}", self.collector);
    }
}
