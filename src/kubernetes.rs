//! Access to an API server: configuration, clients, requests, calls, and the meaning of errors.
//!
//! This room knows neither who leads nor what is cached: callers decide both.

pub mod access_review;
pub mod bodies;
pub mod calls;
pub mod cancellation;
pub mod clients;
pub mod config;
pub mod discovery;
pub mod error;
pub mod events;
mod items;
pub mod layers;
pub mod lists;
pub mod memory;
pub mod pages;
pub mod permits;
pub mod reads;
pub mod requests;
pub mod responses;
pub mod sync_patch;
pub mod watches;
