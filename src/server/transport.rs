//! The threads that answer, from the listening socket to the last answer when the server stops.
//!
//! This is our own and not the HTTP library's server, because that one drops connections when it stops, and cannot tell the
//! connections of pages from those of verification (decision 21).

use std::{
    net::{TcpListener, TcpStream},
    num::NonZeroUsize,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use tokio::{
    runtime::{Builder, LocalOptions},
    sync::mpsc,
};

use super::{
    listener::Listener,
    thread_end::Ended,
    worker_thread::{TICK, Worker},
};
use crate::{app::Site, middleware::connection::Patience};

/// While the server stops, it is over early if there was no connection for so long.
const QUIET: Duration = Duration::from_secs(1);

/// How often that is looked at.
const LOOKS: Duration = Duration::from_millis(50);

/// How long connections that are half open have to complete, before the socket is closed.
const HALF_OPEN: Duration = Duration::from_millis(500);

/// How long requests in flight may take after that.
const FINISH: Duration = Duration::from_secs(6);

/// Descriptors that are for files, databases and whatever else is no client.
const DESCRIPTORS_KEPT: usize = 128;

/// Blocking threads of all workers together.
const BLOCKING_THREADS: usize = 512;

/// What a running server can be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Answer what has come and what is about to come, then end.
    Stop,
    /// End at once, whatever is unanswered.
    Abort,
}

/// See the module.
pub struct Transport {
    listeners: Vec<Listener>,
    open: Vec<Arc<AtomicUsize>>,
    is_aborted: Arc<AtomicBool>,
    ended: mpsc::UnboundedReceiver<String>,
}

impl Transport {
    /// Starts the threads. Whoever connects to one of the sockets is answered from now on.
    ///
    /// # Errors
    /// When there is no thread, or a socket cannot be used.
    pub fn start(site: &Arc<Site>, sockets: Vec<TcpListener>) -> std::io::Result<Self> {
        let config = &site.config;
        let count = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        let wanted = usize::try_from(config.max_connections).unwrap_or(usize::MAX);
        let most = wanted.min(descriptors().saturating_sub(DESCRIPTORS_KEPT)).max(count);
        let ticks = |time: Duration| u32::try_from(time.as_millis() / TICK.as_millis()).unwrap_or(u32::MAX);
        let patience = Patience { request: ticks(config.request_time), idle: ticks(config.keep_alive) };
        let is_aborted = Arc::new(AtomicBool::new(false));
        let (end, ended) = mpsc::unbounded_channel();
        let (mut senders, mut open) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (sender, incoming) = mpsc::unbounded_channel::<TcpStream>();
            let (published, room) = (Arc::new(AtomicUsize::new(0)), most.div_ceil(count));
            senders.push(sender);
            open.push(Arc::clone(&published));
            let (site, is_aborted) = (Arc::clone(site), Arc::clone(&is_aborted));
            let name = format!("worker {number}");
            let ended = Ended::new(&end, &name);
            std::thread::Builder::new().name(name).spawn(move || {
                let _ended = ended;
                let worker = Worker { site, incoming, patience, room, open: published, is_aborted };
                if let Err(error) = run(worker, count) {
                    tracing::error!(%error, "a worker cannot run");
                }
            })?;
        }
        let listen = |socket| Listener::start(socket, senders.clone(), Ended::new(&end, "listener"));
        let listeners = sockets.into_iter().map(listen).collect::<std::io::Result<_>>()?;
        Ok(Self { listeners, open, is_aborted, ended })
    }

    /// Answers requests until it is told to stop. Returns when it was told to.
    ///
    /// # Errors
    /// When one of its threads has ended by itself: what is left is no server any more.
    pub async fn run(mut self, site: &Site, mut orders: mpsc::UnboundedReceiver<Order>) -> std::io::Result<Instant> {
        let order = tokio::select! {
            order = orders.recv() => order,
            thread = self.ended.recv() => {
                self.abort().await;
                return Err(std::io::Error::other(format!("its {} has ended", thread.unwrap_or_default())));
            }
        };
        let told = Instant::now();
        if order == Some(Order::Stop) {
            site.drain();
            tokio::select! {
                () = self.finish(site.config.drain) => {}
                () = aborted(&mut orders) => {}
            }
        }
        self.abort().await;
        Ok(told)
    }

    async fn finish(&mut self, grace: Duration) {
        self.wait_for_quiet(grace).await;
        self.listeners.iter().for_each(Listener::let_none_begin);
        tokio::time::sleep(HALF_OPEN).await;
        self.listeners.drain(..).for_each(Listener::close);
        let _ = tokio::time::timeout(FINISH, self.all_ended()).await;
    }

    /// Waits for the grace, or until nobody is connected and nobody comes.
    async fn wait_for_quiet(&self, grace: Duration) {
        let begun = Instant::now();
        let (mut quiet_since, mut accepted) = (begun, 0);
        while begun.elapsed() < grace && quiet_since.elapsed() < QUIET {
            let now = self.listeners.iter().map(Listener::accepted).sum();
            let open: usize = self.open.iter().map(|open| open.load(Ordering::Relaxed)).sum();
            if open > 0 || now != accepted {
                (quiet_since, accepted) = (Instant::now(), now);
            }
            tokio::time::sleep(LOOKS).await;
        }
    }

    /// Resolves when every thread has ended.
    async fn all_ended(&mut self) {
        while self.ended.recv().await.is_some() {}
    }

    /// Ends what has not ended. Nothing happens when everything has.
    async fn abort(&mut self) {
        self.is_aborted.store(true, Ordering::Relaxed);
        self.listeners.drain(..).for_each(Listener::close);
        self.all_ended().await;
    }
}

async fn aborted(orders: &mut mpsc::UnboundedReceiver<Order>) {
    while orders.recv().await.is_some_and(|order| order != Order::Abort) {}
}

fn run(worker: Worker, count: usize) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads((BLOCKING_THREADS / count).max(1))
        .build_local(LocalOptions::default())?;
    let result = runtime.block_on(worker.run());
    // Not waiting for its blocking threads: one may hang on a database that is silent.
    runtime.shutdown_background();
    result
}

/// How many descriptors this process may have. The usual limit of 1,024 is for programs from before 1999, and may be
/// raised by anybody to the one that is meant.
fn descriptors() -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    let now = if setrlimit(Resource::Nofile, raised).is_ok() { limit.maximum } else { limit.current };
    now.map_or(usize::MAX, |most| usize::try_from(most).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        app::Site,
        clock::SystemClock,
        config::{PublicUrl, Settings},
    };

    #[tokio::test]
    async fn a_server_that_lost_one_of_its_threads_is_none_any_more() {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = Settings::default();
        folder.path().to_str().unwrap().clone_into(&mut settings.data_dir);
        let config = settings.check().unwrap();
        let site = Site::open(config, PublicUrl::of_loopback(1), Arc::new(SystemClock)).await.unwrap();
        let (end, ended) = mpsc::unbounded_channel();
        let is_aborted = Arc::new(AtomicBool::new(false));
        let transport =
            Transport { listeners: Vec::new(), open: Vec::new(), is_aborted: Arc::clone(&is_aborted), ended };
        let other = Ended::new(&end, "worker 1");
        // As when it panics.
        drop(Ended::new(&end, "worker 0"));
        drop(end);
        let aborted = Arc::clone(&is_aborted);
        let others = tokio::spawn(async move {
            while !aborted.load(Ordering::Relaxed) {
                tokio::task::yield_now().await;
            }
            drop(other);
        });
        let (_keep, orders) = mpsc::unbounded_channel();
        let error = transport.run(&site, orders).await.unwrap_err();
        assert_eq!(error.to_string(), "its worker 0 has ended");
        others.await.expect("the others were told to end");
    }
}
