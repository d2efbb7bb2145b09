//! A PostgreSQL server of its own, on a free port and in a temporary folder.

use std::ffi::OsStr;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// The folder of PostgreSQL's programs, if they are not on PATH.
const FOLDER: &str = "RAGBIAS_POSTGRES_BIN";
/// PostgreSQL does not run as root: then it runs as `nobody`.
const NOBODY: u32 = 65_534;

pub(crate) const USER: &str = "tester";
pub(crate) const PASSWORD: &str = "pass-word-7f3a";

/// A server with pgvector, which ends when it is dropped, and also when this process ends.
pub(crate) struct Server {
    folder: tempfile::TempDir,
    programs: PathBuf,
    port: u16,
    running: Option<(Child, ChildStdin)>,
    databases: AtomicUsize,
}

impl Server {
    /// A new server; none, and a line on stderr, where there is no PostgreSQL with pgvector 0.8.
    pub(crate) fn start() -> Option<Self> {
        for programs in folders() {
            let server = Self::of(programs);
            let version = server
                .sql("postgres", "SELECT default_version FROM pg_available_extensions WHERE name = 'vector'");
            let version: Vec<u32> = version.split('.').map(|part| part.parse().unwrap_or(0)).collect();
            if version.as_slice() >= &[0, 8] {
                return Some(server);
            }
        }
        eprintln!(
            "skipped: no PostgreSQL with pgvector 0.8 on PATH, or in the folder of its programs that {FOLDER} names"
        );
        None
    }

    /// A new server that accepts encrypted connections alone, as `localhost`, with or without pgvector; and the file of its authority.
    pub(crate) fn start_encrypted() -> Option<(Self, PathBuf)> {
        for programs in folders() {
            let mut server = Self::of(programs);
            if server.certify().is_some() && server.try_sql("postgres", "ALTER SYSTEM SET ssl = on").is_some()
            {
                let rules = server.folder.path().join("data/pg_hba.conf");
                fs_err::write(rules, "hostssl all all all scram-sha-256\n").unwrap();
                server.stop();
                server.resume();
                let authority = server.folder.path().join("ca.pem");
                return Some((server, authority));
            }
        }
        eprintln!("skipped: no PostgreSQL with TLS, or no openssl");
        None
    }

    fn of(programs: PathBuf) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { folder, programs, port, running: None, databases: AtomicUsize::new(0) };
        server.create();
        server.resume();
        server
    }

    /// Makes an authority, and a certificate for `localhost` by it.
    fn certify(&self) -> Option<()> {
        for arguments in [
            "req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority",
            "req -newkey rsa:2048 -nodes -keyout data/server.key -out server.csr -subj /CN=localhost -addext subjectAltName=DNS:localhost",
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -out data/server.crt -days 2 -copy_extensions copy",
        ] {
            let made = self.command("openssl").args(arguments.split(' ')).stdout(Stdio::null()).status();
            made.ok().filter(std::process::ExitStatus::success)?;
        }
        Some(())
    }

    /// One of PostgreSQL's programs.
    fn program(&self, name: &str) -> Command {
        self.command(self.programs.join(name))
    }

    /// A program as the user who owns the data.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env_remove("PGDATA").stderr(Stdio::null());
        // psql looks for certificates there, and fails if it may not.
        command.env("HOME", self.folder.path());
        if Self::is_of_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command
    }

    fn is_of_root() -> bool {
        fs_err::metadata("/proc/self").is_ok_and(|process| process.uid() == 0)
    }

    fn create(&self) {
        let password = self.folder.path().join("password");
        fs_err::write(&password, PASSWORD).unwrap();
        if Self::is_of_root() {
            for path in [self.folder.path(), password.as_path()] {
                chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
            }
        }
        let arguments = [
            "-D",
            "data",
            "-U",
            USER,
            "--pwfile=password",
            "--auth=scram-sha-256",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ];
        let created = self.program("initdb").args(arguments).stdout(Stdio::null()).status().unwrap();
        assert!(created.success(), "initdb: {created}");
    }

    /// Starts it again after [`Server::stop`]. A shell waits for the end of its input, which ends with this process.
    pub(crate) fn resume(&mut self) {
        let mut command = self.command("/bin/sh");
        command.stdin(Stdio::piped()).stdout(Stdio::null());
        command
            .args(["-c", "\"$0\" \"$@\" & read line; kill -INT $!; wait $!"])
            .arg(self.programs.join("postgres"));
        command.args([
            "-D",
            "data",
            "-c",
            "listen_addresses=127.0.0.1",
            "-c",
            "unix_socket_directories=",
            "-c",
            "fsync=off",
        ]);
        command.args(["-p", &self.port.to_string(), "-c", "shared_buffers=64MB", "-c", "max_connections=40"]);
        let mut child = command.spawn().unwrap();
        let input = child.stdin.take().unwrap();
        self.running = Some((child, input));
        let begun = Instant::now();
        while self.try_sql("postgres", "SELECT 1").is_none() {
            assert!(begun.elapsed() < Duration::from_mins(1), "PostgreSQL does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Ends it; its data are kept.
    pub(crate) fn stop(&mut self) {
        if let Some((mut child, input)) = self.running.take() {
            drop(input);
            let _ = child.wait();
        }
    }

    /// A new database with pgvector: its address and its name.
    pub(crate) fn database(&self) -> (String, String) {
        let name = format!("db{}", self.databases.fetch_add(1, Ordering::Relaxed));
        self.sql("postgres", &format!("CREATE DATABASE {name}"));
        self.sql(&name, "CREATE EXTENSION vector");
        (self.address(&name), name)
    }

    pub(crate) fn address(&self, database: &str) -> String {
        format!("postgres://{USER}:{PASSWORD}@127.0.0.1:{}/{database}", self.port)
    }

    /// The same for another user.
    pub(crate) fn address_of(&self, user: &str, password: &str, database: &str) -> String {
        format!("postgres://{user}:{password}@127.0.0.1:{}/{database}", self.port)
    }

    /// What a statement gives: a line for each row, with columns between `|`.
    pub(crate) fn sql(&self, database: &str, statement: &str) -> String {
        self.try_sql(database, statement).unwrap_or_else(|| panic!("{statement}"))
    }

    fn try_sql(&self, database: &str, statement: &str) -> Option<String> {
        let mut psql = self.program("psql");
        psql.args([
            "-XAtq",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            "127.0.0.1",
            "-p",
            &self.port.to_string(),
            "-U",
            USER,
        ]);
        let output =
            psql.args(["-d", database, "-c", statement]).env("PGPASSWORD", PASSWORD).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim_end().to_owned())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The folders that have PostgreSQL's programs, the preferred one first.
fn folders() -> Vec<PathBuf> {
    let is_there =
        |folder: &PathBuf| ["initdb", "postgres", "psql"].iter().all(|name| folder.join(name).is_file());
    let named = std::env::var_os(FOLDER).map(PathBuf::from);
    if let Some(folder) = &named {
        assert!(is_there(folder), "{FOLDER}={}: no PostgreSQL", folder.display());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).filter(is_there);
    // Debian has all but the client's programs elsewhere.
    named.into_iter().chain(found).chain(debian().filter(is_there)).collect()
}

/// Debian's folders, one for each version.
fn debian() -> impl Iterator<Item = PathBuf> {
    let versions = fs_err::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    versions.map(|version| version.path().join("bin"))
}
