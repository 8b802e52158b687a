//! The source, from the cache or by a read.

use crate::api::ConfigMapSyncSpec;
use crate::api::SourceVersion;
use crate::api::namespaced_name::NamespacedName;
use crate::cache::Cache;
use crate::cache::CachedConfigMap;
use crate::cache::Entry;
use crate::cache::reader::LiveConfigMap;
use crate::controller::observe::view::Reads;
use crate::controller::observe::view::View;
use crate::decide::ContentHash;
use crate::decide::desired::source_name;
use crate::decide::excerpt::Excerpt;
use crate::decide::excerpt::excerpt;
use crate::decide::observed::ExistingSource;
use crate::decide::observed::ObservedSource;
use crate::decide::observed::ObservedSync;
use crate::decide::observed::SourceContent;
use crate::state::excerpts::KeptExcerpt;
use crate::state::retries::FailedAttempt;

/// The source from the cache. If the cache does not follow it yet, it is unknown, so that it is
/// read.
pub fn known_source(
    view: View<'_>,
    sync: &ObservedSync,
    spec: &ConfigMapSyncSpec,
) -> ObservedSource {
    let (cache, name) = (view.cache, source_name(spec));
    match cache.config_map(&name) {
        CachedConfigMap::Absent => ObservedSource::Missing { confirmed: false },
        CachedConfigMap::Unknown => ObservedSource::Unknown,
        CachedConfigMap::Present(entry) => {
            let known = known_excerpt(view, sync, spec, &entry);
            let seen = known.map_or(SourceContent::Unread, SourceContent::Known);
            let version = entry.version.clone().of_source();
            ObservedSource::Existing(source(cache, &name, &entry, version, seen))
        }
    }
}

/// Reads the source, unless the read must wait, or the ServiceAccount of the sync may not. If that was
/// not known yet, returns what is known of the source. With `verify`, the result of a read for another
/// sync is not used.
pub async fn read_source(
    view: View<'_>,
    sync: &ObservedSync,
    spec: &ConfigMapSyncSpec,
    verify: bool,
    reads: &mut Reads,
) -> ObservedSource {
    let name = source_name(spec);
    if let Some(failure) = view.held_back.source(&name, sync.generation) {
        return ObservedSource::Unreadable(failure);
    }
    if !reads.consents.cover_source() {
        let View { cache, reviewer, .. } = view;
        if let Err(failed) = reads.consents.ask_source(reviewer, cache, sync, &name).await {
            let failure = failed.failure.failure.clone();
            reads.source = Some((name, Err(failed)));
            return ObservedSource::Unreadable(failure);
        }
        let known = known_source(view, sync, spec);
        return if verify { known.distrusted() } else { known };
    }
    let read =
        if verify { view.reader.read(&name).await } else { view.reader.read_shared(&name).await };
    match read {
        Ok(Some(LiveConfigMap { version, content, digest })) => {
            reads.source = Some((name.clone(), Ok(())));
            let CachedConfigMap::Present(entry) = view.cache.config_map(&name) else {
                return ObservedSource::Missing { confirmed: false };
            };
            // The version that was read: the cache may know a later one by now.
            let version = version.of_source();
            let (known, part) = excerpt(&content, &digest, spec);
            if spec.keys.is_some() {
                let (source, excerpt) = (version.clone(), known.clone());
                let generation = sync.generation;
                reads.excerpt = Some(KeptExcerpt { source, generation, excerpt });
            }
            let seen = SourceContent::Read(known, part);
            ObservedSource::Existing(source(view.cache, &name, &entry, version, seen))
        }
        Ok(None) => match view.cache.config_map(&name) {
            // It was created while the response was on its way.
            CachedConfigMap::Present(_) => known_source(view, sync, spec),
            CachedConfigMap::Absent | CachedConfigMap::Unknown => {
                ObservedSource::Missing { confirmed: true }
            }
        },
        Err(error) => {
            let failure = error.failure.clone();
            reads.source = Some((name, Err(FailedAttempt::now(error, None))));
            ObservedSource::Unreadable(failure)
        }
    }
}

fn source(
    cache: &Cache,
    name: &NamespacedName,
    entry: &Entry,
    version: SourceVersion,
    content: SourceContent,
) -> ExistingSource {
    let owner = entry.sync_uid().and_then(|uid| cache.sync_with_uid(uid));
    let is_copy = entry.is_copy(name, owner.as_ref());
    ExistingSource { version, no_copy: entry.no_copy, is_copy, content }
}

/// The excerpt of this version of the source, from an earlier read by this process or by the one
/// that wrote the status.
fn known_excerpt(
    view: View<'_>,
    sync: &ObservedSync,
    spec: &ConfigMapSyncSpec,
    entry: &Entry,
) -> Option<Excerpt> {
    if let Some(known) = entry.read.as_ref().and_then(|read| Excerpt::of_all_keys(read, spec)) {
        return Some(known);
    }
    let version = entry.version.clone().of_source();
    if let Some(kept) = view.excerpt.and_then(|kept| kept.of(&version, sync.generation)) {
        return Some(kept.clone());
    }
    let status = &sync.status;
    if status.source.as_ref() != Some(&version) || status.observed_generation != sync.generation {
        return None;
    }
    let keys = usize::try_from(status.keys?).ok()?;
    let hash = ContentHash::from_text(status.content_hash.as_ref()?);
    Excerpt::recorded(hash, keys, spec)
}
