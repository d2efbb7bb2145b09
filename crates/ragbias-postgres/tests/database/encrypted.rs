use ragbias_core::message;
use ragbias_postgres::{Address, Table};

use crate::server::{PASSWORD, Server};

#[test]
fn an_encrypted_connection_is_made_to_the_verified_server_alone() {
    let Some((server, authority)) = Server::start_encrypted() else { return };
    let address = server.address("postgres").replace("127.0.0.1", "localhost");
    let open = |address: &str| {
        let error = Table::open(&address.parse::<Address>().unwrap(), "docs").unwrap_err();
        let text = message(&error);
        assert!(!text.contains(PASSWORD), "{text}");
        (text, error.is_unavailable())
    };
    let authority = format!("sslrootcert={}", authority.display());
    for mode in ["require", "verify-ca", "verify-full"] {
        // There is no pgvector in this database: the server was asked.
        let (text, _) = open(&format!("{address}?sslmode={mode}&{authority}"));
        assert!(text.contains("expected pgvector"), "{mode}: {text}");
    }
    let (text, _) = open(&address);
    assert!(text.contains("no encryption") && text.contains("hint: pg_hba.conf"), "{text}");
    let (text, unavailable) = open(&format!("{address}?sslmode=require"));
    assert!(text.contains("UnknownIssuer") && text.contains("sslrootcert=FILE") && !unavailable, "{text}");
    let (text, _) = open(&format!("{}?sslmode=require&{authority}", server.address("postgres")));
    assert!(text.contains("not valid for name") && text.contains("127.0.0.1"), "{text}");
}
