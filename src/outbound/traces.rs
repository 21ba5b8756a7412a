//! Traces for OpenTelemetry, made from the log itself: each command is a span, its correlation is the trace, and what caused
//! it is its parent. So a charge stands in the trace of its scan, also when wardd was started again between the two.
//!
//! Off unless `[traces]` names a collector. What the collector does not take is counted and forgotten: the log has it all.
//! Spans name devices, types of events and numbers, never a patient, a bed or a person.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig, WithHttpConfig};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter, SpanLinks};

use crate::journal::{Log, StoredBatch};
use crate::kernel::{Clock, CommandId, Principal, StreamKind, Timestamp};
use crate::telemetry;

/// Spans of one request at most, and how long the first of them waits for company.
const SPANS: usize = 512;
const GATHER: Duration = Duration::from_millis(500);
/// A collector that has not answered within this time has not taken them.
const PATIENCE: Duration = Duration::from_secs(5);

/// Why traces cannot be sent at all.
#[derive(Debug, thiserror::Error)]
#[error("traces: {0}")]
pub struct TracesError(#[from] opentelemetry_otlp::ExporterBuildError);

/// Sends by the one HTTP client of this program, on a thread where it may block.
#[derive(Debug)]
struct Client(ureq::Agent);

#[async_trait::async_trait]
impl HttpClient for Client {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let agent = self.0.clone();
        let (parts, body) = request.into_parts();
        let sent = tokio::task::spawn_blocking(move || {
            let mut answer = agent.run(Request::from_parts(parts, body.to_vec()))?;
            let body = answer.body_mut().with_config().limit(64 << 10).read_to_vec()?;
            Ok::<_, ureq::Error>(Response::builder().status(answer.status()).body(Bytes::from(body))?)
        });
        Ok(sent.await??)
    }
}

/// Follows the log and sends a span for each command.
pub struct Traces {
    exporter: opentelemetry_otlp::SpanExporter,
    clock: Clock,
    scope: InstrumentationScope,
}

impl std::fmt::Debug for Traces {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Traces")
    }
}

impl Traces {
    /// Traces for the collector at an address.
    pub fn new(endpoint: &str, facility: &str, clock: Clock) -> Result<Self, TracesError> {
        let agent: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(PATIENCE)).http_status_as_error(false).max_redirects(0).proxy(None).build().into();
        let builder = opentelemetry_otlp::SpanExporter::builder().with_http().with_protocol(Protocol::HttpJson);
        let mut exporter = builder.with_endpoint(endpoint).with_timeout(PATIENCE).with_http_client(Client(agent)).build()?;
        let attributes = [KeyValue::new("service.version", env!("CARGO_PKG_VERSION")), KeyValue::new("service.namespace", facility.to_owned())];
        exporter.set_resource(&Resource::builder().with_service_name("wardd").with_attributes(attributes).build());
        let scope = InstrumentationScope::builder("wardd.journal").with_version(env!("CARGO_PKG_VERSION")).build();
        Ok(Self { exporter, clock, scope })
    }

    /// Follows the log from now on until it closes.
    pub async fn run(self, log: Arc<dyn Log>) {
        let mut tail = log.tail(log.head() + 1);
        loop {
            let mut spans = Vec::new();
            match tail.next(log.as_ref()).await {
                Ok(Some(batch)) => spans.push(self.span(&batch, log.as_ref())),
                Ok(None) => return,
                Err(error) => {
                    telemetry::consumer_failed("traces", &error.to_string());
                    tokio::time::sleep(PATIENCE).await;
                    continue;
                }
            }
            let gathered = tokio::time::Instant::now() + GATHER;
            while spans.len() < SPANS
                && let Ok(Ok(Some(batch))) = tokio::time::timeout_at(gathered, tail.next(log.as_ref())).await
            {
                spans.push(self.span(&batch, log.as_ref()));
            }
            let count = spans.len();
            let error = self.exporter.export(spans).await.err().map(|error| error.to_string());
            telemetry::spans_sent(count, error.as_deref());
            telemetry::consumer_at("traces", tail.next_sequence() - 1);
        }
    }

    /// The command of a batch, from its arrival until it was seen to be durable.
    fn span(&self, batch: &StoredBatch, log: &dyn Log) -> SpanData {
        let meta = &batch.meta;
        let is_first = meta.command == meta.correlation;
        let parent = match meta.causation {
            Some(cause) => caused_by(cause, log),
            None if is_first => SpanId::INVALID,
            None => span_id(meta.correlation),
        };
        let recorded = system_time(meta.recorded);
        let mut events = SpanEvents::default();
        events.events =
            batch.events.iter().map(|stored| Event::new(stored.event.kind.to_string(), recorded, vec![KeyValue::new("wardd.sequence", number(stored.sequence))], 0)).collect();
        let mut attributes = vec![KeyValue::new("wardd.command", meta.command.to_string()), KeyValue::new("wardd.events", number(batch.events.len() as u64))];
        let span_kind = match &meta.principal {
            Principal::Device(device) => {
                attributes.push(KeyValue::new("wardd.device", device.to_string()));
                SpanKind::Consumer
            }
            Principal::Person(_) | Principal::Program(_) => SpanKind::Server,
            Principal::System(part) => {
                attributes.push(KeyValue::new("wardd.part", part.clone()));
                SpanKind::Internal
            }
        };
        SpanData {
            span_context: SpanContext::new(TraceId::from_bytes(meta.correlation.bytes()), span_id(meta.command), TraceFlags::SAMPLED, false, TraceState::NONE),
            parent_span_id: parent,
            parent_span_is_remote: false,
            span_kind,
            name: name(batch).into(),
            start_time: system_time(meta.received),
            end_time: system_time(self.clock.now().max(meta.recorded)),
            attributes,
            dropped_attributes_count: 0,
            events,
            links: SpanLinks::default(),
            status: Status::Unset,
            instrumentation_scope: self.scope.clone(),
        }
    }
}

/// What a command did, by the last of its events: a message and what came of it stand in one batch.
fn name(batch: &StoredBatch) -> String {
    batch.events.last().map_or_else(String::new, |stored| {
        let part = match stored.event.stream.kind() {
            StreamKind::Bed => "bed",
            StreamKind::Cabinet => "cabinet",
            StreamKind::Specimen => "specimen",
            StreamKind::Account => "billing",
            StreamKind::Quarantine => "quarantine",
            StreamKind::Device => "device",
            StreamKind::Hospital => "hospital",
            StreamKind::Patient => "patient",
            StreamKind::Encounter => "encounter",
            StreamKind::User => "user",
            StreamKind::Access => "access",
            StreamKind::Chart => "chart",
            StreamKind::Vitals => "vitals",
            StreamKind::Schedule => "schedule",
            StreamKind::Subscriber => "subscriber",
            StreamKind::Subscription => "subscription",
            StreamKind::Task => "task",
            StreamKind::Document => "document",
            StreamKind::Directory => "directory",
        };
        format!("{part} {}", stored.event.kind)
    })
}

/// The span of the command that wrote an event.
fn caused_by(sequence: u64, log: &dyn Log) -> SpanId {
    let batch = log.read_all(sequence, 1).ok().and_then(|batches| batches.into_iter().next());
    batch.map_or(SpanId::INVALID, |batch| span_id(batch.meta.command))
}

/// A command's span: both halves of its identity in one, since some commands share one of them.
fn span_id(command: CommandId) -> SpanId {
    let bytes = command.bytes();
    let (first, second) = bytes.split_at(8);
    let mut id = [0; 8];
    for (byte, (first, second)) in id.iter_mut().zip(first.iter().zip(second)) {
        *byte = first ^ second;
    }
    // Zero means that there is none.
    SpanId::from_bytes(if id == [0; 8] { [1; 8] } else { id })
}

fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.micros()).unwrap_or_default())
}

fn number(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_of_one_story_differ_and_none_is_the_sign_for_none() {
        let message = CommandId::from_bytes([7; 16]);
        assert_eq!(span_id(message), SpanId::from_bytes([1; 8]));
        let ids = [message.part(1), message.part(2), CommandId::from_bytes(*b"billing\0\x01\0\0\0\0\0\0\0"), CommandId::from_bytes(*b"billing\0\x02\0\0\0\0\0\0\0")].map(span_id);
        for (at, id) in ids.iter().enumerate() {
            assert!(*id != SpanId::INVALID && !ids[..at].contains(id), "{ids:?}");
        }
    }
}
