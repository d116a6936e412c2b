//! A network line between browser and server that a test can hold up or cut: how else to press a key at the moment
//! when the server has answered and the browser does not know it yet?

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
};

/// The line. Whatever the server says waits in it while it is held.
pub struct Line {
    /// Where the browser finds the server, such as `http://127.0.0.1:40123`.
    pub address: String,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    server: String,
    is_held: bool,
    is_cut: bool,
    waiting: usize,
    /// What the line itself answers to requests that begin with these words.
    instead: Option<(String, Vec<u8>)>,
    open: Vec<TcpStream>,
}

impl Line {
    /// A line that leads nowhere yet.
    pub fn lay() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = format!("http://{}", listener.local_addr().expect("an address"));
        let state = Arc::new(State::default());
        let shared = Arc::clone(&state);
        // Ends with the test program: it holds a port and nothing else.
        std::thread::spawn(move || listener.incoming().flatten().for_each(|browser| connect(&shared, browser)));
        Self { address, state }
    }

    pub fn lead_to(&self, server: &str) {
        server.trim_start_matches("http://").clone_into(&mut self.state.lock().server);
    }

    /// From now on no answer arrives.
    pub fn hold(&self) {
        self.state.lock().is_held = true;
    }

    /// Waits until an answer is held up.
    pub fn wait_for_an_answer(&self) {
        let nothing = |inner: &mut Inner| inner.waiting == 0;
        drop(self.state.changed.wait_while(self.state.lock(), nothing).unwrap_or_else(PoisonError::into_inner));
    }

    /// What was held up arrives.
    pub fn release(&self) {
        self.state.lock().is_held = false;
        self.state.changed.notify_all();
    }

    /// Every connection breaks, what was held up is lost, and no new one is made. (A browser that loses a used
    /// connection before the first byte of an answer sends the request once more, a post like any other.)
    pub fn cut(&self) {
        let mut inner = self.state.lock();
        inner.is_cut = true;
        for stream in inner.open.drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
        inner.is_held = false;
        self.state.changed.notify_all();
    }

    /// From now on requests that begin with these words, such as `POST /sign-in`, get this answer and do not arrive: so do
    /// proxies, firewalls and sign-on portals.
    pub fn answer_instead(&self, request: &str, answer: &str) {
        self.state.lock().instead = Some((request.to_owned(), answer.as_bytes().to_owned()));
    }

    /// The line is as new.
    pub fn mend(&self) {
        let mut inner = self.state.lock();
        inner.is_cut = false;
        inner.instead = None;
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn connect(state: &Arc<State>, browser: TcpStream) {
    let server = {
        let inner = state.lock();
        if inner.is_cut {
            return;
        }
        TcpStream::connect(&inner.server)
    };
    let Ok(server) = server else { return };
    let twin = |stream: &TcpStream| stream.try_clone().expect("another handle of a socket");
    state.lock().open.extend([twin(&browser), twin(&server)]);
    let (browser_in, mut browser_out, server_out) = (twin(&browser), twin(&browser), twin(&server));
    let asked = Arc::clone(state);
    std::thread::spawn(move || {
        carry(browser_in, server_out, |piece| {
            let inner = asked.lock();
            let Some((request, answer)) = &inner.instead else { return true };
            if !piece.starts_with(request.as_bytes()) {
                return true;
            }
            let _ = browser_out.write_all(answer);
            let _ = browser_out.shutdown(Shutdown::Both);
            false
        });
    });
    let state = Arc::clone(state);
    std::thread::spawn(move || {
        carry(server, browser, |_| {
            let mut inner = state.lock();
            inner.waiting += 1;
            state.changed.notify_all();
            let held = |inner: &mut Inner| inner.is_held;
            state.changed.wait_while(inner, held).unwrap_or_else(PoisonError::into_inner).waiting -= 1;
            true
        });
    });
}

/// Passes on what comes, each piece after `pass`, as long as that says yes.
fn carry(mut from: TcpStream, mut to: TcpStream, mut pass: impl FnMut(&[u8]) -> bool) {
    let mut piece = [0; 16 * 1024];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        if !pass(&piece[..length]) || to.write_all(&piece[..length]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
