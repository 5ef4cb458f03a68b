//! Routes that name the scope they need.
//!
//! [`Routes`] is axum's router, but takes only handlers whose first argument is an [`Allowed`]: one
//! that forgets to ask who is there does not compile.
//!
//! ```compile_fail,E0277
//! use omnihub_ingress::admin::door;
//!
//! async fn open_to_everybody() -> &'static str {
//!     "no key was asked for"
//! }
//!
//! let _ = door::get(open_to_everybody);
//! ```
//!
//! ```
//! use omnihub_ingress::admin::{access::{Allowed, CanRead}, door};
//!
//! async fn for_readers(_: Allowed<CanRead>) -> &'static str {
//!     "a key was shown"
//! }
//!
//! let _ = door::get(for_readers);
//! ```

use axum::{
    Router,
    extract::DefaultBodyLimit,
    handler::Handler,
    routing::{self, MethodRouter},
};

use super::access::Allowed;
use crate::state::AppState;

/// The arguments of a handler that begins with an [`Allowed`]; `M` is axum's own marker.
pub trait Guarded {}

macro_rules! guarded {
    ($($argument:ident),*) => {
        impl<M, S, $($argument,)*> Guarded for (M, Allowed<S>, $($argument,)*) {}
    };
}

guarded!();
guarded!(A);
guarded!(A, B);
guarded!(A, B, C);
guarded!(A, B, C, D);

/// What a path does, by method.
#[derive(Clone, Debug, Default)]
pub struct Route {
    methods: Vec<&'static str>,
    handlers: MethodRouter<AppState>,
}

macro_rules! methods {
    ($($method:ident $text:literal),*) => {
        impl Route {$(
            #[doc = $text]
            #[must_use]
            pub fn $method<H, T>(self, handler: H) -> Self
            where
                H: Handler<T, AppState>,
                T: Guarded + 'static,
            {
                let mut methods = self.methods;
                methods.push(stringify!($method));
                Self { methods, handlers: self.handlers.$method(handler) }
            }
        )*}

        $(
            #[doc = $text]
            pub fn $method<H, T>(handler: H) -> Route
            where
                H: Handler<T, AppState>,
                T: Guarded + 'static,
            {
                Route { methods: vec![stringify!($method)], handlers: routing::$method(handler) }
            }
        )*
    };
}

methods!(get "Answers GET.", post "Answers POST.", put "Answers PUT.", patch "Answers PATCH.", delete "Answers DELETE.");

/// The routes of a room of the admin API.
#[derive(Clone, Debug, Default)]
pub struct Routes {
    /// Each path with its methods.
    paths: Vec<(String, Vec<&'static str>)>,
    router: Router<AppState>,
}

impl Routes {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a path.
    #[must_use]
    pub fn route(mut self, path: &str, route: Route) -> Self {
        self.paths.push((path.to_owned(), route.methods));
        Self { router: self.router.route(path, route.handlers), ..self }
    }

    /// The same for bodies of at most so many bytes.
    #[must_use]
    pub fn with_bodies_up_to(self, bytes: usize) -> Self {
        Self { router: self.router.layer(DefaultBodyLimit::max(bytes)), ..self }
    }

    /// Adds the routes of another room.
    #[must_use]
    pub fn merge(mut self, other: Self) -> Self {
        self.paths.extend(other.paths);
        Self { router: self.router.merge(other.router), ..self }
    }

    /// Each path, as axum writes it, with its methods in small letters.
    #[must_use]
    pub fn paths(&self) -> &[(String, Vec<&'static str>)] {
        &self.paths
    }
}

impl From<Routes> for Router<AppState> {
    fn from(routes: Routes) -> Self {
        routes.router
    }
}
