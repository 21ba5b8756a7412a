//! Addresses of other web servers: which of them may be told what is secret, and whom they are known by.

use std::path::Path;
use std::sync::Arc;

use tokio_rustls::rustls::crypto::ring::default_provider;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// Whether what is secret may go there: TLS, or this very machine.
pub fn is_safe(address: &str) -> bool {
    let Ok(address) = address.parse::<ureq::http::Uri>() else { return false };
    let (host, authority) = (address.host().unwrap_or_default(), address.authority().map_or("", |authority| authority.as_str()));
    // A name before an @ looks like a host to people.
    if authority.contains('@') {
        return false;
    }
    match address.scheme_str() {
        Some("https") => !host.is_empty(),
        Some("http") => ["127.0.0.1", "[::1]", "localhost"].contains(&host),
        _ => false,
    }
}

/// The authorities of a PEM file, and no others.
pub fn trusting(path: &Path) -> Result<TlsConfig, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
    let text = std::fs::read(path).map_err(|error| unusable(&error))?;
    let mut authorities: Vec<Certificate<'static>> = Vec::new();
    for item in parse_pem(&text) {
        if let PemItem::Certificate(certificate) = item.map_err(|error| unusable(&error))? {
            authorities.push(certificate);
        }
    }
    if authorities.is_empty() {
        return Err(unusable(&"there is no certificate in it"));
    }
    Ok(TlsConfig::builder().root_certs(RootCerts::Specific(Arc::new(authorities))).unversioned_rustls_crypto_provider(Arc::new(default_provider())).build())
}

/// Whether an address lies behind one of those that the house allows: the same server, the same path or one below it.
pub fn is_behind(address: &str, allowed: &[String]) -> bool {
    let is_plain = is_safe(address) && !address.contains(['\\', '#', '?', '%']) && !address.contains("/..") && !address.contains("/./");
    is_plain && allowed.iter().any(|allowed| address == allowed.trim_end_matches('/') || address.starts_with(allowed.as_str()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_behind_an_allowed_one_only_on_the_same_server_and_path() {
        let allowed = ["https://ehr.example/hooks/".to_owned(), "http://127.0.0.1:9000/".to_owned()];
        for good in ["https://ehr.example/hooks", "https://ehr.example/hooks/", "https://ehr.example/hooks/7/fhir", "http://127.0.0.1:9000/x"] {
            assert!(is_behind(good, &allowed), "{good}");
        }
        let bad = [
            "https://ehr.example/hooks/../admin",
            "https://ehr.example/hooks2",
            "https://ehr.example.evil/hooks/",
            "https://ehr.example@evil/hooks/",
            "http://ehr.example/hooks/",
            "https://ehr.example/hooks/%2e%2e/admin",
            "https://ehr.example/hooks/a?to=evil",
            "http://127.0.0.1:90001/",
            "ftp://ehr.example/hooks/",
            "",
        ];
        for bad in bad {
            assert!(!is_behind(bad, &allowed), "{bad}");
        }
        assert!(!is_behind("https://ehr.example/hooks/", &[]));
    }
}
