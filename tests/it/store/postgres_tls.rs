//! Whoever shows a certificate must have its key, and it must be of this time. Here somebody else listens in the place of
//! Postgres; the table of `postgres_urls.rs` has the certificates of an honest server.

use std::{
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use keystead::store::connection::DatabaseUrl;
use rustls::{
    ServerConfig, ServerConnection, SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    server::{ClientHello, ResolvesServerCert},
    sign::CertifiedKey,
    version::{TLS12, TLS13},
};

/// A certificate that is its own root, one from a root, and each again out of date.
const CERTIFICATES: &str = "set -e
elliptic='ec -pkeyopt ec_paramgen_curve:prime256v1'
openssl req -x509 -nodes -days 9 -newkey $elliptic -keyout root.key -out root.crt -subj /CN=root
openssl req -x509 -nodes -days 9 -newkey $elliptic -keyout own.key -out own.crt -subj /CN=localhost
openssl req -nodes -newkey $elliptic -keyout from-root.key -out from-root.csr -subj /CN=localhost
printf 'subjectAltName=DNS:localhost' > names
made='-CA root.crt -CAkey root.key -CAcreateserial -extfile names'
openssl x509 -req -in from-root.csr -days 9 $made -out from-root.crt
openssl x509 -req -in from-root.csr -days -1 $made -out old-from-root.crt
openssl req -new -key own.key -out own.csr -subj /CN=localhost
openssl x509 -req -in own.csr -signkey own.key -days -1 -out old-own.crt";

/// Shows a certificate, whatever key it has, and tells by which name it was asked for.
#[derive(Debug)]
struct Shown(Arc<CertifiedKey>, mpsc::Sender<Option<String>>);

impl ResolvesServerCert for Shown {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        self.1.send(hello.server_name().map(str::to_owned)).unwrap();
        Some(Arc::clone(&self.0))
    }
}

struct Stranger<'a> {
    folder: &'a Path,
    certificate: &'a str,
    key: &'a str,
    version: &'static SupportedProtocolVersion,
}

impl Stranger<'_> {
    /// Whether somebody who connects with this query goes on after the certificate.
    fn is_trusted(&self, query: &str) -> bool {
        self.meet("localhost", query).0
    }

    /// The same for another host, and by which name it was asked for.
    fn meet(&self, host: &str, query: &str) -> (bool, Option<String>) {
        let (asked, asked_for) = mpsc::channel();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let key = PrivateKeyDer::from_pem_file(self.folder.join(self.key)).unwrap();
        let certificate = CertificateDer::from_pem_file(self.folder.join(self.certificate)).unwrap();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&[self.version])
            .unwrap()
            .with_no_client_auth()
            .with_cert_resolver(Arc::new(Shown(Arc::new(CertifiedKey::new(vec![certificate], key)), asked)));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let listening = thread::spawn(move || {
            let mut wire = listener.accept().unwrap().0;
            // Postgres' own way to ask for TLS, and yes to it.
            wire.read_exact(&mut [0; 8]).unwrap();
            wire.write_all(b"S").unwrap();
            let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
            while tls.is_handshaking() {
                match tls.complete_io(&mut wire) {
                    Ok((1.., _) | (_, 1..)) => {}
                    _ => return false,
                }
            }
            // The first words to the server, with the name of a role: nobody says them before it is known who this is.
            let mut words = [0; 4];
            rustls::Stream::new(&mut tls, &mut wire).read_exact(&mut words).is_ok()
        });
        let url = format!("postgres://keystead@{host}:{port}/keys?hostaddr=127.0.0.1&{query}");
        let connected = DatabaseUrl::Postgres(url).connect_within(Duration::from_secs(20));
        assert!(connected.is_err(), "nobody answers as Postgres does");
        (listening.join().unwrap(), asked_for.recv().unwrap())
    }
}

fn certificates() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let made = Command::new("sh").args(["-c", CERTIFICATES]).current_dir(folder.path()).output().unwrap();
    assert!(made.status.success(), "{made:?}");
    folder
}

#[test]
fn who_shows_a_certificate_must_have_its_key() {
    let folder = certificates();
    for (certificate, root) in [("own", "own"), ("from-root", "root"), ("own", ""), ("from-root", "")] {
        for version in [&TLS12, &TLS13] {
            let root_file = folder.path().join(format!("{root}.crt"));
            let query = match root {
                "" => "sslmode=require".to_owned(),
                _ => format!("sslmode=verify-full&sslrootcert={}", root_file.display()),
            };
            for (key, is_good) in [(certificate, true), ("root", false)] {
                let (shown, key) = (format!("{certificate}.crt"), format!("{key}.key"));
                let stranger = Stranger { folder: folder.path(), certificate: &shown, key: &key, version };
                assert_eq!(stranger.is_trusted(&query), is_good, "{shown} with {key}, {query}, {version:?}");
            }
        }
    }
}

#[test]
fn a_certificate_that_is_out_of_date_is_none() {
    let folder = certificates();
    for (certificate, key, root) in
        [("old-own.crt", "own.key", "old-own.crt"), ("old-from-root.crt", "from-root.key", "root.crt")]
    {
        let stranger = Stranger { folder: folder.path(), certificate, key, version: &TLS13 };
        let root = folder.path().join(root);
        for mode in ["require", "verify-ca", "verify-full"] {
            assert!(!stranger.is_trusted(&format!("sslmode={mode}&sslrootcert={}", root.display())), "{certificate}");
        }
        assert!(stranger.is_trusted("sslmode=require"), "who asks for nothing gets a wire that is encrypted");
    }
}

/// What stands in front of many servers finds the right one by it.
#[test]
fn the_server_is_told_the_name_of_the_host_unless_that_is_unwanted() {
    let folder = certificates();
    let stranger = Stranger { folder: folder.path(), certificate: "own.crt", key: "own.key", version: &TLS13 };
    for (host, query, name) in [
        ("localhost", "sslmode=require", Some("localhost")),
        ("db.example", "sslmode=require", Some("db.example")),
        ("db.example", "sslmode=require&sslsni=0", None),
        // An address is no name.
        ("127.0.0.1", "sslmode=require", None),
    ] {
        assert_eq!(stranger.meet(host, query), (true, name.map(str::to_owned)), "{host} {query}");
    }
}
