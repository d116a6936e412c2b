use std::os::unix::fs::{chown, symlink};

use super::*;

#[test]
fn who_may_not_open_a_file_learns_whose_it_is() {
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o700)).unwrap();
    let own = geteuid().as_raw();
    let denied = io::Error::from(io::ErrorKind::PermissionDenied);
    let path = folder.path().join("keystead.db");
    let of_folder = whose(&path, &denied);
    assert_eq!(of_folder, format!("; its folder belongs to uid {own} (mode 0700), and this program runs as uid {own}"));
    make(&path).unwrap();
    let of_file = whose(&path, &denied);
    assert_eq!(of_file, format!("; it belongs to uid {own} (mode 0600), and this program runs as uid {own}"));
    assert_eq!(whose(&path, &io::ErrorKind::StorageFull.into()), "");
}

/// Only root can give files away, so that this says nothing where somebody else runs it.
#[test]
fn what_root_makes_belongs_to_whom_the_folder_or_the_file_before_belongs_to() {
    if !geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    chown(folder.path(), Some(65_533), Some(65_532)).unwrap();
    let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
    let path = folder.path().join("keystead.db");
    make(&path).unwrap();
    assert_eq!(owner(&path), (65_533, 65_532));
    chown(&path, Some(65_531), Some(65_530)).unwrap();
    make(&path).unwrap();
    assert_eq!(owner(&path), (65_531, 65_530), "it was there");
    replace(&path, b"new").unwrap();
    assert_eq!(owner(&path), (65_531, 65_530));
    replace(&folder.path().join("other"), b"new").unwrap();
    assert_eq!(owner(&folder.path().join("other")), (65_533, 65_532));
}

/// Files whose mode nobody may change, whoever asks: as mounted ones.
#[cfg(target_os = "linux")]
#[test]
fn what_everybody_may_change_is_refused_and_what_they_may_read_is_borne() {
    let mode = |path: &str| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    let (changed, read) = ("/proc/self/timerslack_ns", "/proc/self/status");
    assert_eq!((mode(changed), mode(read)), (0o666, 0o444));
    let refused = mend_mode(Path::new(changed)).unwrap_err().to_string();
    assert!(refused.contains(changed) && refused.contains("0600"), "{refused}");
    mend_mode(Path::new(read)).unwrap();
    mend_mode(Path::new("/proc/self/no-such-file")).unwrap();
}

/// Whoever may write to a folder can put a link there, and wait for root.
#[test]
fn a_link_is_not_followed_wherever_it_leads() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("theirs"), "theirs").unwrap();
    fs::set_permissions(at("theirs"), Permissions::from_mode(0o644)).unwrap();
    symlink(at("theirs"), at("link")).unwrap();
    symlink(at("new"), at("dangling")).unwrap();
    for link in ["link", "dangling"] {
        let mut how = OpenOptions::new();
        how.read(true).write(true);
        for refused in [make(&at(link)), open(&at(link), &how).map(drop)] {
            let words = refused.unwrap_err().to_string();
            assert!(words.contains("it is a link"), "{words}");
        }
        assert!(check_if_there(&at(link)).is_err());
        replace(&at(link), b"ours").unwrap();
        assert!(!at(link).is_symlink(), "the link itself was replaced");
    }
    assert!(!at("new").exists());
    let theirs = (fs::read(at("theirs")).unwrap(), fs::metadata(at("theirs")).unwrap().mode() & 0o777);
    assert_eq!(theirs, (b"theirs".to_vec(), 0o644));
    // What an earlier crash left there, or somebody put there.
    symlink(at("theirs"), at("file.new")).unwrap();
    replace(&at("file"), b"ours").unwrap();
    assert_eq!(fs::read(at("theirs")).unwrap(), b"theirs");
    // The folder may be one.
    symlink(folder.path(), at("folder")).unwrap();
    make(&at("folder/file")).unwrap();
    assert_eq!(fs::read(at("file")).unwrap(), b"ours");
    assert!(open(folder.path(), OpenOptions::new().read(true)).unwrap_err().to_string().contains("no file"));
}

#[test]
fn root_follows_its_own_links_and_writes_to_no_file_that_others_named() {
    let (root, own, other) = (0, 65_533, 65_532);
    assert!(is_followed(false, own, own) && is_followed(false, other, own));
    assert!(is_followed(true, root, root));
    assert!(!is_followed(true, own, root) && !is_followed(true, root, own));
    assert!(may_write(false, (root, 2), own));
    assert!(may_write(true, (root, 1), own), "root made it before");
    assert!(may_write(true, (own, 2), own), "a backup by links");
    assert!(!may_write(true, (root, 2), own) && !may_write(true, (other, 2), own));
}

/// Only root can put files into a folder for somebody else, so that this says nothing where somebody else runs it.
#[test]
fn what_was_there_stays_whose_it_was() {
    if !geteuid().is_root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let theirs = folder.path().join("data");
    fs::create_dir(&theirs).unwrap();
    chown(&theirs, Some(65_533), Some(65_532)).unwrap();
    let at = |name: &str| theirs.join(name);
    let owner = |path: &Path| fs::metadata(path).map(|file| (file.uid(), file.gid())).unwrap();
    fs::write(folder.path().join("secret"), "").unwrap();
    fs::hard_link(folder.path().join("secret"), at("named")).unwrap();
    fs::write(at("old"), "").unwrap();
    assert!(make(&at("named")).is_err() && check_if_there(&at("named")).is_err());
    make(&at("old")).unwrap();
    assert_eq!((owner(&at("named")), owner(&at("old"))), ((0, 0), (0, 0)));
    symlink(folder.path().join("secret"), at("link")).unwrap();
    let words = may_follow(&at("link")).unwrap_err().to_string();
    assert!(words.contains("uid 65533"), "{words}");
    fs::set_permissions(folder.path().join("secret"), Permissions::from_mode(0o666)).unwrap();
    for name in ["link", "named"] {
        assert!(mend_mode(&at(name)).is_err(), "others may write to it");
        assert_eq!(fs::metadata(at(name)).unwrap().mode() & 0o777, 0o666, "{name}");
    }
    // Root's own link, and its folder's.
    fs::remove_file(at("named")).unwrap();
    symlink("secret", folder.path().join("link")).unwrap();
    mend_mode(&folder.path().join("link")).unwrap();
    assert_eq!(fs::metadata(folder.path().join("secret")).unwrap().mode() & 0o777, 0o600);
}
