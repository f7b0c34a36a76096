// SPDX-License-Identifier: Apache-2.0
//! Routes that only those get to who may ask.

use std::sync::Arc;

use anyhow::{Context, Result};
use hyper::body::Bytes;
use hyper::header::WWW_AUTHENTICATE;
use hyper::{Request, Response, StatusCode};

use crate::serve::access::Access;
use crate::serve::server::{Answer, Body, Routes, now, plain, whole};
use crate::serve::users::{Credentials, Verdict};

pub struct Guarded<R> {
    routes: Arc<R>,
    access: Access,
}

impl<R> Guarded<R> {
    pub fn new(routes: R, access: Access) -> Self {
        Self {
            routes: Arc::new(routes),
            access,
        }
    }
}

impl<R: Routes> Routes for Guarded<R> {
    const HEADERS: &'static [(&'static str, &'static str)] = R::HEADERS;

    fn answer<B>(&self, request: &Request<B>) -> Answer {
        let Some(users) = self.access.users() else {
            return self.routes.answer(request);
        };
        let Some(credentials) = Credentials::of(request.headers()) else {
            return now(unauthorized());
        };
        if users.know(&credentials) {
            return self.routes.answer(request);
        }
        let routes = Arc::clone(&self.routes);
        let request = without_body(request);
        Box::pin(async move {
            match users.verdict(credentials).await {
                Verdict::Right => routes.answer(&request).await,
                Verdict::Wrong => unauthorized(),
                Verdict::Busy => plain(
                    StatusCode::SERVICE_UNAVAILABLE,
                    "too many passwords are looked at: try again\n",
                ),
            }
        })
    }
}

fn without_body<B>(request: &Request<B>) -> Request<()> {
    let mut copy = Request::new(());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    *copy.extensions_mut() = request.extensions().clone();
    copy
}

fn unauthorized() -> Result<Response<Body>> {
    Response::builder()
        .status(StatusCode::UNAUTHORIZED)
        .header(WWW_AUTHENTICATE, "Basic realm=\"scope-http-statistics\"")
        .body(whole(Bytes::from_static(b"who are you?\n")))
        .context("cannot build a response")
}
