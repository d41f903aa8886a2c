//! Seeds of rollouts that follow from one seed of the run.

/// The seed of a rollout: the same for the same run seed, instance and sample, whatever the order of rollouts. It has
/// 31 bits, which every server takes.
pub fn rollout_seed(run_seed: u64, instance_id: &str, sample: u32) -> i64 {
    const OFFSET: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0100_0000_01b3;
    let bytes = instance_id.bytes().chain(sample.to_le_bytes());
    // FNV-1a, which is fixed for ever; the generator mixes what it leaves alike.
    let hash = bytes.fold(OFFSET ^ run_seed, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME));
    i64::from(fastrand::Rng::with_seed(hash).u32(..) >> 1)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn rollouts_have_seeds_of_their_own() {
        let instances = ["a__b-1", "a__b-2", "c__d-1"];
        let all = (0..3).flat_map(|seed| instances.map(|id| (seed, id)));
        let seeds: BTreeSet<i64> =
            all.flat_map(|(seed, id)| (0..4).map(move |sample| rollout_seed(seed, id, sample))).collect();
        assert_eq!(seeds.len(), 36);
        assert!(seeds.iter().all(|seed| (0..=i64::from(i32::MAX)).contains(seed)));
        assert_eq!(rollout_seed(1, "a__b-1", 0), 344_723_049, "recorded runs stay reproducible");
    }
}
