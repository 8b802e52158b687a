//! Which orphans are decided on at a time: each takes some KiB meanwhile.

/// The orphans in a batch, unless they are of one sync.
const BATCH: usize = 4096;

/// Batches of syncs. `syncs` are the numbers of their copies and their uids.
pub fn batches(syncs: impl Iterator<Item = (usize, String)>) -> Vec<Vec<String>> {
    let (mut batches, mut copies) = (Vec::<Vec<_>>::new(), 0);
    for (more, sync_uid) in syncs {
        copies += more;
        if let Some(batch) = batches.last_mut().filter(|_| copies <= BATCH) {
            batch.push(sync_uid);
        } else {
            batches.push(vec![sync_uid]);
            copies = more;
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes(copies: &[usize]) -> Vec<usize> {
        let syncs = copies.iter().enumerate().map(|(uid, copies)| (*copies, uid.to_string()));
        let batches = batches(syncs);
        let uids: Vec<usize> = batches.iter().flatten().map(|uid| uid.parse().unwrap()).collect();
        assert!(uids.into_iter().eq(0..copies.len()), "each sync is in one batch: {batches:?}");
        batches.iter().map(Vec::len).collect()
    }

    #[test]
    fn a_batch_has_as_many_syncs_as_fit() {
        assert!(sizes(&[]).is_empty());
        assert_eq!(sizes(&[1, 1, 1]), [3]);
        assert_eq!(sizes(&[BATCH, 1]), [1, 1]);
        assert_eq!(sizes(&[1, BATCH - 1, 1, 1]), [2, 2]);
        assert_eq!(sizes(&[1, 3 * BATCH, 1]), [1, 1, 1], "a sync is not divided");
    }
}
