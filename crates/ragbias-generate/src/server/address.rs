use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use percent_encoding::percent_decode_str;
use ureq::http::Uri;

use super::secrets::{Secrets, is_secret, without_secrets};
use crate::{Error, Result};

/// The address of a server: `http://localhost:8080/v1#llama3`, with the model's name after `#`.
///
/// It may contain a user and a password, `https://USER:PASSWORD@HOST/v1`, or a key in its query, `?key=…`. They are sent to the
/// server, but do not appear in [`label`](Self::label), `Display` or `Debug`.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    scheme: String,
    /// Host and port.
    authority: String,
    /// Without a trailing slash.
    path: String,
    query: Option<String>,
    name: Option<String>,
    /// User and password, as given.
    userinfo: Option<String>,
    label: String,
    named_by_user: bool,
}

/// Hosts that take a key in the header `api-key` instead of as a bearer token.
const AZURE: [&str; 4] =
    [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net"];

const FORM: &str =
    "http(s)://HOST[:PORT]/PATH[#MODEL], with @, /, ? and # of a password as %40, %2F, %3F and %23";

impl Address {
    /// Parses an address that the user named; the suffix `/chat/completions` is optional.
    ///
    /// # Errors
    /// [`Error::Setting`], without secrets.
    pub fn parse(given: &str) -> Result<Self> {
        let given = given.trim();
        let label = without_secrets(given);
        let wrong = |expected| {
            Err(Error::Setting { setting: "the LLM's address", expected, received: label.clone() })
        };
        let (url, name) = given.split_once('#').map_or((given, None), |(url, name)| (url, Some(name)));
        let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
        let Some((scheme, rest)) = url.split_once("://") else { return wrong(FORM) };
        let (authority, path) = rest.find('/').map_or((rest, ""), |at| rest.split_at(at));
        let (userinfo, authority) =
            authority.rsplit_once('@').map_or((None, authority), |(user, host)| (Some(user), host));
        let Ok(uri) = format!("{scheme}://{authority}{path}").parse::<Uri>() else { return wrong(FORM) };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else { return wrong(FORM) };
        // A host without its last label, or with an invalid port, is part of a password.
        let is_port = split(authority.as_str()).1.is_none_or(|port| port.parse::<u16>().is_ok());
        if !["http", "https"].contains(&scheme) || authority.host().is_empty() || !is_port {
            return wrong(FORM);
        }
        let query = query.filter(|query| !query.is_empty());
        if query.is_some_and(|query| query.contains(|c: char| c.is_whitespace() || c.is_control())) {
            return wrong("no white space in its query");
        }
        let path = uri.path().trim_end_matches('/');
        if path.ends_with("/responses")
            || (path.ends_with("/completions") && !path.ends_with("/chat/completions"))
        {
            return wrong("one of chat completions, which ends before /chat/completions");
        }
        Ok(Self {
            scheme: scheme.into(),
            authority: authority.as_str().into(),
            path: path.strip_suffix("/chat/completions").unwrap_or(path).trim_end_matches('/').into(),
            query: query.map(str::to_owned),
            name: name.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned),
            userinfo: userinfo.filter(|user| !user.is_empty()).map(str::to_owned),
            label,
            named_by_user: true,
        })
    }

    /// Marks the address as named by a file: the user's key is not sent there, unless its host is allowed.
    #[must_use]
    pub fn of_file(self) -> Self {
        Self { named_by_user: false, ..self }
    }

    /// The address as given, without secrets: its name in files and tables.
    pub fn label(&self) -> &str {
        &self.label
    }

    /// The model's name.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The URL of a path below the address, with the query.
    pub(super) fn at(&self, end: &str) -> String {
        self.with_query(end, |_| true)
    }

    /// The same without secret fields, because a server's identity does not depend on its key.
    pub(super) fn without_key(&self, end: &str) -> String {
        self.with_query(end, |field| !is_secret(field))
    }

    fn with_query(&self, end: &str, keeps: impl Fn(&str) -> bool) -> String {
        let fields = self.fields().filter(|(name, _)| keeps(name)).map(|(_, field)| field);
        let query = fields.collect::<Vec<_>>().join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        format!("{}://{}{}{end}{mark}{query}", self.scheme, self.authority, self.path)
    }

    /// The fields of the query, with their names.
    fn fields(&self) -> impl Iterator<Item = (&str, &str)> {
        let fields = self.query.iter().flat_map(|query| query.split('&'));
        fields.map(|field| (field.split('=').next().unwrap_or_default(), field))
    }

    /// The URL of a path at the root of the host.
    pub(super) fn at_root(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.authority)
    }

    /// The host, in lower case and without brackets.
    pub(super) fn host(&self) -> String {
        split(&self.authority).0
    }

    pub(super) fn port(&self) -> u16 {
        let port = split(&self.authority).1.and_then(|port| port.parse().ok());
        port.unwrap_or(if self.is_encrypted() { 443 } else { 80 })
    }

    /// Host and port, in the form of `--allow-host`.
    pub(super) fn place(&self) -> String {
        let host = self.host();
        if host.contains(':') {
            format!("[{host}]:{}", self.port())
        } else {
            format!("{host}:{}", self.port())
        }
    }

    pub(super) fn is_encrypted(&self) -> bool {
        self.scheme == "https"
    }

    pub(super) fn is_named_by_user(&self) -> bool {
        self.named_by_user
    }

    /// Whether it contains a key or password.
    pub(super) fn has_secrets(&self) -> bool {
        self.userinfo.is_some() || self.fields().any(|(name, _)| is_secret(name))
    }

    /// The header with its user and password.
    pub(super) fn header(&self) -> Option<(&'static str, String)> {
        let userinfo = self.userinfo.as_deref()?;
        Some(("Authorization", format!("Basic {}", basic(userinfo))))
    }

    /// All secrets in it.
    pub(super) fn secrets(&self) -> Secrets {
        let mut secrets = Secrets::default();
        let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        if let Some(userinfo) = &self.userinfo {
            let password = userinfo.split_once(':').map_or(userinfo.as_str(), |(_, password)| password);
            for secret in [password, &decoded(password), userinfo, &basic(userinfo)] {
                secrets.add(secret);
            }
        }
        for (_, field) in self.fields().filter(|(name, _)| is_secret(name)) {
            let value = field.split_once('=').map_or("", |(_, value)| value);
            secrets.add(value);
            secrets.add(&decoded(value));
        }
        secrets
    }

    /// Whether the host is Azure's, where a key is sent in a different header.
    pub(super) fn is_azure(&self) -> bool {
        let host = self.host();
        AZURE.iter().any(|end| host.ends_with(end))
    }

    /// Whether it has no path, which is wrong for most servers.
    pub(super) fn has_no_path(&self) -> bool {
        self.path.is_empty()
    }
}

/// The Basic authentication header of a user and a password, RFC 7617.
fn basic(userinfo: &str) -> String {
    let (user, password) = userinfo.split_once(':').unwrap_or((userinfo, ""));
    let decoded = |text| percent_decode_str(text).collect::<Vec<u8>>();
    BASE64_STANDARD.encode([decoded(user), b":".to_vec(), decoded(password)].concat())
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}{}/chat/completions", self.scheme, self.authority, self.path)?;
        for (number, field) in self.query.iter().flat_map(|query| query.split('&')).enumerate() {
            let (name, value) = field.split_once('=').unwrap_or((field, ""));
            let shown = if name.eq_ignore_ascii_case("api-version") { value } else { "…" };
            write!(f, "{}{name}={shown}", if number == 0 { '?' } else { '&' })?;
        }
        Ok(())
    }
}

/// The target of a redirect from `url`, if it is the same host: a key is sent nowhere else.
///
/// # Errors
/// The name of the other host, or what is wrong with the location.
pub(super) fn redirected(url: &str, location: &str) -> Result<String, String> {
    let unreadable = || format!("an unreadable location, `{}`", super::failure::plain(location));
    let from: Uri = url.parse().map_err(|_| unreadable())?;
    let (Some(scheme), Some(authority)) = (from.scheme_str(), from.authority()) else {
        return Err(unreadable());
    };
    let location = location.trim().split('#').next().unwrap_or_default();
    if location.is_empty() {
        return Err("no location".into());
    }
    let has_scheme =
        location.split_once("://").is_some_and(|(scheme, _)| scheme.chars().all(char::is_alphanumeric));
    let target = if has_scheme {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to: Uri = target.parse().map_err(|_| unreadable())?;
    let (Some(to_scheme), Some(to_authority)) = (to.scheme_str(), to.authority()) else {
        return Err(unreadable());
    };
    let port = |scheme: &str, port: Option<u16>| port.unwrap_or(if scheme == "https" { 443 } else { 80 });
    let (port, to_port) = (port(scheme, authority.port_u16()), port(to_scheme, to_authority.port_u16()));
    let upgraded = (scheme, port, to_scheme, to_port) == ("http", 80, "https", 443);
    let same = split(authority.as_str()).0 == split(to_authority.as_str()).0
        && !to_authority.as_str().contains('@')
        && ((scheme, port) == (to_scheme, to_port) || upgraded);
    if same { Ok(target) } else { Err(format!("{to_scheme}://{}:{to_port}", to_authority.host())) }
}

/// A host, in lower case and without brackets, and its port.
pub(super) fn split(authority: &str) -> (String, Option<&str>) {
    let (host, port) = match authority.rsplit_once(':') {
        // Colons of an IPv6 address without brackets do not separate a port.
        Some((host, _)) if host.contains(':') && !host.ends_with(']') => (authority, None),
        Some((host, port)) if !port.ends_with(']') => (host, Some(port)),
        _ => (authority, None),
    };
    (host.trim_start_matches('[').trim_end_matches(']').to_ascii_lowercase(), port)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chat(given: &str) -> String {
        Address::parse(given).unwrap().at("/chat/completions")
    }

    #[test]
    fn an_address_ends_before_or_behind_its_last_part_and_keeps_its_query() {
        assert_eq!(chat("http://h:1/v1#m"), "http://h:1/v1/chat/completions");
        assert_eq!(chat("http://h:1/v1/"), "http://h:1/v1/chat/completions");
        assert_eq!(chat("http://h:1/v1/chat/completions/#m"), "http://h:1/v1/chat/completions");
        assert_eq!(chat("http://h:1/v1?api-version=2#m"), "http://h:1/v1/chat/completions?api-version=2");
        assert_eq!(
            chat("http://h/v1/chat/completions?api-version=2"),
            "http://h/v1/chat/completions?api-version=2"
        );
        assert_eq!(chat("https://[::1]:8080"), "https://[::1]:8080/chat/completions");
        assert_eq!(chat("HTTP://h/v1"), "http://h/v1/chat/completions");
        let address = Address::parse("http://h/v1#meta-llama/Llama-3.2-1B").unwrap();
        assert_eq!(address.name(), Some("meta-llama/Llama-3.2-1B"));
        assert_eq!(Address::parse("http://h/v1#").unwrap().name(), None);
    }

    #[test]
    fn a_key_in_an_address_is_sent_and_not_shown() {
        let given = "https://me:pa%24%24-word@h:1/v1?api-version=2&api-key=k-secret&tenant=t#m";
        let address = Address::parse(given).unwrap();
        assert_eq!(address.label(), "https://h:1/v1?api-version=2&tenant=t#m");
        assert_eq!(address.at("/models"), "https://h:1/v1/models?api-version=2&api-key=k-secret&tenant=t");
        assert_eq!(address.without_key("/models"), "https://h:1/v1/models?api-version=2&tenant=t");
        // `printf 'me:pa$$-word' | base64`
        assert_eq!(address.header(), Some(("Authorization", "Basic bWU6cGEkJC13b3Jk".into())));
        let shown = format!("{address} {address:?}");
        assert!(
            !shown.contains("secret") && !shown.contains("word") && shown.contains("api-version=2"),
            "{shown}"
        );
        let echoed = "pa$$-word, pa%24%24-word, bWU6cGEkJC13b3Jk, k-secret";
        assert_eq!(address.secrets().remove(echoed), "(key), (key), (key), (key)");
        assert!(Address::parse("http://h/v1?key=k-secret").unwrap().has_secrets());
        assert!(!Address::parse("http://h/v1?api-version=2").unwrap().has_secrets());
    }

    #[test]
    fn an_address_that_cannot_be_read_shows_nothing_of_its_password() {
        for given in [
            "http://me:sk/secret@h/v1",
            "http://me:sk?secret@h/v1",
            "http://me:sk#secret@h/v1",
            "ftp://me:sk-secret@h/v1",
            "http://me:sk-secret@",
            "http://me:sk-secret@h/v1/completions",
            "me:sk-secret@h/v1",
        ] {
            let error = Address::parse(given).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("secret"), "{error:?}");
        }
    }

    #[test]
    fn other_endpoints_and_what_is_no_address_are_refused() {
        for given in [
            "http://h/v1/completions",
            "http://h/v1/responses#m",
            "http://",
            "http:///v1",
            "ftp://h/v1",
            "http://h /v1",
        ] {
            assert!(Address::parse(given).is_err(), "{given}");
        }
    }

    #[test]
    fn hosts_of_azure_are_known_by_their_end() {
        assert!(
            Address::parse("https://x.openai.azure.com/openai/deployments/d?api-version=1")
                .unwrap()
                .is_azure()
        );
        assert!(!Address::parse("https://openai.azure.com.example/v1").unwrap().is_azure());
    }

    #[test]
    fn redirects_are_followed_on_the_same_host_alone() {
        let from = "http://h:8080/v1/chat/completions";
        assert_eq!(redirected(from, "/v2/chat").unwrap(), "http://h:8080/v2/chat");
        assert_eq!(redirected(from, "completions/").unwrap(), "http://h:8080/v1/chat/completions/");
        assert_eq!(redirected(from, "http://H:8080/x").unwrap(), "http://H:8080/x");
        assert_eq!(redirected("http://h/v1", "https://h/v1").unwrap(), "https://h/v1");
        for other in [
            "http://h:9090/x",
            "https://h:8080/x",
            "//other/x",
            "http://h.evil/x",
            "http://a@h:8080/x",
            "http://h:8080@evil/x",
        ] {
            assert!(redirected(from, other).is_err(), "{other}");
        }
        assert_eq!(redirected("https://h/v1", "http://h/v1").unwrap_err(), "http://h:80");
        assert!(redirected(from, "").is_err() && redirected(from, "http://").is_err());
    }
}
