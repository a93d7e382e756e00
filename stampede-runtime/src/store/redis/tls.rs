//! Encryption.

use ::redis::{Client, ConnectionAddr};
use rustls::crypto::{CryptoProvider, ring};

/// Gives the process its ciphers where the program has not: without any, the first encrypted connection panics. Late, so
/// that a program which wants others has had its say.
pub(super) fn provide(client: &Client) {
    let is_encrypted = matches!(client.get_connection_info().addr(), ConnectionAddr::TcpTls { .. });
    if is_encrypted && CryptoProvider::get_default().is_none() {
        // Somebody else was quicker, which is as good.
        let _ = ring::default_provider().install_default();
    }
}
