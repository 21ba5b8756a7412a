//! The process's metrics and their text form.

use std::sync::OnceLock;

use prometheus::core::Collector;
use prometheus::{Encoder, Registry, TextEncoder};

fn registry() -> &'static Registry {
    static REGISTRY: OnceLock<Registry> = OnceLock::new();
    REGISTRY.get_or_init(Registry::new)
}

/// Registers a metric once and gives it back; a name that is taken is our own mistake and leaves the metric unexported.
pub(super) fn register<C: Collector + Clone + 'static>(made: prometheus::Result<C>) -> Option<C> {
    match made {
        Ok(metric) => {
            if let Err(error) = registry().register(Box::new(metric.clone())) {
                tracing::error!(%error, "metric not registered");
            }
            Some(metric)
        }
        Err(error) => {
            tracing::error!(%error, "metric not made");
            None
        }
    }
}

/// All metrics in the Prometheus text format 0.0.4.
pub fn render() -> String {
    let mut text = Vec::new();
    if let Err(error) = TextEncoder::new().encode(&registry().gather(), &mut text) {
        tracing::error!(%error, "metrics not written");
    }
    String::from_utf8(text).unwrap_or_default()
}

/// Declares a metric as a function that gives it: `metric!(name: IntCounterVec, "wardd_…", "help", ["label"])`.
macro_rules! metric {
    ($name:ident: IntCounter, $metric:literal, $help:literal) => {
        fn $name() -> Option<&'static prometheus::IntCounter> {
            static METRIC: std::sync::OnceLock<Option<prometheus::IntCounter>> = std::sync::OnceLock::new();
            METRIC.get_or_init(|| $crate::telemetry::registry::register(prometheus::IntCounter::new($metric, $help))).as_ref()
        }
    };
    ($name:ident: IntGauge, $metric:literal, $help:literal) => {
        fn $name() -> Option<&'static prometheus::IntGauge> {
            static METRIC: std::sync::OnceLock<Option<prometheus::IntGauge>> = std::sync::OnceLock::new();
            METRIC.get_or_init(|| $crate::telemetry::registry::register(prometheus::IntGauge::new($metric, $help))).as_ref()
        }
    };
    ($name:ident: IntCounterVec, $metric:literal, $help:literal, [$($label:literal),+]) => {
        fn $name() -> Option<&'static prometheus::IntCounterVec> {
            static METRIC: std::sync::OnceLock<Option<prometheus::IntCounterVec>> = std::sync::OnceLock::new();
            METRIC
                .get_or_init(|| $crate::telemetry::registry::register(prometheus::IntCounterVec::new(prometheus::Opts::new($metric, $help), &[$($label),+])))
                .as_ref()
        }
    };
    ($name:ident: IntGaugeVec, $metric:literal, $help:literal, [$($label:literal),+]) => {
        fn $name() -> Option<&'static prometheus::IntGaugeVec> {
            static METRIC: std::sync::OnceLock<Option<prometheus::IntGaugeVec>> = std::sync::OnceLock::new();
            METRIC
                .get_or_init(|| $crate::telemetry::registry::register(prometheus::IntGaugeVec::new(prometheus::Opts::new($metric, $help), &[$($label),+])))
                .as_ref()
        }
    };
    ($name:ident: GaugeVec, $metric:literal, $help:literal, [$($label:literal),+]) => {
        fn $name() -> Option<&'static prometheus::GaugeVec> {
            static METRIC: std::sync::OnceLock<Option<prometheus::GaugeVec>> = std::sync::OnceLock::new();
            METRIC
                .get_or_init(|| $crate::telemetry::registry::register(prometheus::GaugeVec::new(prometheus::Opts::new($metric, $help), &[$($label),+])))
                .as_ref()
        }
    };
    ($name:ident: Histogram, $metric:literal, $help:literal, $buckets:expr) => {
        fn $name() -> Option<&'static prometheus::Histogram> {
            static METRIC: std::sync::OnceLock<Option<prometheus::Histogram>> = std::sync::OnceLock::new();
            METRIC
                .get_or_init(|| {
                    $crate::telemetry::registry::register(prometheus::Histogram::with_opts(prometheus::HistogramOpts::new($metric, $help).buckets($buckets)))
                })
                .as_ref()
        }
    };
    ($name:ident: HistogramVec, $metric:literal, $help:literal, [$($label:literal),+], $buckets:expr) => {
        fn $name() -> Option<&'static prometheus::HistogramVec> {
            static METRIC: std::sync::OnceLock<Option<prometheus::HistogramVec>> = std::sync::OnceLock::new();
            METRIC
                .get_or_init(|| {
                    let options = prometheus::HistogramOpts::new($metric, $help).buckets($buckets);
                    $crate::telemetry::registry::register(prometheus::HistogramVec::new(options, &[$($label),+]))
                })
                .as_ref()
        }
    };
}
pub(super) use metric;
