use super::*;
use crate::domain::{ended_secret::Ending, ids::KeyId, pepper::SecretDigest};

const START: DateTime<Utc> = DateTime::UNIX_EPOCH;

fn ended(n: u8) -> EndedSecret {
    let at = START + TimeDelta::days(n.into());
    let ending = if n.is_multiple_of(2) { Ending::Revoked } else { Ending::Rotated };
    EndedSecret { at, ending, key_id: KeyId::generate(at), digest: SecretDigest([n; 32]) }
}

fn place() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(FILE_NAME);
    (folder, path)
}

#[test]
fn what_was_appended_is_read_again_whoever_wrote_it() {
    let (_folder, path) = place();
    let (first, second) = (RevocationLog::open(&path).unwrap(), RevocationLog::open(&path).unwrap());
    let all = [ended(1), ended(2), ended(3)];
    first.append(&all[..1]).unwrap();
    second.append(&all[1..]).unwrap();
    drop(first);
    assert_eq!(second.entries().unwrap(), all);
    assert_eq!(RevocationLog::open(&path).unwrap().entries().unwrap(), all);
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
}

/// As the documents say who count how much a year is.
#[test]
fn a_line_is_128_bytes() {
    let at = START + TimeDelta::days(20_000);
    assert_eq!(line_of(&EndedSecret { at, ending: Ending::Revoked, ..ended(1) }).len(), 128);
    assert_eq!(line_of(&EndedSecret { at, ending: Ending::Rotated, ..ended(1) }).len(), 128);
}

#[test]
fn a_digest_is_written_once() {
    let (_folder, path) = place();
    let log = RevocationLog::open(&path).unwrap();
    log.append(&[ended(1)]).unwrap();
    log.append(&[ended(1), ended(2)]).unwrap();
    assert_eq!(log.entries().unwrap().len(), 2);
}

#[test]
fn a_crash_at_any_byte_of_the_last_line_loses_that_line_alone() {
    let (_folder, path) = place();
    RevocationLog::open(&path).unwrap().append(&[ended(1), ended(2)]).unwrap();
    let whole = fs::read(&path).unwrap();
    let last = whole[..whole.len() - 1].iter().rposition(|&byte| byte == b'\n').unwrap() + 1;
    for cut in last..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let log = RevocationLog::open(&path).unwrap();
        log.append(&[ended(3)]).unwrap();
        assert_eq!(log.entries().unwrap().iter().map(|e| e.digest.0[0]).collect::<Vec<_>>(), [1, 3], "cut at {cut}");
        assert_eq!(RevocationLog::open(&path).unwrap().entries().unwrap().len(), 2);
    }
}

#[test]
fn a_damaged_line_in_the_middle_is_told() {
    let (_folder, path) = place();
    RevocationLog::open(&path).unwrap().append(&[ended(1), ended(2), ended(3)]).unwrap();
    let good = fs::read(&path).unwrap();
    // Each byte of the second entry, its end of line left aside.
    let lines: Vec<&[u8]> = good.split_inclusive(|&byte| byte == b'\n').collect();
    let begin = lines[0].len() + lines[1].len();
    for at in begin..begin + lines[2].len() - 1 {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(&path, &bad).unwrap();
        let told = RevocationLog::open(&path).unwrap_err().to_string();
        assert!(told.contains("damaged at line 3") && told.contains("keystead restore --accept"), "{told}");
    }
    assert_eq!(mend(&path).unwrap(), 1);
    let left = RevocationLog::open(&path).unwrap().entries().unwrap();
    assert_eq!(left.iter().map(|entry| entry.digest.0[0]).collect::<Vec<_>>(), [1, 3]);
    assert_eq!(mend(&path).unwrap(), 0);
}

#[test]
fn what_is_old_goes_and_what_comes_later_is_written_to_the_new_file() {
    let (_folder, path) = place();
    let log = RevocationLog::open(&path).unwrap();
    log.append(&[ended(1), ended(2), ended(3)]).unwrap();
    let day = |n| START + TimeDelta::days(n);
    assert_eq!(log.forget(day(2)).unwrap(), 0, "not for one line");
    assert_eq!(log.complete_from(), None);
    assert_eq!(log.forget(day(3)).unwrap(), 2);
    assert_eq!(log.forget(day(3)).unwrap(), 0);
    log.append(&[ended(4)]).unwrap();
    let again = RevocationLog::open(&path).unwrap();
    assert_eq!(again.entries().unwrap(), [ended_as(&log, 0), ended_as(&log, 1)]);
    assert_eq!((log.complete_from(), again.complete_from()), (Some(day(3)), Some(day(3))));
    // Whoever else has it open would go on writing to the file that was replaced.
    assert_eq!(log.forget(day(9)).unwrap(), 0, "not while another program has it open");
    assert_eq!(log.entries().unwrap().len(), 2);
    drop(again);
    assert!(!RevocationLog::is_free(&path).unwrap(), "it still says that it is in use");
    assert_eq!(log.forget(day(9)).unwrap(), 2);
    assert_eq!(log.forget(day(9)).unwrap(), 0);
    // One that went may end again, as from an old database.
    log.append(&[EndedSecret { at: day(9), ..ended(4) }]).unwrap();
    assert_eq!(RevocationLog::open(&path).unwrap().entries().unwrap().len(), 1);
    // By a clock that was set back it does not become complete again.
    assert_eq!(log.forget(day(20)).unwrap(), 1);
    log.append(&[ended(5)]).unwrap();
    assert_eq!(log.forget(day(7)).unwrap(), 1);
    assert_eq!(RevocationLog::open(&path).unwrap().complete_from(), Some(day(20)));
}

#[test]
fn what_cannot_be_written_anew_stays_as_it_was() {
    let (_folder, path) = place();
    let log = RevocationLog::open(&path).unwrap();
    log.append(&[ended(1), ended(9)]).unwrap();
    let before = fs::read(&path).unwrap();
    // In the way of the new file.
    fs::create_dir(beside(&path, ".new")).unwrap();
    assert!(log.forget(START + TimeDelta::days(5)).is_err());
    assert_eq!(fs::read(&path).unwrap(), before);
    log.append(&[ended(10)]).unwrap();
    assert_eq!(RevocationLog::open(&path).unwrap().entries().unwrap().len(), 3);
    assert_eq!(log.complete_from(), None);
    fs::remove_dir(beside(&path, ".new")).unwrap();
    assert_eq!(log.forget(START + TimeDelta::days(5)).unwrap(), 1);
}

#[test]
fn a_log_that_is_mended_does_not_become_complete() {
    let (_folder, path) = place();
    let log = RevocationLog::open(&path).unwrap();
    log.append(&[ended(1), ended(9)]).unwrap();
    let day = START + TimeDelta::days(5);
    assert_eq!(log.forget(day).unwrap(), 1);
    drop(log);
    let mut bytes = fs::read(&path).unwrap();
    bytes.extend_from_slice(b"damaged\n");
    fs::write(&path, &bytes).unwrap();
    assert_eq!(mend(&path).unwrap(), 1);
    let log = RevocationLog::open(&path).unwrap();
    assert_eq!((log.complete_from(), log.entries().unwrap().len()), (Some(day), 1));
}

fn ended_as(log: &RevocationLog, n: usize) -> EndedSecret {
    log.entries().unwrap().swap_remove(n)
}

#[test]
fn what_a_full_disk_refuses_is_written_later() {
    let (_folder, path) = place();
    let log = RevocationLog::open(&path).unwrap();
    let aside = beside(&path, ".aside");
    fs::rename(&path, &aside).unwrap();
    std::os::unix::fs::symlink("/dev/full", &path).unwrap();
    let full = OpenOptions::new().append(true).open(&path).unwrap();
    let good = std::mem::replace(&mut log.state().file, full);
    let length = std::mem::take(&mut log.state().length);
    assert!(log.append(&[ended(1)]).is_err());
    fs::rename(&aside, &path).unwrap();
    log.state().file = good;
    log.state().length = length;
    log.append(&[ended(2)]).unwrap();
    assert_eq!(log.entries().unwrap().iter().map(|e| e.digest.0[0]).collect::<Vec<_>>(), [1, 2]);
}

#[test]
fn what_was_moved_away_or_removed_under_a_running_program_is_written_again() {
    for is_removed in [false, true] {
        let (_folder, path) = place();
        let log = RevocationLog::open(&path).unwrap();
        log.append(&[ended(1), ended(5)]).unwrap();
        assert_eq!(log.forget(START + TimeDelta::days(4)).unwrap(), 1);
        let aside = beside(&path, ".aside");
        fs::rename(&path, &aside).unwrap();
        if is_removed {
            fs::remove_file(&aside).unwrap();
        }
        log.append(&[ended(6)]).unwrap();
        assert_eq!(numbers(&path), [5, 6]);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.starts_with(HEAD), "{text}");
        assert_eq!(read(&path).unwrap().complete_from, Some(START + TimeDelta::days(4)), "no more than is true");
        assert!(is_removed || numbers(&aside) == [5], "nothing more is written to what nobody will look at");
        // Before the next revocation, and what `logrotate` has put there in its place.
        fs::rename(&path, &aside).unwrap();
        fs::write(&path, "").unwrap();
        assert!(!log.look(START).unwrap());
        assert_eq!(numbers(&path), [5, 6]);
        let whole = fs::read(&path).unwrap();
        assert!(!log.look(START).unwrap());
        log.append(&[ended(6)]).unwrap();
        assert_eq!(fs::read(&path).unwrap(), whole, "once");
    }
}

#[test]
fn an_emptied_log_is_asked_for_again_and_says_what_nobody_can_write_again() {
    let (day, kept) = (|n| START + TimeDelta::days(n), Some(TimeDelta::days(90)));
    let just_after = |at: DateTime<Utc>| at + TimeDelta::milliseconds(1);
    for (cut, forgotten_after, only_here, complete_from) in [
        (0, None, None, None),
        (0, kept, None, Some(day(10))),
        (0, kept, Some(day(20)), Some(just_after(day(20)))),
        (0, None, Some(day(20)), Some(just_after(day(20)))),
        (HEAD.len() + 200, kept, None, Some(day(10))),
    ] {
        let (_folder, path) = place();
        let log = RevocationLog::open(&path).unwrap().forgotten_after(forgotten_after);
        log.append(&[ended(1), ended(2)]).unwrap();
        log.note_newest_only_here(only_here);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(cut as u64).unwrap();
        log.append(&[ended(3)]).unwrap();
        assert!(log.look(day(100)).unwrap());
        log.append(&[ended(1), ended(2)]).unwrap();
        assert!(!log.look(day(100)).unwrap());
        let mut all = numbers(&path);
        all.sort_unstable();
        all.dedup();
        assert_eq!(all, [1, 2, 3]);
        let again = RevocationLog::open(&path).unwrap();
        assert_eq!((log.complete_from(), again.complete_from()), (complete_from, complete_from));
    }
    // Nobody has said yet what only the log knows: all of it.
    let (_folder, path) = place();
    RevocationLog::open(&path).unwrap().append(&[ended(1), ended(2)]).unwrap();
    let log = RevocationLog::open(&path).unwrap();
    fs::write(&path, "").unwrap();
    assert_eq!(log.entries().unwrap(), []);
    assert!(log.look(day(100)).unwrap());
    assert_eq!(log.complete_from(), Some(just_after(day(2))));
    // What a full disk refused of the one that was moved is not lost.
    log.append(&[ended(3)]).unwrap();
    fs::rename(&path, beside(&path, ".aside")).unwrap();
    fs::create_dir(&path).unwrap();
    assert!(log.look(day(100)).is_err() && log.append(&[ended(4)]).is_err());
    fs::remove_dir(&path).unwrap();
    assert!(!log.look(day(100)).unwrap());
    assert_eq!(numbers(&path), [3, 4]);
}

fn numbers(path: &Path) -> Vec<u8> {
    read(path).unwrap().entries.iter().map(|entry| entry.digest.0[0]).collect()
}

#[test]
fn a_log_that_was_set_aside_is_no_log() {
    let (_folder, path) = place();
    assert_eq!(set_aside(&path, ".old").unwrap(), None);
    let log = RevocationLog::open(&path).unwrap();
    log.append(&[ended(1)]).unwrap();
    assert!(!RevocationLog::is_free(&path).unwrap());
    drop(log);
    assert!(RevocationLog::is_free(&path).unwrap());
    let aside = set_aside(&path, ".old").unwrap().unwrap();
    assert!(aside.exists());
    assert_eq!(RevocationLog::open(&path).unwrap().entries().unwrap(), []);
    fs::create_dir(beside(&path, ".taken")).unwrap();
    assert!(set_aside(&path, ".taken").is_err(), "there is one, and it could not be moved");
    assert!(path.exists());
}

#[test]
fn a_log_is_free_when_nobody_has_it_open_or_there_is_none() {
    let (folder, path) = place();
    assert!(RevocationLog::is_free(&path).unwrap(), "there is none");
    let log = RevocationLog::open(&path).unwrap();
    assert!(!RevocationLog::is_free(&path).unwrap());
    drop(log);
    assert!(RevocationLog::is_free(&path).unwrap());
    assert!(RevocationLog::is_free(&path.join("below-a-file")).is_err(), "what cannot be found out is not free");
    drop(folder);
}

/// Whoever owns the folder could have root's command write into any file.
#[test]
fn a_link_is_no_log_and_what_it_leads_to_stays_as_it_is() {
    let (folder, path) = place();
    let (theirs, new) = (folder.path().join("theirs"), folder.path().join("new"));
    fs::write(&theirs, "half a line").unwrap();
    for target in [&theirs, &new] {
        std::os::unix::fs::symlink(target, &path).unwrap();
        let words = RevocationLog::open(&path).unwrap_err().to_string();
        assert!(words.contains("revocations.log") && words.contains("it is a link"), "{words}");
        assert_eq!(mend(&path).is_err(), target == &theirs);
        fs::remove_file(&path).unwrap();
    }
    assert_eq!((fs::read_to_string(&theirs).unwrap(), new.exists()), ("half a line".to_owned(), false));
    // The folder itself may be one.
    let link = folder.path().join("folder");
    std::os::unix::fs::symlink(folder.path(), &link).unwrap();
    RevocationLog::open(&link.join(FILE_NAME)).unwrap().append(&[ended(1)]).unwrap();
    assert_eq!(RevocationLog::open(&path).unwrap().entries().unwrap().len(), 1);
}
