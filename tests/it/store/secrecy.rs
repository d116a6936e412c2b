//! What must not be in the database, and what stands there in its place.

use crate::support::{PASSWORD, TestApp};

#[tokio::test]
async fn no_key_and_no_password_is_stored() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let first = maya.create_key("Production").await;
    let second = maya.by_htmx().rotate(&first).await;
    maya.revoke(&second).await;
    let third = maya.create_key("Staging").await;
    let stored = app.everything_stored().await;
    assert!(stored.contains("Staging"), "this test looks into the right place");
    for key in [&first, &second, &third] {
        assert!(!stored.contains(&key.secret));
        let body = key.secret.strip_prefix("talvin_live_").unwrap();
        assert!(!stored.contains(&body[..20]) && !stored.contains(&body[20..39]), "a part of a key is stored");
        let hex: String = key.secret.bytes().map(|byte| format!("{byte:02x}")).collect();
        assert!(!stored.contains(&hex));
    }
    assert!(!stored.contains(PASSWORD));
}

#[tokio::test]
async fn a_password_is_stored_as_a_slow_hash() {
    let app = TestApp::start().await;
    app.admin().await;
    let hash = app.lines("SELECT password_hash AS line FROM users").await.remove(0);
    assert!(hash.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{hash}");
}

#[tokio::test]
async fn no_answer_but_the_first_holds_a_key() {
    let app = TestApp::start().await;
    let maya = app.admin().await;
    let key = maya.create_key("Production").await;
    let paths = ["rotate", "revoke"].map(|change| format!("/settings/integrations/keys/{}/{change}", key.id));
    for person in [maya.clone(), maya.by_htmx()] {
        for path in [&*paths[0], &paths[1], "/settings/integrations", "/settings/integrations/keys", "/sign-in"] {
            let answer = person.get(path).await;
            assert!(!answer.text().contains(&key.secret), "{path}");
            assert!(!answer.all_headers().contains(&key.secret), "{path}");
        }
    }
    assert!(!maya.cookies().contains(&key.secret));
    assert!(!app.everything_stored().await.contains(&key.secret));
}

#[cfg(unix)]
#[tokio::test]
async fn the_pepper_is_readable_by_its_owner_alone_and_not_in_the_database() {
    use std::os::unix::fs::PermissionsExt;
    let app = TestApp::start().await;
    let file = app.database.folder().join("pepper");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    let pepper = std::fs::read(&file).unwrap();
    assert_eq!(pepper.len(), 32);
    if !app.database.is_postgres() {
        let database = std::fs::read(app.database.sqlite_file()).unwrap();
        assert!(!database.windows(32).any(|window| window == pepper));
    }
}
