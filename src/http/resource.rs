//! A door's routes as a table: the server registers them from it, the OpenAPI document and the tests are held against it.

use actix_web::http::Method;
use actix_web::web::{self, ServiceConfig};
use actix_web::{ResponseError as _, Route};

use super::body::{Limit, LimitOf};
use super::problem::Problem;

/// A method and what makes its route.
type Endpoint = (Method, fn() -> Route);

/// A path, the longest body it takes, and its methods. A path whose methods differ in that stands more than once.
pub(crate) struct Resource {
    pub(crate) path: &'static str,
    pub(crate) limit_bytes: usize,
    pub(crate) methods: &'static [Endpoint],
}

/// Registers all routes of a door. What is none of them is a problem, too.
pub(crate) fn register(resources: &[Resource], service: &mut ServiceConfig) {
    for (at, Resource { path, limit_bytes, .. }) in resources.iter().enumerate() {
        if resources.iter().take(at).any(|before| before.path == *path) {
            continue;
        }
        let same = || resources.iter().filter(|resource| resource.path == *path);
        let limits = same().flat_map(|of| of.methods.iter().map(|(method, _)| (method.clone(), of.limit_bytes)));
        let resource = web::resource(*path).app_data(Limit(*limit_bytes)).app_data(LimitOf(limits.collect()));
        let routes = same().flat_map(|of| of.methods);
        let resource = routes.fold(resource, |resource, (_, route)| resource.route(route()));
        service.service(resource.default_service(web::to(async || Problem::Method.error_response())));
    }
    service.default_service(web::to(async || Problem::NoRoute.error_response()));
}

/// Method and path of every route.
pub(crate) fn listed(resources: &'static [Resource]) -> Vec<(Method, &'static str)> {
    let methods =
        |resource: &'static Resource| resource.methods.iter().map(|(method, _)| (method.clone(), resource.path));
    resources.iter().flat_map(methods).collect()
}
