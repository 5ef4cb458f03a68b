//! The page that shows the document. Its script is RapiDoc, kept in this repository and compiled in
//! (`assets/rapidoc`, MIT): the page asks nobody else for anything, and may not.

use axum::{
    http::header,
    response::{Html, IntoResponse},
};

const SCRIPT: &[u8] = include_bytes!("../../../assets/rapidoc/rapidoc-min.js");

/// Its own script, and requests to the hub that serves it; nothing from elsewhere, and in no frame.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'unsafe-inline'; img-src 'self' data:; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Omnihub API</title>
<script type="module" src="/api/v1/docs/rapidoc.js"></script>
</head>
<body>
<rapi-doc
  spec-url="/api/v1/openapi.json"
  load-fonts="false"
  regular-font="system-ui, sans-serif"
  mono-font="ui-monospace, monospace"
  render-style="read"
  schema-style="table"
  show-header="false"
  show-method-in-nav-bar="as-colored-text"
  use-path-in-nav-bar="true"
  allow-server-selection="false"
  allow-spec-url-load="false"
  allow-spec-file-load="false"
  allow-spec-file-download="true"
  fill-request-fields-with-example="true"
  persist-auth="false"
></rapi-doc>
</body>
</html>
"#;

/// `GET /api/v1/docs`.
pub(super) async fn html() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, Html(PAGE))
}

/// `GET /api/v1/docs/rapidoc.js`.
pub(super) async fn script() -> impl IntoResponse {
    let headers = [
        (header::CONTENT_TYPE, "text/javascript; charset=utf-8"),
        (header::CACHE_CONTROL, "public, max-age=86400"),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    ];
    (headers, SCRIPT)
}
