use std::fmt;

use ureq::http::Uri;

use crate::{Error, Result};

/// Where a server is: `http://localhost:8080/v1#llama3`, with the model's name after `#`.
///
/// Shown, it has no values of its query but the version of an API, and no name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Address {
    scheme: String,
    authority: String,
    /// Without a slash at its end.
    path: String,
    query: Option<String>,
    name: Option<String>,
}

/// Hosts that take a key as `api-key` and not as a bearer's token.
const AZURE: [&str; 4] =
    [".openai.azure.com", ".cognitiveservices.azure.com", ".services.ai.azure.com", ".azure-api.net"];

/// Fields of a query that hold a key.
const SECRETS: [&str; 9] =
    ["key", "apikey", "api-key", "api_key", "token", "access_token", "subscription-key", "sig", "password"];

impl Address {
    /// Reads an address; the end `/chat/completions` may be there or not.
    pub(super) fn parse(given: &str) -> Result<Self> {
        let wrong = |expected, received: &str| {
            Err(Error::Setting { setting: "the LLM's address", expected, received: received.into() })
        };
        let (url, name) = given.split_once('#').map_or((given, None), |(url, name)| (url, Some(name)));
        let (url, query) = url.split_once('?').map_or((url, None), |(url, query)| (url, Some(query)));
        if url.contains('@') {
            return wrong("no user and password in it (set RAGBIAS_API_KEY)", "one with an @");
        }
        let uri: Uri = match url.trim().parse() {
            Ok(uri) => uri,
            Err(_) => return wrong("http(s)://HOST[:PORT]/PATH[#MODEL]", given),
        };
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return wrong("http(s)://HOST[:PORT]/PATH[#MODEL]", given);
        };
        if !["http", "https"].contains(&scheme) || authority.host().is_empty() {
            return wrong("http(s)://HOST[:PORT]/PATH[#MODEL]", given);
        }
        let query = query.filter(|query| !query.is_empty());
        let names = query
            .into_iter()
            .flat_map(|query| query.split('&'))
            .map(|field| field.split('=').next().unwrap_or(""));
        for field in names {
            if SECRETS.iter().any(|secret| field.eq_ignore_ascii_case(secret)) {
                return wrong("no key in it (set RAGBIAS_API_KEY)", &format!("one with `{field}=…`"));
            }
        }
        if query.is_some_and(|query| query.contains(|c: char| c.is_whitespace() || c.is_control())) {
            return wrong("no white space in its query", given);
        }
        let path = uri.path().trim_end_matches('/');
        if path.ends_with("/responses")
            || (path.ends_with("/completions") && !path.ends_with("/chat/completions"))
        {
            return wrong("one of chat completions, which ends before /chat/completions", given);
        }
        Ok(Self {
            scheme: scheme.into(),
            authority: authority.as_str().into(),
            path: path.strip_suffix("/chat/completions").unwrap_or(path).trim_end_matches('/').into(),
            query: query.map(str::to_owned),
            name: name.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned),
        })
    }

    /// The model's name.
    pub(super) fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The URL of something below the path, with the query behind it.
    pub(super) fn at(&self, end: &str) -> String {
        let query = self.query.as_ref().map_or_else(String::new, |query| format!("?{query}"));
        format!("{}://{}{}{end}{query}", self.scheme, self.authority, self.path)
    }

    /// The URL of something at the root of the host.
    pub(super) fn at_root(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.authority)
    }

    /// Whether it is a host of Azure's, where a key has a header of its own.
    pub(super) fn is_azure(&self) -> bool {
        let host = host(&self.authority).to_ascii_lowercase();
        AZURE.iter().any(|end| host.ends_with(end))
    }

    /// Whether it has no path, which is right for few servers.
    pub(super) fn has_no_path(&self) -> bool {
        self.path.is_empty()
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

fn host(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if !authority.ends_with(']') => &authority[..colon],
        _ => authority,
    }
}

/// Where a redirect from `url` leads, if it is the same host: there alone goes a key.
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
    let same = host(authority.as_str()).eq_ignore_ascii_case(host(to_authority.as_str()))
        && !to_authority.as_str().contains('@')
        && ((scheme, port) == (to_scheme, to_port) || upgraded);
    if same { Ok(target) } else { Err(format!("{to_scheme}://{}:{to_port}", to_authority.host())) }
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
    fn a_key_in_an_address_is_refused_and_not_shown() {
        for given in
            ["http://user:sk-secret@h/v1", "http://h/v1?key=sk-secret", "http://h/v1?a=1&API_KEY=sk-secret"]
        {
            let error = Address::parse(given).unwrap_err().to_string();
            assert!(error.contains("RAGBIAS_API_KEY") && !error.contains("sk-secret"), "{error}");
        }
        let shown = Address::parse("http://h/v1?api-version=2&tenant=secret").unwrap().to_string();
        assert_eq!(shown, "http://h/v1/chat/completions?api-version=2&tenant=…");
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
