//! The library's spans on their way to an OpenTelemetry collector, by OTLP over plain HTTP. Built with the feature `otel`.
//!
//! It is on when `OTEL_EXPORTER_OTLP_ENDPOINT` names a collector; the other variables of OpenTelemetry's own specification
//! (`OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`, `OTEL_EXPORTER_OTLP_HEADERS` …) are heeded, too.

use crate::exit::say;
use opentelemetry::trace::TracerProvider;
use opentelemetry_otlp::SpanExporter;
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Subscriber;
use tracing_subscriber::Layer;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::registry::LookupSpan;

/// Where the collector is.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const NAME: &str = "OTEL_SERVICE_NAME";

/// Hands over what is left when it is dropped.
#[derive(Debug)]
pub(crate) struct Export(SdkTracerProvider);

impl Drop for Export {
    fn drop(&mut self) {
        if let Err(error) = self.0.shutdown() {
            say(format_args!("not all spans reached the collector: {error}"));
        }
    }
}

/// The layer that takes the library's spans up, and what hands them over; none if no collector is named.
pub(crate) fn layer<S>() -> Option<(impl Layer<S>, Export)>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
{
    std::env::var_os(ENDPOINT).filter(|value| !value.is_empty())?;
    let exporter = match SpanExporter::builder().with_http().build() {
        Ok(exporter) => exporter,
        Err(error) => {
            say(format_args!("spans cannot be exported: {error}"));
            return None;
        }
    };
    let resource = Resource::builder();
    let named = std::env::var_os(NAME).is_some();
    let resource = if named { resource } else { resource.with_service_name("zooky") };
    let provider =
        SdkTracerProvider::builder().with_batch_exporter(exporter).with_resource(resource.build()).build();
    let tracer = provider.tracer("zooky");
    let ours = Targets::new().with_target("zooky", LevelFilter::DEBUG);
    let layer = tracing_opentelemetry::layer().with_tracer(tracer).with_filter(ours);
    Some((layer, Export(provider)))
}
