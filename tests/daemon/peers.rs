//! Independent peers.
