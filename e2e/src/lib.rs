//! Real clusters for ConfigMapSync.
