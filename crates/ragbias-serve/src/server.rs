use std::future::Future;
use std::io;
use std::net::{SocketAddr, TcpListener as StdListener};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::{Error, Result, Service, Serving};

/// Time for the headers of a request, which also ends connections on which nothing is asked.
const HEADERS: Duration = Duration::from_mins(1);
/// Time for requests that are being answered when the server is to end.
const ENDING: Duration = Duration::from_secs(30);
/// Time between attempts to accept, when the system has no more file descriptors.
const EXHAUSTED: Duration = Duration::from_millis(100);

/// Answers connections with these routes until `end` is ready; then no more are accepted, and requests in flight have 30 s.
///
/// No more connections are open than the service's limit; one on which no request arrives is closed after a minute.
pub async fn serve(service: &Service, routes: Router, listener: TcpListener, end: impl Future<Output = ()>) {
    let free = Arc::new(Semaphore::new(service.config().connections));
    let open = GracefulShutdown::new();
    let mut end = pin!(end);
    loop {
        let accepted = async {
            let place = Arc::clone(&free).acquire_owned().await;
            (place, accept(&listener).await)
        };
        let (place, stream) = tokio::select! {
            accepted = accepted => accepted,
            () = &mut end => break,
        };
        let mut builder = http1::Builder::new();
        builder.timer(TokioTimer::new()).header_read_timeout(HEADERS);
        let routes = TowerToHyperService::new(routes.clone());
        let connection = open.watch(builder.serve_connection(TokioIo::new(stream), routes));
        tokio::spawn(async move {
            // A client that goes away, or speaks something else, is no concern of others.
            drop(connection.await);
            drop(place);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(ENDING, open.shutdown()).await;
}

/// The next connection; failures to accept one are of that one, or pass.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => {
                let _ = stream.set_nodelay(true);
                return stream;
            }
            Err(_) => tokio::time::sleep(EXHAUSTED).await,
        }
    }
}

/// A whole server, with a runtime of its own: until SIGINT or SIGTERM, after which requests in flight are still answered.
///
/// At SIGHUP it serves what `again` returns, from the moment when that is ready; if it fails, what was served is still served.
/// `say` is told what happens.
///
/// # Errors
/// An address that other machines reach, if the service has no token; failures of the system.
pub fn run(
    service: &Service,
    listener: StdListener,
    again: impl Fn() -> std::result::Result<Serving, String> + Send + Sync + 'static,
    say: impl Fn(&str) + Send + Sync + 'static,
) -> Result<()> {
    check_address(service, listener.local_addr()?)?;
    listener.set_nonblocking(true)?;
    // Two threads: parsing and writing take little beside embedding, which has all cores.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (again, say) = (Arc::new(again), Arc::new(say));
    let served: io::Result<()> = runtime.block_on(async {
        let renewed = tokio::spawn(renew(service.clone(), again, Arc::clone(&say)));
        let (listener, end) = (TcpListener::from_std(listener)?, stop(say.as_ref())?);
        serve(service, service.router(), listener, end).await;
        renewed.abort();
        Ok(())
    });
    // A renewal that is still embedding is not waited for.
    runtime.shutdown_background();
    Ok(served?)
}

/// Without a token, only this machine may be answered.
fn check_address(service: &Service, address: SocketAddr) -> Result<()> {
    if service.is_guarded() || address.ip().is_loopback() { Ok(()) } else { Err(Error::Open { address }) }
}

#[cfg(unix)]
fn stop(say: &(impl Fn(&str) + Send + Sync)) -> io::Result<impl Future<Output = ()>> {
    use tokio::signal::unix::{SignalKind, signal};
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    Ok(async move {
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
        }
        say("ending: requests in flight are still answered");
    })
}

#[cfg(not(unix))]
fn stop(say: &(impl Fn(&str) + Send + Sync)) -> io::Result<impl Future<Output = ()>> {
    Ok(async move {
        let _ = tokio::signal::ctrl_c().await;
        say("ending: requests in flight are still answered");
    })
}

/// Replaces what is served at every SIGHUP.
#[cfg(unix)]
async fn renew<A, S>(service: Service, again: Arc<A>, say: Arc<S>)
where
    A: Fn() -> std::result::Result<Serving, String> + Send + Sync + 'static,
    S: Fn(&str) + Send + Sync + 'static,
{
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut hangup) = signal(SignalKind::hangup()) else { return };
    while hangup.recv().await.is_some() {
        say("reading control and documents again");
        let again = Arc::clone(&again);
        match tokio::task::spawn_blocking(move || again()).await {
            Ok(Ok(serving)) => {
                service.swap(serving);
                say("serving what was read");
            }
            Ok(Err(reason)) => say(&format!("still serving what was read before: {reason}")),
            Err(_) => say("still serving what was read before: it could not be read; this is a bug"),
        }
    }
}

#[cfg(not(unix))]
async fn renew<A, S>(_: Service, _: Arc<A>, _: Arc<S>) {}
