//! Builds a service from routes: limits, headers, CORS, and problems for unmatched requests.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::{DefaultBodyLimit, MatchedPath, Request};
use axum::handler::Handler;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::MethodRouter;
use axum::{Extension, Router};
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::set_header::SetResponseHeaderLayer;
use utoipa_axum::PathItemExt;
use vestibule_domain::policy::Policy;
use vestibule_domain::policy::portals::Portals;

#[doc(hidden)]
pub use pastey::paste;
#[doc(hidden)]
pub use utoipa::Path;
#[doc(hidden)]
pub use utoipa::openapi::OpenApi;
#[doc(hidden)]
pub use utoipa_axum::{router::OpenApiRouter, routes as described};

use crate::browser::{STRICT_TRANSPORT_SECURITY, guard};
use crate::idempotency::{IDEMPOTENCY_KEY, IDEMPOTENCY_REPLAYED};
use crate::oauth;
use crate::privileged::record_refusals;
use crate::request::MAX_BODY_BYTES;
use crate::{App, Problem};

/// Generates `routes()`, which serves the listed handlers, and `openapi()`, which describes them. They are
/// separate so that a function does not build or link the OpenAPI description.
#[macro_export]
macro_rules! routes {
    ($($module:ident::$handler:ident),+ $(,)? $(; layer: $layer:expr)?) => {
        /// The routes of this function.
        pub fn routes() -> $crate::router::Routes {
            $crate::router::paste! {
                $crate::router::Routes::new()
                    $(.route(
                        &<$module::[<__path_ $handler>] as $crate::router::Path>::path(),
                        $crate::router::method_router::<$module::[<__path_ $handler>], _, _>($module::$handler),
                    ))+
                    $(.layer($layer))?
            }
        }

        /// The OpenAPI description of the routes.
        pub fn openapi() -> $crate::router::OpenApi {
            let router = $crate::router::OpenApiRouter::<$crate::App>::new()
                $(.routes($crate::router::described!($module::$handler)))+;
            $crate::openapi::with_problems(router.into_openapi())
        }
    };
}

/// The routes of a function, without its state.
pub type Routes = Router<App>;

/// Registers a handler under the methods of its description.
#[doc(hidden)]
pub fn method_router<P: Path, T: 'static, H: Handler<T, App>>(handler: H) -> MethodRouter<App> {
    P::methods()
        .iter()
        .fold(MethodRouter::new(), |router, method| {
            router.on(method.to_method_filter(), handler.clone())
        })
}

/// Builds the service. All middleware is one layer, because axum applies each layer to each route.
pub fn serve(routes: Routes, app: App) -> Router {
    let no_store = SetResponseHeaderLayer::overriding(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store"),
    );
    let no_sniff = SetResponseHeaderLayer::overriding(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    let https_only = SetResponseHeaderLayer::overriding(
        header::STRICT_TRANSPORT_SECURITY,
        HeaderValue::from_static(STRICT_TRANSPORT_SECURITY),
    );
    // Outermost first.
    let around = (
        Extension(LeastTime(app.least_time)),
        https_only,
        no_sniff,
        no_store,
        cors(Arc::clone(&app.portals)),
        middleware::from_fn(log),
        middleware::from_fn_with_state(Arc::clone(&app.portals), guard),
        middleware::from_fn(unauthenticated_in_least_time),
        middleware::from_fn_with_state(app.clone(), record_refusals),
        DefaultBodyLimit::max(MAX_BODY_BYTES),
    );
    routes
        .fallback(async || Problem::not_found("resource"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                StatusCode::METHOD_NOT_ALLOWED,
                "method-not-allowed",
                "Method not allowed",
                "This resource does not support this method.",
            )
        })
        .layer(around)
        .with_state(app)
}

/// [`App::least_time`], for [`in_least_time`].
#[derive(Debug, Clone, Copy)]
pub struct LeastTime(Duration);

/// Delays responses until [`App::least_time`] has passed since the request, so that their timing does not
/// reveal what was found (UX-09). For routes whose work is short; hashing a password takes longer.
pub async fn in_least_time(
    Extension(least): Extension<LeastTime>,
    request: Request,
    next: Next,
) -> Response {
    hold_back(least, request, next, |_| true).await
}

/// Delays only refused POST requests, because a success has nothing to hide. Requests over the limit of
/// attempts are refused without delay, because nothing was compared.
pub async fn refusals_in_least_time(
    Extension(least): Extension<LeastTime>,
    request: Request,
    next: Next,
) -> Response {
    let post = request.method() == Method::POST;
    let reveals = |status: StatusCode| {
        post && status.is_client_error() && status != StatusCode::TOO_MANY_REQUESTS
    };
    hold_back(least, request, next, reveals).await
}

/// Delays refusals of a session, because the read that looks for it takes longer if the account exists to which
/// a forged token belongs.
async fn unauthenticated_in_least_time(
    Extension(least): Extension<LeastTime>,
    request: Request,
    next: Next,
) -> Response {
    hold_back(least, request, next, |status| {
        status == StatusCode::UNAUTHORIZED
    })
    .await
}

async fn hold_back(
    LeastTime(least): LeastTime,
    request: Request,
    next: Next,
    reveals: impl FnOnce(StatusCode) -> bool,
) -> Response {
    let over = tokio::time::sleep(least);
    let response = next.run(request).await;
    if reveals(response.status()) {
        over.await;
    }
    response
}

/// Logs one line per request with route and status, and never the path, query or body.
async fn log(request: Request, next: Next) -> Response {
    let method = request.method().clone();
    let route = request
        .extensions()
        .get::<MatchedPath>()
        .map(|p| p.as_str().to_owned());
    let response = next.run(request).await;
    tracing::info!(%method, route = route.as_deref().unwrap_or("none"), status = response.status().as_u16(), "answered");
    response
}

/// How long a browser reuses the result of a preflight; Chromium's maximum.
const PREFLIGHT_MAX_AGE: Duration = Duration::from_hours(2);

/// Allows browsers to call from the origins that the portal's policy lists, and applications that run in browsers
/// to call what is for applications.
fn cors(portals: Arc<Portals>) -> CorsLayer {
    let allowed = AllowOrigin::predicate(move |origin: &HeaderValue, parts| {
        let portal = parts
            .uri
            .path()
            .trim_start_matches('/')
            .split('/')
            .next()
            .unwrap_or_default();
        let is_allowed = |p: &Policy| {
            p.allows_origin(origin.as_bytes())
                || oauth::is_for_applications(parts.uri.path())
                    && p.is_application_origin(origin.as_bytes())
        };
        matches!(portals.get(portal), Ok(Some(p)) if is_allowed(p))
    });
    CorsLayer::new()
        .allow_origin(allowed)
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([header::CONTENT_TYPE, header::AUTHORIZATION, IDEMPOTENCY_KEY])
        .expose_headers([
            header::LINK,
            header::LOCATION,
            header::RETRY_AFTER,
            IDEMPOTENCY_REPLAYED,
        ])
        .max_age(PREFLIGHT_MAX_AGE)
}
