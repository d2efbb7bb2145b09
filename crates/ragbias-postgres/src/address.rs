use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use postgres::Config;
use postgres::config::{Host, SslMode};

use crate::tls::Tls;
use crate::{Error, Result};

/// Time for a connection to be made, unless the address has `connect_timeout`.
const CONNECT: Duration = Duration::from_secs(5);
/// Time after which a connection is lost whose other side does not acknowledge what was sent, unless the address has
/// `tcp_user_timeout`.
const UNACKNOWLEDGED: Duration = Duration::from_secs(20);
/// Modes of TLS that ask for it. The server is verified in all of them, by its authority and its name.
const WITH_TLS: [&str; 3] = ["require", "verify-ca", "verify-full"];
/// Modes that do not: the connection is plain.
const WITHOUT_TLS: [&str; 3] = ["disable", "allow", "prefer"];

/// The address of a database: `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with the parameters of PostgreSQL's own clients after `?`.
///
/// It is shown without its password and without parameters.
///
/// ```
/// let address: ragbias_postgres::Address = "postgresql://me:pass-word@db.example.org/library?sslmode=require".parse()?;
/// assert_eq!(address.to_string(), "postgres://me@db.example.org/library");
/// # Ok::<(), ragbias_postgres::Error>(())
/// ```
#[derive(Clone)]
pub struct Address {
    config: Arc<Config>,
    tls: Option<Tls>,
}

impl Address {
    /// How to connect.
    pub(crate) fn config(&self) -> &Config {
        &self.config
    }

    /// With which TLS, if with any.
    pub(crate) fn tls(&self) -> Option<&Tls> {
        self.tls.as_ref()
    }

    /// Whether the address contains a password.
    pub fn has_password(&self) -> bool {
        self.config.get_password().is_some()
    }
}

impl FromStr for Address {
    type Err = Error;

    fn from_str(address: &str) -> Result<Self> {
        let address = address.trim();
        let scheme = address.split_once("://").map(|(scheme, _)| scheme);
        if !matches!(scheme, Some("postgres" | "postgresql")) {
            return Err(Error::Address("it does not begin with `postgres://`"));
        }
        let (address, tls) = without_tls(address)?;
        // The parser's own message may contain a part of the password.
        let parsed: Result<Config, _> = address.parse();
        let mut config = parsed.map_err(|_| Error::Address("it, or one of its parameters, is malformed"))?;
        if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
            return Err(Error::Address("it names no host"));
        }
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(UNACKNOWLEDGED);
        }
        if config.get_application_name().is_none() {
            config.application_name("ragbias");
        }
        Ok(Self { config: Arc::new(config), tls })
    }
}

/// An address without its parameters of TLS, and what they ask for.
fn without_tls(address: &str) -> Result<(String, Option<Tls>)> {
    let Some((before, parameters)) = address.rsplit_once('?') else { return Ok((address.to_owned(), None)) };
    let (mut asks, mut authorities, mut others) = (false, None, Vec::new());
    for parameter in parameters.split('&') {
        match parameter.split_once('=') {
            Some(("sslmode", mode)) if WITH_TLS.contains(&mode) => asks = true,
            Some(("sslmode", mode)) if WITHOUT_TLS.contains(&mode) => asks = false,
            Some(("sslrootcert", path)) => authorities = Some(PathBuf::from(path)),
            _ => others.push(parameter),
        }
    }
    if authorities.is_some() && !asks {
        return Err(Error::Address("it has `sslrootcert` without `sslmode=verify-full`"));
    }
    let others = others.join("&");
    let address = if others.is_empty() { before.to_owned() } else { format!("{before}?{others}") };
    Ok((address, if asks { Some(Tls::new(authorities.as_deref())?) } else { None }))
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("postgres://")?;
        if let Some(user) = self.config.get_user() {
            write!(f, "{user}@")?;
        }
        let (hosts, ports) = (self.config.get_hosts(), self.config.get_ports());
        let port = |at: usize| ports.get(at).or(ports.first()).filter(|port| **port != 5432);
        let mut folder = None;
        for (at, host) in hosts.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match host {
                Host::Tcp(name) => write!(f, "{comma}{name}")?,
                #[cfg(unix)]
                Host::Unix(path) => folder = Some(path.display()),
            }
            if let (Host::Tcp(_), Some(port)) = (host, port(at)) {
                write!(f, ":{port}")?;
            }
        }
        if hosts.is_empty() {
            let named: Vec<String> = self.config.get_hostaddrs().iter().map(ToString::to_string).collect();
            f.write_str(&named.join(","))?;
        }
        if let Some(database) = self.config.get_dbname() {
            write!(f, "/{database}")?;
        }
        match folder {
            Some(folder) => write!(f, "?host={folder}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Address({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWORD: &str = "pass-word-7f3a";

    #[test]
    fn an_address_is_shown_without_its_password() {
        for (given, shown) in [
            ("postgres://me:pass-word-7f3a@h/db", "postgres://me@h/db"),
            ("postgresql://me:pass-word-7f3a@h:5433/db?connect_timeout=3", "postgres://me@h:5433/db"),
            ("postgres://me@h/db?password=pass-word-7f3a", "postgres://me@h/db"),
            ("postgres://me:x%2Fpass-word-7f3a@127.0.0.1:5432", "postgres://me@127.0.0.1"),
            (
                "postgres:///db?host=/run/postgresql&user=me&password=pass-word-7f3a",
                "postgres://me@/db?host=/run/postgresql",
            ),
            ("postgres://me:pass-word-7f3a@%2Frun%2Fpostgresql/db", "postgres://me@/db?host=/run/postgresql"),
            ("postgres://me:pass-word-7f3a@a:1,b:2/db", "postgres://me@a:1,b:2/db"),
        ] {
            let address: Address = given.parse().unwrap();
            assert_eq!(address.to_string(), shown, "{given}");
            assert!(address.has_password());
            assert!(!format!("{address:?} {:?}", address.config()).contains(PASSWORD), "{given}");
        }
        assert!(!"postgres://me@h/db".parse::<Address>().unwrap().has_password());
    }

    #[test]
    fn what_is_no_address_is_refused_without_repeating_it() {
        for given in [
            "host=h user=me password=pass-word-7f3a",
            "mysql://me:pass-word-7f3a@h/db",
            "postgres://me:pass-word-7f3a@h:many/db",
            "postgres://me@h/db?pass=pass-word-7f3a",
            "postgres://me:pass-word-7f3a@/db",
            "",
        ] {
            let error = given.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains("expected postgres://USER"), "{error}");
            assert!(!error.contains(PASSWORD), "{error}");
        }
    }

    #[test]
    fn tls_is_used_where_it_is_asked_for_and_nothing_else_is() {
        let uses = |given: &str| given.parse::<Address>().unwrap().tls().is_some();
        for mode in WITH_TLS {
            assert!(
                uses(&format!("postgres://me:pass-word-7f3a@h/db?connect_timeout=3&sslmode={mode}")),
                "{mode}"
            );
        }
        for mode in WITHOUT_TLS {
            assert!(!uses(&format!("postgres://me@h/db?sslmode={mode}")), "{mode}");
        }
        assert!(!uses("postgres://me@h/db"));
        for (given, said) in [
            ("postgres://me:pass-word-7f3a@h/db?sslmode=required", "malformed"),
            ("postgres://me:pass-word-7f3a@h/db?sslrootcert=ca.pem", "without `sslmode=verify-full`"),
            (
                "postgres://me:pass-word-7f3a@h/db?sslmode=require&sslrootcert=/nowhere/ca.pem",
                "/nowhere/ca.pem",
            ),
            ("postgres://me:pass-word-7f3a@h/db?sslmode=require&sslcert=me.pem", "malformed"),
        ] {
            let error = given.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(said) && !error.contains(PASSWORD), "{error}");
        }
    }
}
