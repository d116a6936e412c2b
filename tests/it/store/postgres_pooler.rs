//! Keystead behind the real PgBouncer, in session and in transaction mode. It needs `TEST_DATABASE_URL`, and
//! `pgbouncer` on the path.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    process::{Child, Command, Stdio},
    time::Duration,
};

use diesel::{QueryableByName, RunQueryDsl, sql_query, sql_types::Text};
use keystead::store::{Db, Fault, StoreError, connection::DatabaseUrl};

use crate::{
    cluster::postgres::OwnPostgres,
    support::{Binary, TestDatabase, on_own_thread},
};

#[derive(QueryableByName)]
struct Word {
    #[diesel(sql_type = Text)]
    word: String,
}

struct Pooler(Child);

impl Drop for Pooler {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start(postgres: &OwnPostgres, mode: &str) -> (Pooler, u16) {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let folder = postgres.folder().display();
    let settings = format!(
        "[databases]\n* = host=127.0.0.1 port={}\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}\n\
         auth_type = trust\nauth_file = {folder}/users\npool_mode = {mode}\ndefault_pool_size = 12\n\
         unix_socket_dir =\nlogfile = {folder}/{mode}.log\npidfile = {folder}/{mode}.pid\n",
        postgres.port()
    );
    fs::write(postgres.folder().join("users"), "\"postgres\" \"\"\n").unwrap();
    let file = postgres.folder().join(format!("{mode}.ini"));
    fs::write(&file, settings).unwrap();
    // It refuses to run as root; `-u` is its own way to be somebody else.
    let mut pooler = Command::new("pgbouncer");
    pooler.args(["-u", "postgres"]).arg(&file).stdout(Stdio::null()).stderr(Stdio::null());
    let pooler = Pooler(pooler.spawn().unwrap());
    while TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(Duration::from_millis(20));
    }
    (pooler, port)
}

/// What a read through the pooler says of a table that somebody has locked: the order to cancel goes through it too.
async fn is_busy(postgres: &OwnPostgres, mode: &str, url: &str) -> bool {
    let server = DatabaseUrl::Postgres(format!("postgres://postgres@127.0.0.1:{}/of_{mode}", postgres.port()));
    let holder = on_own_thread(move || {
        let mut holder = server.connect().unwrap();
        sql_query("BEGIN").execute(&mut holder).unwrap();
        sql_query("LOCK TABLE key_usage IN ACCESS EXCLUSIVE MODE").execute(&mut holder).unwrap();
        holder
    });
    let db = Db::open(DatabaseUrl::Postgres(url.to_owned()).into(), 1).unwrap();
    let read = db.read(|conn| Ok::<_, StoreError>(sql_query("SELECT 1 FROM key_usage").execute(conn)?)).await;
    on_own_thread(move || drop(holder));
    matches!(&read, Err(StoreError::Fault(Fault::Busy, _)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_works_behind_a_pooler_and_leaves_nothing_to_other_programs() {
    TestDatabase::postgres();
    let postgres = OwnPostgres::start();
    for mode in ["session", "transaction"] {
        assert!(postgres.shell(&format!("createdb -h 127.0.0.1 -p {} -U postgres of_{mode}", postgres.port())));
        let (_pooler, port) = start(&postgres, mode);
        let url = format!("postgres://postgres@127.0.0.1:{port}/of_{mode}?sslmode=disable");
        let keystead = Binary::on_sqlite().with("DATABASE_URL", &url);
        let server = keystead.serve();
        let maya = server.set_up().await;
        let (first, second) = (maya.create_key("First").await, maya.create_key("Second").await);
        maya.revoke(&first).await;
        for (key, wanted) in [(&first, "REVOKED"), (&second, "VALID")] {
            let asked = serde_json::json!({ "key": key.secret });
            let answer = maya.post_json("/v1/keys/verify", &asked).await.expect(200).json();
            assert_eq!(answer["code"], wanted, "{mode}");
        }
        assert!(is_busy(&postgres, mode, &url).await, "{mode}");
        let others = DatabaseUrl::Postgres(url);
        let settings = on_own_thread(move || {
            let limits = "SELECT name || '=' || setting AS word FROM pg_settings WHERE name LIKE '%\\_timeout'
                          AND setting <> reset_val";
            // As many as there are connections in the pool, all at once.
            let mut all: Vec<_> = (0..4).map(|_| others.connect().unwrap()).collect();
            let found: Vec<Word> = all.iter_mut().flat_map(|c| sql_query(limits).load::<Word>(c).unwrap()).collect();
            found.into_iter().map(|row| row.word).collect::<Vec<_>>()
        });
        assert_eq!(settings, Vec::<String>::new(), "{mode}");
        server.stop().succeeded();
    }
}
