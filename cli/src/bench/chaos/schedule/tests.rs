//! The schedule over many seeds.

use proptest::prelude::*;

use super::*;

fn shape(brokers: usize, seconds: u64) -> Shape {
    let lease = Duration::from_secs(if brokers == 3 { 5 } else { 2 });
    Shape { workers: 3, ingresses: 2, brokers, lease, length_ms: seconds * 1_000 }
}

fn any_kind() -> impl Strategy<Value = FaultKind> {
    proptest::sample::select(vec![
        FaultKind::Kill9,
        FaultKind::Freeze,
        FaultKind::Sigterm,
        FaultKind::Nats,
        FaultKind::Database,
        FaultKind::Cut,
        FaultKind::Mixed,
    ])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn a_seed_is_a_schedule(seed: u64, kind in any_kind(), three: bool, seconds in 20_u64..200) {
        let shape = shape(if three { 3 } else { 1 }, seconds);
        let faults = schedule(seed, kind, &shape);
        prop_assert_eq!(&faults, &schedule(seed, kind, &shape), "the same again");
        prop_assert!(!faults.is_empty());
        prop_assert!(faults.is_sorted_by_key(|fault| fault.at_ms));
        for (nth, fault) in faults.iter().enumerate() {
            prop_assert!(fault.at_ms >= LEAD_MS && fault.ends_ms() < shape.length_ms);
            prop_assert!(kind == FaultKind::Mixed || fault.deed.kind() == kind);
            for later in &faults[nth + 1..] {
                prop_assert!(later.at_ms > fault.ends_ms() || !touches(&fault.deed, &later.deed));
            }
            match fault.deed {
                Deed::Kill(role) | Deed::Freeze(role) | Deed::Stop(role) | Deed::Link { link: Link::Broker(role), .. } => {
                    let known = match role { Role::Worker(n) => n < 3, Role::Ingress(n) => n < 2 };
                    prop_assert!(known);
                }
                Deed::Broker { server } => prop_assert!(server.is_none_or(|n| n < shape.brokers)),
                Deed::Database | Deed::Link { .. } => {}
            }
        }
    }
}

#[test]
fn mixed_has_every_kind_and_lengths_on_both_sides_of_the_lease() {
    let shape = shape(1, 120);
    let faults: Vec<Fault> = (0..10).flat_map(|seed| schedule(seed, FaultKind::Mixed, &shape)).collect();
    for kind in FaultKind::EACH {
        assert!(faults.iter().any(|fault| fault.deed.kind() == kind), "{kind:?}");
    }
    let freezes: Vec<u64> =
        faults.iter().filter(|fault| fault.deed.kind() == FaultKind::Freeze).map(|fault| fault.lasts_ms).collect();
    assert!(freezes.iter().any(|ms| *ms < 2_000) && freezes.iter().any(|ms| *ms > 2_000), "{freezes:?}");
}

#[test]
fn a_seed_of_today_is_the_same_tomorrow() {
    let faults = schedule(1, FaultKind::Mixed, &shape(1, 20));
    let told: Vec<String> = faults.iter().take(3).map(|f| format!("{} {} {:?}", f.at_ms, f.lasts_ms, f.deed)).collect();
    insta::assert_debug_snapshot!(told);
}
