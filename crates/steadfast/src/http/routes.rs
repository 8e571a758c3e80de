//! Which question is answered with what.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};

use super::metrics::{self, Format};
use super::probes::{self, Answer, Body, Form};
use super::scrape::Site;
use super::status;

/// All endpoints. They take GET and HEAD, and nothing else.
pub(super) fn router(site: Arc<Site>) -> Router {
    Router::new()
        .route("/", get(index))
        .route("/livez", get(livez))
        .route("/readyz", get(readyz))
        .route("/metrics", get(scraped))
        .route("/status", get(state))
        .with_state(site)
}

type Asked = Query<BTreeMap<String, String>>;

async fn index() -> &'static str {
    "/livez   the process turns (?verbose, ?format=json)\n\
     /readyz  the service is well (?verbose, ?format=json)\n\
     /metrics for Prometheus\n\
     /status  how each part stands, as JSON\n"
}

async fn livez(State(site): State<Arc<Site>>, Query(asked): Asked, headers: HeaderMap) -> Response {
    probed(probes::livez(&site.turning(), form(&asked, &headers)))
}

async fn readyz(State(site): State<Arc<Site>>, Query(asked): Asked, headers: HeaderMap) -> Response {
    probed(probes::readyz(&site.read(), form(&asked, &headers)))
}

async fn state(State(site): State<Arc<Site>>) -> Response {
    ([(header::CACHE_CONTROL, "no-store")], Json(status::of(&site.scrape()))).into_response()
}

async fn scraped(State(site): State<Arc<Site>>, headers: HeaderMap) -> Response {
    let format = if accepts(&headers, "application/openmetrics-text") { Format::Open } else { Format::Text };
    match metrics::text(&site, format) {
        Ok(text) => ([(header::CONTENT_TYPE, format.content_type())], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}

fn form(asked: &BTreeMap<String, String>, headers: &HeaderMap) -> Form {
    let is_json = asked.get("format").is_some_and(|format| format == "json");
    match asked.contains_key("verbose") {
        _ if is_json || accepts(headers, "application/json") => Form::Json,
        true => Form::Verbose,
        false => Form::Terse,
    }
}

fn accepts(headers: &HeaderMap, kind: &str) -> bool {
    let accepted = headers.get_all(header::ACCEPT).into_iter();
    accepted.filter_map(|value| value.to_str().ok()).any(|value| value.contains(kind))
}

fn probed(answer: Answer) -> Response {
    let status = if answer.ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    let body = match answer.body {
        Body::Text(text) => text.into_response(),
        Body::Json(json) => Json(json).into_response(),
    };
    (status, [(header::CACHE_CONTROL, "no-store")], body).into_response()
}
