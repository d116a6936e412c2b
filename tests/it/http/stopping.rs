//! The end of the server, as clients see it.

use std::{
    io::{ErrorKind, Read, Write},
    net::TcpStream,
    sync::{
        Arc,
        atomic::{AtomicU32, Ordering},
    },
    thread,
    time::Duration,
};

use super::{PATIENCE, Raw, blocking, question};
use crate::support::Binary;

/// Connects anew for each question until the server is gone. Everything else than an answer, or a connection that is
/// refused before anything was sent, is an error.
fn ask_until_refused(address: &str, asked: &AtomicU32) -> Result<(), String> {
    loop {
        let mut stream = match TcpStream::connect(address) {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Ok(()),
            Err(error) => return Err(format!("connect: {error}")),
        };
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let question = question("x", "Connection: close\r\n");
        let mut answer = String::new();
        stream.write_all(question.as_bytes()).map_err(|error| format!("write: {error}"))?;
        stream.read_to_string(&mut answer).map_err(|error| format!("read: {error}"))?;
        if !answer.contains("\"MALFORMED\"") {
            return Err(format!("answered {answer:?}"));
        }
        asked.fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn whoever_keeps_connecting_gets_an_answer_or_is_refused() {
    for _ in 0..3 {
        let keystead = Binary::new();
        let server = keystead.serve();
        let address = server.base.trim_start_matches("http://").to_owned();
        let asked = Arc::new(AtomicU32::new(0));
        let clients: Vec<_> = (0..8)
            .map(|_| {
                let (address, asked) = (address.clone(), Arc::clone(&asked));
                thread::spawn(move || ask_until_refused(&address, &asked))
            })
            .collect();
        while asked.load(Ordering::Relaxed) < 100 {
            assert!(clients.iter().any(|client| !client.is_finished()), "everybody was refused at once");
            thread::sleep(Duration::from_millis(1));
        }
        server.terminate();
        for client in clients {
            client.join().unwrap().unwrap();
        }
        server.wait().succeeded();
    }
}

#[tokio::test]
async fn a_kept_connection_is_answered_while_the_server_drains_and_told_that_it_ends() {
    let keystead = Binary::new().with("KEYSTEAD_DRAIN_SECS", "30");
    let server = keystead.serve();
    let address = server.base.trim_start_matches("http://").parse().unwrap();
    let (mut kept, mut probe) = (Raw::connect(address), Raw::connect(address));
    let server = blocking(move || {
        kept.send(&question("x", ""));
        assert!(!kept.answer().contains("connection: close"));
        server.terminate();
        loop {
            probe.send("GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
            let answer = probe.answer();
            assert!(
                answer.starts_with("HTTP/1.1 200 ") || answer.contains("\"stopping\""),
                "{answer} {}",
                server.log()
            );
            if answer.contains("connection: close") {
                break;
            }
        }
        kept.send(&question("x", ""));
        let last = kept.rest();
        assert!(last.contains("\"MALFORMED\"") && last.contains("connection: close"), "{last}");
        server
    })
    .await;
    // Nobody is connected any more, so the thirty seconds are not waited for; `wait` would give up before.
    server.wait().succeeded();
}

#[tokio::test]
async fn whoever_says_nothing_does_not_keep_the_server_alive() {
    let keystead = Binary::new();
    let server = keystead.serve();
    let address = server.base.trim_start_matches("http://").parse().unwrap();
    let mut silent = vec![Raw::connect(address), Raw::connect(address), Raw::connect(address)];
    silent[1].send("GET / HTTP/1.1\r\n");
    silent[2].send("POST /sign-in HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n");
    blocking(move || {
        server.terminate();
        server.wait().succeeded();
        drop(silent);
    })
    .await;
}

#[test]
fn signals_that_mean_nothing_here_end_nothing() {
    let keystead = Binary::new();
    let server = keystead.serve();
    for signal in ["HUP", "USR1", "USR2", "ALRM", "PIPE"] {
        server.signal(signal);
    }
    let address = server.base.trim_start_matches("http://").parse().unwrap();
    let mut raw = Raw::connect(address);
    raw.send(&question("x", ""));
    assert!(raw.answer().contains("\"MALFORMED\""));
    while !server.log().contains("SIGALRM changes nothing") {
        thread::sleep(Duration::from_millis(1));
    }
    server.signal("QUIT");
    server.wait().succeeded();
}
