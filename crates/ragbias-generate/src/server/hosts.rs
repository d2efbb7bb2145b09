//! Which hosts a key may be sent to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use super::address::{Address, split};
use crate::{Error, Result};

/// A host to which the user allows keys to be sent: `HOST`, `HOST:PORT`, or `http://HOST`, which also allows it unencrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    /// Whether unencrypted connections were explicitly allowed.
    plain: bool,
    /// In lower case, without brackets.
    host: String,
    port: Option<u16>,
}

impl FromStr for AllowedHost {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let wrong = || Error::Setting {
            setting: "allow-host",
            expected: "HOST, HOST:PORT or http://HOST[:PORT]",
            received: super::secrets::without_secrets(text),
        };
        let text = text.trim();
        let (plain, place) = match text.split_once("://") {
            Some((scheme, place)) if scheme.eq_ignore_ascii_case("http") => (true, place),
            Some((scheme, place)) if scheme.eq_ignore_ascii_case("https") => (false, place),
            Some(_) => return Err(wrong()),
            None => (false, text),
        };
        // A URL is accepted as its host.
        let place = if text.contains("://") { place.split('/').next().unwrap_or_default() } else { place };
        let (host, port) = split(place);
        let port = port.map(str::parse).transpose().map_err(|_| wrong())?;
        let known = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
        if host.is_empty() || !host.chars().all(known) {
            return Err(wrong());
        }
        Ok(Self { plain, host, port })
    }
}

/// Whether a host is this machine.
pub(super) fn is_loopback(host: &str) -> bool {
    host == "localhost"
        || host.ends_with(".localhost")
        || host.parse::<IpAddr>().is_ok_and(|address| address.to_canonical().is_loopback())
}

/// The secret to be sent.
pub(super) enum Sent {
    /// The key of this variable.
    Key(&'static str),
    /// The one in the address itself.
    OfAddress,
}

impl fmt::Display for Sent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(variable) => write!(f, "the key in {variable}"),
            Self::OfAddress => f.write_str("the password or key in the address"),
        }
    }
}

/// Refuses to send a key to a host that the user did not approve.
///
/// The user's key is sent to hosts that the user named or allowed. Over plain http, secrets are sent only to this machine,
/// or where that was explicitly allowed.
pub(super) fn check(sent: &Sent, address: &Address, allowed: &[AllowedHost]) -> Result<()> {
    let (host, port) = (address.host(), address.port());
    let fits = |allowed: &&AllowedHost| allowed.host == host && allowed.port.is_none_or(|own| own == port);
    let is_allowed = allowed.iter().any(|allowed| fits(&allowed));
    let is_plain = !address.is_encrypted() && !is_loopback(&host);
    let is_strange = matches!(sent, Sent::Key(_)) && !address.is_named_by_user() && !is_allowed;
    let place = address.place();
    let (sent, unset) = match sent {
        Sent::Key(variable) => (sent.to_string(), format!("; without a key, unset {variable}")),
        Sent::OfAddress => (sent.to_string(), String::new()),
    };
    if is_plain && !allowed.iter().any(|allowed| allowed.plain && fits(&allowed)) {
        let hint = format!(
            "give an address that begins with https://; `allow-host http://{place}` sends it unencrypted{unset}"
        );
        return Err(Error::KeyHost {
            sent,
            place,
            how: "over http, which everybody on the way can read",
            hint,
        });
    }
    if is_strange {
        let hint = format!("`allow-host {place}` sends it there{unset}");
        return Err(Error::KeyHost {
            sent,
            place,
            how: "which a file names, and not the command line",
            hint,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(address: &str, from_file: bool, sent: &Sent, allowed: &[&str]) -> Option<String> {
        let address = Address::parse(address).unwrap();
        let address = if from_file { address.of_file() } else { address };
        let allowed: Vec<AllowedHost> = allowed.iter().map(|host| host.parse().unwrap()).collect();
        check(sent, &address, &allowed).err().map(|error| error.to_string())
    }

    #[test]
    fn a_key_goes_to_hosts_that_were_named_or_allowed() {
        let key = Sent::Key("RAGBIAS_API_KEY");
        for named in ["https://h/v1", "http://localhost:80/v1", "http://127.0.0.2/v1", "http://[::1]:1/v1"] {
            assert_eq!(refused(named, false, &key, &[]), None);
            let error = refused(named, true, &key, &[]).unwrap();
            assert!(error.contains("RAGBIAS_API_KEY") && error.contains("`allow-host "), "{error}");
        }
        let error = refused("https://H:8443/v1", true, &key, &["other", "h:443", "h.evil"]).unwrap();
        assert!(error.contains("would go to h:8443") && error.contains("`allow-host h:8443`"), "{error}");
        for allowed in ["h", "H:8443", "https://h:8443/v1"] {
            assert_eq!(refused("https://h:8443/v1", true, &key, &[allowed]), None, "{allowed}");
        }
        assert_eq!(refused("http://[::1]:1/v1", true, &key, &["[::1]:1"]), None);
        assert_eq!(refused("http://[::1]:1/v1", true, &key, &["::1"]), None);
        // A file may send its own secrets.
        assert_eq!(refused("https://a:b@h/v1", true, &Sent::OfAddress, &[]), None);
    }

    #[test]
    fn nothing_secret_goes_over_plain_http_but_to_this_machine() {
        for sent in [Sent::Key("OPENAI_API_KEY"), Sent::OfAddress] {
            for (from_file, allowed) in [(false, &[][..]), (false, &["h"]), (true, &["h", "h:80"])] {
                let error = refused("http://h/v1", from_file, &sent, allowed).unwrap();
                assert!(error.contains("over http") && error.contains("`allow-host http://h:80`"), "{error}");
            }
            assert_eq!(refused("http://h/v1", true, &sent, &["http://h"]), None);
            assert!(refused("http://localhost.evil/v1", false, &sent, &[]).is_some());
            assert!(refused("http://127.0.0.1.evil/v1", false, &sent, &[]).is_some());
        }
    }

    #[test]
    fn what_is_no_host_is_refused() {
        for text in ["", "*", "ftp://h", "h:port", "a b", "u:p@h", "http://"] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
    }
}
