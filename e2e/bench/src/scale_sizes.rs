//! The sizes of the part `scale`.

use clap::Args;

/// The sizes of the part `scale`; 0 leaves a measurement out.
#[derive(Clone, Debug, Args)]
pub struct ScaleSizes {
    /// Part scale: how many ConfigMapSyncs copy to all namespaces.
    #[arg(long, default_value_t = SYNCS, value_name = "N")]
    syncs: u32,
    /// Part scale: the number of namespaces that each of them copies to.
    #[arg(long, default_value_t = NAMESPACES, value_name = "N")]
    namespaces: u32,
    /// Part scale: the numbers of ConfigMapSyncs with one copy each, one after the other. Default: a
    /// twentieth, a tenth and a fifth of the copies of --syncs in --namespaces.
    #[arg(long, value_delimiter = ',', value_name = "N")]
    pairs: Vec<u32>,
    /// Part scale: the number of namespaces in the end, to which a twentieth of the ConfigMapSyncs copies.
    /// Default: 5 times --namespaces.
    #[arg(long, value_name = "N")]
    more_namespaces: Option<u32>,
}

/// A number of ConfigMapSyncs with a selector, and of namespaces that each of them copies to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FanOut {
    /// The ConfigMapSyncs.
    pub syncs: u32,
    /// The namespaces.
    pub namespaces: u32,
}

const SYNCS: u32 = 100;
const NAMESPACES: u32 = 1_000;
/// The default numbers of pairs, as fractions (1/n) of the copies of the ConfigMapSyncs with a selector.
const PAIRS: [u32; 3] = [20, 10, 5];

// === impl ScaleSizes ===

impl ScaleSizes {
    /// Whether the sizes are those that the bounds apply to.
    #[must_use]
    pub fn are_default(&self) -> bool {
        let Self { syncs, namespaces, pairs, more_namespaces } = self;
        (*syncs, *namespaces) == (SYNCS, NAMESPACES)
            && pairs.is_empty()
            && more_namespaces.is_none()
    }

    /// The namespaces in which the copies of pairs are.
    #[must_use]
    pub fn namespaces(&self) -> u32 {
        self.namespaces.max(1)
    }

    /// Many ConfigMapSyncs.
    #[must_use]
    pub fn many_syncs(&self) -> Option<FanOut> {
        FanOut { syncs: self.syncs, namespaces: self.namespaces }.unless_empty()
    }

    /// Many namespaces, not fewer than all others need.
    #[must_use]
    pub fn many_namespaces(&self) -> Option<FanOut> {
        let namespaces = match self.more_namespaces {
            Some(0) => 0,
            more => more.unwrap_or(self.namespaces * 5).max(self.namespaces),
        };
        FanOut { syncs: (self.syncs / 20).max(1), namespaces }.unless_empty()
    }

    /// The numbers of pairs to measure, in ascending order.
    #[must_use]
    pub fn pairs(&self) -> Vec<u32> {
        let mut pairs = match self.pairs.as_slice() {
            [] => PAIRS.map(|part| self.syncs * self.namespaces / part).to_vec(),
            pairs => pairs.to_vec(),
        };
        pairs.sort_unstable();
        pairs.retain(|pairs| *pairs > 0);
        pairs
    }
}

// === impl FanOut ===

impl FanOut {
    /// The number of copies.
    #[must_use]
    pub const fn copies(self) -> u32 {
        self.syncs * self.namespaces
    }

    fn unless_empty(self) -> Option<Self> {
        (self.copies() > 0).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        sizes: ScaleSizes,
    }

    fn sizes(words: &[&str]) -> ScaleSizes {
        Command::parse_from([&["bench"], words].concat()).sizes
    }

    fn copies(sizes: &ScaleSizes) -> Vec<u32> {
        let fan_outs = [sizes.many_syncs(), sizes.many_namespaces()];
        fan_outs.into_iter().flatten().map(FanOut::copies).collect()
    }

    #[test]
    fn small_sizes_make_all_sizes_small() {
        let default = sizes(&[]);
        assert!(default.are_default());
        assert_eq!(copies(&default), [100_000, 25_000]);
        assert_eq!(default.pairs(), [5_000, 10_000, 20_000]);
        let small = sizes(&["--syncs", "5", "--namespaces", "20"]);
        assert!(!small.are_default());
        assert_eq!(copies(&small), [100, 100]);
        assert_eq!(small.pairs(), [5, 10, 20]);
    }

    #[test]
    fn zero_leaves_a_measurement_out() {
        let pairs = sizes(&["--syncs", "0", "--pairs", "20,10", "--more-namespaces", "0"]);
        assert!(copies(&pairs).is_empty());
        assert_eq!(pairs.pairs(), [10, 20]);
        assert!(sizes(&["--pairs", "0"]).pairs().is_empty());
    }
}
