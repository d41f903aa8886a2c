//! A body that tells when nobody reads it any more, also while there is nothing to send.

use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::body::{Body, Frame, SizeHint};
use tokio::sync::oneshot;

/// A body, and what is dropped with it.
pub(super) struct Watched<B> {
    body: B,
    _there: oneshot::Sender<()>,
}

impl<B> Watched<B> {
    /// The body, and what comes to its end when the body is dropped.
    pub(super) fn new(body: B) -> (Self, oneshot::Receiver<()>) {
        let (there, gone) = oneshot::channel();
        (Self { body, _there: there }, gone)
    }
}

impl<B: Body + Unpin> Body for Watched<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
