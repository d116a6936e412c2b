use super::*;

const NOW: Duration = Duration::from_secs(5000);

fn after(seconds: u64) -> Duration {
    NOW + Duration::from_secs(seconds)
}

fn from(address: &str) -> Caller<'static> {
    Caller { account: Some("maya@acme.example"), address: Some(address.parse().unwrap()), device: None }
}

fn wrong(throttle: &Throttle, caller: Caller<'_>, now: Duration) -> Result<(), i64> {
    throttle.take(caller, now).map(drop)
}

/// As many wrong tries as are let through at this moment.
fn wrong_tries(throttle: &Throttle, caller: Caller<'_>) -> usize {
    (0..10_000).take_while(|_| wrong(throttle, caller, NOW).is_ok()).count()
}

#[test]
fn ten_wrong_tries_then_one_every_thirty_seconds() {
    let throttle = Throttle::default();
    let maya = from("192.0.2.1");
    assert_eq!(wrong_tries(&throttle, maya), 10);
    assert_eq!(wrong(&throttle, maya, NOW), Err(30));
    assert_eq!(wrong(&throttle, maya, after(29)), Err(1));
    assert_eq!(wrong(&throttle, maya, after(30)), Ok(()));
    assert_eq!(wrong(&throttle, Caller { account: Some("jonas"), ..maya }, NOW), Ok(()));
}

#[test]
fn right_tries_cost_nothing_and_leave_nothing() {
    let throttle = Throttle::default();
    for _ in 0..2000 {
        let taken = throttle.take(from("192.0.2.1"), NOW).unwrap();
        throttle.give_back(&taken, NOW);
    }
    assert_eq!([&throttle.places, &throttle.accounts, &throttle.addresses].map(Buckets::len), [0, 0, 0]);
}

#[test]
fn a_stranger_at_one_address_leaves_the_owner_at_another_alone() {
    let throttle = Throttle::default();
    for second in 0..100_000 {
        let _ = wrong(&throttle, from("192.0.2.66"), after(second));
        if second % 1000 == 0 {
            let owner = throttle.take(from("192.0.2.1"), after(second)).expect("the owner is kept out");
            throttle.give_back(&owner, after(second));
        }
    }
}

#[test]
fn strangers_everywhere_run_out_of_tries_and_keep_no_known_device_out() {
    let throttle = Throttle::default();
    let tries: usize = (0..100).map(|n| wrong_tries(&throttle, from(&format!("192.0.2.{n}")))).sum();
    assert_eq!(tries, 50);
    assert_eq!(wrong(&throttle, from("198.51.100.1"), NOW), Err(10));
    let device = DeviceId::generate().unwrap();
    let known = Caller { device: Some(&device), ..from("198.51.100.1") };
    assert!(throttle.take(known, NOW).is_ok());
}

#[test]
fn a_known_device_has_few_tries_too_and_takes_nobody_elses() {
    let throttle = Throttle::default();
    let (stolen, other) = (DeviceId::generate().unwrap(), DeviceId::generate().unwrap());
    let thief = Caller { device: Some(&stolen), ..from("192.0.2.66") };
    assert_eq!(wrong_tries(&throttle, thief), 10 + 10, "its own, and then those of an unknown device");
    let owner = Caller { device: Some(&other), ..from("192.0.2.66") };
    assert_eq!(wrong_tries(&throttle, owner), 10);
}

#[test]
fn a_device_is_known_to_the_account_that_it_signed_in_to() {
    let throttle = Throttle::default();
    let device = DeviceId::generate().unwrap();
    let at = |account| Caller { account: Some(account), device: Some(&device), ..from("192.0.2.1") };
    assert_eq!(wrong_tries(&throttle, at("maya")), 20);
    assert_eq!(wrong_tries(&throttle, at("jonas")), 20);
}

#[test]
fn an_address_runs_out_over_many_accounts() {
    let throttle = Throttle::default();
    let names: Vec<String> = (0..1000).map(|n| n.to_string()).collect();
    for name in &names {
        assert_eq!(wrong(&throttle, Caller { account: Some(name), ..from("192.0.2.1") }, NOW), Ok(()));
    }
    assert_eq!(wrong(&throttle, from("192.0.2.1"), NOW), Err(2));
    assert_eq!(wrong(&throttle, from("192.0.2.2"), NOW), Ok(()));
}

#[test]
fn of_ipv6_a_whole_network_is_one_address() {
    let throttle = Throttle::default();
    let tries: usize = (1..=20).map(|n| wrong_tries(&throttle, from(&format!("2001:db8:0:1::{n:x}")))).sum();
    assert_eq!(tries, 10);
    assert_eq!(wrong(&throttle, from("2001:db8:0:2::1"), NOW), Ok(()));
}

#[test]
fn a_try_that_is_refused_costs_no_other_bucket() {
    let throttle = Throttle::default();
    for _ in 0..2000 {
        let _ = wrong(&throttle, from("192.0.2.1"), NOW);
    }
    // Ten of these 2,000 were tries, so the address and the account have the rest of theirs.
    let jonas = Caller { account: Some("jonas"), ..from("192.0.2.1") };
    assert_eq!(wrong_tries(&throttle, jonas), 10);
    let elsewhere: usize = (0..100).map(|n| wrong_tries(&throttle, from(&format!("198.51.100.{n}")))).sum();
    assert_eq!(elsewhere, 40);
    let others: usize =
        (0..300).map(|n| wrong_tries(&throttle, Caller { account: Some(&n.to_string()), ..from("192.0.2.1") })).sum();
    assert_eq!(others, 980);
}

#[test]
fn a_purge_gives_no_tries_back() {
    let throttle = Throttle::default();
    assert_eq!(wrong_tries(&throttle, from("192.0.2.1")), 10);
    throttle.purge(NOW);
    assert_eq!(wrong(&throttle, from("192.0.2.1"), NOW), Err(30));
    throttle.purge(after(3600));
    assert_eq!([&throttle.places, &throttle.accounts, &throttle.addresses].map(Buckets::len), [0, 0, 0]);
}

#[test]
fn what_cannot_be_an_account_costs_its_address() {
    let throttle = Throttle::default();
    assert_eq!(wrong_tries(&throttle, Caller { account: None, ..from("192.0.2.1") }), 1000);
}

#[test]
fn a_person_makes_a_thousand_changes_and_then_one_a_second() {
    let throttle = ChangeThrottle::default();
    let maya = UserId::generate(chrono::DateTime::UNIX_EPOCH);
    assert_eq!((0..2000).filter(|_| throttle.take(&maya, NOW).is_ok()).count(), 1000);
    assert_eq!(throttle.take(&maya, NOW), Err(1));
    assert_eq!(throttle.take(&maya, after(1)), Ok(()));
}
