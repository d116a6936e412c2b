//! Three servers and somebody who is signed in.

use std::{fs, net::SocketAddr};

use keystead::domain::ids::KeyId;
use tempfile::TempDir;

use crate::support::{
    client::Client,
    fill::fill,
    server::{EMAIL, On, PASSWORD, Place, Server},
};

pub const NODES: usize = 3;
pub const KEYS: u64 = 10_000;

pub struct Cluster {
    nodes: [Option<Server>; NODES],
    places: [Place; NODES],
    variables: Vec<(String, String)>,
    /// Of key `n`.
    pub ids: Vec<KeyId>,
    _folder: TempDir,
}

impl Cluster {
    /// On an empty database, which is filled.
    pub fn start(database: String, variables: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = |node: usize| {
            let data = folder.path().join(format!("node-{node}"));
            fs::create_dir(&data).unwrap();
            Place { data, postgres: Some(database.clone()) }
        };
        let places = std::array::from_fn(place);
        let ids = fill(&places[0], KEYS);
        for place in &places[1..] {
            fs::copy(places[0].pepper(), place.pepper()).unwrap();
        }
        let variables = variables.iter().map(|&(name, value)| (name.to_owned(), value.to_owned())).collect();
        let mut cluster = Self { nodes: [const { None }; NODES], places, variables, ids, _folder: folder };
        for node in 0..NODES {
            cluster.start_node(node);
        }
        cluster
    }

    pub fn start_node(&mut self, node: usize) {
        let variables: Vec<_> = self.variables.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.nodes[node] = Some(Server::start(&self.places[node], On::AllCores, &variables));
    }

    /// SIGKILL: it gives nothing back and says goodbye to nobody.
    pub fn kill_node(&mut self, node: usize) {
        self.nodes[node] = None;
    }

    pub fn node(&self, node: usize) -> &Server {
        self.nodes[node].as_ref().expect("the node lives")
    }
}

/// Signed in at one node, in a browser of this site.
pub struct Admin {
    address: SocketAddr,
    cookie: String,
}

impl Admin {
    pub fn sign_in(server: &Server) -> Self {
        let mut admin = Self { address: server.address, cookie: String::new() };
        let form = format!("email={}&password={}", encoded(EMAIL), encoded(PASSWORD));
        let request = admin.post("/sign-in", &form);
        let mut client = Client::connect(server.address);
        let reply = client.ask(request.as_bytes()).expect(303);
        let cookie = reply.header("set-cookie", &format!("keystead-{}=", server.address.port())).expect("a session");
        admin.cookie = cookie.split(';').next().unwrap_or_default().to_owned();
        admin
    }

    /// The request that revokes a key nobody has changed.
    pub fn revocation(&self, id: &KeyId) -> String {
        self.post(&format!("/settings/integrations/keys/{id}/revoke"), "version=1&page=1")
    }

    fn post(&self, path: &str, form: &str) -> String {
        let Self { address, cookie } = self;
        let cookie = if cookie.is_empty() { String::new() } else { format!("Cookie: {cookie}\r\n") };
        format!(
            "POST {path} HTTP/1.1\r\nHost: {address}\r\nOrigin: http://{address}\r\nSec-Fetch-Site: same-origin\r\n\
             {cookie}Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
            form.len()
        )
    }
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}
