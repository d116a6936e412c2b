//! Which hosts are asked, for how long, what is said of them, and whose password is taken.

use std::{
    io::{Read, Write},
    net::TcpListener,
    os::unix::fs::PermissionsExt,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use super::*;

/// A host that has one answer for everybody.
struct Host {
    port: u16,
    asked: Arc<AtomicUsize>,
}

impl Host {
    /// Whatever is said first, this is what it answers, so much later.
    fn answering(answer: Vec<u8>, later: Duration) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let (port, asked) = (listener.local_addr().unwrap().port(), Arc::<AtomicUsize>::default());
        let counted = Arc::clone(&asked);
        thread::spawn(move || {
            for mut wire in listener.incoming() {
                counted.fetch_add(1, Ordering::SeqCst);
                let (wire, mut length) = (wire.as_mut().unwrap(), [0; 4]);
                wire.read_exact(&mut length).unwrap();
                wire.read_exact(&mut vec![0; u32::from_be_bytes(length) as usize - 4]).unwrap();
                thread::sleep(later);
                // Whoever asked may be gone.
                let _ = wire.write_all(&answer);
            }
        });
        Self { port, asked }
    }

    /// A server that lets nobody in, and says so with this SQLSTATE.
    fn refusing(code: &str) -> Self {
        Self::answering(refusal(code), Duration::ZERO)
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

fn refusal(code: &str) -> Vec<u8> {
    let fields = format!("SFATAL\0C{code}\0Mrefused\0\0");
    let length = u32::try_from(4 + fields.len()).unwrap();
    [b"E", &length.to_be_bytes()[..], fields.as_bytes()].concat()
}

/// Nobody listens there.
const DEAD: u16 = 1;

/// Why nothing was connected.
async fn words_of(url: &str) -> String {
    dial(&target(url).unwrap(), Duration::from_secs(20)).await.err().expect("nobody lets anybody in")
}

#[tokio::test]
async fn it_is_said_which_host_refused_and_why() {
    let (server, no_tls) = (Host::refusing("28P01"), Host::answering(b"N".to_vec(), Duration::ZERO));
    let (port, unable) = (server.port, no_tls.port);
    let refused = |host: &str| format!("{host}:{port}: refused (SQLSTATE 28P01)");
    for (url, wanted) in [
        (format!("postgres://site@127.0.0.1:{port}/keys?sslmode=disable"), refused("127.0.0.1")),
        (format!("postgres:///keys?user=site&hostaddr=127.0.0.1&port={port}&sslmode=disable"), refused("127.0.0.1")),
        (format!("postgres://site@db.example:{port}/keys?hostaddr=127.0.0.1&sslmode=disable"), refused("db.example")),
    ] {
        assert_eq!(words_of(&url).await, wanted, "{url}");
    }
    let words = words_of(&format!("postgres://site@127.0.0.1:{unable}/keys?sslmode=require")).await;
    let (host, reason) = (format!("127.0.0.1:{unable}: "), "server does not support TLS");
    assert!(words.starts_with(&host) && words.ends_with(reason), "{words}");
}

#[tokio::test]
async fn where_no_host_is_named_it_is_the_socket_in_the_usual_folder() {
    let words = words_of(&format!("postgres:///keys?user=site&port={DEAD}")).await;
    let usual = ["/var/run/postgresql", "/tmp"].map(|folder| format!("{folder}:{DEAD}: "));
    assert!(usual.iter().any(|usual| words.starts_with(usual)), "{words}");
}

#[tokio::test]
async fn another_host_is_asked_while_one_is_starting_but_not_after_a_refusal() {
    let (starting, refusing) = (Host::refusing("57P03"), Host::refusing("28P01"));
    let url = |first: &Host, second: &Host| {
        format!("postgres://site@127.0.0.1:{},127.0.0.1:{}/keys?sslmode=disable", first.port, second.port)
    };
    let words = words_of(&url(&starting, &refusing)).await;
    assert!(words.contains("28P01"), "{words}");
    assert_eq!((starting.asked(), refusing.asked()), (1, 1));
    let words = words_of(&url(&refusing, &starting)).await;
    assert!(words.contains("28P01"), "{words}");
    assert_eq!((starting.asked(), refusing.asked()), (1, 2), "it has the same passwords");
}

#[tokio::test]
async fn so_it_is_with_the_addresses_of_one_host() {
    let (first, second) = (Host::refusing("28P01"), Host::refusing("28P01"));
    let target = target("postgres://site@db.example/keys?sslmode=disable").unwrap();
    let refusal = async |ports: [u16; 2]| {
        let places = ports.map(|port| Place::Tcp(([127, 0, 0, 1], port).into())).to_vec();
        dial_places(&target, &target.hosts[0], places, LIMIT).await.err().expect("nobody lets anybody in")
    };
    let Refusal { words, is_final } = refusal([DEAD, first.port]).await;
    assert!(words.contains("28P01") && is_final, "{words}");
    let Refusal { words, is_final } = refusal([first.port, second.port]).await;
    assert!(words.contains("28P01") && is_final, "{words}");
    assert_eq!((first.asked(), second.asked()), (2, 0), "it has the same passwords");
}

#[tokio::test]
async fn a_slow_host_has_all_the_time_that_dead_ones_before_it_left() {
    let slow = Host::answering(refusal("28P01"), Duration::from_millis(300));
    let dead = format!("127.0.0.1:{DEAD},").repeat(100);
    let words = words_of(&format!("postgres://site@{dead}127.0.0.1:{}/keys?sslmode=disable", slow.port)).await;
    assert!(words.contains("28P01"), "{words}");
}

/// As the manual of libpq says: by the name, or else by the address, or else by `localhost`.
#[test]
fn a_password_file_is_searched_for_what_the_url_names() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("passwords");
    std::fs::write(&file, "db:*:*:*:of-a-name\n10.0.0.7:*:*:*:of-an-address\nlocalhost:*:*:*:of-this-machine\n")
        .unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    let password = |url: &str| {
        let separator = if url.contains('?') { '&' } else { '?' };
        let target = target(&format!("{url}{separator}passfile={}", file.display())).unwrap();
        let config = config(&target, &target.hosts[0], SslMode::Disable);
        config.get_password().map(|password| String::from_utf8(password.to_vec()).unwrap())
    };
    let socket = format!("postgres://site@/keys?host={}", socket_folder());
    for (url, wanted) in [
        ("postgres://site@db/keys", Some("of-a-name")),
        ("postgres://site@db/keys?hostaddr=10.0.0.7", Some("of-a-name")),
        ("postgres:///keys?user=site&hostaddr=10.0.0.7", Some("of-an-address")),
        ("postgres:///keys?user=app", Some("of-this-machine")),
        (&socket, Some("of-this-machine")),
        ("postgres://site@elsewhere/keys", None),
        ("postgres://site:given@db/keys", Some("given")),
    ] {
        assert_eq!(password(url).as_deref(), wanted, "{url}");
    }
}
