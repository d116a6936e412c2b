//! Table `nodes`, statement by statement: what arrives late changes nothing, and what is of another history is no word.

use chrono::{DateTime, Utc};
use diesel::RunQueryDsl;
use keystead::{
    domain::{
        ids::NodeId,
        key_record::Epoch,
        position::{Mark, Position},
    },
    store::{Conn, key_changes, migrations, nodes},
};

use crate::support::{TestDatabase, on_own_thread};

fn on_fresh_database(test: impl FnOnce(&mut Conn) + Send + 'static) {
    let database = TestDatabase::fresh();
    let mut conn = database.connect();
    on_own_thread(move || {
        migrations::run(&mut conn).unwrap();
        test(&mut conn);
    });
}

fn at(epoch: i64, mark: char) -> Position {
    Position { epoch: Epoch(epoch), mark: Mark::parse(&mark.to_string().repeat(32)).unwrap() }
}

/// The changes 1 to 3, with the marks a, b and c.
fn history(conn: &mut Conn) {
    for (epoch, mark) in [(1, 'a'), (2, 'b'), (3, 'c')] {
        let mark = mark.to_string().repeat(32);
        let id = format!("key_{epoch:027}");
        let sql = format!("INSERT INTO key_changes (epoch, key_id, mark) VALUES ({epoch}, '{id}', '{mark}')");
        diesel::sql_query(sql).execute(conn).unwrap();
    }
    diesel::sql_query("UPDATE key_epoch SET value = 3").execute(conn).unwrap();
}

const NOW: DateTime<Utc> = DateTime::UNIX_EPOCH;

#[test]
fn a_renewal_that_comes_late_takes_nothing_back() {
    on_fresh_database(|conn| {
        history(conn);
        let id = NodeId::generate(NOW);
        nodes::insert(conn, &id, at(1, 'a'), 10_000, NOW).unwrap();
        assert!(nodes::renew(conn, &id, at(3, 'c'), NOW).unwrap());
        assert!(!nodes::renew(conn, &id, at(2, 'b'), NOW).unwrap(), "it was sent before the other");
        let node = nodes::list(conn).unwrap().remove(0);
        assert_eq!((node.applied, node.renewal, node.is_in_history), (Epoch(3), 1, true));
        assert!(nodes::renew(conn, &id, at(3, 'c'), NOW).unwrap(), "the same again is a renewal");
        assert!(!nodes::renew(conn, &NodeId::generate(NOW), at(3, 'c'), NOW).unwrap(), "nobody's");
    });
}

#[test]
fn a_node_that_renewed_meanwhile_is_not_forgotten() {
    on_fresh_database(|conn| {
        history(conn);
        let id = NodeId::generate(NOW);
        nodes::insert(conn, &id, at(3, 'c'), 10_000, NOW).unwrap();
        let seen = nodes::list(conn).unwrap()[0].renewal;
        assert!(nodes::renew(conn, &id, at(3, 'c'), NOW).unwrap());
        assert!(!nodes::remove_silent(conn, id.as_str(), seen).unwrap());
        let seen = nodes::list(conn).unwrap()[0].renewal;
        assert!(nodes::remove_silent(conn, id.as_str(), seen).unwrap());
        assert!(nodes::list(conn).unwrap().is_empty());
    });
}

#[test]
fn what_was_applied_of_another_history_does_not_count() {
    on_fresh_database(|conn| {
        history(conn);
        let (id, other) = (NodeId::generate(NOW), NodeId::generate(NOW));
        nodes::insert(conn, &id, at(2, 'b'), 10_000, NOW).unwrap();
        assert!(!nodes::renew(conn, &id, at(3, 'f'), NOW).unwrap(), "another third change");
        // As a row that an older program wrote, or one from before the database went back.
        nodes::insert(conn, &other, at(3, 'f'), 10_000, NOW).unwrap();
        let all = nodes::list(conn).unwrap();
        let confirms =
            |id: &NodeId, epoch| all.iter().find(|node| node.id == id.as_str()).unwrap().has_applied(Epoch(epoch));
        assert!(confirms(&id, 2) && !confirms(&id, 3));
        assert!(!confirms(&other, 1) && !confirms(&other, 3));
    });
}

#[test]
fn the_last_hundred_thousand_changes_are_kept_for_nodes_that_were_away() {
    on_fresh_database(|conn| {
        history(conn);
        let id = format!("key_{:027}", 4);
        let sql = format!("INSERT INTO key_changes (epoch, key_id) VALUES (4, '{id}'), (100003, '{id}')");
        diesel::sql_query(sql).execute(conn).unwrap();
        diesel::sql_query("UPDATE key_epoch SET value = 100003").execute(conn).unwrap();
        for gone in [3, 0] {
            assert_eq!(key_changes::purge(conn).unwrap(), gone);
            let kept = key_changes::between(conn, Epoch(0), Epoch(100_003)).unwrap();
            assert_eq!(kept.iter().map(|change| change.position.epoch.0).collect::<Vec<_>>(), [4, 100_003]);
        }
    });
}

#[test]
fn a_change_is_lost_when_another_has_its_place_or_the_database_does_not_reach_it() {
    on_fresh_database(|conn| {
        history(conn);
        let unmarked = Position { mark: Mark::UNKNOWN, ..at(2, 'b') };
        for (change, is_lost) in [(at(2, 'b'), false), (at(2, 'f'), true), (at(4, 'd'), true), (unmarked, false)] {
            assert_eq!(key_changes::is_lost(conn, change).unwrap(), is_lost, "{change}");
        }
        diesel::sql_query("UPDATE key_changes SET mark = '' WHERE epoch = 2").execute(conn).unwrap();
        assert!(!key_changes::is_lost(conn, at(2, 'b')).unwrap(), "an older program wrote it");
        diesel::sql_query("DELETE FROM key_changes WHERE epoch < 3").execute(conn).unwrap();
        assert!(!key_changes::is_lost(conn, at(2, 'b')).unwrap(), "it was purged");
        assert_eq!(key_changes::current(conn).unwrap(), at(3, 'c'));
        diesel::sql_query("DELETE FROM key_changes").execute(conn).unwrap();
        assert!(!key_changes::is_lost(conn, at(3, 'c')).unwrap(), "also the last one");
        let current = key_changes::current(conn).unwrap();
        assert!(current.epoch == Epoch(3) && !current.mark.is_known());
    });
}
